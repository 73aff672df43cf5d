/** A message that one socket is not to get, until it comes back from Redis. */
interface Exception {
  readonly channel: string;
  readonly json: string;
  readonly sid: string;
  readonly expires: number;
}

/** The number of messages that are kept, their length together, and the time for which each is, in milliseconds. */
const MOST = 1_000;
const MOST_LENGTH = 4_194_304;
const LIFE = 30_000;

/**
 * The messages on channels without a history that one socket of this server is not to get. Redis carries nothing but their
 * text, so that they are known by it when they come back. Of two equal ones it does not matter which is left out.
 */
export class Exceptions {
  /** The oldest first. */
  #waiting: Exception[] = [];
  #length = 0;

  /** The number of messages that have not come back. */
  get size(): number {
    return this.#waiting.length;
  }

  /** Notes a message before it is published; gives the function that forgets it, where it was not. */
  add(channel: string, json: string, sid: string): () => void {
    const exception = { channel, json, sid, expires: performance.now() + LIFE };
    this.#waiting.push(exception);
    this.#length += json.length;
    this.#shrink();
    return () => this.#forget(this.#waiting.indexOf(exception));
  }

  /** Gives the `sid` of the socket that is not to get a message that has come back, once. */
  take(channel: string, json: string): string | undefined {
    // Stryker disable next-line ConditionalExpression: it is only quicker, for all messages that have no exception
    if (this.#waiting.length === 0) return undefined;
    this.#shrink();
    const index = this.#waiting.findIndex((each) => each.channel === channel && each.json === json);
    const sid = this.#waiting[index]?.sid;
    this.#forget(index);
    return sid;
  }

  #shrink(): void {
    const now = performance.now();
    for (;;) {
      const [oldest] = this.#waiting;
      const isTooMuch = this.#waiting.length > MOST || this.#length > MOST_LENGTH;
      if (!oldest || (!isTooMuch && oldest.expires > now)) return;
      this.#forget(0);
    }
  }

  #forget(index: number): void {
    const [gone] = index < 0 ? [] : this.#waiting.splice(index, 1);
    if (gone) this.#length -= gone.json.length;
  }
}
