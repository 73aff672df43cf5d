import { startTimer } from "../../shared/times.js";
import { QueueError } from "../errors.js";

/** Bounds on what waits for a connection. */
export interface QueueOptions {
  /** Calls. Default 1000. */
  count?: number | undefined;
  /** Bytes in all of them. Default 262,144. */
  bytes?: number | undefined;
  /** Milliseconds that one may wait. Default 25,000. */
  age?: number | undefined;
}

interface Waiting<Item> {
  readonly item: Item;
  readonly bytes: number;
  readonly stop: () => void;
}

/** An offline queue: calls that wait for a connection, in order, within bounds. */
export class Queue<Item> {
  readonly #limits: Required<{ [Key in keyof QueueOptions]: number }>;
  readonly #onExpired: (id: number) => void;
  readonly #waiting = new Map<number, Waiting<Item>>();
  #bytes = 0;

  /** `onExpired` gets the id of what has waited for too long and has been taken out. */
  constructor(limits: { count: number; bytes: number; age: number }, onExpired: (id: number) => void) {
    this.#limits = limits;
    this.#onExpired = onExpired;
  }

  /** Throws a `QueueError` where there is no room for it. */
  add(id: number, text: string, item: Item): void {
    const { count, bytes: most, age } = this.#limits;
    const bytes = byteLength(text);
    if (this.#waiting.size >= count || this.#bytes + bytes > most) throw new QueueError("queue_full");
    const stop = startTimer(age, () => {
      this.delete(id);
      this.#onExpired(id);
    });
    this.#waiting.set(id, { item, bytes, stop });
    this.#bytes += bytes;
  }

  delete(id: number): void {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    waiting.stop();
    this.#bytes -= waiting.bytes;
    this.#waiting.delete(id);
  }

  /** Takes everything out. */
  drain(): [id: number, item: Item][] {
    return [...this.#waiting].map(([id, { item }]) => {
      this.delete(id);
      return [id, item];
    });
  }
}

/** Bytes of a text as it is sent. */
export function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}
