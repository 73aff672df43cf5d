import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { request } from "node:http";
import { text } from "node:stream/consumers";
import { expect } from "chai";
import sinon from "sinon";
import type { Socket, TokenSocketServer } from "../../lib/index.js";
import { Application } from "../support/application.js";
import { until } from "../support/condition.js";
import { startOn } from "../support/kind-application.js";
import { connectNodeRedis } from "../support/node-redis.js";
import { CONNECTING_KINDS, embedded, type Kind } from "../support/redis-clients.js";
import { type RedisServer, startRedis } from "../support/redis-server.js";
import type { WireClient } from "../support/wire-client.js";

let redis: RedisServer;
const cleanups: (() => unknown)[] = [];

before(async () => {
  redis = await startRedis();
});
after(() => redis.stop());

/** What this file sets; other files have theirs. */
const sandbox = sinon.createSandbox();

afterEach(async () => {
  sandbox.restore();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A server, and who comes to it next. */
class Server {
  readonly application: Application;
  name: unknown = "alice";
  /** The session of the token request that came last. */
  sessionId = "";

  /** One with clients of one kind; those of one prefix are one system. */
  static async start(kind: Kind, channelPrefix: string, place = redis): Promise<Server> {
    const identify = (auth: { name: string }) => auth.name;
    return new Server(await startOn(kind, place, cleanups, { channelPrefix, identify }), channelPrefix);
  }

  readonly prefix: string;

  constructor(application: Application, prefix: string) {
    this.application = application;
    this.prefix = prefix;
    this.tokenServer.authentication = (req) => {
      this.sessionId = req.sessionID;
      return { name: this.name };
    };
  }

  get tokenServer(): TokenSocketServer {
    return this.application.tokenServer;
  }

  /** The server's side of the newest socket. */
  get socket(): Socket {
    return this.application.socket() as Socket;
  }

  async connect(name: unknown, protocol = 4): Promise<WireClient> {
    this.name = name;
    // a token of the same millisecond may be from before what has been revoked
    const now = Date.now();
    await until(() => Date.now() > now);
    return this.application.connect("websocket", { protocol });
  }
}

/** Everything that the server sent before this has come, and the connection is open. */
const answers = (client: WireClient) => client.request({ rpc: "nope" });

/** What the server says of a channel that a client has left. */
const left = (client: WireClient) =>
  client.take((frame) => frame.internal === true && frame.command === "unsubscribe");

/** Reads the lists of what was revoked; there is nothing to read of the embedded store. */
const watch = async (kind: Kind) => {
  if (!CONNECTING_KINDS.includes(kind)) return undefined;
  const service = await connectNodeRedis(redis.url);
  cleanups.push(() => service.close());
  return {
    async values({ prefix }: Server, list: string): Promise<unknown[]> {
      const values = await service.lRange(`token-sockjs:${prefix}revocations${list}`, 0, -1);
      return values.map((json) => JSON.parse(json).data.value);
    },
  };
};

const anyKind = () => {
  const [kind] = CONNECTING_KINDS;
  if (!kind) throw new Error("there is no kind of client");
  return kind;
};

for (const kind of [...CONNECTING_KINDS, embedded()]) {
  describe(`servers on ${kind.name}`, () => {
    let one: Server;
    let other: Server;

    beforeEach(async () => {
      const prefix = `${randomUUID()}:`;
      one = await Server.start(kind, prefix);
      other = await Server.start(kind, prefix);
    });

    it("close an identity's sockets everywhere, say how many, and leave the others", async () => {
      const clients = [await one.connect(7), await other.connect(7), await other.connect("7", 3)];
      const bob = await other.connect("bob");
      const began = Date.now();
      const reason = { code: 4100, reason: "Logged out" };
      expect(await one.tokenServer.disconnect({ identity: "7" }, reason)).to.equal(3);
      // all have answered, so that there is nothing to wait for
      expect(Date.now() - began).to.be.below(900);
      for (const client of clients) expect(await client.closed).to.deep.equal(reason);
      await answers(bob);
      expect(await other.tokenServer.disconnect({ identity: 7 })).to.equal(0);
      // a new token is as good as ever
      await answers(await other.connect(7));
      expect([...one.application.errors, ...other.application.errors]).to.deep.equal([]);
    });

    it("close one socket, here by itself and there by its id", async () => {
      const [here, there] = [await one.connect("alice"), await other.connect("alice")];
      expect(await one.tokenServer.disconnect({ sid: other.socket.sid })).to.equal(1);
      expect(await there.closed).to.deep.equal({ code: 4001, reason: "Disconnected" });
      await answers(here);
      expect(await one.tokenServer.disconnect(one.socket)).to.equal(1);
      expect((await here.closed).code).to.equal(4001);
    });

    it("close a session's sockets everywhere", async () => {
      const there = await other.connect("alice");
      const here = await one.connect("alice");
      expect(await one.tokenServer.disconnect({ sessionId: other.sessionId })).to.equal(1);
      await there.closed;
      await answers(here);
      // clients see nothing of it
      expect(one.socket.auth).to.deep.equal({ name: "alice" });
    });

    it("let nobody in whose token was made before", async () => {
      const token = await other.application.token();
      const reason = { code: 4100, reason: "Logged out" };
      await one.tokenServer.disconnect({ identity: "alice" }, reason);
      const client = await other.application.open();
      client.send({ rpc: "auth", token, protocol: 4, uuid: "a" });
      expect(await client.closed).to.deep.equal(reason);
      expect(client.frames).to.deep.equal([]);
    });

    it("let nobody in whose token was asked for before, however slowly its request came", async () => {
      const url = `${other.application.url}/socket/token`;
      const headers = { "content-type": "application/json" };
      const asked = request(url, { method: "POST", headers, agent: false });
      const arrived = once(other.application.http, "request");
      asked.write("{");
      await arrived;
      const reason = { code: 4100, reason: "Logged out" };
      await one.tokenServer.disconnect({ identity: "alice" }, reason);
      const answered = once(asked, "response");
      asked.end("}");
      const [response] = await answered;
      const { token } = JSON.parse(await text(response));
      const client = await other.application.open();
      client.send({ rpc: "auth", token, uuid: "a" });
      expect(await client.closed).to.deep.equal(reason);
    });

    it("keep each revocation in Redis once, whichever of them has given it", async () => {
      const service = await watch(kind);
      if (!service) return;
      for (const server of [one, other, one, one]) {
        await server.tokenServer.disconnect({ identity: "alice" });
        await server.tokenServer.disconnect({ sessionId: "s" });
      }
      await one.tokenServer.disconnect({ identity: "bob" });
      expect(await service.values(one, "")).to.deep.equal(["alice", "bob"]);
      expect(await service.values(one, ":sessionId")).to.deep.equal(["s"]);
    });

    it("ask clients of protocol 4 for a new token, and the guards about the channels of all", async () => {
      const [newer, older] = [await one.connect("alice", 4), await other.connect("alice", 3)];
      for (const [client, server] of [[newer, one] as const, [older, other] as const]) {
        await client.subscribe("room");
        await server.tokenServer.subscribe(server.socket, "kept");
        await answers(client);
        client.frames.length = 0;
        server.tokenServer.on("subscribe", (_socket, _request) => false);
      }
      expect(await other.tokenServer.refresh({ identity: "alice" })).to.equal(2);
      const unsubscribe = { internal: true, command: "unsubscribe" };
      expect(await newer.take()).to.deep.equal({ internal: true, command: "refresh", data: {} });
      expect(await newer.take()).to.deep.equal({
        ...unsubscribe,
        data: { channel: "room", error: { message: "Forbidden", code: "forbidden" } },
      });
      expect(await older.take()).to.deep.equal({ ...unsubscribe, data: { channel: "room" } });
      await Promise.all([answers(newer), answers(older)]);
      expect([...newer.frames, ...older.frames]).to.deep.equal([]);
      for (const { socket } of [one, other]) expect(Object.keys(socket.channels)).to.deep.equal(["kept"]);
    });

    it("ask whoever comes with a token that was asked for before a refresh, and nobody who asks later", async () => {
      const token = await other.application.token();
      await one.tokenServer.refresh({ identity: "alice" });
      const client = await other.application.open();
      client.send({ rpc: "auth", token, protocol: 4, uuid: "a" });
      expect(await client.take()).to.have.property("resp", "success");
      expect(await client.take()).to.deep.equal({ internal: true, command: "refresh", data: {} });
      const newer = await other.connect("alice");
      await client.request({ rpc: "auth", token: await other.application.token(), protocol: 4 });
      for (const each of [client, newer]) {
        await answers(each);
        expect(each.frames).to.deep.equal([]);
      }
    });

    it("count servers that share a client for subscriptions each", async () => {
      const prefix = `${randomUUID()}:`;
      const [redisClient, pubsubClient] = [kind.create(redis), kind.create(redis)];
      cleanups.push(() => Promise.all([redisClient.close(), pubsubClient.close()]));
      await Promise.all([redisClient.connect(), pubsubClient.connect()]);
      for (let i = 0; i < 3; i++) {
        const application = await Application.start({
          redisClient: redisClient.client,
          pubsubClient: pubsubClient.client,
          options: { channelPrefix: prefix, identify: (auth: { name: string }) => auth.name },
        });
        cleanups.push(() => application.stop());
        await application.tokenServer.ready();
        await application.connect();
      }
      const asker = await Server.start(kind, prefix);
      // as all answer, the time for those that do not is none that counts
      const { setTimeout: start } = globalThis;
      const endless = (act: () => void, wait?: number) => start(act, wait === 1_000 ? 1e6 : wait);
      sandbox.stub(globalThis, "setTimeout").callsFake(endless as typeof setTimeout);
      expect(await asker.tokenServer.disconnect({ identity: "alice" })).to.equal(3);
    });
  });
}

describe("disconnect() and refresh()", () => {
  it("refuse what is no selector, no code and no reason", async () => {
    const server = await Server.start(embedded(), "");
    const client = await server.connect("alice");
    const { tokenServer } = server;
    const failure = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);
    for (const selector of [
      undefined,
      null,
      {},
      "alice",
      7,
      [],
      { sid: undefined },
      { sid: "" },
      { identity: undefined },
      { identity: null },
      { identity: {} },
      { sessionId: undefined },
      { sessionId: "" },
      { identity: "alice", sessionId: "b" },
    ]) {
      expect(await failure(tokenServer.disconnect(selector as never))).to.be.instanceOf(TypeError);
      expect(await failure(tokenServer.refresh(selector as never))).to.be.instanceOf(TypeError);
    }
    const wrong = [
      { code: 3000 },
      { code: 1005 },
      { code: "4100" },
      { reason: "x".repeat(124) },
      { reason: 5 },
    ];
    for (const options of wrong) {
      const failed = await failure(tokenServer.disconnect({ identity: "alice" }, options as never));
      expect(failed).to.be.instanceOf(TypeError);
    }
    await answers(client);
  });

  it("are for this server alone where pub/sub is off, and find no identity without `identify`", async () => {
    const application = await Application.start({ pubsubClient: null });
    cleanups.push(() => application.stop());
    const { tokenServer } = application;
    const client = await application.connect();
    const failed = await tokenServer.disconnect({ identity: "alice" }).catch((error: unknown) => error);
    expect(failed).to.be.instanceOf(TypeError);
    expect(await tokenServer.refresh(application.socket())).to.equal(1);
    expect(await tokenServer.disconnect(application.socket())).to.equal(1);
    await client.closed;
    expect(await tokenServer.disconnect({ sid: "gone" })).to.equal(0);
  });

  /** Sets the wall clock; it goes on from there. */
  const step = (by: number) => {
    const now = Date.now;
    sandbox.stub(Date, "now").callsFake(() => now() + by);
  };

  it("keep nobody out who asks for a token later, also where the clock is set back meanwhile", async () => {
    const server = await Server.start(embedded(), "");
    const client = await server.connect("alice");
    const token = await server.application.token();
    await server.tokenServer.disconnect({ identity: "alice" });
    await client.closed;
    step(-3_600_000);
    await answers(await server.connect("alice"));
    const old = await server.application.open();
    old.send({ rpc: "auth", token });
    expect((await old.closed).code).to.equal(4001);
  });

  it("let nobody in whose token was asked for before, also where the clock is set on meanwhile", async () => {
    const server = await Server.start(embedded(), "");
    step(-3_600_000);
    const token = await server.application.token();
    sandbox.restore();
    await server.tokenServer.disconnect({ identity: "alice" });
    const client = await server.application.open();
    client.send({ rpc: "auth", token });
    expect((await client.closed).code).to.equal(4001);
  });

  for (const ahead of [3_600_000, -7_200_000]) {
    it(`are believed now, of a server whose clock is ${ahead} ms ahead`, async () => {
      const prefix = `${randomUUID()}:`;
      const server = await Server.start(anyKind(), prefix);
      const client = await server.connect("alice");
      const service = await connectNodeRedis(redis.url);
      cleanups.push(() => service.close());
      const at = Date.now() + ahead;
      const refresh = { command: "refresh", data: { by: "identity", value: "alice", at }, id: "0" };
      await service.publish(`${prefix}___sync___`, JSON.stringify(refresh));
      expect(await client.take()).to.deep.equal({ internal: true, command: "refresh", data: {} });
      const data = { by: "identity", value: "alice", code: 4100, reason: "", at };
      await service.publish(`${prefix}___sync___`, JSON.stringify({ command: "disconnect", data, id: "1" }));
      expect((await client.closed).code).to.equal(4100);
      await answers(await server.connect("alice"));
    });
  }

  it("are done in bounded time where somebody does not answer", async () => {
    const prefix = `${randomUUID()}:`;
    const server = await Server.start(anyKind(), prefix);
    const client = await server.connect("alice");
    const older = await connectNodeRedis(redis.url);
    cleanups.push(() => older.close());
    await older.subscribe(`${prefix}___sync___`, () => {});
    expect(await server.tokenServer.disconnect({ identity: "alice" })).to.equal(1);
    await client.closed;
  });

  it("wait for each of the servers that share a connection, as each says how many they are", async () => {
    const prefix = `${randomUUID()}:`;
    const server = await Server.start(anyKind(), prefix);
    const [others, publisher] = [await connectNodeRedis(redis.url), await connectNodeRedis(redis.url)];
    cleanups.push(() => Promise.all([others.close(), publisher.close()]));
    const channel = `${prefix}___sync___`;
    const answerAll = async (id: string) => {
      for (const origin of ["one", "two", "three"]) {
        const answer = { command: "answer", data: { sockets: 1, sharing: 3 }, id, origin };
        await publisher.publish(channel, JSON.stringify(answer));
        // long enough that the first would be taken for all
        for (let turn = 0; turn < 20; turn++) await publisher.ping();
      }
    };
    let answering: Promise<void> | undefined;
    await others.subscribe(channel, (message) => {
      const { command, id } = JSON.parse(message) as { command: string; id: string };
      if (command === "disconnect") answering = answerAll(id);
    });
    expect(await server.tokenServer.disconnect({ identity: "alice" })).to.equal(3);
    await answering;
  });

  for (const moment of ["while Redis is asked", "while the others are"]) {
    it(`wait for nobody once the server is shut down, ${moment}`, async () => {
      const prefix = `${randomUUID()}:`;
      const server = await Server.start(anyKind(), prefix);
      const older = await connectNodeRedis(redis.url);
      cleanups.push(() => older.close());
      await older.subscribe(`${prefix}___sync___`, () => {});
      // the time that the others have to answer is never over
      sandbox.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
      const refreshing = server.tokenServer.refresh({ identity: "alice" });
      if (moment === "while the others are") {
        // Redis answers in order
        await server.tokenServer.publish("room", 1);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await server.tokenServer.shutdown();
      expect(await refreshing).to.equal(0);
    });
  }

  it("serve this server where Redis does not answer, and say that the others may not have heard", async () => {
    const own = await startRedis({ own: true });
    cleanups.push(() => own.stop());
    const server = await Server.start(anyKind(), "", own);
    const client = await server.connect("alice");
    await own.stop();
    const closing = server.tokenServer
      .disconnect({ identity: "alice" })
      .catch((error: Error) => error.message);
    expect((await client.closed).code).to.equal(4001);
    expect(await closing).to.equal("No answer from Redis within 4000 ms");
  });

  it("that a server has missed are read again where that has failed", async () => {
    const prefix = `${randomUUID()}:`;
    const server = await Server.start(anyKind(), prefix);
    const alice = await server.connect("alice");
    const service = await connectNodeRedis(redis.url);
    cleanups.push(() => service.close());
    const key = `token-sockjs:${prefix}revocations`;
    const data = { by: "identity", value: "alice", code: 4100, reason: "Logged out", at: Date.now() };
    const revoked = JSON.stringify({ command: "disconnect", data, id: randomUUID() });
    // Redis refuses to read a list from what is none
    await service.set(`${key}:sid`, "no list");
    await service.rPush(key, revoked);
    await service.sendCommand(["CLIENT", "KILL", "TYPE", "pubsub"]);
    await until(() => server.application.errors.some(({ message }) => message.includes("WRONGTYPE")));
    await answers(alice);
    await service.del(`${key}:sid`);
    expect(await alice.closed).to.deep.equal({ code: 4100, reason: "Logged out" });
  });

  it("take no notice of commands that they do not know, and report what is malformed", async () => {
    const prefix = `${randomUUID()}:`;
    const server = await Server.start(anyKind(), prefix);
    const client = await server.connect("alice");
    const service = await connectNodeRedis(redis.url);
    cleanups.push(() => service.close());
    const disconnect = (data: object) => ({ command: "disconnect", data, id: randomUUID() });
    for (const command of [
      { command: "newer", data: { a: 1 }, id: "1" },
      { command: "newer" },
      disconnect({ by: "everybody", value: "x", code: 4100, reason: "", at: Date.now() }),
      disconnect({ by: "identity", value: "alice", code: 5, reason: "", at: Date.now() }),
      disconnect({ by: "identity", code: 4100, reason: "", at: Date.now() }),
      { command: "answer", data: { sockets: "many", sharing: 0 }, id: "5" },
    ]) {
      await service.publish(`${prefix}___sync___`, JSON.stringify(command));
    }
    await server.tokenServer.unsubscribeAll("room");
    await answers(client);
    expect(server.application.errors).to.deep.equal([]);
    const reported = once(server.tokenServer, "error");
    await service.publish(`${prefix}___sync___`, "no JSON");
    const [error, context] = await reported;
    expect(error).to.have.property("message", "A command from another server is malformed");
    expect(context).to.equal("pub/sub");
  });
});

for (const kind of CONNECTING_KINDS) {
  describe(`a server that is cut off from Redis, on ${kind.name}`, () => {
    it("closes what was revoked meanwhile as soon as it is back, once, and nothing else", async () => {
      const prefix = `${randomUUID()}:`;
      const key = `token-sockjs:${prefix}revocations`;
      const server = await Server.start(kind, prefix);
      const [alice, bob] = [await server.connect("alice"), await server.connect("bob")];
      const service = await connectNodeRedis(redis.url);
      cleanups.push(() => service.close());
      const reason = { code: 4100, reason: "Logged out" };
      const revoked = {
        command: "disconnect",
        data: { by: "identity", value: "alice", ...reason, at: Date.now() },
        id: randomUUID(),
        origin: randomUUID(),
      };
      // another server has revoked it, and this one has not heard of it
      for (const value of ["no JSON", "{}", JSON.stringify(revoked)]) await service.rPush(key, value);
      await service.sendCommand(["CLIENT", "KILL", "TYPE", "pubsub"]);
      expect(await alice.closed).to.deep.equal(reason);
      await answers(bob);
      // a new login stays, however often the connection is lost
      const again = await server.connect("alice");
      await service.rPush(
        key,
        JSON.stringify({ ...revoked, id: randomUUID(), data: { ...revoked.data, value: "bob" } }),
      );
      await service.sendCommand(["CLIENT", "KILL", "TYPE", "pubsub"]);
      await bob.closed;
      await answers(again);
    });

    it("asks those for a new token whom a refresh meant meanwhile, once, and nobody else", async () => {
      const prefix = `${randomUUID()}:`;
      const server = await Server.start(kind, prefix);
      const [alice, bob] = [await server.connect("alice"), await server.connect("bob")];
      const service = await connectNodeRedis(redis.url);
      cleanups.push(() => service.close());
      const data = { by: "identity", value: "alice", at: Date.now() };
      const refresh = { command: "refresh", data, id: randomUUID(), origin: randomUUID() };
      const key = `token-sockjs:${prefix}revocations:refreshes`;
      for (const value of ["no JSON", "{}", JSON.stringify(refresh)]) await service.rPush(key, value);
      await service.sendCommand(["CLIENT", "KILL", "TYPE", "pubsub"]);
      expect(await alice.take()).to.deep.equal({ internal: true, command: "refresh", data: {} });
      // both lists are read again, and this one's word is carried out first
      const carol = await server.connect("carol");
      const revoked = { ...data, value: "carol", code: 4100, reason: "Logged out", at: Date.now() };
      const disconnect = { ...refresh, command: "disconnect", data: revoked, id: randomUUID() };
      await service.rPush(`token-sockjs:${prefix}revocations`, JSON.stringify(disconnect));
      await service.sendCommand(["CLIENT", "KILL", "TYPE", "pubsub"]);
      await carol.closed;
      for (const client of [alice, bob]) {
        await answers(client);
        expect(client.frames).to.deep.equal([]);
      }
    });

    it("lets sockets leave a channel that was emptied while their server could not hear of it, once", async () => {
      const prefix = `${randomUUID()}:`;
      const server = await Server.start(kind, prefix);
      const alice = await server.connect("alice");
      const service = await connectNodeRedis(redis.url);
      cleanups.push(() => service.close());
      const key = `token-sockjs:${prefix}revocations:evictions`;
      const evict = (channel: unknown, at: number) =>
        service.rPush(
          key,
          JSON.stringify({ command: "unsubscribeAll", data: { channel, at }, id: randomUUID() }),
        );
      const hear = () => service.sendCommand(["CLIENT", "KILL", "TYPE", "pubsub"]);
      for (const channel of ["old", "room", "kept"]) {
        await alice.subscribe(channel);
      }
      await evict("old", Date.now() - 600_000);
      await evict(7, Date.now());
      await evict("room", Date.now());
      await service.rPush(key, "no JSON");
      await hear();
      expect((await left(alice)).data).to.deep.equal({ channel: "room" });
      await alice.subscribe("room");
      // the list is read again, and nothing of it is new but the last
      await evict("kept", Date.now());
      await hear();
      expect((await left(alice)).data).to.deep.equal({ channel: "kept" });
      await answers(alice);
      expect(server.tokenServer.channels()).to.have.members(["old", "room"]);
    });

    it("reads what was revoked of each kind, and by servers of version 4.0.0", async () => {
      const prefix = `${randomUUID()}:`;
      const key = `token-sockjs:${prefix}revocations`;
      const server = await Server.start(kind, prefix);
      const service = await connectNodeRedis(redis.url);
      cleanups.push(() => service.close());
      const revoke = (list: string, by: string, value: string) => {
        const data = { by, value, code: 4100, reason: "", at: Date.now() };
        return service.rPush(list, JSON.stringify({ command: "disconnect", data, id: randomUUID() }));
      };
      const clients = [await server.connect("1"), await server.connect("2"), await server.connect("3")];
      const [first, second] = server.tokenServer.sockets();
      await revoke(key, "sid", String(first?.sid));
      await revoke(`${key}:sid`, "sid", String(second?.sid));
      await revoke(`${key}:sessionId`, "sessionId", server.sessionId);
      await service.sendCommand(["CLIENT", "KILL", "TYPE", "pubsub"]);
      for (const client of clients) expect((await client.closed).code).to.equal(4100);
    });

    it("loses no identity's revocation by a flood of sessions'", async () => {
      const prefix = `${randomUUID()}:`;
      const server = await Server.start(kind, prefix);
      const service = await watch(kind);
      await server.tokenServer.disconnect({ identity: "alice" });
      const flood = Array.from({ length: 200 }, (_, i) =>
        server.tokenServer.disconnect({ sessionId: `s${i}` }),
      );
      await Promise.all(flood);
      expect(await service?.values(server, "")).to.deep.equal(["alice"]);
      expect(await service?.values(server, ":sessionId")).to.have.length(200);
    });

    it("leaves the word for others, the newest ten thousand, for an hour", async () => {
      const prefix = `${randomUUID()}:`;
      const key = `token-sockjs:${prefix}revocations`;
      const server = await Server.start(kind, prefix);
      const service = await connectNodeRedis(redis.url);
      cleanups.push(() => service.close());
      await service.rPush(
        key,
        Array.from({ length: 10_000 }, (_, i) => String(i)),
      );
      await server.tokenServer.disconnect({ identity: "alice" });
      const values = await service.lRange(key, 0, -1);
      expect(values).to.have.length(10_000);
      expect(JSON.parse(values.at(-1) ?? "")).to.deep.include({ command: "disconnect" });
      expect(await service.pTTL(key)).to.be.within(3_500_000, 3_600_000);
    });
  });
}
