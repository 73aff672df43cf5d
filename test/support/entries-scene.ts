import { expect } from "chai";
import type { SinonFakeTimers } from "sinon";
import { ChannelEntries } from "../../lib/server/presence/channel-entries.js";
import { PRESENCE_TIMES } from "../../lib/server/presence/presence-times.js";
import {
  type ListVersion,
  type MemberBatch,
  type MemberChange,
  type MemberOutcomes,
  type MemberRecord,
  memberNames,
} from "../../lib/server/redis/member-list.js";
import { MemoryMembers } from "../../lib/server/redis/memory-members.js";

const NAMES = memberNames("", "room");
const { collect, settle } = PRESENCE_TIMES;
export const GRACE = 15_000;
/** What is shown of a member where nothing is. */
export const NOTHING = "null";

/** The entries of a server in one channel, on a list of members that other servers may change as well. */
export class EntriesScene {
  list = new MemoryMembers();
  failure: Error | undefined;
  /** What Redis waits for before it answers. */
  answer: Promise<void> | undefined;
  /** The answer of Redis, where it is another one than that of the list. */
  answered = (outcomes: MemberOutcomes) => outcomes;
  leastGrace = 0;
  readonly batches: MemberBatch[] = [];
  readonly told: string[] = [];
  readonly errors: unknown[] = [];
  /** Whether the entries were empty each time they were said to be gone. */
  readonly gone: boolean[] = [];
  emptied = 0;
  readonly limit: number;
  readonly entries: ChannelEntries;
  readonly #clock: SinonFakeTimers;

  constructor(clock: SinonFakeTimers, { limit = 1000 } = {}) {
    this.#clock = clock;
    this.limit = limit;
    const entries = new ChannelEntries({
      channel: "room",
      names: NAMES,
      option: { info: undefined, state: undefined, grace: GRACE, limit, isCount: false },
      server: "here",
      times: PRESENCE_TIMES,
      change: async (_names, batch) => {
        this.batches.push(batch);
        await this.answer;
        if (this.failure) throw this.failure;
        return this.answered(this.list.change("", NAMES, batch, () => {}));
      },
      notify: (event, member) => this.told.push(`${event} ${member.id}`),
      leastGrace: () => this.leastGrace,
      onEmptied: () => {
        this.emptied++;
        this.leastGrace = settle;
        entries.refill();
      },
      onFull: () => this.told.push("full"),
      onError: (error) => this.errors.push(error),
      onGone: () => this.gone.push(entries.isEmpty),
    });
    this.entries = entries;
  }

  /** The members that all servers have, by their ids. */
  get members(): Record<string, MemberRecord> {
    return Object.fromEntries(this.list.read(NAMES).members.map((member) => [member.id, member]));
  }

  /** The version of the list. */
  get at(): ListVersion {
    return this.list.read(NAMES).at;
  }

  /** The changes that were sent, by batches. */
  get sent(): string[][] {
    return this.batches.map(({ changes }) => changes.map(({ type, id }) => `${type} ${id}`));
  }

  /** Has Redis wait; gives what ends that. */
  stall(): () => Promise<void> {
    let release = () => {};
    this.answer = new Promise((resolve) => {
      release = resolve;
    });
    return async () => {
      release();
      await this.#clock.tickAsync(0);
    };
  }

  /** Makes changes as another server. */
  elsewhere(...changes: MemberChange[]): void {
    const batch = { server: "elsewhere", channel: "room", limit: this.limit, isCount: false, changes };
    this.list.change("", NAMES, batch, () => {});
  }

  /** Lets a member leave whom another server has taken over, as if this one were dead. */
  letLeave(id: string): void {
    const dead = { server: "here", at: Date.now() };
    const changes = [{ type: "dead", id, grace: 0 } as const, { type: "due", id } as const];
    const batch = { server: "elsewhere", dead, channel: "room", limit: 9, isCount: false, changes };
    this.list.change("", NAMES, batch, () => {});
  }

  /** Adds identities with a socket each, and has them written. */
  async join(...ids: string[]): Promise<void> {
    for (const id of ids) this.entries.add(id, NOTHING);
    await this.#clock.tickAsync(collect);
  }

  /** Closes the entries; fails where they send anything afterwards. */
  async end(): Promise<void> {
    this.failure = undefined;
    await this.entries.close();
    const { length } = this.batches;
    await this.#clock.tickAsync(2 * GRACE);
    expect(this.batches, "what is sent once it is closed").to.have.length(length);
  }
}
