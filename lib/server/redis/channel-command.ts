import { attempt } from "./client-driver.js";

/** Channels in one command; more make several commands. */
export const MOST_CHANNELS = 1_000;

/** A channel that waits for the command. */
interface Waiting {
  readonly channel: string;
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * `SUBSCRIBE` or `UNSUBSCRIBE` for the channels of one turn of the event loop together: most of a command's cost is its
 * way to Redis and back. A channel must not be given again before its answer.
 */
export class ChannelCommand {
  readonly #send: (channels: readonly string[]) => Promise<unknown>;
  #waiting: Waiting[] = [];

  constructor(send: (channels: readonly string[]) => Promise<unknown>) {
    this.#send = send;
  }

  /** Has a channel in the command at the end of the turn; settles when Redis has answered. */
  run(channel: string): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) setImmediate(() => this.#flush());
      this.#waiting.push({ channel, resolve, reject });
    });
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (let first = 0; first < waiting.length; first += MOST_CHANNELS) {
      this.#sendTogether(waiting.slice(first, first + MOST_CHANNELS));
    }
  }

  #sendTogether(waiting: readonly Waiting[]): void {
    attempt(() => this.#send(waiting.map(({ channel }) => channel))).then(
      () => {
        for (const { resolve } of waiting) resolve();
      },
      (error: unknown) => {
        // one channel that is not allowed must not keep the others out
        if (isPartlyRefused(waiting, error)) for (const each of waiting) this.#sendTogether([each]);
        else for (const { reject } of waiting) reject(error);
      },
    );
  }
}

/**
 * Says whether Redis has refused a command that it may take for some of its channels: an answer begins with a code, such
 * as NOPERM, and the clients' own errors with a sentence.
 */
export function isPartlyRefused(channels: readonly unknown[], error: unknown): boolean {
  return channels.length > 1 && error instanceof Error && /^[A-Z]{2,} /.test(error.message);
}
