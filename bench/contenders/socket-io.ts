import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import express from "express";
import { createClient } from "redis";
import { Server, type Socket } from "socket.io";
import { CLIENT_FUNCTION, functionNames, serve, setup } from "./serve.js";

/** As long as a token of this package, in seconds. */
const TOKEN_TTL = 30;
const PATIENCE = 30_000;

const connect = async () => {
  const client = createClient({ socket: { host: "127.0.0.1", port: Number(setup.redis) } });
  client.on("error", () => {});
  await client.connect();
  return client;
};

const [tokens, publisher, subscriber] = await Promise.all([connect(), connect(), connect()]);
const app = express();
const http = createServer(app);
const io = new Server(http, {
  transports: ["websocket"],
  ...(setup.recovery
    ? { adapter: createStreamsAdapter(publisher), connectionStateRecovery: {} }
    : { adapter: createAdapter(publisher, subscriber) }),
});

app.get("/login", async (_req, res) => {
  const token = randomUUID();
  await tokens.set(`token:${token}`, JSON.stringify({ name: "bench" }), { EX: TOKEN_TTL });
  res.json({ token });
});

io.use(async (socket, next) => {
  const auth = await tokens.getDel(`token:${socket.handshake.auth.token}`);
  if (auth === null) return next(new Error("Token not found"));
  socket.data.auth = JSON.parse(auth);
  next();
});

const echo = (data: unknown, answer: (data: unknown) => void) => answer(data);

io.on("connection", (socket: Socket) => {
  socket.on("subscribe", async (channel: string, done: () => void) => {
    await socket.join(channel);
    done();
  });
  socket.on("unsubscribe", async (channel: string, done: () => void) => {
    await socket.leave(channel);
    done();
  });
  for (const name of functionNames) socket.on(name, echo);
});

await serve({
  http,
  publish: (channel, message) => io.to(channel).emit("message", channel, message),
  clients: () =>
    [...io.sockets.sockets.values()].map(
      (socket) => (data) => socket.timeout(PATIENCE).emitWithAck(CLIENT_FUNCTION, data),
    ),
});
