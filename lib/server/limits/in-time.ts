import { LONGEST_TIMER } from "../../shared/pending-calls.js";

/**
 * Waits for Redis, but not for ever: its clients keep commands for as long as it is away. Where the event loop was blocked,
 * an answer that has come meanwhile is read first.
 */
export async function inTime<T>(patience: number, command: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const expire = () => reject(new Error(`No answer from Redis within ${patience} ms`));
    timer = setTimeout(() => setImmediate(expire), Math.min(patience, LONGEST_TIMER));
    timer.unref();
  });
  try {
    return await Promise.race([command, late]);
  } finally {
    clearTimeout(timer);
  }
}
