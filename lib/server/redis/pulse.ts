import type { Redis } from "./redis.js";

/** How often Redis is asked for a sign of life, in milliseconds. */
const INTERVAL = 2_000;

/**
 * Whether Redis answers. A client learns late, or never, that its connection leads nowhere: TCP waits for minutes, and
 * for hours where nothing is sent, as by a client that only subscribes.
 */
export class Pulse {
  readonly #redis: Redis;
  readonly #patience: number;
  #timer: NodeJS.Timeout | undefined;
  /** Since when an answer is due. */
  #asked: number | undefined;

  /** `patience` is how long an answer may take, in milliseconds. */
  constructor(redis: Redis, patience: number) {
    this.#redis = redis;
    this.#patience = patience;
  }

  /** Whether Redis can be used, as far as is known. */
  get isFelt(): boolean {
    const isLate = this.#asked !== undefined && performance.now() - this.#asked > this.#patience;
    return this.#redis.isReady && !isLate;
  }

  start(): void {
    this.#timer = setInterval(() => this.#ask(), INTERVAL);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #ask(): void {
    if (this.#asked !== undefined || !this.#redis.isReady) return;
    this.#asked = performance.now();
    const answered = () => {
      this.#asked = undefined;
    };
    // a refusal is an answer, too
    this.#redis.ping().then(answered, answered);
  }
}
