import { SourceMap } from "node:module";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { Express } from "express";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** A module with all that it imports, as one script for a page. */
export class PageBundle {
  readonly #script: string;
  readonly #map: SourceMap;

  /** Bundles the module of a path below the root of the repository. */
  static async of(entry: string): Promise<PageBundle> {
    const { outputFiles } = await build({
      entryPoints: [entry],
      absWorkingDir: ROOT,
      outdir: ROOT,
      bundle: true,
      write: false,
      format: "iife",
      target: "es2022",
      sourcemap: "external",
      // sockjs-client takes the page for Node.js in this one thing
      define: { global: "globalThis" },
      // package.json says what of dist has to stay though nobody imports anything of it; this is lib
      ignoreAnnotations: true,
      // Node.js alone needs it
      external: ["ws"],
    });
    const [map, script] = [".js.map", ".js"].map(
      (ending) => outputFiles.find(({ path }) => path.endsWith(ending))?.text ?? "",
    );
    return new PageBundle(script ?? "", map ?? "");
  }

  private constructor(script: string, map: string) {
    this.#script = script;
    this.#map = new SourceMap(JSON.parse(map));
  }

  /** Serves the script at `/bundle.js`, and at `/` a page that has it. */
  serve(app: Express): void {
    app.get("/", (_req, res) => {
      res
        .type("html")
        .send(
          '<!doctype html><html lang="en"><title>A page</title><body><script src="/bundle.js"></script></body>',
        );
    });
    app.get("/bundle.js", (_req, res) => {
      res.type("js").send(this.#script);
    });
  }

  /** A stack of the page's with the places in the sources instead of those in the script. */
  original(stack: string): string {
    return stack.replace(/[^\s(@]*\/bundle\.js:(\d+):(\d+)/g, (place, line, column) => {
      const entry = this.#map.findEntry(Number(line) - 1, Number(column) - 1);
      if (!("originalSource" in entry)) return place;
      const { originalSource, originalLine, originalColumn } = entry;
      return `${relative(ROOT, `${ROOT}${originalSource}`)}:${originalLine + 1}:${originalColumn + 1}`;
    });
  }
}
