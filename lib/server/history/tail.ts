import type { Entry } from "../redis/history-log.js";

/** The bytes that an entry takes beside its message, about. */
const ENTRY_BYTES = 200;

/** The newest messages of one channel, without a gap, as far as there is room for them. */
export class Tail {
  readonly #tails: Tails;
  readonly #most: number;
  #entries: Entry[] = [];
  /** Whether there is nothing before them in Redis. */
  isWhole = false;

  /** `most` is the number of messages that it keeps at most. */
  constructor(tails: Tails, most: number) {
    this.#tails = tails;
    this.#most = most;
  }

  get length(): number {
    return this.#entries.length;
  }

  /** The offset of the first message; undefined where there is none. */
  get first(): number | undefined {
    return this.#entries[0]?.position.offset;
  }

  /** Says whether it has a message, and not another one at its offset. */
  has({ position: { epoch, offset, tag } }: Pick<Entry, "position">): boolean {
    const { position } = this.#entries[offset - (this.first ?? 0)] ?? {};
    return position?.offset === offset && position.tag === tag && position.epoch === epoch;
  }

  /** The messages from an offset on, at most so many. */
  from(offset: number, count: number, bytes: number): Entry[] {
    const start = Math.max(0, offset - (this.first ?? 0));
    const found: Entry[] = [];
    let length = 0;
    for (const entry of this.#entries.slice(start, start + count)) {
      found.push(entry);
      length += entry.json.length;
      if (length >= bytes) break;
    }
    return found;
  }

  /** Adds the newest message. */
  add(entry: Entry): void {
    this.#entries.push(entry);
    this.#tails.grow(this, bytesOf(entry));
    if (this.#entries.length > this.#most) this.shift();
  }

  /** Adds messages before the first one, up to it. */
  prepend(entries: readonly Entry[], isWhole: boolean): void {
    this.#entries = [...entries, ...this.#entries];
    this.isWhole = isWhole;
    this.#tails.grow(
      this,
      entries.reduce((bytes, entry) => bytes + bytesOf(entry), 0),
    );
    while (this.#entries.length > this.#most) this.shift();
  }

  /** Drops the oldest message; says whether there was one. */
  shift(): boolean {
    const entry = this.#entries.shift();
    if (!entry) return false;
    this.isWhole = false;
    this.#tails.shrink(bytesOf(entry));
    return true;
  }

  /** Drops all. */
  clear(): void {
    this.#tails.shrink(this.#entries.reduce((bytes, entry) => bytes + bytesOf(entry), 0));
    this.#tails.forget(this);
    this.#entries = [];
    this.isWhole = false;
  }
}

/** The tails of all channels, within a number of bytes: those of channels that have long had no message go first. */
export class Tails {
  readonly #limit: number;
  /** The one with the newest message last. */
  readonly #tails = new Set<Tail>();
  #bytes = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Takes note that a tail has grown, and makes room. */
  grow(tail: Tail, bytes: number): void {
    this.#bytes += bytes;
    this.#tails.delete(tail);
    this.#tails.add(tail);
    for (const oldest of this.#tails) {
      while (this.#bytes > this.#limit && oldest.shift());
      if (this.#bytes <= this.#limit) return;
      this.#tails.delete(oldest);
    }
  }

  shrink(bytes: number): void {
    this.#bytes -= bytes;
  }

  forget(tail: Tail): void {
    this.#tails.delete(tail);
  }
}

function bytesOf({ json }: Entry): number {
  return 2 * json.length + ENTRY_BYTES;
}
