import { type Position, samePosition } from "../../shared/position.js";
import { inTime } from "../limits/in-time.js";
import { type Entry, type LogPage, type LogQuery, positionBefore } from "../redis/history-log.js";
import { type HistoryPart, type HistoryReader, LogReader, type PartBounds } from "./log-reader.js";
import type { Loss } from "./loss.js";
import { Tail, type Tails } from "./tail.js";

/** The parts of the server that a live channel needs. */
export interface LiveChannelParts {
  readonly reader: LogReader;
  readonly tails: Tails;
  /** The most messages that a repair or a recovery brings. */
  readonly recoverMessages: number;
  /** Milliseconds that Redis may take. */
  readonly patience: number;
  /** Delivers a message to the channel's members that are not behind. */
  readonly deliver: (entry: Entry) => void;
  /** Tells the channel's members that messages are lost, and from which position it goes on. */
  readonly lose: (loss: Loss, at: Position) => void;
  /** Told why Redis could not be read. */
  readonly onError: (error: unknown) => void;
}

/** Messages and bytes in one answer of Redis. */
const READ_COUNT = 500;
const READ_BYTES = 1_048_576;

/** Messages that wait for a repair at most; with more, the repair is given up. */
const MOST_HELD = 1000;

/** After how long a repair is tried again, in milliseconds. */
const RETRY_DELAY = 1000;

/**
 * A channel with history that sockets of this server have joined: how far its messages have been delivered here, and the
 * repair of what has not come from Redis.
 */
export class LiveChannel implements HistoryReader {
  readonly #parts: LiveChannelParts;
  /** The position up to which messages were delivered here; unknown until Redis has told one. */
  #at: Position | undefined;
  /** When Redis had come so far, by its own clock. */
  #time = 0;
  /** Messages that wait for a repair. */
  #held: Entry[] = [];
  #repairing: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  readonly #tail: Tail;
  #extending: Promise<void> | undefined;
  /** By how many milliseconds Redis' clock is ahead of this server's. */
  #ahead = 0;
  /** The number of messages that Redis had when it was asked last. */
  #length = 0;
  #isClosed = false;
  /** The reads of Redis that are under way, so that those who want the same share one. */
  readonly #reads = new Map<string, Promise<LogPage>>();
  /** Reads from the tail, or from Redis where it does not go as far back. */
  readonly #reader: LogReader;
  /** The members that are behind, each with what it is about: they get what comes by their own recovery. */
  readonly behind = new Map<object, object>();

  constructor(parts: LiveChannelParts) {
    this.#parts = parts;
    const { reader, tails, recoverMessages } = parts;
    this.#tail = new Tail(tails, Math.min(reader.bounds.size, recoverMessages));
    this.#reader = new LogReader(reader.bounds, (...query) => this.#read(...query));
  }

  get at(): Position | undefined {
    return this.#at;
  }

  /** Learns the present position, once Redis has confirmed the subscription; where that fails, with the first message. */
  async open(): Promise<void> {
    try {
      await this.#learnPosition();
    } catch (error) {
      this.#parts.onError(error);
    }
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    this.#tail.clear();
    // Stryker disable next-line ArrayDeclaration: it only gives memory back
    this.#held = [];
    this.behind.clear();
  }

  /** Resolves with the position from which a member may go on; rejects where Redis does not tell. */
  async position(): Promise<Position> {
    return this.#at ?? this.#learnPosition();
  }

  /** Takes a message that Redis has published. */
  receive(entry: Entry): void {
    if (this.#repairing) return this.#hold(entry);
    this.#at ??= positionBefore(entry);
    // the one up to which the position was learned may still have been on its way
    if (samePosition(this.#at, entry.position)) return;
    if (follows(this.#at, entry)) return this.#accept(entry);
    // one that a read has brought already
    if (this.#tail.has(entry)) return;
    this.#hold(entry);
    this.repair();
  }

  /** Looks whether Redis has more than has come here. */
  async check(): Promise<void> {
    if (this.#repairing || this.#isClosed) return;
    try {
      const known = await this.position();
      const { at } = await this.#ask({ count: 0, bytes: 0 });
      const hasMoved = !samePosition(this.#at, known);
      if (!samePosition(at, known) && !hasMoved) this.repair();
    } catch (error) {
      this.#parts.onError(error);
    }
  }

  /** Reads what has not come from Redis, once for all members. */
  repair(): void {
    if (this.#repairing || this.#isClosed) return;
    clearTimeout(this.#retry);
    this.#repairing = this.#repair().finally(() => {
      this.#repairing = undefined;
    });
  }

  /** Reads what came after a position, up to what has been delivered here. */
  async after(since: Position, bounds: PartBounds): Promise<HistoryPart> {
    const at = await this.position();
    // by another server a client may have got what has not come here yet
    const isAhead = since.epoch !== at.epoch || since.offset > at.offset;
    if (isAhead) await this.#catchUp();
    const part = await this.#reader.after(since, bounds);
    // also under a number that is known here
    const isOther = part.lost?.messages === null && !isAhead;
    // Redis has gone back, so that whoever waits for the channel to get there would read again and again
    const isBeside = isOther || !(part.hasMore || this.#hasBeenAt(part.at));
    return isBeside && (await this.#catchUp()) ? this.#reader.after(since, bounds) : part;
  }

  /** Says whether a position is the present one, or one of those in memory. */
  #hasBeenAt(position: Position): boolean {
    return samePosition(position, this.#at) || this.#tail.has({ position });
  }

  /**
   * Resolves when all that Redis has now was delivered here, with whether that was not so already; rejects where it cannot be
   * read.
   */
  async #catchUp(): Promise<boolean> {
    // a repair that was under way may have read before
    for (let tries = 1; ; tries++) {
      const { at } = await this.#ask({ count: 0, bytes: 0 });
      if (samePosition(at, this.#at)) return tries > 1;
      this.repair();
      await this.#repairing;
      if (this.#hasBeenAt(at)) return true;
      if (tries < 3) continue;
      // there may be no room for it in memory
      // Stryker disable next-line OptionalChaining: whoever waits for it knows the position
      if (this.#at?.epoch === at.epoch && this.#at.offset >= at.offset) return true;
      throw new Error("The history could not be read up to its end");
    }
  }

  /** Reads the newest messages, or the newest before a position, as they are in Redis. */
  before(before: Position | undefined, bounds: PartBounds): Promise<HistoryPart> {
    return this.#reader.before(before, bounds);
  }

  /** Reads the newest messages up to what has been delivered here. */
  async newest(count: number, bounds: PartBounds): Promise<HistoryPart> {
    return this.#reader.newest(await this.position(), count, bounds);
  }

  #hold(entry: Entry): void {
    this.#held.push(entry);
    if (this.#held.length > MOST_HELD) this.#giveUp();
  }

  #accept(entry: Entry): void {
    this.#at = entry.position;
    this.#time = entry.time;
    this.#tail.add(entry);
    this.#parts.deliver(entry);
  }

  /** Takes over what a read has brought beyond what was delivered. */
  #absorb(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (this.#at && follows(this.#at, entry)) this.#accept(entry);
    }
  }

  async #repair(): Promise<void> {
    const { reader, patience, recoverMessages: most } = this.#parts;
    try {
      for (;;) {
        const since = await this.position();
        const arrived = this.#held.length;
        const part = await inTime(
          patience,
          reader.after(since, { count: READ_COUNT, bytes: READ_BYTES, most }),
        );
        if (this.#isClosed) return;
        // others may have read what was missing in the meantime
        if (part.lost && !samePosition(this.#at, since)) continue;
        this.#take(part, since);
        if (!part.hasMore && this.#release(arrived)) return;
      }
    } catch (error) {
      if (this.#isClosed) return;
      this.#parts.onError(error);
      this.#retry = setTimeout(() => this.repair(), RETRY_DELAY);
      this.#retry.unref();
    }
  }

  /** Delivers a part of what was missing, and tells what is lost. */
  #take({ entries, at, lost }: HistoryPart, since: Position): void {
    if (!lost) return this.#absorb(entries);
    const missing = entries.filter((entry) => !this.#wasDelivered(entry, since));
    const [first] = missing;
    this.#tail.clear();
    this.#parts.lose(lost, first ? positionBefore(first) : at);
    for (const entry of missing) this.#accept(entry);
    this.#at = at;
  }

  /** Says whether a message was delivered before its history went back; where that is not known, by its time. */
  #wasDelivered(entry: Entry, { epoch, offset }: Position): boolean {
    const { position, time } = entry;
    if (position.epoch !== epoch || position.offset > offset) return false;
    if (position.offset >= (this.#tail.first ?? Infinity)) return this.#tail.has(entry);
    // one of the same millisecond may be newer; clients know by its position whether they have it
    return time < this.#time;
  }

  /**
   * Delivers what has waited; the first `arrived` of them had come before Redis was read, so that they were read or are
   * gone. Says whether nothing is missing any more.
   */
  #release(arrived: number): boolean {
    const held = this.#held.splice(0);
    for (const [index, entry] of held.entries()) {
      if (this.#at && follows(this.#at, entry)) this.#accept(entry);
      else if (index >= arrived && !this.#tail.has(entry)) {
        // Stryker disable next-line MethodExpression: those before it are passed over
        this.#held = held.slice(index);
        return false;
      }
    }
    return true;
  }

  /** Goes on with what has waited, since Redis cannot be read. */
  #giveUp(): void {
    const held = this.#held.splice(0);
    for (const entry of held) {
      if (this.#at && entry.position.epoch === this.#at.epoch && entry.position.offset <= this.#at.offset)
        continue;
      if (this.#at && !follows(this.#at, entry)) {
        const isKnown = entry.position.epoch === this.#at.epoch;
        const messages = isKnown ? entry.position.offset - this.#at.offset - 1 : null;
        this.#parts.lose({ messages, reason: "limit" }, positionBefore(entry));
        this.#tail.clear();
      }
      this.#accept(entry);
    }
  }

  async #learnPosition(): Promise<Position> {
    const { at, now } = await this.#ask({ count: 0, bytes: 0 });
    if (!this.#at) this.#time = now;
    this.#at ??= at;
    return this.#at;
  }

  /** Reads from the tail where it goes as far back, or makes it go as far. */
  async #read(query: LogQuery, mayLackFirst = false): Promise<LogPage> {
    const { from } = query;
    if (from === undefined) return this.#ask(query);
    const at = await this.position();
    const isNear = from >= at.offset - this.#parts.recoverMessages;
    for (let tries = 0; isNear && tries < 2 && !this.#covers(from, mayLackFirst); tries++)
      await this.#extend(from);
    if (this.#at && this.#covers(from, mayLackFirst)) return this.#page(this.#at, from, query);
    const page = await this.#ask(query);
    // what is in memory is of another history, and whoever reads both would begin again and again
    // Stryker disable next-line OptionalChaining: it is known by now
    if (page.at.epoch !== this.#at?.epoch) this.repair();
    this.#absorb(page.entries);
    return page;
  }

  #covers(from: number, mayLackFirst: boolean): boolean {
    return this.#tail.isWhole || from >= this.#tailStart - Number(mayLackFirst);
  }

  #page(at: Position, from: number, { count, bytes }: LogQuery): LogPage {
    const { size } = this.#parts.reader.bounds;
    return {
      at,
      now: Date.now() + this.#ahead,
      length: this.#tail.isWhole ? Math.max(this.#tail.length, this.#length) : size,
      entries: this.#tail.from(from, count, bytes),
    };
  }

  /** Reads once, for all who want it, what the tail lacks from an offset on. */
  #extend(from: number): Promise<void> {
    this.#extending ??= this.#extendFrom(from).finally(() => {
      this.#extending = undefined;
    });
    return this.#extending;
  }

  async #extendFrom(offset: number): Promise<void> {
    const read: Entry[] = [];
    for (let from = offset; ; ) {
      const { entries, at } = await this.#ask({ from, count: READ_COUNT, bytes: READ_BYTES });
      // another history, or one that has gone back and never comes up to the tail
      // Stryker disable next-line OptionalChaining: it is known where something is read
      if (at.epoch !== this.#at?.epoch || at.offset < from) return this.repair();
      this.#absorb(entries);
      read.push(...entries);
      const last = entries.at(-1)?.position.offset ?? at.offset;
      if (last >= this.#tailStart - 1) break;
      from = last + 1;
    }
    const isWhole = (read[0]?.position.offset ?? Infinity) > offset;
    const older = read.filter(({ position }) => position.offset < this.#tailStart);
    if (isGapless(older) && this.#isBeforeTail(older.at(-1))) this.#tail.prepend(older, isWhole);
  }

  /** The offset at which the tail begins, or will. */
  get #tailStart(): number {
    return this.#tail.first ?? (this.#at?.offset ?? 0) + 1;
  }

  /** Says whether a message is the last one before the tail; none is where Redis has none before it. */
  #isBeforeTail(entry: Entry | undefined): boolean {
    if (!entry) return true;
    const [first] = this.#tail.from(0, 1, 0);
    return (
      entry.position.offset === this.#tailStart - 1 && entry.position.tag === (first?.before ?? this.#at?.tag)
    );
  }

  /** Asks Redis. Those who ask the same at once share the answer. */
  #ask(query: LogQuery): Promise<LogPage> {
    const key = JSON.stringify(query);
    const known = this.#reads.get(key);
    if (known) return known;
    const reading = inTime(this.#parts.patience, this.#parts.reader.read(query)).then((page) => {
      this.#ahead = page.now - Date.now();
      this.#length = page.length;
      return page;
    });
    this.#reads.set(key, reading);
    const forget = () => this.#reads.delete(key);
    reading.then(forget, forget);
    return reading;
  }
}

function isGapless(entries: readonly Entry[]): boolean {
  return entries.every(
    // Stryker disable next-line OptionalChaining: who has one has a first one
    ({ position }, index) => position.offset === (entries[0]?.position.offset ?? 0) + index,
  );
}

function follows(at: Position, { position, before }: Entry): boolean {
  return position.epoch === at.epoch && position.offset === at.offset + 1 && before === at.tag;
}
