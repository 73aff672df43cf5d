/**
 * Makes dist/cjs for what cannot load ES modules by `require()`, as jest by default: one file with everything, whose parts
 * run when they are asked for, and an entry for each subpath.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const dist = new URL("../dist/", import.meta.url);
const folder = new URL("cjs/", dist);

/** The module behind each entry, and what `require()` gives of it. */
const ENTRIES = {
  index: ["index.js", ".TokenSocketServer"],
  client: ["client/index.js", ""],
  "client-web": ["client/web.js", ""],
  "client-presence": ["client/presence.js", ""],
  memory: ["memory.js", ""],
  react: ["react/index.js", ""],
};

const parts = Object.entries(ENTRIES).map(
  ([name, [path, what]]) => `exports[${JSON.stringify(name)}] = () => require("./${path}")${what};`,
);
mkdirSync(folder, { recursive: true });
await build({
  stdin: { contents: parts.join("\n"), resolveDir: fileURLToPath(dist) },
  outfile: fileURLToPath(new URL("package.cjs", folder)),
  bundle: true,
  platform: "node",
  format: "cjs",
  target: "node20.19",
  // jest runs no `import()` without a flag of Node.js, so that it has to become `require()`
  supported: { "dynamic-import": false },
  keepNames: true,
  // uuid is an ES module, too
  external: ["express", "qs", "rate-limiter-flexible", "react", "sockjs-client", "ws"],
  define: { "import.meta.url": "url" },
  // of the one module that reads its URL, to find dist/browser
  banner: {
    js: 'const url = new URL("../server/http/client-files.js", require("node:url").pathToFileURL(__filename)).href;',
  },
});
for (const name of Object.keys(ENTRIES)) {
  writeFileSync(
    new URL(`${name}.cjs`, folder),
    `module.exports = require("./package.cjs")[${JSON.stringify(name)}]();\n`,
  );
}
