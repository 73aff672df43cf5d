import { expect } from "chai";
import sinon from "sinon";
import { memoryRedis } from "../../lib/memory.js";
import { LeftBehind } from "../../lib/server/presence/left-behind.js";
import { adaptRedis } from "../../lib/server/redis/adapt.js";
import { memberNames } from "../../lib/server/redis/member-list.js";
import type { Redis } from "../../lib/server/redis/redis.js";

const PREFIX = "shop:";

describe("The members that a dead server has left behind", () => {
  let redis: Redis;
  let leftBehind: LeftBehind;
  let alive: string[];
  let failure: Error | undefined;
  let taken: Record<string, string[]>;
  let forgotten: string[];
  let errors: unknown[];
  /** Called before members of a channel are taken over. */
  let onTaking: () => unknown;

  const change = (server: string, channel: string, changes: object[], dead?: object) =>
    redis.changeMembers(PREFIX, memberNames(PREFIX, channel), {
      server,
      dead,
      channel,
      limit: 1000,
      isCount: false,
      changes,
    } as Parameters<Redis["changeMembers"]>[2]);

  /** Has the server write members of a channel. */
  const leave = (channel: string, ids: readonly string[]) =>
    change(
      "dead",
      channel,
      ids.map((id) => ({ type: "put", id, sockets: 1, info: "null" })),
    );

  beforeEach(() => {
    // the server's turn comes at once
    sinon.stub(Math, "random").returns(0);
    redis = adaptRedis(memoryRedis(), "redisClient");
    [alive, failure, taken, forgotten, errors, onTaking] = [["here"], undefined, {}, [], [], () => {}];
    leftBehind = new LeftBehind({
      redis,
      channelPrefix: PREFIX,
      registry: {
        id: "here",
        servers: async () => alive.map((id) => ({ id })),
        onDead: () => {},
        onReturn: () => {},
        forget: async (id) => forgotten.push(id),
      },
      takeOver: async (channel, dead, ids) => {
        await onTaking();
        if (failure) throw failure;
        taken[channel] = [...(taken[channel] ?? []), ...ids];
        await change(
          "here",
          channel,
          ids.map((id) => ({ type: "dead", id, grace: 1000 })),
          dead,
        );
      },
      onError: (error) => errors.push(error),
    });
  });

  afterEach(() => {
    sinon.restore();
    leftBehind.close();
    redis.release();
  });

  it("are taken over in all channels, and then the server is forgotten", async () => {
    const many = Array.from({ length: 250 }, (_, n) => `m:${n}`);
    await leave("room:1", many);
    await leave("room:2", ["ann", "bob"]);
    await change("other", "room:3", [{ type: "put", id: "cat", sockets: 1, info: "null" }]);
    onTaking = () => expect(forgotten).to.deep.equal([]);
    await leftBehind.takeOver("dead");
    expect(taken["room:1"]).to.have.members(many);
    expect(taken["room:1"]).to.have.length(250);
    expect({ ...taken, "room:1": [] }).to.deep.equal({ "room:1": [], "room:2": ["ann", "bob"] });
    expect([forgotten, errors]).to.deep.equal([["dead"], []]);
  });

  it("are found wherever this server begins to look", async () => {
    const channels = Array.from({ length: 20 }, (_, n) => `room:${n}`);
    for (const channel of channels) await leave(channel, ["ann"]);
    sinon.restore();
    sinon.stub(Math, "random").onFirstCall().returns(0).returns(0.7);
    await leftBehind.takeOver("dead");
    expect(Object.keys(taken)).to.have.members(channels);
  });

  it("are looked for in all partitions, by each server from another one on, and what is no entry is passed over", async () => {
    sinon.restore();
    sinon.stub(Math, "random").onFirstCall().returns(0).returns(0.5);
    const read = sinon.stub(redis, "readEntries").resolves({ now: 5, entries: ["no entry"] });
    await leftBehind.takeOver("dead");
    const partitions = read.args.map(([key]) => Number(/\{(\d+)\}/.exec(key)?.[1]));
    expect(partitions.slice(0, 3)).to.deep.equal([0, 128, 129]);
    expect(new Set(partitions.slice(1)).size).to.equal(256);
    expect([taken, forgotten]).to.deep.equal([{}, ["dead"]]);
  });

  it("are left alone where the server is back", async () => {
    await leave("room:1", ["ann"]);
    alive.push("dead");
    await leftBehind.takeOver("dead");
    expect([taken, forgotten, errors]).to.deep.equal([{}, [], []]);
  });

  it("are taken over once, though the server is said to be dead again meanwhile", async () => {
    await leave("room:1", ["ann"]);
    onTaking = () => leftBehind.takeOver("dead");
    await Promise.all([leftBehind.takeOver("dead"), leftBehind.takeOver("dead")]);
    expect([taken, forgotten]).to.deep.equal([{ "room:1": ["ann"] }, ["dead"]]);
  });

  it("are taken over by the next try where one fails", async () => {
    await leave("room:1", ["ann"]);
    failure = new Error("away");
    await leftBehind.takeOver("dead");
    expect([taken, forgotten, errors]).to.deep.equal([{}, [], [failure]]);
    failure = undefined;
    await leftBehind.takeOver("dead");
    expect([taken, forgotten]).to.deep.equal([{ "room:1": ["ann"] }, ["dead"]]);
  });

  it("are left to others where this server ends", async () => {
    await leave("room:1", ["ann"]);
    await leave("room:2", ["ann"]);
    onTaking = () => {
      leftBehind.close();
      failure = new Error("away");
    };
    await leftBehind.takeOver("dead");
    expect([taken, forgotten, errors]).to.deep.equal([{}, [], []]);
    [onTaking, failure] = [() => {}, undefined];
    await leftBehind.takeOver("dead");
    expect([taken, forgotten]).to.deep.equal([{}, []]);
  });

  it("are left to others, too, where this server ends while it looks for them", async () => {
    await leave("room:1", ["ann"]);
    onTaking = () => leftBehind.close();
    await leftBehind.takeOver("dead");
    expect([taken, forgotten]).to.deep.equal([{ "room:1": ["ann"] }, []]);
  });
});
