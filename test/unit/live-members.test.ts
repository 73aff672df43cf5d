import { expect } from "chai";
import sinon from "sinon";
import { LiveMembers } from "../../lib/server/presence/live-members.js";
import { PRESENCE_TIMES } from "../../lib/server/presence/presence-times.js";
import {
  encodePublishedChange,
  type ListVersion,
  type MemberRecord,
  type PublishedChange,
} from "../../lib/server/redis/member-list.js";

const ann: MemberRecord = { id: "ann", info: "null", state: "1", stateAt: 5, since: 1, sockets: 1 };

describe("The live list of a channel's members", () => {
  it("tells at once of a state that was set when Redis had been emptied, and of no older one", async () => {
    let publish = (_payload: string) => {};
    let at = { epoch: "one", version: 1 };
    const list = new LiveMembers({
      channel: "room",
      isCount: false,
      times: { ...PRESENCE_TIMES, collect: 0 },
      frameBytes: 10_000,
      subscribe: async (listener) => {
        publish = (payload) => listener(payload, "");
      },
      unsubscribe: async () => {},
      read: async () => ({ at, count: 1, members: at.epoch === "one" ? [ann] : [], next: undefined }),
      onError: () => {},
    });
    await list.open();
    at = { epoch: "two", version: 0 };
    await list.check();
    const told = new Promise<string>((resolve) => list.observers.add({ send: resolve }));
    const empty = { refilled: [], updated: [], left: [], sockets: [], joined: [] };
    const change = (version: number, record: MemberRecord) =>
      publish(
        encodePublishedChange(
          { ...empty, at: { epoch: "two", version }, count: 1, refilled: [record] },
          false,
        ),
      );
    change(1, { ...ann, state: "0", stateAt: 4 });
    change(2, { ...ann, state: "2", stateAt: 6 });
    const frame = JSON.parse(await told);
    list.close();
    expect(frame.update.map(({ state }: { state: unknown }) => state)).to.deep.equal([2]);
    expect(frame).not.to.have.any.keys("join", "leave");
  });
});

const { collect, settle, retry } = PRESENCE_TIMES;
const [bob, cat] = ["bob", "cat"].map((id) => ({ ...ann, id })) as [MemberRecord, MemberRecord];
const NOTHING = { joined: [], refilled: [], updated: [], left: [], sockets: [] };

let clock: sinon.SinonFakeTimers;

/** A live list with an observer, on what Redis has, of which it hears what the test publishes. */
class Scene {
  at: ListVersion = { epoch: "e", version: 5 };
  members: readonly MemberRecord[] = [ann, bob];
  /** The number of all, where only that counts. */
  count: number | undefined;
  /** The members in one answer of Redis. */
  pageSize = 1000;
  reads = 0;
  failure: Error | undefined;
  /** What Redis waits for before it answers. */
  answer: Promise<void> | undefined;
  readonly listeners = new Set<unknown>();
  readonly errors: unknown[] = [];
  readonly frames: unknown[] = [];
  readonly list: LiveMembers;
  #hear = (_payload: string) => {};

  constructor({ isCount = false, frameBytes = 10_000 } = {}) {
    this.list = new LiveMembers({
      channel: "room",
      isCount,
      times: PRESENCE_TIMES,
      frameBytes,
      subscribe: async (listener) => {
        this.listeners.add(listener);
        this.#hear = (payload) => listener(payload, "");
      },
      unsubscribe: async (listener) => {
        this.listeners.delete(listener);
      },
      read: async (cursor) => {
        this.reads++;
        await this.answer;
        if (this.failure) throw this.failure;
        const { at, members, count = members.length } = this;
        const [start, end] = [Number(cursor), Number(cursor) + this.pageSize];
        const next = end < members.length ? String(end) : undefined;
        return { at, count, members: members.slice(start, end), next };
      },
      onError: (error) => this.errors.push(error),
    });
    this.list.observers.add({ send: (frame) => this.frames.push(JSON.parse(frame)) });
  }

  /** Publishes the next change, or that of a version. */
  publish(change: Partial<PublishedChange>): void {
    const { epoch, version } = this.at;
    const at = change.at ?? { epoch, version: version + 1 };
    this.at = at;
    this.#hear(encodePublishedChange({ ...NOTHING, count: 2, ...change, at }, false));
  }

  hear(payload: string): void {
    this.#hear(payload);
  }

  /** The ids in a page of the list. */
  ids(after?: number): string[] {
    return (this.list.page(after).members ?? []).map((json) => JSON.parse(json).id);
  }
}

describe("A channel's members as clients observe them", () => {
  let scene: Scene;

  const open = async (options?: ConstructorParameters<typeof Scene>[0]) => {
    scene = new Scene(options);
    await scene.list.open();
    return scene;
  };

  /** Has Redis wait; gives what ends that. */
  const stall = () => {
    let release = () => {};
    scene.answer = new Promise((resolve) => {
      release = resolve;
    });
    return () => {
      scene.answer = undefined;
      release();
    };
  };

  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  });

  afterEach(() => {
    scene.list.close();
    expect([clock.countTimers(), scene.listeners.size]).to.deep.equal([0, 0]);
    clock.restore();
  });

  const shown = ({ id, sockets, state }: MemberRecord) => ({
    id,
    info: null,
    state: Number(state),
    since: 1,
    sockets,
  });

  /** What observers are told once cat has come, bob has gone and ann has another state. */
  const exchanged = {
    presence: "room",
    v: 2,
    count: 2,
    join: [shown(cat)],
    leave: [{ id: "bob" }],
    update: [{ ...shown(ann), state: 2 }],
  };

  it("are read once, and given in pages", async () => {
    const { list } = await open();
    await list.open();
    expect(scene.reads).to.equal(1);
    const { members, ...page } = list.page();
    expect(page).to.deep.equal({ v: 1, count: 2 });
    expect(members?.map((json) => JSON.parse(json))).to.deep.equal([shown(ann), shown(bob)]);
  });

  it("are given 500 in a page, and fewer where they are long", async () => {
    scene = new Scene({ frameBytes: 1_000_000 });
    scene.members = Array.from({ length: 1001 }, (_, n) => ({ ...ann, id: `m${n}` }));
    scene.pageSize = 300;
    await scene.list.open();
    expect(scene.reads).to.equal(4);
    const sizes: number[] = [];
    const ids: string[] = [];
    for (let after: number | undefined = 0; after !== undefined; ) {
      const page: ReturnType<LiveMembers["page"]> = scene.list.page(after);
      sizes.push(page.members?.length ?? 0);
      ids.push(...scene.ids(after));
      after = page.next === undefined ? undefined : Number(page.next);
    }
    expect(sizes).to.deep.equal([500, 500, 1]);
    expect(ids).to.deep.equal(scene.members.map(({ id }) => id));
    scene.list.close();
    await open({ frameBytes: 1 });
    expect([scene.ids(), scene.list.page().next, scene.ids(1), scene.list.page(1).next]).to.deep.equal([
      ["ann"],
      "1",
      ["bob"],
      undefined,
    ]);
  });

  it("are given one by one where each is as long as a page may be", async () => {
    const { list } = await open();
    const [first = ""] = list.page().members ?? [];
    list.close();
    await open({ frameBytes: first.length });
    expect(scene.ids()).to.deep.equal(["ann"]);
  });

  it("are not read where nobody observes them any more when that is heard of", async () => {
    scene = new Scene();
    const opening = scene.list.open();
    scene.list.close();
    await opening;
    expect(scene.reads).to.equal(0);
  });

  it("are told of in one frame for all that changes at about the same time", async () => {
    const { frames, list } = await open();
    scene.publish({ joined: [cat] });
    await clock.tickAsync(collect - 1);
    scene.publish({ updated: [{ ...ann, state: "2" }] });
    scene.publish({ left: ["bob", "nobody"] });
    expect(frames).to.deep.equal([]);
    await clock.tickAsync(1);
    expect(frames).to.deep.equal([exchanged]);
    expect([scene.ids(), list.page().v, scene.reads]).to.deep.equal([["ann", "cat"], 2, 1]);
    scene.publish({ left: ["cat"] });
    await clock.tickAsync(collect);
    expect(frames[1]).to.deep.equal({ presence: "room", v: 3, count: 1, leave: [{ id: "cat" }] });
    expect(scene.ids()).to.deep.equal(["ann"]);
  });

  it("are told of for what has become of them in the meantime", async () => {
    const { frames } = await open();
    scene.publish({ joined: [cat] });
    scene.publish({ left: ["cat"] });
    scene.publish({ updated: [ann] });
    await clock.tickAsync(collect);
    expect(frames).to.deep.equal([]);
    scene.publish({ updated: [{ ...bob, state: "2" }] });
    scene.publish({ updated: [{ ...bob, state: "3" }] });
    await clock.tickAsync(collect);
    const update = [{ ...shown(bob), state: 3 }];
    expect(frames.splice(0)).to.deep.equal([{ presence: "room", v: 2, count: 2, update }]);
    scene.publish({ left: ["ann"] });
    scene.publish({ joined: [ann] });
    scene.publish({ updated: [{ ...ann, state: "2" }] });
    await clock.tickAsync(collect);
    const again = { ...shown(ann), state: 2 };
    expect(frames).to.deep.equal([
      { presence: "room", v: 3, count: 2, join: [again], leave: [{ id: "ann" }] },
    ]);
    expect(scene.ids()).to.deep.equal(["bob", "ann"]);
  });

  it("are told of, too, where something else is shown of them", async () => {
    const { frames } = await open();
    scene.publish({ updated: [{ ...ann, info: '{"name":"Ann"}' }] });
    await clock.tickAsync(collect);
    const update = [{ ...shown(ann), info: { name: "Ann" } }];
    expect(frames).to.deep.equal([{ presence: "room", v: 2, count: 2, update }]);
  });

  it("are shown with their sockets in the next page, of which nobody is told", async () => {
    const { frames, list } = await open();
    scene.publish({
      sockets: [
        ["ann", 3],
        ["nobody", 2],
      ],
    });
    await clock.tickAsync(collect);
    expect(frames).to.deep.equal([]);
    scene.publish({ joined: [cat] });
    scene.publish({ sockets: [["cat", 2]] });
    await clock.tickAsync(collect);
    expect(list.page().members?.map((json) => JSON.parse(json).sockets)).to.deep.equal([3, 1, 2]);
    expect(frames).to.have.length(1);
  });

  it("have the version that they had where nobody is told", async () => {
    const { list } = await open();
    list.observers.clear();
    scene.publish({ joined: [cat] });
    await clock.tickAsync(collect);
    expect([list.page().v, list.page().count]).to.deep.equal([1, 3]);
  });

  it("are to be read anew by observers where what has changed is too much for one frame", async () => {
    const { frames } = await open({ frameBytes: 300 });
    const many = Array.from({ length: 10 }, (_, n) => ({ ...ann, id: `m${n}` }));
    scene.publish({ joined: many.slice(0, 2) });
    await clock.tickAsync(collect);
    scene.publish({ joined: many.slice(2) });
    await clock.tickAsync(collect);
    expect(frames[0]).to.have.property("join");
    expect(frames[1]).to.deep.equal({ presence: "room", v: 3, resync: true });
  });

  it("are told of in a frame that is just as long as one may be", async () => {
    const { frames } = await open();
    scene.publish({ joined: [cat] });
    await clock.tickAsync(collect);
    const [{ join }] = frames as [{ join: unknown }];
    scene.list.close();
    await open({ frameBytes: `"join":${JSON.stringify(join)}`.length });
    scene.publish({ joined: [cat] });
    await clock.tickAsync(collect);
    expect(scene.frames).to.deep.equal([{ presence: "room", v: 2, count: 3, join }]);
  });

  it("are read where a change is missing, and what is different is told", async () => {
    const { frames } = await open();
    scene.members = [{ ...ann, state: "2" }, cat];
    scene.publish({ at: { epoch: "e", version: 7 }, updated: [cat] });
    await clock.tickAsync(collect);
    expect(scene.reads).to.equal(2);
    expect(frames).to.deep.equal([exchanged]);
    // what has come late
    scene.publish({ at: { epoch: "e", version: 7 }, left: ["ann"] });
    scene.publish({ at: { epoch: "e", version: 6 }, left: ["ann"] });
    await clock.tickAsync(collect);
    expect([scene.reads, frames.length]).to.deep.equal([2, 1]);
  });

  it("are no others by what is no change", async () => {
    const { frames } = await open();
    for (const payload of ["", "null", "{}", "[]", "hi"]) scene.hear(payload);
    await clock.tickAsync(collect);
    expect(frames).to.deep.equal([]);
  });

  it("are told of as they have become while they were read", async () => {
    const { frames, list } = await open();
    const release = stall();
    const check = list.check();
    scene.publish({ joined: [cat] });
    await list.check();
    await clock.tickAsync(collect);
    expect(frames).to.deep.equal([]);
    // of the time before
    scene.at = { epoch: "e", version: 5 };
    release();
    await check;
    await clock.tickAsync(collect);
    expect((frames[0] as { join: unknown }).join).to.deep.equal([shown(cat)]);
    // the second look was for what the first may not have seen
    expect(scene.reads).to.equal(3);
  });

  it("are read again where too much has changed while they were read", async () => {
    const { list } = await open();
    const release = stall();
    const check = list.check();
    for (let n = 0; n < 1001; n++) scene.publish({ sockets: [["ann", n]] });
    scene.members = [ann, bob, cat];
    release();
    await check;
    await clock.tickAsync(collect);
    expect([scene.reads, scene.ids()]).to.deep.equal([3, ["ann", "bob", "cat"]]);
  });

  it("are read again a second later where Redis has failed", async () => {
    const { frames, list, errors } = await open();
    scene.failure = new Error("away");
    scene.members = [ann];
    await list.check();
    scene.failure = undefined;
    await clock.tickAsync(retry - 1);
    expect([errors.length, scene.reads]).to.deep.equal([1, 2]);
    await clock.tickAsync(1 + collect);
    expect([scene.reads, frames.length, scene.ids()]).to.deep.equal([3, 1, ["ann"]]);
  });

  it("are not known where Redis has failed at first, whatever is published", async () => {
    scene = new Scene();
    scene.failure = new Error("away");
    const [opened] = await Promise.allSettled([scene.list.open()]);
    expect(opened).to.have.property("reason", scene.failure);
    scene.publish({ joined: [cat] });
    await clock.tickAsync(2 * retry);
    expect([scene.frames, scene.reads]).to.deep.equal([[], 1]);
  });

  it("have not left where Redis was emptied, before all servers have had the time to write them", async () => {
    const { frames, list } = await open();
    // one of the two has set its state since, of the other an older one is known
    const newer = { ...bob, state: "2", stateAt: 6 };
    const older = { ...ann, state: "0", stateAt: 4 };
    [scene.at, scene.members] = [{ epoch: "other", version: 1 }, [newer, older]];
    await list.check();
    scene.publish({ refilled: [cat] });
    await clock.tickAsync(collect);
    scene.publish({ refilled: [older] });
    scene.members = [newer, cat];
    await clock.tickAsync(settle - collect);
    expect(scene.ids()).to.deep.equal(["ann", "bob", "cat"]);
    await clock.tickAsync(1 + collect);
    expect(frames).to.deep.equal([
      { presence: "room", v: 2, count: 3, join: [shown(cat)], update: [shown(newer)] },
      { presence: "room", v: 3, count: 2, leave: [{ id: "ann" }] },
    ]);
  });

  it("have not left where Redis has gone back, either", async () => {
    const { list } = await open();
    [scene.at, scene.members] = [{ epoch: "e", version: 4 }, [bob]];
    await list.check();
    await clock.tickAsync(settle);
    expect(scene.ids()).to.deep.equal(["ann", "bob"]);
    await clock.tickAsync(1 + collect);
    expect(scene.ids()).to.deep.equal(["bob"]);
  });

  it("are followed into the first change of a list that begins, and read where that is not the first", async () => {
    scene = new Scene();
    [scene.at, scene.members] = [{ epoch: "", version: 0 }, []];
    await scene.list.open();
    scene.publish({ at: { epoch: "e", version: 1 }, joined: [ann] });
    await clock.tickAsync(collect);
    expect([scene.reads, scene.ids()]).to.deep.equal([1, ["ann"]]);
    scene.members = [bob];
    scene.publish({ at: { epoch: "other", version: 1 }, joined: [bob] });
    await clock.tickAsync(collect);
    expect([scene.reads, scene.ids()]).to.deep.equal([2, ["ann", "bob"]]);
    scene.list.close();
    scene = new Scene();
    [scene.at, scene.members] = [{ epoch: "", version: 0 }, []];
    await scene.list.check();
    expect(scene.reads).to.equal(0);
    await scene.list.open();
    scene.members = [ann, bob];
    scene.publish({ at: { epoch: "e", version: 2 }, joined: [bob] });
    await clock.tickAsync(collect);
    expect([scene.reads, scene.ids()]).to.deep.equal([2, ["ann", "bob"]]);
  });

  it("are read, too, where another list begins while a change of each member waits", async () => {
    scene = new Scene();
    scene.members = [ann];
    await scene.list.open();
    scene.publish({ updated: [{ ...ann, state: "2" }] });
    scene.members = [bob];
    scene.publish({ at: { epoch: "other", version: 1 }, joined: [bob] });
    await clock.tickAsync(collect);
    expect(scene.reads).to.equal(2);
  });

  it("are those of a version once observers have been told of it", async () => {
    const { list, frames } = await open();
    expect(list.caughtUp({ epoch: "e", version: 5 })).to.equal(undefined);
    const told = list.caughtUp({ epoch: "e", version: 7 })?.then(() => frames.length);
    scene.publish({ joined: [cat] });
    await clock.tickAsync(collect);
    scene.publish({ left: ["cat"] });
    await clock.tickAsync(collect);
    expect(await told).to.equal(2);
    scene.at = { epoch: "other", version: 1 };
    await list.caughtUp({ epoch: "other", version: 1 });
    expect(scene.reads).to.equal(2);
  });

  it("are those of a version, too, once they have been read since, where its list is gone", async () => {
    const { list } = await open();
    await list.caughtUp({ epoch: "gone", version: 9 });
    expect(scene.reads).to.equal(2);
  });

  it("are waited for, too, before they have been read", async () => {
    scene = new Scene();
    const waiting = scene.list.caughtUp(scene.at);
    await scene.list.open();
    await waiting;
    expect(scene.ids()).to.deep.equal(["ann", "bob"]);
  });

  it("are waited for no more when nobody observes them", async () => {
    const { list, frames } = await open();
    const waiting = list.caughtUp({ epoch: "e", version: 6 });
    scene.publish({ joined: [cat] });
    list.close();
    await waiting;
    await list.check();
    await clock.tickAsync(collect);
    expect([frames, scene.reads]).to.deep.equal([[], 1]);
  });

  for (const isFailing of [false, true]) {
    const what = isFailing ? "that failed" : "with others";
    it(`are not told of any more where they were read when nobody observed them by then: ${what}`, async () => {
      const { list, frames } = await open();
      const before = clock.countTimers();
      const release = stall();
      const check = list.check();
      scene.members = [cat];
      if (isFailing) scene.failure = new Error("away");
      list.close();
      release();
      await check;
      expect(clock.countTimers()).to.equal(before);
      await clock.tickAsync(retry + collect);
      expect([frames, scene.reads]).to.deep.equal([[], 2]);
    });
  }

  it("are read once more for all changes that came while they were read, where some were missed", async () => {
    const { list } = await open();
    const release = stall();
    const check = list.check();
    for (const version of [8, 10]) scene.publish({ at: { epoch: "e", version }, joined: [cat] });
    scene.at = { epoch: "e", version: 5 };
    release();
    await check;
    await clock.tickAsync(collect);
    expect(scene.reads).to.equal(3);
  });

  it("are a number where no more is told", async () => {
    const { list, frames } = await open({ isCount: true });
    scene.publish({ count: 3, joined: [cat] });
    scene.publish({ count: 2, left: ["cat"] });
    await clock.tickAsync(collect);
    expect([list.page(), frames]).to.deep.equal([{ v: 1, count: 2 }, []]);
    scene.publish({ count: 4 });
    await clock.tickAsync(collect);
    expect([list.page(), frames]).to.deep.equal([{ v: 2, count: 4 }, [{ presence: "room", v: 2, count: 4 }]]);
  });

  it("are a number that does not fall where Redis was emptied, before all servers have written", async () => {
    scene = new Scene({ isCount: true });
    [scene.count, scene.pageSize] = [9, 1];
    await scene.list.open();
    // one answer has the number
    expect(scene.reads).to.equal(1);
    [scene.at, scene.count] = [{ epoch: "other", version: 1 }, 4];
    await scene.list.check();
    await clock.tickAsync(settle);
    expect(scene.frames).to.deep.equal([]);
    await clock.tickAsync(1 + collect);
    expect(scene.frames).to.deep.equal([{ presence: "room", v: 2, count: 4 }]);
  });
});
