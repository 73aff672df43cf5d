import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import type { Server } from "node:http";
import { Session } from "node:inspector/promises";
import type { AddressInfo } from "node:net";
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import { type Batch, channelOf, makeMessage, mark, type Order, type Setup, type Told } from "../messages.js";

/** What a contender can be asked for while it serves. */
export interface Contender {
  readonly http: Server;
  /** Publishes by the server itself; if that takes time, it gives a promise. */
  publish?(channel: string, message: object): unknown;
  /** The clients, each as a function that calls it, and gives what it answers. */
  clients?(): readonly ((data: { m: string }) => Promise<unknown>)[];
}

/** The setup that the server was started with. */
export const setup: Setup = JSON.parse(process.env.SETUP ?? "{}");

/** The names of the functions that clients may call; the last one is called. */
export const functionNames = Array.from({ length: setup.functions }, (_, index) =>
  index === setup.functions - 1 ? "echo" : `function${index}`,
);

/** What clients are called with. */
export const CLIENT_FUNCTION = "echo";

// who has started it may be gone
process.on("disconnect", () => process.exit());
const tell = (told: Told) => {
  if (process.connected) process.send?.(told);
};

/** Listens, and does what it is told to, until the process that has started it is gone. */
export async function serve(contender: Contender): Promise<void> {
  const { http } = contender;
  http.listen(0, "127.0.0.1", 4096);
  await once(http, "listening");
  process.on("message", (order: Order) => void obey(order, contender));
  tell({ type: "ready", port: (http.address() as AddressInfo).port });
}

async function obey(order: Order, contender: Contender): Promise<void> {
  switch (order.type) {
    case "usage": {
      const { user, system } = process.cpuUsage();
      tell({ type: "usage", cpu: user + system, rss: process.memoryUsage.rss() });
      return;
    }
    case "memory":
      return tellMemory();
    case "watch":
      return watch();
    case "publish":
      return publish(order.batch, contender);
    case "flood": {
      const end = Date.now() + order.milliseconds;
      let messages = 0;
      do {
        await publishAll(order.batch, contender);
        messages += order.batch.count;
      } while (Date.now() < end);
      tell({ type: "published", messages });
      return;
    }
    case "profile":
      await profile(order.file);
      tell({ type: "profiled" });
      return;
    case "call": {
      const end = Date.now() + order.milliseconds;
      const loops = (contender.clients?.() ?? []).flatMap((call) =>
        Array.from({ length: order.outstanding }, (_, index) => callUntil(end, index, call)),
      );
      const calls = await Promise.all(loops);
      tell({ type: "called", calls: calls.reduce((sum, count) => sum + count, 0) });
    }
  }
}

let delays: IntervalHistogram | undefined;

/** Begins to watch the event loop, or ends that. */
function watch(): void {
  const longest = (delays?.max ?? 0) / 1e6;
  const isEnd = delays?.disable() ?? false;
  delays = isEnd ? undefined : monitorEventLoopDelay({ resolution: 1 });
  delays?.enable();
  tell({ type: "watched", longest });
}

const inspector = new Session();

async function profile(file: string | undefined): Promise<void> {
  if (file === undefined) {
    inspector.connect();
    await inspector.post("Profiler.enable");
    await inspector.post("Profiler.start");
    return;
  }
  const { profile: taken } = await inspector.post("Profiler.stop");
  inspector.disconnect();
  await writeFile(file, JSON.stringify(taken));
}

async function tellMemory(): Promise<void> {
  // what finalizers let go is collected the second time
  for (let times = 0; times < 3; times++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { heapUsed, rss } = process.memoryUsage();
  tell({ type: "memory", rss, heap: heapUsed });
}

function publish({ first, count, size, channels }: Batch, contender: Contender): void {
  for (let number = first; number < first + count; number++) {
    void contender.publish?.(channelOf(number, channels), makeMessage(number, size));
  }
}

async function publishAll({ first, count, size, channels }: Batch, contender: Contender): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, (_, index) =>
      contender.publish?.(channelOf(first + index, channels), makeMessage(first + index, size)),
    ),
  );
}

async function callUntil(
  end: number,
  index: number,
  call: (data: { m: string }) => Promise<unknown>,
): Promise<number> {
  let calls = 0;
  while (Date.now() < end) {
    const m = mark(index * 100_000 + (calls % 100_000));
    const answer = await call({ m });
    if (answer !== m) throw new Error(`A client has answered ${JSON.stringify(answer)} to ${m}`);
    calls++;
  }
  return calls;
}
