import { randomUUID } from "node:crypto";
import type { EventEmitter } from "node:events";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { createClient as createNodeRedis6, TimeoutError } from "redis";
import sinon from "sinon";
import { adaptRedis, isMemoryRedis, type RedisClient } from "../../lib/server/redis/adapt.js";
import type { Redis } from "../../lib/server/redis/redis.js";
import { Inbox } from "../support/inbox.js";
import { type Address, CONNECTING_KINDS, embedded, type Kind } from "../support/redis-clients.js";
import { canStartRedis, type RedisServer, startRedis } from "../support/redis-server.js";

function emitterOf(client: RedisClient): EventEmitter {
  if (isMemoryRedis(client)) throw new Error("The embedded store emits no events");
  return client as unknown as EventEmitter;
}

/** Resolves to what a promise is rejected with. */
async function rejection(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    expect(error).to.be.instanceOf(Error);
    return error as Error;
  }
  throw new Error("Expected a rejection");
}

const unique = (name: string) => `test:${name}:${randomUUID()}`;

describe("Redis adapters", () => {
  let server: RedisServer;
  let ownServer: RedisServer | undefined;
  let observer: ReturnType<typeof createNodeRedis6>;
  const open: { adapter?: Redis; close(): void }[] = [];

  before(async () => {
    server = await startRedis();
    if (canStartRedis) ownServer = await startRedis({ own: true });
    observer = createNodeRedis6({ url: server.url });
    observer.on("error", () => {});
    await observer.connect();
  });

  after(async () => {
    observer.destroy();
    await ownServer?.stop();
    await server.stop();
  });

  afterEach(() => {
    for (const { adapter, close } of open.splice(0)) {
      adapter?.release();
      close();
    }
  });

  /** A client that is not connected, with an adapter. */
  function prepare(kind: Kind, address: Address = server, giveUp = false) {
    const made = kind.create(address, giveUp);
    const adapter = adaptRedis(made.client, "redisClient");
    open.push({ adapter, close: made.close });
    return { ...made, adapter };
  }

  /** A connected client, with an adapter. */
  async function connect(kind: Kind, address: Address = server) {
    const prepared = prepare(kind, address);
    await prepared.connect();
    return prepared;
  }

  async function connectAdapter(kind: Kind): Promise<Redis> {
    return (await connect(kind)).adapter;
  }

  /** A second adapter of a client. */
  function adaptAgain(client: RedisClient): Redis {
    const adapter = adaptRedis(client, "pubsubClient");
    open.push({ adapter, close: () => {} });
    return adapter;
  }

  /** How many connections Redis has subscribed to a channel. */
  async function subscribersOf(channel: string): Promise<number> {
    const reply = (await observer.sendCommand(["PUBSUB", "NUMSUB", channel])) as unknown as [string, number];
    return Number(reply[1]);
  }

  for (const kind of [...CONNECTING_KINDS, embedded()]) {
    describe(`of ${kind.name}`, () => {
      it("are ready when the client is connected", async () => {
        await (await connectAdapter(kind)).ready();
      });

      it("ask for a sign of life, also when they have subscribed", async () => {
        const redis = await connectAdapter(kind);
        await redis.ping();
        const inbox = new Inbox();
        const channel = unique("channel");
        await redis.subscribe(channel, inbox.listener);
        await Promise.all([redis.ping(), redis.ping()]);
        await (await connectAdapter(kind)).publish(channel, "still");
        await inbox.until(1);
      });

      it("give back what was set, and only once", async () => {
        const redis = await connectAdapter(kind);
        const key = unique("key");
        await redis.set(key, '{"grüße":"☃"}', 10_000);
        expect(await redis.take(key)).to.equal('{"grüße":"☃"}');
        expect(await redis.take(key)).to.equal(null);
      });

      it("give null for an unknown key", async () => {
        const redis = await connectAdapter(kind);
        expect(await redis.take(unique("key"))).to.equal(null);
      });

      it("forget a key when its time is over", async () => {
        const redis = await connectAdapter(kind);
        const key = unique("key");
        const probes = Array.from({ length: 1000 }, (_, i) => `${key}:${i}`);
        await Promise.all([key, ...probes].map((name) => redis.set(name, "value", 50)));
        // the probes were set after the key: when one of them has gone, so has the key
        for (const probe of probes) {
          if ((await redis.take(probe)) === null) break;
          await delay(1);
        }
        expect(await redis.take(key)).to.equal(null);
      });

      it("reject a time to live that is none", async () => {
        const redis = await connectAdapter(kind);
        for (const ttl of [0, -1]) {
          expect((await rejection(redis.set(unique("key"), "value", ttl))).message).to.match(
            /invalid expire/,
          );
        }
      });

      it("give a key that two clients take in the same instant to exactly one of them", async () => {
        const [one, two] = await Promise.all([connectAdapter(kind), connectAdapter(kind)]);
        for (let round = 0; round < 300; round++) {
          const key = unique("key");
          await one.set(key, "value", 10_000);
          // they take turns in asking first
          const takers = round % 2 === 0 ? [one, two] : [two, one];
          const values = await Promise.all(takers.map((redis) => redis.take(key)));
          expect(values.sort()).to.deep.equal([null, "value"]);
        }
      });

      it("carry messages to all subscribers of a channel, and to them alone", async () => {
        const [publisher, one, two] = await Promise.all([1, 2, 3].map(() => connectAdapter(kind)));
        if (!publisher || !one || !two) throw new Error("No adapters");
        const [room, hall] = [unique("room"), unique("hall")];
        const [inRoom, alsoInRoom, inHall] = [new Inbox(), new Inbox(), new Inbox()];
        await Promise.all([
          one.subscribe(room, inRoom.listener),
          two.subscribe(room, alsoInRoom.listener),
          two.subscribe(hall, inHall.listener),
        ]);
        await publisher.publish(room, "first");
        await publisher.publish(hall, "second");
        await Promise.all([inRoom.until(1), alsoInRoom.until(1), inHall.until(1)]);
        expect([inRoom, alsoInRoom, inHall].map(({ payloads }) => payloads)).to.deep.equal([
          ["first"],
          ["first"],
          ["second"],
        ]);
      });

      it("keep the order of 1,000 messages", async () => {
        const [publisher, subscriber] = await Promise.all([connectAdapter(kind), connectAdapter(kind)]);
        const [channel, inbox] = [unique("room"), new Inbox()];
        await subscriber.subscribe(channel, inbox.listener);
        const payloads = Array.from({ length: 1000 }, (_, i) => String(i));
        await Promise.all(payloads.map((payload) => publisher.publish(channel, payload)));
        await inbox.until(1000);
        expect(inbox.payloads).to.deep.equal(payloads);
      });

      it("carry any text as it is", async () => {
        const [publisher, subscriber] = await Promise.all([connectAdapter(kind), connectAdapter(kind)]);
        const [channel, inbox] = [unique("grüße ☃ \n"), new Inbox()];
        await subscriber.subscribe(channel, inbox.listener);
        const payloads = [
          "",
          " ",
          "\0",
          "\r\n",
          "no JSON",
          "ä☃😀",
          '{"a":1}',
          "x".repeat(1 << 20),
          "☃".repeat(1 << 18),
        ];
        for (const payload of payloads) await publisher.publish(channel, payload);
        await inbox.until(payloads.length);
        expect(inbox.payloads.every((payload, i) => payload === payloads[i])).to.equal(true);
      });

      it("call no listener before its subscription is in force, and none after it was taken back", async () => {
        const [publisher, subscriber] = await Promise.all([connectAdapter(kind), connectAdapter(kind)]);
        for (let round = 0; round < 50; round++) {
          const [channel, inbox] = [unique("room"), new Inbox()];
          let inForce = false;
          let untimely = 0;
          const listener = (payload: string) => {
            if (!inForce) untimely++;
            inbox.listener(payload);
          };
          const flood = () =>
            Promise.all(Array.from({ length: 20 }, () => publisher.publish(channel, "flood")));
          const early = flood();
          const joining = subscriber.subscribe(channel, listener).then(() => {
            inForce = true;
          });
          await Promise.all([early, joining]);
          await Promise.all([flood(), inbox.until(1)]);
          const leaving = subscriber.unsubscribe(channel, listener);
          inForce = false;
          await Promise.all([flood(), leaving]);
          expect(untimely).to.equal(0);
        }
      });

      it("bring every message that is published after subscribe has resolved", async () => {
        const [publisher, subscriber] = await Promise.all([connectAdapter(kind), connectAdapter(kind)]);
        for (let round = 0; round < 50; round++) {
          const [channel, inbox] = [unique("room"), new Inbox()];
          await subscriber.subscribe(channel, inbox.listener);
          await publisher.publish(channel, "hello");
          await inbox.until(1);
          await subscriber.unsubscribe(channel, inbox.listener);
        }
      });

      it("end up subscribed or not as was said last, however fast it alternates", async () => {
        const [publisher, subscriber] = await Promise.all([connectAdapter(kind), connectAdapter(kind)]);
        const [channel, inbox] = [unique("room"), new Inbox()];
        const promises: Promise<void>[] = [];
        for (let round = 0; round < 200; round++) {
          promises.push(subscriber.subscribe(channel, inbox.listener));
          promises.push(subscriber.unsubscribe(channel, inbox.listener));
          // now and then Redis has the time to answer
          if (round % 20 === 0) await delay(1);
        }
        const last = subscriber.subscribe(channel, inbox.listener);
        await Promise.all([...promises, last]);
        await publisher.publish(channel, "hello");
        await inbox.until(1);
        expect(inbox.payloads).to.deep.equal(["hello"]);

        const control = new Inbox();
        await subscriber.unsubscribe(channel, inbox.listener);
        await (await connectAdapter(kind)).subscribe(channel, control.listener);
        await publisher.publish(channel, "bye");
        await control.until(1);
        expect(inbox.payloads).to.deep.equal(["hello"]);
      });

      it("share a client without disturbing each other", async () => {
        const [{ client, adapter: one }, publisher] = await Promise.all([
          connect(kind),
          connectAdapter(kind),
        ]);
        const two = adaptAgain(client);
        const [channel, first, second] = [unique("room"), new Inbox(), new Inbox()];
        await Promise.all([one.subscribe(channel, first.listener), two.subscribe(channel, second.listener)]);
        await publisher.publish(channel, "both");
        await Promise.all([first.until(1), second.until(1)]);
        await one.unsubscribe(channel, first.listener);
        await publisher.publish(channel, "second");
        await second.until(2);
        one.release();
        await publisher.publish(channel, "still");
        await second.until(3);
        expect(first.payloads).to.deep.equal(["both"]);
        expect(second.payloads).to.deep.equal(["both", "second", "still"]);
      });

      it("report a listener that throws, and serve the others", async () => {
        const [publisher, subscriber] = await Promise.all([connectAdapter(kind), connectAdapter(kind)]);
        const [channel, inbox, error] = [unique("room"), new Inbox(), new Error("broken listener")];
        const reported = sinon.spy();
        subscriber.onError(() => {
          throw new Error("a reporter that throws harms nobody either");
        });
        subscriber.onError(reported);
        const stop = subscriber.onError(sinon.stub().throws(error));
        stop();
        await subscriber.subscribe(channel, () => {
          throw error;
        });
        await subscriber.subscribe(channel, inbox.listener);
        await publisher.publish(channel, "hello");
        await inbox.until(1);
        sinon.assert.calledOnceWithExactly(reported, error);
      });

      it("carry out what is given before the client is connected, in order", async () => {
        const [data, pubsub] = [prepare(kind), prepare(kind)];
        const [key, channel, inbox] = [unique("key"), unique("room"), new Inbox()];
        const early: Promise<unknown>[] = [
          data.adapter.ready(),
          pubsub.adapter.ready(),
          data.adapter.set(key, "one", 10_000),
          data.adapter.set(key, "two", 10_000),
          data.adapter.take(key),
        ];
        const subscribed = pubsub.adapter.subscribe(channel, inbox.listener);
        const unwanted = new Inbox();
        const takenBack = [
          pubsub.adapter.subscribe(channel, unwanted.listener),
          pubsub.adapter.unsubscribe(channel, unwanted.listener),
        ];
        await Promise.all([pubsub.connect(), subscribed, ...takenBack]);
        early.push(data.adapter.publish(channel, "early 1"), data.adapter.publish(channel, "early 2"));
        await data.connect();
        expect((await Promise.all(early))[4]).to.equal("two");
        await inbox.until(2);
        expect(inbox.payloads).to.deep.equal(["early 1", "early 2"]);
        expect(unwanted.payloads).to.deep.equal([]);
      });

      it("reject commands after their release, which leaves the client to its owner", async () => {
        const { client, adapter } = await connect(kind);
        const [channel, inbox] = [unique("room"), new Inbox()];
        await adapter.subscribe(channel, inbox.listener);
        adapter.release();
        adapter.release();
        for (const command of [
          adapter.ready(),
          adapter.set("key", "value", 1),
          adapter.take("key"),
          adapter.publish(channel, "hello"),
          adapter.subscribe(channel, inbox.listener),
        ]) {
          expect((await rejection(command)).message).to.equal("The Redis client is not in use any more");
        }
        await adapter.unsubscribe(channel, inbox.listener);
        const again = adaptAgain(client);
        const [publisher, fresh] = [await connectAdapter(kind), new Inbox()];
        await again.subscribe(channel, fresh.listener);
        await publisher.publish(channel, "again");
        await fresh.until(1);
        expect(inbox.payloads).to.deep.equal([]);
      });
    });
  }

  for (const kind of CONNECTING_KINDS) {
    describe(`of a client of ${kind.name}`, () => {
      it("never connect it", async () => {
        const prepared = prepare(kind);
        const commands = [
          prepared.adapter.ready(),
          prepared.adapter.set(unique("key"), "value", 10_000),
          prepared.adapter.publish(unique("room"), "hello"),
        ];
        const errors = Promise.all(commands.map(rejection));
        const subscribing = prepared.adapter.subscribe(unique("room"), () => {});
        // in the time of a few round trips it would have begun
        for (let i = 0; i < 5; i++) await observer.ping();
        expect(prepared.isConnecting()).to.equal(false);
        prepared.adapter.release();
        await errors;
        await subscribing;
      });

      it("reject what waits when the client gives up before it was ready", async () => {
        const prepared = prepare(kind, { host: "127.0.0.1", port: 1, url: "redis://127.0.0.1:1" }, true);
        const failed = sinon.spy();
        prepared.adapter.onError(failed);
        const commands = [
          prepared.adapter.ready(),
          prepared.adapter.set("key", "value", 1000),
          prepared.adapter.take("key"),
          prepared.adapter.publish("room", "hello"),
        ];
        const errors = Promise.all(commands.map(rejection));
        const subscribing = rejection(prepared.adapter.subscribe("room", () => {}));
        await rejection(prepared.connect());
        for (const error of await errors) {
          expect(error.message).to.equal("The Redis client has ended before it was ready");
        }
        await subscribing;
        await rejection(prepared.adapter.ready());
        await rejection(prepared.adapter.set("key", "value", 1000));
        await rejection(prepared.adapter.subscribe("room", () => {}));
        sinon.assert.called(failed);
      });

      it("reject what waits when the client is closed before it was ready", async () => {
        const prepared = prepare(kind, { host: "127.0.0.1", port: 1, url: "redis://127.0.0.1:1" });
        const failed = new Promise<void>((resolve) => prepared.adapter.onError(() => resolve()));
        const waiting = rejection(prepared.adapter.take("key"));
        const subscribing = rejection(prepared.adapter.subscribe("room", () => {}));
        prepared.connect().catch(() => {});
        await failed;
        prepared.close();
        expect((await waiting).message).to.equal("The Redis client has ended before it was ready");
        await subscribing;
      });

      it("reject what waits when they are released", async () => {
        const prepared = prepare(kind);
        const waiting = [prepared.adapter.ready(), prepared.adapter.take("key")].map(rejection);
        const subscribing = prepared.adapter.subscribe("room", () => {});
        prepared.adapter.release();
        for (const error of await Promise.all(waiting)) {
          expect(error.message).to.equal("The Redis client is not in use any more");
        }
        await subscribing;
      });

      it("reject commands when the client has been closed", async () => {
        const prepared = await connect(kind);
        await prepared.adapter.ready();
        const [channel, listener] = [unique("room"), () => {}];
        await prepared.adapter.subscribe(channel, listener);
        const ended = once(emitterOf(prepared.client), "end");
        prepared.close();
        await ended;
        await rejection(prepared.adapter.set("key", "value", 1000));
        await rejection(prepared.adapter.subscribe(unique("room"), listener));
        await rejection(prepared.adapter.unsubscribe(channel, listener));
      });

      it("send one SUBSCRIBE for several adapters, and never two commands for a channel at a time", async () => {
        const prepared = await connect(kind);
        const counts = countCommands(prepared.client);
        const adapters = [prepared.adapter, ...[1, 2, 3].map(() => adaptAgain(prepared.client))];
        const inboxes = adapters.map(() => new Inbox());
        const channel = unique("room");
        const each = (act: (adapter: Redis, listener: Inbox["listener"]) => Promise<void>) =>
          Promise.all(adapters.map((adapter, i) => act(adapter, inboxes[i]?.listener ?? (() => {}))));
        await each((adapter, listener) => adapter.subscribe(channel, listener));
        expect(await subscribersOf(channel)).to.equal(1);
        expect(counts).to.deep.include({ subscribe: 1, unsubscribe: 0 });
        await each((adapter, listener) => adapter.unsubscribe(channel, listener));
        expect(await subscribersOf(channel)).to.equal(0);
        expect(counts).to.deep.include({ subscribe: 1, unsubscribe: 1 });

        const promises: Promise<unknown>[] = [];
        for (let round = 0; round < 300; round++) {
          promises.push(each((adapter, listener) => adapter.subscribe(channel, listener)));
          promises.push(each((adapter, listener) => adapter.unsubscribe(channel, listener)));
          if (round % 30 === 0) await delay(1);
        }
        await Promise.all(promises);
        expect(await subscribersOf(channel)).to.equal(0);
        expect(counts.subscribe).to.equal(counts.unsubscribe);
        expect(counts.subscribe).to.be.within(2, 12);
        expect(counts.mostInFlight).to.equal(1);
      });

      it("send one command for the channels of a turn, thousands of them in a few", async () => {
        const prepared = await connect(kind);
        const counts = countCommands(prepared.client);
        const channels = Array.from({ length: 2500 }, () => unique("room"));
        const inbox = new Inbox();
        await Promise.all(channels.map((channel) => prepared.adapter.subscribe(channel, inbox.listener)));
        expect(counts).to.deep.include({ subscribe: 3, unsubscribe: 0 });
        await Promise.all(channels.map((channel) => observer.publish(channel, channel)));
        await inbox.until(2500);
        expect(inbox.payloads).to.have.members(channels);
        await Promise.all(channels.map((channel) => prepared.adapter.unsubscribe(channel, inbox.listener)));
        expect(counts).to.deep.include({ subscribe: 3, unsubscribe: 3 });
        const left = await Promise.all(
          [channels[0], channels[2499]].map((name) => subscribersOf(name ?? "")),
        );
        expect(left).to.deep.equal([0, 0]);
      });

      it("end a subscription in Redis with their release", async () => {
        const prepared = await connect(kind);
        const channel = unique("room");
        await prepared.adapter.subscribe(channel, () => {});
        expect(await subscribersOf(channel)).to.equal(1);
        prepared.adapter.release();
        while ((await subscribersOf(channel)) > 0) await delay(1);
      });

      it("leave the client as it was", async () => {
        const { client, connect, adapter: first } = prepare(kind);
        first.release();
        const emitter = emitterOf(client);
        emitter.on("error", () => {});
        const before = countListeners(emitter);
        const { subscribe } = client as { subscribe?: unknown };
        const adapters = Array.from({ length: 20 }, () => adaptAgain(client));
        for (const adapter of adapters) adapter.onError(() => {});
        await connect();
        await Promise.all(adapters.map((adapter, i) => adapter.subscribe(`room ${i % 3}`, () => {})));
        const during = countListeners(emitter);
        expect(during.error).to.equal(2);
        for (const count of Object.values(during)) expect(count).to.be.at.most(2);
        for (const adapter of adapters) adapter.release();
        expect(countListeners(emitter)).to.deep.equal(before);
        expect(client).to.have.property("subscribe", subscribe);
      });

      it("leave the client able to tell its owner of events, also when it had no other listener", async () => {
        const { client, connect, adapter } = prepare(kind);
        adapter.release();
        const emitter = emitterOf(client);
        const ready = once(emitter, "ready");
        expect([emitter.listenerCount("error"), emitter.listenerCount("end")]).to.deep.equal([1, 0]);
        await Promise.all([connect(), ready]);
      });

      if (canStartRedis) {
        it("keep nobody out with a channel that Redis refuses", async () => {
          if (!ownServer) throw new Error("No server");
          const operator = createNodeRedis6({ url: ownServer.url });
          await operator.connect();
          const [room, secret, hall, inbox] = ["test:room", "secret", "test:hall", new Inbox()];
          try {
            await operator.sendCommand(["ACL", "SETUSER", "default", "resetchannels", "&test:*"]);
            const { adapter } = await connect(kind, ownServer);
            const joining = [room, secret, hall].map((channel) => adapter.subscribe(channel, inbox.listener));
            const [, refused] = await Promise.allSettled(joining);
            expect(refused).to.have.property("status", "rejected");
            await Promise.all([joining[0], joining[2]]);
            await Promise.all([room, hall].map((channel) => operator.publish(channel, channel)));
            await inbox.until(2);
            expect(inbox.payloads).to.have.members([room, hall]);
            await operator.sendCommand(["ACL", "SETUSER", "default", "allchannels"]);
            await adapter.subscribe(secret, inbox.listener);
            await operator.publish(secret, "hello");
            await inbox.until(3);
          } finally {
            await operator.sendCommand(["ACL", "SETUSER", "default", "allchannels"]);
            operator.destroy();
          }
        });

        it("go on where Redis refuses several channels at once, and there are no others", async () => {
          if (!ownServer) throw new Error("No server");
          const operator = createNodeRedis6({ url: ownServer.url });
          await operator.connect();
          const inbox = new Inbox();
          try {
            await operator.sendCommand(["ACL", "SETUSER", "default", "resetchannels", "&test:*"]);
            const { adapter } = await connect(kind, ownServer);
            const join = () => ["room", "hall"].map((channel) => adapter.subscribe(channel, inbox.listener));
            for (const { status } of await Promise.allSettled(join())) expect(status).to.equal("rejected");
            await adapter.ping();
            await operator.sendCommand(["ACL", "SETUSER", "default", "allchannels"]);
            await Promise.all(join());
            await operator.publish("hall", "hello");
            await inbox.until(1);
          } finally {
            await operator.sendCommand(["ACL", "SETUSER", "default", "allchannels"]);
            operator.destroy();
          }
        });

        it("serve subscriptions again after the connection was lost", async () => {
          if (!ownServer) throw new Error("No server");
          const [subscriber, publisher] = await Promise.all([
            connect(kind, ownServer),
            connect(kind, ownServer),
          ]);
          const lost = [subscriber, publisher].map(
            ({ adapter }) => new Promise<void>((resolve) => adapter.onError(() => resolve())),
          );
          const [room, hall, inbox, left] = [unique("room"), unique("hall"), new Inbox(), new Inbox()];
          await subscriber.adapter.subscribe(room, inbox.listener);
          await subscriber.adapter.subscribe(hall, left.listener);
          await ownServer.stop();
          await Promise.all(lost);
          const leaving = subscriber.adapter.unsubscribe(hall, left.listener);
          await ownServer.start();
          while (inbox.payloads.length === 0) {
            await publisher.adapter.publish(room, "back").catch(() => {});
            await delay(5);
          }
          await leaving.catch(() => {});
          await publisher.adapter.publish(hall, "to nobody");
          const [cellar, joined] = [unique("cellar"), new Inbox()];
          await subscriber.adapter.subscribe(cellar, joined.listener);
          await publisher.adapter.publish(cellar, "hello");
          await joined.until(1);
          expect(left.payloads).to.deep.equal([]);
        });
      }
    });
  }

  describe("of node-redis 6, which limits the time that commands wait to be sent", () => {
    /** A connected client whose commands may wait so many milliseconds. */
    async function connectLimited(timeout: number, { url }: Address) {
      const client = createNodeRedis6({
        url,
        socket: { reconnectStrategy: 10 },
        commandOptions: { timeout },
      });
      client.on("error", () => {});
      const adapter = adaptRedis(client, "redisClient");
      open.push({ adapter, close: () => client.destroy() });
      await client.connect();
      return { client, adapter };
    }

    it("have no timer for each command while the client is connected, but for very many at once", async () => {
      const { adapter } = await connectLimited(60_000, server);
      const limit = sinon.spy(AbortSignal, "timeout");
      try {
        const key = unique("key");
        await adapter.set(key, "value", 10_000);
        expect(await adapter.take(key)).to.equal("value");
        const publishAll = (count: number) =>
          Promise.all(Array.from({ length: count }, () => adapter.publish(key, "hello")));
        await publishAll(1000);
        expect(limit.callCount).to.equal(0);
        await publishAll(1003);
        expect(limit.callCount).to.equal(3);
        await publishAll(1000);
        expect(limit.callCount).to.equal(3);
      } finally {
        limit.restore();
      }
    });

    if (canStartRedis) {
      it("have the client's limit while the client is not connected", async () => {
        if (!ownServer) throw new Error("No server");
        const { client, adapter } = await connectLimited(20, ownServer);
        const away = new Promise<void>((resolve) => client.once("reconnecting", () => resolve()));
        await ownServer.stop();
        await away;
        try {
          const error = await rejection(adapter.publish(unique("room"), "hello"));
          expect(error).to.be.instanceOf(TimeoutError);
        } finally {
          await ownServer.start();
        }
      });
    }
  });
});

/** Counts the commands that a client is given for its subscriptions, and how many of them are in flight. */
function countCommands(client: RedisClient) {
  const counts = { subscribe: 0, unsubscribe: 0, mostInFlight: 0 };
  let inFlight = 0;
  const methods = client as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
  for (const name of ["subscribe", "unsubscribe"] as const) {
    const original = methods[name];
    if (!original) throw new Error(`No ${name}`);
    methods[name] = async (...args) => {
      counts[name]++;
      counts.mostInFlight = Math.max(counts.mostInFlight, ++inFlight);
      try {
        return await original.apply(client, args);
      } finally {
        inFlight--;
      }
    };
  }
  return counts;
}

function countListeners(emitter: EventEmitter): Record<string, number> {
  return Object.fromEntries(emitter.eventNames().map((name) => [String(name), emitter.listenerCount(name)]));
}
