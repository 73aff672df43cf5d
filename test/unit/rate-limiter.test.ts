import { expect } from "chai";
import { Redis as IORedis } from "ioredis";
import { createClient } from "redis";
import { memoryRedis } from "../../lib/memory.js";
import { localRateLimiter, sharedRateLimiter } from "../../lib/server/redis/rate-limiter.js";

const RATE = { keyPrefix: "shop:tokens", points: 2 };

/** Takes a point so many times; says each time whether there was one. */
async function take(limiter: ReturnType<typeof localRateLimiter | typeof sharedRateLimiter>, times: number) {
  const taken: boolean[] = [];
  for (let i = 0; i < times; i++) {
    taken.push(
      await limiter.consume("Ada").then(
        () => true,
        () => false,
      ),
    );
  }
  return taken;
}

describe("A rate", () => {
  it("is counted together by servers that share an embedded store", async () => {
    const store = memoryRedis();
    const [one, other] = [sharedRateLimiter(store, RATE), sharedRateLimiter(store, { ...RATE })];
    expect(await take(one, 1)).to.deep.equal([true]);
    expect(await take(other, 2)).to.deep.equal([true, false]);
    expect(await take(one, 1)).to.deep.equal([false]);
  });

  it("is counted by itself in another store, under another prefix, and with another number", async () => {
    const store = memoryRedis();
    expect(await take(sharedRateLimiter(store, RATE), 3)).to.deep.equal([true, true, false]);
    const others = [
      sharedRateLimiter(memoryRedis(), RATE),
      sharedRateLimiter(store, { ...RATE, keyPrefix: "shop:rpc" }),
      localRateLimiter(2),
    ];
    for (const other of others) expect(await take(other, 3)).to.deep.equal([true, true, false]);
    expect(await take(sharedRateLimiter(store, { ...RATE, points: 1 }), 2)).to.deep.equal([true, false]);
  });

  it("is one for each second", async () => {
    for (const limiter of [localRateLimiter(2), sharedRateLimiter(memoryRedis(), RATE)]) {
      expect(limiter).to.include({ points: 2, duration: 1 });
      expect((await limiter.consume("Ada")).msBeforeNext).to.be.within(1, 1000);
    }
  });

  it("refuses at once, with an error, where Redis is away", async () => {
    const clients = [createClient(), new IORedis({ lazyConnect: true })];
    for (const client of clients) {
      const limiter = sharedRateLimiter(client, RATE);
      expect(limiter).to.include({ points: 2, duration: 1, keyPrefix: "shop:tokens" });
      const [outcome] = await Promise.allSettled([limiter.consume("Ada")]);
      expect(outcome).to.have.property("reason").that.is.an.instanceOf(Error);
      expect(outcome)
        .to.have.nested.property("reason.message")
        .that.matches(/not ready/);
    }
  });
});
