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
    const wrong: readonly [string, unknown][] = [
      ["undefined", undefined],
      ["null", null],
      ["a string", "redis://localhost"],
      ["a number", 6379],
      ["a function", () => {}],
      ["an empty object", {}],
      ["an emitter", process],
      [
        "a client with callbacks, as node-redis 3 has it",
        { connected: true, get() {}, set() {}, publish() {} },
      ],
      ["half a client of node-redis", { isOpen: true, isReady: true, getDel() {} }],
      ["half a client of ioredis", { status: "ready", getdel() {} }],
    ];
    for (const [what, value] of wrong) {
      it(`refuse ${what} with a TypeError that names the argument`, () => {
        expect(() => adaptRedis(value, "redisClient")).to.throw(
          TypeError,
          /^redisClient must be a client of node-redis .*, a client of ioredis .*, or memoryRedis\(\); it is /,
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
