import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import type { Express, RequestHandler } from "express";
import { mountPath, unmount } from "./router.js";

/** The folder into which the build puts the scripts for pages without a bundler. */
const FOLDER = new URL("../../../dist/browser/", import.meta.url);

const A_YEAR = 31_536_000;

/** Serves the client's script to pages without a bundler, and SockJS beside it. */
export class ClientFiles {
  readonly #app: Express;
  // Stryker disable next-line ArrayDeclaration: what is no route cannot be taken out
  readonly #routes: object[] = [];
  /** The client's path in the application, under the name that holds its hash; undefined where the build has made none. */
  readonly #path: string | undefined;
  /** The path of SockJS's client in the application; undefined likewise. */
  readonly sockjsPath: string | undefined;

  /** `path` is that of the client, and ends with ".js". */
  constructor(app: Express, path: string) {
    this.#app = app;
    const folder = path.slice(0, path.lastIndexOf("/") + 1);
    this.#path = this.#serve(path, "client.js");
    this.sockjsPath = this.#serve(`${folder}sockjs.js`, "sockjs.js") && `${folder}sockjs.js`;
  }

  /** The client's path for pages, below that at which the application is mounted by now. */
  get url(): string | undefined {
    return this.#path && mountPath(this.#app) + this.#path;
  }

  /** Takes the files out of service. */
  close(): void {
    for (const route of this.#routes) unmount(this.#app, route);
  }

  /** Serves a file under its name, and under one that holds its hash and so never changes its meaning. */
  #serve(path: string, name: string): string | undefined {
    const file = new URL(name, FOLDER);
    if (!existsSync(file)) return undefined;
    const content = readFileSync(file);
    const hash = createHash("sha256").update(content).digest("hex").slice(0, 16);
    const hashed = path.replace(/\.js$/, `.${hash}.js`);
    const send =
      (life: string): RequestHandler =>
      (_req, res) => {
        res.set({
          "Cache-Control": life,
          "Content-Type": "text/javascript; charset=utf-8",
          ETag: `"${hash}"`,
          "X-Content-Type-Options": "nosniff",
        });
        res.send(content);
      };
    this.#routes.push(
      this.#app.route(path).get(send("public, no-cache")),
      this.#app.route(hashed).get(send(`public, max-age=${A_YEAR}, immutable`)),
    );
    return hashed;
  }
}
