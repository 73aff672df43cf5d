import { setTimeout as delay } from "node:timers/promises";
import { channelOf, makeMessage } from "../messages.js";
import { command, RawRedis } from "./raw-redis.js";

/** Bytes of a message, as in most of the benchmark. */
const SIZE = 100;

export const CHANNEL = channelOf(0, 1);
export const MESSAGE = JSON.stringify(makeMessage(1, SIZE));
export const PUBLISH = command("PUBLISH", CHANNEL, MESSAGE);
export const SHARD_PUBLISH = command("SPUBLISH", CHANNEL, MESSAGE);

/** How long Redis may take to get somewhere, in milliseconds. */
const PATIENCE = 20_000;

/** For how long a node is watched that has nothing to do, in milliseconds. */
const REST = 500;

/** A Redis server whose work is measured. */
export class RedisNode {
  readonly control: RawRedis;
  readonly #port: number;
  /** What it takes of a core while it has nothing to do. */
  #atRest = 0;

  static async open(port: number): Promise<RedisNode> {
    return new RedisNode(await RawRedis.open(port), port);
  }

  static async watch(port: number): Promise<RedisNode> {
    const node = await RedisNode.open(port);
    await node.rest();
    return node;
  }

  private constructor(control: RawRedis, port: number) {
    this.control = control;
    this.#port = port;
  }

  async rest(): Promise<void> {
    this.#atRest = 0;
    const [before, start] = [await this.#cpu(), performance.now()];
    await delay(REST);
    this.#atRest = ((await this.#cpu()) - before) / (performance.now() - start);
  }

  /** The CPU time of one of so many units of work, in microseconds, less what it takes at rest. */
  async measure(units: number, work: () => Promise<unknown>): Promise<{ cpu: number }> {
    const [before, start] = [await this.#cpu(), performance.now()];
    await work();
    const after = await this.#cpu();
    const rest = this.#atRest * (performance.now() - start);
    return { cpu: Math.max(0, after - before - rest) / units };
  }

  /** Publishes from so many connections, each of which waits for the replies, to so many subscribers. */
  async publish(
    publishers: number,
    messages: number,
    subscribers: number,
    text = PUBLISH,
    atOnce = 1,
  ): Promise<{ cpu: number; copyBytes: number }> {
    const readers = await this.#connect(subscribers);
    await Promise.all(readers.map((reader) => reader.request(command("SUBSCRIBE", CHANNEL), 6)));
    const writers = await this.#connect(publishers);
    try {
      const [first] = readers;
      const before = first?.received ?? 0;
      await writers[0]?.request(text, 1);
      await untilReceived(readers, before + 1);
      const copyBytes = first ? first.received - before : 0;
      const all = before + copyBytes * (messages + 1);
      const { cpu } = await this.measure(messages, async () => {
        const batch = text.repeat(atOnce);
        await inTurn(writers, Math.ceil(messages / atOnce), () => batch, atOnce);
        await untilReceived(readers, all);
      });
      return { cpu, copyBytes };
    } finally {
      for (const line of [...readers, ...writers]) line.close();
    }
  }

  /** Stores tokens, and takes them. */
  async token(connections: number, tokens: number): Promise<{ cpu: number }> {
    const lines = await this.#connect(connections);
    const [life, value] = ["30000", JSON.stringify({ auth: { name: "bench" } })];
    try {
      return await this.measure(tokens, async () => {
        await inTurn(lines, tokens, (index) => command("SET", `token-${index}`, value, "PX", life), 1);
        await inTurn(lines, tokens, (index) => command("GETDEL", `token-${index}`), 2);
      });
    } finally {
      for (const line of lines) line.close();
    }
  }

  /** Subscribes to channels that nobody else is in, as a server does that is back. */
  async subscribe(channels: number): Promise<{ cpu: number; bytes: number }> {
    const [line] = await this.#connect(1);
    const memory = async () => Number(await this.control.figure("INFO memory", "used_memory"));
    const before = await memory();
    try {
      const { cpu } = await this.measure(channels, async () => {
        for (let first = 0; first < channels; first += 1000) {
          const count = Math.min(1000, channels - first);
          const names = Array.from({ length: count }, (_, index) => `user-${first + index}`);
          await line?.request(names.map((name) => command("SUBSCRIBE", name)).join(""), 6 * count);
        }
      });
      return { cpu, bytes: ((await memory()) - before) / channels };
    } finally {
      line?.close();
    }
  }

  /** How many messages have come from other nodes. */
  async taken(): Promise<number> {
    const text = await this.control.text("CLUSTER INFO");
    return Number(/^cluster_stats_messages_publish_received:(\d+)/m.exec(text)?.[1] ?? 0);
  }

  async untilTaken(messages: number): Promise<void> {
    await until(async () => (await this.taken()) >= messages);
  }

  close(): void {
    this.control.close();
  }

  #connect(count: number): Promise<RawRedis[]> {
    return Promise.all(Array.from({ length: count }, () => RawRedis.open(this.#port)));
  }

  /** Microseconds of CPU time since its start. */
  async #cpu(): Promise<number> {
    const text = await this.control.text("INFO cpu");
    const of = (name: string) => Number(new RegExp(`^${name}:([\\d.]+)`, "m").exec(text)?.[1]);
    return (of("used_cpu_user") + of("used_cpu_sys")) * 1e6;
  }
}

/** Sends so many commands over connections, each of which waits for the reply. */
async function inTurn(
  connections: readonly RawRedis[],
  count: number,
  commandOf: (index: number) => string,
  lines: number,
): Promise<void> {
  let next = 0;
  await Promise.all(
    connections.map(
      (connection) =>
        new Promise<void>((resolve) => {
          const send = () => {
            if (next >= count) return resolve();
            connection.send(commandOf(next++), lines, send);
          };
          send();
        }),
    ),
  );
}

/** Resolves when each of some subscribers has received so many bytes. */
async function untilReceived(readers: readonly RawRedis[], bytes: number): Promise<void> {
  await Promise.all(
    readers.map(
      (reader) =>
        new Promise<void>((resolve) => {
          const check = () => {
            if (reader.received >= bytes) resolve();
          };
          reader.onReceived = check;
          check();
        }),
    ),
  );
}

/** Asks from time to time until something is so. Throws where it takes too long. */
export async function until(isReached: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE;
  while (!(await isReached())) {
    if (performance.now() > end) throw new Error("Redis does not get there");
    await delay(50);
  }
}
