import { formatPosition, type Position } from "../../shared/position.js";
import {
  EMPTY_LIFE,
  type Entry,
  encodeEnvelope,
  type HistoryBounds,
  type HistoryNames,
  ID_LIFE,
  type Kept,
  type LogPage,
  type LogQuery,
  type NewEntry,
  newEpoch,
  newTag,
} from "./history-log.js";

interface Log {
  at: Position;
  entries: Entry[];
  /** When the messages are gone, and when the position is, in milliseconds since 1970. */
  entriesExpire: number;
  expires: number;
}

/** The histories of an embedded store, with the operations of the scripts. */
export class MemoryLogs {
  readonly #logs = new Map<string, Log>();
  readonly #ids = new Map<string, { readonly at: string; readonly expires: number }>();

  /** The number of histories and ids, including those that have expired since the last sweep. */
  get size(): number {
    return this.#logs.size + this.#ids.size;
  }

  /** Keeps a message, and publishes it by the function that is given. */
  keep(
    names: HistoryNames,
    { size, ttl, positionTtl }: HistoryBounds,
    { json, id, except }: NewEntry,
    publish: (payload: string) => void,
  ): Kept {
    const now = Date.now();
    const key = id === undefined ? undefined : names.idOf(id);
    const first = key && this.#ids.get(key);
    if (first && first.expires > now) return { at: first.at, isRepeated: true };
    const log = this.#of(names, now, positionTtl);
    const { epoch, offset, tag: before } = log.at;
    const position = { epoch, offset: offset + 1, tag: newTag() };
    const entry: Entry = {
      position,
      before,
      time: now,
      json: json.toWellFormed(),
      ...(except !== undefined && { except }),
    };
    log.at = position;
    const { entries } = log;
    entries.push(entry);
    // the newest is kept in any case; the oldest ones are the first to expire
    const gone = Math.max(
      entries.length - size,
      entries.findIndex(({ time }) => time + ttl > now),
    );
    // mostly it is one, and this moves no others
    if (gone === 1) entries.shift();
    else entries.splice(0, gone);
    log.entriesExpire = now + ttl;
    log.expires = now + positionTtl;
    const at = formatPosition(position);
    if (key !== undefined) this.#ids.set(key, { at, expires: now + ID_LIFE });
    publish(encodeEnvelope(entry));
    return { at, isRepeated: false };
  }

  /** Reads a part of a history. */
  read(names: HistoryNames, { positionTtl }: HistoryBounds, { from, to, count, bytes }: LogQuery): LogPage {
    const now = Date.now();
    const log = this.#of(names, now, positionTtl);
    const isBackwards = from === undefined;
    // there is no gap in the offsets
    const first = log.entries[0]?.position.offset ?? 0;
    const start = Math.max(0, (from ?? 0) - first);
    const end = Math.max(0, (to ?? Infinity) + 1 - first);
    const found = isBackwards
      ? log.entries.slice(0, end).slice(-count).reverse()
      : log.entries.slice(start, start + count);
    const entries: Entry[] = [];
    let length = 0;
    for (const entry of count > 0 ? found : []) {
      entries.push(entry);
      length += entry.json.length;
      if (length >= bytes) break;
    }
    if (isBackwards) entries.reverse();
    return { at: log.at, now, length: log.entries.length, entries };
  }

  /** Clears away what has expired. */
  sweep(): void {
    const now = Date.now();
    for (const kept of [this.#logs, this.#ids]) {
      for (const [key, { expires }] of kept) {
        if (expires <= now) kept.delete(key);
      }
    }
    // Stryker disable next-line BlockStatement: it only frees memory, as whoever reads does the same
    for (const log of this.#logs.values()) {
      if (log.entriesExpire <= now) log.entries = [];
    }
  }

  /** The history of a channel, which begins anew where its position has been forgotten. */
  #of(names: HistoryNames, now: number, positionTtl: number): Log {
    const empty = Math.min(positionTtl, EMPTY_LIFE);
    const known = this.#logs.get(names.log);
    if (known && known.expires > now) {
      known.expires = now + (known.at.offset === 0 ? empty : positionTtl);
      if (known.entriesExpire <= now) known.entries = [];
      return known;
    }
    const at = { epoch: newEpoch(), offset: 0, tag: "0" };
    const log = { at, entries: [], entriesExpire: 0, expires: now + empty };
    this.#logs.set(names.log, log);
    return log;
  }
}
