import { OverflowError } from "../errors.js";

/** The source of a stream's items. */
export interface StreamSource {
  /** Called when the first message is asked for; what it rejects with ends the stream. */
  start(): unknown;
  /** Called for each message that is read. */
  read?(): void;
  /** Called at the end, whoever has ended it. */
  stop(): void;
}

interface Reader {
  resolve(result: IteratorResult<unknown, undefined>): void;
  reject(error: unknown): void;
}

/** Messages for `for await`, which begin to come when the first one is asked for. */
export class Stream implements AsyncIterableIterator<unknown, undefined> {
  readonly #source: StreamSource;
  readonly #limit: number;
  readonly #messages: unknown[] = [];
  readonly #readers: Reader[] = [];
  #state: "new" | "running" | "ended" = "new";
  /** The error that the reader gets after the last item, once. */
  #failure: unknown;

  /** `limit` bounds the messages that wait to be read. */
  constructor(limit: number, source: StreamSource) {
    this.#source = source;
    this.#limit = limit;
  }

  get isEnded(): boolean {
    return this.#state === "ended";
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<unknown, undefined>> {
    if (this.#state === "new") {
      this.#state = "running";
      const starting = async () => this.#source.start();
      starting().catch((error: unknown) => this.end(error));
    }
    const message = new Promise<IteratorResult<unknown, undefined>>((resolve, reject) => {
      this.#readers.push({ resolve, reject });
      this.#flow();
    });
    // as with all promises of the client, one that nobody looks at is no unhandled rejection
    message.catch(() => {});
    return message;
  }

  async return(): Promise<IteratorResult<unknown, undefined>> {
    this.#messages.length = 0;
    this.end();
    this.#failure = undefined;
    return DONE;
  }

  /** Takes a message in. */
  push(message: unknown): void {
    if (this.#state === "ended") return;
    if (this.#messages.push(message) > this.#limit && this.#readers.length === 0) {
      this.#messages.pop();
      this.end(new OverflowError(this.#limit));
    }
    this.#flow();
  }

  /** Ends the stream; what waits to be read still comes, then the error. */
  end(error?: unknown): void {
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.#failure = error;
    this.#flow();
    this.#source.stop();
  }

  /** Brings together what waits to be read and who waits to read. */
  #flow(): void {
    while (this.#messages.length > 0 || this.#state === "ended") {
      const reader = this.#readers.shift();
      if (!reader) return;
      if (this.#messages.length > 0) {
        reader.resolve({ done: false, value: this.#messages.shift() });
        this.#source.read?.();
      } else if (this.#failure) {
        reader.reject(this.#failure);
        this.#failure = undefined;
      } else reader.resolve(DONE);
    }
  }
}

const DONE = { done: true, value: undefined } as const;

/** Lets the answer to a call be read as the stream that it may turn out to be. */
export function readable(answer: Promise<unknown>): Promise<unknown> & AsyncIterable<unknown> {
  const stream = async () => {
    const value = await answer;
    if (value instanceof Stream) return value;
    throw new TypeError("No stream");
  };
  return Object.assign(answer, {
    [Symbol.asyncIterator]: () => ({
      next: async () => (await stream()).next(),
      return: async () => (await stream()).return(),
    }),
  });
}
