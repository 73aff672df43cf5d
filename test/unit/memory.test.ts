import { expect } from "chai";
import sinon from "sinon";
import { memoryRedis } from "../../lib/memory.js";
import { adaptRedis, isMemoryRedis } from "../../lib/server/redis/adapt.js";
import { historyNames } from "../../lib/server/redis/history-log.js";
import { entriesKey, memberNames } from "../../lib/server/redis/member-list.js";
import { MemoryStore } from "../../lib/server/redis/memory-store.js";
import type { Redis } from "../../lib/server/redis/redis.js";
import { serverNames } from "../../lib/server/redis/server-list.js";

const BOUNDS = { size: 10, ttl: 1000, positionTtl: 2000 };
const TIMES = { overdueAfter: 100, deadAfter: 500, goneFor: 2000 };
const LOG = historyNames("", "log");
const ROOM = memberNames("", "room");
const SERVERS = serverNames("");
const ENTRIES = entriesKey("", ROOM.partition, "here");
const BATCH = { server: "here", channel: "room", limit: 9, isCount: false };
const JOINING = { ...BATCH, changes: [{ type: "put", id: "ann", sockets: 1, info: "null" } as const] };

describe("The embedded store", () => {
  let redis: Redis;
  let other: Redis;

  beforeEach(() => {
    const store = memoryRedis();
    [redis, other] = [adaptRedis(store, "redisClient"), adaptRedis(store, "redisClient")];
  });
  afterEach(() => {
    redis.release();
    other.release();
  });

  it("is known by what memoryRedis makes", () => {
    const store = memoryRedis();
    const [symbol] = Object.getOwnPropertySymbols(store);
    expect(isMemoryRedis(store)).to.equal(true);
    for (const value of [null, undefined, "", {}, () => {}, { [symbol as symbol]: true }]) {
      expect(isMemoryRedis(value)).to.equal(false);
    }
  });

  it("is shared by those who use it", async () => {
    await redis.ready();
    await redis.ping();
    expect([redis.isReady, await redis.info(), await redis.rehearse([])]).to.deep.equal([true, "", []]);
    await redis.set("key", "value", 1000);
    expect([await other.take("key"), await redis.take("key")]).to.deep.equal(["value", null]);
    await redis.append("list", "a", 2, 1000);
    await redis.append("list", "b", 2, 1000);
    await redis.append("list", "b", 2, 1000);
    expect(await other.list("list")).to.deep.equal(["b", "b"]);
    await redis.remove("list", "b");
    expect(await other.list("list")).to.deep.equal(["b"]);
    const heard: string[] = [];
    for (const { channel } of [LOG, ROOM]) await other.subscribe(channel, (_, name) => heard.push(name));
    const { at } = await redis.keep(LOG, BOUNDS, { json: "1" });
    const page = await other.read(LOG, BOUNDS, { count: 5, bytes: 100 });
    expect([page.entries.map(({ json }) => json), at.startsWith(page.at.epoch)]).to.deep.equal([["1"], true]);
    const { after } = await redis.changeMembers("", ROOM, JOINING);
    const { at: read, members } = await other.readMembers(ROOM, "0");
    expect([read, members.map(({ id }) => id)]).to.deep.equal([after, ["ann"]]);
    expect(heard).to.deep.equal([LOG.channel, ROOM.channel]);
    expect((await other.readEntries(ENTRIES, Date.now(), 9)).entries).to.deep.equal(["ann:room"]);
    expect(await redis.beat(SERVERS, TIMES, "here", "{}")).to.include({ wasAlive: false, alive: 1 });
    expect((await other.servers(SERVERS)).map(({ id, json }) => [id, json])).to.deep.equal([["here", "{}"]]);
    expect(await other.forgetServer(SERVERS, TIMES, "here")).to.equal(false);
    await other.endServer(SERVERS, "here");
    expect(await other.forgetServer(SERVERS, TIMES, "here")).to.equal(true);
  });

  it("tells how many have got a message, and gives it to those who listen by then", async () => {
    const [listener, second] = [sinon.spy(), sinon.spy()];
    expect(await other.publish("room", "nobody")).to.equal(0);
    await redis.subscribe("room", listener);
    await redis.subscribe("room", listener);
    await redis.subscribe("room", second);
    await other.subscribe("room", listener);
    expect([redis.listeners("room"), other.listeners("room"), other.listeners("hall")]).to.deep.equal([
      2, 1, 0,
    ]);
    expect(await other.publish("room", "a\ud800")).to.equal(3);
    await redis.unsubscribe("room", second);
    await other.ping();
    sinon.assert.notCalled(second);
    expect(listener.args).to.deep.equal([
      ["a\ufffd", "room"],
      ["a\ufffd", "room"],
    ]);
    await redis.unsubscribe("room", second);
    await redis.unsubscribe("hall", listener);
    expect(await other.publish("room", "2")).to.equal(2);
    // taken back before it has come there
    const joining = redis.subscribe("attic", listener);
    const publishing = other.publish("attic", "3");
    await redis.unsubscribe("attic", listener);
    await joining;
    expect([await publishing, redis.listeners("attic")]).to.deep.equal([0, 0]);
    redis.release();
    expect([await other.publish("room", "4"), redis.listeners("room")]).to.deep.equal([1, 0]);
  });

  it("reports what a listener throws to all who want to know, until they do not any more", async () => {
    const error = new Error("broken");
    const told: string[] = [];
    const tell = (name: string) => (reported: unknown) => {
      expect(reported).to.equal(error);
      told.push(name);
      throw new Error("broken, too");
    };
    const again = tell("again");
    const stops = ["first", "second"].map((name) => redis.onError(tell(name)));
    const [stop] = [redis.onError(again), redis.onError(again)];
    const foreign = sinon.spy();
    other.onError(foreign);
    await redis.subscribe("room", () => {
      throw error;
    });
    const publish = async () => {
      await other.publish("room", "hello");
      await other.take("");
    };
    await publish();
    expect(told.splice(0)).to.deep.equal(["first", "second", "again", "again"]);
    stops[0]?.();
    stop?.();
    await publish();
    expect(told.splice(0)).to.deep.equal(["second", "again"]);
    sinon.assert.notCalled(foreign);
  });

  it("takes nothing more from who has released it", async () => {
    await other.set("key", "value", 1000);
    const listener = sinon.spy();
    redis.release();
    expect(redis.isReady).to.equal(false);
    const commands = [
      () => redis.ready(),
      () => redis.set("key", "", 1),
      () => redis.take("key"),
      () => redis.append("list", "", 1, 1),
      () => redis.remove("list", ""),
      () => redis.list("list"),
      () => redis.keep(LOG, BOUNDS, { json: "1" }),
      () => redis.read(LOG, BOUNDS, { count: 1, bytes: 1 }),
      () => redis.beat(SERVERS, TIMES, "here", "{}"),
      () => redis.servers(SERVERS),
      () => redis.forgetServer(SERVERS, TIMES, "here"),
      () => redis.endServer(SERVERS, "here"),
      () => redis.changeMembers("", ROOM, JOINING),
      () => redis.readMembers(ROOM, "0"),
      () => redis.readEntries(ENTRIES, 1, 1),
      () => redis.publish("room", "hello"),
      () => redis.subscribe("room", listener),
    ];
    const outcomes = await Promise.allSettled(commands.map((command) => command()));
    const messages = outcomes.map((outcome) => outcome.status === "rejected" && outcome.reason.message);
    expect(new Set(messages)).to.deep.equal(new Set(["The Redis client is not in use any more"]));
    expect(await other.take("key")).to.equal("value");
  });

  it("rejects a time to live that is none, and is told so by the words of Redis", async () => {
    for (const ttl of [0, -1, 0.5, Number.NaN, Infinity]) {
      const [outcome] = await Promise.allSettled([redis.set("key", "value", ttl)]);
      expect(outcome).to.have.nested.property("reason.message", "ERR invalid expire time in 'set' command");
    }
  });

  describe("as time goes by", () => {
    let clock: sinon.SinonFakeTimers;
    let store: MemoryStore;

    beforeEach(() => {
      clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
      store = new MemoryStore();
      store.acquire();
    });
    afterEach(() => {
      store.release();
      clock.restore();
    });

    it("has a value and a list until their time is over", () => {
      store.set("key", "value", 500);
      store.append("list", "a", 5, 500);
      clock.tick(499);
      expect([store.take("key"), store.list("list")]).to.deep.equal(["value", ["a"]]);
      store.set("key", "value", 500);
      // the last one counts
      store.append("list", "b\ud800", 5, 500);
      store.remove("list", "c");
      store.remove("other", "a");
      clock.tick(499);
      expect(store.list("list")).to.deep.equal(["a", "b\ufffd"]);
      store.remove("list", "b\ud800");
      clock.tick(1);
      expect([store.take("key"), store.list("list")]).to.deep.equal([null, []]);
    });

    it("takes the newest of equal values out of a list", () => {
      for (const value of ["a", "b", "a", "c"]) store.append("list", value, 5, 500);
      store.remove("list", "a");
      expect(store.list("list")).to.deep.equal(["a", "b", "c"]);
    });

    for (const [what, put, life] of [
      ["a value", () => store.set("key", "value", 5000), 5000],
      ["a list", () => store.append("list", "a", 5, 5000), 5000],
      ["a history", () => store.keep(LOG, BOUNDS, { json: "1" }), 2000],
      ["a look at a history", () => store.read(LOG, BOUNDS, { count: 1, bytes: 1 }), 2000],
    ] as const) {
      it(`looks after ${what} as long as that is there, and then has no timer`, () => {
        const before = clock.countTimers();
        put();
        expect(clock.countTimers()).to.equal(before + 1);
        clock.tick(life - 500);
        expect(clock.countTimers()).to.equal(before + 1);
        clock.tick(1500);
        expect([clock.countTimers(), store.size]).to.deep.equal([before, 0]);
      });
    }

    it("looks after what it has of one kind, however much it has of another", () => {
      const kinds = [
        () => store.set("key", "value", 5000),
        () => store.append("list", "a", 5, 5000),
        () => store.read(LOG, { ...BOUNDS, positionTtl: 5000 }, { count: 1, bytes: 1 }),
        () => store.changeMembers("", ROOM, JOINING),
      ];
      const [first, ...others] = kinds as [() => void, ...(() => void)[]];
      for (const second of others) {
        first();
        second();
        const busy = clock.countTimers();
        clock.tick(2000);
        expect(clock.countTimers()).to.equal(busy);
        clock.tick(5000);
      }
    });

    it("looks after members as long as their version is known", () => {
      const before = clock.countTimers();
      store.changeMembers("", ROOM, JOINING);
      clock.tick(2_000_000);
      expect(clock.countTimers()).to.equal(before + 1);
      store.changeMembers("", ROOM, { ...BATCH, changes: [{ type: "drop", id: "ann", grace: 0 }] });
      clock.tick(601_000);
      expect(clock.countTimers()).to.equal(before);
    });
  });
});
