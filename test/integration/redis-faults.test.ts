import type { EventEmitter } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { createClient } from "redis";
import { Application } from "../support/application.js";
import { freeze } from "../support/frozen-process.js";
import { canStartRedis, type RedisServer, startRedis } from "../support/redis-server.js";
import type { WireClient } from "../support/wire-client.js";

/** Waits for an event, whatever errors come before it. */
const event = (emitter: EventEmitter, name: string) =>
  new Promise<unknown>((resolve) => emitter.once(name, resolve));

const UNAVAILABLE = { message: "Service unavailable", code: "unavailable" };

describe("A Redis that", function () {
  if (!canStartRedis) return;
  this.timeout(30_000);

  let redis: RedisServer;
  let application: Application;
  let client: WireClient;
  /** Does to Redis what is to be shown, apart from the application. */
  let operator: ReturnType<typeof make>;
  let clients: ReturnType<typeof make>[];
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);

  const make = () =>
    createClient({ url: redis.url, socket: { reconnectStrategy: 20 } }).on("error", () => {});

  beforeEach(async () => {
    process.on("unhandledRejection", note);
    redis = await startRedis({ own: true });
    const [redisClient, pubsubClient] = [make(), make()];
    operator = make();
    clients = [redisClient, pubsubClient, operator];
    await Promise.all(clients.map((each) => each.connect()));
    application = await Application.start({
      redisClient,
      pubsubClient,
      options: { limits: { redisTimeout: 500 }, socketController: { echo: (_auth, data) => data } },
    });
    await application.tokenServer.ready();
    client = await application.connect("websocket", { protocol: 4 });
    await client.subscribe("room");
    client.frames.length = 0;
  });

  afterEach(async () => {
    await application.stop();
    for (const each of clients) each.destroy();
    await redis.stop();
    process.off("unhandledRejection", note);
    expect(unhandled.splice(0)).to.deep.equal([]);
  });

  const expectNoToken = async () => {
    const response = await fetch(`${application.url}/socket/token`);
    expect(response.status).to.equal(503);
    expect(response.headers.get("retry-after")).to.match(/^\d+$/);
    expect(await response.json()).to.deep.equal({ error: "Service unavailable" });
  };

  /** What needs no Redis goes on. */
  const expectCalls = async () => {
    expect(await client.request({ rpc: "echo", req: 1 })).to.have.property("resp", 1);
    const answer = application.tokenServer.rpc(application.socket(), "f");
    client.send({ rpc: "_rpc", fid: (await client.takeCall()).fid, resp: { data: 2 } });
    expect(await answer).to.equal(2);
  };

  const publish = () => client.request({ rpc: "_publish", req: { channel: "room", data: "hello" } });

  const expectAll = async () => {
    const other = await application.connect("websocket", { protocol: 4 });
    expect(await other.request({ rpc: "_subscribe", req: { channel: "other" } })).to.have.property("resp");
    expect(await publish()).to.have.property("resp", "success");
    expect(await client.message("room")).to.equal("hello");
    expect(application.tokenServer.health()).to.have.property("ready", true);
  };

  it("is full gives no tokens until there is room; messages and calls go on", async () => {
    await operator.configSet("maxmemory", "1");
    await expectNoToken();
    expect(application.errors.at(-1)?.message).to.match(/OOM/);
    await expectCalls();
    await operator.configSet("maxmemory", "0");
    await expectAll();
  });

  it("is read-only gives no tokens until it is a master again; calls go on", async () => {
    await operator.sendCommand(["REPLICAOF", "127.0.0.1", "1"]);
    await expectNoToken();
    expect(application.errors.at(-1)?.message).to.match(/READONLY/);
    await expectCalls();
    await operator.sendCommand(["REPLICAOF", "NO", "ONE"]);
    await expectAll();
  });

  it("says nothing for a while lets token requests fail in time; calls go on, and what was asked is done later", async () => {
    await operator.sendCommand(["CLIENT", "PAUSE", "3000", "ALL"]);
    const begin = performance.now();
    await expectNoToken();
    expect(performance.now() - begin).to.be.below(5000);
    await expectCalls();
    expect(await publish()).to.have.property("resp", "success");
    expect(await client.message("room")).to.equal("hello");
    await expectAll();
  });

  it("says nothing makes the server say that it is not ready, also where nobody has asked for anything", async () => {
    const untilReady = async (ready: boolean) => {
      while (application.tokenServer.health().ready !== ready) await delay(20);
    };
    const [, pid] = /process_id:(\d+)/.exec(await operator.info("server")) ?? [];
    const thaw = await freeze(Number(pid));
    await untilReady(false);
    expect(application.tokenServer.health().redis).to.deep.equal({ client: false, subscriber: false });
    await expectCalls();
    await thaw();
    await untilReady(true);
    expect(application.tokenServer.health().redis).to.deep.equal({ client: true, subscriber: true });
    await expectAll();
  });

  it("drops its connections is heard again as soon as they are back", async () => {
    const [redisClient, pubsubClient] = clients;
    if (!redisClient || !pubsubClient) throw new Error("there are clients");
    const back = Promise.all([event(redisClient, "ready"), event(pubsubClient, "ready")]);
    await operator.sendCommand(["CLIENT", "KILL", "SKIPME", "yes"]);
    await back;
    expect(application.tokenServer.health()).to.have.property("ready", true);
    await operator.publish("room", '"from elsewhere"');
    expect(await client.message("room")).to.equal("from elsewhere");
    await expectAll();
  });

  it("wants a password all of a sudden gives no tokens, and says why", async () => {
    const [redisClient] = clients;
    if (!redisClient) throw new Error("there is a client");
    await operator.configSet("requirepass", "secret");
    const failed = event(redisClient, "error");
    await operator.sendCommand(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    await failed;
    await expectNoToken();
    await expectCalls();
    await operator.configSet("requirepass", "");
    await event(redisClient, "ready");
    await expectAll();
  });

  it("goes away and comes back empty leaves connections as they are, and serves all again", async () => {
    const [redisClient, pubsubClient] = clients;
    if (!redisClient || !pubsubClient) throw new Error("there are clients");
    const lost = Promise.all([event(redisClient, "error"), event(pubsubClient, "error")]);
    await redis.stop();
    await lost;
    expect(application.tokenServer.health()).to.have.property("ready", false);
    await expectNoToken();
    await expectCalls();
    const asked = publish();
    const back = Promise.all([event(redisClient, "ready"), event(pubsubClient, "ready")]);
    await redis.start();
    await back;
    const { error } = await asked;
    // node-redis keeps it until the connection is back, or gives it up; then it may come before the subscriptions are back
    if (error !== undefined) expect(error).to.deep.equal(UNAVAILABLE);
    await expectAll();
  });
});
