import { expect } from "chai";
import { Redis as IORedis6 } from "ioredis";
import { Redis as IORedis5 } from "ioredis5";
import { createClient as createNodeRedis6 } from "redis";
import { createClient as createNodeRedis4 } from "redis4";
import { createClient as createNodeRedis5 } from "redis5";
import sinon from "sinon";
import { memoryRedis } from "../../lib/memory.js";
import { adaptRedis, type RedisClient } from "../../lib/server/redis/adapt.js";
import { RedisClients } from "../../lib/server/redis/clients.js";

describe("Redis adapters", () => {
  it("accept the clients that users have, also by their types", () => {
    const clients: RedisClient[] = [
      createNodeRedis6(),
      createNodeRedis6({ RESP: 2 }),
      createNodeRedis6({ url: "redis://localhost", database: 1 }),
      createNodeRedis5(),
      createNodeRedis5({ RESP: 3 }),
      createNodeRedis4(),
      new IORedis6({ lazyConnect: true }),
      new IORedis6({ lazyConnect: true, replyMapping: "resp3" }),
      new IORedis5({ lazyConnect: true }),
      memoryRedis(),
    ];
    for (const client of clients) adaptRedis(client, "redisClient").release();
  });

  describe("of what is no client", () => {
    const methods = (...names: string[]) =>
      Object.fromEntries(
        [...names, "set", "publish", "subscribe", "unsubscribe", "on", "off"].map((name) => [name, () => {}]),
      );
    const ofNodeRedis = methods("getDel", "eventNames", "listenerCount");
    const wrong: readonly [what: string, value: unknown, named: string][] = [
      ["undefined", undefined, "of type undefined"],
      ["null", null, "null"],
      ["a string", "redis://localhost", "of type string"],
      ["a number", 6379, "of type number"],
      ["a function", () => {}, "of type function"],
      ["an empty object", {}, "another object"],
      ["an emitter", process, "another object"],
      [
        "a client with callbacks, as node-redis 3 has it",
        { connected: true, get() {}, set() {}, publish() {} },
        "another object",
      ],
      ["half a client of node-redis", { isOpen: true, isReady: true, getDel() {} }, "another object"],
      [
        "a cluster of node-redis, which does not say whether it is ready",
        { ...ofNodeRedis, isOpen: true },
        "another object",
      ],
      ["what does not say whether it is open", { ...ofNodeRedis, isReady: true }, "another object"],
      ["half a client of ioredis", { status: "ready", getdel() {} }, "another object"],
      ["what has no status", methods("getdel"), "another object"],
    ];
    for (const [what, value, named] of wrong) {
      it(`refuse ${what} with a TypeError that names the argument and says what it is`, () => {
        expect(() => adaptRedis(value, "redisClient")).to.throw(
          TypeError,
          new RegExp(
            `^redisClient must be a client of node-redis .*, a client of ioredis .*, or memoryRedis\\(\\); it is ${named}$`,
          ),
        );
      });
    }

    it("refuse a client of node-redis 4 in legacy mode, which answers by callbacks", () => {
      expect(() => adaptRedis(createNodeRedis4({ legacyMode: true }), "pubsubClient")).to.throw(
        TypeError,
        "pubsubClient must be a client without legacyMode",
      );
    });
  });
});

describe("The Redis clients of a server", () => {
  const NAMES = { tokenPrefix: "token:", channelPrefix: "" };
  let all: RedisClients[];

  beforeEach(() => {
    all = [];
  });
  afterEach(() => {
    for (const clients of all) clients.release();
  });

  const clientsOf = (redisClient: RedisClient, pubsubClient?: unknown) => {
    const clients = new RedisClients(redisClient, pubsubClient as RedisClient | undefined, NAMES, 5000);
    all.push(clients);
    return clients;
  };
  const create = () => new IORedis6({ lazyConnect: true });

  it("are one where pub/sub is off", () => {
    const clients = clientsOf(memoryRedis());
    const listener = sinon.spy();
    clients.onError(listener);
    clients.startChecks();
    clients.stopChecks();
    expect([clients.subscriber, clients.health]).to.deep.equal([
      undefined,
      { client: true, subscriber: null },
    ]);
    clients.release();
    expect(clients.health).to.deep.equal({ client: false, subscriber: null });
  });

  it("are two that are healthy each by itself, and tell of the errors of both", () => {
    const [redisClient, pubsubClient] = [create(), create()];
    const clients = clientsOf(redisClient, pubsubClient);
    expect(clients.health).to.deep.equal({ client: false, subscriber: false });
    const told: unknown[] = [];
    clients.onError((error) => told.push(error));
    const errors = [new Error("first"), new Error("second")];
    redisClient.emit("error", errors[0]);
    pubsubClient.emit("error", errors[1]);
    expect(told).to.deep.equal(errors);
    clients.release();
    for (const client of [redisClient, pubsubClient]) expect(client.listenerCount("error")).to.equal(0);
    const store = memoryRedis();
    const embedded = clientsOf(store, store);
    expect(embedded.health).to.deep.equal({ client: true, subscriber: true });
    embedded.release();
    expect(embedded.health).to.deep.equal({ client: false, subscriber: false });
  });

  it("are both asked for a sign of life, until that is no more wanted", async () => {
    const clock = sinon.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    try {
      const store = memoryRedis();
      const clients = clientsOf(store, store);
      const pings = [clients.publisher, clients.subscriber].map((client) =>
        sinon.spy(client as never, "ping"),
      );
      clients.startChecks();
      await clock.tickAsync(2000);
      clients.stopChecks();
      await clock.tickAsync(4000);
      expect(pings.map((ping) => ping.callCount)).to.deep.equal([1, 1]);
    } finally {
      clock.restore();
    }
  });

  it("are no pair where both are the same client, which could not do both", () => {
    const client = create();
    expect(() => clientsOf(client, client)).to.throw(
      TypeError,
      "options.pubsubClient must be another client than redisClient: one that has subscribed serves nothing else",
    );
    expect(client.eventNames()).to.deep.equal([]);
  });

  it("are no pair where one is an embedded store and the other is not the same", () => {
    const [store, other] = [memoryRedis(), memoryRedis()];
    for (const [redisClient, pubsubClient] of [
      [store, other],
      [store, create()],
      [create(), store],
    ] as const) {
      expect(() => clientsOf(redisClient, pubsubClient)).to.throw(
        TypeError,
        "options.pubsubClient must be the same memoryRedis() as redisClient: each is a world of its own",
      );
    }
  });

  it("are told by the names of their options where they are no clients", () => {
    expect(() => clientsOf("redis" as never)).to.throw(TypeError, /^redisClient must be /);
    expect(() => clientsOf(create(), "redis")).to.throw(TypeError, /^options\.pubsubClient must be /);
  });
});
