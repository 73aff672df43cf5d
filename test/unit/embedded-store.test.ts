import { AsyncLocalStorage } from "node:async_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import sinon from "sinon";
import { memoryRedis } from "../../lib/memory.js";
import { adaptRedis } from "../../lib/server/redis/adapt.js";
import { MemoryStore } from "../../lib/server/redis/memory-store.js";
import { Inbox } from "../support/inbox.js";

describe("Redis adapters", () => {
  describe("of the embedded store", () => {
    it("serve as both clients, and keep each store to itself", async () => {
      const store = memoryRedis();
      const [data, pubsub, foreign] = [store, store, memoryRedis()].map((client) =>
        adaptRedis(client, "redisClient"),
      );
      if (!data || !pubsub || !foreign) throw new Error("No adapters");
      await data.set("key", "value", 1000);
      expect(await foreign.take("key")).to.equal(null);
      expect(await pubsub.take("key")).to.equal("value");
    });

    it("answer and deliver later, never at once", async () => {
      const redis = adaptRedis(memoryRedis(), "redisClient");
      const inbox = new Inbox();
      await redis.subscribe("room", inbox.listener);
      let answered = false;
      const publishing = redis.publish("room", "hello").then(() => {
        answered = true;
      });
      await Promise.resolve();
      expect([answered, inbox.payloads.length]).to.deep.equal([false, 0]);
      await publishing;
      await inbox.until(1);
    });

    it("let the process do its other work while messages answer each other without end", async () => {
      const redis = adaptRedis(memoryRedis(), "redisClient");
      let rounds = 0;
      const listener = () => {
        rounds++;
        void redis.publish("room", "again");
      };
      await redis.subscribe("room", listener);
      await redis.publish("room", "start");
      while (rounds < 100) await delay(1);
      await redis.unsubscribe("room", listener);
    });

    it("call listeners in the context of the subscriber's server, and never in a publisher's", async () => {
      const context = new AsyncLocalStorage<string>();
      const store = memoryRedis();
      const servers = ["first", "second"].map((name) =>
        context.run(name, () => adaptRedis(store, "redisClient")),
      );
      const inboxes = servers.map(() => new Inbox());
      const contexts: unknown[][] = [[], []];
      for (const [index, server] of servers.entries()) {
        const listener = (payload: string) => {
          contexts[index]?.push(context.getStore());
          inboxes[index]?.listener(payload);
        };
        await context.run("a subscription", () => server.subscribe("room", listener));
      }
      const publishing = ["Ada", "Bob"].map((name) =>
        context.run(name, async () => {
          await Promise.all(servers.map((server) => server.publish("room", name)));
          return context.getStore();
        }),
      );
      expect(await Promise.all(publishing)).to.deep.equal(["Ada", "Bob"]);
      await Promise.all(inboxes.map((inbox) => inbox.until(4)));
      expect(contexts).to.deep.equal([Array(4).fill("first"), Array(4).fill("second")]);
    });

    it("keep no expired key, and no timer that keeps the process alive", async () => {
      const realTimer = setTimeout;
      // of its own: to restore the spy once more, when the clock is restored, would put the fake one back
      const sandbox = sinon.createSandbox();
      const clock = sandbox.useFakeTimers();
      const setTimer = sandbox.spy(globalThis, "setTimeout");
      try {
        const store = new MemoryStore();
        store.acquire();
        store.set("short", "value", 500);
        const [sweep] = setTimer.firstCall.args;
        store.set("long", "value", 60_000);
        await clock.tickAsync(400);
        expect(store.take("short")).to.equal("value");
        store.set("short", "value", 500);
        await clock.tickAsync(500);
        expect(store.take("short")).to.equal(null);
        for (let i = 0; i < 1000; i++) store.set(String(i), "value", 500);
        await clock.tickAsync(5000);
        expect(store.size).to.equal(1);
        await clock.tickAsync(60_000);
        expect(store.size).to.equal(0);
        // others in this process may have timers
        const timers = clock.countTimers();
        const ofStore = setTimer.getCalls().filter(({ args }) => args[0] === sweep);
        expect(ofStore).to.have.length.above(1);
        for (const { returnValue } of ofStore) clearTimeout(returnValue);
        expect(clock.countTimers()).to.equal(timers);
      } finally {
        setTimer.restore();
        clock.restore();
        expect(setTimeout).to.equal(realTimer);
      }
      const countTimers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
      const before = countTimers();
      const store = new MemoryStore();
      store.acquire();
      store.set("key", "value", 60_000);
      expect(countTimers()).to.equal(before);
      store.release();
    });

    it("have no timer while nobody uses them, and are cleared as soon as somebody does", () => {
      const clock = sinon.useFakeTimers();
      try {
        const store = new MemoryStore();
        store.acquire();
        store.acquire();
        const others = clock.countTimers();
        store.set("key", "value", 500);
        expect(clock.countTimers()).to.equal(others + 1);
        store.release();
        expect(clock.countTimers()).to.equal(others + 1);
        store.release();
        expect(clock.countTimers()).to.equal(others);
        store.set("late", "value", 500);
        expect(clock.countTimers()).to.equal(others);
        clock.tick(60_000);
        expect(store.size).to.equal(2);
        store.acquire();
        clock.tick(1000);
        expect(store.size).to.equal(0);
        expect(clock.countTimers()).to.equal(others);
        store.release();
        store.acquire();
        expect(clock.countTimers()).to.equal(others);
        store.release();
      } finally {
        clock.restore();
      }
    });

    it("are given back once, however often that is said", () => {
      const release = sinon.spy(MemoryStore.prototype, "release");
      try {
        const adapter = adaptRedis(memoryRedis(), "redisClient");
        adapter.release();
        adapter.release();
        expect(release.callCount).to.equal(1);
      } finally {
        release.restore();
      }
    });
  });
});
