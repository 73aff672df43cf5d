import type { EventEmitter } from "node:events";
import { setTimeout as delay } from "node:timers/promises";

/** How a server is, and its process. Memory in bytes. */
export interface Sample {
  readonly heap: number;
  readonly rss: number;
  readonly external: number;
  readonly sockets: number;
  readonly channels: number;
  /** What keeps the process busy, by kind, as Node.js counts it. */
  readonly resources: Record<string, number>;
  /** Listeners on the server, its Redis clients and the process. */
  readonly listeners: number;
}

const MIB = 1_048_576;

/** How long a server gets to let go of clients that are gone, in milliseconds: SockJS keeps a session for 5 s. */
export const LET_GO = 20_000;

/** Collects the garbage; the process has to be started with `--expose-gc`. */
export async function collectGarbage(): Promise<void> {
  // what finalizers let go is collected the second time
  for (let times = 0; times < 2; times++) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Counts what there is in this process. */
export function takeSample(
  tokenServer: { sockets(): readonly unknown[]; channels(): readonly unknown[] },
  others: readonly unknown[],
): Sample {
  const { heapUsed, rss, external } = process.memoryUsage();
  return {
    heap: heapUsed,
    rss,
    external,
    sockets: tokenServer.sockets().length,
    channels: tokenServer.channels().length,
    resources: countResources(),
    listeners: countListeners([tokenServer, ...others, process] as EventEmitter[]),
  };
}

/** Says what there is more than there was before, memory apart. */
export function leftOver(now: Sample, before: Sample): string[] {
  const left: string[] = [];
  for (const kind of ["sockets", "channels", "listeners"] as const) {
    if (now[kind] > before[kind]) left.push(`${now[kind] - before[kind]} ${kind} are left`);
  }
  for (const [name, count] of Object.entries(now.resources)) {
    const more = count - (before.resources[name] ?? 0);
    if (more > 0) left.push(`${more} more ${name} than at first`);
  }
  return left;
}

/** Waits until a server has let go of clients that are gone, or the time, in milliseconds, is over. */
export async function letGo<S extends Sample>(
  sample: () => Promise<S>,
  hasLetGo: (now: S) => boolean,
  patience = LET_GO,
): Promise<S> {
  const end = Date.now() + patience;
  for (;;) {
    const now = await sample();
    if (hasLetGo(now) || Date.now() > end) return now;
    await delay(250);
  }
}

export const inMib = (bytes: number) => Math.round((bytes / MIB) * 10) / 10;

/** Of numbers in order. */
export function percentile(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

function countResources(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

function countListeners(emitters: readonly EventEmitter[]): number {
  let count = 0;
  for (const emitter of emitters) {
    for (const event of emitter.eventNames()) count += emitter.listenerCount(event);
  }
  return count;
}
