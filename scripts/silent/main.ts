/**
 * Thousands of sockets that come in and never read: how much memory does that take, and what do others notice of it? See
 * docs/soak.md.
 */
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { Agent } from "node:http";
import { freemem } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { WebSocket } from "ws";
import { startRedis } from "../../test/support/redis-server.js";
import { Child } from "../measured/child.js";
import { type Panel, plot } from "../measured/plot.js";
import { inMib, letGo, percentile } from "../measured/sample.js";
import { SilentClient, type SilentTransport } from "./client.js";
import { now, type Order, POLICIES, type Policy, PROMPT, type State, type Told } from "./messages.js";

const ROOT = join(import.meta.dirname, "../..");
const READERS = 100;
/** How many come in at once. */
const AT_ONCE = 40;
/** Source addresses: each has some 28,000 ports. */
const SOURCES = 8;
/** How many of those that are left read again at the end, by policy, and how long, in milliseconds. */
const AWAKENED = 20;
const AWAKE = 3_000;
/** How long the last messages may take, in milliseconds. */
const LAST_MESSAGES = 5_000;
/** When SockJS has given up polls that never come, in milliseconds. */
const GIVEN_UP = 130_000;
/** How much more heap than at first there may be at the end. */
const HEAP_LEFT = 8 * 1_048_576;

/** Of ten clients, so many by each transport. */
const MIX: readonly SilentTransport[] = [
  ...Array<SilentTransport>(4).fill("raw-websocket"),
  ...Array<SilentTransport>(3).fill("websocket"),
  ...Array<SilentTransport>(2).fill("xhr-streaming"),
  "xhr-polling",
];

const { values } = parseArgs({
  options: {
    sockets: { type: "string", default: "10000" },
    seconds: { type: "string", default: "45" },
    "buffered-bytes": { type: "string", default: "65536" },
    "message-bytes": { type: "string", default: "16384" },
    plot: { type: "string", default: join(ROOT, "docs/silent.svg") },
    json: { type: "string", default: "silent.json" },
  },
});
const [sockets, seconds, bufferedBytes] = [values.sockets, values.seconds, values["buffered-bytes"]].map(
  Number,
) as [number, number, number];

// what the system keeps of what nobody reads is not the process's, and may be more than there is
const sending = Number(readFileSync("/proc/sys/net/ipv4/tcp_wmem", "utf8").trim().split(/\s+/)[2]);
if (sending * sockets > freemem() / 2) {
  throw new Error(
    `The system may buffer ${inMib(sending * sockets)} MiB for ${sockets} sockets: give it less by a network namespace, see docs/soak.md`,
  );
}

interface Point {
  readonly time: number;
  /** In MiB. */
  readonly rss: number;
  readonly heap: number;
  readonly external: number;
  readonly sockets: State["sockets"];
  /** Of messages on the channel of those that read alone, in milliseconds. */
  readonly worst: number;
}

const PANELS: readonly Panel<Point>[] = [
  {
    title: "MiB",
    lines: [
      { name: "resident memory", kind: "second", of: ({ rss }) => rss },
      { name: "heap and buffers", kind: "first", of: ({ heap, external }) => heap + external },
    ],
  },
  {
    title: "sockets",
    lines: POLICIES.map((policy, index) => ({
      name: policy,
      kind: (["first", "second", "third"] as const)[index] ?? "first",
      of: ({ sockets: there }) => there[policy],
    })),
  },
  {
    title: "ms",
    lines: [{ name: "the longest that a message took", kind: "first", of: ({ worst }) => worst }],
  },
];

const redis = await startRedis({ own: true });
const server = new Child<Order, Told>(join(import.meta.dirname, "server.ts"), {
  REDIS_URL: redis.url,
  BUFFERED_BYTES: values["buffered-bytes"],
  MESSAGE_BYTES: values["message-bytes"],
  SECONDS: values.seconds,
});
const { url } = await server.told("url");
const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
const sample = () => server.ask("sample", "sample").then(({ sample: taken }) => taken);

/** How long messages took, in milliseconds, by whether the channel has silent sockets. */
interface Delays {
  prompt: number[];
  shared: number[];
}
let delays: Delays = { prompt: [], shared: [] };
let worst = 0;
const lost: string[] = [];

async function openReader(): Promise<WebSocket> {
  const { token } = (await (await fetch(`${url}/socket/token`)).json()) as { token: string };
  const socket = new WebSocket(`${url.replace(/^http/, "ws")}/sockets/websocket`, {
    perMessageDeflate: false,
  });
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  socket.on("close", (code) => {
    if (!isOver) lost.push(`a reader was closed: ${code}`);
  });
  let replied = () => {};
  socket.on("message", (data) => {
    const { uuid, channel, message } = JSON.parse(String(data)) as {
      uuid?: unknown;
      channel?: string;
      message?: { at: number };
    };
    if (uuid !== undefined) replied();
    if (!message) return;
    const took = (now() - message.at) / 1000;
    if (channel === PROMPT) worst = Math.max(worst, took);
    delays[channel === PROMPT ? "prompt" : "shared"].push(took);
  });
  const ask = (frame: object) =>
    new Promise<void>((resolve) => {
      replied = resolve;
      socket.send(JSON.stringify({ ...frame, uuid: 1 }));
    });
  await ask({ rpc: "auth", token, protocol: 4 });
  for (const channel of [PROMPT, ...POLICIES]) await ask({ rpc: "_subscribe", req: { channel } });
  return socket;
}

const summary = (numbers: number[]) => {
  const sorted = numbers.sort((one, other) => one - other);
  const round = (value: number) => Math.round(value * 10) / 10;
  return {
    messages: sorted.length,
    p50: round(percentile(sorted, 0.5)),
    p99: round(percentile(sorted, 0.99)),
    max: round(sorted.at(-1) ?? 0),
  };
};

type Summary = ReturnType<typeof summary>;

/** Publishes for some time; gives how long messages took, and those of the last third of the time. */
async function measure(): Promise<{ prompt: Summary; shared: Summary; promptAtLast: Summary }> {
  delays = { prompt: [], shared: [] };
  const from = time();
  const publishedBefore = (await server.ask("state", "state")).state.published;
  server.order("publish");
  await delay((seconds * 2000) / 3);
  const atTwoThirds = delays.prompt.length;
  await delay((seconds * 1000) / 3);
  server.order("calm");
  spans.push([from, time()]);
  const expected = READERS * ((await server.ask("state", "state")).state.published - publishedBefore);
  const end = Date.now() + LAST_MESSAGES;
  while (delays.prompt.length < expected && Date.now() < end) await delay(50);
  if (delays.prompt.length !== expected)
    lost.push(`${delays.prompt.length} messages of ${expected} have come`);
  const promptAtLast = summary(delays.prompt.slice(atTwoThirds));
  return { prompt: summary(delays.prompt), shared: summary(delays.shared), promptAtLast };
}

const start = Date.now();
const time = () => (Date.now() - start) / 1000;
const spans: [number, number][] = [];
const points: Point[] = [];
let isOver = false;

async function watch(): Promise<void> {
  while (!isOver) {
    await delay(1000);
    const { state } = await server.ask("state", "state");
    const { rss, heap, external } = state;
    points.push({
      time: time(),
      rss: inMib(rss),
      heap: inMib(heap),
      external: inMib(external),
      sockets: state.sockets,
      worst,
    });
    worst = 0;
  }
}

/** Lets them in, some at a time. */
async function openSilent(): Promise<SilentClient[]> {
  const clients: SilentClient[] = [];
  let next = 0;
  const openOthers = async () => {
    while (next < sockets) {
      const index = next++;
      clients.push(
        await SilentClient.open({
          url,
          agent,
          localAddress: `127.0.0.${2 + (index % SOURCES)}`,
          transport: MIX[index % MIX.length] ?? "websocket",
          channel: POLICIES[Math.floor(index / MIX.length) % POLICIES.length] ?? "close",
        }),
      );
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, openOthers));
  return clients;
}

const systemMib = () => {
  const [, pages = "0"] = /^TCP:.* mem (\d+)/m.exec(readFileSync("/proc/net/sockstat", "utf8")) ?? [];
  return inMib(Number(pages) * 4096);
};

const readers = await Promise.all(Array.from({ length: READERS }, openReader));
// what is compiled once is there before the first measurement
server.order("publish");
await delay(5_000);
server.order("calm");
const before = await sample();
const watching = watch();
console.log(`With ${READERS} readers alone: ${inMib(before.rss)} MiB`);
const alone = await measure();
console.log(alone);

const opening = Date.now();
const silent = await openSilent();
agent.destroy();
console.log(`${silent.length} silent sockets after ${Math.round((Date.now() - opening) / 1000)} s`);
const idle = await sample();
console.log(`${inMib(idle.heap)} MiB of heap, ${inMib(idle.rss)} MiB resident`);
const beside = await measure();
console.log(beside);
const { state: atEnd } = await server.ask("state", "state");
const system = systemMib();

/** What those read that read again: of a policy that drops, some, and the newest. */
async function awaken(policy: Policy) {
  const some = silent
    .filter(({ channel, transport }) => channel === policy && transport === "raw-websocket")
    .slice(0, AWAKENED);
  const read = await Promise.all(some.map((client) => client.readFor(AWAKE)));
  const newest = Math.max(...read.flat());
  return { sockets: some.length, withNewest: read.filter((seqs) => seqs.at(-1) === newest).length, newest };
}

const awakened = { dropOldest: await awaken("dropOldest"), latest: await awaken("latest") };
isOver = true;
await watching;
for (const client of silent) client.end();
const most = Math.max(...points.map(({ rss }) => rss));
const mostBuffers = Math.max(...points.map(({ heap, external }) => heap + external));

const faults = [...lost];
if (atEnd.sockets.close > READERS) faults.push(`${atEnd.sockets.close - READERS} were not closed`);
// what waits for each in the process, what SockJS and the system's calls have on their way, and what the socket itself is
const bound = inMib(before.rss) + inMib(sockets * (2 * bufferedBytes + 50_000));
if (most > bound) faults.push(`${most} MiB are more than ${bound}`);
for (const { withNewest, sockets: count } of Object.values(awakened)) {
  if (withNewest < count) faults.push(`${count - withNewest} have not got the newest message`);
}
const results = {
  node: process.version,
  sockets: silent.length,
  seconds,
  bufferedBytes,
  messageBytes: Number(values["message-bytes"]),
  alone,
  beside,
  rss: { alone: inMib(before.rss), idle: inMib(idle.rss), most },
  heap: { alone: inMib(before.heap), idle: inMib(idle.heap) },
  mostHeapAndBuffers: Math.round(mostBuffers),
  system,
  leftByPolicy: Object.fromEntries(
    POLICIES.map((policy) => [policy, Math.max(0, atEnd.sockets[policy] - READERS)]),
  ),
  awakened,
  bound,
};
console.log(JSON.stringify(results, null, 2));

for (const reader of readers) reader.terminate();
const after = await letGo(sample, ({ sockets: there }) => there === 0, GIVEN_UP);
console.log(`At the end: ${inMib(after.heap)} MiB of heap, ${inMib(after.rss)} MiB resident`);
if (after.heap > before.heap + HEAP_LEFT)
  faults.push(`${inMib(after.heap - before.heap)} MiB more heap than at first`);
// SockJS waits on for polls that do not come, so that how it ends says nothing
await server.stop("stop");
await redis.stop();
await writeFile(values.json, JSON.stringify({ ...results, after, faults, points, spans }, null, 2));
const title = `${sockets} sockets that never read beside ${READERS} that do, Node.js ${process.version}`;
if (values.plot)
  await writeFile(values.plot, plot(title, PANELS, points, { what: "messages are published", spans }));
console.log(faults.length === 0 ? "Bounded, and on time." : `FAILED: ${faults.join("; ")}`);
process.exitCode = faults.length === 0 ? 0 : 1;
