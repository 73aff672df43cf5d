/** A clock that leaves out what a busy machine takes from this process: it stands still while a timer of it is late. */
export class OwnTime {
  #late = 0;
  #last = performance.now();
  readonly #timer = setInterval(() => this.#tick(), TICK);

  /** The time in milliseconds. */
  now(): number {
    this.#tick();
    return performance.now() - this.#late;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const now = performance.now();
    this.#late += Math.max(0, now - this.#last - 2 * TICK);
    this.#last = now;
  }
}

/** The interval of its timer, in milliseconds. */
const TICK = 10;
