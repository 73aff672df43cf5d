import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { DisconnectedError, TokenSocket } from "../../lib/client/index.js";
import { memoryRedis } from "../../lib/memory.js";
import { Application } from "../support/application.js";
import { Balancer } from "../support/balancer.js";

const CLIENTS = 60;
const DRAIN_TIME = 900;
const BUCKETS = 6;

const portOf = ({ http }: Application) => (http.address() as AddressInfo).port;

describe("A rolling restart of two servers under load", () => {
  it("leaves no call without an answer or an error, and spreads the clients that come back", async function () {
    this.timeout(30_000);
    const store = memoryRedis();
    const servers: Application[] = [];
    const start = async () => {
      const server = await Application.start({
        redisClient: store,
        pubsubClient: store,
        options: { socketController: { echo: async (_auth, data) => data } },
      });
      servers.push(server);
      return server;
    };
    const balancer = new Balancer();
    const [a, b] = [await start(), await start()];
    balancer.use(portOf(a), portOf(b));
    const host = await balancer.start();
    const clients = Array.from(
      { length: CLIENTS },
      () =>
        new TokenSocket({ host, sockjs: false, backoff: { min: 100, max: 200 }, webSocketTimeout: 30_000 }),
    );
    await Promise.all(clients.map((client) => client.subscribe("room")));

    let answered = 0;
    let lost = 0;
    let isOver = false;
    const load = Promise.all(
      clients.map(async (client) => {
        for (let number = 0; !isOver; number++) {
          try {
            expect(await client.rpc("echo", number)).to.equal(number);
            answered++;
          } catch (error) {
            // one that was sent in the moment in which its server closed
            expect(error).to.be.instanceOf(DisconnectedError).with.property("sent", true);
            lost++;
          }
        }
      }),
    );

    const returned: number[] = [];
    const replace = async (old: Application, stays: Application) => {
      const begin = performance.now();
      const note = () => returned.push(performance.now() - begin);
      stays.tokenServer.on("authenticated", note);
      const rest = clients.length - stays.tokenServer.channelSockets("room").length;
      balancer.use(portOf(stays));
      await old.tokenServer.drain({ timeout: DRAIN_TIME });
      old.http.close();
      old.http.closeIdleConnections();
      while (stays.tokenServer.channelSockets("room").length < clients.length) {
        await once(stays.tokenServer, "subscribed");
      }
      stays.tokenServer.off("authenticated", note);
      return rest;
    };
    const first = await replace(a, b);
    const c = await start();
    balancer.use(portOf(b), portOf(c));
    const second = await replace(b, c);
    isOver = true;
    await load;

    expect(returned).to.have.length(first + second);
    const width = DRAIN_TIME / BUCKETS;
    const buckets = Array.from({ length: BUCKETS }, (_, index) =>
      returned.filter((time) => Math.min(Math.floor(time / width), BUCKETS - 1) === index),
    );
    console.log(`      ${answered} calls answered, ${lost} ended by an error; clients back, by ${width} ms:`);
    for (const { length } of buckets) console.log(`      ${"#".repeat(length)} ${length}`);
    expect(answered).to.be.above(clients.length);
    // by even turns over 600 ms: that most come back in one of six parts is as good as impossible
    expect(Math.max(...buckets.map(({ length }) => length))).to.be.below(0.8 * returned.length);

    const heard = Promise.all(
      clients.map((client) => new Promise((resolve) => client.once("message", resolve))),
    );
    await c.tokenServer.publish("room", "all are here");
    await heard;
    await Promise.all(clients.map((client) => client.end()));
    await balancer.stop();
    await Promise.all(servers.map((server) => server.stop()));
  });
});
