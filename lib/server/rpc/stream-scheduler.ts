/** The number of items that all streams of a server may send in one turn of the event loop. */
const ITEMS = 256;

/** Shares the turns of the event loop among streams: one whose items need no waiting would keep all else waiting. */
export class StreamScheduler {
  #left = ITEMS;
  #next: Promise<void> | undefined;

  /** Resolves when an item may be sent; nothing is to be waited for where one may be at once. */
  take(): Promise<void> | undefined {
    if (this.#left > 0) {
      this.#left--;
      return undefined;
    }
    return this.#wait();
  }

  async #wait(): Promise<void> {
    while (this.#left === 0) {
      this.#next ??= new Promise((resolve) => {
        setImmediate(() => {
          this.#left = ITEMS;
          this.#next = undefined;
          resolve();
        });
      });
      await this.#next;
    }
    this.#left--;
  }
}
