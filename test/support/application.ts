import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import express, { type Express } from "express";
import session from "express-session";
import sockjs from "sockjs";
import type { RedisClient, TokenSocketServerOptions } from "../../lib/index.js";
import { TokenSocketServer } from "../../lib/index.js";
import { memoryRedis } from "../../lib/memory.js";
import { WireClient, type WireTransport } from "./wire-client.js";

/** What a test may set of an application. */
export interface ApplicationOptions {
  /** Default: the embedded store, for both. */
  redisClient?: RedisClient;
  pubsubClient?: RedisClient | null;
  options?: TokenSocketServerOptions;
  /** Put into the session of whoever logs in; default `{ auth: { name: "alice" } }`. */
  session?: Record<string, unknown> | null;
  /** Options of the SockJS server. */
  sockjs?: sockjs.ServerOptions;
  /** Changes the Express application before the server is mounted. */
  prepare?: (app: Express) => void;
  /** Whether the server takes the HTTP server's clients; default true. */
  attach?: boolean;
  /** Another version's `express()`. */
  express?: () => Express;
}

/** An Express application with sessions, a SockJS server and a `TokenSocketServer`, on a port of its own. */
export class Application {
  readonly app: Express;
  readonly http: Server;
  readonly sockjs: sockjs.Server;
  readonly tokenServer: TokenSocketServer;
  /** What the server logged, a line each. */
  readonly log: string[] = [];
  /** What it emitted as `error`. */
  readonly errors: Error[] = [];
  readonly #clients: WireClient[] = [];
  readonly #dialled: Socket[] = [];

  static async start(options: ApplicationOptions = {}): Promise<Application> {
    const application = new Application(options);
    application.http.listen(0, "127.0.0.1");
    await once(application.http, "listening");
    return application;
  }

  constructor(given: ApplicationOptions) {
    this.app = (given.express ?? express)();
    this.app.use(session({ secret: "test", resave: false, saveUninitialized: false }));
    const data = given.session === undefined ? { auth: { name: "alice" } } : given.session;
    this.app.use((req, _res, next) => {
      if (data) Object.assign(req.session, data);
      next();
    });
    given.prepare?.(this.app);
    this.http = createServer(this.app);
    this.sockjs = sockjs.createServer({ log: () => {}, disconnect_delay: 1000, ...given.sockjs });
    const store = given.redisClient ?? memoryRedis();
    const pubsubClient =
      given.pubsubClient === undefined ? (given.redisClient ? null : store) : given.pubsubClient;
    const write = (line: string) => this.log.push(line);
    this.tokenServer = new TokenSocketServer(this.app, store, this.sockjs, {
      ...(pubsubClient ? { pubsubClient } : {}),
      logger: { error: write, warn: write, info: write, debug: write },
      ...given.options,
    });
    this.tokenServer.on("error", (error) => this.errors.push(error));
    if (given.attach !== false) this.tokenServer.attach(this.http);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.http.address() as AddressInfo).port}`;
  }

  /** Asks the token route. */
  async token(query = "", headers: Record<string, string> = {}): Promise<string> {
    const response = await fetch(`${this.url}/socket/token${query}`, { headers });
    const { token } = (await response.json()) as { token?: string };
    if (!token) throw new Error(`no token: ${response.status}`);
    return token;
  }

  /** Opens a TCP connection, and sends what is given as it is: the head of a request, or more. */
  async dial(text: string, encoding: BufferEncoding = "utf8"): Promise<Socket> {
    const { address, port } = this.http.address() as AddressInfo;
    const socket = connect(port, address).on("error", () => {});
    this.#dialled.push(socket);
    await once(socket, "connect");
    socket.write(text, encoding);
    return socket;
  }

  /** Opens a connection that has not authenticated. */
  async open(transport: WireTransport = "websocket", prefix = "/sockets"): Promise<WireClient> {
    const client = new WireClient(this.url + prefix, transport);
    this.#clients.push(client);
    await client.opened;
    return client;
  }

  /** Opens a connection and authenticates it. */
  async connect(
    transport: WireTransport = "websocket",
    auth: Record<string, unknown> = {},
  ): Promise<WireClient> {
    const token = await this.token();
    const client = await this.open(transport);
    const reply = await client.request({ rpc: "auth", token, ...auth });
    if (reply.resp !== "success") throw new Error(`not authenticated: ${JSON.stringify(reply)}`);
    return client;
  }

  /** The server's side of the newest socket. */
  socket() {
    const socket = this.tokenServer.sockets().at(-1);
    if (!socket) throw new Error("there is no socket");
    return socket;
  }

  async stop(): Promise<void> {
    for (const socket of this.#dialled) socket.destroy();
    await this.tokenServer.shutdown();
    await Promise.all(this.#clients.map((client) => client.end()));
    this.http.closeAllConnections();
    this.http.close();
    if (this.http.listening) await once(this.http, "close");
  }
}
