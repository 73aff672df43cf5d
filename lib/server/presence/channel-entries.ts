import type {
  ListVersion,
  MemberBatch,
  MemberChange,
  MemberNames,
  MemberOutcome,
  MemberOutcomes,
  MemberRecord,
} from "../redis/member-list.js";
import { Entry, type Waiter, type Written } from "./entry.js";
import type { ResolvedPresence } from "./presence-option.js";
import type { PresenceTimes } from "./presence-times.js";

/** The parts of the server that the entries of a channel need. */
export interface ChannelEntriesParts {
  readonly channel: string;
  readonly names: MemberNames;
  readonly option: ResolvedPresence;
  readonly server: string;
  readonly times: PresenceTimes;
  readonly change: (names: MemberNames, batch: MemberBatch) => Promise<MemberOutcomes>;
  /** Tells the application of a change that this server has made. */
  readonly notify: (event: "joined" | "left" | "updated", member: MemberRecord) => void;
  /** Milliseconds for which nobody leaves, since Redis was emptied and other servers may not have written their members yet. */
  readonly leastGrace: () => number;
  /** Called when Redis turns out to have been emptied, or to have an older state than this server has seen. */
  readonly onEmptied: () => void;
  readonly onFull: () => void;
  readonly onError: (error: unknown) => void;
  /** Called when no entry is left. */
  readonly onGone: () => void;
}

/** Changes and bytes, about, in one batch. */
const MOST_CHANGES = 100;
const MOST_BYTES = 65_536;

/**
 * The entries of this server in one channel. They say what is to be; what Redis lacks of that is written in batches, one at a
 * time and not more often than changes are collected for, so that nothing is queued while Redis is away.
 */
export class ChannelEntries {
  readonly #parts: ChannelEntriesParts;
  readonly #entries = new Map<string, Entry>();
  readonly #dirty = new Set<Entry>();
  /** The version of the list after the last batch. */
  #at: ListVersion | undefined;
  /** Whether Redis was emptied, so that members who are written again have not joined. */
  #isRefilling = false;
  #writing: Promise<void> | undefined;
  #lastWrite = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #fullTimer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(parts: ChannelEntriesParts) {
    this.#parts = parts;
  }

  get isEmpty(): boolean {
    return this.#entries.size === 0 && !this.#writing;
  }

  /** Adds a socket of an identity. */
  add(id: string, info: string): void {
    const entry = this.#of(id, info);
    entry.sockets++;
    entry.lostUntil = 0;
    this.#stopWaiting(entry);
    this.#show(entry, info);
    this.#touch(entry);
  }

  /** Takes a socket away, which has lost its line or has left on purpose. */
  remove(id: string, isLost: boolean): void {
    const entry = this.#entries.get(id);
    if (!entry || entry.sockets === 0) return;
    entry.sockets--;
    if (isLost) entry.lostUntil = performance.now() + this.#parts.option.grace;
    if (entry.sockets === 0) {
      entry.state = undefined;
      if (entry.written === undefined) return this.#forget(entry);
    }
    this.#touch(entry);
  }

  /** Shows something else of an identity. */
  renew(id: string, info: string): void {
    const entry = this.#entries.get(id);
    if (!entry || entry.sockets === 0 || entry.info === info) return;
    this.#show(entry, info);
    this.#touch(entry);
  }

  /** Sets the state of an identity that has sockets here; resolves when it is written. */
  set(id: string, state: string): Promise<Written> | undefined {
    const entry = this.#entries.get(id);
    if (!entry || entry.sockets === 0) return undefined;
    entry.state = state;
    this.#touch(entry);
    return this.#written(entry);
  }

  /** Resolves when what is to be of an identity is written; undefined where it is. */
  written(id: string): Promise<Written> | undefined {
    const entry = this.#entries.get(id);
    if (!entry) return undefined;
    if (!entry.isDirty && !Number.isNaN(entry.written)) {
      return this.#at && Promise.resolve({ at: this.#at, isMember: !entry.isFull });
    }
    return this.#written(entry);
  }

  /** Resolves when all that is to be by now is written. */
  async flushed(): Promise<void> {
    const unwritten = [...this.#entries.values()].filter(
      (entry) => entry.isDirty || Number.isNaN(entry.written),
    );
    await Promise.all(unwritten.map((entry) => this.#written(entry)));
  }

  /** Has all entries written again, which Redis may have forgotten. */
  refill(): void {
    for (const entry of this.#entries.values()) {
      if (entry.written === undefined && !entry.known) continue;
      entry.isStale = true;
      this.#touch(entry);
    }
  }

  /** Takes over members that another server has left behind, which was dead at a time. */
  async takeOver(
    dead: { readonly server: string; readonly at: number },
    ids: readonly string[],
  ): Promise<void> {
    const { grace } = this.#parts.option;
    const least = Math.max(grace, this.#parts.leastGrace());
    const changes = ids.map((id) => ({ type: "dead", id, grace: least }) as const);
    const { outcomes } = await this.#send(changes, dead);
    for (const [index, id] of ids.entries()) {
      const outcome = outcomes[index];
      if (outcome?.type !== "grace" || this.#isClosed) continue;
      const entry = this.#of(id, outcome.member.info);
      // one that has come here meanwhile may go before it is written
      entry.written ??= 0;
      this.#wait(entry, outcome);
    }
    if (this.#entries.size === 0) this.#parts.onGone();
  }

  /** Writes what there is to write, and then nothing more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#fullTimer);
    for (const entry of this.#entries.values()) clearTimeout(entry.timer);
    await this.#writing;
    while (this.#dirty.size > 0) if (!(await this.#write())) break;
    for (const entry of this.#entries.values()) entry.fail(new Error("The server was shut down"));
  }

  #of(id: string, info: string): Entry {
    let entry = this.#entries.get(id);
    if (!entry) {
      entry = new Entry(id, info);
      this.#entries.set(id, entry);
    }
    return entry;
  }

  #show(entry: Entry, info: string): void {
    if (entry.info === info) return;
    entry.info = info;
    entry.isInfoNew = true;
  }

  #written(entry: Entry): Promise<Written> {
    return new Promise((resolve, reject) => entry.waiters.push({ resolve, reject } satisfies Waiter));
  }

  #touch(entry: Entry): void {
    entry.isDirty = true;
    this.#dirty.add(entry);
    this.#schedule();
  }

  #schedule(wait = this.#lastWrite + this.#parts.times.collect - performance.now()): void {
    if (this.#isClosed || this.#timer !== undefined || this.#writing) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#lastWrite = performance.now();
        this.#writing = this.#write().then((isDone) => {
          this.#writing = undefined;
          // those who come at once need not wait for each other
          const wait = this.#dirty.size >= MOST_CHANGES ? 0 : undefined;
          if (this.#dirty.size > 0) this.#schedule(isDone ? wait : this.#parts.times.retry);
          else if (this.#entries.size === 0) this.#parts.onGone();
        });
      },
      Math.max(0, wait),
    );
    this.#timer.unref();
  }

  /** Writes a batch; resolves with whether Redis has taken it. */
  async #write(): Promise<boolean> {
    const { leastGrace, onError } = this.#parts;
    const now = performance.now();
    const least = leastGrace();
    const taken: [Entry, MemberChange][] = [];
    let bytes = 0;
    for (const entry of this.#dirty) {
      if (taken.length >= MOST_CHANGES || bytes >= MOST_BYTES) break;
      this.#dirty.delete(entry);
      const change = entry.take(now, least);
      if (!change) {
        if (entry.isGone) this.#forget(entry);
        continue;
      }
      taken.push([entry, change]);
      bytes += entry.id.length + entry.info.length + (entry.known?.state.length ?? 0);
    }
    // Stryker disable next-line BooleanLiteral: nothing is left then that could be tried again
    if (taken.length === 0) return true;
    try {
      const outcomes = await this.#send(taken.map(([, change]) => change));
      for (const [index, [entry, change]] of taken.entries()) {
        const outcome = outcomes.outcomes[index];
        if (outcome) this.#settle(entry, change, outcome, outcomes.after);
      }
      this.#isRefilling &&= [...this.#entries.values()].some(({ isStale }) => isStale);
      return true;
    } catch (error) {
      onError(error);
      for (const [entry, change] of taken) {
        if (change.type === "put") entry.state ??= change.state;
        entry.isInfoNew = true;
        entry.isDirty = true;
        this.#dirty.add(entry);
        entry.fail(error);
      }
      return false;
    }
  }

  async #send(changes: readonly MemberChange[], dead?: MemberBatch["dead"]): Promise<MemberOutcomes> {
    const { change, channel, names, option, server, onEmptied } = this.#parts;
    const { limit, isCount } = option;
    const outcomes = await change(names, { server, dead, channel, limit, isCount, changes });
    const { before, after } = outcomes;
    const last = this.#at;
    if (last && (before.epoch !== last.epoch || before.version < last.version)) {
      this.#isRefilling = true;
      onEmptied();
    }
    this.#at = after.epoch === "" ? undefined : after;
    return outcomes;
  }

  #settle(entry: Entry, change: MemberChange, outcome: MemberOutcome, at: ListVersion): void {
    const { notify, times, leastGrace } = this.#parts;
    if (change.type === "refill") {
      entry.isStale = false;
      entry.written = outcome.type === "gone" ? undefined : change.sockets;
      if ("member" in outcome) entry.known = outcome.member;
      // who is back in a list that has gone on meanwhile has left it by then
      if (outcome.type === "joined" && !this.#isRefilling) notify("joined", outcome.member);
      // that Redis was emptied may have turned out by this very change
      if (change.sockets === 0) this.#wait(entry, { wait: Math.max(change.grace, leastGrace()) });
      if (entry.state !== undefined || entry.isInfoNew) this.#touch(entry);
    } else {
      this.#settleChange(entry, change, outcome);
    }
    if (entry.isFull) this.#fullTimer ??= setTimeout(() => this.#retryFull(), times.full).unref();
    const isThere = entry.sockets > 0 && !entry.isFull;
    if (!entry.isDirty) entry.settle({ at, isMember: isThere });
    if (entry.isGone) this.#forget(entry);
  }

  #settleChange(entry: Entry, change: MemberChange, outcome: MemberOutcome): void {
    const { notify, onFull } = this.#parts;
    entry.isFull = outcome.type === "full";
    switch (outcome.type) {
      case "joined":
      case "updated":
      case "there":
        // it has not joined where Redis has just forgotten it
        if (outcome.type === "joined" && entry.known && this.#isRefilling) return this.#again(entry);
        entry.known = outcome.member;
        entry.written = change.type === "put" ? change.sockets : undefined;
        if (change.type === "put") entry.isStale = false;
        if (outcome.type !== "there") notify(outcome.type, outcome.member);
        return;
      case "left":
        this.#end(entry);
        notify("left", outcome.member);
        return this.#retryFull();
      case "grace":
        entry.written = 0;
        entry.known = outcome.member;
        return this.#wait(entry, outcome);
      case "full":
        entry.written = undefined;
        return onFull();
      case "gone":
        return this.#settleGone(entry);
    }
  }

  /** Redis has no such member. Where it was emptied, the member may be there by another server, which has yet to say so. */
  #settleGone(entry: Entry): void {
    if (!this.#isRefilling || !entry.known) return this.#end(entry);
    // it is waited for as long as that may take, unless it has come back meanwhile
    if (entry.sockets === 0) entry.dueAt = performance.now();
    this.#again(entry);
  }

  #again(entry: Entry): void {
    entry.isStale = true;
    this.#touch(entry);
  }

  /** Lets an entry leave when its time is over, unless a socket comes before. */
  #wait(entry: Entry, { wait, member }: { readonly wait: number; readonly member?: MemberRecord }): void {
    if (member) entry.known = member;
    this.#stopWaiting(entry);
    if (entry.sockets > 0) return;
    entry.dueAt = performance.now() + wait;
    // the clock of Redis counts whole milliseconds
    if (!this.#isClosed) entry.timer = setTimeout(() => this.#onDue(entry), wait + 1).unref();
  }

  #onDue(entry: Entry): void {
    entry.dueAt = performance.now();
    this.#touch(entry);
  }

  #stopWaiting(entry: Entry): void {
    clearTimeout(entry.timer);
    entry.timer = undefined;
    entry.dueAt = undefined;
  }

  /** Takes note that Redis has nothing of an entry. */
  #end(entry: Entry): void {
    this.#stopWaiting(entry);
    entry.written = undefined;
    entry.isStale = false;
    entry.known = undefined;
  }

  #forget(entry: Entry): void {
    this.#stopWaiting(entry);
    entry.settle({ at: this.#at ?? { epoch: "", version: 0 }, isMember: false });
    this.#entries.delete(entry.id);
    this.#dirty.delete(entry);
    if (this.#entries.size > 0) return;
    clearTimeout(this.#fullTimer);
    this.#fullTimer = undefined;
    if (!this.#writing) this.#parts.onGone();
  }

  /** Tries again those for whom there was no place, some at a time. */
  #retryFull(): void {
    if (this.#fullTimer === undefined) return;
    clearTimeout(this.#fullTimer);
    this.#fullTimer = undefined;
    if (this.#isClosed) return;
    let tried = 0;
    for (const entry of this.#entries.values()) {
      if (!entry.isFull) continue;
      this.#touch(entry);
      if (++tried === MOST_CHANGES) return;
    }
  }
}
