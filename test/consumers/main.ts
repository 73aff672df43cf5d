/**
 * Uses the package in other people's builds: packs it, and for each folder beside this file installs it as a user would, builds,
 * and runs what was built. `npm run test:consumers [names]`; without names all of them.
 */
import { spawn, spawnSync } from "node:child_process";
import { renameSync } from "node:fs";
import { cp, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import express from "express";
import type { Browser } from "playwright-core";
import { Application } from "../support/application.js";
import { launchBrowser } from "../support/browser.js";

const HERE = import.meta.dirname;
const ROOT = join(HERE, "../..");

/** The time that each step of a consumer may take, in milliseconds: TypeScript checks the package twelve times. */
const STEP_TIME = 300_000;

/** What each conversation of `converse.js` comes to; the served script has no names of errors. */
const expected = (name = "NotFoundError") => [6, "hello", name, "not_found"];

/** A consumer's package.json. */
interface Manifest {
  readonly scripts: {
    /** Makes what is to be run. */
    readonly build?: string;
    /** Runs it, and fails where it does not work; `SERVER` is the address of a server. */
    readonly test?: string;
    /** Serves the page that was built, at the port `PORT`. */
    readonly serve?: string;
  };
  readonly consumer?: {
    /** Pages that are opened as files of the server's own. */
    readonly pages: readonly string[];
    /** The name of the error that they get. */
    readonly errorName?: string;
  };
}

/** Runs consumers, several at a time, against one server and with one browser. */
class Consumers {
  readonly #folder: string;
  readonly #application: Application;
  readonly #browser: Browser;

  constructor(folder: string, application: Application, browser: Browser) {
    this.#folder = folder;
    this.#application = application;
    this.#browser = browser;
  }

  /** Throws where a consumer does not work. Gives how long each step has taken. */
  async run(name: string): Promise<string> {
    const folder = join(this.#folder, name);
    await cp(join(HERE, name), folder, { recursive: true });
    for (const shared of ["converse.js", "start-server.js"])
      await cp(join(HERE, shared), join(folder, shared));
    const { scripts, consumer }: Manifest = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    const times: string[] = [];
    const step = async (title: string, act: () => Promise<unknown>) => {
      const begun = performance.now();
      await act();
      times.push(`${title} ${((performance.now() - begun) / 1000).toFixed(1)} s`);
    };
    await step("install", () =>
      this.#command(folder, [
        "npm",
        "install",
        "--prefer-offline",
        "--no-audit",
        "--no-fund",
        "--no-package-lock",
      ]),
    );
    if (scripts.build) await step("build", () => this.#command(folder, ["npm", "run", "build"]));
    if (scripts.test) await step("test", () => this.#command(folder, ["npm", "test"]));
    for (const page of consumer?.pages ?? []) {
      await step("page", () =>
        this.#visit(`${this.#application.url}/consumers/${name}/${page}`, consumer?.errorName),
      );
    }
    if (scripts.serve) await step("serve", () => this.#serve(folder));
    return times.join(", ");
  }

  /** Runs a command to its end. */
  async #command(folder: string, command: readonly string[]): Promise<void> {
    const program = new Program(folder, command, { SERVER: this.#application.url });
    await program.ended(AbortSignal.timeout(STEP_TIME));
  }

  /** Runs a consumer's own server while its page is visited. */
  async #serve(folder: string): Promise<void> {
    const port = await freePort();
    const program = new Program(folder, ["npm", "run", "serve", "--", "--port", String(port)]);
    try {
      const url = `http://localhost:${port}/`;
      await program.until(() => fetch(url).then(({ ok }) => ok));
      await this.#visit(`${url}?server=${this.#application.url}`);
    } finally {
      await program.stop();
    }
  }

  /** Opens a page, and waits for what it says. */
  async #visit(url: string, errorName?: string): Promise<void> {
    const page = await this.#browser.newPage();
    const problems: string[] = [];
    page.setDefaultTimeout(STEP_TIME / 4);
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("console", (message) => problems.push(message.text()));
    try {
      await page.goto(url);
      const handle = await page.waitForFunction(
        "globalThis.said?.then((said) => ({ said }), (error) => ({ said: String(error?.stack) }))",
      );
      const { said } = (await handle.jsonValue()) as { said: unknown };
      const isExpected =
        Array.isArray(said) &&
        said.length > 0 &&
        said.every((part) => isDeepStrictEqual(part, expected(errorName)));
      if (!isExpected) throw new Error(`The page said ${JSON.stringify(said)}`);
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : error}\n${problems.join("\n")}`);
    } finally {
      await page.close();
    }
  }
}

/** A program with all that it starts, and what it prints. */
class Program {
  readonly #command: string;
  readonly #process;
  #printed = "";
  readonly #end: Promise<number | null>;

  constructor(cwd: string, [file = "", ...args]: readonly string[], env: Record<string, string> = {}) {
    this.#command = [file, ...args].join(" ");
    // in a group of its own, so that what it has started ends with it
    this.#process = spawn(file, args, {
      cwd,
      detached: true,
      env: { ...process.env, CI: "1", NO_COLOR: "1", NEXT_TELEMETRY_DISABLED: "1", ...env },
    });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream.on("data", (text) => {
        this.#printed += text;
      });
    }
    this.#end = new Promise((resolve) => this.#process.once("close", resolve));
  }

  /** Resolves when it has ended well. */
  async ended(signal: AbortSignal): Promise<void> {
    const end = () => this.#kill();
    signal.addEventListener("abort", end);
    const code = await this.#end;
    signal.removeEventListener("abort", end);
    if (code !== 0) throw this.#failure(signal.aborted ? "took too long" : `has failed with ${code}`);
  }

  /** Waits for a condition while it runs. */
  async until(isMet: () => Promise<boolean>): Promise<void> {
    const end = Date.now() + STEP_TIME / 2;
    let hasEnded = false;
    void this.#end.then(() => {
      hasEnded = true;
    });
    while (!(await isMet().catch(() => false))) {
      if (hasEnded || Date.now() > end) throw this.#failure(hasEnded ? "has ended" : "serves nothing");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async stop(): Promise<void> {
    this.#kill();
    await this.#end;
  }

  #kill(): void {
    const { pid } = this.#process;
    try {
      if (pid !== undefined) process.kill(-pid, "SIGKILL");
    } catch {
      // it has ended meanwhile
    }
  }

  #failure(what: string): Error {
    return new Error(`${this.#command} ${what}:\n${this.#printed}`);
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A server that pages of each origin may use. */
function startApplication(folder: string): Promise<Application> {
  return Application.start({
    prepare: (app) => {
      app.use("/consumers", express.static(folder));
      app.use("/socket/token", (_req, res, next) => {
        res.set("Access-Control-Allow-Origin", "*");
        next();
      });
    },
    options: {
      allowedOrigins: () => true,
      authentication: () => ({ name: "alice" }),
      socketController: {
        add: (_auth: unknown, numbers: number[]) => numbers.reduce((sum, number) => sum + number),
      },
    },
  });
}

/** Builds and packs the package. */
function pack(folder: string): void {
  const npm = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync("npm", args, { cwd: ROOT, encoding: "utf8" });
    if (status !== 0) throw new Error(`npm ${args.join(" ")} has failed:\n${stdout}\n${stderr}`);
    return stdout;
  };
  const packed = npm("pack", "--json", "--loglevel=error", "--ignore-scripts", "--pack-destination", folder);
  const [{ filename }] = JSON.parse(packed) as [{ filename: string }];
  renameSync(join(folder, filename), join(folder, "node-token-sockjs.tgz"));
}

async function main(wanted: readonly string[]): Promise<void> {
  const entries = await readdir(HERE, { withFileTypes: true });
  const all = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const unknown = wanted.filter((name) => !all.includes(name));
  if (unknown.length > 0)
    throw new Error(`There is no consumer ${unknown.join(", ")}, but ${all.join(", ")}`);
  const folder = await mkdtemp(join(tmpdir(), "node-token-sockjs-consumers-"));
  const begun = performance.now();
  const failed: string[] = [];
  const application = await startApplication(folder);
  const browser = await launchBrowser();
  try {
    pack(folder);
    const consumers = new Consumers(folder, application, browser);
    // the longest begins first: of those at the end of the alphabet TypeScript is
    const waiting = wanted.length > 0 ? [...wanted] : all.toReversed();
    const work = async () => {
      for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
        try {
          console.log(`✔ ${name}: ${await consumers.run(name)}`);
        } catch (error) {
          failed.push(name);
          console.error(`✘ ${name}: ${error instanceof Error ? error.message : error}`);
        }
        await rm(join(folder, name), { recursive: true, force: true });
      }
    };
    await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, work));
  } finally {
    await browser.close();
    await application.stop();
    await rm(folder, { recursive: true, force: true });
  }
  console.log(`${((performance.now() - begun) / 1000).toFixed(0)} s`);
  if (failed.length === 0) return;
  console.error(`These do not work: ${failed.join(", ")}`);
  process.exitCode = 1;
}

await main(process.argv.slice(2));
