import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";
import express from "express";
import session from "express-session";
import { RpcError, TokenSocketServer } from "node-token-sockjs";
import sockjs from "sockjs";
import {
  enterChannel,
  enterRoom,
  isRoomChannel,
  makeMessage,
  ONLINE_CHANNEL,
  ROOM_CHANNELS,
  roomsFor,
  visibleTo,
} from "./rooms.js";
import { makeStore } from "./store.js";
import { findUser, listUsers, userState } from "./users.js";

const {
  HOST = "localhost",
  PORT = "3000",
  // with it, the processes that share this Redis form one system; without, one process keeps all in memory
  REDIS_URL,
  // several processes need the same, else a session of one is unknown to the others
  SESSION_SECRET = randomBytes(32).toString("hex"),
  // how many messages of each room are kept
  HISTORY_SIZE = "1000",
} = process.env;

const DAY = 24 * 60 * 60 * 1000;
const NUDGE_TIMEOUT = 30_000;
const DRAIN_TIME = 3000;
const SHUTDOWN_TIMEOUT = 10_000;

const store = makeStore(REDIS_URL);

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
app.use(express.static(join(import.meta.dirname, "public")));

app.use(
  session({
    name: "chat.sid",
    secret: SESSION_SECRET,
    store: store.sessions,
    resave: false,
    saveUninitialized: false,
    cookie: { httpOnly: true, sameSite: "lax", secure: "auto", maxAge: DAY },
  }),
);
app.use((req, _res, next) => {
  req.user = req.session.auth;
  next();
});

app.get("/session", (req, res) => {
  const { name, role } = req.user ?? {};
  res.json({ user: name ? { name, role } : null, users: listUsers() });
});

app.post("/login", express.json({ limit: "1kb" }), (req, res, next) => {
  const user = findUser(req.body?.name);
  if (!user) return res.status(401).json({ error: "There is no such user" });
  // a new session, so that nobody can have prepared this one
  req.session.regenerate((error) => {
    if (error) return next(error);
    // the property that TokenSocketServer looks for; it becomes the socket's `auth`
    req.session.auth = { ...user };
    res.json({ user });
  });
});

app.post("/logout", (req, res, next) => {
  // it closes the sockets of this login, too, whichever process they are on
  tokenServer.logout(req, { reason: "Logged out" }).then(() => res.json({}), next);
});

// ---- Express handlers that are called over HTTP and over the socket ---------------------------------------

function listRooms(req, res) {
  res.json({ rooms: roomsFor(req.user) });
}

async function listMessages(req, res) {
  const { channel } = enterRoom(req.user, req.params.room);
  const { messages } = await tokenServer.history(channel, { last: 50 });
  res.json({
    messages: messages.map(({ message, time }) => ({ time, message: visibleTo(req.user, message) })),
  });
}

app.use("/api", (req, res, next) => {
  if (req.user) return next();
  res.status(401).json({ error: "Please log in" });
});
app.get("/api/rooms", listRooms);
app.get("/api/rooms/:room/messages", listMessages);

// ---- The sockets ------------------------------------------------------------------------------------------

const sockets = sockjs.createServer({ sockjs_url: "/socket/sockjs.js", log: () => {} });

const tokenServer = new TokenSocketServer(app, store.redisClient, sockets, {
  pubsubClient: store.pubsubClient,
  // clients ask now and then whether the connection is still alive
  ping: true,

  // Redis keeps the rooms' messages. So a browser that was away gets what it has missed, by itself, whatever has
  // happened to its connection or to this process; what cannot be had any more, it is told of.
  history: { [ROOM_CHANNELS]: { size: Number(HISTORY_SIZE), ttl: DAY } },

  // who is online is who is in this channel, on any process. By its name a user is one, however many windows it has open.
  identify: (user) => user.name,
  presence: { [ONLINE_CHANNEL]: { info: ({ role }) => ({ role }), state: userState } },

  // the handlers from above, called as "rooms.list" and "rooms.messages"
  routes: { rooms: { list: listRooms, messages: listMessages } },

  // a function of its own, called as "admin.nudge"
  socketController: {
    admin: {
      async nudge(auth, data) {
        if (!findUser(data?.name)) throw new RpcError("There is no such user", { code: 404 });
        // the user's socket may be on another process
        await store.tellAll({ nudge: { from: auth.name, to: data.name } });
        return { sent: true };
      },
    },
  },

  // what each single socket gets of a message
  filter: (socket, channel, message) => (isRoomChannel(channel) ? visibleTo(socket.auth, message) : message),
});

// Access control: who may call, join, publish and broadcast what. A thrown RpcError is shown to the client.

tokenServer.on("rpc", (socket, { rpc }) => !rpc.startsWith("admin.") || socket.auth.role === "admin");

tokenServer.on("subscribe", (socket, { channel }) => {
  if (channel === ONLINE_CHANNEL || channel === userChannel(socket.auth.name)) return true;
  return Boolean(enterChannel(socket.auth, channel));
});

tokenServer.on("publish", (socket, request) => {
  enterChannel(socket.auth, request.channel);
  // what is published is the server's message: its author comes from the session, whatever the client says
  request.data = makeMessage(socket, request.data);
  return true;
});

tokenServer.on("broadcast", () => false);

// What one process asks of all, since each knows just its own sockets.

await store.connect();
await store.listen(({ nudge }) => {
  for (const socket of tokenServer.sockets()) {
    if (socket.auth?.name === nudge.to) passOn(nudge, socket);
  }
});

/** Calls the function `nudge` of a user's browser, and tells whoever has asked for it what it has answered. */
async function passOn({ from, to }, socket) {
  const result = { name: to };
  try {
    result.answer = await tokenServer.rpc(socket, "nudge", { from }, { timeout: NUDGE_TIMEOUT });
  } catch (error) {
    result.error = error.message;
  }
  tokenServer.publish(userChannel(from), { nudged: result });
}

/** The channel of one user's own. */
function userChannel(name) {
  return `user:${name}`;
}

// ---- Errors, start and end --------------------------------------------------------------------------------

app.use((error, _req, res, next) => {
  if (res.headersSent) return next(error);
  if (error instanceof RpcError) return res.status(error.code).json({ error: error.message });
  if (error.expose) return res.status(error.status).json({ error: error.message });
  console.error(error);
  res.status(500).json({ error: "Internal error" });
});

const server = createServer(app);
tokenServer.attach(server);
await tokenServer.ready();
server.listen(Number(PORT), HOST, () => {
  console.log(`The chat is on http://${HOST}:${server.address().port}`);
});

const closed = once(server, "close");

async function stop() {
  setTimeout(() => process.exit(1), SHUTDOWN_TIMEOUT).unref();
  server.close();
  await tokenServer.shutdown();
  // a browser keeps connections for further requests, also those that are busy just now
  const closing = setInterval(() => server.closeIdleConnections(), 100);
  await closed;
  clearInterval(closing);
  await store.close();
}
// whoever replaces this process leaves it the time to send its users to the others, one after the other, and sends
// nobody back to it, since it listens no more
process.once("SIGTERM", async () => {
  server.close();
  await tokenServer.drain({ timeout: DRAIN_TIME });
  await stop();
});
process.once("SIGINT", stop);
