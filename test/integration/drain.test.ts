import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { expect } from "chai";
import { createClient } from "redis";
import sinon from "sinon";
import { WebSocket } from "ws";
import { Application } from "../support/application.js";
import { until } from "../support/condition.js";
import { startRedis } from "../support/redis-server.js";

const LEAVE = { internal: true, command: "leave", data: {} };

describe("A server that is drained", () => {
  let application: Application;

  beforeEach(async () => {
    application = await Application.start({
      prepare: (app) =>
        app.get("/health", (req, res, next) => application.tokenServer.healthHandler()(req, res, next)),
      options: {
        socketController: {
          wait: () => new Promise((resolve) => application.tokenServer.once("ready", () => resolve("done"))),
        },
      },
    });
    await application.tokenServer.ready();
  });
  afterEach(() => application.stop());

  /** Drains it, so that the turn of each client comes at once. */
  const drainAtOnce = (timeout: number) => {
    const random = sinon.stub(Math, "random").returns(0);
    const drained = application.tokenServer.drain({ timeout });
    random.restore();
    return drained;
  };

  it("is told from one that is ready by its health, of which nothing is to be kept", async () => {
    const ask = async () => {
      const answer = await fetch(`${application.url}/health`);
      expect(answer.headers.get("cache-control")).to.equal("no-store");
      const health = (await answer.json()) as Record<string, unknown>;
      expect(health).to.have.all.keys(Object.keys(application.tokenServer.health()));
      return [answer.status, health.ready, health.draining];
    };
    expect(await ask()).to.deep.equal([200, true, false]);
    const drained = application.tokenServer.drain({ timeout: 5000 });
    expect(await ask()).to.deep.equal([503, false, true]);
    await drained;
  });

  it("takes on no more clients, and says so", async () => {
    const client = await application.connect();
    const open = await application.open();
    const { tokenServer } = application;
    const session = `${application.url}/sockets/000/known/xhr`;
    expect(await (await fetch(session, { method: "POST" })).text()).to.equal("o\n");
    const drained = tokenServer.drain({ timeout: 5000 });
    expect(tokenServer.health()).to.include({ ready: false, draining: true });
    const response = await fetch(`${application.url}/socket/token`);
    expect(response.status).to.equal(503);
    expect(response.headers.get("retry-after")).to.equal("1");
    // on another connection a load balancer has the choice of another server
    expect(response.headers.get("connection")).to.equal("close");
    expect(await response.json()).to.deep.equal({ error: "Server shutting down" });
    expect((await fetch(`${application.url}/health`)).status).to.equal(503);
    // proxies ask another server where it says 503: it may be the one that knows the session
    for (const path of ["000/late/xhr", "000/late/xhr_send", "000/late/xhr_streaming"]) {
      const refused = await fetch(`${application.url}/sockets/${path}`, { method: "POST" });
      expect([refused.status, await refused.text()]).to.deep.equal([503, "Server shutting down"]);
      expect(refused.headers.get("connection")).to.equal("close");
    }
    const late = new WebSocket(`${application.url.replace("http", "ws")}/sockets/websocket`);
    const [, { statusCode }] = (await once(late, "unexpected-response")) as [unknown, IncomingMessage];
    expect(statusCode).to.equal(503);
    expect(await (await fetch(session, { method: "POST" })).text()).to.equal(
      'c[4000,"Server shutting down"]\n',
    );
    expect(await open.closed).to.have.property("code", 4000);
    expect(await client.closed).to.have.property("code", 4000);
    await drained;
    expect((await fetch(`${application.url}/socket/token`)).status).to.equal(404);
  });

  it("lets calls of both sides end before it closes their sockets", async () => {
    const { tokenServer } = application;
    const [caller, callee, idle] = [
      await application.connect(),
      await application.connect(),
      await application.connect(),
    ];
    caller.send({ rpc: "wait", uuid: "w" });
    const [, second] = tokenServer.sockets();
    if (!second) throw new Error("there are three sockets");
    const call = tokenServer.rpc(second, "ask");
    const { fid } = await callee.takeCall();
    const drained = tokenServer.drain({ timeout: 1500 });
    const late = tokenServer.drain({ timeout: 10_000 });
    expect(late).to.equal(drained);
    await idle.closed;
    callee.send({ rpc: "_rpc", fid, resp: { data: "yes" } });
    tokenServer.emit("ready");
    expect(await call).to.equal("yes");
    expect(await caller.take()).to.deep.equal({ rpc: "wait", uuid: "w", resp: "done" });
    await Promise.all([caller.closed, callee.closed, drained]);
  });

  it("serves frames that have come faster than they may before it closes their socket", async () => {
    await application.stop();
    application = await Application.start({
      options: {
        limits: { framesPerSecond: 10, frameBurst: 2 },
        socketController: { echo: (_auth, data) => data },
      },
    });
    await application.tokenServer.ready();
    const client = await application.connect();
    for (const uuid of ["1", "2", "3", "4"]) client.send({ rpc: "echo", req: uuid, uuid });
    expect(await client.take()).to.have.property("resp", "1");
    const drained = drainAtOnce(1e6);
    for (const uuid of ["2", "3", "4"]) expect(await client.take()).to.have.property("resp", uuid);
    expect(await client.closed).to.have.property("code", 4000);
    await drained;
  });

  it("asks a client that knows how to go, once, and closes it when its time is over", async () => {
    const client = await application.connect("websocket", { protocol: 4 });
    const drained = drainAtOnce(2000);
    expect(await client.take()).to.deep.equal(LEAVE);
    // a request that has crossed it is served
    expect(await client.request({ rpc: "missing" })).to.have.nested.property("error.code", "not_found");
    expect(await client.closed).to.have.property("code", 4000);
    expect(client.frames).to.deep.equal([]);
    await drained;
  });

  it("has ended when all clients have gone", async () => {
    const client = await application.connect("websocket", { protocol: 4 });
    const drained = drainAtOnce(1e6);
    expect(await client.take()).to.deep.equal(LEAVE);
    await client.end();
    await drained;
  });

  it("asks a client that never comes to rest, too, but none that a call is made to", async () => {
    const { tokenServer } = application;
    const busy = await application.connect("websocket", { protocol: 4 });
    busy.send({ rpc: "wait", uuid: "w" });
    const callee = await application.connect("websocket", { protocol: 4 });
    const call = tokenServer.rpc(application.socket(), "ask");
    const { fid } = await callee.takeCall();
    const drained = drainAtOnce(6000);
    expect(await busy.take()).to.deep.equal(LEAVE);
    expect(callee.frames).to.deep.equal([]);
    tokenServer.emit("ready");
    expect(await busy.take()).to.deep.equal({ rpc: "wait", uuid: "w", resp: "done" });
    callee.send({ rpc: "_rpc", fid, resp: { data: "yes" } });
    expect(await call).to.equal("yes");
    expect(await callee.take()).to.deep.equal(LEAVE);
    await Promise.all([busy.end(), callee.end(), drained]);
  });

  it("closes what is still busy when its time is over", async () => {
    const client = await application.connect();
    client.send({ rpc: "wait" });
    await application.tokenServer.drain({ timeout: 50 });
    expect(await client.closed).to.have.property("code", 4000);
  });

  it("spreads its clients over the time", async () => {
    const clients = await Promise.all(Array.from({ length: 100 }, () => application.connect()));
    const closed: number[] = [];
    const begin = performance.now();
    application.tokenServer.on("disconnect", () => closed.push(performance.now() - begin));
    await application.tokenServer.drain({ timeout: 1500 });
    await Promise.all(clients.map((client) => client.closed));
    // the middle half of a hundred even turns within a second: that they lie within 100 ms is as good as impossible
    expect((closed[74] ?? 0) - (closed[24] ?? 0)).to.be.above(100);
    expect(closed).to.have.length(100);
  });

  it("takes no unknown options, and is not drained then", () => {
    const { tokenServer } = application;
    const drain = (options: unknown) => () => tokenServer.drain(options as { timeout?: number });
    expect(drain({ timout: 5 })).to.throw(TypeError, "options.timout is no option of drain()");
    for (const [options, shown] of [
      [5000, "5000"],
      ["SIGTERM", '"SIGTERM"'],
      [[5000], "an array"],
    ]) {
      expect(drain(options)).to.throw(TypeError, `options must be an object, not ${shown}`);
    }
    expect(tokenServer.health()).to.include({ ready: true, draining: false });
  });

  it("takes null as no options", async () => {
    await application.tokenServer.drain(null as unknown as undefined);
    expect(application.tokenServer.health()).to.include({ draining: true });
  });

  it("may be shut down meanwhile, and takes no time limit that is none", async () => {
    const { tokenServer } = application;
    for (const timeout of [0, -1, Number.NaN, Infinity, "1" as unknown as number]) {
      expect(() => tokenServer.drain({ timeout })).to.throw(TypeError);
    }
    const client = await application.connect();
    client.send({ rpc: "wait" });
    const drained = tokenServer.drain({ timeout: 60_000 });
    await tokenServer.shutdown();
    await drained;
    expect(await client.closed).to.have.property("code", 4000);
  });
});

describe("A server's health", () => {
  it("says whether Redis is there, how many sockets there are, and whether it is about to end", async () => {
    const redis = await startRedis();
    const make = () =>
      createClient({ url: redis.url, socket: { reconnectStrategy: 20 } }).on("error", () => {});
    const [redisClient, pubsubClient] = [make(), make()];
    const application = await Application.start({ redisClient, pubsubClient });
    const { tokenServer } = application;
    try {
      expect(tokenServer.health()).to.deep.include({
        ready: false,
        redis: { client: false, subscriber: false },
        sockets: 0,
        draining: false,
      });
      await Promise.all([redisClient.connect(), pubsubClient.connect()]);
      await tokenServer.ready();
      await application.connect();
      expect(tokenServer.health()).to.deep.include({
        ready: true,
        redis: { client: true, subscriber: true },
        sockets: 1,
        draining: false,
      });
      const lost = once(pubsubClient, "error");
      await redisClient.clientKill({ filter: "TYPE", type: "pubsub" } as never);
      await lost;
      expect(tokenServer.health()).to.deep.include({
        ready: false,
        redis: { client: true, subscriber: false },
      });
      await until(() => tokenServer.health().ready);
    } finally {
      await application.stop();
      expect(tokenServer.health()).to.include({ ready: false, draining: true, sockets: 0 });
      redisClient.destroy();
      pubsubClient.destroy();
      await redis.stop();
    }
  });

  it("has no subscriber where pub/sub is off", async () => {
    const application = await Application.start({ pubsubClient: null });
    await application.tokenServer.ready();
    expect(application.tokenServer.health()).to.deep.include({
      ready: true,
      redis: { client: true, subscriber: null },
    });
    await application.stop();
  });
});
