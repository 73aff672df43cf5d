/** The receiver of a stream's items. */
export interface StreamReader {
  /** Resolves when the reader can take an item; undefined where it can at once. */
  whenDrained(): Promise<void> | undefined;
  /** Takes an item; throws for one that cannot be sent. */
  item(value: unknown): void;
  /** Called once, when there are no more items; not after `stop()`. */
  ended(): void;
  /** Called once, when no more items come because of an error; not after `stop()`. */
  failed(error: unknown): void;
  /** Gets the errors that come after the end. */
  late(error: unknown): void;
}

/**
 * A stream that a function answers with. It is asked for an item only when the reader has granted one, so that
 * a slow reader slows it and nothing is kept.
 */
export class OutgoingStream {
  readonly #iterator: AsyncIterator<unknown>;
  readonly #reader: StreamReader;
  #credit = 0;
  #isRunning = false;
  #isOver = false;

  constructor(items: AsyncIterable<unknown>, reader: StreamReader) {
    this.#iterator = items[Symbol.asyncIterator]();
    this.#reader = reader;
  }

  /** Allows further items to be sent. */
  grant(items: number): void {
    this.#credit += items;
    if (!this.#isRunning) void this.#run();
  }

  /** Ends it, since nobody reads it any more. A generator's `finally` runs as soon as it waits for nothing else. */
  stop(): void {
    this.#isOver = true;
    this.#return();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#credit > 0 && !this.#isOver) {
      this.#credit--;
      const drained = this.#reader.whenDrained();
      if (drained) await drained;
      if (this.#isOver) return;
      try {
        const { done, value } = await this.#iterator.next();
        if (this.#isOver) return;
        if (done) return this.#end(() => this.#reader.ended());
        this.#reader.item(value);
      } catch (error) {
        if (this.#isOver) return this.#reader.late(error);
        this.#end(() => this.#reader.failed(error));
        // a generator has ended by itself; what else is read may be waiting to be told
        this.#return();
      }
    }
    this.#isRunning = false;
  }

  #end(tell: () => void): void {
    this.#isOver = true;
    tell();
  }

  #return(): void {
    const ending = async () => this.#iterator.return?.();
    ending().catch((error: unknown) => this.#reader.late(error));
  }
}

/** Ends a stream that nobody is going to read; `late` gets its errors. */
export function dispose(items: AsyncIterable<unknown>, late: (error: unknown) => void): void {
  const reader = { whenDrained: () => undefined, item() {}, ended() {}, failed() {}, late };
  new OutgoingStream(items, reader).stop();
}
