import { parsePosition } from "../../../lib/shared/position.js";

/** A message as it was published. */
export interface Published {
  readonly at: string;
  /** The position before it, in the history as it was then. */
  readonly before: string;
  readonly offset: number;
  /** Its place among all of the channel, whatever became of the history meanwhile. */
  readonly index: number;
  readonly n: number;
}

/** A copy of a history, as a snapshot of Redis has it. */
export interface Snapshot {
  readonly log: readonly Published[];
  readonly newest: string | undefined;
}

/** All that was published on a channel, and what Redis has of it. */
export class Truth {
  readonly #size: number;
  readonly messages = new Map<string, Published>();
  /** What Redis has, the oldest first. */
  #log: Published[] = [];
  /** The newest position in Redis; undefined where the next publish begins anew. */
  #newest: string | undefined;
  /** What has been missing in Redis at some time. */
  readonly #gone = new Set<string>();
  /** How often the history has begun anew, or has gone back. */
  resets = 0;
  rollbacks = 0;
  /** The reasons for which messages have gone. */
  readonly reasons = new Set<string>();

  constructor(size: number) {
    this.#size = size;
  }

  /** Takes what Redis has published. */
  publish(at: string, n: number): void {
    const { epoch, offset } = parsed(at);
    const before = this.#newest ?? `${epoch}.0.0`;
    const known = parsed(before);
    if (known.epoch !== epoch || known.offset !== offset - 1) throw new Error(`${at} came after ${before}`);
    const message: Published = { at, before, offset, index: this.messages.size, n };
    this.messages.set(at, message);
    this.#newest = at;
    this.#log.push(message);
    if (this.#log.length > this.#size) this.#lose(this.#log.splice(0, 1), "trimmed");
    // what has gone otherwise before, there would be no room for any more either: nobody can tell then by which it went
    if (offset > this.#size) this.reasons.add("trimmed");
  }

  /** Takes a copy; Redis may have given a position to a history that is empty. */
  snapshot(newest: string | undefined): Snapshot {
    return { log: [...this.#log], newest };
  }

  restore({ log, newest }: Snapshot): void {
    if (newest === undefined || newest !== this.#newest) this.rollbacks++;
    const kept = new Set(log);
    this.#lose(
      this.#log.filter((message) => !kept.has(message)),
      "diverged",
    );
    // what was trimmed is back
    this.#log = [...log];
    this.#newest = newest;
  }

  /** Redis forgets where the channel was. */
  reset(): void {
    this.resets++;
    this.#newest = undefined;
    this.#lose(this.#log.splice(0), "reset");
  }

  /** Redis loses its oldest messages, and knows where the channel was. */
  expire(count = Infinity): void {
    this.#lose(this.#log.splice(0, count), "expired");
  }

  /** Says whether a client may have missed a message: it is gone, or was so long ago that it is not recovered. */
  mayBeMissed({ at, index }: Published, most: number): boolean {
    return this.#gone.has(at) || this.messages.size - index > most;
  }

  /**
   * The messages after a position, up to another one; undefined where that is of another history. Where the way does not lead
   * over the first position, it begins with what has its number, or the next one.
   */
  between(from: string, to: string): { readonly way: Published[]; readonly isWhole: boolean } | undefined {
    const start = parsed(from);
    if (parsed(to).epoch !== start.epoch) return undefined;
    const way: Published[] = [];
    let at = to;
    for (let message = this.messages.get(at); message && message.offset > start.offset; ) {
      way.push(message);
      at = message.before;
      message = this.messages.get(at);
    }
    return { way: way.reverse(), isWhole: at === from };
  }

  #lose(messages: readonly Published[], reason: string): void {
    for (const { at } of messages) this.#gone.add(at);
    if (messages.length > 0) this.reasons.add(reason);
  }
}

function parsed(at: string) {
  const position = parsePosition(at);
  if (!position) throw new Error(`${at} is no position`);
  return position;
}
