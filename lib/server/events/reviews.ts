/** The number of channels or calls of one socket about which guards are asked at once. */
const AT_ONCE = 16;

/** Goes through a socket's channels, or its calls, once more, a few at a time: the guards may ask a database. */
export class Review<Item> {
  readonly #review: (item: Item) => Promise<void>;
  readonly #waiting = new Set<Item>();
  #running = 0;

  /** `review` must not reject. */
  constructor(review: (item: Item) => Promise<void>) {
    this.#review = review;
  }

  /** Adds items; one that waits already is gone through once. */
  add(items: Iterable<Item>): void {
    for (const item of items) this.#waiting.add(item);
    const workers = Math.min(AT_ONCE - this.#running, this.#waiting.size);
    for (let i = 0; i < workers; i++) void this.#work();
  }

  /** Forgets what waits. */
  clear(): void {
    this.#waiting.clear();
  }

  async #work(): Promise<void> {
    this.#running++;
    for (const item of this.#waiting) {
      this.#waiting.delete(item);
      await this.#review(item);
    }
    this.#running--;
  }
}
