import type { RateLimiterAbstract, RateLimiterRes } from "rate-limiter-flexible";
import type { Reporter } from "../log/reporter.js";
import type { RedisClient } from "../redis/adapt.js";
import { localRateLimiter, sharedRateLimiter } from "../redis/rate-limiter.js";
import { inTime } from "./in-time.js";

/** The time that Redis may take to grant more, and for which this server counts alone if it does not, in milliseconds. */
const PATIENCE = 500;
const ALONE = 5_000;

/** Frames and bytes are granted in portions, so that not each one is a question to Redis. */
const PORTIONS_PER_SECOND = 20;

export interface IdentityRatesParts {
  readonly client: RedisClient;
  readonly keyPrefix: string;
  /** Frames, or bytes, that the sockets of one identity may send in each second, on all servers. */
  readonly perSecond: number;
  readonly reporter: Reporter;
}

/** The rates of frames, or bytes, of all identities, over all servers. */
export class IdentityRates {
  /** The prefix of its keys in Redis. */
  readonly keyPrefix: string;
  readonly #shared: RateLimiterAbstract;
  readonly #local: RateLimiterAbstract;
  readonly #perSecond: number;
  readonly #portion: number;
  readonly #reporter: Reporter;
  #aloneUntil = 0;

  constructor({ client, keyPrefix, perSecond, reporter }: IdentityRatesParts) {
    this.keyPrefix = keyPrefix;
    this.#shared = sharedRateLimiter(client, { keyPrefix, points: perSecond });
    this.#local = localRateLimiter(perSecond);
    this.#perSecond = perSecond;
    this.#portion = Math.ceil(perSecond / PORTIONS_PER_SECOND);
    this.#reporter = reporter;
  }

  /** The rate of one identity. */
  of(key: string): IdentityRate {
    return new IdentityRate(() => this.#grant(key));
  }

  /** Counts nothing for nobody; rejects where Redis does not let the server count. */
  async try(): Promise<void> {
    // the first on a connection is an EVAL, and all others may be an EVALSHA
    await Promise.all([this.#shared.consume("check", 0), this.#shared.consume("check", 0)]);
  }

  /** Asks for a portion. Never rejects. */
  async #grant(key: string): Promise<Grant> {
    if (performance.now() < this.#aloneUntil) return this.#consume(this.#local, key);
    try {
      return await inTime(PATIENCE, this.#consume(this.#shared, key));
    } catch (error) {
      this.#aloneUntil = performance.now() + ALONE;
      this.#reporter.outage("what identities send is counted on this server alone", error);
      return this.#consume(this.#local, key);
    }
  }

  async #consume(limiter: RateLimiterAbstract, key: string): Promise<Grant> {
    try {
      await limiter.consume(key, this.#portion);
      return { amount: this.#portion, wait: 0 };
    } catch (reason) {
      if (!isRefusal(reason)) throw reason;
      const { consumedPoints, msBeforeNext } = reason;
      const left = this.#perSecond - (consumedPoints - this.#portion);
      return { amount: Math.max(0, left), wait: msBeforeNext };
    }
  }
}

/** Redis's answer to a request for more. */
interface Grant {
  readonly amount: number;
  /** The time until there may be more, in milliseconds. */
  readonly wait: number;
}

/** The frames, or bytes, that the sockets of one identity may send at the moment. */
export class IdentityRate {
  readonly #ask: () => Promise<Grant>;
  readonly #waiting = new Set<() => void>();
  #granted = 0;
  /** The size of the last portion. */
  #portion = 0;
  #isAsking = false;
  #isClosed = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(ask: () => Promise<Grant>) {
    this.#ask = ask;
    this.#refill();
  }

  /** Takes as much as that, where there is anything; what is taken beyond that is owed. */
  take(amount: number): boolean {
    const isThere = this.#granted >= 1;
    if (isThere) this.#granted -= amount;
    // early enough that a steady sender need not wait for Redis
    if (this.#granted * 2 <= this.#portion) this.#refill();
    return isThere;
  }

  /** Takes as much as that in any case, so that what comes later waits for longer. */
  charge(amount: number): void {
    this.#granted -= amount;
    if (this.#granted * 2 <= this.#portion) this.#refill();
  }

  /** Gives back what was taken to no use. */
  giveBack(amount: number): void {
    this.#granted += amount;
  }

  /** Whether there is anything left. */
  get hasMore(): boolean {
    return this.#granted >= 1;
  }

  /** Calls a function once when there is more again; gives the function that takes that back. */
  onRefill(listener: () => void): () => void {
    this.#waiting.add(listener);
    return () => this.#waiting.delete(listener);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#waiting.clear();
  }

  #refill(): void {
    if (this.#isAsking || this.#isClosed) return;
    this.#isAsking = true;
    void this.#ask().then(({ amount, wait }) => {
      this.#granted += amount;
      this.#portion = amount;
      if (this.#isClosed) return;
      if (wait <= 0) return this.#resume();
      this.#timer = setTimeout(() => this.#resume(), wait);
      this.#wake();
    });
  }

  #resume(): void {
    this.#isAsking = false;
    this.#wake();
    if (this.#waiting.size > 0) this.#refill();
  }

  /** Callbacks of those that found nothing left, in the order in which they came. */
  #wake(): void {
    for (const listener of this.#waiting) {
      if (this.#granted < 1) return;
      this.#waiting.delete(listener);
      listener();
    }
  }
}

/** A limiter rejects with a result where there is no room, and with an error where it has failed. */
function isRefusal(reason: unknown): reason is RateLimiterRes {
  return typeof reason === "object" && reason !== null && "msBeforeNext" in reason;
}
