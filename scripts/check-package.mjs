/** Checks the package as it was built last, packed as it would be published, by publint and by "Are the types wrong?". */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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

// what is in dist: to pack with the scripts of the package would build it again
const folder = mkdtempSync(join(tmpdir(), "node-token-sockjs-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
const packing = ["pack", "--ignore-scripts", "--json", "--loglevel=error", "--pack-destination", folder];
const packed = spawnSync("npm", packing, {
  cwd: root,
  encoding: "utf8",
  stdio: ["ignore", "pipe", "inherit"],
});
if (packed.status !== 0) throw new Error("npm could not pack the package; it says why above");
const [{ filename }] = JSON.parse(packed.stdout);
const tarball = join(folder, filename);

const { messages, pkg } = await publint({
  strict: true,
  pack: { tarball: new Uint8Array(readFileSync(tarball)).buffer },
});
const complaints = messages.filter(({ code }) => !MEANT.has(code));
for (const message of complaints) console.error(formatMessage(message, pkg));
const { status } = spawnSync(
  "npx",
  ["attw", tarball, "--profile", "esm-only", "--ignore-rules", "false-esm"],
  {
    cwd: root,
    stdio: "inherit",
  },
);
if (complaints.length > 0 || status !== 0) process.exitCode = 1;
