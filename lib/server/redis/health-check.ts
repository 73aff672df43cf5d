import type { Redis } from "./redis.js";

/** The interval at which Redis is asked for a sign of life, in milliseconds. */
const INTERVAL = 2_000;

/**
 * Whether Redis answers. A client learns late, or never, that its connection leads nowhere: TCP waits for minutes, and
 * for hours where nothing is sent, as by a client that only subscribes.
 */
export class HealthCheck {
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
  get isHealthy(): boolean {
    return this.#redis.isReady && !this.#isLate;
  }

  get #isLate(): boolean {
    return performance.now() - (this.#asked ?? Number.POSITIVE_INFINITY) > this.#patience;
  }

  start(): void {
    this.#timer = setInterval(() => this.#ask(), INTERVAL);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #ask(): void {
    if (!this.#redis.isReady) return;
    // an answer that is late may have been lost with its connection, and any later one will do
    if (this.#asked !== undefined && !this.#isLate) return;
    this.#asked ??= performance.now();
    const answered = () => {
      this.#asked = undefined;
    };
    // a refusal is an answer, too
    this.#redis.ping().then(answered, answered);
  }
}
