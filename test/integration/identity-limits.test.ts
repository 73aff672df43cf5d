import { once } from "node:events";
import { expect } from "chai";
import { createClient } from "redis";
import { WebSocket } from "ws";
import {
  type Limits,
  type RedisClient,
  TokenSocketServer,
  type TokenSocketServerOptions,
} from "../../lib/index.js";
import { memoryRedis } from "../../lib/memory.js";
import { Application } from "../support/application.js";
import { CONNECTING_KINDS, embedded, type Kind, type TestClient } from "../support/redis-clients.js";
import { canStartRedis, type RedisServer, startRedis } from "../support/redis-server.js";
import type { WireClient } from "../support/wire-client.js";

const OPTIONS: TokenSocketServerOptions = {
  authentication: async (req) => ({ name: req.query.user }),
  identify: ({ name }) => String(name),
  socketController: { echo: (_auth, data) => data },
};

async function connect(application: Application, user: string): Promise<WireClient> {
  const client = await application.open();
  client.send({ rpc: "auth", token: await application.token(`?user=${user}`), uuid: "a", protocol: 4 });
  expect(await client.take()).to.have.property("resp", "success");
  return client;
}

describe("Limits by identity", function () {
  this.timeout(30_000);

  let applications: Application[];
  beforeEach(() => {
    applications = [];
  });
  afterEach(async () => {
    for (const application of applications) await application.stop();
  });

  const start = async (
    limits: Partial<Limits>,
    redis: { redisClient?: RedisClient; pubsubClient?: RedisClient } = {},
  ) => {
    const application = await Application.start({ ...redis, options: { ...OPTIONS, limits } });
    applications.push(application);
    await application.tokenServer.ready();
    return application;
  };

  for (const name of [
    "connectionsPerIdentity",
    "channelsPerIdentity",
    "identityFramesPerSecond",
    "identityBytesPerSecond",
  ] as const) {
    it(`: ${name} is refused without identify, which it needs`, async () => {
      const application = await start({ [name]: 1 });
      const { app, sockjs } = application;
      const make = () =>
        new TokenSocketServer(app, memoryRedis(), sockjs, { limits: { [name]: 1 }, tokenRoute: "/t" });
      expect(make).to.throw(TypeError, `options.limits.${name} needs options.identify`);
    });
  }

  describe("channelsPerIdentity", () => {
    const join = async (client: WireClient, ...channels: string[]) => {
      const replies = await Promise.all(
        channels.map((channel) => client.request({ rpc: "_subscribe", req: { channel } })),
      );
      return replies.map(({ error }) => (error as { code?: string } | undefined)?.code ?? "joined");
    };

    it("counts the channels of all sockets of one user, and of nobody else", async () => {
      const application = await start({ channelsPerIdentity: 3 });
      const [one, two] = [await connect(application, "alice"), await connect(application, "alice")];
      expect(await join(one, "a", "b")).to.deep.equal(["joined", "joined"]);
      expect(await join(two, "a", "b", "c")).to.deep.equal([
        "joined",
        "too_many_channels",
        "too_many_channels",
      ]);
      // what it is in already may be asked for again
      expect(await join(one, "a")).to.deep.equal(["joined"]);
      const bob = await connect(application, "bob");
      expect(await join(bob, "a", "b", "c")).to.deep.equal(["joined", "joined", "joined"]);
    });

    it("has room again when one is left, is taken away, is the server's, or its socket closes", async () => {
      const application = await start({ channelsPerIdentity: 1 });
      const { tokenServer } = application;
      const [one, two] = [await connect(application, "alice"), await connect(application, "alice")];
      expect(await join(one, "a")).to.deep.equal(["joined"]);
      expect(await join(two, "b")).to.deep.equal(["too_many_channels"]);
      await one.request({ rpc: "_unsubscribe", req: { channel: "a" } });
      expect(await join(two, "b", "c")).to.deep.equal(["joined", "too_many_channels"]);
      await tokenServer.unsubscribeAll("b");
      expect(await join(one, "a")).to.deep.equal(["joined"]);
      // from now on it is there by the server's doing, and does not count
      const [socket] = tokenServer.channelSockets("a");
      if (!socket) throw new Error("it is in the channel");
      await tokenServer.subscribe(socket, "a");
      expect(await join(two, "d")).to.deep.equal(["joined"]);
      expect(await join(one, "e")).to.deep.equal(["too_many_channels"]);
      const gone = new Promise((resolve) => tokenServer.once("disconnect", resolve));
      await two.end();
      await gone;
      expect(await join(one, "e", "f")).to.deep.equal(["joined", "too_many_channels"]);
    });

    it("counts one that the server has joined it to as well as none, however often it has", async () => {
      const application = await start({ channelsPerIdentity: 2 });
      const { tokenServer } = application;
      const client = await connect(application, "alice");
      for (let round = 0; round < 3; round++) {
        expect(await join(client, "a")).to.deep.equal(["joined"]);
        for (let i = 0; i < 3; i++) await tokenServer.subscribe(application.socket(), "a");
        await client.request({ rpc: "_unsubscribe", req: { channel: "a" } });
      }
      expect(await join(client, "a", "b", "c")).to.deep.equal(["joined", "joined", "too_many_channels"]);
    });

    it("counts nothing that guards or Redis have refused", async () => {
      const application = await start({ channelsPerIdentity: 1 });
      application.tokenServer.on("subscribe", (_socket, { channel }, callback) =>
        callback(null, channel !== "locked"),
      );
      const client = await connect(application, "alice");
      expect(await join(client, "locked", "locked", "a")).to.deep.equal(["forbidden", "forbidden", "joined"]);
    });
  });

  describe("identityBytesPerSecond", () => {
    it("makes frames of all sockets of one user wait, and of nobody else", async () => {
      const application = await start({ identityBytesPerSecond: 10_000 });
      const [one, two, bob] = [
        await connect(application, "alice"),
        await connect(application, "alice"),
        await connect(application, "bob"),
      ];
      const ended: string[] = [];
      const send = async (client: WireClient, count: number, name: string) => {
        const calls = Array.from({ length: count }, () =>
          client.request({ rpc: "echo", req: "x".repeat(1000) }),
        );
        for (const { resp } of await Promise.all(calls)) expect(resp).to.have.length(1000);
        ended.push(name);
      };
      await Promise.all([send(one, 15, "alice"), send(two, 15, "alice"), send(bob, 3, "bob")]);
      expect(ended).to.deep.equal(["bob", "alice", "alice"]);
    });

    it("counts no frame where there are bytes too many", async () => {
      const limits = { identityBytesPerSecond: 1000, identityFramesPerSecond: 20 };
      const application = await start(limits);
      const client = await connect(application, "alice");
      for (let i = 0; i < 3; i++) {
        expect(await client.request({ rpc: "echo", req: "x".repeat(500) })).to.have.property("resp");
      }
    });
  });

  describe("identityFramesPerSecond", () => {
    /** Sends so many calls at once, and waits for all answers. */
    const call = async (client: WireClient, count: number) => {
      const calls = Array.from({ length: count }, (_, i) => client.request({ rpc: "echo", req: i }));
      expect((await Promise.all(calls)).map(({ resp }) => resp)).to.deep.equal([...Array(count).keys()]);
    };

    /**
     * Two servers on which one user sends 40 frames. These take two windows, of which the second begins a second after
     * the first; where each server counted alone they would take one.
     */
    const expectOneCount = async (pairs: { redisClient: RedisClient; pubsubClient: RedisClient }[]) => {
      const servers: Application[] = [];
      for (const pair of pairs) servers.push(await start({ identityFramesPerSecond: 20 }, pair));
      const begin = performance.now();
      const sockets = await Promise.all(servers.map((server) => connect(server, "alice")));
      await Promise.all(sockets.map((socket) => call(socket, 20)));
      expect(performance.now() - begin).to.be.above(950);
      expect(servers.flatMap(({ errors }) => errors)).to.deep.equal([]);
    };

    it("makes frames of all sockets of one user wait, on servers that share a store, and loses none", async () => {
      const redisClient = memoryRedis();
      await expectOneCount(Array(2).fill({ redisClient, pubsubClient: redisClient }));
    });

    it("is counted for each application by itself where they share a store", async () => {
      const redisClient = memoryRedis();
      const servers: Application[] = [];
      for (const channelPrefix of ["a:", "b:"]) {
        const limits = { identityFramesPerSecond: 20 };
        const options = { ...OPTIONS, channelPrefix, limits };
        servers.push(await Application.start({ redisClient, pubsubClient: redisClient, options }));
      }
      applications.push(...servers);
      const [one, other] = await Promise.all(servers.map((server) => connect(server, "alice")));
      if (!one || !other) throw new Error("there are two");
      const ended: string[] = [];
      const many = call(one, 60).then(() => ended.push("one"));
      await call(other, 15).then(() => ended.push("other"));
      await many;
      expect(ended).to.deep.equal(["other", "one"]);
    });

    it("lets other users pass meanwhile", async () => {
      const application = await start({ identityFramesPerSecond: 5 });
      const [alice, bob] = [await connect(application, "alice"), await connect(application, "bob")];
      const ended: string[] = [];
      const waiting = call(alice, 15).then(() => ended.push("alice"));
      await call(bob, 3).then(() => ended.push("bob"));
      await waiting;
      expect(ended).to.deep.equal(["bob", "alice"]);
    });

    it("serves each of the sockets that wait in turn", async () => {
      const application = await start({ identityFramesPerSecond: 10 });
      const [one, two] = [await connect(application, "alice"), await connect(application, "alice")];
      const ended: string[] = [];
      await Promise.all([
        call(one, 30).then(() => ended.push("one")),
        call(two, 2).then(() => ended.push("two")),
      ]);
      expect(ended).to.deep.equal(["two", "one"]);
    });

    it("counts frames that hold no message, and makes what comes after them wait", async () => {
      const application = await start({ identityFramesPerSecond: 20 });
      const bob = await connect(application, "bob");
      const alice = new WebSocket(`${application.url.replace("http", "ws")}/sockets/000/alice/websocket`);
      const answered = (uuid: string) =>
        new Promise<void>((resolve) => {
          alice.on("message", (data) => data.toString().includes(uuid) && resolve());
        });
      await once(alice, "open");
      const send = (frame: object) => alice.send(JSON.stringify([JSON.stringify(frame)]));
      send({ rpc: "auth", token: await application.token("?user=alice"), uuid: "in" });
      await answered("in");
      for (let i = 0; i < 40; i++) alice.send("[]");
      send({ rpc: "echo", uuid: "paid" });
      const ended: string[] = [];
      const paid = answered("paid").then(() => ended.push("alice"));
      for (let i = 0; i < 10; i++) await call(bob, 1);
      ended.push("bob");
      await paid;
      expect(ended).to.deep.equal(["bob", "alice"]);
      alice.close();
      await once(alice, "close");
    });

    it("takes nothing of a socket's own rate for frames that wait for that of its user", async () => {
      const application = await start({
        identityFramesPerSecond: 10,
        framesPerSecond: 1,
        frameBurst: 15,
      });
      const client = await connect(application, "alice");
      const begin = performance.now();
      await call(client, 15);
      // each frame that were lost of the own rate would take another second
      expect(performance.now() - begin).to.be.below(3500);
    });

    it("lets a socket go whose frames wait", async () => {
      const application = await start({ identityFramesPerSecond: 1 });
      const [one, two] = [await connect(application, "alice"), await connect(application, "alice")];
      for (let i = 0; i < 5; i++) one.send({ rpc: "echo", req: i });
      const gone = new Promise((resolve) => application.tokenServer.once("disconnect", resolve));
      await one.end();
      await gone;
      expect(await two.request({ rpc: "echo", req: 1 })).to.have.property("resp", 1);
    });

    if (!canStartRedis) return;

    describe("in Redis", () => {
      let redis: RedisServer;
      let operator: ReturnType<typeof createClient>;
      const clients: TestClient[] = [];
      const [kind = embedded()] = CONNECTING_KINDS;

      const pair = async (kind: Kind) => {
        const [redisClient, pubsubClient] = [kind.create(redis), kind.create(redis)];
        clients.push(redisClient, pubsubClient);
        await Promise.all([redisClient.connect(), pubsubClient.connect()]);
        return { redisClient: redisClient.client, pubsubClient: pubsubClient.client };
      };

      beforeEach(async () => {
        redis = await startRedis({ own: true });
        operator = createClient({ url: redis.url, socket: { reconnectStrategy: 20 } });
        await operator.on("error", () => {}).connect();
      });
      afterEach(async () => {
        for (const application of applications.splice(0)) await application.stop();
        for (const client of clients.splice(0)) client.close();
        operator.destroy();
        await redis.stop();
      });

      for (const kind of CONNECTING_KINDS) {
        it(`is counted for all servers, with ${kind.name}`, async () => {
          await expectOneCount([await pair(kind), await pair(kind)]);
        });
      }

      it("is counted by keys that go by themselves", async () => {
        const application = await start({ identityFramesPerSecond: 20 }, await pair(kind));
        const client = await connect(application, "alice");
        // -2 is a key that has gone in the meantime
        let ttl = -2;
        while (ttl === -2) {
          await call(client, 1);
          ttl = await operator.pTTL("token-sockjs:frames:alice");
        }
        expect(ttl).to.be.within(0, 1000);
      });

      it("is counted by each server alone where Redis is away, or says nothing", async () => {
        const application = await start({ identityFramesPerSecond: 100 }, await pair(kind));
        const client = await connect(application, "alice");
        await operator.sendCommand(["CLIENT", "PAUSE", "3000", "ALL"]);
        const speaks = operator.ping().then(() => "Redis speaks");
        const served = call(client, 50).then(() => "all are served");
        expect(await Promise.race([speaks, served])).to.equal("all are served");
        await speaks;
        await redis.stop();
        await call(client, 50);
      });
    });
  });
});
