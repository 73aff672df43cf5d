import { expect } from "chai";
import type { TokenSocketServerOptions } from "../../lib/index.js";
import { Application } from "../support/application.js";
import { connectNodeRedis, type NodeRedis } from "../support/node-redis.js";
import { type RedisServer, startRedis } from "../support/redis-server.js";

describe("a token", () => {
  let redis: RedisServer;
  let applications: Application[] = [];
  let clients: NodeRedis[] = [];

  before(async () => {
    redis = await startRedis();
  });
  after(() => redis.stop());
  afterEach(async () => {
    await Promise.all(applications.map((application) => application.stop()));
    await Promise.all(clients.map((client) => client.close()));
    applications = [];
    clients = [];
  });

  const connectRedis = async () => {
    const client = await connectNodeRedis(redis.url);
    clients.push(client);
    return client;
  };

  const start = async (options: TokenSocketServerOptions = {}) => {
    const application = await Application.start({ redisClient: await connectRedis(), options });
    applications.push(application);
    return application;
  };

  it("is stored under its prefix with the identity and a time to live, and is gone once redeemed", async () => {
    const application = await start({ tokenPrefix: "mine:", tokenTtl: 12_345 });
    const inspector = await connectRedis();
    const token = await application.token();
    const { issuedAt, sessionId, ...record } = JSON.parse((await inspector.get(`mine:${token}`)) ?? "null");
    expect(issuedAt).to.be.within(Date.now() - 5000, Date.now());
    expect(sessionId).to.be.a("string");
    expect(record).to.deep.equal({
      auth: { name: "alice" },
      host: new URL(application.url).host,
      ip: "127.0.0.1",
      ips: [],
    });
    expect(await inspector.pTTL(`mine:${token}`)).to.be.within(1, 12_345);
    const client = await application.open();
    expect(await client.request({ rpc: "auth", token })).to.include({ resp: "success" });
    expect(await inspector.exists(`mine:${token}`)).to.equal(0);
  });

  it("is redeemed once, by two connections at the same instant on two servers", async () => {
    const [one, other] = [await start(), await start()];
    for (let round = 0; round < 25; round++) {
      const token = await one.token();
      const rivals = [await one.open("raw-websocket"), await other.open("raw-websocket")];
      const replies = await Promise.all(rivals.map((rival) => rival.request({ rpc: "auth", token })));
      expect(replies.map(({ resp, error }) => resp ?? error).sort()).to.deep.equal([
        "Token not found",
        "success",
      ]);
    }
  });

  it("is not good on a server of another application or another token route", async () => {
    const [one, ...others] = [
      await start(),
      await start({ channelPrefix: "b:" }),
      await start({ tokenRoute: "/t" }),
    ];
    const token = await one?.token();
    for (const other of others) {
      const client = await other.open();
      expect(await client.request({ rpc: "auth", token })).to.include({ error: "Token not found" });
    }
  });

  it("is not found once it has expired", async () => {
    const application = await start({ tokenTtl: 1, authTimeout: 10_000 });
    const inspector = await connectRedis();
    const token = await application.token();
    while ((await inspector.keys(`*${token}`)).length > 0);
    const client = await application.open();
    expect(await client.request({ rpc: "auth", token })).to.include({ error: "Token not found" });
    expect((await client.closed).code).to.equal(4401);
  });
});
