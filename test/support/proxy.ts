import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findHAProxy, findNginx } from "../../scripts/test-requirements.mjs";
import { findFreePort } from "./free-port.js";

/** A program that stands before servers. */
export interface ProxyKind {
  readonly name: string;
  /** The language of its configuration's block in the documents. */
  readonly language: string;
  /** The line by which it listens, as the documents have it. */
  readonly listen: string;
  /** The same at a port of this machine. */
  listenAt(address: string): string;
  find(): string | undefined;
  /** Its configuration with what it needs to run beside others, without root, and with its files in its folder. */
  adapt(configuration: string): string;
  /** How it is started, so that it stays in the foreground. */
  args(file: string, folder: string): string[];
  /** What it prints when it listens. */
  readonly ready: string;
}

/** The servers' addresses, as the documents have them. */
const SERVERS = ["10.0.0.11:3000", "10.0.0.12:3000"];

const HOST = "127.0.0.1";
const ATTEMPTS = 5;

/** What nginx writes into folders of the system unless it is told otherwise. */
const NGINX_TEMPORARY = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];

export const NGINX: ProxyKind = {
  name: "nginx",
  language: "nginx",
  listen: "listen 80;",
  listenAt: (address) => `listen ${address};`,
  find: findNginx,
  adapt: (configuration) =>
    replaceEach(
      configuration,
      "http {",
      [
        "http {",
        "access_log off;",
        // Debian's own file compresses HTML; here it is everything, so that it shows whether that holds up messages
        "gzip on; gzip_types *;",
        ...NGINX_TEMPORARY.map((name) => `${name}_temp_path ${name};`),
      ].join("\n"),
    ),
  args: (file, folder) => [
    ...["-p", folder, "-c", file, "-e", "stderr"],
    ...["-g", `daemon off; pid pid; error_log stderr notice;`],
  ],
  ready: "start worker processes",
};

export const HAPROXY: ProxyKind = {
  name: "HAProxy",
  language: "haproxy",
  listen: "bind :80",
  listenAt: (address) => `bind ${address}`,
  find: findHAProxy,
  adapt: (configuration) => configuration,
  args: (file) => ["-W", "-f", file],
  ready: "Loading success",
};

/**
 * Runs a proxy until the standard input ends, which it does when the process of the tests is gone, in whatever way.
 * Then the proxy, with the processes that it has started, is ended and its folder is removed. It must not inherit that
 * SIGTERM is ignored: HAProxy's workers take that over.
 */
const RUN_UNTIL_INPUT_ENDS = `
  trap '' INT TERM HUP
  folder=$1; shift
  exec 3<&0
  (trap - TERM; exec "$@" 3<&- 2>&1) &
  proxy=$!
  { cat <&3 >/dev/null; kill -TERM $proxy 2>/dev/null; } &
  watcher=$!
  wait $proxy
  kill $watcher 2>/dev/null
  rm -rf "$folder"
`;

/** A proxy before two servers, with a configuration of the documents. */
export class ProxyProcess {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #output: () => string;

  /** Starts it before the servers at two ports of this machine; resolves when it listens. */
  static async start(
    kind: ProxyKind,
    configuration: string,
    ports: readonly number[],
  ): Promise<ProxyProcess> {
    let adapted = kind.adapt(configuration);
    for (const [index, server] of SERVERS.entries()) {
      adapted = replaceEach(adapted, server, `${HOST}:${ports[index]}`);
    }
    for (let attempt = 1; ; attempt++) {
      const port = await findFreePort();
      try {
        return await ProxyProcess.#startAt(
          port,
          kind,
          replaceEach(adapted, kind.listen, kind.listenAt(`${HOST}:${port}`)),
        );
      } catch (error) {
        // another process may have taken the port meanwhile
        if (attempt === ATTEMPTS) throw error;
      }
    }
  }

  static async #startAt(port: number, kind: ProxyKind, configuration: string): Promise<ProxyProcess> {
    const program = kind.find();
    if (!program) throw new Error(`There is no ${kind.name}; see scripts/test-requirements.mjs`);
    const folder = await mkdtemp(join(tmpdir(), "proxy-"));
    // started by root, nginx works as another user
    await chmod(folder, 0o755);
    const file = join(folder, "configuration");
    await writeFile(file, configuration);
    const child = spawn(
      "/bin/sh",
      ["-c", RUN_UNTIL_INPUT_ENDS, "sh", folder, program, ...kind.args(file, folder)],
      { stdio: ["pipe", "pipe", "ignore"] },
    );
    let output = "";
    await new Promise<void>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", () => reject(new Error(`${kind.name} did not start:\n${output}`)));
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        output += text;
        if (output.includes(kind.ready)) resolve();
      });
    });
    return new ProxyProcess(port, child, () => output);
  }

  private constructor(port: number, child: ChildProcess, output: () => string) {
    this.port = port;
    this.#child = child;
    this.#output = output;
  }

  get url(): string {
    return `http://${HOST}:${this.port}`;
  }

  /** What it has printed so far. */
  get output(): string {
    return this.#output();
  }

  /** Ends it, and waits until all its processes are gone. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, "close");
    this.#child.stdin?.end();
    await gone;
  }
}

/** Puts something in the place of a text that has to be there. */
function replaceEach(text: string, wanted: string, replacement: string): string {
  if (!text.includes(wanted)) throw new Error(`The configuration has no "${wanted}"`);
  return text.replaceAll(wanted, replacement);
}
