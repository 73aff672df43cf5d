import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as wait } from "node:timers/promises";

/** What the process is like. */
export interface Metrics {
  /** Per cent of one core. */
  readonly cpu: number;
  /** Megabytes. */
  readonly memory: number;
  /** How late timers are, in milliseconds. */
  readonly delay: number;
}

/** Looks at the process every so many milliseconds, as long as somebody reads. */
export async function* metrics(every: number, signal: AbortSignal): AsyncGenerator<Metrics> {
  const delays = monitorEventLoopDelay({ resolution: 10 });
  delays.enable();
  let before = { cpu: process.cpuUsage(), time: performance.now() };
  try {
    while (!signal.aborted) {
      // a page that is closed ends the wait
      await wait(every, undefined, { signal }).catch(() => {});
      const now = { cpu: process.cpuUsage(), time: performance.now() };
      const used = now.cpu.user + now.cpu.system - before.cpu.user - before.cpu.system;
      yield {
        cpu: round(used / (now.time - before.time) / 10),
        memory: round(process.memoryUsage.rss() / 2 ** 20),
        delay: round(Math.max(0, delays.mean / 1e6 - 10)),
      };
      before = now;
      delays.reset();
    }
  } finally {
    delays.disable();
  }
}

function round(value: number): number {
  return Number.isFinite(value) ? Math.round(value * 10) / 10 : 0;
}
