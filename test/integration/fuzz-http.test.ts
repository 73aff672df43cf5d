import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import fc from "fast-check";
import { Application } from "../support/application.js";
import { until } from "../support/condition.js";
import { addGuards, fuzzedOptions } from "../support/fuzz/fuzzed-server.js";
import { checkAll, printSeed } from "../support/fuzz/seed.js";
import { pay, type Visit, visits } from "../support/fuzz/visits.js";
import { Witness } from "../support/fuzz/witness.js";

/** How many connections there may be at once: enough for one run, and few enough that what is not given back is missed. */
const CONNECTIONS = 40;

describe("arbitrary requests, upgrades and bytes", () => {
  let application: Application;
  let witness: Witness;
  let second: Server;
  const ports: number[] = [];

  before(async () => {
    application = await Application.start({
      // behind a body that the application does not read, only a heartbeat finds out that a streaming client is gone
      options: { ...fuzzedOptions, limits: { connectionsPerIp: CONNECTIONS }, heartbeat: 1000 },
      sockjs: { disconnect_delay: 30 },
      // Express prints what is wrong with a request otherwise
      prepare: (app) => app.set("env", "test"),
    });
    addGuards(application.tokenServer);
    second = createServer(application.app);
    application.tokenServer.attach(second);
    second.listen(0, "127.0.0.1");
    await once(second, "listening");
    for (const server of [application.http, second]) ports.push((server.address() as AddressInfo).port);
    witness = await Witness.of(application);
  });

  after(async () => {
    second.close();
    second.closeAllConnections();
    await witness.end();
  });

  afterEach(printSeed);

  const count = (server: Server) =>
    new Promise<number>((resolve, reject) =>
      server.getConnections((error, connections) => (error ? reject(error) : resolve(connections))),
    );

  it("are answered or closed, and harm nobody", async () => {
    // some at a time, which meet in the same sessions
    await checkAll(fc.array(visits, { minLength: 8, maxLength: 24 }), async (crowd: Visit[]) => {
      const used = await application.token();
      const good = await Promise.all([1, 2, 3].map(() => application.token()));
      await Promise.all(
        crowd.map((visit, index) => pay(ports[index % ports.length] ?? 0, visit, { good, used })),
      );
      await witness.check();
      // Node.js reads no more of a connection whose upgrade was pipelined behind an unread body: that its client is gone
      // shows when the time for a farewell is over
      await until(async () => (await count(second)) === 0);
    });
  });

  it("leave no place taken", async () => {
    // SockJS forgets a session a moment after its last request
    await until(() => application.tokenServer.sockets().length === 1);
    // a handshake that is under way has a place, too, and no socket yet; until all are given back this takes its time
    for (let isFull = true; isFull; ) {
      const opening = Array.from({ length: CONNECTIONS - 1 }, () => application.open());
      const opened = await Promise.allSettled(opening);
      isFull = opened.some(({ status }) => status === "rejected");
      await Promise.all(opened.map((client) => client.status === "fulfilled" && client.value.end()));
      await until(() => application.tokenServer.sockets().length === 1);
    }
    await witness.check();
  });
});
