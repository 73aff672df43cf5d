/** How many frames a socket may send: a bucket of tokens that fills again with time. */
export class FrameRate {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #since = performance.now();

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** Takes a token for a frame, where there is one. */
  take(): boolean {
    this.#fill();
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** Gives one back that was of no use. */
  giveBack(): void {
    this.#tokens++;
  }

  /** Milliseconds until there is a token; 0 where there is one. */
  get wait(): number {
    if (this.#tokens >= 1) return 0;
    return Math.max(1, Math.ceil(((1 - this.#tokens) * 1000) / this.#perSecond));
  }

  #fill(): void {
    const now = performance.now();
    // an endless rate times no time is no number
    const isEndless = this.#perSecond === Infinity;
    const more = isEndless ? this.#burst : ((now - this.#since) * this.#perSecond) / 1000;
    this.#tokens = Math.min(this.#burst, this.#tokens + more);
    this.#since = now;
  }
}
