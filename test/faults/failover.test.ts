import type { EventEmitter } from "node:events";
import { expect } from "chai";
import { Redis as IORedis6 } from "ioredis";
import { Redis as IORedis5 } from "ioredis5";
import { createClient } from "redis";
import { Application } from "../support/application.js";
import { until } from "../support/condition.js";
import { CONNECTING_KINDS, type TestClient } from "../support/redis-clients.js";
import { canStartRedis, type RedisServer, startRedis } from "../support/redis-server.js";
import { follow, SentinelSystem } from "../support/sentinels.js";
import { SeverableLine } from "../support/severable-line.js";
import type { WireClient } from "../support/wire-client.js";

const UNAVAILABLE = { message: "Service unavailable", code: "unavailable", retryAfter: 5000 };

const ROOMS = ["lobby", "hall", "garden"];

const retry = 20;

describe("A failover", function () {
  if (!canStartRedis) return;
  // a Sentinel that the machine has kept from running for two seconds does nothing for half a minute
  this.timeout(120_000);

  let clients: TestClient[];
  let application: Application;
  let client: WireClient;
  const cleanups: (() => unknown)[] = [];
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);

  beforeEach(() => {
    process.on("unhandledRejection", note);
  });

  afterEach(async () => {
    for (const { client } of clients) (client as unknown as EventEmitter).on("error", () => {});
    await application.stop();
    for (const each of clients) each.close();
    for (const clean of cleanups.splice(0).reverse()) await clean();
    await new Promise((resolve) => setImmediate(resolve));
    process.off("unhandledRejection", note);
    expect(unhandled.splice(0)).to.deep.equal([]);
  });

  /** A client that is in some rooms. */
  const begin = async (make: () => TestClient) => {
    const [first, second] = [make(), make()];
    clients = [first, second];
    application = await Application.start({
      redisClient: first.client,
      pubsubClient: second.client,
      options: { limits: { redisTimeout: 1_000 }, socketController: { echo: (_auth, data) => data } },
    });
    await Promise.all(clients.map((each) => each.connect()));
    await application.tokenServer.ready();
    client = await application.connect("websocket", { protocol: 4 });
    for (const room of ROOMS) await client.subscribe(room);
    client.frames.length = 0;
  };

  const isReady = () => application.tokenServer.health().ready;

  const publish = () => client.request({ rpc: "_publish", req: { channel: "hall", data: "hello" } });

  const expectNoToken = async () => {
    const response = await fetch(`${application.url}/socket/token`);
    expect(response.status).to.equal(503);
    expect(response.headers.get("retry-after")).to.equal("5");
    expect(await response.json()).to.deep.equal({ error: "Service unavailable" });
  };

  const expectCalls = async () =>
    expect(await client.request({ rpc: "echo", req: 1 })).to.have.property("resp", 1);

  /** All works by the server that is the primary now. */
  const expectAll = async (primary: RedisServer) => {
    const operator = createClient({ url: primary.url });
    await operator.connect();
    cleanups.push(() => operator.destroy());
    for (const room of ROOMS) {
      expect(Number((await operator.pubSubNumSub([room]))[room as never]), room).to.equal(1);
      await operator.publish(room, '"from elsewhere"');
      while ((await client.message(room)) !== "from elsewhere");
    }
    await application.connect();
    expect(await client.request({ rpc: "_subscribe", req: { channel: "other" } })).to.have.property("resp");
    client.frames.length = 0;
    expect(await publish()).to.have.property("resp", "success");
    expect(await client.message("hall")).to.equal("hello");
    expect(isReady()).to.equal(true);
  };

  describe("by Sentinels", () => {
    let system: SentinelSystem;

    beforeEach(async () => {
      system = await SentinelSystem.start();
      cleanups.push(() => system.stop());
    });

    const ioredis =
      (make: (options: object) => IORedis6 | IORedis5, options: object = {}) =>
      (): TestClient => {
        const { sentinels, name } = system;
        const client = make({
          ...{ sentinels, name, lazyConnect: true },
          ...{ retryStrategy: () => retry, sentinelRetryStrategy: () => retry },
          ...options,
        });
        return {
          client,
          connect: () => client.connect(),
          close: () => client.disconnect(),
          isConnecting: () => client.status !== "wait",
        };
      };

    const kinds: readonly [string, () => TestClient][] = [
      ["ioredis 6", ioredis((options) => new IORedis6(options))],
      [
        "ioredis 6 without autoResubscribe",
        ioredis((options) => new IORedis6(options), { autoResubscribe: false }),
      ],
      ["ioredis 5", ioredis((options) => new IORedis5(options))],
    ];
    for (const [name, make] of kinds) {
      it(`gives no tokens while it lasts, and then serves all again, with ${name}`, async () => {
        await begin(make);
        const promoted = system.failOver();
        await until(() => !isReady());
        const asked = publish();
        await expectNoToken();
        await expectCalls();
        await promoted;
        await until(isReady);
        const { error } = await asked;
        if (error !== undefined) expect(error).to.deep.equal(UNAVAILABLE);
        await expectAll(system.replica);
      });
    }
  });

  describe("behind one address", () => {
    for (const kind of CONNECTING_KINDS.filter(({ name }) => !name.includes("RESP2"))) {
      it(`gives no tokens while it lasts, and then serves all again, with ${kind.name}`, async () => {
        const [primary, replica] = [await startRedis({ own: true }), await startRedis({ own: true })];
        cleanups.push(
          () => primary.stop(),
          () => replica.stop(),
        );
        await follow(replica, primary);
        const address = await SeverableLine.to(primary.port);
        cleanups.push(() => address.sever());
        const operator = createClient({ url: replica.url });
        await operator.connect();
        cleanups.push(() => operator.destroy());

        await begin(() => kind.create(address));
        await primary.stop();
        await until(() => !isReady());
        await expectNoToken();
        await expectCalls();
        const asked = publish();
        // the address may move before the replica knows
        address.moveTo(replica.port);
        await until(isReady);
        await expectNoToken();
        expect(application.errors.at(-1)?.message).to.match(/READONLY/);
        await operator.sendCommand(["REPLICAOF", "NO", "ONE"]);
        const { error } = await asked;
        if (error !== undefined) expect(error).to.deep.equal(UNAVAILABLE);
        await expectAll(replica);
      });
    }
  });
});
