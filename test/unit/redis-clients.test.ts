import { expect } from "chai";
import { Redis as IORedis6 } from "ioredis";
import { Redis as IORedis5 } from "ioredis5";
import { createClient as createNodeRedis6 } from "redis";
import { createClient as createNodeRedis4 } from "redis4";
import { createClient as createNodeRedis5 } from "redis5";
import { memoryRedis } from "../../lib/memory.js";
import { adaptRedis, type RedisClient } from "../../lib/server/redis/adapt.js";

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
