import type { Limits } from "./options.js";

type RateLimits = Pick<Limits, "framesPerSecond" | "frameBurst">;

/** How many frames a socket may send: a bucket of tokens that fills again with time. */
export class FrameRate {
  readonly #limits: RateLimits;
  #tokens: number;
  #since = performance.now();

  constructor(limits: RateLimits) {
    this.#limits = limits;
    this.#tokens = limits.frameBurst;
  }

  /** Takes a token for a frame, where there is one. */
  take(): boolean {
    this.#fill();
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** Takes tokens also where there are none; returns whether no more than `debt` are owed. */
  charge(frames: number, debt: number): boolean {
    this.#fill();
    this.#tokens -= frames;
    return this.#tokens >= -debt;
  }

  /** Gives one back that was of no use. */
  giveBack(): void {
    this.#tokens++;
  }

  /** Milliseconds until there is a token; 0 where there is one. */
  get wait(): number {
    if (this.#tokens >= 1) return 0;
    return Math.max(1, Math.ceil(((1 - this.#tokens) * 1000) / this.#limits.framesPerSecond));
  }

  #fill(): void {
    const { framesPerSecond, frameBurst } = this.#limits;
    const now = performance.now();
    // an endless rate times no time is no number
    const more = framesPerSecond === Infinity ? frameBurst : ((now - this.#since) * framesPerSecond) / 1000;
    this.#tokens = Math.min(frameBurst, this.#tokens + more);
    this.#since = now;
  }
}
