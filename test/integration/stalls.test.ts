import { once } from "node:events";
import { type AddressInfo, connect } from "node:net";
import { Worker } from "node:worker_threads";
import { expect } from "chai";
import { Application } from "../support/application.js";
import { overhear } from "../support/http-events.js";
import { connectNodeRedis } from "../support/node-redis.js";
import { startRedis } from "../support/redis-server.js";

/** How long the event loop is blocked, in milliseconds: several times each of the limits. */
const STALL = 400;
const LIMIT = 60;

/** A client in a thread of its own, which answers while the server's event loop is blocked. */
const CLIENT = `
  const { parentPort, workerData } = require("node:worker_threads");
  const { WebSocket } = require("ws");
  const socket = new WebSocket(workerData.url);
  socket.on("open", () => socket.send(JSON.stringify({ rpc: "auth", token: workerData.token })));
  socket.on("message", (text) => {
    const { internal, data } = JSON.parse(text);
    if (!internal) return;
    const answer = JSON.stringify({ rpc: "_rpc", fid: data.fid, resp: { data: data.args } });
    setTimeout(() => socket.send(answer), workerData.wait);
  });
  parentPort.on("message", () => socket.close());
  socket.on("close", () => parentPort.close());
`;

function stall(): void {
  const end = performance.now() + STALL;
  while (performance.now() < end);
}

describe("An event loop that was blocked past a time limit", () => {
  let application: Application;

  afterEach(() => application.stop());

  it("takes a client's answer that has come meanwhile", async () => {
    application = await Application.start();
    const url = `${application.url.replace("http", "ws")}/sockets/websocket`;
    const authenticated = once(application.tokenServer, "authenticated");
    const workerData = { url, token: await application.token(), wait: STALL / 4 };
    const client = new Worker(CLIENT, { eval: true, workerData });
    await authenticated;
    const call = application.tokenServer.rpc(application.socket(), "echo", 7, { timeout: LIMIT });
    // when the call has been written
    setImmediate(() => setImmediate(stall));
    expect(await call).to.equal(7);
    client.postMessage("end");
    await once(client, "exit");
  });

  it("takes what Redis has answered meanwhile, at the token route", async () => {
    const redis = await startRedis();
    const client = await connectNodeRedis(redis.url);
    application = await Application.start({
      redisClient: client,
      options: {
        limits: { redisTimeout: LIMIT },
        authentication: () => {
          // when the token has been sent to Redis
          setImmediate(() => setImmediate(stall));
          return { name: "alice" };
        },
      },
    });
    expect(await application.token()).to.be.a("string");
    client.destroy();
    await redis.stop();
  });

  it("takes the rest of a body that has come meanwhile", async () => {
    application = await Application.start({ options: { limits: { bodyTimeout: LIMIT } } });
    const { port } = application.http.address() as AddressInfo;
    const requests = overhear(application.http);
    const exchange = async (path: string) => {
      const socket = connect(port, "127.0.0.1").setEncoding("utf8");
      let answer = "";
      socket.on("data", (text: string) => {
        answer += text;
      });
      const arrived = once(requests, "request");
      socket.write(
        `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n`,
      );
      await arrived;
      // the time of the body has begun, and the system takes the rest of it while this blocks the event loop
      socket.write("{}");
      stall();
      await once(socket, "close");
      return answer.split("\r\n")[0];
    };
    for (const path of ["/socket/token", "/sockets/1/session/xhr"]) {
      expect(await exchange(path), path).to.equal("HTTP/1.1 200 OK");
    }
  });
});
