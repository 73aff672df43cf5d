import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findRedisServer, isRedisGiven } from "../../scripts/test-requirements.mjs";
import type { Certificate } from "./certificate.js";
import { findFreePort } from "./free-port.js";
import type { Host } from "./network.js";

/** A Redis server for tests: one of their own, or the one that `REDIS_HOST` and `REDIS_PORT` name. */
export interface RedisServer {
  readonly host: string;
  readonly port: number;
  /** `redis://host:port` */
  readonly url: string;
  /** Whether it may be stopped and started: whether it is the tests' own. */
  readonly own: boolean;
  /** Kills it, as a crash would; resolves when it is gone. Does nothing where it is not the tests' own. */
  stop(): Promise<void>;
  /** Starts it again on the same port, empty; resolves when it serves. */
  start(): Promise<void>;
}

export interface RedisServerOptions {
  /** Starts one in any case, for tests that stop it. Default false. */
  own?: boolean;
  /** Starts one there. */
  host?: Host;
  /** Settings of one of the tests' own, as in `redis.conf`. */
  settings?: Settings;
  /** Has one of the tests' own speak nothing but TLS. */
  certificate?: Certificate;
}

/** A setting may have several words. */
type Settings = Readonly<Record<string, string | number | readonly string[]>>;

/** Whether `startRedis({ own: true })` can work on this machine. */
export const canStartRedis = findRedisServer() !== undefined;

const HOST = "127.0.0.1";

/** The port on a host where nothing else is. */
const PORT = 7000;

const ATTEMPTS = 5;

/**
 * Runs a server until the standard input ends, which it does when the process of the tests is gone, in
 * whatever way. Then the server is killed and its folder is removed. A signal to the
 * whole group of processes, as Ctrl+C sends it, changes nothing in that.
 */
const RUN_UNTIL_INPUT_ENDS = `
  trap '' INT TERM HUP
  folder=$1; shift
  exec 3<&0
  "$@" 3<&- 2>&1 &
  server=$!
  { cat <&3 >/dev/null; kill -9 $server 2>/dev/null; } &
  watcher=$!
  wait $server
  kill $watcher 2>/dev/null
  rm -rf "$folder"
`;

/** Starts a Redis server, or takes the given one; resolves when it serves. */
export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const { host } = options;
  if (host) return started(new OwnServer(PORT, options));
  if (isRedisGiven() && !options.own) return givenServer();
  for (let attempt = 1; ; attempt++) {
    try {
      return await started(new OwnServer(await findFreePort(), options));
    } catch (error) {
      // another process may have taken the port meanwhile
      if (attempt === ATTEMPTS) throw error;
    }
  }
}

function givenServer(): RedisServer {
  const { REDIS_HOST: host = HOST, REDIS_PORT: port = "6379" } = process.env;
  const nothing = async () => {};
  return {
    host,
    port: Number(port),
    url: `redis://${host}:${port}`,
    own: false,
    stop: nothing,
    start: nothing,
  };
}

async function started(server: OwnServer): Promise<OwnServer> {
  await server.start();
  return server;
}

/** A process of the Redis program, in a folder of its own. */
export class RedisProcess {
  readonly #child: ChildProcess;

  /** Starts one, behind a `prefix` where it is to run in a network of its own; resolves when it has printed that it is ready. */
  static async start(
    makeArgs: (folder: string) => string[],
    ready: string,
    prefix: readonly string[] = [],
  ): Promise<RedisProcess> {
    const program = findRedisServer();
    if (!program) throw new Error("There is no redis-server and no valkey-server on the PATH");
    const folder = await mkdtemp(join(tmpdir(), "redis-server-"));
    const command = [...prefix, program, ...makeArgs(folder)];
    const child = spawn("/bin/sh", ["-c", RUN_UNTIL_INPUT_ENDS, "sh", folder, ...command], {
      stdio: ["pipe", "pipe", "ignore"],
    });
    await untilPrinted(child, ready);
    // a server that a test forgets keeps no process alive, and dies with it
    setReferences(child, "unref");
    return new RedisProcess(child);
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Kills it; resolves when it is gone. */
  async stop(): Promise<void> {
    if (!this.isRunning) return;
    setReferences(this.#child, "ref");
    const gone = once(this.#child, "close");
    this.#child.stdin?.end();
    await gone;
  }
}

class OwnServer implements RedisServer {
  readonly host: string;
  readonly port: number;
  readonly own = true;
  readonly #prefix: readonly string[];
  readonly #settings: Settings;
  readonly #certificate: Certificate | undefined;
  #process: RedisProcess | undefined;

  constructor(port: number, { host, settings = {}, certificate }: RedisServerOptions) {
    this.port = port;
    this.#settings = settings;
    this.#certificate = certificate;
    this.host = host?.address ?? HOST;
    this.#prefix = host?.prefix ?? [];
  }

  get url(): string {
    return `redis://${this.host}:${this.port}`;
  }

  async start(): Promise<void> {
    if (this.#process?.isRunning) return;
    const makeArgs = (folder: string) => {
      const settings: Settings = {
        bind: this.host,
        port: this.port,
        dir: folder,
        save: "",
        appendonly: "no",
        daemonize: "no",
        // it listens on no address but these, of this machine or of a network for tests
        "protected-mode": "no",
        ...this.#settings,
        ...(this.#certificate && tlsSettings(this.port, folder, this.#certificate)),
      };
      return Object.entries(settings).flatMap(([name, value]) => [
        `--${name}`,
        ...[value].flat().map(String),
      ]);
    };
    this.#process = await RedisProcess.start(makeArgs, "Ready to accept connections", this.#prefix);
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
  }
}

function tlsSettings(port: number, folder: string, { cert, key }: Certificate): Settings {
  const [certFile, keyFile] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  writeFileSync(certFile, cert);
  writeFileSync(keyFile, key);
  return {
    port: 0,
    "tls-port": port,
    "tls-cert-file": certFile,
    "tls-key-file": keyFile,
    "tls-auth-clients": "no",
  };
}

async function untilPrinted(child: ChildProcess, ready: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    let output = "";
    child.once("error", reject);
    child.once("close", () => reject(new Error(`The Redis server did not start:\n${output}`)));
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (output.includes(ready)) resolve();
    });
  });
  child.stdout?.removeAllListeners("data").resume();
}

function setReferences(child: ChildProcess, action: "ref" | "unref"): void {
  child[action]();
  for (const stream of [child.stdin, child.stdout]) (stream as Socket | null)?.[action]();
}
