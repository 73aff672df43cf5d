import { createHook } from "node:async_hooks";
import { expect } from "chai";
import type { Redis } from "../../lib/server/redis/redis.js";
import type { ListedServer } from "../../lib/server/redis/server-list.js";
import { Registry } from "../../lib/server/registry/registry.js";

describe("A registry of servers", () => {
  const info = {
    host: "h",
    pid: 1,
    startedAt: 5,
    sockets: 2,
    channels: 3,
    eventLoopDelay: 0.5,
    draining: false,
  };
  const beat = { alive: 3, dead: ["old"], overdue: ["late"] };
  let listed: ListedServer[];
  let failure: Error | undefined;
  let wasAlive: boolean;
  let calls: string[];
  let errors: unknown[];
  let redis: Redis;
  let registry: Registry;

  const entry = (id: string, more: object = {}, listing: Partial<ListedServer> = {}): ListedServer => ({
    id,
    json: JSON.stringify({ ...info, ...more }),
    at: 1,
    age: 0,
    isGone: false,
    ...listing,
  });

  beforeEach(() => {
    [listed, failure, wasAlive, calls, errors] = [[], undefined, true, [], []];
    redis = {
      servers: async () => listed,
      beat: async () => {
        calls.push("beat");
        if (failure) throw failure;
        return { ...beat, wasAlive };
      },
      endServer: async () => calls.push("end"),
    } as unknown as Redis;
    registry = make();
  });

  const make = () =>
    new Registry({
      redis,
      channelPrefix: "",
      isShared: true,
      isReachable: () => true,
      patience: 10_000,
      load: () => ({ sockets: 0, channels: 0, draining: false }),
      onError: (error) => errors.push(error),
    });

  afterEach(() => registry.close());

  it("lists those that have written within 15 s, by their start", async () => {
    listed = [
      entry("young", { startedAt: 9 }),
      entry("old", { startedAt: 1 }, { age: 15_000 }),
      entry("middle"),
      entry("late", {}, { age: 15_001 }),
      entry("ended", {}, { at: 0 }),
      entry("gone", {}, { isGone: true }),
      entry(registry.id),
    ];
    const [own, ...others] = await registry.servers();
    expect(own).to.deep.equal(registry.own);
    expect(others.map(({ id }) => id)).to.deep.equal(["old", "middle", "young"]);
    expect(others[1]).to.deep.equal({ id: "middle", ...info });
  });

  it("lists none that has written something else, as another version may", async () => {
    const wrong = [
      { host: 1 },
      { draining: "no" },
      { pid: "x" },
      { sockets: {} },
      { channels: undefined },
      { startedAt: "later" },
    ];
    listed = [
      ...wrong.map((more, n) => entry(`wrong${n}`, more)),
      ...["{", "null", "5"].map((json, n) => entry(`broken${n}`, {}, { json })),
      entry("newer", { more: true }),
    ];
    const [, ...others] = await registry.servers();
    expect(others).to.deep.equal([{ id: "newer", ...info }]);
  });

  it("knows by each write how many are alive, and which are overdue", async () => {
    expect([registry.alive, registry.overdue]).to.deep.equal([1, []]);
    await registry.start();
    expect([registry.alive, registry.overdue]).to.deep.equal([3, ["late"]]);
  });

  it("calls nobody back who was not there before its first write", async () => {
    let returns = 0;
    registry.onReturn(() => returns++);
    wasAlive = false;
    await registry.start();
    expect(returns).to.equal(0);
    await registry.update();
    expect(returns).to.equal(1);
  });

  it("tells why it could not be written, and is written by the next one", async () => {
    await registry.start();
    failure = new Error("away");
    await registry.update();
    expect(errors).to.deep.equal([failure]);
    failure = undefined;
    await registry.update();
    expect([errors.length, calls.length]).to.deep.equal([1, 3]);
  });

  it("ends a server that has written, once, and writes nothing afterwards", async () => {
    await registry.start();
    await registry.close();
    await registry.close();
    await Promise.all([registry.update(), registry.start()]);
    expect(calls).to.deep.equal(["beat", "end"]);
  });

  it("ends nothing where it has never been written", async () => {
    await registry.close();
    await registry.start();
    expect(calls).to.deep.equal([]);
  });

  it("tells nothing of a write that the end has overtaken", async () => {
    const told: string[] = [];
    registry.onDead((id) => told.push(id));
    const started = registry.start();
    await registry.close();
    await started;
    expect([told, registry.alive]).to.deep.equal([[], 1]);
  });

  it("measures the event loop with what one that has ended did, since Node.js would keep both", async () => {
    let made = 0;
    const hook = createHook({
      init: (_id, type) => {
        if (type === "ELDHISTOGRAM") made += 1;
      },
    }).enable();
    try {
      for (let i = 0; i < 5; i++) {
        const another = make();
        await another.start();
        await another.close();
      }
      expect(made).to.be.at.most(1);
    } finally {
      hook.disable();
    }
  });
});
