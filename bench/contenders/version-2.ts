/** The older version of this package, with what is known of its format; see docs/protocol.md. */
import { createServer } from "node:http";
import { createRequire } from "node:module";
import express, { type Express, type Request, type Response } from "express";
import sockjs, { type Connection } from "sockjs";
import { CLIENT_FUNCTION, functionNames, serve, setup } from "./serve.js";

type Callback = (error?: unknown, result?: unknown) => void;

interface OldServer {
  on(event: string, listener: (...args: never[]) => void): void;
  rpc(socket: Connection, command: string, args: unknown, callback: Callback): void;
}

const require = createRequire(import.meta.url);
const OldTokenSocketServer = require("node-token-sockjs-2") as new (
  app: Express,
  redis: unknown,
  sockjs: unknown,
  options: Record<string, unknown>,
) => OldServer;
const redis3 = require("redis3") as { createClient(options: { host: string; port: number }): unknown };

const connect = () => redis3.createClient({ host: "127.0.0.1", port: Number(setup.redis) });

const app = express();
const http = createServer(app);
const socketServer = sockjs.createServer({ log: () => {} });
const echo = (_auth: unknown, data: unknown, callback: Callback) => callback(null, data);
const tokenServer = new OldTokenSocketServer(app, connect(), socketServer, {
  prefix: "/sockets",
  tokenRoute: "/socket/token",
  pubsubClient: connect(),
  authentication: (_req: Request, callback: Callback) => callback(null, { name: "bench" }),
  socketController: Object.fromEntries(functionNames.map((name) => [name, echo])),
  routes: { route: (req: Request, res: Response) => res.json(req.body) },
  ...(setup.filter ? { filter: (_socket: unknown, _channel: string, message: unknown) => message } : {}),
});
const sockets = new Set<Connection>();
tokenServer.on("authentication", (socket: Connection, _auth: unknown, callback: Callback) => {
  sockets.add(socket);
  socket.on("close", () => sockets.delete(socket));
  callback();
});
socketServer.installHandlers(http, { prefix: "/sockets" });

await serve({
  http,
  clients: () =>
    [...sockets].map(
      (socket) => (data) =>
        new Promise((resolve, reject) => {
          tokenServer.rpc(socket, CLIENT_FUNCTION, data, (error, result) =>
            error ? reject(error) : resolve(result),
          );
        }),
    ),
});
