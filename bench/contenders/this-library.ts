import { createServer } from "node:http";
import express, { type Request, type Response } from "express";
import sockjs from "sockjs";
import { CLIENT_FUNCTION, functionNames, serve, setup } from "./serve.js";

const dist = new URL("../../dist/", import.meta.url);
const { TokenSocketServer } = (await import(
  new URL("index.js", dist).href
)) as typeof import("../../lib/index.js");
const { memoryRedis } = (await import(
  new URL("memory.js", dist).href
)) as typeof import("../../lib/memory.js");

async function connect() {
  // only where it is used: it takes a third of the time until a server is there
  const { createClient } = await import("redis");
  const client = createClient({ socket: { host: "127.0.0.1", port: Number(setup.redis) } });
  const pubsubClient = client.duplicate();
  for (const each of [client, pubsubClient]) each.on("error", () => {});
  await Promise.all([client.connect(), pubsubClient.connect()]);
  return { client, pubsubClient };
}

function embedded() {
  const client = memoryRedis();
  return { client, pubsubClient: client };
}

const app = express();
const http = createServer(app);
const { client, pubsubClient } = setup.redis === undefined ? embedded() : await connect();
let users = 0;
const echo = (_auth: unknown, data: unknown) => data;
const reached = setup.servers === undefined ? {} : { identify: ({ name }: { name?: string }) => `${name}` };
const tokenServer = new TokenSocketServer(app, client, sockjs.createServer({ log: () => {} }), {
  pubsubClient,
  ...reached,
  authentication: () => ({ name: "bench", id: ++users }),
  ...(setup.presence
    ? { identify: ({ id }: Record<string, unknown>) => `${id}`, presence: { "*": { limit: 100_000 } } }
    : {}),
  socketController: {
    ...Object.fromEntries(functionNames.map((name) => [name, echo])),
    reach: async (_auth: unknown, data: unknown) => {
      await tokenServer.to({ identity: "bench" }).send("user", "hello");
      return data;
    },
  },
  routes: { route: (req: Request, res: Response) => res.json(req.body) },
  ...(setup.filter ? { filter: (_socket: unknown, _channel: string, message: unknown) => message } : {}),
  ...(setup.recovery ? { history: { "*": { size: 1000, ttl: 300_000 } } } : {}),
  limits: {
    framesPerSecond: Number.POSITIVE_INFINITY,
    frameBurst: Number.POSITIVE_INFINITY,
    bytesPerSecond: Number.POSITIVE_INFINITY,
  },
});
tokenServer.attach(http);
await tokenServer.ready();
for (let others = (setup.servers ?? 1) - 1; others > 0; others--) {
  const clients = setup.redis === undefined ? { client, pubsubClient } : await connect();
  const sockets = sockjs.createServer({ log: () => {} });
  const other = new TokenSocketServer(express(), clients.client, sockets, {
    pubsubClient: clients.pubsubClient,
    ...reached,
  });
  await other.ready();
}

await serve({
  http,
  publish: (channel, message) => tokenServer.publish(channel, message),
  clients: () =>
    tokenServer.sockets().map((socket) => (data) => tokenServer.rpc(socket, CLIENT_FUNCTION, data)),
});
