import { type Batch, MARK, NUMBER_DIGITS, now, readDigits, readTime } from "../messages.js";
import type { Client } from "./client.js";

const MARK_BYTE = MARK.charCodeAt(0);

/** How long nothing may arrive, in milliseconds. */
const PATIENCE = 15_000;

/** What of a client is needed here. */
export type Receiver = Pick<Client, "take" | "onLost">;

export interface DeliveriesOptions {
  /** Among how many channels the clients are spread. */
  readonly channels: number;
  /** Of how many of them each client is a member. Default 1. */
  readonly each?: number;
  /** Bytes of a message. */
  readonly size: number;
  readonly publish: (batch: Batch) => void;
}

/**
 * The numbers of a client's channels, in order. All channels have as many members, and no two clients are in the same
 * ones where they need not be.
 */
export function channelNumbers(client: number, channels: number, each = 1): readonly number[] {
  const size = channels / each;
  const round = Math.floor(client / size);
  return Array.from({ length: each }, (_, group) => each * ((client + round * group) % size) + group).sort(
    (a, b) => a - b,
  );
}

/** Counts what clients receive of what is published: each has to get each message of its channel, in order. */
export class Deliveries {
  readonly #options: DeliveriesOptions;
  readonly #perMessage: number;
  /** The channels of each client, in order. */
  readonly #channelsOf: readonly (readonly number[])[];
  /** How many messages each client has received. */
  readonly #counts: Int32Array;
  #next = 0;
  #due = 0;
  #received = 0;
  #failure: Error | undefined;
  #onReceived: () => void = () => {};
  #delays: number[] | undefined;
  #size: number;

  constructor(clients: readonly Receiver[], options: DeliveriesOptions) {
    const { channels, each = 1 } = options;
    this.#options = options;
    this.#size = options.size;
    this.#perMessage = (clients.length * each) / channels;
    const areEqual = Number.isInteger(this.#perMessage / each) && channels % each === 0;
    if (!areEqual) throw new RangeError("Channels of unequal size");
    this.#channelsOf = clients.map((_, index) => channelNumbers(index, channels, each));
    this.#counts = new Int32Array(clients.length);
    clients.forEach((client, index) => {
      client.take = (buffer, start, end) => this.#count(index, buffer, start, end);
      client.onLost = (error) => this.#fail(error);
    });
  }

  /** Bytes of the messages from now on. */
  set size(size: number) {
    this.#size = size;
  }

  /**
   * Publishes batches of so many messages for so long, and then waits until all has arrived. The next batch is published
   * when all but the newest one have arrived, so that the server always has one to deliver, and no more than one waits
   * behind it. Resolves with the number of deliveries.
   */
  async saturate(count: number, milliseconds: number): Promise<number> {
    const before = this.#received;
    const end = performance.now() + milliseconds;
    const perBatch = count * this.#perMessage;
    this.#publish(count);
    while (performance.now() < end) {
      await this.#until(() => this.#due - this.#received < perBatch + 1);
      this.#publish(count);
    }
    await this.drain();
    return this.#received - before;
  }

  /**
   * Publishes so many batches, evenly spread over time. Resolves with how long each delivery took, from publishing to receipt,
   * in microseconds, sorted.
   */
  async pace(perSecond: number, milliseconds: number, count = 1): Promise<number[]> {
    const delays: number[] = [];
    this.#delays = delays;
    const start = performance.now();
    const total = Math.max(1, Math.round((perSecond * milliseconds) / 1000));
    for (let sent = 0; sent < total; ) {
      const wanted = Math.min(total, Math.floor(((performance.now() - start) * perSecond) / 1000) + 1);
      for (; sent < wanted; sent++) this.#publish(count);
      await new Promise((resolve) => setTimeout(resolve, 1));
      if (this.#failure) throw this.#failure;
    }
    await this.drain();
    this.#delays = undefined;
    return delays.sort((a, b) => a - b);
  }

  /** Waits until all that was published has arrived. */
  async drain(): Promise<void> {
    await this.#until(() => this.#received >= this.#due);
    for (const index of this.#counts.keys()) {
      const next = this.#nextOf(index);
      if (next < this.#next) throw new Error(`Client ${index} has not received message ${next}`);
    }
  }

  /** The number of the message that a client is to receive next. */
  #nextOf(index: number): number {
    const own = this.#channelsOf[index] ?? [];
    const count = this.#counts[index] ?? 0;
    return Math.floor(count / own.length) * this.#options.channels + (own[count % own.length] ?? 0);
  }

  #publish(count: number): void {
    const { channels, publish } = this.#options;
    publish({ first: this.#next, count, size: this.#size, channels });
    this.#next += count;
    this.#due += count * this.#perMessage;
  }

  #until(isReached: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      let [seen, quiet] = [this.#received, 0];
      const check = () => {
        if (!this.#failure && !isReached()) return;
        clearInterval(timer);
        this.#onReceived = () => {};
        if (this.#failure) reject(this.#failure);
        else resolve();
      };
      timer = setInterval(() => {
        quiet = this.#received === seen ? quiet + PATIENCE / 10 : 0;
        seen = this.#received;
        if (quiet >= PATIENCE) this.#fail(new Error(`${this.#due - this.#received} deliveries are missing`));
      }, PATIENCE / 10);
      this.#onReceived = check;
      check();
    });
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#onReceived();
  }

  #count(index: number, buffer: Buffer, start: number, end: number): void {
    const markFrom = (from: number) => buffer.indexOf(MARK_BYTE, from);
    for (let at = markFrom(start); at !== -1 && at < end; at = markFrom(at + 1)) {
      const number = readDigits(buffer, at + 1, NUMBER_DIGITS);
      const next = this.#nextOf(index);
      if (number !== next) {
        this.#fail(new Error(`Client ${index} has received message ${number}, not ${next}`));
      }
      this.#counts[index] = (this.#counts[index] ?? 0) + 1;
      this.#delays?.push(now() - readTime(buffer, at + 1));
      this.#received++;
    }
    this.#onReceived();
  }
}
