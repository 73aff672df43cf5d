import type { EventEmitter } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { expect } from "chai";
import sinon from "sinon";
import type { TokenSocketServerOptions } from "../../lib/index.js";
import { Application } from "../support/application.js";
import { until } from "../support/condition.js";
import { makeNodeRedis, type NodeRedis } from "../support/node-redis.js";
import { CONNECTING_KINDS, NOT_RESUBSCRIBING, type TestClient } from "../support/redis-clients.js";
import { canStartRedis, type RedisServer, startRedis } from "../support/redis-server.js";
import { SeverableLine } from "../support/severable-line.js";
import type { Frame, WireClient } from "../support/wire-client.js";

/** Those that differ in how they fail. */
const KINDS = [...CONNECTING_KINDS.filter(({ name }) => !/RESP2|node-redis 5/.test(name)), NOT_RESUBSCRIBING];

const UNAVAILABLE = { message: "Service unavailable", code: "unavailable", retryAfter: 5000 };

const ROOMS = Array.from({ length: 8 }, (_, i) => `room ${i}`);

/** More than the attempts after which ioredis gives up what waits, in `maxRetriesPerRequest`. */
const MANY_ATTEMPTS = 25;

/** How long Redis and the server may take to agree, in milliseconds. */
const PATIENCE = 10_000;

/** Waits for an event, whatever errors come before it. */
const event = (emitter: EventEmitter, name: string) =>
  new Promise<unknown>((resolve) => emitter.once(name, resolve));

const emitterOf = ({ client }: TestClient) => client as unknown as EventEmitter;

/** A command as it is on its way to Redis. */
const command = (name: string, ...args: string[]) =>
  new RegExp([name, ...args].map((part) => `\\$${part.length}\r\n${part}\r\n`).join(""), "i");

/** Acknowledged, or told that it may work the next time. */
const expectAck = ({ error, resp }: Frame) => {
  if (error === undefined) expect(resp).to.equal("success");
  else expect(error).to.deep.equal(UNAVAILABLE);
};

for (const kind of KINDS) {
  const isNodeRedis = kind.name.startsWith("node-redis");
  const mayKeepMore = kind.name === "node-redis 4";

  describe(`With ${kind.name}, a Redis that`, function () {
    if (!canStartRedis) return;
    this.timeout(60_000);

    let redis: RedisServer;
    let lines: SeverableLine[];
    let redisClient: TestClient;
    let pubsubClient: TestClient;
    let application: Application;
    let client: WireClient;
    /** Does to Redis what is to be shown, apart from the application. */
    let operator: ReturnType<typeof makeOperator>;
    let release: () => void;
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);

    const makeOperator = () =>
      makeNodeRedis({ url: redis.url, socket: { reconnectStrategy: 20 } }).on("error", () => {});

    beforeEach(async () => {
      process.on("unhandledRejection", note);
      redis = await startRedis({ own: true });
      lines = [];
      operator = makeOperator();
      await operator.connect();
    });

    afterEach(async () => {
      // their errors are their owner's again when the server has been shut down
      for (const each of [redisClient, pubsubClient]) emitterOf(each).on("error", () => {});
      await application.stop();
      for (const each of [redisClient, pubsubClient]) each.close();
      for (const line of lines) await line.sever();
      operator.destroy();
      await redis.stop();
      await new Promise((resolve) => setImmediate(resolve));
      process.off("unhandledRejection", note);
      expect(unhandled.splice(0)).to.deep.equal([]);
    });

    /** An application whose clients are not connected. */
    const prepare = async (addresses = [redis, redis], options: TokenSocketServerOptions = {}) => {
      const [first = redis, second = redis] = addresses;
      redisClient = kind.create(first);
      pubsubClient = kind.create(second);
      application = await Application.start({
        redisClient: redisClient.client,
        pubsubClient: pubsubClient.client,
        options: {
          limits: { redisTimeout: 1_000 },
          socketController: {
            echo: (_auth, data) => data,
            wait: () =>
              new Promise((resolve) => {
                release = () => resolve("done");
              }),
          },
          ...options,
        },
      });
    };

    const connect = () =>
      Promise.all([redisClient, pubsubClient].map((each) => each.connect().catch(() => {})));

    /** A client that is in a room. */
    const enter = async () => {
      client = await application.connect("websocket", { protocol: 4 });
      await client.subscribe("room");
      client.frames.length = 0;
    };

    const begin = async (addresses?: RedisServer[] | SeverableLine[], options?: TokenSocketServerOptions) => {
      await prepare(addresses as RedisServer[], options);
      await connect();
      await application.tokenServer.ready();
      await enter();
    };

    /** Begins with a line for each client, to cut. */
    const beginOnLines = async (options?: TokenSocketServerOptions) => {
      const [first, second] = [await SeverableLine.to(redis.port), await SeverableLine.to(redis.port)];
      lines = [first, second];
      await begin(lines, options);
      return { clientLine: first, subscriberLine: second };
    };

    const isReady = () => application.tokenServer.health().ready;

    const expectHealth = (isClient: boolean, isSubscriber: boolean) =>
      expect(application.tokenServer.health()).to.deep.include({
        ready: isClient && isSubscriber,
        redis: { client: isClient, subscriber: isSubscriber },
      });

    const becomes = (isClient: boolean, isSubscriber: boolean) =>
      until(() => {
        const { redis } = application.tokenServer.health();
        return redis.client === isClient && redis.subscriber === isSubscriber;
      });

    const stop = async () => {
      await redis.stop();
      await becomes(false, false);
      expectHealth(false, false);
    };

    const expectNoToken = async () => {
      const response = await fetch(`${application.url}/socket/token`);
      expect(response.status).to.equal(503);
      expect(response.headers.get("retry-after")).to.equal("5");
      expect(await response.json()).to.deep.equal({ error: "Service unavailable" });
    };

    /** What needs no Redis goes on. */
    const expectCalls = async () => {
      expect(await client.request({ rpc: "echo", req: 1 })).to.have.property("resp", 1);
      const answer = application.tokenServer.rpc(application.socket(), "f");
      client.send({ rpc: "_rpc", fid: (await client.takeCall()).fid, resp: { data: 2 } });
      expect(await answer).to.equal(2);
    };

    const join = (channel: string) => client.request({ rpc: "_subscribe", req: { channel } });

    const leave = (channel: string) => client.request({ rpc: "_unsubscribe", req: { channel } });

    const publish = () => client.request({ rpc: "_publish", req: { channel: "room", data: "hello" } });

    /** How many connections Redis has subscribed to a channel. */
    const subscribers = async (channel: string) =>
      Number((await operator.pubSubNumSub([channel]))[channel as never]);

    const expectHeard = async (channel: string) => {
      expect(await subscribers(channel), `subscribers of ${channel}`).to.equal(1);
      await operator.publish(channel, '"from elsewhere"');
      while ((await client.message(channel)) !== "from elsewhere");
    };

    const expectAll = async () => {
      expectHealth(true, true);
      await expectHeard("room");
      const other = await application.connect("websocket", { protocol: 4 });
      expect(await other.request({ rpc: "_subscribe", req: { channel: "other" } })).to.have.property("resp");
      expect(await publish()).to.have.property("resp", "success");
      expect(await client.message("room")).to.equal("hello");
      expectHealth(true, true);
    };

    /** The server's channels, and no others, are subscribed to, each once. */
    const expectAgreement = async () => {
      const end = Date.now() + PATIENCE;
      for (;;) {
        const { id } = application.tokenServer.health();
        const reserved = ["___all___", "___sync___", `___server:${id}___`];
        const wanted = [...application.tokenServer.channels(), ...reserved].sort();
        const present = [...(await operator.pubSubChannels())].sort();
        // node-redis 4 may send again what it had in its queue when its connection was lost twice in a row
        const found = mayKeepMore ? present.filter((channel) => wanted.includes(channel)) : present;
        const counts = await Promise.all(found.map(subscribers));
        const once = wanted.map(() => 1);
        if (isDeepStrictEqual([found, counts], [wanted, once])) return;
        if (Date.now() > end) expect([found, counts]).to.deep.equal([wanted, once]);
        await delay(5);
      }
    };

    it("is not there at start is waited for", async () => {
      await redis.stop();
      await prepare();
      const connecting = connect();
      let isDone = false;
      const ready = application.tokenServer.ready().then(() => {
        isDone = true;
      });
      await expectNoToken();
      expectHealth(false, false);
      expect(isDone).to.equal(false);
      await redis.start();
      await Promise.all([connecting, ready]);
      expectHealth(true, true);
      await enter();
      await expectAll();
    });

    it("goes away and comes back empty leaves connections as they are, and serves all again", async () => {
      await begin();
      const token = await application.token();
      await stop();
      await expectNoToken();
      await expectCalls();
      const asked = [publish(), join("hall"), leave("hall")];
      // ioredis gives up what waits after some attempts, while node-redis keeps it
      if (!isNodeRedis) expect((await asked[0])?.error).to.deep.equal(UNAVAILABLE);
      await redis.start();
      await until(isReady);
      await expectHeard("room");
      for (const reply of await Promise.all(asked)) expectAck(reply);
      const late = await application.open();
      expect(await late.request({ rpc: "auth", token })).to.have.property("error", "Token not found");
      client.frames.length = 0;
      await expectAll();
    });

    it("drops its connections is heard again before the server is ready", async () => {
      await begin();
      const lost = [redisClient, pubsubClient].map((each) => event(emitterOf(each), "reconnecting"));
      await operator.sendCommand(["CLIENT", "KILL", "SKIPME", "yes"]);
      await Promise.all(lost);
      await until(isReady);
      await expectAll();
    });

    it("has not yet confirmed the subscriptions leaves the server unready until it has", async () => {
      const { subscriberLine } = await beginOnLines();
      await Promise.all(ROOMS.map(join));
      client.frames.length = 0;
      const emitter = emitterOf(pubsubClient);
      const told = isNodeRedis ? undefined : event(emitter, "ready");
      // somebody may ask before the server has heard of it
      const early: boolean[] = [];
      emitter.prependListener("ready", () => early.push(isReady()));
      const subscribing = subscriberLine.holdAnswerTo(command("subscribe"));
      subscriberLine.moveTo(redis.port);
      await Promise.all([subscribing, told]);
      expectHealth(true, false);
      await operator.ping();
      expectHealth(true, false);
      subscriberLine.speak();
      await until(isReady);
      expect(early).to.deep.equal([false]);
      for (const room of ROOMS) await expectHeard(room);
      await expectAll();
    });

    it("goes away again while it confirms the subscriptions loses none of them", async () => {
      const { subscriberLine } = await beginOnLines();
      await Promise.all(ROOMS.map(join));
      client.frames.length = 0;
      const subscribing = subscriberLine.holdAnswerTo(command("subscribe"));
      subscriberLine.moveTo(redis.port);
      await subscribing;
      await subscriberLine.sever();
      for (let i = 0; i < MANY_ATTEMPTS; i++) await event(emitterOf(pubsubClient), "reconnecting");
      await subscriberLine.mend();
      await until(isReady);
      for (const room of ROOMS) await expectHeard(room);
      await expectAgreement();
      await expectAll();
    });

    it("cuts the connection in the middle of a subscribe has the channel subscribed, or says that it has not", async () => {
      const { subscriberLine } = await beginOnLines();
      const subscribing = subscriberLine.holdAnswerTo(command("subscribe", "hall"));
      const joining = join("hall");
      await subscribing;
      await until(async () => (await subscribers("hall")) === 1);
      await subscriberLine.sever();
      await becomes(true, false);
      await expectCalls();
      await subscriberLine.mend();
      await until(isReady);
      const reply = await joining;
      expectAck(reply);
      expect(reply.error).to.deep.equal(isNodeRedis ? UNAVAILABLE : undefined);
      await expectAgreement();
      if (reply.error) expectAck(await join("hall"));
      await expectHeard("hall");
      await expectAll();
    });

    it("cuts the connection in the middle of a publish says so, or has it published again", async () => {
      const { clientLine } = await beginOnLines();
      const publishing = clientLine.holdAnswerTo(command("publish"));
      const asked = publish();
      await publishing;
      expect(await client.message("room")).to.equal("hello");
      clientLine.moveTo(redis.port);
      const { error, resp } = await asked;
      await until(isReady);
      if (isNodeRedis) expect(error).to.deep.equal(UNAVAILABLE);
      else {
        expect(resp).to.equal("success");
        expect(await client.message("room")).to.equal("hello");
      }
      await expectAll();
    });

    it("cuts the connection in the middle of an unsubscribe has the channel left", async () => {
      const { subscriberLine } = await beginOnLines();
      await join("hall");
      const unsubscribing = subscriberLine.holdAnswerTo(command("unsubscribe", "hall"));
      expect(await leave("hall")).to.have.property("resp", "success");
      await unsubscribing;
      await subscriberLine.sever();
      await becomes(true, false);
      await subscriberLine.mend();
      await until(isReady);
      await expectAgreement();
      expect(application.tokenServer.channels()).to.deep.equal(["room"]);
      await expectAll();
    });

    it("says nothing for a while lets token requests fail in time; what was asked is done later", async () => {
      const { clientLine, subscriberLine } = await beginOnLines();
      for (const line of [clientLine, subscriberLine]) line.fallSilent();
      const begin = performance.now();
      const answered: unknown[] = [];
      const asked = [publish(), join("hall")].map((reply) =>
        reply.then((frame) => {
          answered.push(frame);
          return frame;
        }),
      );
      await expectNoToken();
      expect(performance.now() - begin).to.be.below(5000);
      await expectCalls();
      expect(answered).to.deep.equal([]);
      for (const line of [clientLine, subscriberLine]) line.speak();
      for (const reply of await Promise.all(asked)) expect(reply).to.have.property("resp", "success");
      expect(await client.message("room")).to.equal("hello");
      await until(isReady);
      await expectHeard("hall");
      await expectAll();
    });

    it("is full gives no tokens until there is room; messages and calls go on", async () => {
      await begin();
      await operator.configSet("maxmemory", "1");
      await expectNoToken();
      expect(application.errors.at(-1)?.message).to.match(/OOM/);
      await expectCalls();
      expectHealth(true, true);
      for (const reply of [await publish(), await join("hall")]) {
        expect(reply).to.have.property("resp", "success");
      }
      expect(await client.message("room")).to.equal("hello");
      await operator.configSet("maxmemory", "0");
      await expectAll();
    });

    it("is read-only gives no tokens until it is a master again; messages and calls go on", async () => {
      await begin();
      await operator.sendCommand(["REPLICAOF", "127.0.0.1", "1"]);
      await expectNoToken();
      expect(application.errors.at(-1)?.message).to.match(/READONLY/);
      await expectCalls();
      expectHealth(true, true);
      for (const reply of [await publish(), await join("hall")]) {
        expect(reply).to.have.property("resp", "success");
      }
      expect(await client.message("room")).to.equal("hello");
      await operator.sendCommand(["REPLICAOF", "NO", "ONE"]);
      await expectAll();
    });

    it("is lost while a client is about to be ready again answers what was asked in that moment", async () => {
      const { clientLine, subscriberLine } = await beginOnLines();
      const both = [clientLine, subscriberLine];
      const forBoth = (act: (line: SeverableLine) => Promise<void>) => Promise.all(both.map(act));
      await forBoth((line) => line.sever());
      await until(() => !isReady());
      const connecting = forBoth((line) => line.holdAnswerTo(/\S/));
      await forBoth((line) => line.mend());
      await connecting;
      const asked = [publish(), join("hall")];
      // these are with the clients, and what such a client writes is on its way
      await client.request({ rpc: "echo", req: 1 });
      await forBoth((line) => line.sever());
      await forBoth((line) => line.mend());
      for (const reply of await Promise.all(asked)) expectAck(reply);
      await until(isReady);
      client.frames.length = 0;
      await expectAll();
    });

    it("wants a password all of a sudden gives no tokens, and says why", async () => {
      await begin();
      await operator.configSet("requirepass", "secret");
      await operator.sendCommand(["CLIENT", "KILL", "SKIPME", "yes"]);
      await until(() => !isReady());
      await expectNoToken();
      expect(application.errors.map(({ message }) => message).join()).to.match(/NOAUTH|[Aa]uthentication/);
      await expectCalls();
      expect(isReady()).to.equal(false);
      const asked = [publish(), join("hall")];
      await operator.configSet("requirepass", "");
      await until(isReady);
      for (const reply of await Promise.all(asked)) expectAck(reply);
      client.frames.length = 0;
      await expectAll();
    });

    it("refuses the channels for a while leaves the server unready until it has them", async () => {
      await begin();
      await operator.sendCommand(["ACL", "SETUSER", "default", "resetchannels"]);
      await becomes(true, false);
      await until(() => application.errors.some(({ message }) => message.includes("NOPERM")));
      expect((await publish()).error).to.deep.equal(UNAVAILABLE);
      await expectCalls();
      expectHealth(true, false);
      await operator.sendCommand(["ACL", "SETUSER", "default", "allchannels"]);
      await until(isReady);
      await expectAgreement();
      await expectAll();
    });

    it("fails where everybody listens to errors tells everybody", async () => {
      await begin();
      const heard = [redisClient, pubsubClient].map((each) => {
        const listener = sinon.spy();
        emitterOf(each).on("error", listener);
        return listener;
      });
      await stop();
      await until(() => heard.every(({ called }) => called) && application.errors.length > 0);
      expect(application.log.join()).not.to.contain("a Redis client's error");
      await redis.start();
      await until(isReady);
      await expectAll();
    });

    it("fails where nobody listens to errors is in the log, and no harm", async () => {
      await begin();
      application.tokenServer.removeAllListeners("error");
      await stop();
      await until(() => application.log.some((line) => line.includes("a Redis client's error")));
      await expectNoToken();
      await expectCalls();
      await redis.start();
      await until(isReady);
      await expectAll();
    });

    it("is away for the subscriber alone gives tokens and takes messages; those of the time are lost", async () => {
      const { subscriberLine } = await beginOnLines();
      await subscriberLine.sever();
      await becomes(true, false);
      expectHealth(true, false);
      const other = await application.connect("websocket", { protocol: 4 });
      expect(await other.request({ rpc: "echo", req: 1 })).to.have.property("resp", 1);
      expect(await publish()).to.have.property("resp", "success");
      const joining = join("hall");
      await subscriberLine.mend();
      await until(isReady);
      expectAck(await joining);
      expect(client.frames.filter((frame) => "message" in frame)).to.deep.equal([]);
      await expectAll();
    });

    it("is away for the other client alone gives no tokens; channels can be joined, and heard", async () => {
      const { clientLine } = await beginOnLines();
      await clientLine.sever();
      await becomes(false, true);
      expectHealth(false, true);
      await expectNoToken();
      await expectCalls();
      expect(await join("hall")).to.have.property("resp", "success");
      await expectHeard("hall");
      await expectHeard("room");
      const asked = publish();
      await clientLine.mend();
      await until(isReady);
      expectAck(await asked);
      client.frames.length = 0;
      await expectAll();
    });

    it("is restarted again and again, while sockets come and go, agrees with the server in the end", async () => {
      await begin();
      const members: { wire: WireClient; channels: () => string[] }[] = [];
      for (let i = 0; i < 4; i++) {
        const wire = await application.connect("websocket", { protocol: 4 });
        const { channels } = application.socket();
        members.push({ wire, channels: () => Object.keys(channels ?? {}) });
      }
      let isOver = false;
      const roaming = members.map(async ({ wire }, member) => {
        for (let step = member; !isOver; step++) {
          const rpc = step % 3 === 0 ? "_unsubscribe" : "_subscribe";
          const channel = ROOMS[(step * (member + 3)) % ROOMS.length];
          expectAck(await wire.request({ rpc, req: { channel } }));
          await delay(1);
        }
      });
      for (let restart = 0; restart < 10; restart++) {
        if (restart % 3 === 0) await until(isReady);
        await redis.stop();
        await redis.start();
      }
      isOver = true;
      await Promise.all(roaming);
      await until(isReady);
      await expectAgreement();
      for (const { wire, channels } of members) {
        const told = new Set<unknown>();
        for (const { command, data } of wire.frames) {
          if (command === "subscribe") told.add(data?.channel);
          if (command === "unsubscribe") told.delete(data?.channel);
        }
        expect([...told]).to.have.members(channels());
      }
      for (const room of application.tokenServer.channels()) await operator.publish(room, `"${room}"`);
      for (const { wire, channels } of members) {
        for (const room of channels()) expect(await wire.message(room)).to.equal(room);
      }
      client.frames.length = 0;
      await expectAll();
    });

    it("goes away while the server is drained keeps no call from ending", async () => {
      await begin();
      const waiting = client.request({ rpc: "wait" });
      await client.request({ rpc: "echo", req: 1 });
      // its turn comes at once
      const random = sinon.stub(Math, "random").returns(0);
      const drained = application.tokenServer.drain({ timeout: 60_000 });
      random.restore();
      await stop();
      const response = await fetch(`${application.url}/socket/token`);
      expect(response.status).to.equal(503);
      release();
      expect(await waiting).to.have.property("resp", "done");
      expect(await client.take()).to.include({ internal: true, command: "leave" });
      await client.end();
      await redis.start();
      await drained;
      expect(application.tokenServer.health()).to.include({ ready: false, draining: true, sockets: 0 });
    });

    it("goes away while the server is shut down does not keep it", async () => {
      const { subscriberLine } = await beginOnLines();
      const unsubscribing = subscriberLine.holdAnswerTo(command("unsubscribe"));
      const clock = sinon.useFakeTimers({
        toFake: ["setTimeout", "clearTimeout"],
        shouldClearNativeTimers: true,
      });
      let closing: Promise<void>;
      try {
        closing = application.tokenServer.shutdown();
        await unsubscribing;
        await subscriberLine.sever();
        clock.tick(5000);
      } finally {
        clock.restore();
      }
      await closing;
      expect(await client.closed).to.have.property("code", 4000);
    });
  });
}

describe("A message that Redis is away for", () => {
  it("is refused when the client has waited for as long as its owner wants", async function () {
    if (!canStartRedis) return this.skip();
    this.timeout(30_000);
    const redis = await startRedis({ own: true });
    const [line, pubsubLine] = [await SeverableLine.to(redis.port), await SeverableLine.to(redis.port)];
    const [redisClient, pubsubClient] = [line, pubsubLine].map(({ url }) =>
      makeNodeRedis({ url, commandOptions: { timeout: 200 }, socket: { reconnectStrategy: 20 } }),
    );
    if (!redisClient || !pubsubClient) throw new Error("There are clients");
    const application = await Application.start({ redisClient, pubsubClient });
    await Promise.all([redisClient.connect(), pubsubClient.connect()]);
    await application.tokenServer.ready();
    const client = await application.connect("websocket", { protocol: 4 });
    await line.sever();
    await until(() => !application.tokenServer.health().redis.client);
    const reply = await client.request({ rpc: "_publish", req: { channel: "room", data: 1 } });
    expect(reply.error).to.deep.equal(UNAVAILABLE);
    await application.stop();
    for (const each of [redisClient, pubsubClient]) each.destroy();
    await Promise.all([line.sever(), pubsubLine.sever()]);
    await redis.stop();
  });
});

describe("A Redis that says nothing", function () {
  if (!canStartRedis) return;
  this.timeout(30_000);

  let redis: RedisServer;
  let lines: [SeverableLine, SeverableLine];
  let clients: NodeRedis[];
  let application: Application;

  const start = async (options: TokenSocketServerOptions = {}) => {
    redis = await startRedis({ own: true });
    lines = [await SeverableLine.to(redis.port), await SeverableLine.to(redis.port)];
    clients = lines.map(({ url }) => makeNodeRedis({ url }));
    for (const client of clients) await client.on("error", () => {}).connect();
    const [redisClient, pubsubClient] = clients;
    if (!redisClient || !pubsubClient) throw new Error("there is one for each line");
    application = await Application.start({ redisClient, pubsubClient, options });
    await application.tokenServer.ready();
  };
  afterEach(async () => {
    await application.stop();
    for (const client of clients) client.destroy();
    for (const line of lines) await line.sever();
    await redis.stop();
  });

  it("lets token requests fail within five seconds, by default", async () => {
    await start();
    for (const line of lines) line.fallSilent();
    const begin = performance.now();
    const response = await fetch(`${application.url}/socket/token`);
    expect(performance.now() - begin).to.be.below(5000);
    expect(response.status).to.equal(503);
    expect(response.headers.get("retry-after")).to.equal("5");
  });

  it("makes the server say that it is not ready, also where nobody has asked for anything", async () => {
    await start({ limits: { redisTimeout: 100 } });
    const { tokenServer } = application;
    const [clientLine, subscriberLine] = lines;
    const isSeen = (client: boolean, subscriber: boolean) => () =>
      isDeepStrictEqual(tokenServer.health().redis, { client, subscriber });
    subscriberLine.fallSilent();
    await until(isSeen(true, false));
    expect(tokenServer.health().ready).to.equal(false);
    clientLine.fallSilent();
    await until(isSeen(false, false));
    for (const line of lines) line.speak();
    await until(isSeen(true, true));
    expect(tokenServer.health().ready).to.equal(true);
  });
});
