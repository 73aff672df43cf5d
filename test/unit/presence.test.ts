import { expect } from "chai";
import sinon from "sinon";
import type { Limits } from "../../lib/server/limits/limits.js";
import type { Reporter } from "../../lib/server/log/reporter.js";
import { Presence, type PresenceClient } from "../../lib/server/presence/presence.js";
import type { ResolvedPresence } from "../../lib/server/presence/presence-option.js";
import { PRESENCE_TIMES } from "../../lib/server/presence/presence-times.js";
import { adaptRedis } from "../../lib/server/redis/adapt.js";
import { memberNames } from "../../lib/server/redis/member-list.js";
import { type MemoryRedis, memoryRedis } from "../../lib/server/redis/memory.js";
import type { Redis } from "../../lib/server/redis/redis.js";

const { collect, settle, retry } = PRESENCE_TIMES;
const GRACE = 20_000;
const OPTION: ResolvedPresence = {
  info: (auth) => auth as object,
  state: undefined,
  grace: GRACE,
  limit: 1000,
  isCount: false,
};

const STEP = collect / 2;

let clock: sinon.SinonFakeTimers;

/** Lets time pass, a bit at a time, so that the embedded store does by then what it was given. */
async function pass(time: number): Promise<void> {
  for (let left = time; left >= 0; left -= STEP) {
    await clock.tickAsync(Math.min(left, STEP));
    for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await pass(1);
}

interface Client extends PresenceClient {
  closed: boolean;
  usage: { readonly key: string } | undefined;
  readonly socket: PresenceClient["socket"] & { auth: unknown };
  readonly channels: Record<string, true>;
  readonly frames: { readonly [field: string]: unknown }[];
}

/** A client with an identity, whose auth is shown where the test shows it. */
function clientOf(key: string | undefined, auth: unknown = null): Client {
  const frames: Client["frames"] = [];
  return {
    socket: { auth } as Client["socket"],
    closed: false,
    usage: key === undefined ? undefined : { key },
    channels: {},
    frames,
    send: (frame) => frames.push(JSON.parse(frame)),
  };
}

/** The presence of a server, on a store that others may share. */
class Scene {
  readonly redis: Redis;
  readonly presence: Presence;
  options: Record<string, ResolvedPresence> = { room: OPTION };
  isGuarded = false;
  /** What Redis fails with, and what it waits for before it answers. */
  failure: Error | undefined;
  answer: Promise<void> | undefined;
  readonly told: unknown[] = [];
  readonly outages: [context: string, error: unknown][] = [];
  readonly errors: [context: string, error: unknown][] = [];
  readonly forgotten: string[] = [];
  readonly limits = { bufferedBytes: 4000, presenceBytes: 30, redisTimeout: 5000 };
  onDead: ((id: string) => void) | undefined;
  onReturn: (() => void) | undefined;

  constructor(store: MemoryRedis, { id = "here", isOn = true, hasPubSub = true } = {}) {
    const redis = adaptRedis(store, "redisClient");
    this.redis = redis;
    const failing: Pick<Redis, "changeMembers" | "readMembers"> = {
      changeMembers: async (...args) => {
        await this.answer;
        if (this.failure) throw this.failure;
        return redis.changeMembers(...args);
      },
      readMembers: async (...args) => {
        if (this.failure) throw this.failure;
        return redis.readMembers(...args);
      },
    };
    const parts: Partial<Redis> = { readEntries: (...args) => redis.readEntries(...args), ...failing };
    this.presence = new Presence({
      redis: parts as Redis,
      subscriber: hasPubSub ? redis : undefined,
      channelPrefix: "shop:",
      registry: {
        id,
        servers: async () => [{ id }],
        onDead: (listener) => {
          this.onDead = listener;
        },
        onReturn: (listener) => {
          this.onReturn = listener;
        },
        forget: async (dead) => this.forgotten.push(dead),
      },
      limits: this.limits as Limits,
      times: PRESENCE_TIMES,
      optionOf: (channel) => this.options[channel],
      isOn,
      isGuarded: () => this.isGuarded,
      reporter: {
        outage: (context: string, error: unknown) => this.outages.push([context, error]),
        error: (context: string, error: unknown) => this.errors.push([context, error]),
      } as unknown as Reporter,
      notify: (event, channel, { id: member, info, state }) =>
        this.told.push([event, channel, member, info, state]),
    });
  }

  /** Has a client join a channel, and that written. */
  async join(client: Client, channel = "room"): Promise<void> {
    client.channels[channel] = true;
    this.presence.join(client, channel);
    await pass(collect);
  }

  /** Has a client observe a channel; gives the page that it gets. */
  async observe(client: Client, channel = "room") {
    let page: unknown;
    const observing = this.presence.observe(client, channel, (first) => {
      page = { count: first.count, members: first.members?.map((json) => JSON.parse(json).id) };
      return true;
    });
    observing.catch(() => {});
    // it is told what was written just before
    await pass(collect);
    await observing;
    return page;
  }

  /** The members that all servers have, by the channel. */
  async members(channel = "room"): Promise<string[]> {
    const { members } = await this.redis.readMembers(memberNames("shop:", channel), "0");
    return members.map(({ id }) => id).sort();
  }

  listeners(channel = "room"): number {
    return this.redis.listeners(memberNames("shop:", channel).channel);
  }
}

describe("The presence of a server's channels", () => {
  let store: MemoryRedis;
  let scene: Scene;
  let others: Scene[];
  let ann: Client;
  let bob: Client;

  beforeEach(() => {
    clock = sinon.useFakeTimers({
      now: 1_000_000,
      toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance", "Date"],
    });
    sinon.stub(Math, "random").returns(0);
    store = memoryRedis();
    scene = new Scene(store);
    others = [];
    [ann, bob] = [clientOf("ann", { name: "Ann" }), clientOf("bob", { name: "Bob" })];
  });
  afterEach(async () => {
    for (const { presence, redis } of [scene, ...others]) {
      await presence.close();
      redis.release();
    }
    clock.restore();
    sinon.restore();
  });

  const sceneOf = (...args: ConstructorParameters<typeof Scene>) => {
    const other = new Scene(...args);
    others.push(other);
    return other;
  };

  it("is there for the channels with the option, where pub/sub is on", async () => {
    const { presence } = scene;
    expect([presence.isOn, presence.has("room"), presence.has("hall")]).to.deep.equal([true, true, false]);
    for (const parts of [{ isOn: false }, { hasPubSub: false }]) {
      const off = sceneOf(memoryRedis(), parts);
      expect([off.presence.isOn, off.presence.has("room")]).to.deep.equal([false, false]);
      await off.join(ann);
      off.presence.renew(ann);
      expect(await off.members()).to.deep.equal([]);
      expect(off.onDead === undefined).to.equal("isOn" in parts);
    }
    let isAnswered = false;
    await presence.observe(ann, "hall", () => {
      isAnswered = true;
      return true;
    });
    expect([isAnswered, presence.observes(ann, "hall")]).to.deep.equal([false, false]);
  });

  it("has the identities whose sockets are in a channel, and tells the application of them", async () => {
    await scene.join(ann);
    await scene.join(clientOf("ann", { name: "Ann" }));
    await scene.join(clientOf(undefined));
    await scene.join(bob, "hall");
    expect(await scene.members()).to.deep.equal(["ann"]);
    expect(await scene.members("hall")).to.deep.equal([]);
    scene.presence.leave(ann, "room", false);
    await pass(collect);
    expect(scene.told).to.deep.equal([["joined", "room", "ann", { name: "Ann" }, null]]);
    scene.presence.leave(ann, "room", false);
    scene.presence.leave(clientOf(undefined), "room", false);
    await pass(collect);
    expect(scene.told.slice(1)).to.deep.equal([["left", "room", "ann", { name: "Ann" }, null]]);
    expect(await scene.members()).to.deep.equal([]);
  });

  it("waits for who has lost its line, and for no longer than it says", async () => {
    await scene.join(ann);
    scene.presence.leave(ann, "room", true);
    await pass(0);
    await pass(GRACE - 1);
    expect(await scene.members()).to.deep.equal(["ann"]);
    await pass(2 + collect);
    expect(await scene.members()).to.deep.equal([]);
    expect(scene.told.at(-1)).to.deep.equal(["left", "room", "ann", { name: "Ann" }, null]);
  });

  it("shows a client anew in the channels that it is in", async () => {
    await scene.join(ann);
    ann.channels.hall = true;
    ann.socket.auth = { name: "Anna" };
    scene.presence.renew(ann);
    scene.presence.renew({ ...ann, usage: undefined });
    await pass(collect);
    expect(scene.told.slice(1)).to.deep.equal([["updated", "room", "ann", { name: "Anna" }, null]]);
    // it is about to join one, and the other has no presence any more
    scene.options = { lobby: OPTION };
    ann.channels.lobby = true;
    ann.socket.auth = { name: "Annie" };
    scene.presence.renew(ann);
    await pass(collect);
    expect(scene.told).to.have.length(2);
  });

  it("sets the state of a member, and of nobody else", async () => {
    await scene.join(ann);
    const setting = scene.presence.set(ann, "room", '"busy"');
    await pass(collect);
    expect(await setting).to.deep.include({ isMember: true });
    expect(scene.told.slice(1)).to.deep.equal([["updated", "room", "ann", { name: "Ann" }, "busy"]]);
    expect(await scene.presence.set(bob, "room", "1")).to.equal(undefined);
    expect(await scene.presence.set(clientOf(undefined), "room", "1")).to.equal(undefined);
    expect(await scene.presence.set(ann, "hall", "1")).to.equal(undefined);
  });

  it("rejects a state that Redis does not take in time", async () => {
    await scene.join(ann);
    let answer = () => {};
    scene.answer = new Promise((resolve) => {
      answer = resolve;
    });
    const setting = Promise.allSettled([scene.presence.set(ann, "room", "1")]);
    await pass(scene.limits.redisTimeout);
    const [outcome] = await setting;
    expect(outcome).to.have.nested.property("reason.message", "No answer from Redis within 5000 ms");
    answer();
  });

  it("gives an observer who is there, itself included, and then what changes", async () => {
    await scene.join(bob);
    scene.presence.join(ann, "room");
    const observing = scene.observe(ann);
    await pass(collect);
    await pass(collect);
    expect(await observing).to.deep.equal({ count: 2, members: ["bob", "ann"] });
    scene.presence.leave(bob, "room", false);
    await pass(collect);
    await pass(collect);
    expect(ann.frames).to.deep.equal([{ presence: "room", v: 2, count: 1, leave: [{ id: "bob" }] }]);
    expect([scene.presence.observes(ann, "room"), scene.presence.observes(bob, "room")]).to.deep.equal([
      true,
      false,
    ]);
  });

  it("gives the further pages to those who observe alone", async () => {
    // two of them fill a page of a quarter of the buffer
    scene.limits.bufferedBytes = 600;
    for (const id of ["a", "b", "c"]) await scene.join(clientOf(id, { name: "x".repeat(15) }));
    await scene.observe(ann);
    const { presence } = scene;
    const first = presence.page(ann, "room", 0);
    expect([first?.members?.length, first?.next]).to.deep.equal([2, "2"]);
    expect(presence.page(ann, "room", 2)?.members?.map((json) => JSON.parse(json).id)).to.deep.equal(["c"]);
    expect([presence.page(bob, "room", 0), presence.page(ann, "hall", 0)]).to.deep.equal([
      undefined,
      undefined,
    ]);
  });

  it("tells numbers alone where the option says so", async () => {
    scene.options.room = { ...OPTION, isCount: true };
    await scene.join(ann);
    expect(await scene.observe(ann)).to.deep.equal({ count: 1, members: undefined });
    await scene.join(bob);
    await pass(collect);
    expect(ann.frames).to.deep.equal([{ presence: "room", v: 2, count: 2 }]);
  });

  it("follows a channel as long as somebody observes it, or is about to", async () => {
    const { presence } = scene;
    await Promise.all([scene.observe(ann), scene.observe(bob)]);
    expect(scene.listeners()).to.equal(1);
    expect([presence.unobserve(ann, "room"), presence.unobserve(ann, "room")]).to.deep.equal([true, false]);
    expect(scene.listeners()).to.equal(1);
    expect(presence.unobserve(bob, "room")).to.equal(true);
    expect(scene.listeners()).to.equal(0);
    // one waits while the other ends
    await scene.observe(ann);
    const observing = scene.observe(bob);
    presence.unobserve(ann, "room");
    expect(scene.listeners()).to.equal(1);
    await observing;
    await scene.join(clientOf("cat"));
    await pass(collect);
    expect([ann.frames.length, bob.frames.length]).to.deep.equal([0, 1]);
  });

  it("follows nothing for who has closed meanwhile, or is refused", async () => {
    const { presence } = scene;
    const answer = sinon.stub().returns(false);
    await presence.observe(ann, "room", answer);
    expect([answer.callCount, presence.observes(ann, "room"), scene.listeners()]).to.deep.equal([
      1,
      false,
      0,
    ]);
    const observing = presence.observe(ann, "room", answer);
    ann.closed = true;
    await observing;
    expect([answer.callCount, presence.observes(ann, "room"), scene.listeners()]).to.deep.equal([
      1,
      false,
      0,
    ]);
  });

  it("rejects who would observe where Redis does not tell, and lets the next one try", async () => {
    scene.failure = new Error("away");
    const [outcome] = await Promise.allSettled([scene.observe(ann)]);
    expect(outcome).to.have.property("reason", scene.failure);
    expect([scene.presence.observes(ann, "room"), scene.listeners()]).to.deep.equal([false, 0]);
    scene.failure = undefined;
    expect(await scene.observe(ann)).to.deep.equal({ count: 0, members: [] });
  });

  it("knows what each client observes, and forgets it with the client", async () => {
    scene.options.hall = OPTION;
    for (const channel of ["room", "hall"]) await scene.observe(ann, channel);
    await scene.observe(bob);
    const { presence } = scene;
    expect(presence.observedBy(ann)).to.deep.equal(["room", "hall"]);
    presence.unobserve(ann, "room");
    expect(presence.observedBy(ann)).to.deep.equal(["hall"]);
    expect(presence.unobserve(ann, "room")).to.equal(false);
    presence.forget(ann);
    expect([presence.observedBy(ann), presence.observedBy(bob)]).to.deep.equal([[], ["room"]]);
    expect([scene.listeners("hall"), scene.listeners("room")]).to.deep.equal([0, 1]);
  });

  it("ends what a client observes with its membership, unless a guard has allowed it", async () => {
    for (const client of [ann, bob]) {
      await scene.join(client);
      await scene.observe(client);
    }
    await pass(collect);
    ann.frames.length = 0;
    scene.presence.leave(ann, "room", false);
    const end = { presence: "room", end: true, error: { code: "forbidden", message: "Forbidden" } };
    expect(ann.frames).to.deep.equal([end]);
    expect(scene.presence.observes(ann, "room")).to.equal(false);
    scene.presence.leave(ann, "room", false);
    expect(ann.frames).to.have.length(1);
    scene.isGuarded = true;
    scene.presence.leave(bob, "room", false);
    expect(bob.frames).to.deep.equal([]);
    expect(scene.presence.observes(bob, "room")).to.equal(true);
  });

  it("is read with what this server has just changed", async () => {
    scene.presence.join(ann, "room");
    const reading = scene.presence.read("room");
    await pass(0);
    const member = { id: "ann", info: { name: "Ann" }, state: null, since: 1_000_000, sockets: 1 };
    expect(await reading).to.deep.equal({ count: 1, members: [member] });
    const [outcome] = await Promise.allSettled([scene.presence.read("hall")]);
    expect(outcome).to.have.nested.property(
      "reason.message",
      'The channel "hall" has no presence: see the option presence',
    );
  });

  for (const [what, give, why] of [
    [
      "throws",
      () => {
        throw new Error("broken");
      },
      "broken",
    ],
    ["gives a text", () => "Ann", "It must give an object, at once"],
    ["gives a number", () => 1n, "It must give an object, at once"],
    ["gives a list", () => [], "It must give an object, at once"],
    ["gives a promise", async () => ({}), "It must give an object, at once"],
    ["gives what has no JSON", () => ({ toJSON: () => undefined }), "It must give an object, at once"],
    [
      "gives too much",
      () => ({ name: "ü".repeat(10) }),
      "It has 31 bytes, and may have 30 (limits.presenceBytes)",
    ],
  ] as const) {
    it(`shows nothing of a member where info ${what}, and reports that`, async () => {
      scene.options.room = { ...OPTION, info: give as ResolvedPresence["info"] };
      await scene.join(ann);
      expect(scene.told).to.deep.equal([["joined", "room", "ann", null, null]]);
      expect(scene.errors.map(([context, error]) => [context, (error as Error).message])).to.deep.equal([
        ["presence: info failed", why],
      ]);
    });
  }

  it("shows what info gives up to the limit, and nothing where it gives nothing or is not there", async () => {
    const shown = { name: "x".repeat(19) };
    const infos = [() => shown, () => null, () => undefined, undefined];
    for (const [index, info] of infos.entries()) {
      scene.options.room = { ...OPTION, info };
      await scene.join(clientOf(String(index)));
    }
    expect(scene.told.map((told) => (told as unknown[])[3])).to.deep.equal([shown, null, null, null]);
    expect(scene.errors).to.deep.equal([]);
  });

  it("gives info the socket and what it has authenticated as", async () => {
    const info = sinon.stub().returns({});
    scene.options.room = { ...OPTION, info };
    await scene.join(ann);
    sinon.assert.calledOnceWithExactly(info, ann.socket.auth, ann.socket);
  });

  it("says that a channel is full", async () => {
    scene.options.room = { ...OPTION, limit: 1 };
    await scene.join(ann);
    await scene.join(bob);
    expect(await scene.members()).to.deep.equal(["ann"]);
    expect(scene.outages.map(([context, error]) => [context, (error as Error).message])).to.deep.equal([
      ["presence", 'The channel "room" has as many members as its presence may have (limit)'],
    ]);
  });

  it("says that Redis takes no members, and tries again", async () => {
    scene.failure = new Error("away");
    await scene.join(ann);
    expect(scene.outages).to.deep.equal([["the members of a channel could not be written", scene.failure]]);
    scene.failure = undefined;
    await pass(retry);
    expect(await scene.members()).to.deep.equal(["ann"]);
  });

  it("says that what is observed cannot be read, and tells what was missed later", async () => {
    await scene.observe(ann);
    scene.failure = new Error("away");
    scene.onReturn?.();
    await until(() => scene.outages.length > 0);
    expect(scene.outages).to.deep.equal([["the members of a channel could not be read", scene.failure]]);
  });

  it("writes its members again where this server was taken for dead, or Redis was emptied", async () => {
    await scene.join(ann);
    await scene.observe(bob);
    const names = memberNames("shop:", "room");
    const dead = { server: "here", at: Date.now() };
    const changes = [{ type: "dead", id: "ann", grace: 0 } as const, { type: "due", id: "ann" } as const];
    const batch = { server: "there", dead, channel: "room", limit: 9, isCount: false, changes };
    await scene.redis.changeMembers("shop:", names, batch);
    expect(await scene.members()).to.deep.equal([]);
    scene.onReturn?.();
    await pass(collect);
    expect(await scene.members()).to.deep.equal(["ann"]);
  });

  it("lets nobody leave for not being there yet once Redis was emptied", async () => {
    await scene.join(ann);
    await scene.join(bob);
    const emptied = sceneOf(memoryRedis());
    // the server's next command goes to an empty store
    sinon.stub(scene.redis, "changeMembers").callsFake((...args) => emptied.redis.changeMembers(...args));
    scene.presence.leave(bob, "room", false);
    await pass(collect);
    await pass(collect);
    expect(await emptied.members()).to.deep.equal(["ann", "bob"]);
    scene.presence.leave(ann, "room", false);
    await pass(settle - 1000);
    expect(await emptied.members()).to.deep.equal(["ann", "bob"]);
    await pass(1000 + collect);
    expect(await emptied.members()).to.deep.equal([]);
  });

  it("takes over the members that a dead server has left, also in a channel that has no presence any more", async () => {
    const dead = sceneOf(store, { id: "dead" });
    dead.options.hall = OPTION;
    await dead.join(ann);
    await dead.join(bob, "hall");
    clock.setSystemTime(Date.now() + 1000);
    scene.onDead?.("dead");
    await until(() => scene.forgotten.length > 0);
    expect(scene.forgotten).to.deep.equal(["dead"]);
    await pass(collect);
    expect(await scene.members("hall")).to.deep.equal([]);
    expect(await scene.members()).to.deep.equal(["ann"]);
    await pass(GRACE + collect);
    expect(await scene.members()).to.deep.equal([]);
    expect(scene.told).to.deep.equal([
      ["left", "hall", "bob", { name: "Bob" }, null],
      ["left", "room", "ann", { name: "Ann" }, null],
    ]);
  });

  it("says that the members of a dead server could not be taken over", async () => {
    await scene.join(ann);
    const dead = sceneOf(store, { id: "dead" });
    await dead.join(bob);
    clock.setSystemTime(Date.now() + 1000);
    scene.failure = new Error("away");
    scene.onDead?.("dead");
    await until(() => scene.outages.length > 0);
    expect(scene.outages).to.deep.equal([
      ["the members of a server that is gone could not be taken over", scene.failure],
    ]);
    scene.failure = undefined;
  });

  it("waits for its members when it closes, tells of none that joins, and of nothing that fails", async () => {
    await scene.join(ann);
    await scene.observe(bob);
    scene.presence.leave(ann, "room", true);
    scene.presence.join(clientOf("cat"), "room");
    scene.told.length = 0;
    await scene.presence.close();
    expect(await scene.members()).to.deep.equal(["ann", "cat"]);
    expect([scene.told, scene.listeners(), scene.presence.observes(bob, "room")]).to.deep.equal([
      [],
      0,
      false,
    ]);
    scene.failure = new Error("away");
    scene.onReturn?.();
    scene.onDead?.("other");
    await pass(2 * GRACE);
    expect([scene.outages, scene.told, bob.frames]).to.deep.equal([[], [], []]);
  });

  it("tells of those who leave when it closes, and of no failure by then", async () => {
    await scene.join(ann);
    await scene.join(bob);
    scene.told.length = 0;
    scene.presence.leave(ann, "room", false);
    await scene.presence.close();
    expect(scene.told).to.deep.equal([["left", "room", "ann", { name: "Ann" }, null]]);
    const other = sceneOf(store, { id: "other" });
    await other.join(ann);
    other.presence.leave(ann, "room", false);
    other.failure = new Error("away");
    await other.presence.close();
    expect(other.outages).to.deep.equal([]);
  });

  it("says that it cannot stop to follow a channel, but not when it closes", async () => {
    const failure = new Error("away");
    const unsubscribe = sinon.stub(scene.redis, "unsubscribe").rejects(failure);
    await scene.observe(ann);
    scene.presence.unobserve(ann, "room");
    await pass(0);
    const outage = ["the members of a channel could not be read", failure];
    expect(scene.outages).to.deep.equal([outage]);
    await scene.observe(ann);
    await scene.presence.close();
    await pass(0);
    expect(scene.outages).to.deep.equal([outage]);
    unsubscribe.restore();
  });

  it("has the option as it is when the first one joins a channel that was empty", async () => {
    scene.options.room = { ...OPTION, limit: 1 };
    await scene.join(ann);
    scene.options.room = { ...OPTION, limit: 2 };
    await scene.join(bob);
    expect(await scene.members()).to.deep.equal(["ann"]);
    for (const client of [ann, bob]) scene.presence.leave(client, "room", false);
    await pass(collect);
    for (const client of [ann, bob]) await scene.join(client);
    expect(await scene.members()).to.deep.equal(["ann", "bob"]);
  });

  it("gives no page to who would observe a server that is closing", async () => {
    const answer = sinon.stub().returns(true);
    const unsubscribe = sinon.spy(scene.redis, "unsubscribe");
    const observing = scene.presence.observe(ann, "room", answer);
    await scene.presence.close();
    await observing;
    expect(unsubscribe.callCount).to.equal(1);
    expect([answer.callCount, scene.listeners()]).to.deep.equal([0, 0]);
  });
});
