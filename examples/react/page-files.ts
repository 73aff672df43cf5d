import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { build } from "esbuild";

const FOLDER = join(import.meta.dirname, "page");

/** The page's files by name, its TypeScript compiled into scripts. An application of some size has a build for that. */
export async function pageFiles(): Promise<Map<string, Buffer | Uint8Array>> {
  const { outputFiles } = await build({
    entryPoints: [join(FOLDER, "main.tsx")],
    outdir: FOLDER,
    write: false,
    bundle: true,
    minify: true,
    format: "esm",
    // SockJS is a file of its own, which is loaded where WebSocket is blocked
    splitting: true,
    jsx: "automatic",
    target: "es2022",
    define: { "process.env.NODE_ENV": '"production"' },
  });
  const files = new Map<string, Buffer | Uint8Array>();
  for (const { path, contents } of outputFiles) files.set(basename(path), contents);
  for (const name of ["index.html", "style.css"]) files.set(name, await readFile(join(FOLDER, name)));
  return files;
}
