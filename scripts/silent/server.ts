/** The server of sockets that never read, in a process of its own, so that its memory is its alone. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import { createClient } from "redis";
import sockjs from "sockjs";
import { TokenSocketServer } from "../../lib/index.js";
import { collectGarbage, takeSample } from "../measured/sample.js";
import { now, type Order, POLICIES, PROMPT, type State, type Told } from "./messages.js";

/** How often is published on the channel of those that read alone, and on each of the others, in milliseconds. */
const PROMPT_INTERVAL = 100;
const INTERVAL = 3_000;
/** Longer than the run: what gives up clients that are silent does not come before the policies. */
const NEVER = 3_600_000;

if (!globalThis.gc || !process.send) throw new Error("This server is started by a run");

const {
  REDIS_URL: url = "",
  BUFFERED_BYTES: bufferedBytes,
  MESSAGE_BYTES: messageBytes,
  SECONDS: seconds,
} = process.env;
const redisClient = createClient({ url });
const pubsubClient = createClient({ url });
const quiet = () => {};
const app = express();
const http = createServer(app);
const socketServer = sockjs.createServer({
  log: quiet,
  heartbeat_delay: NEVER,
  // outlasts what is published, and ends soon after
  disconnect_delay: Number(seconds) * 1000 + 120_000,
});
const tokenServer = new TokenSocketServer(app, redisClient, socketServer, {
  pubsubClient,
  logger: { error: quiet, warn: quiet, info: quiet, debug: quiet },
  authentication: () => ({ name: "silent" }),
  slowReaders: { dropOldest: "dropOldest", latest: "latest" },
  limits: { bufferedBytes: Number(bufferedBytes) },
  heartbeat: false,
});
tokenServer.on("error", quiet);
tokenServer.attach(http);
http.listen(0, "127.0.0.1", 4096);
await Promise.all([once(http, "listening"), redisClient.connect(), pubsubClient.connect()]);
await tokenServer.ready();

const filling = "x".repeat(Number(messageBytes));
const timers: NodeJS.Timeout[] = [];
let count = 0;
let published = 0;

function publish(): void {
  const send = (channel: string, data: object) => {
    tokenServer.publish(channel, { at: now(), seq: ++count, ...data }).catch(quiet);
  };
  const toPrompt = () => {
    published++;
    send(PROMPT, {});
  };
  timers.push(setInterval(toPrompt, PROMPT_INTERVAL));
  // one after the other, and not all at once
  let turn = 0;
  const next = () => send(POLICIES[turn++ % POLICIES.length] ?? PROMPT, { filling });
  timers.push(setInterval(next, INTERVAL / POLICIES.length));
}

function calm(): void {
  for (const timer of timers.splice(0)) clearInterval(timer);
}

function state(): State {
  const { rss, heapUsed, external } = process.memoryUsage();
  const sockets = POLICIES.map((policy) => [policy, tokenServer.channelSockets(policy).length]);
  return { rss, heap: heapUsed, external, sockets: Object.fromEntries(sockets), published };
}

// whoever has started it is gone
const onAlone = () => process.exit(1);
process.on("disconnect", onAlone);

async function stop(): Promise<void> {
  process.off("disconnect", onAlone);
  calm();
  await tokenServer.shutdown();
  http.close();
  http.closeAllConnections();
  redisClient.destroy();
  pubsubClient.destroy();
  process.disconnect();
}

const tell = (told: Told) => process.send?.(told);

process.on("message", async (order: Order) => {
  if (order === "publish") publish();
  else if (order === "calm") calm();
  else if (order === "state") tell({ type: "state", state: state() });
  else if (order === "stop") await stop();
  else {
    await collectGarbage();
    tell({
      type: "sample",
      sample: takeSample(tokenServer, [redisClient, pubsubClient, http, socketServer]),
    });
  }
});
tell({ type: "url", url: `http://127.0.0.1:${(http.address() as AddressInfo).port}` });
