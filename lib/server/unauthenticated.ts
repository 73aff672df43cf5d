/** Something that has to authenticate in time. */
interface Candidate {
  /** Called when it has had its time. */
  expire(): void;
}

/** Closes connections that do not authenticate in time; one timer serves them all. */
export class Unauthenticated {
  /** Since when each has had to, by a clock that nobody sets; in that order, so the first one is the first to expire. */
  readonly #candidates = new Map<Candidate, number>();
  #limit: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** `limit` is in milliseconds. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Starts a connection's time. */
  add(candidate: Candidate): void {
    this.#candidates.set(candidate, performance.now());
    if (this.#timer === undefined) this.#schedule();
  }

  delete(candidate: Candidate): void {
    this.#candidates.delete(candidate);
    if (this.#candidates.size === 0) this.#stop();
  }

  /** Sets the time that each connection has, those that have begun as well; undefined: no limit. */
  limit(limit: number | undefined): void {
    this.#limit = limit;
    this.#schedule();
  }

  #schedule(): void {
    this.#stop();
    const [oldest] = this.#candidates.values();
    if (oldest === undefined || this.#limit === undefined) return;
    const wait = Math.max(0, oldest + this.#limit - performance.now());
    this.#timer = setTimeout(() => this.#expire(), Math.min(Math.ceil(wait), LONGEST_WAIT));
  }

  #expire(): void {
    const now = performance.now();
    for (const [candidate, since] of this.#candidates) {
      // what is told of an end may change the limit
      if (this.#limit === undefined || since + this.#limit > now) break;
      this.#candidates.delete(candidate);
      candidate.expire();
    }
    this.#schedule();
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** Longer waits are made of several; a Node.js timer holds at most 2^31 - 1 ms. */
const LONGEST_WAIT = 3_600_000;
