/** The server that is fuzzed, in a process of its own, so that its end is seen and its memory is its alone. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import { createClient } from "redis";
import sockjs from "sockjs";
import { TokenSocketServer } from "../../lib/index.js";
import { addGuards, fuzzedOptions } from "../../test/support/fuzz/fuzzed-server.js";
import { collectGarbage, takeSample } from "../measured/sample.js";
import type { ServerOrder, ServerTold } from "./messages.js";

/** How often the server does something by itself, and how often another one starts beside it, in milliseconds. */
const DOING_INTERVAL = 50;
const START_INTERVAL = 3_000;

if (!globalThis.gc || !process.send) throw new Error("The fuzzer's server is started by the fuzzer");

const {
  REDIS_URL: url = "",
  CHANNEL_PREFIX: channelPrefix = "",
  TOKEN_PREFIX: tokenPrefix = "",
} = process.env;
const redisClient = createClient({ url });
const pubsubClient = createClient({ url });
const quiet = () => {};

const options = {
  ...fuzzedOptions,
  channelPrefix,
  tokenPrefix,
  pubsubClient,
  logger: { error: quiet, warn: quiet, info: quiet, debug: quiet },
};

function makeServer() {
  const app = express();
  // sessions of HTTP transports are forgotten soon, so that those that follow find others
  const socketServer = sockjs.createServer({ log: quiet, disconnect_delay: 300 });
  const tokenServer = new TokenSocketServer(app, redisClient, socketServer, options);
  tokenServer.on("error", quiet);
  return { app, socketServer, tokenServer };
}

const { app, socketServer, tokenServer } = makeServer();
addGuards(tokenServer);
const http = createServer(app);
tokenServer.attach(http);
http.listen(0, "127.0.0.1");
await Promise.all([once(http, "listening"), redisClient.connect(), pubsubClient.connect()]);
await tokenServer.ready();

const DOINGS: readonly (() => Promise<unknown>)[] = [
  async () => {
    const sockets = tokenServer.sockets();
    const socket = sockets[Math.floor(Math.random() * sockets.length)];
    if (socket) await tokenServer.rpc(socket, "some.function", { a: 1 }, { timeout: 2_000 });
  },
  () => tokenServer.refresh({ identity: "fuzzer" }),
  () => tokenServer.publish("a", { at: 1 }),
  () => tokenServer.broadcast("to all"),
  () => tokenServer.unsubscribeAll("a"),
  () => tokenServer.disconnect({ sid: "nobody" }),
];

/** What it does by itself, and has not ended. */
const underWay = new Set<Promise<unknown>>();
let rests = false;

function begin(act: () => Promise<unknown>): void {
  if (rests) return;
  const ended = act()
    .catch(quiet)
    .finally(() => underWay.delete(ended));
  underWay.add(ended);
}

let doings = 0;
const doing = setInterval(() => {
  const act = DOINGS[doings++ % DOINGS.length];
  if (act) begin(act);
}, DOING_INTERVAL);

/** On its start a server reads what was revoked while it was away, which others may have put there. */
async function startAnother(): Promise<void> {
  const other = makeServer();
  await other.tokenServer.ready();
  await other.tokenServer.shutdown();
}

const starting = setInterval(() => begin(startAnother), START_INTERVAL);

// whoever has started it is gone
const onAlone = () => process.exit(1);
process.on("disconnect", onAlone);

async function stop(): Promise<void> {
  process.off("disconnect", onAlone);
  clearInterval(doing);
  clearInterval(starting);
  await tokenServer.shutdown();
  http.close();
  http.closeAllConnections();
  redisClient.destroy();
  pubsubClient.destroy();
  process.disconnect();
}

const tell = (told: ServerTold) => process.send?.(told);

process.on("message", async (order: ServerOrder) => {
  if (order === "stop") return stop();
  rests = order === "rest" || (rests && order === "sample");
  if (order === "go on") return;
  if (order === "rest") {
    await Promise.all(underWay);
    tell({ type: "rests" });
    return;
  }
  await collectGarbage();
  tell({ type: "sample", sample: takeSample(tokenServer, [redisClient, pubsubClient, http, socketServer]) });
});
tell({ type: "url", url: `http://127.0.0.1:${(http.address() as AddressInfo).port}` });
