import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import sinon from "sinon";
import { adaptRedis } from "../../lib/server/redis/adapt.js";
import type { Redis } from "../../lib/server/redis/redis.js";
import { type ServerTimes, serverNames } from "../../lib/server/redis/server-list.js";
import { Registry } from "../../lib/server/registry/registry.js";
import { Application } from "../support/application.js";
import { until } from "../support/condition.js";
import { connectNodeRedis } from "../support/node-redis.js";
import { CONNECTING_KINDS, embedded, type Kind } from "../support/redis-clients.js";
import { type RedisServer, startRedis } from "../support/redis-server.js";

const BEAT = 5_000;
const TIMES: ServerTimes = { overdueAfter: 7_500, deadAfter: 15_000, goneFor: 600_000 };
/** With these every server that has not written in this very millisecond is dead. */
const AT_ONCE: ServerTimes = { overdueAfter: -2, deadAfter: -1, goneFor: 600_000 };

let server: RedisServer;
const cleanups: (() => unknown)[] = [];

before(async () => {
  server = await startRedis();
});
after(() => server.stop());
afterEach(async () => {
  sinon.restore();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function connect(kind: Kind): Promise<Redis> {
  const made = kind.create(server);
  const adapter = adaptRedis(made.client, "redisClient");
  cleanups.push(() => {
    adapter.release();
    made.close();
  });
  await made.connect();
  return adapter;
}

const fresh = () => `${randomUUID()}:`;

for (const kind of [...CONNECTING_KINDS, embedded()]) {
  describe(`The list of servers on ${kind.name}`, () => {
    it("has each server that has written, with what it has written last", async () => {
      const redis = await connect(kind);
      const names = serverNames(fresh());
      expect(await redis.beat(names, TIMES, "a", "1")).to.deep.equal({
        wasAlive: false,
        alive: 1,
        dead: [],
        overdue: [],
      });
      expect(await redis.beat(names, TIMES, "b", "2")).to.include({ wasAlive: false, alive: 2 });
      expect(await redis.beat(names, TIMES, "a", '"grüße ☃"')).to.include({ wasAlive: true, alive: 2 });
      const listed = await redis.servers(names);
      expect(listed.map(({ id, json, isGone }) => [id, json, isGone])).to.have.deep.members([
        ["a", '"grüße ☃"', false],
        ["b", "2", false],
      ]);
      for (const { age, at } of listed) {
        expect(age).to.be.within(0, 60_000);
        expect(at).to.be.above(1e12);
      }
    });

    it("tells a server of those that are dead until one is forgotten, and that it was dead itself", async () => {
      const redis = await connect(kind);
      const names = serverNames(fresh());
      await redis.beat(names, TIMES, "a", "1");
      await redis.endServer(names, "a");
      for (const n of ["1", "2"]) {
        expect(await redis.beat(names, TIMES, "b", n)).to.deep.include({ alive: 1, dead: ["a"] });
      }
      expect(await redis.forgetServer(names, TIMES, "b")).to.equal(false);
      expect(await redis.forgetServer(names, TIMES, "a")).to.equal(true);
      expect(await redis.forgetServer(names, TIMES, "a")).to.equal(false);
      expect(await redis.beat(names, TIMES, "b", "3")).to.deep.include({ alive: 1, dead: [] });
      // one that has ended is gone at once
      expect((await redis.servers(names)).map(({ id }) => id)).to.deep.equal(["b"]);
      expect(await redis.beat(names, TIMES, "a", "4")).to.include({ wasAlive: false, alive: 2 });
      expect(await redis.beat(names, TIMES, "a", "5")).to.include({ wasAlive: true });
    });

    it("tells overdue servers from dead ones, and lists forgotten ones for a while", async () => {
      const redis = await connect(kind);
      const names = serverNames(fresh());
      await redis.beat(names, TIMES, "a", "1");
      const overdue = { ...TIMES, overdueAfter: -1 };
      expect(await redis.beat(names, overdue, "b", "2")).to.deep.include({ dead: [], alive: 2 });
      expect((await redis.beat(names, overdue, "b", "2")).overdue).to.include("a");
      expect((await redis.beat(names, AT_ONCE, "b", "2")).dead).to.include("a");
      expect(await redis.forgetServer(names, AT_ONCE, "a")).to.equal(true);
      const gone = (await redis.servers(names)).filter(({ isGone }) => isGone);
      expect(gone.map(({ id, json }) => [id, json])).to.deep.equal([["a", "1"]]);
      await redis.beat(names, { ...TIMES, goneFor: -1 }, "b", "3");
      expect((await redis.servers(names)).map(({ id }) => id)).to.deep.equal(["b"]);
    });

    it("is another one for another prefix", async () => {
      const redis = await connect(kind);
      const [one, other] = [serverNames(fresh()), serverNames(fresh())];
      await redis.beat(one, TIMES, "a", "1");
      expect(await redis.servers(other)).to.deep.equal([]);
      await redis.endServer(other, "a");
      expect(await redis.beat(other, TIMES, "b", "1")).to.deep.include({ alive: 1, dead: [] });
    });
  });
}

describe("The list of servers in Redis", () => {
  const connectOperator = async () => {
    const operator = await connectNodeRedis(server.url);
    cleanups.push(() => operator.close());
    return operator;
  };

  it("is forgotten where no server writes any more", async () => {
    const [kind] = CONNECTING_KINDS;
    if (!kind) throw new Error("there is one");
    const redis = await connect(kind);
    const names = serverNames(fresh());
    await redis.beat(names, TIMES, "a", "1");
    await redis.beat(names, AT_ONCE, "b", "1");
    await redis.forgetServer(names, AT_ONCE, "a");
    const operator = await connectOperator();
    for (const key of Object.values(names)) {
      expect(await operator.pTTL(key)).to.be.within(86_400_000, 90 * 86_400_000);
      expect(key).to.match(/^token-sockjs:.*\{servers\}/);
    }
  });

  it("is no list where something else is in its place", async () => {
    const [kind] = CONNECTING_KINDS;
    if (!kind) throw new Error("there is one");
    const redis = await connect(kind);
    const names = serverNames(fresh());
    const operator = await connectOperator();
    await operator.set(names.alive, "else");
    const error = await redis.beat(names, TIMES, "a", "1").catch((reason: Error) => reason);
    expect(error).to.be.instanceOf(Error);
    await operator.del(names.alive);
  });
});

for (const kind of [CONNECTING_KINDS[0], embedded()]) {
  if (!kind) throw new Error("there is one");

  describe(`A registry on ${kind.name}`, () => {
    const load = { sockets: 3, channels: 2, draining: false };
    let clock: sinon.SinonFakeTimers;
    let isReachable = true;

    beforeEach(() => {
      isReachable = true;
      clock = sinon.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    });

    async function start(redis: Redis, channelPrefix: string): Promise<Registry> {
      const registry = new Registry({
        redis,
        channelPrefix,
        isShared: true,
        isReachable: () => isReachable,
        patience: 10_000,
        load: () => load,
        onError: () => {},
      });
      cleanups.push(() => registry.close());
      await registry.start();
      return registry;
    }

    it("lists itself first, and the others by their start", async () => {
      const [redis, prefix] = [await connect(kind), fresh()];
      const first = await start(redis, prefix);
      const second = await start(redis, prefix);
      expect((await first.servers()).map(({ id }) => id)).to.deep.equal([first.id, second.id]);
      expect((await second.servers()).map(({ id }) => id)).to.deep.equal([second.id, first.id]);
      const [, other] = await first.servers();
      expect(other).to.deep.equal({ ...second.own, id: second.id });
      expect(second.own).to.deep.include({ host: hostname(), pid: process.pid, ...load, eventLoopDelay: 0 });
      await redis.beat(serverNames(prefix), TIMES, "newer", '{"host":1}');
      await redis.beat(serverNames(prefix), TIMES, "broken", "{");
      expect(await first.servers()).to.have.length(2);
    });

    it("tells every server of one that has ended, until somebody forgets it", async () => {
      const [redis, prefix] = [await connect(kind), fresh()];
      const [one, two] = [await start(redis, prefix), await start(redis, prefix)];
      const ending = await start(redis, prefix);
      const told: Record<string, string[]> = { one: [], two: [] };
      one.onDead((id) => told.one?.push(id));
      two.onDead((id) => told.two?.push(id));
      await ending.close();
      clock.tick(BEAT);
      await until(() => told.one?.length === 1 && told.two?.length === 1);
      clock.tick(BEAT);
      await until(() => told.one?.length === 2 && told.two?.length === 2);
      expect(new Set(Object.values(told).flat())).to.deep.equal(new Set([ending.id]));
      expect(await one.forget(ending.id)).to.equal(true);
      clock.tick(BEAT);
      const before = Object.values(told).flat().length;
      await Promise.all([one.update(), two.update()]);
      expect(Object.values(told).flat()).to.have.length(before);
      expect((await one.servers()).map(({ id }) => id)).to.have.members([one.id, two.id]);
    });

    it("leaves dead servers to those that have something to do about them, and forgets them in the end", async () => {
      const [redis, prefix] = [await connect(kind), fresh()];
      const [one, two, ending] = [
        await start(redis, prefix),
        await start(redis, prefix),
        await start(redis, prefix),
      ];
      const told: string[] = [];
      two.onDead((id) => told.push(id));
      await ending.close();
      const isForgotten = async () =>
        (await one.list()).every(({ id, isGone }) => id !== ending.id || isGone);
      // for ten minutes
      for (let i = 0; i < 120; i++) await one.update();
      expect(await isForgotten()).to.equal(false);
      await two.update();
      expect(told).to.deep.equal([ending.id]);
      await one.update();
      await until(isForgotten);
      await one.update();
      expect(one.alive).to.equal(2);
      expect((await one.list()).map(({ id }) => id)).to.have.members([one.id, two.id]);
    });

    it("tells how late the event loop was since the last write", async () => {
      const registry = await start(await connect(kind), fresh());
      await until(async () => {
        // each sample is the time between two of its timer's turns
        await delay(50);
        const end = performance.now() + 200;
        while (performance.now() < end);
        await delay(50);
        await registry.update();
        return registry.own.eventLoopDelay > 100;
      });
    });

    it("is not written where the server hears nothing of the others", async () => {
      const [redis, prefix] = [await connect(kind), fresh()];
      const registry = await start(redis, prefix);
      await redis.endServer(serverNames(prefix), registry.id);
      isReachable = false;
      await registry.update();
      expect((await registry.list()).map(({ at }) => at)).to.deep.equal([0]);
      isReachable = true;
      await registry.update();
      expect((await registry.list())[0]?.at).to.be.above(0);
    });

    it("says that a server is back that was taken for dead", async () => {
      const [redis, prefix] = [await connect(kind), fresh()];
      const registry = await start(redis, prefix);
      const returned = sinon.spy();
      registry.onReturn(returned);
      await registry.update();
      expect(returned.callCount).to.equal(0);
      // as its last write was too long ago
      await redis.endServer(serverNames(prefix), registry.id);
      await registry.update();
      expect(returned.callCount).to.equal(1);
      await redis.endServer(serverNames(prefix), registry.id);
      await redis.forgetServer(serverNames(prefix), TIMES, registry.id);
      await registry.update();
      expect(returned.callCount).to.equal(2);
      await registry.update();
      expect(returned.callCount).to.equal(2);
    });
  });
}

describe("A server's registry", () => {
  const [kind] = CONNECTING_KINDS;
  if (!kind) throw new Error("there is one");

  async function startApplication(channelPrefix: string): Promise<Application> {
    const [redisClient, pubsubClient] = [kind?.create(server), kind?.create(server)];
    if (!redisClient || !pubsubClient) throw new Error("there is one");
    cleanups.push(() => Promise.all([redisClient.close(), pubsubClient.close()]));
    await Promise.all([redisClient.connect(), pubsubClient.connect()]);
    const application = await Application.start({
      redisClient: redisClient.client,
      pubsubClient: pubsubClient.client,
      options: { channelPrefix },
    });
    cleanups.push(() => application.stop());
    await application.tokenServer.ready();
    return application;
  }

  it("lists the servers on one Redis from when they are ready until they are shut down", async () => {
    const prefix = fresh();
    const [one, two] = [await startApplication(prefix), await startApplication(prefix)];
    await startApplication(fresh());
    const client = await two.connect();
    await two.tokenServer.subscribe(two.socket(), "room");
    const [own, other] = await one.tokenServer.servers();
    expect(own?.id).to.equal(one.tokenServer.health().id);
    expect(other).to.include({ id: two.tokenServer.health().id, draining: false, pid: process.pid });
    const [seen] = await two.tokenServer.servers();
    expect(seen).to.include({ sockets: 1, channels: 1 });
    expect(two.tokenServer.health()).to.include({ sockets: 1, channels: 1, servers: 2 });
    await client.end();
    await two.tokenServer.shutdown();
    expect((await one.tokenServer.servers()).map(({ id }) => id)).to.deep.equal([own?.id]);
    expect([...one.errors, ...two.errors]).to.deep.equal([]);
  });

  it("says at once that a server drains", async () => {
    const prefix = fresh();
    const [one, two] = [await startApplication(prefix), await startApplication(prefix)];
    await two.connect();
    const call = two.tokenServer.rpc(two.socket(), "wait").catch(() => {});
    const drained = two.tokenServer.drain({ timeout: 60_000 });
    await until(async () => (await one.tokenServer.servers())[1]?.draining === true);
    await two.tokenServer.shutdown();
    await Promise.all([drained, call]);
  });

  it("is of this server alone where pub/sub is off", async () => {
    const application = await Application.start({ pubsubClient: null });
    cleanups.push(() => application.stop());
    await application.tokenServer.ready();
    const servers = await application.tokenServer.servers();
    expect(servers.map(({ id }) => id)).to.deep.equal([application.tokenServer.health().id]);
    expect(application.tokenServer.health().servers).to.equal(1);
  });

  it("has nothing to say after a shutdown", async () => {
    const application = await Application.start();
    await application.stop();
    const error = await application.tokenServer.servers().catch((reason: Error) => reason);
    expect(error).to.have.property("name", "DisconnectedError");
  });
});
