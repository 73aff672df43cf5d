import { OverflowError } from "./errors.js";

/** What a stream needs of the channels. */
export interface StreamHost {
  /** Joins the stream's channel, where that has not been done. */
  attach(stream: ChannelStream): Promise<void>;
  detach(stream: ChannelStream): void;
}

interface Reader {
  resolve(result: IteratorResult<unknown, undefined>): void;
  reject(error: unknown): void;
}

/**
 * A channel's messages for `for await`. The channel is joined when the first message is asked for, and left at
 * the end of the loop, unless something else has joined it as well.
 */
export class ChannelStream implements AsyncIterableIterator<unknown, undefined> {
  readonly channel: string;
  readonly #host: StreamHost;
  readonly #limit: number;
  readonly #messages: unknown[] = [];
  readonly #readers: Reader[] = [];
  #state: "new" | "running" | "ended" = "new";
  /** What the reader after the last message gets, once. */
  #failure: unknown;

  /** `limit` bounds the messages that wait to be read. */
  constructor(channel: string, host: StreamHost, limit: number) {
    this.channel = channel;
    this.#host = host;
    this.#limit = limit;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<unknown, undefined>> {
    if (this.#state === "new") {
      this.#state = "running";
      this.#host.attach(this).catch((error: unknown) => this.end(error));
    }
    return new Promise((resolve, reject) => {
      this.#readers.push({ resolve, reject });
      this.#flow();
    });
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
    this.#host.detach(this);
  }

  /** Brings together what waits to be read and who waits to read. */
  #flow(): void {
    while (this.#messages.length > 0 || this.#state === "ended") {
      const reader = this.#readers.shift();
      if (!reader) return;
      if (this.#messages.length > 0) reader.resolve({ done: false, value: this.#messages.shift() });
      else if (this.#failure) {
        reader.reject(this.#failure);
        this.#failure = undefined;
      } else reader.resolve(DONE);
    }
  }
}

const DONE = { done: true, value: undefined } as const;
