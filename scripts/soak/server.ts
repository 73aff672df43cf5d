/** The server of the soak, in a process of its own, so that its memory is its alone. Told what to do by messages. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import { createClient } from "redis";
import sockjs from "sockjs";
import { TokenSocketServer } from "../../lib/index.js";
import { collectGarbage, takeSample } from "../measured/sample.js";
import type { Counts, Order, SoakSample, Told } from "./messages.js";

/** How many clients the server itself calls each second, for each thousand that are there. */
const CALLS_PER_THOUSAND = 100;

/** How often the tests of slow readers publish, in milliseconds, and how much. */
const FLOOD_INTERVAL = 100;
const FLOOD_BYTES = 16_384;

if (!globalThis.gc || !process.send) throw new Error("The soak's server is started by the soak");

const url = process.env.REDIS_URL ?? "";
const [redisClient, pubsubClient] = [1, 2].map(() =>
  createClient({ url, socket: { reconnectStrategy: 200 } }),
);
if (!redisClient || !pubsubClient) throw new Error("There are no Redis clients");

const app = express();
const http = createServer(app);
const socketServer = sockjs.createServer({ log: () => {} });
const quiet = () => {};
const tokenServer = new TokenSocketServer(app, redisClient, socketServer, {
  pubsubClient,
  logger: { error: quiet, warn: quiet, info: quiet, debug: quiet },
  authentication: () => ({ name: "soak" }),
  slowReaders: { ticker: "latest" },
  limits: { bufferedBytes: Number(process.env.BUFFERED_BYTES ?? 1_048_576) },
  // who reads nothing gives no sign of life either, and would be gone before it shows what waits for it
  heartbeat: process.env.BUFFERED_BYTES ? false : 25_000,
  socketController: {
    echo: (_auth: unknown, data: unknown) => data,
    later: async (_auth: unknown, data: unknown) => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      return data;
    },
  },
});
const calls: Counts = { answered: 0, failed: 0 };
tokenServer.on("error", quiet);

tokenServer.attach(http);
http.listen(0, "127.0.0.1");
await Promise.all([once(http, "listening"), redisClient.connect(), pubsubClient.connect()]);
await tokenServer.ready();

const callTimer = setInterval(() => {
  const sockets = tokenServer.sockets().filter((socket) => socket.auth);
  for (let count = Math.ceil((sockets.length * CALLS_PER_THOUSAND) / 1000); count > 0; count--) {
    const socket = sockets[Math.floor(Math.random() * sockets.length)];
    if (!socket) return;
    tokenServer.rpc(socket, "answer", { count }, { timeout: 10_000 }).then(
      () => calls.answered++,
      () => calls.failed++,
    );
  }
}, 1000);

let floodTimer: NodeJS.Timeout | undefined;

/** Publishes much, for readers that do not read. */
function flood(): void {
  const filling = "x".repeat(FLOOD_BYTES);
  floodTimer = setInterval(() => {
    for (const channel of ["ticker", "firehose"]) {
      tokenServer.publish(channel, { at: Date.now(), filling }).catch(quiet);
    }
  }, FLOOD_INTERVAL);
}

async function sample(): Promise<SoakSample> {
  await collectGarbage();
  const taken = takeSample(tokenServer, [redisClient, pubsubClient, http, socketServer]);
  return { ...taken, calls: { ...calls } };
}

async function stop(): Promise<void> {
  clearInterval(callTimer);
  clearInterval(floodTimer);
  await tokenServer.shutdown();
  http.close();
  http.closeAllConnections();
  redisClient?.destroy();
  pubsubClient?.destroy();
  process.disconnect();
}

const tell = (told: Told) => process.send?.(told);

process.on("message", (order: Order) => {
  if (order === "sample") void sample().then((taken) => tell({ type: "sample", sample: taken }));
  else if (order === "flood") flood();
  else if (order === "calm") clearInterval(floodTimer);
  else void stop();
});
process.on("disconnect", () => clearInterval(callTimer));
tell({ type: "url", url: `http://127.0.0.1:${(http.address() as AddressInfo).port}` });
