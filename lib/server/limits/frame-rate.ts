import { performance } from "node:perf_hooks";
import type { Limits } from "./limits.js";

type RateLimits = Pick<Limits, "framesPerSecond" | "frameBurst" | "bytesPerSecond" | "byteBurst">;

/** The rate at which a socket may send frames and bytes: two token buckets that refill with time. */
export class FrameRate {
  readonly #limits: RateLimits;
  #frames: number;
  /** Below zero after a frame that was larger than what was left. */
  #bytes: number;
  #since = performance.now();

  constructor(limits: RateLimits) {
    this.#limits = limits;
    this.#frames = limits.frameBurst;
    this.#bytes = limits.byteBurst;
  }

  /** Takes what a frame of so many bytes costs, where there is anything left of both. */
  take(bytes: number): boolean {
    this.#fill();
    if (this.#frames < 1 || this.#bytes < 1) return false;
    this.#frames--;
    this.#bytes -= bytes;
    return true;
  }

  /** Takes for frames also where there is nothing left; returns whether no more than `debt` are owed. */
  charge(frames: number, debt: number): boolean {
    this.#fill();
    this.#frames -= frames;
    return this.#frames >= -debt;
  }

  /** Gives back what was taken for a frame of so many bytes to no use. */
  giveBack(bytes: number): void {
    this.#frames++;
    this.#bytes += bytes;
  }

  /** Milliseconds until there is something left of both; 0 where there is. */
  get wait(): number {
    const { framesPerSecond, bytesPerSecond } = this.#limits;
    const seconds = Math.max((1 - this.#frames) / framesPerSecond, (1 - this.#bytes) / bytesPerSecond);
    return seconds <= 0 ? 0 : Math.max(1, Math.ceil(seconds * 1000));
  }

  #fill(): void {
    const { framesPerSecond, frameBurst, bytesPerSecond, byteBurst } = this.#limits;
    const now = performance.now();
    const seconds = (now - this.#since) / 1000;
    this.#frames = filled(this.#frames, seconds, framesPerSecond, frameBurst);
    this.#bytes = filled(this.#bytes, seconds, bytesPerSecond, byteBurst);
    this.#since = now;
  }
}

function filled(tokens: number, seconds: number, perSecond: number, most: number): number {
  // an endless rate times no time is no number
  return perSecond === Infinity ? most : Math.min(most, tokens + seconds * perSecond);
}
