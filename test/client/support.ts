import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import { type Actions, TokenSocket, type TokenSocketOptions } from "../../lib/client/index.js";
import { Application, type ApplicationOptions } from "../support/application.js";

export { deferred, failure, happened, inState } from "./behaviour/helpers.js";

/** Waits that tests can afford. */
export const QUICK = { min: 10, max: 50 };

/** Waits that no test lives to see the end of. */
export const SLOW = { min: 1e8, max: 1e8 };

/** What a test has started, to be stopped after it. */
export class Stage {
  readonly #clients: TokenSocket[] = [];
  readonly #stops: (() => Promise<void>)[] = [];
  /** What the clients logged. */
  readonly errors: unknown[][] = [];
  readonly debug: unknown[][] = [];

  /** Starts an application, on a port of its own or on a given one. */
  async application(options: ApplicationOptions = {}, port = 0): Promise<Place> {
    const application = new Application(options);
    const place = new Place(application.http, application);
    await place.listen(port);
    this.#stops.push(() => place.stop());
    return place;
  }

  /** Starts a plain HTTP server. */
  async server(server: Server, port = 0): Promise<Place> {
    const place = new Place(server);
    await place.listen(port);
    this.#stops.push(() => place.stop());
    return place;
  }

  client(place: { readonly url: string }, options: TokenSocketOptions = {}, actions?: Actions): TokenSocket {
    const client = new TokenSocket(
      {
        host: place.url,
        backoff: QUICK,
        debug: true,
        logger: { error: (...args) => this.errors.push(args), debug: (...args) => this.debug.push(args) },
        ...options,
      },
      actions,
    );
    this.#clients.push(client);
    return client;
  }

  async clear(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.end()));
    await Promise.all(this.#stops.map((stop) => stop()));
  }
}

/** A server at a port, which can be killed without a farewell. */
export class Place {
  readonly http: Server;
  readonly #application: Application | undefined;
  readonly #sockets = new Set<Socket>();
  #port = 0;
  #isStopped = false;

  constructor(http: Server, application?: Application) {
    this.http = http;
    this.#application = application;
    http.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  get application(): Application {
    if (!this.#application) throw new Error("this is no application");
    return this.#application;
  }

  get tokenServer() {
    return this.application.tokenServer;
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async listen(port: number): Promise<void> {
    this.http.listen(port, "127.0.0.1");
    await once(this.http, "listening");
    this.#port = (this.http.address() as AddressInfo).port;
  }

  /** Cuts all connections, as a cable that is pulled. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Ends all connections at once, and listens no more. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    const closed = this.http.listening ? once(this.http, "close") : undefined;
    this.http.close();
    this.cut();
    await this.#application?.tokenServer.shutdown();
    await closed;
  }
}

type Frame = Record<string, unknown> & { req?: { channel?: string; data?: unknown } };

/** A server that speaks version 3 and nothing more: it sends back what it got, and acknowledges little. */
export class Version3Server {
  readonly http: Server;
  /** Each frame that came, in order. */
  readonly frames: Frame[] = [];
  readonly connections = new Set<WebSocket>();
  readonly #server: WebSocketServer;
  /** What the token route answers with. */
  token: { status: number; body: unknown; headers?: Record<string, string> } = {
    status: 200,
    body: { token: "3f0f9d70-6c4c-4b3f-9c59-0a1f6f0c5b11" },
  };
  /** Takes a frame instead of the server, where it returns true. */
  intercept: (frame: Frame, socket: WebSocket) => boolean = () => false;
  readonly tokenRequests: string[] = [];

  constructor() {
    this.http = createServer((req, res) => {
      this.tokenRequests.push(req.url ?? "");
      const { status, body, headers } = this.token;
      res.writeHead(status, { "Content-Type": "application/json", ...headers });
      res.end(JSON.stringify(body));
    });
    this.#server = new WebSocketServer({ server: this.http, path: "/sockets/websocket" });
    this.#server.on("connection", (socket) => {
      const channels = new Set<string>();
      this.connections.add(socket);
      socket.on("close", () => this.connections.delete(socket));
      socket.on("message", (data) => {
        const frame = JSON.parse(String(data)) as Frame;
        this.frames.push(frame);
        if (!this.intercept(frame, socket)) this.#answer(frame, socket, channels);
      });
    });
  }

  #answer(frame: Frame, socket: WebSocket, channels: Set<string>): void {
    const send = (answer: unknown) => socket.send(JSON.stringify(answer));
    const { rpc, req } = frame;
    const channel = req?.channel ?? "";
    if (rpc === "auth") return send({ ...frame, token: undefined, resp: "success" });
    if (rpc === "echo") return send({ ...frame, resp: req });
    if (channel === "secret") return send({ ...frame, error: "Forbidden" });
    if (rpc === "_subscribe") {
      channels.add(channel);
      return send({ internal: true, command: "subscribe", data: { ...frame, channel } });
    }
    if (rpc === "_unsubscribe") {
      channels.delete(channel);
      return send({ internal: true, command: "unsubscribe", data: { channel } });
    }
    if (rpc === "_publish" && channels.has(channel)) send({ channel, message: req?.data });
  }
}
