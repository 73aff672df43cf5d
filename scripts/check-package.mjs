/** Checks the package as it would be published, by publint and by "Are the types wrong?". */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { publint } from "publint";
import { formatMessage } from "publint/utils";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Complaints about what is as it is meant to be. */
const MEANT = new Set([
  // `require()` gives the CommonJS files only to tools that lack the condition before it, module-sync; in the versions of
  // Node.js that are supported it gives the ES modules, as the types say
  "EXPORTS_TYPES_INVALID_FORMAT",
  // Parcel, where nobody has turned `exports` on, finds the subpaths by `browser`
  "USE_EXPORTS_OR_IMPORTS_BROWSER",
]);

const { messages, pkg } = await publint({ pkgDir: root, strict: true });
const complaints = messages.filter(({ code }) => !MEANT.has(code));
for (const message of complaints) console.error(formatMessage(message, pkg));
const { status } = spawnSync(
  "npx",
  ["attw", "--pack", ".", "--profile", "esm-only", "--ignore-rules", "false-esm"],
  {
    cwd: root,
    stdio: "inherit",
  },
);
if (complaints.length > 0 || status !== 0) process.exitCode = 1;
