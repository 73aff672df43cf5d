import type { ListVersion, MemberChange, MemberRecord } from "../redis/member-list.js";

/** Settles when an entry has been written. */
export interface Waiter {
  readonly resolve: (written: Written) => void;
  readonly reject: (error: unknown) => void;
}

/** The outcome of writing an entry. */
export interface Written {
  /** The list's version by then. */
  readonly at: ListVersion;
  /** Whether the identity is a member; not where there was no place. */
  readonly isMember: boolean;
}

/** An identity's entry in a channel on this server: what it is to be, and what Redis has of it. */
export class Entry {
  readonly id: string;
  /** The number of its sockets here. */
  sockets = 0;
  info: string;
  /** Whether that is to be written, as it is another one than before. */
  isInfoNew = false;
  /** The state that is to be set. */
  state: string | undefined;
  /** Until when it stays at least, since a line was lost here; by `performance.now()`. */
  lostUntil = 0;
  /** The sockets that Redis has of it; undefined where it has no entry, NaN where that is not known. */
  written: number | undefined;
  /** The member, as Redis had it last. */
  known: MemberRecord | undefined;
  /** Whether it has to be written. */
  isDirty = false;
  /** Whether Redis may have forgotten it. */
  isStale = false;
  /** Whether there was no place for it. */
  isFull = false;
  /** When it is to leave, where it is waited for; by `performance.now()`. */
  dueAt: number | undefined;
  timer: NodeJS.Timeout | undefined;
  waiters: Waiter[] = [];

  constructor(id: string, info: string) {
    this.id = id;
    this.info = info;
  }

  /** Takes the change that has to be made, and takes note that it is under way; undefined where there is none. */
  take(now: number, leastGrace: number): MemberChange | undefined {
    const change = this.#next(now, leastGrace);
    this.isDirty = false;
    if (!change) return undefined;
    // what is on its way may be carried out though nobody tells
    if (change.type !== "due") this.written = Number.NaN;
    if (change.type === "put") {
      this.state = undefined;
      this.isInfoNew = false;
    }
    return change;
  }

  #next(now: number, leastGrace: number): MemberChange | undefined {
    const { id, sockets, info, state, known } = this;
    const isMeant = sockets > 0 || this.dueAt !== undefined;
    if (this.isStale && known && isMeant) {
      const grace = Math.max(0, Math.ceil((this.dueAt ?? now) - now), leastGrace);
      const { state: before, stateAt, since } = known;
      return { type: "refill", id, sockets, info, state: before, stateAt, since, grace };
    }
    if (sockets > 0) return { type: "put", id, sockets, info, state };
    if (this.dueAt !== undefined) return this.dueAt <= now ? { type: "due", id } : undefined;
    if (this.written === undefined) return undefined;
    return { type: "drop", id, grace: Math.max(0, Math.ceil(this.lostUntil - now), leastGrace) };
  }

  /** Whether nothing is left of it. */
  get isGone(): boolean {
    return this.sockets === 0 && this.written === undefined && this.dueAt === undefined && !this.isDirty;
  }

  settle(written: Written): void {
    for (const { resolve } of this.waiters.splice(0)) resolve(written);
  }

  fail(error: unknown): void {
    for (const { reject } of this.waiters.splice(0)) reject(error);
  }
}
