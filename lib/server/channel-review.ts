/** How many channels of one socket are asked for at once. */
const AT_ONCE = 16;

/** Goes through a socket's channels once more, a few at a time: their listeners may ask a database. */
export class ChannelReview {
  readonly #review: (channel: string) => Promise<void>;
  readonly #waiting = new Set<string>();
  #running = 0;

  /** `review` must not reject. */
  constructor(review: (channel: string) => Promise<void>) {
    this.#review = review;
  }

  /** Adds channels; one that waits already is gone through once. */
  add(channels: Iterable<string>): void {
    for (const channel of channels) this.#waiting.add(channel);
    const workers = Math.min(AT_ONCE - this.#running, this.#waiting.size);
    for (let i = 0; i < workers; i++) void this.#work();
  }

  /** Forgets what waits. */
  clear(): void {
    this.#waiting.clear();
  }

  async #work(): Promise<void> {
    this.#running++;
    for (const channel of this.#waiting) {
      this.#waiting.delete(channel);
      await this.#review(channel);
    }
    this.#running--;
  }
}
