import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { TokenSocket } from "../../lib/client/index.js";
import { memoryRedis } from "../../lib/memory.js";
import { Application } from "../support/application.js";
import { Balancer } from "../support/balancer.js";

const CLIENTS = 40;
/** A sixth of it is left for the calls of those that are asked last. */
const DRAIN_TIME = 6000;
const BUCKETS = 6;

const portOf = ({ http }: Application) => (http.address() as AddressInfo).port;

describe("A rolling restart of two servers under load", () => {
  it("loses no call, and spreads the clients that come back", async function () {
    this.timeout(60_000);
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
    let isOver = false;
    const lost: unknown[] = [];
    // each has a call under way at any time, and half of them have two, so that they never come to rest
    const callers = [...clients, ...clients.slice(CLIENTS / 2)];
    const load = Promise.all(
      callers.map(async (client) => {
        for (let number = 0; !isOver; number++) {
          try {
            expect(await client.rpc("echo", number)).to.equal(number);
            answered++;
          } catch (error) {
            lost.push(error);
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
    console.log(`      ${answered} calls answered; clients back, by ${width} ms:`);
    for (const { length } of buckets) console.log(`      ${"#".repeat(length)} ${length}`);
    expect(lost).to.deep.equal([]);
    expect(answered).to.be.above(callers.length);
    // by even turns over 4000 ms: that the middle half comes back within 200 ms is as good as impossible
    const sorted = returned.sort((a, b) => a - b);
    const [from = 0, to = 0] = [0.25, 0.75].map((part) => sorted[Math.floor(part * sorted.length)]);
    expect(to - from).to.be.above(200);

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
