import type { PayloadListener } from "../redis/broker.js";
import {
  type ListVersion,
  type MemberPage,
  type MemberRecord,
  type MemberRecords,
  type PublishedChange,
  parsePublishedChange,
  readAllMembers,
} from "../redis/member-list.js";
import { encodeMember } from "./member.js";
import type { PresenceTimes } from "./presence-times.js";

/** The parts of the server that a channel's live list needs. */
export interface LiveMembersParts {
  readonly channel: string;
  readonly isCount: boolean;
  readonly times: PresenceTimes;
  /** Bytes of one frame or page, about. */
  readonly frameBytes: number;
  readonly subscribe: (listener: PayloadListener) => Promise<void>;
  readonly unsubscribe: (listener: PayloadListener) => Promise<void>;
  readonly read: (cursor: string) => Promise<MemberPage>;
  readonly onError: (error: unknown) => void;
}

/** A client that observes a channel. */
export interface Observer {
  send(frame: string): void;
}

/** A member as observers have been told of it. */
interface Listed {
  /** The order in which they have been told; pages go by it. */
  readonly number: number;
  record: MemberRecord;
}

/** A change that observers have not been told of. */
interface Pending {
  /** Undefined for one that has left. */
  record: MemberRecord | undefined;
  /** Whether the one that they know has left. */
  hasLeft: boolean;
}

/** Something that waits until observers have been told of a version. */
interface Waiter {
  readonly at: ListVersion;
  readonly reads: number;
  readonly resolve: () => void;
}

/** A part of a list, as observers get it. */
export interface ListPage {
  readonly v: number;
  readonly count: number;
  /** Absent where they get numbers alone. */
  readonly members?: readonly string[];
  readonly next?: string;
}

/** Members in one page at most. */
const MOST_MEMBERS = 500;

/** Changes that wait while the list is read at most; with more, it is read again. */
const MOST_HELD = 1000;

/**
 * The members of a channel that clients of this server observe, as they have been told of them. It follows what servers publish,
 * and where something was missed it reads the list anew, once for all its observers, and tells them what is different.
 */
export class LiveMembers {
  readonly #parts: LiveMembersParts;
  readonly observers = new Set<Observer>();
  /** The number of clients that are about to observe it. */
  waiting = 0;
  readonly #told = new Map<string, Listed>();
  readonly #pending = new Map<string, Pending>();
  #inOrder: readonly Listed[] | undefined;
  #numbers = 0;
  /** The version that observers see, which rises with each frame. */
  #v = 1;
  /** Where numbers alone are told: the one that was, and the newest. */
  #toldCount = 0;
  #count = 0;
  /** The version of the list in Redis that is known here. */
  #at: ListVersion | undefined;
  #held: PublishedChange[] | undefined;
  #isBehind = false;
  /** Until when members may be missing in Redis that are there, by `performance.now()`. */
  #unsettledUntil = 0;
  #timer: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  #settling: NodeJS.Timeout | undefined;
  #opening: Promise<void> | undefined;
  #waiters: Waiter[] = [];
  /** The number of times that the list was read. */
  #reads = 0;
  #isClosed = false;

  constructor(parts: LiveMembersParts) {
    this.#parts = parts;
  }

  /** Resolves when the list is known; rejects where Redis does not tell. */
  open(): Promise<void> {
    this.#opening ??= this.#open();
    return this.#opening;
  }

  /** Ends it. */
  close(): void {
    this.#isClosed = true;
    for (const timer of [this.#timer, this.#retry, this.#settling]) clearTimeout(timer);
    for (const { resolve } of this.#waiters.splice(0)) resolve();
    this.#parts.unsubscribe(this.#listener).catch(this.#parts.onError);
  }

  /** Resolves when observers have been told of a version. */
  caughtUp(at: ListVersion): Promise<void> | undefined {
    const reads = this.#reads;
    if (this.#hasReached(at, reads)) return undefined;
    if (this.#at?.epoch !== at.epoch) void this.#read();
    return new Promise((resolve) => this.#waiters.push({ at, reads, resolve }));
  }

  /** Gives the part of the list after a place, as observers have been told. */
  page(after = 0): ListPage {
    if (this.#parts.isCount) return { v: this.#v, count: this.#toldCount };
    this.#inOrder ??= [...this.#told.values()];
    const listed = this.#inOrder;
    const members: string[] = [];
    let bytes = 0;
    let i = firstAfter(listed, after);
    let last = after;
    for (; i < listed.length && members.length < MOST_MEMBERS && bytes < this.#parts.frameBytes; i++) {
      const { number, record } = listed[i] as Listed;
      const json = encodeMember(record);
      last = number;
      members.push(json);
      bytes += json.length;
    }
    const isMore = i < listed.length;
    return {
      v: this.#v,
      count: this.#told.size,
      members,
      ...(isMore && { next: String(last) }),
    };
  }

  /** Reads the list and tells what is different: something may have been missed. Never rejects. */
  async check(): Promise<void> {
    if (this.#at && !this.#isClosed) await this.#read();
  }

  async #open(): Promise<void> {
    await this.#parts.subscribe(this.#listener);
    if (this.#isClosed) return;
    await this.#load();
  }

  readonly #listener = (payload: string): void => {
    const change = parsePublishedChange(payload);
    if (!change || this.#isClosed) return;
    if (!this.#held) return this.#apply(change);
    if (this.#held.length < MOST_HELD) this.#held.push(change);
    else this.#isBehind = true;
  };

  #apply(change: PublishedChange): void {
    const { at } = change;
    const known = this.#at;
    if (!known) return;
    if (at.epoch === known.epoch) {
      if (at.version <= known.version) return;
      if (at.version > known.version + 1) return void this.#read();
    } else if (at.version > 1 || this.#size > 0) return void this.#read();
    this.#at = at;
    this.#take(change);
    this.#resolveWaiters();
  }

  #take({ count, joined, refilled, updated, left, sockets }: PublishedChange): void {
    if (this.#parts.isCount) return this.#setCount(count);
    for (const record of [...joined, ...refilled]) {
      const current = this.#isUnsettled ? this.#current(record.id) : undefined;
      // it was there all the time, but may have set its state since
      if (current && current.stateAt >= record.stateAt) this.#setSockets(record.id, record.sockets);
      else this.#set(record.id, record);
    }
    for (const record of updated) this.#set(record.id, record);
    for (const id of left) this.#set(id, undefined);
    for (const [id, number] of sockets) this.#setSockets(id, number);
  }

  get #size(): number {
    return this.#parts.isCount ? this.#count : this.#told.size + this.#pending.size;
  }

  get #isUnsettled(): boolean {
    return performance.now() < this.#unsettledUntil;
  }

  #current(id: string): MemberRecord | undefined {
    const pending = this.#pending.get(id);
    return pending ? pending.record : this.#told.get(id)?.record;
  }

  #set(id: string, record: MemberRecord | undefined): void {
    const pending = this.#pending.get(id);
    if (pending) {
      pending.record = record;
      pending.hasLeft ||= !record;
    } else this.#pending.set(id, { record, hasLeft: !record });
    this.#schedule();
  }

  /** Nobody is told of that: it is in the next page that has the member. */
  #setSockets(id: string, sockets: number): void {
    const pending = this.#pending.get(id);
    if (pending?.record) pending.record = { ...pending.record, sockets };
    const listed = this.#told.get(id);
    if (listed) listed.record = { ...listed.record, sockets };
  }

  #setCount(count: number): void {
    this.#count = this.#isUnsettled ? Math.max(count, this.#count) : count;
    if (this.#count !== this.#toldCount) this.#schedule();
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => this.#tell(), this.#parts.times.collect).unref();
  }

  /** Tells observers what is different from what they have been told. */
  #tell(): void {
    this.#timer = undefined;
    if (this.#parts.isCount) {
      if (this.#count !== this.#toldCount) {
        this.#toldCount = this.#count;
        this.#send(`"count":${this.#count}`);
      }
      return this.#resolveWaiters();
    }
    const [joined, left, updated] = this.#settle();
    const lists = Object.entries({ join: joined, leave: left, update: updated }).filter(
      ([, list]) => list.length > 0,
    );
    if (lists.length > 0) {
      const text = lists.map(([name, list]) => `"${name}":[${list.join(",")}]`).join(",");
      // what is too much for one frame they ask for in pages
      if (text.length > this.#parts.frameBytes) this.#send('"resync":true');
      else this.#send(`"count":${this.#told.size},${text}`);
    }
    this.#resolveWaiters();
  }

  /** Makes the changes that wait; gives those who have joined, those who have left, and those who are different. */
  #settle(): readonly [joined: string[], left: string[], updated: string[]] {
    const joined: string[] = [];
    const left: string[] = [];
    const updated: string[] = [];
    for (const [id, { record, hasLeft }] of this.#pending) {
      const listed = this.#told.get(id);
      if (listed && (hasLeft || !record)) {
        this.#told.delete(id);
        left.push(`{"id":${JSON.stringify(id)}}`);
      }
      if (!record) continue;
      if (!listed || hasLeft) {
        this.#told.set(id, { number: ++this.#numbers, record });
        joined.push(encodeMember(record));
      } else {
        if (isOther(listed.record, record)) updated.push(encodeMember(record));
        listed.record = record;
      }
    }
    this.#pending.clear();
    if (joined.length > 0 || left.length > 0) this.#inOrder = undefined;
    return [joined, left, updated];
  }

  #send(fields: string): void {
    // a version that nobody has seen need not be another one
    if (this.observers.size === 0) return;
    this.#v++;
    const frame = `{"presence":${JSON.stringify(this.#parts.channel)},"v":${this.#v},${fields}}`;
    for (const observer of this.observers) observer.send(frame);
  }

  /** Whether observers have been told of a version, or of a list of another epoch that was read since so many reads. */
  #hasReached(at: ListVersion, reads: number): boolean {
    const known = this.#at;
    if (this.#timer !== undefined || this.#held || !known) return false;
    return known.epoch === at.epoch ? known.version >= at.version : this.#reads > reads;
  }

  #resolveWaiters(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) {
      if (this.#hasReached(waiter.at, waiter.reads)) waiter.resolve();
      else this.#waiters.push(waiter);
    }
  }

  /** Reads the list, and again after a while where that fails. */
  async #read(): Promise<void> {
    if (this.#held || this.#isClosed) {
      this.#isBehind = true;
      return;
    }
    try {
      await this.#load();
    } catch (error) {
      this.#parts.onError(error);
      if (this.#isClosed) return;
      clearTimeout(this.#retry);
      this.#retry = setTimeout(() => void this.#read(), this.#parts.times.retry).unref();
    }
  }

  /** Reads the list; what is published meanwhile waits. */
  async #load(): Promise<void> {
    const held: PublishedChange[] = [];
    this.#held = held;
    this.#isBehind = false;
    try {
      const { at, count, members } = await this.#readAll();
      if (this.#isClosed) return;
      this.#reads++;
      this.#adopt(at, count, members);
    } finally {
      this.#held = undefined;
    }
    for (const change of held) {
      // a further look has taken its place
      if (this.#held) return;
      this.#apply(change);
    }
    if (this.#isBehind && !this.#held) return void this.#read();
    this.#resolveWaiters();
  }

  /** What has changed since the first page is published, and waits. */
  #readAll(): Promise<MemberRecords> {
    const { read, isCount } = this.#parts;
    // one page has the number
    return readAllMembers(async (cursor) => {
      const page = await read(cursor);
      return isCount ? { ...page, next: undefined } : page;
    });
  }

  /** Takes a list that was read for the present one. */
  #adopt(at: ListVersion, count: number, members: ReadonlyMap<string, MemberRecord>): void {
    const known = this.#at;
    this.#at = at;
    if (!known) return this.#begin(count, members);
    if (at.epoch !== known.epoch || at.version < known.version) this.#unsettle();
    if (this.#parts.isCount) return this.#setCount(count);
    const isUnsettled = this.#isUnsettled;
    for (const id of new Set([...this.#told.keys(), ...this.#pending.keys()])) {
      if (!isUnsettled && !members.has(id) && this.#current(id)) this.#set(id, undefined);
    }
    for (const [id, record] of members) {
      const current = this.#current(id);
      const isNewer = !isUnsettled || record.stateAt > (current?.stateAt ?? 0);
      if (!current || (isNewer && isOther(current, record))) this.#set(id, record);
      else this.#setSockets(id, record.sockets);
    }
  }

  #begin(count: number, members: ReadonlyMap<string, MemberRecord>): void {
    this.#toldCount = count;
    this.#count = count;
    if (this.#parts.isCount) return;
    for (const [id, record] of members) this.#told.set(id, { number: ++this.#numbers, record });
  }

  /** Redis was emptied: servers write their members again, and until then nobody has left. */
  #unsettle(): void {
    const { settle } = this.#parts.times;
    this.#unsettledUntil = performance.now() + settle;
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => void this.#read(), settle + 1).unref();
  }
}

function isOther(a: MemberRecord, b: MemberRecord): boolean {
  return a.info !== b.info || a.state !== b.state;
}

/** The index of the first one behind a place. */
function firstAfter(listed: readonly Listed[], after: number): number {
  let [low, high] = [0, listed.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((listed[middle] as Listed).number <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}
