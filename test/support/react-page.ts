import { createServer, type Server } from "node:http";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { type BuildOptions, build } from "esbuild";
import type { Page } from "playwright-core";
import type { Lab } from "../react/page/browser.js";
import type { Part } from "../react/page/parts.js";
import type { Tabs } from "./browser.js";

/** How long the page gets to show what is waited for, in milliseconds: less than a test gets. */
const TIMEOUT = 15_000;

/** The versions of React that the hooks are for. */
export const REACT_VERSIONS = ["19", "18"] as const;
export type ReactVersion = (typeof REACT_VERSIONS)[number];

/** The names under which the older version is installed. */
const ALIASES: Record<ReactVersion, Record<string, string>> = {
  "19": {},
  "18": { react: "react18", "react-dom": "react-dom18" },
};

async function bundle(name: string, version: ReactVersion, options: BuildOptions): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(`../react/page/${name}.ts`, import.meta.url))],
    bundle: true,
    write: false,
    target: "es2022",
    alias: ALIASES[version],
    // only this one warns
    define: { "process.env.NODE_ENV": '"development"' },
    external: ["ws", "sockjs-client"],
    logLevel: "error",
    ...options,
  });
  return outputFiles?.[0]?.text ?? "";
}

/** The script of the test page, with a version of React. */
export function bundlePage(version: ReactVersion): Promise<string> {
  return bundle("browser", version, { format: "iife" });
}

/** Renders the test page to HTML in this process, with a version of React. */
export async function bundleServer(version: ReactVersion): Promise<(parts: readonly Part[]) => string> {
  const code = await bundle("server", version, { format: "cjs", platform: "node" });
  const module = { exports: {} as { render: (parts: readonly Part[]) => string } };
  new Function("module", "exports", "require", code)(module, module.exports, createRequire(import.meta.url));
  return module.exports.render;
}

/** Serves the test page, whatever is asked for. */
export function pageServer(script: string): Server {
  return createServer((_req, res) => {
    res.setHeader("Content-Type", "text/html; charset=utf-8");
    res.end(
      `<!doctype html><link rel="icon" href="data:,"><title>A page</title><body><script>${script}</script></body>`,
    );
  });
}

/** A page with components of React, as tests see it, one after the other. */
export class ReactPage {
  readonly page: Page;
  /** What the page has complained about since this was looked at. */
  readonly problems: string[] = [];
  readonly #tabs: Tabs;

  static async open(tabs: Tabs, url: string): Promise<ReactPage> {
    const react = new ReactPage(tabs, await tabs.open());
    react.page.setDefaultTimeout(TIMEOUT);
    await react.page.goto(url);
    return react;
  }

  private constructor(tabs: Tabs, page: Page) {
    this.#tabs = tabs;
    this.page = page;
    page.on("pageerror", (error) => this.problems.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.problems.push(message.text());
    });
  }

  /** Empties the page, and forgets its cookies, for another test. */
  async begin(): Promise<void> {
    await this.page.context().clearCookies();
    await this.run((lab) => lab.clear());
  }

  /** Connects the page's client, and waits until the connection is open. */
  async connect(): Promise<void> {
    await this.run((lab) => {
      lab.connect();
      return lab.socket.ready();
    });
  }

  /** Runs a function in the page. It sees nothing of the test but its argument. */
  run<Result, Given = undefined>(
    act: (lab: Lab, given: Given) => Result | Promise<Result>,
    given?: Given,
  ): Promise<Result> {
    const source = `(lab, given) => { const __name = (f) => f; return (${act})(lab, given); }`;
    return this.page.evaluate(
      `(${source})(globalThis.lab, ${JSON.stringify(given ?? null)})`,
    ) as Promise<Result>;
  }

  render(...parts: Part[]): Promise<void> {
    return this.run((lab, given) => lab.render(given as Part[]), parts);
  }

  unmount(): Promise<void> {
    return this.run((lab) => lab.unmount());
  }

  settle(): Promise<void> {
    return this.run((lab) => lab.settle());
  }

  /** What a component shows. */
  async shown(id: string): Promise<Record<string, unknown>> {
    return JSON.parse((await this.page.locator(`#${id}`).textContent()) ?? "") as Record<string, unknown>;
  }

  /** Waits until a component shows something, given as pieces of JSON. */
  async shows(id: string, ...pieces: string[]): Promise<void> {
    let locator = this.page.locator(`#${id}`);
    for (const piece of pieces) locator = locator.filter({ hasText: piece });
    await locator.waitFor();
  }

  /** Waits until the handlers have got as many messages and items, and gives them back. */
  async heard(count: number): Promise<string[]> {
    await this.page.waitForFunction(`lab.notes.log.length >= ${count}`);
    return this.run((lab) => lab.notes.log.splice(0));
  }

  /** Unmounts everything, and ends the clients; says what was left of it in the page. */
  end(): Promise<{ listeners: number; channels: string[] }> {
    return this.run(async (lab) => {
      lab.unmount();
      await lab.settle();
      const left = { listeners: lab.listeners(), channels: lab.socket.channels() };
      await lab.end();
      return left;
    });
  }

  close(): Promise<void> {
    return this.#tabs.leave(this.page);
  }
}
