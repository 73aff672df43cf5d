import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { until } from "./condition.js";
import { findFreePort } from "./free-port.js";
import { RedisProcess, type RedisServer, startRedis } from "./redis-server.js";

const HOST = "127.0.0.1";
const SENTINELS = 3;
const ATTEMPTS = 5;

/** When a Sentinel takes the primary for dead, in milliseconds: never by itself, and soon when it was killed. */
const NEVER = 600_000;
const SOON = 300;

/** After how long a failover is given up and tried again, in milliseconds. */
const FAILOVER_TIMEOUT = 3_000;

/** A primary, its replica, and the Sentinels that watch over them. */
export class SentinelSystem {
  /** The primary's name among the Sentinels. */
  readonly name = "primary";
  readonly primary: RedisServer;
  readonly replica: RedisServer;
  readonly sentinels: readonly { readonly host: string; readonly port: number }[];
  readonly #processes: readonly RedisProcess[];

  /** Resolves when the replica follows the primary and all Sentinels know each other. */
  static async start(): Promise<SentinelSystem> {
    const [primary, replica] = [await startRedis({ own: true }), await startRedis({ own: true })];
    await follow(replica, primary);
    for (let attempt = 1; ; attempt++) {
      const ports = await findFreePorts(SENTINELS);
      const starting = ports.map((port) => startSentinel(port, ports, primary.port, replica.port));
      const started = await Promise.allSettled(starting);
      const processes = started.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
      if (processes.length === SENTINELS) return new SentinelSystem(primary, replica, ports, processes);
      await Promise.all(processes.map((one) => one.stop()));
      // another process may have taken a port meanwhile
      if (attempt === ATTEMPTS) throw new Error("The Sentinels did not start");
    }
  }

  private constructor(
    primary: RedisServer,
    replica: RedisServer,
    ports: readonly number[],
    processes: readonly RedisProcess[],
  ) {
    this.primary = primary;
    this.replica = replica;
    this.sentinels = ports.map((port) => ({ host: HOST, port }));
    this.#processes = processes;
  }

  /** Kills the primary; resolves when the Sentinels have put the replica in its place. */
  async failOver(): Promise<void> {
    const watchers = this.sentinels.map((sentinel) => new Redis({ ...sentinel, protocol: 2 }));
    try {
      const [watcher] = watchers;
      if (!watcher) throw new Error("There are no Sentinels");
      for (const each of watchers) {
        await each.call("SENTINEL", "SET", this.name, "down-after-milliseconds", String(SOON));
      }
      await watcher.subscribe("+switch-master");
      const switched = once(watcher, "message");
      await this.primary.stop();
      await switched;
    } finally {
      for (const each of watchers) each.disconnect();
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((one) => one.stop()));
    await Promise.all([this.primary.stop(), this.replica.stop()]);
  }
}

/** Lets a server follow another one; resolves when it has all that the other one has. */
export async function follow(replica: RedisServer, primary: RedisServer): Promise<void> {
  const [above, below] = [primary, replica].map(({ host, port }) => new Redis({ host, port }));
  if (!above || !below) throw new Error("There are two");
  try {
    // at once, and without files
    await above.config("SET", "repl-diskless-sync-delay", "0");
    await below.config("SET", "repl-diskless-load", "on-empty-db");
    await below.replicaof(primary.host, primary.port);
    await until(async () => (await below.info("replication")).includes("master_link_status:up"));
  } finally {
    above.disconnect();
    below.disconnect();
  }
}

async function findFreePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await findFreePort());
  return [...ports];
}

/** A Sentinel that knows from the start what it would find out in the course of some seconds. */
function startSentinel(
  port: number,
  ports: readonly number[],
  primary: number,
  replica: number,
): Promise<RedisProcess> {
  const others = ports.filter((other) => other !== port);
  const lines = [
    `port ${port}`,
    `bind ${HOST}`,
    `sentinel myid ${idOf(port)}`,
    `sentinel monitor primary ${HOST} ${primary} 2`,
    `sentinel down-after-milliseconds primary ${NEVER}`,
    `sentinel failover-timeout primary ${FAILOVER_TIMEOUT}`,
    `sentinel known-replica primary ${HOST} ${replica}`,
    ...others.map((other) => `sentinel known-sentinel primary ${HOST} ${other} ${idOf(other)}`),
  ];
  return RedisProcess.start((folder) => {
    const file = join(folder, "sentinel.conf");
    writeFileSync(file, [...lines, `dir ${folder}`, ""].join("\n"));
    return [file, "--sentinel"];
  }, "+monitor");
}

/** A Sentinel's id: 40 hexadecimal digits. */
function idOf(port: number): string {
  return port.toString(16).padStart(40, "0");
}
