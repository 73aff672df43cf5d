import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { CONTENDERS, type ContenderDefinition } from "./contenders.js";
import type { Batch, Order, Setup, Told } from "./messages.js";

const HERE = import.meta.dirname;

/** Where the processes' scripts are: at the depth of their sources, for the paths in them. */
const BUILT = join(HERE, "build");

/** How long a process may take to start, or to answer, in milliseconds. */
const PATIENCE = 60_000;

/** The core of the servers, and those of all else; none where there is just one, or no `taskset`. */
const [coreOfServers, ...otherCores] = hasTaskset() ? allowedCores() : [];

/** Leaves a core to the servers, for this process and all that it starts. */
export function leaveTheCoreOfServers(): void {
  if (otherCores.length === 0) return;
  spawnSync("taskset", ["-acp", otherCores.join(","), String(process.pid)], { stdio: "ignore" });
}

function hasTaskset(): boolean {
  return spawnSync("taskset", ["--version"], { stdio: "ignore" }).status === 0;
}

/** The cores that this process may run on, as Linux tells. */
function allowedCores(): number[] {
  const path = "/proc/self/status";
  const list = existsSync(path) && /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync(path, "utf8"))?.[1];
  return (list || "").split(",").flatMap((range) => {
    const [first = 0, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}

/** Compiles what runs in processes of its own, so that no compiler runs in these. */
export async function compile(): Promise<void> {
  const { outputFiles } = await build({
    write: false,
    entryPoints: [...CONTENDERS.map(({ script }) => `contenders/${script}`), "load/publisher.ts"].map(
      (path) => join(HERE, path),
    ),
    absWorkingDir: HERE,
    outdir: BUILT,
    entryNames: "[name]",
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    logLevel: "warning",
  });
  mkdirSync(BUILT, { recursive: true });
  for (const { path, contents } of outputFiles) {
    // whole at any time: processes of another run may be starting from it
    const unfinished = `${path}.${process.pid}`;
    writeFileSync(unfinished, contents);
    renameSync(unfinished, path);
  }
}

interface SpawnOptions {
  /** The name of a compiled script. */
  readonly script: string;
  readonly args?: readonly string[];
  readonly nodeOptions?: readonly string[];
  readonly env?: Record<string, string>;
  readonly onCoreOfServers?: boolean;
}

function start({
  script,
  args = [],
  nodeOptions = [],
  env = {},
  onCoreOfServers,
}: SpawnOptions): ChildProcess {
  const isPinned = onCoreOfServers && otherCores.length > 0;
  const pin = isPinned ? ["taskset", "-c", String(coreOfServers)] : [];
  const [command = "", ...rest] = [
    ...pin,
    process.execPath,
    ...nodeOptions,
    "--no-deprecation",
    join(BUILT, script),
    ...args,
  ];
  return spawn(command, rest, {
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  if (child.connected) child.disconnect();
  const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE);
  await exit;
  clearTimeout(timer);
}

/** A contender's server. */
export class ServerProcess {
  readonly #child: ChildProcess;
  readonly #name: string;
  port = 0;

  static async start(
    contender: Pick<ContenderDefinition, "name" | "script">,
    setup: Setup,
  ): Promise<ServerProcess> {
    const child = start({
      script: contender.script.replace(/ts$/, "js"),
      nodeOptions: ["--expose-gc"],
      env: { SETUP: JSON.stringify(setup), NODE_ENV: "production" },
      onCoreOfServers: true,
    });
    const server = new ServerProcess(child, contender.name);
    ({ port: server.port } = await server.#told("ready"));
    return server;
  }

  private constructor(child: ChildProcess, name: string) {
    this.#child = child;
    this.#name = name;
  }

  publish(batch: Batch): void {
    this.#order({ type: "publish", batch });
  }

  /** Publishes a batch again and again for so long, once at least, each time when the one before is taken; resolves with the number of messages. */
  async flood(batch: Batch, milliseconds = 0): Promise<number> {
    const told = this.#told("published");
    this.#order({ type: "flood", batch, milliseconds });
    return (await told).messages;
  }

  usage(): Promise<{ cpu: number; rss: number }> {
    const told = this.#told("usage");
    this.#order({ type: "usage" });
    return told;
  }

  memory(): Promise<{ rss: number; heap: number }> {
    const told = this.#told("memory");
    this.#order({ type: "memory" });
    return told;
  }

  /** Begins to watch its event loop, or ends that: resolves with the longest time for which it stood still, in milliseconds. */
  async watch(): Promise<number> {
    const told = this.#told("watched");
    this.#order({ type: "watch" });
    return (await told).longest;
  }

  /** Lets it call each client; resolves with the number of calls. */
  async call(outstanding: number, milliseconds: number): Promise<number> {
    const told = this.#told("called");
    this.#order({ type: "call", outstanding, milliseconds });
    return (await told).calls;
  }

  /** Begins a CPU profile, or writes the one that has begun into a file. */
  async profile(file?: string): Promise<void> {
    const told = this.#told("profiled");
    this.#order({ type: "profile", ...(file ? { file } : {}) });
    await told;
  }

  stop(): Promise<void> {
    return end(this.#child);
  }

  /** Ends it as a crash of the machine would, without a word to anybody. */
  async kill(): Promise<void> {
    const exit = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exit;
  }

  #order(order: Order): void {
    this.#child.send(order);
  }

  #told<Type extends Told["type"]>(type: Type): Promise<Extract<Told, { type: Type }>> {
    return new Promise((resolve, reject) => {
      const finish = (error?: Error) => {
        clearTimeout(timer);
        this.#child.off("message", onMessage).off("exit", onExit);
        if (error) reject(error);
      };
      const onExit = () => finish(new Error(`The server of ${this.#name} has ended`));
      const onMessage = (told: Told) => {
        if (told.type !== type) return;
        finish();
        resolve(told as Extract<Told, { type: Type }>);
      };
      const timer = setTimeout(() => finish(new Error(`${this.#name} does not answer: ${type}`)), PATIENCE);
      this.#child.on("message", onMessage).once("exit", onExit);
    });
  }
}

/** The process that publishes through Redis. */
export class Publisher {
  readonly #child: ChildProcess;

  static async start(redisPort: number, dialect: string): Promise<Publisher> {
    const child = start({ script: "publisher.js", args: [String(redisPort), dialect] });
    await once(child, "message", { signal: AbortSignal.timeout(PATIENCE) });
    return new Publisher(child);
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  publish(batch: Batch): void {
    this.#child.send(batch);
  }

  stop(): Promise<void> {
    return end(this.#child);
  }
}
