import { expect } from "chai";
import { Redis as IORedis } from "ioredis";
import { createClient } from "redis";
import type { RedisClient } from "../../lib/index.js";
import { Application } from "../support/application.js";
import { connectNodeRedis, type NodeRedis } from "../support/node-redis.js";
import { canStartRedis, type RedisServer, startRedis } from "../support/redis-server.js";
import { ACL_COMMAND, LOGIN } from "../support/redis-user.js";

interface Pair {
  readonly clients: readonly [RedisClient, RedisClient];
  close(): unknown;
}

(canStartRedis ? describe : describe.skip)("A user of Redis with the rights of the document", () => {
  let redis: RedisServer;
  let operator: NodeRedis;
  let application: Application | undefined;
  let pair: Pair | undefined;

  before(async () => {
    redis = await startRedis({ own: true });
    operator = await connectNodeRedis(redis.url);
  });
  beforeEach(() => operator.sendCommand(ACL_COMMAND as string[]));
  afterEach(async () => {
    await application?.stop();
    await pair?.close();
  });
  after(async () => {
    operator.destroy();
    await redis.stop();
  });

  const KINDS: Record<string, () => Promise<Pair>> = {
    "node-redis": async () => {
      const make = () => createClient({ url: redis.url, ...LOGIN });
      const clients = [make(), make()] as const;
      for (const client of clients) client.on("error", () => {});
      await Promise.all(clients.map((client) => client.connect()));
      return { clients, close: () => clients.map((client) => client.destroy()) };
    },
    ioredis: async () => {
      const { host, port } = redis;
      const make = () => new IORedis({ host, port, ...LOGIN });
      const clients = [make(), make()] as const;
      return { clients, close: () => clients.map((client) => client.disconnect()) };
    },
  };
  const start = async (kind: () => Promise<Pair>) => {
    pair = await kind();
    const [redisClient, pubsubClient] = pair.clients;
    application = await Application.start({
      redisClient,
      pubsubClient,
      options: {
        identify: ({ name }) => name as string,
        limits: { identityFramesPerSecond: 100 },
        history: { kept: { size: 10, ttl: 60_000 } },
        socketController: { echo: (_auth, data) => data },
      },
    });
    return application;
  };

  for (const [name, kind] of Object.entries(KINDS)) {
    it(`is enough for all that the server does, with ${name}`, async () => {
      const { tokenServer, errors, log } = await start(kind);
      await tokenServer.ready();
      const client = await application?.connect("websocket", { protocol: 4 });
      if (!client) throw new Error("there is one");
      await client.subscribe("room");
      client.send({ rpc: "_publish", req: { channel: "room", data: 1 } });
      expect(await client.message("room")).to.equal(1);
      await tokenServer.broadcast(2);
      expect(await client.message("room")).to.equal(2);
      for (let n = 1; n <= 9; n++) await tokenServer.publish("kept", n, { id: String(n) });
      expect((await tokenServer.history("kept", { last: 1 })).messages).to.have.length(1);
      await tokenServer.unsubscribeAll("room");
      expect(await tokenServer.refresh({ identity: "alice" })).to.equal(1);
      for (let i = 0; i < 30; i++) await client.request({ rpc: "echo", req: i });
      expect(await tokenServer.disconnect({ identity: "alice" })).to.equal(1);
      expect(await tokenServer.disconnect({ identity: "alice" })).to.equal(0);
      await client.closed;
      expect([errors, log]).to.deep.equal([[], []]);
    });
  }
});
