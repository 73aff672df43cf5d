import { LONGEST_TIMER } from "../../shared/times.js";

/**
 * Waits for a promise for a number of milliseconds; then `late` gives the result instead, or throws. Where the event loop was
 * blocked, a result that has come meanwhile is read first. The wait alone keeps no process alive.
 */
export async function within<T>(time: number, promise: PromiseLike<T>, late: () => T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const end = new Promise<"late">((resolve) => {
    timer = setTimeout(() => setImmediate(() => resolve("late")), Math.min(time, LONGEST_TIMER)).unref();
  });
  try {
    const first = await Promise.race([promise.then((value) => ({ value })), end]);
    return first === "late" ? late() : first.value;
  } finally {
    clearTimeout(timer);
  }
}

/** Waits for Redis, but not for ever: its clients keep commands for as long as it is away. */
export function inTime<T>(patience: number, command: PromiseLike<T>): Promise<T> {
  return within(patience, command, () => {
    throw new Error(`No answer from Redis within ${patience} ms`);
  });
}
