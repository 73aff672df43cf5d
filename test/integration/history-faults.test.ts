import { expect } from "chai";
import { historyNames } from "../../lib/server/redis/history-log.js";
import { Application } from "../support/application.js";
import { connectNodeRedis, type NodeRedis } from "../support/node-redis.js";
import { CONNECTING_KINDS } from "../support/redis-clients.js";
import { canStartRedis, type RedisServer, startRedis } from "../support/redis-server.js";
import type { Frame, WireClient } from "../support/wire-client.js";

const HISTORY = { "room:*": { size: 100, ttl: 60_000 } };
const ASKING = { protocol: 4, history: true };
const KINDS = CONNECTING_KINDS.filter(({ name }) => name === "node-redis 6" || name === "ioredis 6");

for (const kind of canStartRedis ? KINDS : []) {
  describe(`A channel with history on ${kind.name}`, () => {
    let redis: RedisServer;
    let operator: NodeRedis;
    let application: Application;
    const closings: (() => unknown)[] = [];

    beforeEach(async () => {
      redis = await startRedis({ own: true });
      operator = await connectOperator();
      application = await startApplication();
    });

    afterEach(async () => {
      for (const close of closings.splice(0).reverse()) await close();
      await redis.stop();
    });

    async function connectOperator(): Promise<NodeRedis> {
      const client = await connectNodeRedis(redis.url);
      client.on("error", () => {});
      closings.push(() => client.destroy());
      return client;
    }

    async function startApplication(): Promise<Application> {
      const clients = [kind.create(redis), kind.create(redis)] as const;
      for (const { client, close } of clients) {
        closings.push(close);
        (client as unknown as NodeJS.EventEmitter).on("error", () => {});
      }
      await Promise.all(clients.map(({ connect }) => connect()));
      const started = await Application.start({
        redisClient: clients[0].client,
        pubsubClient: clients[1].client,
        options: { history: HISTORY },
      });
      closings.push(() => started.stop());
      await started.tokenServer.ready();
      return started;
    }

    async function join(): Promise<{ client: WireClient; at: string }> {
      const client = await application.connect("websocket", ASKING);
      client.send({ rpc: "_subscribe", req: { channel: "room:1", since: "" }, uuid: "s1" });
      const { resp } = await client.take(({ uuid }) => uuid === "s1");
      return { client, at: (resp as { at: string }).at };
    }

    const next = (client: WireClient) => client.take((frame: Frame) => frame.channel === "room:1");

    /** Takes frames until a message; gives messages, and losses as their reasons. */
    async function until(client: WireClient, last: unknown): Promise<unknown[]> {
      const told: unknown[] = [];
      while (told.at(-1) !== last) {
        const { message, lost } = await next(client);
        told.push(lost ? (lost as { reason: string }).reason : message);
      }
      return told;
    }

    it("loses nothing where the connection for subscriptions is cut while others publish", async () => {
      const { client } = await join();
      const plain = await application.connect();
      await plain.subscribe("room:1");
      const other = await startApplication();
      for (let n = 1; n <= 60; n++) {
        await other.tokenServer.publish("room:1", n);
        if (n % 20 === 10) await operator.sendCommand(["CLIENT", "KILL", "TYPE", "pubsub"]);
      }
      const all = Array.from({ length: 60 }, (_, index) => index + 1);
      expect(await until(client, 60)).to.deep.equal(all);
      expect(await until(plain, 60)).to.deep.equal(all);
    });

    it("gives all that there is to one who asks for more", async () => {
      for (const n of [1, 2]) await application.tokenServer.publish("room:1", n);
      const client = await application.connect("websocket", ASKING);
      client.send({ rpc: "_subscribe", req: { channel: "room:1", last: 50 }, uuid: "s1" });
      const { resp } = await client.take(({ uuid }) => uuid === "s1");
      expect(resp).to.have.property("recovered", 2);
    });

    it("tells of a reset where all was deleted, and goes on", async () => {
      const { client } = await join();
      await application.tokenServer.publish("room:1", 1);
      expect(await until(client, 1)).to.deep.equal([1]);
      await operator.flushAll();
      await application.tokenServer.publish("room:1", 2);
      const { lost, at } = await next(client);
      expect(lost).to.deep.equal({ messages: null, reason: "reset" });
      expect(await next(client)).to.include({ message: 2 });
      expect(at).to.be.a("string");
      await application.tokenServer.publish("room:1", 3);
      expect(await until(client, 3)).to.deep.equal([3]);
    });

    it("tells of a reset where Redis was started again, empty", async () => {
      const { client, at } = await join();
      await redis.stop();
      await redis.start();
      for (;;) {
        const published = await application.tokenServer.publish("room:1", 1).catch(() => undefined);
        if (published) break;
      }
      const told = await until(client, 1);
      expect(told).to.include("reset");
      const late = await application.connect("websocket", ASKING);
      const { resp } = await late
        .request({ rpc: "_subscribe", req: { channel: "room:1", since: at }, uuid: "s2" })
        .then(async (frame) => ("resp" in frame ? frame : late.take(({ uuid }) => uuid === "s2")));
      expect((resp as { lost: object }).lost).to.deep.equal({ messages: null, reason: "reset" });
    });

    it("tells of what has diverged where Redis has gone back to an older copy", async () => {
      const { client } = await join();
      const { log, position } = historyNames("", "room:1");
      for (let n = 1; n <= 3; n++) await application.tokenServer.publish("room:1", n);
      const copy = { log: await dump(log), position: await dump(position) };
      const newest = await application.tokenServer.publish("room:1", 4);
      await application.tokenServer.publish("room:1", 5);
      expect(await until(client, 5)).to.deep.equal([1, 2, 3, 4, 5]);
      await restore(log, copy.log);
      await restore(position, copy.position);
      for (const n of [6, 7, 8]) await application.tokenServer.publish("room:1", n);
      expect(await until(client, 8)).to.deep.equal(["diverged", 6, 7, 8]);
      // one that was away meanwhile, on a server that has not seen it
      application = await startApplication();
      const late = await application.connect("websocket", ASKING);
      late.send({ rpc: "_subscribe", req: { channel: "room:1", since: newest }, uuid: "s1" });
      const { resp } = await late.take(({ uuid }) => uuid === "s1");
      expect((resp as { lost: object }).lost).to.deep.equal({ messages: null, reason: "diverged" });
    });

    it("counts a message once that Redis has taken late, since it answered nothing for 10 s", async () => {
      const { client } = await join();
      await application.tokenServer.publish("room:1", 1);
      await operator.sendCommand(["CLIENT", "PAUSE", "10000", "ALL"]);
      const publish = async (n: number) => {
        for (;;) {
          const at = await application.tokenServer
            .publish("room:1", n, { id: `${n}` })
            .catch(() => undefined);
          if (at) return at;
        }
      };
      const positions = await Promise.all([2, 3].map(publish));
      await publish(4);
      const told = await until(client, 4);
      expect(told.toSorted()).to.deep.equal([1, 2, 3, 4]);
      expect(positions).to.deep.equal(await Promise.all([2, 3].map(publish)));
    });

    it("says how many are lost where Redis has given up the messages, and not the position", async () => {
      const { client, at } = await join();
      for (let n = 1; n <= 3; n++) await application.tokenServer.publish("room:1", n);
      expect(await until(client, 3)).to.deep.equal([1, 2, 3]);
      await operator.del(historyNames("", "room:1").log);
      // a server that has none of them in memory
      application = await startApplication();
      expect(await recover(at)).to.deep.include({ recovered: 0, lost: { messages: 3, reason: "expired" } });
      await application.tokenServer.publish("room:1", 4);
      expect(await until(client, 4)).to.deep.equal([4]);
    });

    it("tells of a reset where Redis has given up the position, and not the messages", async () => {
      const { client } = await join();
      const at = await application.tokenServer.publish("room:1", 1);
      await application.tokenServer.publish("room:1", 2);
      expect(await until(client, 2)).to.deep.equal([1, 2]);
      await operator.del(historyNames("", "room:1").position);
      await application.tokenServer.publish("room:1", 3);
      expect(await until(client, 3)).to.deep.equal(["reset", 3]);
      application = await startApplication();
      expect(await recover(`${at}`)).to.deep.include({
        recovered: 1,
        lost: { messages: null, reason: "reset" },
      });
    });

    /** The answer to a client that comes back to a position. */
    async function recover(since: string): Promise<unknown> {
      const late = await application.connect("websocket", ASKING);
      late.send({ rpc: "_subscribe", req: { channel: "room:1", since }, uuid: "s1" });
      return (await late.take(({ uuid }) => uuid === "s1")).resp;
    }

    async function dump(key: string): Promise<Buffer> {
      return (await operator.withTypeMapping({ 36: Buffer }).dump(key)) as unknown as Buffer;
    }

    async function restore(key: string, value: Buffer): Promise<void> {
      await operator.sendCommand(["RESTORE", key, "0", value as unknown as string, "REPLACE"]);
    }

    const FAILURES: Record<string, { begin: string[]; end: string[]; error: RegExp }> = {
      "is full": {
        begin: ["CONFIG", "SET", "maxmemory", "1"],
        end: ["CONFIG", "SET", "maxmemory", "0"],
        error: /OOM/,
      },
      "takes no writes": {
        begin: ["REPLICAOF", "127.0.0.1", "1"],
        end: ["REPLICAOF", "NO", "ONE"],
        error: /READONLY/,
      },
    };

    for (const [name, { begin, end, error }] of Object.entries(FAILURES)) {
      it(`sends nothing that it cannot keep, since Redis ${name}`, async () => {
        const { client } = await join();
        await application.tokenServer.publish("room:1", 1);
        await operator.sendCommand(begin);
        const failure = await application.tokenServer.publish("room:1", 2).catch((error: Error) => error);
        expect(failure).to.be.instanceOf(Error).with.property("message").that.matches(error);
        const reply = await client.request({ rpc: "_publish", req: { channel: "room:1", data: 2 } });
        expect(reply.error).to.have.property("code", "unavailable");
        await operator.sendCommand(end);
        await application.tokenServer.publish("room:1", 3);
        expect(await until(client, 3)).to.deep.equal([1, 3]);
      });
    }
  });
}
