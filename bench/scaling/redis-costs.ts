import { loadavg } from "node:os";
import { encodeMessage } from "../../lib/shared/frame-encoders.js";
import { findFreePort } from "../../test/support/free-port.js";
import { RedisProcess, startRedis } from "../../test/support/redis-server.js";
import { machine } from "../versions.js";
import type { Constant, Constants } from "./constants.js";
import { CHANNEL, MESSAGE, PUBLISH, RedisNode, SHARD_PUBLISH, until } from "./redis-node.js";

/** How much is done. */
export interface RedisScale {
  readonly messages: number;
  /** To so many subscribers. */
  readonly copied: number;
  readonly subscribers: number;
  readonly fewSubscribers: number;
  readonly publishers: number;
  readonly channels: number;
  /** How often each is measured; the median counts. */
  readonly times: number;
}

export const REDIS_SCALE: RedisScale = {
  messages: 30_000,
  copied: 3_000,
  subscribers: 100,
  fewSubscribers: 10,
  publishers: 50,
  channels: 20_000,
  times: 3,
};

/** How many commands are sent at once where connections do not matter. */
const AT_ONCE = 10;

const NODES = 3;
const ATTEMPTS = 5;
const SLOTS = 16_384;

/** Measures what Redis' own work costs, on servers of its own: CPU time as `INFO cpu` tells. */
export async function measureRedis(scale: RedisScale = REDIS_SCALE): Promise<Constants> {
  const [loadAverage = 0] = loadavg();
  const date = new Date().toISOString().slice(0, 10);
  const constants: Record<string, Constant> = {};
  let versions = "";
  const add = (name: string, unit: string, title: string, from: string, value: number) => {
    const measured = { date, machine: machine(), loadAverage, versions };
    constants[name] = { value: Number(value.toPrecision(4)), unit, title, from, measured };
  };

  const server = await startRedis({ own: true });
  const node = await RedisNode.watch(server.port);
  try {
    versions = `Redis ${await node.control.figure("INFO server", "redis_version")}`;
    const { messages, copied, subscribers, fewSubscribers, publishers, channels, times } = scale;
    const measure = (connections: number, count: number, readers: number) =>
      median(times, () => node.publish(connections, count, readers));
    const alone = await measure(1, messages, 0);
    const publish = await measure(publishers, messages, 0);
    const many = await measure(1, copied, subscribers);
    const few = await measure(1, copied, fewSubscribers);
    const manyInBursts = await measure(publishers, copied, subscribers);
    const copy = (many.cpu - alone.cpu) / subscribers;
    const one = "1 connection that waits for each reply";
    const several = `${publishers} connections that wait for each reply`;
    add("publish", "µs", "`PUBLISH` to nobody", several, publish.cpu);
    add(
      "copy",
      "µs",
      "a copy to one server, written by itself",
      `${one}; ${subscribers} subscribers, less none`,
      copy,
    );
    add(
      "burstCopy",
      "µs",
      "a copy among several for the same server",
      `${several}; ${subscribers} subscribers, less none`,
      (manyInBursts.cpu - publish.cpu) / subscribers,
    );
    add("publishAlone", "µs", "`PUBLISH` to nobody, on a Redis that is mostly idle", one, alone.cpu);
    add("publishToFew", "µs", `the same to ${fewSubscribers} servers`, one, few.cpu);
    add("copyBytes", "bytes", "a copy of a message of 100 B", "received by a subscriber", many.copyBytes);
    const frame = Buffer.byteLength(encodeMessage(CHANNEL, MESSAGE));
    add("frameBytes", "bytes", "the same as a WebSocket frame", "encoded", frame + (frame < 126 ? 2 : 4));
    const { cpu: token } = await median(times, () => node.token(publishers, Math.round(messages / 2)));
    add("token", "µs", "`SET` and `GETDEL` of a token", several, token);
    const subscribed = await node.subscribe(channels);
    add(
      "subscribe",
      "µs",
      "`SUBSCRIBE`",
      `${channels.toLocaleString("en")} channels, a thousand at once`,
      subscribed.cpu,
    );
    add("subscribed", "bytes", "memory of a channel with one subscriber", "the same", subscribed.bytes);
    await measureCluster(scale, add);
  } finally {
    node.close();
    await server.stop();
  }
  return constants;
}

async function measureCluster(
  { messages, publishers, times }: RedisScale,
  add: (name: string, unit: string, title: string, from: string, value: number) => void,
): Promise<void> {
  const processes: RedisProcess[] = [];
  const nodes: RedisNode[] = [];
  try {
    for (let index = 0; index < NODES; index++) {
      const { process, port, bus } = await startMaster();
      processes.push(process);
      const node = await RedisNode.open(port);
      const { control } = node;
      await control.text(`CLUSTER ADDSLOTSRANGE ${firstSlot(index)} ${firstSlot(index + 1) - 1}`);
      await control.text(`CLUSTER SET-CONFIG-EPOCH ${index + 1}`);
      await nodes[0]?.control.text(`CLUSTER MEET 127.0.0.1 ${port} ${bus}`);
      nodes.push(node);
    }
    for (const { control } of nodes) {
      await until(async () => {
        const text = await control.text("CLUSTER INFO");
        return text.includes("cluster_state:ok") && text.includes(`cluster_known_nodes:${NODES}`);
      });
    }
    const slot = Number(await nodes[0]?.control.text(`CLUSTER KEYSLOT ${CHANNEL}`));
    const owner = nodes.findLast((_, index) => firstSlot(index) <= slot);
    const others = nodes.filter((node) => node !== owner);
    if (!owner) throw new Error("Nobody owns the channel's slot");
    for (const node of nodes) await node.rest();
    const entry: number[] = [];
    const received: number[] = [];
    const alone: number[] = [];
    for (let time = 0; time < times; time++) {
      const before = await Promise.all(others.map((node) => node.taken()));
      const publishing = async () => {
        entry.push((await owner.publish(1, messages, 0, PUBLISH, AT_ONCE)).cpu);
        for (const [index, node] of others.entries()) await node.untilTaken((before[index] ?? 0) + messages);
      };
      const measuring = others.reduce(
        (work, node) => async () => {
          received.push((await node.measure(messages, work)).cpu);
        },
        publishing,
      );
      await measuring();
      alone.push((await owner.publish(1, messages, 0, SHARD_PUBLISH, AT_ONCE)).cpu);
    }
    const cluster = `a cluster of ${NODES}; 1 connection that sends ${AT_ONCE} at once`;
    const send = (middle(entry) - middle(alone)) / (NODES - 1);
    add(
      "busSend",
      "µs",
      "handing a message to one other node of a cluster",
      `${cluster}: \`PUBLISH\` less \`SPUBLISH\``,
      Math.max(0, send),
    );
    add("busReceive", "µs", "taking it there", cluster, middle(received));
    const sharded = await median(times, () => owner.publish(publishers, messages, 0, SHARD_PUBLISH));
    const several = `a cluster of ${NODES}; ${publishers} connections that wait for each reply`;
    add("shardPublish", "µs", "`SPUBLISH` to nobody", several, sharded.cpu);
  } finally {
    for (const node of nodes) node.close();
    await Promise.all(processes.map((process) => process.stop()));
  }
}

function firstSlot(index: number): number {
  return Math.round((index * SLOTS) / NODES);
}

async function startMaster(): Promise<{ process: RedisProcess; port: number; bus: number }> {
  for (let attempt = 1; ; attempt++) {
    const [port, bus] = [await findFreePort(), await findFreePort()];
    try {
      const settings = (folder: string) => clusterSettings(folder, port, bus);
      return { process: await RedisProcess.start(settings, "Ready to accept"), port, bus };
    } catch (error) {
      // another process may have taken a port meanwhile
      if (attempt === ATTEMPTS) throw error;
    }
  }
}

function clusterSettings(folder: string, port: number, bus: number): string[] {
  const settings = {
    bind: "127.0.0.1",
    port,
    dir: folder,
    save: "",
    appendonly: "no",
    "cluster-enabled": "yes",
    "cluster-port": bus,
  };
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
}

/** Does something so often, and gives the one that took the median. */
async function median<Result extends { readonly cpu: number }>(
  times: number,
  measure: () => Promise<Result>,
): Promise<Result> {
  const results = [await measure()];
  while (results.length < times) results.push(await measure());
  results.sort((a, b) => a.cpu - b.cpu);
  return results[Math.floor(results.length / 2)] ?? measure();
}

function middle(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
