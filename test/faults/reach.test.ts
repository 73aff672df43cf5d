import { join } from "node:path";
import { expect } from "chai";
import { until } from "../support/condition.js";
import { freeze } from "../support/frozen-process.js";
import { canStartRedis, type RedisServer, startRedis } from "../support/redis-server.js";
import { RemoteProcess } from "../support/remote-process.js";
import { WireClient } from "../support/wire-client.js";
import type { ServerFunctions } from "./server.js";

type Server = RemoteProcess<ServerFunctions>;

/** More than the test may take, in milliseconds: nobody may wait for it. */
const FOREVER = 600_000;

(canStartRedis ? describe : describe.skip)(
  "A user on three servers, of which one is stopped and one is killed",
  function () {
    this.timeout(120_000);

    let redis: RedisServer;
    let servers: Server[] = [];
    const cleanups: (() => unknown)[] = [];

    beforeEach(async () => {
      redis = await startRedis({ own: true });
      cleanups.push(() => redis.stop());
      const start = (NAME: string) =>
        RemoteProcess.start<ServerFunctions>(join(import.meta.dirname, "server.ts"), {
          NAME,
          REDIS_URL: redis.url,
        });
      servers = await Promise.all(["a", "b", "c"].map(start));
      cleanups.push(() => Promise.all(servers.map((server) => server.kill())));
    });
    afterEach(async () => {
      for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
    });

    /** Connects a client of a user to a server, which answers each call with a name. */
    async function connect(server: Server, user: string, answer: string): Promise<void> {
      const url = await server.call("url");
      const response = await fetch(`${url}/socket/token?name=${user}`);
      const { token } = (await response.json()) as { token: string };
      const client = new WireClient(`${url}/sockets`, "raw-websocket");
      cleanups.push(() => client.end());
      await client.opened;
      expect(await client.request({ rpc: "auth", token, protocol: 4 })).to.have.property("resp", "success");
      void (async () => {
        for (;;) {
          const call = await client.takeCall().catch(() => undefined);
          if (!call) return;
          client.send({ rpc: "_rpc", fid: call.fid, resp: { data: answer } });
        }
      })();
    }

    it("is asked where it can be, the others are named, and the next call does not wait for them", async () => {
      const [a, b, c] = servers as [Server, Server, Server];
      for (const [index, server] of servers.entries()) await connect(server, "alice", `client ${index}`);
      await connect(a, "bob", "bob");
      const [idOfA, idOfB, idOfC] = await Promise.all(
        servers.map(async (server) => (await server.call("health")).id),
      );
      const all = await a.call("ask", "alice", FOREVER);
      expect(all).to.deep.include({
        values: { [`${idOfA}`]: "client 0", [`${idOfB}`]: "client 1", [`${idOfC}`]: "client 2" },
        missing: [],
      });
      const goOn = await freeze(b.pid);
      let resuming: Promise<void> | undefined;
      const resume = () => (resuming ??= goOn());
      cleanups.push(resume);
      await c.kill();
      const first = await a.call("ask", "alice", FOREVER);
      expect(first.values).to.deep.equal({ [`${idOfA}`]: "client 0" });
      expect(first.missing).to.have.members([idOfB, idOfC]);
      let quick = 0;
      // for the registry a server that is stopped is alive for 15 s
      for (let i = 0; i < 5; i++) {
        const next = await a.call("ask", "alice", FOREVER);
        expect(next.values).to.deep.equal({ [`${idOfA}`]: "client 0" });
        expect(next.missing).to.include.members([idOfB]);
        if (next.isQuick) quick++;
      }
      expect(quick).to.be.above(0);
      // who is on no such server is reached as ever
      expect((await a.call("ask", "bob", FOREVER)).values).to.deep.equal({ [`${idOfA}`]: "bob" });
      await resume();
      await until(async () => {
        const { values, missing } = await a.call("ask", "alice", FOREVER);
        return values[`${idOfB}`] === "client 1" && !missing.includes(`${idOfB}`);
      });
    });
  },
);
