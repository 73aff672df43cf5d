import { type Position, samePosition } from "../../shared/position.js";
import type { Entry, HistoryBounds, LogPage, LogQuery } from "../redis/history-log.js";
import { addLoss, isAlive, judge, type Loss } from "./loss.js";

/** A part of what a reader wants. */
export interface HistoryPart {
  /** In order. */
  readonly entries: readonly Entry[];
  /** The position up to which the reader has come. */
  readonly at: Position;
  /** What the reader has lost on the way. */
  readonly lost: Loss | undefined;
  /** Whether there is more in the direction of reading. */
  readonly hasMore: boolean;
}

/** The bounds of one part. */
export interface PartBounds {
  /** Messages at most. */
  readonly count: number;
  /** Bytes after which no further message is added. */
  readonly bytes: number;
  /** The most messages of all parts together: if there are more, the oldest of them are lost. Default: no bound. */
  readonly most?: number | undefined;
}

/** Reads a channel's history in both directions. */
export interface HistoryReader {
  /** Reads what came after a position, the oldest first. */
  after(since: Position, bounds: PartBounds): Promise<HistoryPart>;
  /** Reads the newest messages, or the newest before a position. */
  before(before: Position | undefined, bounds: PartBounds): Promise<HistoryPart>;
}

/** Reads the history of one channel, and judges what a reader has lost. */
export class LogReader implements HistoryReader {
  readonly bounds: HistoryBounds;
  /** Reads messages as they are in Redis. With `mayLackFirst`, those behind the first offset are enough. */
  readonly read: (query: LogQuery, mayLackFirst?: boolean) => Promise<LogPage>;

  constructor(bounds: HistoryBounds, read: (query: LogQuery, mayLackFirst?: boolean) => Promise<LogPage>) {
    this.bounds = bounds;
    this.read = read;
  }

  async after(since: Position, { count, bytes, most = Infinity }: PartBounds): Promise<HistoryPart> {
    const page = await this.#pageBehind(since, count, bytes);
    const verdict = judge(page, since, this.bounds);
    const { at } = page;
    if (!verdict.isComplete && verdict.loss.messages === null) {
      // what there is, from the beginning
      const restart = await this.newest(at, most, { count, bytes });
      if (restart.at.epoch !== at.epoch) return this.after(since, { count, bytes, most });
      return { ...restart, lost: verdict.loss };
    }
    const lost = verdict.isComplete ? undefined : verdict.loss;
    const missed = at.offset - since.offset - (lost?.messages ?? 0);
    if (missed > most) {
      const restart = await this.newest(at, most, { count, bytes });
      const given = restart.entries[0]?.position.offset ?? restart.at.offset + 1;
      // the history has gone back, or begun anew, between the two reads
      if (restart.at.epoch !== at.epoch || given <= since.offset + 1)
        return this.after(since, { count, bytes, most });
      return { ...restart, lost: { messages: given - 1 - since.offset, reason: "limit" } };
    }
    return { ...this.#part(page, since.offset, count), lost };
  }

  /** Reads what is behind a position, up to a number of messages, mostly with the one at the position before them. */
  async #pageBehind(since: Position, count: number, bytes: number): Promise<LogPage> {
    const page = await this.read({ from: since.offset, count: count + 1, bytes }, true);
    const [first, second] = page.entries;
    if (first?.position.offset !== since.offset) return { ...page, entries: page.entries.slice(0, count) };
    // a long message at the position itself may have left no room for those behind it
    const isAlone = !second && samePosition(first.position, since) && page.at.offset > since.offset;
    return isAlone ? this.read({ from: since.offset + 1, count, bytes }) : page;
  }

  async before(before: Position | undefined, { count, bytes }: PartBounds): Promise<HistoryPart> {
    const page = await this.read({ ...(before && { to: before.offset - 1 }), count, bytes });
    const { at, now, entries } = page;
    if (before && before.epoch !== at.epoch) {
      return { entries: [], at, lost: { messages: null, reason: "reset" }, hasMore: false };
    }
    const alive = entries.filter((entry) => isAlive(entry, now, this.bounds));
    const first = alive[0]?.position.offset ?? 1;
    const isCut = entries.length === count || lengthOf(entries) >= bytes;
    return {
      entries: alive,
      at,
      lost: undefined,
      hasMore: isCut && alive.length === entries.length && first > 1,
    };
  }

  /** Reads the newest messages up to a position, from the oldest of them on. */
  async newest(newest: Position, most: number, { count, bytes }: PartBounds): Promise<HistoryPart> {
    // Redis takes no offset below 0
    const from = Math.max(0, newest.offset - most);
    const page = await this.read({ from: from + 1, count, bytes });
    const { at } = page;
    // the history has begun anew, or gone back, so that what is new in it may be before what was read
    const isOther = at.epoch !== newest.epoch || at.offset < newest.offset;
    if (isOther) return this.newest(at, most, { count, bytes });
    return { ...this.#part(page, from, count), lost: undefined };
  }

  /** What is alive of a page behind an offset. */
  #part({ at, now, entries }: LogPage, offset: number, count: number): Omit<HistoryPart, "lost"> {
    const behind = entries.filter(({ position }) => position.offset > offset).slice(0, count);
    const end = behind.at(-1)?.position ?? at;
    const alive = behind.filter((entry) => isAlive(entry, now, this.bounds));
    return { entries: alive, at: end, hasMore: end.offset < at.offset };
  }
}

/** Reads several parts as one, up to a number of messages. */
export async function collect(
  count: number,
  next: (count: number, before: HistoryPart | undefined) => Promise<HistoryPart>,
): Promise<HistoryPart> {
  let all: HistoryPart | undefined;
  for (;;) {
    const part: HistoryPart = await next(count - (all?.entries.length ?? 0), all);
    all = {
      ...part,
      entries: [...(all?.entries ?? []), ...part.entries],
      lost: addLoss(all?.lost, part.lost),
    };
    if (!part.hasMore || all.entries.length >= count) return all;
  }
}

function lengthOf(entries: readonly Entry[]): number {
  return entries.reduce((length, { json }) => length + json.length, 0);
}
