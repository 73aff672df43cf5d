import { performance } from "node:perf_hooks";
import { TOLERANCE } from "../../shared/times.js";

/** Something that has to be done in time. */
interface Timed {
  /** Called when it has had its time. */
  expire(): void;
}

/**
 * Ends what is not done in time, all after the same time; one timer serves them all. Where the event loop was blocked, what
 * has come meanwhile is read first: it may be what is waited for.
 */
export class DeadlineQueue<Due> {
  /** Since when each has had to, by a clock that nobody sets; in that order, so the first one is the first to expire. */
  readonly #pending = new Map<Due, number>();
  readonly #end: (due: Due) => void;
  #limit: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Set where the time of some is over, while what has come by then is read. */
  #reading: NodeJS.Immediate | undefined;

  /** `limit` is in milliseconds; `Infinity` is none. `end` ends what has had its time. */
  constructor(limit: number, end: (due: Due) => void) {
    this.#limit = limit;
    this.#end = end;
  }

  /** Says whether something's time is under way. */
  has(due: Due): boolean {
    return this.#pending.has(due);
  }

  /** Starts the time of something. */
  add(due: Due): void {
    this.#pending.set(due, performance.now());
    if (this.#timer === undefined && this.#reading === undefined) this.#schedule();
  }

  delete(due: Due): void {
    this.#pending.delete(due);
    if (this.#pending.size === 0) this.#stop();
  }

  /** Sets the time that each has, those that have begun as well; undefined: no limit. */
  limit(limit: number | undefined): void {
    this.#limit = limit;
    this.#schedule();
  }

  #schedule(): void {
    this.#stop();
    const [oldest] = this.#pending.values();
    if (oldest === undefined || this.#limit === undefined) return;
    const wait = Math.max(0, oldest + this.#limit - performance.now());
    const due = oldest + this.#limit;
    this.#timer = setTimeout(() => this.#expire(due), Math.min(Math.ceil(wait), LONGEST_WAIT));
  }

  #expire(due: number): void {
    const now = performance.now();
    if (now < due + TOLERANCE) return this.#endAll(now);
    this.#timer = undefined;
    this.#reading = setImmediate(() => this.#endAll(now));
  }

  /** Ends those whose time was over at that time. */
  #endAll(now: number): void {
    this.#reading = undefined;
    for (const [due, since] of this.#pending) {
      // what is told of an end may change the limit
      if (this.#limit === undefined || since + this.#limit > now) break;
      this.#pending.delete(due);
      this.#end(due);
    }
    this.#schedule();
  }

  #stop(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#reading);
    this.#timer = undefined;
    this.#reading = undefined;
  }
}

/** A queue of deadlines for what ends itself. */
export class Deadlines extends DeadlineQueue<Timed> {
  /** `limit` is in milliseconds; `Infinity` is none. */
  constructor(limit: number) {
    super(limit, (timed) => timed.expire());
  }

  /** Gives what `work` gives; rejects with what `late` gives where that takes too long. */
  within<T>(work: PromiseLike<T>, late: () => Error): Promise<T> {
    return new Promise((resolve, reject) => {
      const timed = { expire: () => reject(late()) };
      this.add(timed);
      work.then(
        (value) => {
          this.delete(timed);
          resolve(value);
        },
        (error: unknown) => {
          this.delete(timed);
          reject(error);
        },
      );
    });
  }
}

/** Longer waits are made of several; a Node.js timer holds at most 2^31 - 1 ms. */
export const LONGEST_WAIT = 3_600_000;

/** Throws a `TypeError` that names what is no time, in milliseconds. */
export function checkTime(name: string, time: unknown): void {
  if (typeof time === "number" && time > 0 && time < Infinity) return;
  throw new TypeError(`${name} must be a positive number of milliseconds`);
}
