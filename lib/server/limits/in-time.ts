import { LONGEST_TIMER } from "../../shared/times.js";

/**
 * Waits for a promise for a number of milliseconds; then `late` gives the result instead, or throws. Where the event loop was
 * blocked, a result that has come meanwhile is read first. The wait alone keeps no process alive.
 */
export function within<T>(time: number, promise: PromiseLike<T>, late: () => T): Promise<T> {
  // by hand: an async function that races takes several times as long, and this is done twice for each login
  return new Promise((resolve, reject) => {
    let reading: NodeJS.Immediate | undefined;
    const expire = () => {
      try {
        resolve(late());
      } catch (error) {
        reject(error);
      }
    };
    const wait = () => {
      reading = setImmediate(expire);
    };
    const timer = setTimeout(wait, Math.min(time, LONGEST_TIMER)).unref();
    const stop = () => {
      clearTimeout(timer);
      clearImmediate(reading);
    };
    promise.then(
      (value) => {
        stop();
        resolve(value);
      },
      (error: unknown) => {
        stop();
        reject(error);
      },
    );
  });
}

/** Waits for Redis, but not for ever: its clients keep commands for as long as it is away. */
export function inTime<T>(patience: number, command: PromiseLike<T>): Promise<T> {
  return within(patience, command, () => {
    throw new Error(`No answer from Redis within ${patience} ms`);
  });
}
