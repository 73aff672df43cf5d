import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { expect } from "chai";
import sinon from "sinon";
import type { Socket } from "../../lib/index.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import { reported } from "../support/condition.js";
import { startOn } from "../support/kind-application.js";
import { connectNodeRedis, type NodeRedis } from "../support/node-redis.js";
import { CONNECTING_KINDS, embedded, type Kind } from "../support/redis-clients.js";
import { type RedisServer, startRedis } from "../support/redis-server.js";
import type { WireClient } from "../support/wire-client.js";

let redis: RedisServer;
/** The channels on which Redis itself speaks, of keys and among Sentinels. */
const OF_REDIS = ["__keyspace@0__:key", "__keyevent@0__:set", "__sentinel__:hello", "__redis__:invalidate"];

const cleanups: (() => unknown)[] = [];

before(async () => {
  redis = await startRedis();
});
after(() => redis.stop());

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const start = (kind: Kind, options: ApplicationOptions["options"] = {}) =>
  startOn(kind, redis, cleanups, options);

/** A service that knows Redis alone. */
async function inspector(): Promise<NodeRedis> {
  const client = await connectNodeRedis(redis.url);
  cleanups.push(() => client.close());
  return client;
}

/** Everything that the client sent before this has been dealt with, and what it was answered has arrived. */
const settled = (client: WireClient) => client.request({ rpc: "nope" });

const socketOf = (application: Application) => application.socket() as Socket;

/** Each name is used once, so that tests on one Redis do not meet. */
const channelName = () => `room-${randomUUID()}`;

for (const kind of [...CONNECTING_KINDS, embedded()]) {
  describe(`channels on ${kind.name}`, () => {
    const isEmbedded = kind.name === "the embedded store";

    it("carry a client's message to all who joined, on two servers, and to nobody else", async () => {
      const [one, other] = [await start(kind), await start(kind)];
      const [alice, bob, carol] = [await one.connect(), await other.connect(), await other.connect()];
      const room = channelName();
      expect(await alice.subscribe(room)).to.deep.include({ internal: true, command: "subscribe" });
      await bob.subscribe(room);
      await carol.subscribe(`${room}-2`);
      bob.send({ rpc: "_publish", req: { channel: room, data: { hi: [1] } } });
      expect(await alice.take()).to.deep.equal({ channel: room, message: { hi: [1] } });
      expect(await bob.take()).to.deep.equal({ channel: room, message: { hi: [1] } });
      await settled(carol);
      expect([...alice.frames, ...bob.frames, ...carol.frames]).to.deep.equal([]);
    });

    it("carry any JSON value as it was, from clients and from the server", async () => {
      const application = await start(kind);
      const client = await application.connect();
      const room = channelName();
      await client.subscribe(room);
      const values = [
        null,
        0,
        false,
        "",
        "123",
        "null",
        "{}",
        1.5,
        [],
        {},
        [[null]],
        { a: { b: "\ud83d\ude00\u2028\u0000" } },
      ];
      for (const data of values) {
        await application.tokenServer.publish(room, data);
        client.send({ rpc: "_publish", req: { channel: room, data } });
        expect(await client.message(room)).to.deep.equal(data);
        expect(await client.message(room)).to.deep.equal(data);
      }
    });

    it("carry what is published once subscribe() has resolved", async () => {
      const [one, other] = [await start(kind), await start(kind)];
      const client = await one.connect();
      for (let round = 0; round < 20; round++) {
        const room = channelName();
        await one.tokenServer.subscribe(socketOf(one), room);
        await other.tokenServer.publish(room, round);
        expect(await client.take()).to.deep.equal({
          internal: true,
          command: "subscribe",
          data: { channel: room },
        });
        expect(await client.message(room)).to.equal(round);
      }
    });

    it("carry a broadcast once to each channel that a socket has joined, on every server", async () => {
      const [one, other] = [await start(kind), await start(kind)];
      const [alice, bob, carol] = [await one.connect(), await other.connect(), await other.connect()];
      const [first, second] = [channelName(), channelName()];
      await alice.subscribe(first);
      await bob.subscribe(first);
      await bob.subscribe(second);
      alice.send({ rpc: "_broadcast", req: { data: "all" } });
      expect(await alice.take()).to.deep.equal({ channel: first, message: "all" });
      const got = [await bob.take(), await bob.take()].map(({ channel }) => channel);
      expect(got).to.have.members([first, second]);
      await one.tokenServer.broadcast({ b: 2 });
      expect((await alice.take()).message).to.deep.equal({ b: 2 });
      await Promise.all([settled(alice), settled(carol)]);
      expect([...alice.frames, ...carol.frames]).to.deep.equal([]);
    });

    it("are left by all sockets of all servers on unsubscribeAll", async () => {
      const [one, other] = [await start(kind), await start(kind)];
      const [alice, bob] = [await one.connect(), await other.connect()];
      const [room, stays] = [channelName(), channelName()];
      for (const client of [alice, bob]) {
        await client.subscribe(room);
        await client.subscribe(stays);
      }
      await one.tokenServer.unsubscribeAll(room);
      const left = { internal: true, command: "unsubscribe", data: { channel: room } };
      expect(await alice.take()).to.deep.equal(left);
      expect(await bob.take()).to.deep.equal(left);
      for (const application of [one, other])
        expect(application.tokenServer.channels()).to.deep.equal([stays]);
    });

    it("can be joined again right after unsubscribeAll", async () => {
      const application = await start(kind);
      const client = await application.connect();
      const socket = socketOf(application);
      for (let round = 0; round < 20; round++) {
        const room = channelName();
        await application.tokenServer.subscribe(socket, room);
        await application.tokenServer.unsubscribeAll(room);
        await application.tokenServer.subscribe(socket, room);
        await application.tokenServer.publish(room, round);
        expect(await client.message(room)).to.equal(round);
        expect(Object.keys(socket.channels)).to.deep.equal([room]);
        await application.tokenServer.unsubscribe(socket, room);
      }
    });

    it("keep the order of what one client does", async () => {
      const application = await start(kind);
      const client = await application.connect();
      const room = channelName();
      client.send({ rpc: "_subscribe", req: { channel: room }, uuid: 0 });
      for (let i = 0; i < 200; i++) client.send({ rpc: "_publish", req: { channel: room, data: i } });
      expect((await client.take()).command).to.equal("subscribe");
      for (let i = 0; i < 200; i++) expect(await client.take()).to.deep.equal({ channel: room, message: i });
    });

    it("are right after joins and leaves that alternate fast", async () => {
      const application = await start(kind);
      const [alice, bob] = [await application.connect(), await application.connect()];
      const room = channelName();
      for (let i = 0; i < 50; i++) {
        for (const client of [alice, bob]) {
          client.send({ rpc: "_subscribe", req: { channel: room } });
          client.send({ rpc: "_unsubscribe", req: { channel: room } });
        }
      }
      alice.send({ rpc: "_subscribe", req: { channel: room } });
      const commands = [];
      for (let i = 0; i < 101; i++) commands.push((await alice.take()).command);
      expect(commands).to.deep.equal(
        Array.from({ length: 101 }, (_, i) => (i % 2 === 0 ? "subscribe" : "unsubscribe")),
      );
      for (let i = 0; i < 100; i++) await bob.take();
      expect(application.tokenServer.channelSockets(room)).to.have.length(1);
      await application.tokenServer.publish(room, "here");
      expect(await alice.message(room)).to.equal("here");
      await settled(bob);
      expect(bob.frames).to.deep.equal([]);
    });

    if (!isEmbedded) {
      it("are named and encoded in Redis so that any service can take part", async () => {
        const application = await start(kind);
        const client = await application.connect();
        const [room, service] = [channelName(), await inspector()];
        const listening = await inspector();
        const heard: string[] = [];
        const hear = new Promise<void>((resolve) => {
          void listening.subscribe(room, (payload) => {
            heard.push(payload);
            if (heard.length === 4) resolve();
          });
        });
        await client.subscribe(room);
        await service.publish(room, '{"foo":"bar"}');
        expect(await client.message(room)).to.deep.equal({ foo: "bar" });
        await service.publish(room, "plain text");
        expect(await client.message(room)).to.equal("plain text");
        await application.tokenServer.publish(room, { x: 1 });
        await application.tokenServer.publish(room, "123");
        await hear;
        expect(heard.slice(2)).to.deep.equal(['{"x":1}', '"123"']);
      });

      it("are subscribed in Redis once for each server, while a socket is there", async () => {
        const application = await start(kind);
        const service = await inspector();
        const room = channelName();
        const subscribers = async () => (await service.pubSubNumSub([room]))[room];
        const [alice, bob] = [await application.connect(), await application.connect()];
        await Promise.all([alice.subscribe(room), bob.subscribe(room), bob.subscribe(room)]);
        expect(Number(await subscribers())).to.equal(1);
        await alice.end();
        expect(Number(await subscribers())).to.equal(1);
        bob.send({ rpc: "_unsubscribe", req: { channel: room } });
        while (Number(await subscribers()) > 0);
        const carol = await application.connect();
        await carol.subscribe(room);
        expect(Number(await subscribers())).to.equal(1);
        await application.tokenServer.shutdown();
        expect(Number(await subscribers())).to.equal(0);
      });
    }

    it("have a broadcast read once, however many of them there are", async () => {
      const application = await start(kind);
      const client = await application.connect("raw-websocket");
      const names = Array.from({ length: 10 }, channelName);
      for (const name of names) await client.subscribe(name);
      const message = { wide: [[], []], id: randomUUID() };
      const parse = sinon.spy(JSON, "parse");
      cleanups.push(() => parse.restore());
      await application.tokenServer.broadcast(message);
      for (const name of names) expect(await client.message(name)).to.deep.equal(message);
      expect(parse.args.filter(([text]) => text === JSON.stringify(message))).to.have.length(1);
    });

    it("of several applications on one Redis are parted by channelPrefix, broadcasts and commands, too", async () => {
      const [one, other] = [
        await start(kind, { channelPrefix: "a:" }),
        await start(kind, { channelPrefix: "b:" }),
      ];
      const [alice, bob] = [await one.connect(), await other.connect()];
      const room = channelName();
      await alice.subscribe(room);
      await bob.subscribe(room);
      await one.tokenServer.publish(room, 1);
      await one.tokenServer.broadcast(2);
      await one.tokenServer.unsubscribeAll(room);
      expect([await alice.take(), await alice.take()].map(({ message }) => message)).to.deep.equal([1, 2]);
      await other.tokenServer.publish(room, "mine");
      expect(await bob.take()).to.deep.equal({ channel: room, message: "mine" });
      expect(other.tokenServer.channels()).to.deep.equal([room]);
    });

    it("are served as soon as clients that connect later have connected", async () => {
      const [redisClient, pubsubClient] = [kind.create(redis), kind.create(redis)];
      cleanups.push(() => Promise.all([redisClient.close(), pubsubClient.close()]));
      const application = await Application.start({
        redisClient: redisClient.client,
        pubsubClient: pubsubClient.client,
      });
      cleanups.push(() => application.stop());
      const connecting = application.connect();
      await Promise.all([redisClient.connect(), pubsubClient.connect()]);
      const client = await connecting;
      await application.tokenServer.ready();
      const room = channelName();
      await client.subscribe(room);
      await application.tokenServer.publish(room, 1);
      expect(await client.message(room)).to.equal(1);
    });
  });
}

describe("a channel", () => {
  const kind = embedded();
  let application: Application;
  let client: WireClient;

  const begin = async (options: ApplicationOptions["options"] = {}) => {
    application = await start(kind, options);
    client = await application.connect();
  };

  it("is confirmed to a client in exactly the old words, each time that it joins or leaves", async () => {
    await begin();
    for (let i = 0; i < 2; i++) {
      client.send({ rpc: "_subscribe", req: { channel: "a", extra: 1 }, uuid: i });
      expect(await client.take()).to.deep.equal({
        internal: true,
        command: "subscribe",
        data: { rpc: "_subscribe", req: { channel: "a", extra: 1 }, uuid: i, channel: "a" },
      });
    }
    for (let i = 0; i < 2; i++) {
      client.send({ rpc: "_unsubscribe", req: { channel: "a" }, uuid: i });
      expect(await client.take()).to.deep.equal({
        internal: true,
        command: "unsubscribe",
        data: { channel: "a" },
      });
    }
    client.send({ rpc: "_publish", req: { channel: "a", data: 1 }, uuid: "p" });
    client.send({ rpc: "_broadcast", req: { data: 1 }, uuid: "b" });
    await settled(client);
    expect(client.frames).to.deep.equal([]);
  });

  it("acknowledges each request with a uuid to a client of protocol 4, beside the old frames", async () => {
    application = await start(kind);
    client = await application.connect("websocket", { protocol: 4 });
    client.send({ rpc: "_subscribe", req: { channel: "a" }, uuid: 1 });
    expect((await client.take()).command).to.equal("subscribe");
    expect(await client.take()).to.deep.equal({ rpc: "_subscribe", uuid: 1, resp: "success" });
    client.send({ rpc: "_publish", req: { channel: "a", data: "x" }, uuid: 2 });
    expect(await client.take((frame) => frame.uuid === 2)).to.deep.equal({
      rpc: "_publish",
      uuid: 2,
      resp: "success",
    });
    expect(await client.take()).to.deep.equal({ channel: "a", message: "x" });
    client.send({ rpc: "_broadcast", req: { data: "y" }, uuid: 3 });
    expect(await client.take((frame) => frame.uuid === 3)).to.include({ resp: "success" });
    expect(await client.take()).to.deep.equal({ channel: "a", message: "y" });
    client.send({ rpc: "_unsubscribe", req: { channel: "a" }, uuid: 4 });
    expect((await client.take()).command).to.equal("unsubscribe");
    expect(await client.take()).to.deep.equal({ rpc: "_unsubscribe", uuid: 4, resp: "success" });
    client.send({ rpc: "_publish", req: { channel: "a", data: "x" } });
    await settled(client);
    expect(client.frames).to.deep.equal([]);
  });

  it("is left by a socket that closes whose list the application has replaced", async () => {
    await begin();
    const { tokenServer } = application;
    tokenServer.on("publish", (socket) => Reflect.set(socket, "channels", null));
    await client.subscribe("a");
    client.send({ rpc: "_publish", req: { channel: "a", data: 1 } });
    expect((await client.take()).message).to.equal(1);
    const gone = once(tokenServer, "disconnect");
    await client.end();
    await gone;
    expect([tokenServer.channels(), tokenServer.sockets()]).to.deep.equal([[], []]);
  });

  it("is left for good by a socket whose sid the application has replaced", async () => {
    await begin();
    const { tokenServer } = application;
    const { sid } = socketOf(application);
    tokenServer.on("publish", (socket) => Reflect.set(socket, "sid", "another"));
    await client.subscribe("a");
    client.send({ rpc: "_publish", req: { channel: "a", data: 1 } });
    expect((await client.take()).message).to.equal(1);
    const gone = once(tokenServer, "disconnect");
    await client.end();
    await gone;
    expect(await tokenServer.disconnect({ sid })).to.equal(0);
  });

  it("is listed with its sockets while they are there", async () => {
    await begin();
    const { tokenServer } = application;
    const socket = socketOf(application);
    expect([tokenServer.channels(), tokenServer.channelSockets("a")]).to.deep.equal([[], []]);
    await client.subscribe("a");
    await client.subscribe("__proto__");
    expect(tokenServer.channels()).to.deep.equal(["a", "__proto__"]);
    expect(tokenServer.channelSockets("a")).to.deep.equal([socket]);
    expect(Object.keys(socket.channels)).to.deep.equal(["a", "__proto__"]);
    const gone = once(tokenServer, "disconnect");
    await client.end();
    await gone;
    expect([tokenServer.channels(), tokenServer.channelSockets("a"), tokenServer.sockets()]).to.deep.equal([
      [],
      [],
      [],
    ]);
    expect(Object.keys(socket.channels)).to.deep.equal([]);
  });

  it("is joined and left by the server's doing, in the order of its calls", async () => {
    await begin();
    const { tokenServer } = application;
    const socket = socketOf(application);
    await Promise.all([
      tokenServer.subscribe(socket, "a"),
      tokenServer.unsubscribe(socket, "a"),
      tokenServer.subscribe(socket, "a"),
      tokenServer.unsubscribe(socket, "a"),
    ]);
    expect(tokenServer.channels()).to.deep.equal([]);
    const commands = [];
    for (let i = 0; i < 4; i++) commands.push((await client.take()).command);
    expect(commands).to.deep.equal(["subscribe", "unsubscribe", "subscribe", "unsubscribe"]);
  });

  it("is refused to clients and to the server's own methods where it is reserved", async () => {
    await begin();
    const { tokenServer } = application;
    const socket = socketOf(application);
    for (const channel of ["___all___", "___sync___", "___", "______", "___mine___", ...OF_REDIS]) {
      for (const rpc of ["_subscribe", "_unsubscribe", "_publish"]) {
        expect(await client.request({ rpc, req: { channel, data: 1 }, uuid: 1 })).to.deep.equal({
          rpc,
          uuid: 1,
          error: "Forbidden",
        });
      }
      for (const promise of [
        tokenServer.publish(channel, 1),
        tokenServer.subscribe(socket, channel),
        tokenServer.unsubscribe(socket, channel),
        tokenServer.unsubscribeAll(channel),
      ]) {
        expect(await promise.catch((error) => error)).to.be.instanceOf(TypeError);
      }
      expect(() => tokenServer.send(socket, channel, 1)).to.throw(
        TypeError,
        `The channel ${JSON.stringify(channel)} is reserved`,
      );
    }
    expect((await client.subscribe("__almost___")).command).to.equal("subscribe");
    expect(tokenServer.channels()).to.deep.equal(["__almost___"]);
  });

  it("takes no name and no data that is none, with a clear error", async () => {
    await begin();
    const { tokenServer } = application;
    const socket = socketOf(application);
    for (const channel of ["", "x".repeat(257), 5, null, undefined, {}, "\ud800"]) {
      const error = await tokenServer.publish(channel as string, 1).catch((reason) => reason);
      expect(error).to.be.instanceOf(TypeError);
      expect(error.message).to.contain("channel must be");
      expect(
        await tokenServer.subscribe(socket, channel as string).catch((reason) => reason),
      ).to.be.instanceOf(TypeError);
    }
    for (const id of ["", "x".repeat(1000), 5, null, "\ud800"]) {
      const error = await tokenServer.publish("a", 1, { id: id as string }).catch((reason) => reason);
      expect(error).to.be.instanceOf(TypeError);
      expect(error.message).to.match(
        /^options\.id must be a well-formed string of 1 to \d+ characters \(limits\.idLength\)$/,
      );
    }
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    for (const data of [undefined, () => {}, Symbol("x"), 1n, cycle, { n: 1n }]) {
      for (const promise of [tokenServer.publish("a", data), tokenServer.broadcast(data)]) {
        const error = await promise.catch((reason) => reason);
        expect(error).to.be.instanceOf(TypeError);
        expect(error.message).to.contain("no JSON");
      }
      expect(() => tokenServer.send(socket, "a", data)).to.throw(TypeError, "no JSON");
    }
  });

  it("takes a message to one socket alone, joined or not", async () => {
    await begin();
    const other = await application.connect();
    const [first, second] = application.tokenServer.sockets() as [Socket, Socket];
    await other.subscribe("a");
    expect(application.tokenServer.send(first, "a", { to: "you" })).to.equal(true);
    expect(await client.take()).to.deep.equal({ channel: "a", message: { to: "you" } });
    await settled(other);
    expect(other.frames).to.deep.equal([]);
    const gone = once(application.tokenServer, "disconnect");
    await other.end();
    await gone;
    expect(application.tokenServer.send(second, "a", 1)).to.equal(false);
  });

  it("says clearly that pub/sub is off where there is no client for subscriptions", async () => {
    application = await Application.start({ pubsubClient: null });
    cleanups.push(() => application.stop());
    client = await application.connect();
    for (const [rpc, req] of [
      ["_subscribe", { channel: "a" }],
      ["_unsubscribe", { channel: "a" }],
      ["_publish", { channel: "a", data: 1 }],
      ["_broadcast", { data: 1 }],
    ] as const) {
      expect(await client.request({ rpc, req })).to.include({ rpc, error: "Pub/sub is off" });
    }
    const { tokenServer } = application;
    const contexts: string[] = [];
    tokenServer.on("error", (_error, context) => contexts.push(context));
    for (const promise of [
      tokenServer.publish("a", 1),
      tokenServer.publish(5 as unknown as string, 1),
      tokenServer.broadcast(1),
      tokenServer.history("a"),
      tokenServer.presence("a"),
      tokenServer.subscribe(socketOf(application), "a"),
      tokenServer.unsubscribe(socketOf(application), "a"),
      tokenServer.unsubscribeAll("a"),
    ]) {
      expect((await promise.catch((error) => error)).message).to.contain("pubsubClient");
    }
    await reported();
    expect(contexts).to.deep.equal([
      'publishing on "a" failed',
      "publishing on a number failed",
      "a broadcast failed",
      'reading the history of "a" failed',
      'reading the members of "a" failed',
      'subscribing to "a" failed',
      'unsubscribing from "a" failed',
      'unsubscribing all from "a" failed',
    ]);
    await tokenServer.ready();
  });

  it("is not joined by a socket that has gone, or of another server", async () => {
    await begin();
    const socket = socketOf(application);
    const gone = once(application.tokenServer, "disconnect");
    await client.end();
    await gone;
    for (const wrong of [socket, {}, null]) {
      const error = await application.tokenServer.subscribe(wrong as Socket, "a").catch((reason) => reason);
      expect(error).to.include({
        name: "DisconnectedError",
        message: "The socket has closed, has not authenticated, or is not of this server",
        sent: false,
      });
    }
    expect(application.errors).to.deep.equal([]);
  });

  it("is not joined by a socket that goes while Redis is asked", async () => {
    await begin();
    const socket = socketOf(application);
    const subscribing = application.tokenServer.subscribe(socket, "a").catch((reason) => reason);
    socket.close();
    expect((await subscribing).name).to.equal("DisconnectedError");
    expect(application.tokenServer.channels()).to.deep.equal([]);
  });

  it("tells listeners of joins, leaves and messages after the fact, once each", async () => {
    await begin();
    const { tokenServer } = application;
    const told: unknown[] = [];
    for (const event of ["subscribed", "unsubscribed", "published", "broadcasted"] as const) {
      tokenServer.on(event, (socket: unknown, request: unknown) =>
        told.push([event, socket === sock, request]),
      );
    }
    const sock = application.socket();
    await client.subscribe("a");
    await client.subscribe("a");
    client.send({ rpc: "_publish", req: { channel: "a", data: 1 } });
    await client.message("a");
    client.send({ rpc: "_broadcast", req: { data: 2 } });
    await client.message("a");
    await tokenServer.subscribe(sock, "b");
    client.send({ rpc: "_unsubscribe", req: { channel: "a" } });
    client.send({ rpc: "_unsubscribe", req: { channel: "a" } });
    await settled(client);
    const gone = once(tokenServer, "disconnect");
    await client.end();
    await gone;
    expect(told).to.deep.equal([
      ["subscribed", true, { channel: "a" }],
      ["published", true, { channel: "a", data: 1 }],
      ["broadcasted", true, { data: 2 }],
      ["subscribed", true, { channel: "b" }],
      ["unsubscribed", true, { channel: "a" }],
      ["unsubscribed", true, { channel: "b" }],
    ]);
  });

  it("is served on while listeners of notices throw and reject", async () => {
    await begin();
    application.tokenServer.on("subscribed", () => {
      throw new Error("careless");
    });
    application.tokenServer.on("subscribed", (async () => {
      throw new Error("careless, too");
    }) as () => void);
    await client.subscribe("a");
    await settled(client);
    expect(application.errors.map(({ message }) => message)).to.deep.equal(["careless", "careless, too"]);
  });
});
