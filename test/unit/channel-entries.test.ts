import { expect } from "chai";
import sinon from "sinon";
import { ChannelEntries } from "../../lib/server/presence/channel-entries.js";
import { PRESENCE_TIMES } from "../../lib/server/presence/presence-times.js";
import {
  type MemberBatch,
  type MemberChange,
  type MemberOutcomes,
  type MemberRecord,
  memberNames,
} from "../../lib/server/redis/member-list.js";
import { MemoryMembers } from "../../lib/server/redis/memory-members.js";

const NAMES = memberNames("", "room");
const { collect, settle, retry, full } = PRESENCE_TIMES;
const GRACE = 15_000;
const NOTHING = "null";

let clock: sinon.SinonFakeTimers;

/** The entries of a server in one channel, on a list of members that other servers may change as well. */
class Scene {
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

  constructor({ limit = 1000 } = {}) {
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
      await clock.tickAsync(0);
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
    await clock.tickAsync(collect);
  }
}

describe("The members of a channel that a server writes", () => {
  let scene: Scene;

  beforeEach(() => {
    clock = sinon.useFakeTimers({
      now: 1_000_000,
      toFake: ["setTimeout", "clearTimeout", "performance", "Date"],
    });
    scene = new Scene();
  });

  afterEach(async () => {
    scene.failure = undefined;
    await scene.entries.close();
    const { length } = scene.batches;
    await clock.tickAsync(2 * GRACE);
    clock.restore();
    expect(scene.batches, "what is sent once it is closed").to.have.length(length);
  });

  it("join once, however many sockets they have, and leave with the last one", async () => {
    const { entries, told } = scene;
    await scene.join("ann", "ann", "bob");
    expect(scene.members.ann?.sockets).to.equal(2);
    entries.remove("ann", false);
    await clock.tickAsync(collect);
    expect(scene.members.ann?.sockets).to.equal(1);
    expect(told).to.deep.equal(["joined ann", "joined bob"]);
    entries.remove("ann", false);
    await clock.tickAsync(collect);
    expect(told).to.deep.equal(["joined ann", "joined bob", "left ann"]);
    expect(scene.members).to.have.all.keys("bob");
    expect([entries.isEmpty, scene.gone]).to.deep.equal([false, []]);
    entries.remove("bob", false);
    await clock.tickAsync(collect);
    expect([entries.isEmpty, scene.gone.at(-1)]).to.deep.equal([true, true]);
  });

  it("stay for their grace where the line was lost, and leave then", async () => {
    const { entries, told } = scene;
    await scene.join("ann");
    entries.remove("ann", true);
    await clock.tickAsync(GRACE - 1);
    expect(scene.members.ann?.sockets).to.equal(0);
    expect([told, scene.gone]).to.deep.equal([["joined ann"], []]);
    await clock.tickAsync(1 + collect);
    expect([told, scene.gone.at(-1)]).to.deep.equal([["joined ann", "left ann"], true]);
  });

  it("stay for their grace, too, where a lost line was followed by a socket that has left on purpose", async () => {
    const { entries, told } = scene;
    await scene.join("ann", "ann");
    entries.remove("ann", true);
    await clock.tickAsync(1000);
    entries.remove("ann", false);
    await clock.tickAsync(GRACE - 1001);
    expect(told).to.deep.equal(["joined ann"]);
    await clock.tickAsync(1 + collect);
    expect(told).to.deep.equal(["joined ann", "left ann"]);
  });

  it("have neither left nor joined where they come back in time, and leave at once when they want to then", async () => {
    const { entries, told } = scene;
    await scene.join("ann");
    entries.remove("ann", true);
    await clock.tickAsync(GRACE - 1);
    entries.add("ann", NOTHING);
    await clock.tickAsync(2 * GRACE);
    expect([told, scene.members.ann?.sockets]).to.deep.equal([["joined ann"], 1]);
    entries.remove("ann", true);
    await clock.tickAsync(collect);
    entries.add("ann", NOTHING);
    await clock.tickAsync(collect);
    entries.remove("ann", false);
    await clock.tickAsync(collect);
    expect(told).to.deep.equal(["joined ann", "left ann"]);
  });

  it("stay where they have sockets on another server, which lets them leave", async () => {
    const { entries, told } = scene;
    scene.elsewhere({ type: "put", id: "ann", sockets: 1, info: NOTHING });
    await scene.join("ann");
    entries.remove("ann", false);
    await clock.tickAsync(collect);
    expect([told, scene.members.ann?.sockets]).to.deep.equal([[], 1]);
    expect([entries.isEmpty, scene.gone]).to.deep.equal([true, [true]]);
  });

  it("are not written where they go before it is time to", async () => {
    const { entries } = scene;
    entries.add("ann", NOTHING);
    const written = entries.written("ann");
    entries.remove("ann", false);
    expect(await written).to.include({ isMember: false });
    await clock.tickAsync(GRACE);
    expect([scene.batches, entries.isEmpty, scene.gone[0]]).to.deep.equal([[], true, true]);
    // of nobody
    entries.remove("ann", false);
    entries.renew("ann", "{}");
    expect([entries.set("ann", "1"), entries.written("ann")]).to.deep.equal([undefined, undefined]);
    await clock.tickAsync(GRACE);
    expect(scene.batches).to.deep.equal([]);
  });

  it("show something else when they are to, and nothing is written where it is the same", async () => {
    const { entries, told } = scene;
    await scene.join("ann");
    entries.renew("ann", NOTHING);
    await clock.tickAsync(collect);
    expect(scene.batches).to.have.length(1);
    entries.renew("ann", '{"n":1}');
    await clock.tickAsync(collect);
    expect([scene.members.ann?.info, told.at(-1)]).to.deep.equal(['{"n":1}', "updated ann"]);
    entries.add("ann", '{"n":2}');
    await clock.tickAsync(collect);
    expect(scene.members.ann).to.include({ info: '{"n":2}', sockets: 2 });
  });

  it("have a state that is written when that is said, and nobody's who has no socket", async () => {
    const { entries, told } = scene;
    await scene.join("ann");
    const set = entries.set("ann", "1");
    await clock.tickAsync(collect);
    expect(await set).to.deep.equal({ at: scene.list.read(NAMES).at, isMember: true });
    expect([scene.members.ann?.state, told.at(-1)]).to.deep.equal(["1", "updated ann"]);
    void entries.set("ann", "2");
    entries.remove("ann", true);
    await clock.tickAsync(collect);
    expect(entries.set("ann", "3")).to.equal(undefined);
    entries.renew("ann", "{}");
    entries.remove("ann", true);
    entries.add("ann", NOTHING);
    await clock.tickAsync(collect);
    expect(scene.members.ann).to.include({ state: "1", info: NOTHING, sockets: 1 });
    await scene.join("ann");
    void entries.set("ann", "4");
    entries.remove("ann", false);
    await clock.tickAsync(collect);
    expect(scene.members.ann).to.include({ state: "4", sockets: 1 });
  });

  it("are written already where that is so, and all of them when they are flushed", async () => {
    const { entries } = scene;
    await entries.flushed();
    await scene.join("ann");
    expect(await entries.written("ann")).to.deep.equal({ at: scene.list.read(NAMES).at, isMember: true });
    const release = scene.stall();
    entries.add("bob", NOTHING);
    const done: string[] = [];
    const all = [
      entries.flushed().then(() => done.push("flushed")),
      entries.written("bob")?.then(() => done.push("written")),
    ];
    await clock.tickAsync(collect);
    // it is on its way
    all.push(entries.written("bob")?.then(() => done.push("written")));
    expect([done, scene.batches.length]).to.deep.equal([[], 2]);
    void release();
    await Promise.all(all);
    expect(scene.members).to.have.all.keys("ann", "bob");
  });

  it("are written one batch after the other, as soon as Redis has answered where there are many", async () => {
    const ids = Array.from({ length: 250 }, (_, n) => `m${n}`);
    const release = scene.stall();
    for (const id of ids) scene.entries.add(id, NOTHING);
    await clock.tickAsync(collect - 1);
    const sizes = () => scene.batches.map(({ changes }) => changes.length);
    expect(sizes()).to.deep.equal([100]);
    await release();
    expect(sizes()).to.deep.equal([100, 100]);
    await clock.tickAsync(collect - 1);
    expect(sizes()).to.deep.equal([100, 100]);
    await clock.tickAsync(1);
    expect(sizes()).to.deep.equal([100, 100, 50]);
    expect(Object.keys(scene.members)).to.have.members(ids);
  });

  it("are written at once, too, where just as many are left as one batch takes", async () => {
    for (let n = 0; n < 200; n++) scene.entries.add(`m${n}`, NOTHING);
    await clock.tickAsync(collect - 1);
    expect(scene.batches).to.have.length(2);
  });

  it("are written in batches of about 64 KiB", async () => {
    const info = JSON.stringify({ text: "x".repeat(30_000) });
    for (const id of ["a", "b", "c", "d"]) scene.entries.add(id, info);
    await clock.tickAsync(0);
    expect(scene.sent).to.deep.equal([["put a", "put b", "put c"]]);
    await clock.tickAsync(collect);
    expect(scene.sent).to.deep.equal([["put a", "put b", "put c"], ["put d"]]);
  });

  it("are written at once after a while without a change, and collected after one", async () => {
    const { entries } = scene;
    entries.add("ann", NOTHING);
    await clock.tickAsync(0);
    entries.add("bob", NOTHING);
    await clock.tickAsync(collect - 1);
    entries.add("cat", NOTHING);
    expect(scene.sent).to.deep.equal([["put ann"]]);
    await clock.tickAsync(1);
    expect(scene.sent).to.deep.equal([["put ann"], ["put bob", "put cat"]]);
  });

  it("are written again a second later where Redis has failed, with their newest state", async () => {
    const { entries, errors, told } = scene;
    await scene.join("ann", "bob");
    scene.failure = new Error("away");
    const sets = [entries.set("ann", "1"), entries.set("bob", "1")].map((set) =>
      set?.catch((error: unknown) => error),
    );
    await clock.tickAsync(collect);
    expect([errors, await Promise.all(sets)]).to.deep.equal([
      [scene.failure],
      [scene.failure, scene.failure],
    ]);
    const again = entries.set("bob", "2");
    scene.failure = undefined;
    await clock.tickAsync(retry - collect - 1);
    expect([scene.batches.length, scene.members.ann?.state]).to.deep.equal([2, "null"]);
    await clock.tickAsync(1);
    expect(await again).to.include({ isMember: true });
    expect([scene.members.ann?.state, scene.members.bob?.state]).to.deep.equal(["1", "2"]);
    expect(told.slice(2)).to.deep.equal(["updated ann", "updated bob"]);
  });

  it("leave though Redis has failed meanwhile", async () => {
    const { entries, told } = scene;
    await scene.join("ann");
    scene.failure = new Error("away");
    entries.remove("ann", false);
    await clock.tickAsync(collect);
    scene.failure = undefined;
    await clock.tickAsync(retry);
    expect([told, scene.members]).to.deep.equal([["joined ann", "left ann"], {}]);
  });

  it("are there again with all they had where Redis was emptied, and have not joined", async () => {
    const { entries, told } = scene;
    await scene.join("ann", "bob");
    const set = entries.set("ann", "1");
    await clock.tickAsync(collect);
    await set;
    const { ann, bob } = scene.members;
    scene.list = new MemoryMembers();
    await clock.tickAsync(1000);
    entries.add("bob", NOTHING);
    await clock.tickAsync(2 * collect);
    expect(scene.emptied).to.equal(1);
    expect(scene.members).to.deep.equal({ ann, bob: { ...bob, sockets: 2 } });
    expect(told).to.deep.equal(["joined ann", "joined bob", "updated ann"]);
    await scene.join("cat");
    expect(told.at(-1)).to.equal("joined cat");
  });

  it("stay for their grace in a Redis that was emptied, and as long as other servers may need", async () => {
    const { entries, told } = scene;
    await scene.join("ann", "bob");
    entries.remove("ann", true);
    await clock.tickAsync(collect);
    scene.list = new MemoryMembers();
    entries.refill();
    await clock.tickAsync(2 * collect);
    expect(scene.members).to.have.all.keys("ann", "bob");
    expect(scene.members.ann?.sockets).to.equal(0);
    entries.remove("bob", false);
    await clock.tickAsync(settle - 2 * collect - 1);
    expect(told).to.deep.equal(["joined ann", "joined bob"]);
    scene.leastGrace = 0;
    await clock.tickAsync(4 * collect);
    expect(told.slice(2)).to.have.members(["left ann", "left bob"]);
  });

  for (const isDue of [false, true]) {
    const when = isDue ? "at the end of their grace" : "when they lose their line";
    it(`may be on another server where Redis turns out to be empty ${when}, and have not left yet`, async () => {
      const { entries, told } = scene;
      await scene.join("ann");
      if (isDue) {
        entries.remove("ann", true);
        await clock.tickAsync(GRACE - 1);
        scene.list = new MemoryMembers();
        await clock.tickAsync(1 + collect);
      } else {
        scene.list = new MemoryMembers();
        entries.remove("ann", false);
        await clock.tickAsync(collect);
      }
      await clock.tickAsync(collect);
      expect(scene.members.ann?.sockets).to.equal(0);
      await clock.tickAsync(settle - 3 * collect);
      expect(told).to.deep.equal(["joined ann"]);
      scene.leastGrace = 0;
      await clock.tickAsync(4 * collect);
      expect([told, scene.emptied]).to.deep.equal([["joined ann", "left ann"], 1]);
    });
  }

  it("are written again where Redis was emptied while they were written for the first time", async () => {
    const { entries } = scene;
    const release = scene.stall();
    await scene.join("ann");
    entries.refill();
    await release();
    await clock.tickAsync(collect);
    expect(scene.sent).to.deep.equal([["put ann"], ["put ann"]]);
  });

  it("are written again where Redis has gone back to what it was before", async () => {
    await scene.join("ann");
    await scene.join("bob");
    expect(scene.emptied).to.equal(0);
    scene.answered = (outcomes) => {
      scene.answered = (next) => next;
      return { ...outcomes, before: { ...outcomes.before, version: 1 } };
    };
    await scene.join("cat");
    await clock.tickAsync(collect);
    expect(scene.emptied).to.equal(1);
    expect(scene.sent.slice(2)).to.deep.equal([["put cat"], ["refill ann", "refill bob", "put cat"]]);
  });

  it("are written again with their newest state and info, where these change at the same time", async () => {
    const { entries, told } = scene;
    await scene.join("ann", "bob", "cat");
    void entries.set("ann", "1");
    entries.renew("bob", '{"n":1}');
    entries.refill();
    await clock.tickAsync(2 * collect);
    const all = ["put ann", "put bob", "put cat"];
    expect(scene.sent).to.deep.equal([
      all,
      ["refill ann", "refill bob", "refill cat"],
      ["put ann", "put bob"],
    ]);
    expect([scene.members.ann?.state, scene.members.bob?.info]).to.deep.equal(["1", '{"n":1}']);
    expect(told.slice(3)).to.deep.equal(["updated ann", "updated bob"]);
  });

  it("are written again by no more than that where nothing has changed, as they were shown last", async () => {
    const { entries } = scene;
    await scene.join("ann", "bob");
    entries.remove("bob", true);
    await clock.tickAsync(collect);
    entries.add("ann", NOTHING);
    entries.renew("bob", '{"n":1}');
    entries.refill();
    await clock.tickAsync(2 * collect);
    expect(scene.sent.slice(2)).to.deep.equal([["refill ann", "refill bob"]]);
    scene.list = new MemoryMembers();
    entries.refill();
    await clock.tickAsync(collect);
    expect(scene.members.bob?.info).to.equal(NOTHING);
  });

  it("are written again with the state that another server has set meanwhile", async () => {
    const { entries } = scene;
    await scene.join("ann");
    await clock.tickAsync(1);
    scene.elsewhere({ type: "put", id: "ann", sockets: 1, info: NOTHING, state: "9" });
    entries.refill();
    await clock.tickAsync(collect);
    scene.list = new MemoryMembers();
    entries.refill();
    await clock.tickAsync(collect);
    expect(scene.members.ann).to.include({ state: "9", sockets: 1 });
  });

  it("are written again for the rest of their grace, or none where they have a socket", async () => {
    const { entries } = scene;
    await scene.join("ann", "bob");
    entries.remove("ann", true);
    await clock.tickAsync(1000);
    entries.refill();
    await clock.tickAsync(0);
    const [ann, bob] = scene.batches.at(-1)?.changes ?? [];
    expect(ann).to.include({ type: "refill", sockets: 0, grace: GRACE - 1000 });
    expect(bob).to.include({ type: "refill", sockets: 1, grace: 0 });
  });

  it("leave at once where they want to while they are written again", async () => {
    const { entries, told } = scene;
    await scene.join("ann");
    const release = scene.stall();
    entries.refill();
    await clock.tickAsync(collect);
    entries.remove("ann", false);
    await release();
    await clock.tickAsync(collect);
    expect([told, scene.members]).to.deep.equal([["joined ann", "left ann"], {}]);
  });

  it("leave at once where they want to after they have come back while Redis was told that they are waited for", async () => {
    const { entries, told } = scene;
    await scene.join("ann");
    const release = scene.stall();
    entries.remove("ann", true);
    await clock.tickAsync(collect);
    entries.add("ann", NOTHING);
    await release();
    await clock.tickAsync(collect);
    expect(scene.members.ann?.sockets).to.equal(1);
    entries.remove("ann", false);
    await clock.tickAsync(2 * collect);
    expect([told, scene.members]).to.deep.equal([["joined ann", "left ann"], {}]);
  });

  it("need not be written where Redis has forgotten them when their time is over, and they come and go", async () => {
    const { entries } = scene;
    await scene.join("ann");
    entries.remove("ann", true);
    await clock.tickAsync(collect);
    const release = scene.stall();
    await clock.tickAsync(GRACE - collect);
    scene.list = new MemoryMembers();
    entries.refill();
    await release();
    await clock.tickAsync(2 * collect);
    const { length } = scene.batches;
    entries.add("ann", NOTHING);
    entries.remove("ann", false);
    await clock.tickAsync(2 * settle);
    expect(scene.batches.length).to.equal(length);
    expect(scene.gone.at(-1)).to.equal(true);
  });

  it("leave without a word of this server where another one has let them leave", async () => {
    const { entries, told } = scene;
    scene.elsewhere({ type: "put", id: "bob", sockets: 1, info: NOTHING });
    await scene.join("ann");
    scene.letLeave("ann");
    entries.remove("ann", true);
    await clock.tickAsync(collect);
    expect([told, scene.gone]).to.deep.equal([["joined ann"], [true]]);
  });

  it("have joined anew where another server has let them leave meanwhile", async () => {
    const { entries, told } = scene;
    await scene.join("ann");
    scene.elsewhere({ type: "put", id: "bob", sockets: 1, info: NOTHING });
    scene.letLeave("ann");
    expect(scene.members).to.have.all.keys("bob");
    entries.refill();
    await clock.tickAsync(collect);
    expect([told, scene.emptied]).to.deep.equal([["joined ann", "joined ann"], 0]);
    expect(scene.members).to.have.all.keys("ann", "bob");
  });

  it("are not asked for again where there was no place for them, when those who have one are", async () => {
    scene = new Scene({ limit: 1 });
    await scene.join("ann", "bob");
    scene.entries.refill();
    await clock.tickAsync(collect);
    expect(scene.sent).to.deep.equal([["put ann", "put bob"], ["refill ann"]]);
  });

  it("have no place beyond the limit, until another one leaves", async () => {
    scene = new Scene({ limit: 1 });
    const { entries, told } = scene;
    await scene.join("ann");
    entries.add("bob", NOTHING);
    const written = entries.written("bob");
    await clock.tickAsync(collect);
    expect(await written).to.include({ isMember: false });
    expect(await entries.written("bob")).to.include({ isMember: false });
    expect(told).to.deep.equal(["joined ann", "full"]);
    entries.remove("ann", false);
    await clock.tickAsync(2 * collect);
    expect(told).to.deep.equal(["joined ann", "full", "left ann", "joined bob"]);
    expect(await entries.written("bob")).to.include({ isMember: true });
    const before = scene.batches.length;
    await clock.tickAsync(2 * full);
    expect(scene.batches.length).to.equal(before);
  });

  it("try again after 5 s whether there is a place, as long as they are there", async () => {
    scene = new Scene({ limit: 1 });
    const { entries, told } = scene;
    scene.elsewhere({ type: "put", id: "ann", sockets: 1, info: NOTHING });
    await scene.join("bob");
    scene.elsewhere({ type: "drop", id: "ann", grace: 0 });
    await clock.tickAsync(full - collect - 1);
    expect(told).to.deep.equal(["full"]);
    await clock.tickAsync(1 + collect);
    expect(told).to.deep.equal(["full", "joined bob"]);
    await scene.join("cat");
    entries.remove("cat", false);
    await clock.tickAsync(2 * full);
    expect([told.slice(2), scene.members.cat]).to.deep.equal([["full"], undefined]);
  });

  it("try again some at a time whether there is a place", async () => {
    scene = new Scene({ limit: 1 });
    await scene.join("ann", ...Array.from({ length: 120 }, (_, n) => `m${n}`));
    const sizes = () => scene.batches.map(({ changes }) => changes.length);
    expect(sizes()).to.deep.equal([100, 21]);
    await clock.tickAsync(2 * full - collect - 1);
    expect(sizes()).to.deep.equal([100, 21, 100]);
  });

  it("are taken over from a server that is dead, and leave after their grace unless they are here", async () => {
    const { entries, told } = scene;
    scene.elsewhere(
      ...["ann", "bob", "cat"].map((id) => ({ type: "put", id, sockets: 1, info: NOTHING }) as const),
    );
    const dead = { server: "elsewhere", at: Date.now() };
    await clock.tickAsync(1000);
    await scene.join("bob");
    await entries.takeOver(dead, ["ann", "bob", "cat", "nobody"]);
    entries.add("cat", NOTHING);
    await clock.tickAsync(GRACE - 1);
    expect(told).to.deep.equal([]);
    await clock.tickAsync(1 + collect);
    expect([told, scene.gone]).to.deep.equal([["left ann"], []]);
    expect([scene.members.bob?.sockets, scene.members.cat?.sockets]).to.deep.equal([1, 1]);
  });

  it("leave though they have come here and gone while they were taken over", async () => {
    const { entries } = scene;
    scene.elsewhere({ type: "put", id: "ann", sockets: 1, info: NOTHING });
    await scene.join("bob");
    entries.add("ann", NOTHING);
    await entries.takeOver({ server: "elsewhere", at: Date.now() }, ["ann"]);
    entries.remove("ann", false);
    await clock.tickAsync(GRACE + 2 * collect);
    expect(scene.members).to.have.all.keys("bob");
  });

  it("have left, too, where they were taken over here and another server has let them leave", async () => {
    scene.elsewhere({ type: "put", id: "ann", sockets: 1, info: NOTHING });
    await scene.entries.takeOver({ server: "elsewhere", at: Date.now() }, ["ann"]);
    scene.letLeave("ann");
    await clock.tickAsync(GRACE + collect);
    expect([scene.entries.isEmpty, scene.sent]).to.deep.equal([true, [["dead ann"], ["due ann"]]]);
  });

  it("are waited for no less than all may be after Redis was emptied, also those that are taken over", async () => {
    const { entries, told } = scene;
    scene.elsewhere({ type: "put", id: "ann", sockets: 1, info: NOTHING });
    scene.leastGrace = 2 * GRACE;
    await entries.takeOver({ server: "elsewhere", at: Date.now() }, ["ann"]);
    await clock.tickAsync(2 * GRACE - 1);
    expect(told).to.deep.equal([]);
    scene.leastGrace = 0;
    await clock.tickAsync(1 + collect);
    expect(told).to.deep.equal(["left ann"]);
  });

  it("are nothing to wait for where a dead server has left none", async () => {
    await scene.entries.takeOver({ server: "elsewhere", at: Date.now() }, ["ann"]);
    expect([scene.gone, scene.entries.isEmpty]).to.deep.equal([[true], true]);
  });

  it("are written a last time when the server ends, and then no more", async () => {
    const { entries, errors } = scene;
    await scene.join("ann", "bob");
    entries.remove("ann", false);
    entries.remove("bob", true);
    await entries.close();
    expect(Object.values(scene.members).map(({ id, sockets }) => [id, sockets])).to.deep.equal([["bob", 0]]);
    const before = scene.batches.length;
    entries.add("cat", NOTHING);
    await clock.tickAsync(2 * GRACE);
    expect([scene.batches.length, errors]).to.deep.equal([before, []]);
  });

  it("are written no more once the server has ended", async () => {
    const { entries } = scene;
    await scene.join("ann");
    await entries.close();
    entries.add("cat", NOTHING);
    await clock.tickAsync(2 * GRACE);
    expect(scene.sent).to.deep.equal([["put ann"]]);
  });

  it("are told what Redis has failed with then, or that the server was shut down where it was not their turn", async () => {
    const ids = Array.from({ length: 101 }, (_, n) => `m${n}`);
    await scene.join(...ids);
    const before = scene.batches.length;
    scene.failure = new Error("away");
    const sets = ids.map((id) => scene.entries.set(id, "1")?.catch((error: Error) => error.message));
    await scene.entries.close();
    const told = await Promise.all(sets);
    expect([told[0], told[100]]).to.deep.equal(["away", "The server was shut down"]);
    expect([scene.errors, scene.batches.length]).to.deep.equal([[scene.failure], before + 1]);
  });
});
