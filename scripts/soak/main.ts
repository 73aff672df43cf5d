/**
 * Many sockets that come, go, call and publish, for a long time, while Redis is restarted now and then: does the
 * server keep anything? See docs/soak.md.
 */
import { setMaxListeners } from "node:events";
import { writeFile } from "node:fs/promises";
import { Agent } from "node:http";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { startRedis } from "../../test/support/redis-server.js";
import { Child } from "../measured/child.js";
import { type Panel, plot } from "../measured/plot.js";
import { inMib, leftOver, letGo, percentile } from "../measured/sample.js";
import { live, SoakClient, type Surroundings, Tally } from "./client.js";
import type { Order, Told } from "./messages.js";

const ROOT = join(import.meta.dirname, "../..");
const MIB = 1_048_576;

/** How much more heap than at first there may be at the end, when all clients are gone: code that was compiled. */
const HEAP_LEFT = 4 * MIB;
/** How much more heap the last third of the time may need than the second. */
const HEAP_GROWTH = 1.1;
/** How long Redis is away, in milliseconds. */
const AWAY = 2_000;
/** Clients that read while others do not. */
const PROMPT = 100;

/** What was measured at one time, in seconds since the start. */
interface Point {
  readonly time: number;
  /** In MiB. */
  readonly heap: number;
  readonly rss: number;
  readonly sockets: number;
  /** Requests of clients since the last time, by second. */
  readonly answered: number;
  readonly failed: number;
}

const PANELS: readonly Panel<Point>[] = [
  {
    title: "MiB",
    lines: [
      { name: "heap after collecting garbage", kind: "first", of: ({ heap }) => heap },
      { name: "resident memory", kind: "second", of: ({ rss }) => rss },
    ],
  },
  { title: "sockets", lines: [{ name: "sockets", kind: "first", of: ({ sockets }) => sockets }] },
  {
    title: "requests a second",
    lines: [
      { name: "answered", kind: "first", of: ({ answered }) => answered },
      { name: "failed", kind: "second", of: ({ failed }) => failed },
    ],
  },
];

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "30" },
    sockets: { type: "string", default: "2000" },
    restarts: { type: "string", default: "8" },
    slow: { type: "string", default: "0" },
    plot: { type: "string" },
    json: { type: "string", default: "soak.json" },
  },
});
const [minutes, sockets, restarts, slow] = [values.minutes, values.sockets, values.restarts, values.slow].map(
  Number,
) as [number, number, number, number];
const duration = minutes * 60_000;
const interval = Math.min(5_000, Math.max(500, duration / 100));
const plotFile = values.plot ?? (slow > 0 ? undefined : join(ROOT, "docs/soak.svg"));

/** Lets so many clients live until the time is over. */
async function liveAll(count: number, around: Omit<Surroundings, "signal">, ms: number): Promise<void> {
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal);
  const lives = Array.from({ length: count }, () => live({ ...around, signal: stopping.signal }));
  await delay(ms);
  stopping.abort();
  await Promise.all(lives);
}

const sum = (counts: Readonly<Record<string, number>>) =>
  Object.values(counts).reduce((all, count) => all + count, 0);

const mean = (numbers: readonly number[]) =>
  numbers.reduce((sum, value) => sum + value, 0) / Math.max(1, numbers.length);

const redis = await startRedis({ own: true });
const server = new Child<Order, Told>(join(import.meta.dirname, "server.ts"), {
  REDIS_URL: redis.url,
  // small, so that it is reached: what the system itself buffers for each socket comes before it
  ...(slow > 0 ? { BUFFERED_BYTES: "65536" } : {}),
});
const sample = () => server.ask("sample", "sample").then(({ sample: taken }) => taken);
const agent = new Agent({ keepAlive: true, maxSockets: 20 });
const tally = new Tally();
const around = { url: (await server.told("url")).url, agent, rooms: Math.max(4, Math.round(sockets / 25)) };

// what is compiled and filled once is there before the first measurement
await liveAll(Math.min(100, sockets), { ...around, tally: new Tally() }, Math.min(10_000, duration / 10));
agent.destroy();
await delay(6_000);
const before = await letGo(sample, (now) => now.sockets + now.channels === 0);
console.log(`At first: ${inMib(before.heap)} MiB of heap, ${before.listeners} listeners`);

const points: Point[] = [];
const outages: [number, number][] = [];
const heaps: number[] = [];
let isOver = false;
const start = Date.now();
const seconds = () => (Date.now() - start) / 1000;

async function watch(): Promise<void> {
  let [last, answered, failed] = [0, 0, 0];
  while (!isOver) {
    await delay(interval);
    const { heap, rss, external, sockets: open, resources, listeners, calls } = await sample();
    // they have begun to go
    if (isOver || Date.now() > start + duration) break;
    const time = seconds();
    const failures = tally.refused + sum(tally.shutOut);
    const [per, more, worse] = [time - last, tally.answered - answered, failures - failed];
    [last, answered, failed] = [time, tally.answered, failures];
    points.push({
      time,
      heap: inMib(heap),
      rss: inMib(rss),
      sockets: open,
      answered: Math.round(more / per),
      failed: Math.round(worse / per),
    });
    heaps.push(heap);
    const handles = Object.entries(resources).map(([name, count]) => `${name} ${count}`);
    console.log(
      `${Math.round(time)} s: heap ${inMib(heap)}, rss ${inMib(rss)}, external ${inMib(external)} MiB, ` +
        `${open} sockets, ${listeners} listeners, ${Math.round(more / per)} answered and ` +
        `${Math.round(worse / per)} failed a second, calls of clients ${calls.answered}/${calls.failed}, ` +
        `shut out ${JSON.stringify(tally.shutOut)}, lost ${JSON.stringify(tally.lost)}; ${handles.join(", ")}`,
    );
  }
}

async function restartRedis(): Promise<void> {
  for (let count = 1; count <= restarts; count++) {
    await delay(Math.max(0, start + (duration * count) / (restarts + 1) - Date.now()));
    const from = seconds();
    await redis.stop();
    await delay(AWAY);
    await redis.start();
    outages.push([from, seconds()]);
  }
}

const slowClients: SoakClient[] = [];
const promptClients: SoakClient[] = [];

async function addReaders(): Promise<void> {
  const quiet: Surroundings = { ...around, tally: new Tally(), signal: new AbortController().signal };
  const open = async (surroundings: Surroundings, channels: readonly string[]) => {
    const client = new SoakClient(surroundings);
    await client.open();
    for (const channel of channels) await client.request({ rpc: "_subscribe", req: { channel } });
    return client;
  };
  for (let count = 0; count < slow; count++) {
    const client = await open(quiet, [count % 2 === 0 ? "ticker" : "firehose"]);
    client.stopReading();
    slowClients.push(client);
  }
  for (let count = 0; count < PROMPT; count++) {
    promptClients.push(await open({ ...quiet, tally: prompt }, ["ticker", "firehose"]));
  }
  server.order("flood");
}

const prompt = new Tally();
if (slow > 0) await addReaders();
const watching = watch();
await Promise.all([liveAll(sockets, { ...around, tally }, duration), restartRedis()]);
isOver = true;
await watching;
const atEnd = await sample();
if (slow > 0) server.order("calm");
await Promise.all([...slowClients, ...promptClients].map((client) => client.close()));
agent.destroy();
const after = await letGo(sample, (now) => leftOver(now, before).length === 0);
const hasEnded = await server.stop("stop");
await redis.stop();

const third = Math.floor(heaps.length / 3);
const [middle, last] = [mean(heaps.slice(third, 2 * third)), mean(heaps.slice(-third))];
const delays = tally.delays.sort((one, other) => one - other);
const promptDelays = prompt.delays.sort((one, other) => one - other);
const slowLeft = slow > 0 ? atEnd.sockets - PROMPT : 0;

const faults = leftOver(after, before);
if (after.heap > before.heap + HEAP_LEFT)
  faults.push(`${inMib(after.heap - before.heap)} MiB more heap than at first`);
if (last > middle * HEAP_GROWTH) faults.push(`the heap grows: ${inMib(middle)} to ${inMib(last)} MiB`);
if (!hasEnded) faults.push("the server's process did not end by itself");
if (sum(tally.lost) > 0) faults.push(`sockets were lost: ${JSON.stringify(tally.lost)}`);

const results = {
  node: process.version,
  minutes,
  sockets,
  slow,
  restarts: outages.length,
  connected: tally.connected,
  lost: tally.lost,
  answered: tally.answered,
  refused: tally.refused,
  shutOut: tally.shutOut,
  unansweredWhenClosed: tally.unanswered,
  messages: tally.messages,
  callsOfClients: after.calls,
  delays: {
    median: percentile(delays, 0.5),
    p99: percentile(delays, 0.99),
    most: delays.at(-1) ?? 0,
  },
  ...(slow > 0
    ? {
        slowLeft,
        prompt: {
          messages: prompt.messages,
          median: percentile(promptDelays, 0.5),
          p99: percentile(promptDelays, 0.99),
          most: promptDelays.at(-1) ?? 0,
        },
      }
    : {}),
  heap: {
    before: inMib(before.heap),
    second: inMib(middle),
    last: inMib(last),
    most: inMib(Math.max(...heaps)),
    after: inMib(after.heap),
  },
  rss: {
    before: inMib(before.rss),
    most: Math.max(...points.map(({ rss }) => rss)),
    after: inMib(after.rss),
  },
  listeners: { before: before.listeners, after: after.listeners },
  resources: { before: before.resources, after: after.resources },
  faults,
};
console.log(results);
await writeFile(values.json, JSON.stringify({ ...results, points, outages }, null, 2));
if (plotFile) {
  const title = `${sockets} sockets for ${minutes} minutes, Redis restarted ${outages.length} times, Node.js ${process.version}`;
  await writeFile(plotFile, plot(title, PANELS, points, { what: "Redis is away", spans: outages }));
}
console.log(faults.length === 0 ? "Nothing is left." : `FAILED: ${faults.join("; ")}`);
process.exitCode = faults.length === 0 ? 0 : 1;
