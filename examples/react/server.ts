import { randomBytes, randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import session from "express-session";
import { TokenSocketServer } from "node-token-sockjs";
import { memoryRedis } from "node-token-sockjs/memory";
import { createClient } from "redis";
import sockjs from "sockjs";
import { channels, controller, notes, type Visitor } from "./controller.js";
import { pageFiles } from "./page-files.js";

declare module "express-session" {
  interface SessionData {
    auth: Visitor;
  }
}

const {
  HOST = "localhost",
  PORT = "3000",
  // without it, this process keeps all in memory
  REDIS_URL,
  SESSION_SECRET = randomBytes(32).toString("hex"),
} = process.env;

const COLORS = ["Amber", "Blue", "Coral", "Green", "Ivory", "Jade", "Plum", "Silver"];
const ANIMALS = ["Badger", "Crane", "Dolphin", "Fox", "Heron", "Lynx", "Otter", "Wren"];

const pick = (list: readonly string[]) => list[randomInt(list.length)];

// ---- An Express application as any other ------------------------------------------------------------------

const app = express();
app.disable("x-powered-by");
app.use((_req, res, next) => {
  res.set({
    "Content-Security-Policy":
      "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
  });
  next();
});

const files = await pageFiles();
app.use((req, res, next) => {
  const name = req.path === "/" ? "index.html" : req.path.slice(1);
  const file = files.get(name);
  if (file) res.type(name).send(Buffer.from(file));
  else next();
});

app.use(
  session({
    name: "dashboard.sid",
    secret: SESSION_SECRET,
    resave: false,
    saveUninitialized: false,
    cookie: { httpOnly: true, sameSite: "lax", secure: "auto" },
  }),
);
app.use((req, _res, next) => {
  // there is no login here: each browser gets a name; the property becomes the socket's `auth`
  req.session.auth ??= { name: `${pick(COLORS)} ${pick(ANIMALS)}` };
  next();
});

// ---- The sockets ------------------------------------------------------------------------------------------

const sockets = sockjs.createServer({ log: () => {} });
// a client that has subscribed serves nothing else, so there are two
const clients = REDIS_URL ? [createClient({ url: REDIS_URL }), createClient({ url: REDIS_URL })] : [];
for (const client of clients) {
  // TokenSocketServer reports the errors as long as it runs; without any listener one would end the process
  client.on("error", () => {});
  await client.connect();
}
const [redisClient = memoryRedis(), pubsubClient = redisClient] = clients;
const tokenServer = new TokenSocketServer<Visitor>(app, redisClient, sockets, {
  pubsubClient,
  socketController: controller,
  channels,
  // what visitors get who come later, or come back
  history: { reactions: { size: 100, ttl: 3_600_000 } },
  // pages ask now and then whether the connection is still alive
  ping: true,
  serveClient: false,
});

tokenServer.on("subscribe", (_socket, { channel }) => channel in channels);
tokenServer.on("publish", (socket, request) => {
  // the other channel is the server's own
  if (request.channel !== "reactions") return false;
  request.data = { ...(request.data as object), from: socket.auth.name };
  return true;
});
tokenServer.on("broadcast", () => false);

notes.on("changed", (count) => tokenServer.publish("notes", { count }));

// ---- Start and end ----------------------------------------------------------------------------------------

const server = createServer(app);
tokenServer.attach(server);
await tokenServer.ready();
server.listen(Number(PORT), HOST, () => {
  console.log(`The dashboard is on http://${HOST}:${(server.address() as AddressInfo).port}`);
});

async function stop(end: () => Promise<void>) {
  const closed = once(server, "close");
  // first, so that a proxy sends clients to the other servers
  server.close();
  await end();
  server.closeAllConnections();
  await closed;
  await Promise.all(clients.map((client) => client.close()));
}
process.once("SIGTERM", () => stop(() => tokenServer.drain()));
// Ctrl+C ends it at once
process.once("SIGINT", () => stop(() => tokenServer.shutdown()));
