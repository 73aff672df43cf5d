import { expect } from "chai";
import { type Loss, TokenSocket } from "../../lib/client/index.js";
import { historyNames } from "../../lib/server/redis/history-log.js";
import { inState } from "../client/behaviour/helpers.js";
import { until } from "../support/condition.js";
import { startOn } from "../support/kind-application.js";
import { connectNodeRedis, type NodeRedis } from "../support/node-redis.js";
import { CONNECTING_KINDS } from "../support/redis-clients.js";
import { canStartRedis, type RedisServer, startRedis } from "../support/redis-server.js";
import { SeverableLine } from "../support/severable-line.js";

const KINDS = CONNECTING_KINDS.filter(({ name }) => name === "node-redis 6" || name === "ioredis 6");

const { position } = historyNames("", "room:1");

describe("A channel with history whose Redis fails over", function () {
  if (!canStartRedis) return;
  this.timeout(60_000);

  const cleanups: (() => unknown)[] = [];

  afterEach(async () => {
    for (const clean of cleanups.splice(0).reverse()) await clean();
  });

  async function startOwn(): Promise<{ server: RedisServer; operator: NodeRedis }> {
    const server = await startRedis({ own: true });
    cleanups.push(() => server.stop());
    const operator = await connectNodeRedis(server.url);
    operator.on("error", () => {});
    cleanups.push(() => operator.destroy());
    return { server, operator };
  }

  for (const kind of KINDS) {
    it(`to a replica that lacks the newest messages tells each client so, and goes on, with ${kind.name}`, async () => {
      const [primary, replica] = await Promise.all([startOwn(), startOwn()]);
      const replication = await SeverableLine.to(primary.server.port);
      const address = await SeverableLine.to(primary.server.port);
      cleanups.push(
        () => replication.sever(),
        () => address.sever(),
      );
      await replica.operator.sendCommand(["REPLICAOF", replication.host, String(replication.port)]);

      const history = { "room:*": { size: 100, ttl: 60_000 } };
      const application = await startOn(kind, address, cleanups, { history });
      const { tokenServer } = application;

      /** A client with a line of its own, and all that it hears. */
      const join = async (options?: { last: number }) => {
        const line = await SeverableLine.to(Number(new URL(application.url).port));
        const socket = new TokenSocket({ host: line.url.replace("redis", "http"), sockjs: false });
        const heard: unknown[] = [];
        socket.onmessage((_channel, message) => heard.push(message));
        socket.on("lost", (_channel, loss: Loss) => heard.push(loss));
        cleanups.push(
          () => line.sever(),
          () => socket.end(),
        );
        await socket.subscribe("room:1", options);
        return { line, socket, heard };
      };
      const publish = async (...messages: number[]) => {
        for (const message of messages) await tokenServer.publish("room:1", message);
      };

      const [alice, bob] = [await join(), await join()];
      await publish(1, 2, 3);
      const known = await primary.operator.get(position);
      await until(async () => (await replica.operator.get(position)) === known);
      await replication.sever();
      await publish(4, 5);
      await until(() => bob.heard.length === 5);
      const waits = inState(bob.socket, "waiting");
      await bob.line.sever();
      await waits;
      await publish(6);
      await until(() => alice.heard.length === 6);

      await primary.server.stop();
      await replica.operator.sendCommand(["REPLICAOF", "NO", "ONE"]);
      address.moveTo(replica.server.port);
      await until(() => tokenServer.health().ready);
      await publish(7, 8);
      const diverged = { messages: null, reason: "diverged" };
      await until(() => alice.heard.at(-1) === 8);
      expect(alice.heard).to.deep.equal([1, 2, 3, 4, 5, 6, diverged, 7, 8]);
      await bob.line.mend();
      await until(() => bob.heard.at(-1) === 8);
      expect(bob.heard).to.deep.equal([1, 2, 3, 4, 5, diverged, 7, 8]);
      const carol = await join({ last: 10 });
      await until(() => carol.heard.at(-1) === 8);
      expect(carol.heard).to.deep.equal([1, 2, 3, 7, 8]);
    });
  }
});
