/**
 * Makes the script for pages without a bundler, dist/browser/client.js, with SockJS beside it, and prints what they
 * weigh. Fails where the script has become too heavy. SockJS becomes a module for bundles as well.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

/** Bytes of the script, compressed. */
const LIMIT = 12_288;

/** Properties that only the client's own parts use among themselves, so that they may have shorter names. */
const OWN_NAMES = [
  "acknowledge",
  "ask",
  "asker",
  "begin",
  "caught",
  "candidates",
  "causeOfTimeout",
  "check",
  "closed",
  "connect",
  "disconnect",
  "drain",
  "event",
  "extra",
  "failed",
  "failure",
  "fields",
  "isEnded",
  "isOnce",
  "isOpen",
  "isRejoining",
  "joinedOn",
  "known",
  "isStream",
  "isWanted",
  "joined",
  "keepsHistory",
  "leave",
  "left",
  "frame",
  "link",
  "listener",
  "listeners",
  "names",
  "onClose",
  "onGivenUp",
  "onIdentity",
  "onJoined",
  "onMessage",
  "onReply",
  "onState",
  "onVisible",
  "open",
  "opened",
  "options",
  "parent",
  "positions",
  "progress",
  "refresh",
  "rejectAll",
  "reopen",
  "request",
  "requests",
  "restore",
  "settle",
  "socketUrl",
  "sockJS",
  "speak",
  "start",
  "stop",
  "streams",
  "stuck",
  "take",
  "tell",
  "tokenUrl",
  "urgent",
  "view",
  "webSocket",
  "worked",
];

/** Leaves out the declarations of public fields, which constructors set. */
const withoutDeclarations = {
  name: "without-declarations",
  setup({ onLoad }) {
    onLoad({ filter: /\.js$/ }, ({ path }) => ({
      contents: readFileSync(path, "utf8").replace(/^ {4}\w+;\n/gm, ""),
    }));
  },
};

const folder = new URL("../dist/browser/", import.meta.url);

const { outputFiles } = await build({
  entryPoints: [fileURLToPath(new URL("../dist/client/script.js", import.meta.url))],
  bundle: true,
  plugins: [withoutDeclarations],
  write: false,
  format: "iife",
  target: "es2022",
  // it gives private names letters by how often each comes, which terser does not
  minifyIdentifiers: true,
  minifySyntax: true,
});
// it makes less of the same than esbuild does
const { code } = await minify(outputFiles[0].text, {
  ecma: 2020,
  module: true,
  compress: {
    hoist_funs: true,
    passes: 3,
    unsafe: true,
    unsafe_math: true,
    sequences: false,
    pure_getters: true,
    inline: 3,
    unsafe_methods: true,
    unsafe_arrows: true,
  },
  mangle: {
    properties: {
      // objects of the browser have some of these names, too, but none whose properties of these names are used here
      builtins: true,
      keep_quoted: "strict",
      regex: new RegExp(`^(${OWN_NAMES.join("|")})$`),
    },
  },
  format: { comments: false },
});

mkdirSync(folder, { recursive: true });
writeFileSync(new URL("client.js", folder), code);

const sockjs = readFileSync(
  createRequire(import.meta.url).resolve("sockjs-client/dist/sockjs.min.js"),
  "utf8",
)
  // its source map is not there
  .replace(/^\/\/# sourceMappingURL=.*$/m, "")
  .trim();
// It asks for a loader of modules, and gives itself to that. Here it finds what it takes for CommonJS: neither a loader
// of the page's (RequireJS, Electron) gets it, nor does a bundler see a `global` that it has to provide.
const wrapped = `((module, exports, define, require, global) => {
${sockjs}
})`;
const call = "(module, module.exports, undefined, undefined, globalThis);";
writeFileSync(
  new URL("sockjs.js", folder),
  `{ const module = { exports: {} };
${wrapped}${call}
globalThis.SockJS = module.exports; }
`,
);
writeFileSync(
  new URL("../dist/client/sockjs.js", import.meta.url),
  `const module = { exports: {} };
${wrapped}${call}
export default module.exports;
`,
);

const sizes = ["client.js", "sockjs.js"].map((name) => {
  const content = readFileSync(new URL(name, folder));
  const compressed = gzipSync(content, { level: 9 }).length;
  console.log(`dist/browser/${name}: ${content.length} bytes, ${compressed} compressed`);
  return compressed;
});
if (sizes[0] > LIMIT) {
  console.error(`dist/browser/client.js is to have ${LIMIT} bytes at most, compressed`);
  process.exitCode = 1;
}
