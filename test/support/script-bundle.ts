import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { build, type Plugin } from "esbuild";

/** What packages that are no modules need in one. */
const BANNER = `import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url);`;

/** Lets modules know their own places, beside which they look for files. */
const PLACES: Plugin = {
  name: "places",
  setup({ onLoad }) {
    onLoad({ filter: /\/(?:dist|lib|examples)\/.*\.[jt]s$/ }, async ({ path }) => {
      if (path.includes("node_modules")) return undefined;
      const code = await readFile(path, "utf8");
      const contents = code
        .replaceAll("import.meta.url", JSON.stringify(pathToFileURL(path)))
        .replaceAll("import.meta.dirname", JSON.stringify(dirname(path)));
      return { contents, loader: "default" };
    });
  },
};

const bundles = new Map<string, Promise<string>>();
const files = new Map<string, Promise<string>>();

/**
 * A script with all that it imports, as the source of one module: a process that has to compile each module by
 * itself takes four times as long to start.
 */
export function bundleOf(script: string): Promise<string> {
  return kept(bundles, script, bundle);
}

/** The path of a file with such a module, which goes with this process. */
export function bundledFile(script: string): Promise<string> {
  return kept(files, script, async () => {
    const code = await bundleOf(script);
    const folder = mkdtempSync(join(tmpdir(), "node-token-sockjs-"));
    process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
    const file = join(folder, basename(script).replace(/[jt]s$/, "mjs"));
    writeFileSync(file, code);
    return file;
  });
}

function kept<T>(
  known: Map<string, Promise<T>>,
  script: string,
  make: (script: string) => Promise<T>,
): Promise<T> {
  const made = known.get(script) ?? make(script);
  known.set(script, made);
  return made;
}

async function bundle(script: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [script],
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    minifyWhitespace: true,
    banner: { js: BANNER },
    plugins: [PLACES],
    // without what it has for Redis's modules, which takes as long to load as all else of it
    alias: { redis: "@redis/client" },
    logLevel: "error",
    // package.json says what of dist has to stay though nobody imports anything of it; this is lib
    ignoreAnnotations: true,
  });
  return outputFiles[0]?.text ?? "";
}
