import { once } from "node:events";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";

/** What a proxy that knows no WebSocket may do to one. */
export type Refusal = "answers 403" | "hangs up" | "says nothing";

export interface RefusingProxyOptions {
  /** What becomes of a WebSocket. */
  refusal: Refusal;
  /** Whether a response is held back until all of it is there, as some proxies do. Default false. */
  isBuffering?: boolean;
}

/** An HTTP proxy in front of one server: it forwards plain requests, and no WebSocket. */
export class RefusingProxy {
  /** The paths of the WebSockets that it has refused. */
  readonly refused: string[] = [];
  readonly #http: Server;
  readonly #target: URL;
  readonly #options: RefusingProxyOptions;
  readonly #sockets = new Set<Socket>();

  /** Starts one on a port of its own. */
  static async start(target: string, options: RefusingProxyOptions): Promise<RefusingProxy> {
    const proxy = new RefusingProxy(new URL(target), options);
    proxy.#http.listen(0, "127.0.0.1");
    await once(proxy.#http, "listening");
    return proxy;
  }

  private constructor(target: URL, options: RefusingProxyOptions) {
    this.#target = target;
    this.#options = options;
    this.#http = createServer((req, res) => this.#forward(req, res));
    this.#http.on("upgrade", (req: IncomingMessage, socket: Duplex) => this.#refuse(req, socket));
    this.#http.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#http.close();
    for (const socket of this.#sockets) socket.destroy();
    if (this.#http.listening) await once(this.#http, "close");
  }

  #forward(req: IncomingMessage, res: ServerResponse): void {
    const { hostname, port } = this.#target;
    const { method, url, headers } = req;
    const forwarded = request({ hostname, port, method, path: url, headers, agent: false });
    forwarded.on("response", (answer) => {
      this.#answer(answer, res).catch(() => res.destroy());
    });
    forwarded.on("error", () => res.destroy());
    // the server is to hear of it when the browser gives a request up
    res.on("close", () => forwarded.destroy());
    req.pipe(forwarded);
  }

  async #answer(answer: IncomingMessage, res: ServerResponse): Promise<void> {
    const { statusCode = 502, headers } = answer;
    // they are about the one connection that the answer has come over
    delete headers.connection;
    delete headers["keep-alive"];
    if (this.#options.isBuffering) {
      const body = await buffer(answer);
      delete headers["transfer-encoding"];
      res.writeHead(statusCode, { ...headers, "content-length": body.length }).end(body);
      return;
    }
    res.writeHead(statusCode, headers).flushHeaders();
    answer.on("error", () => res.destroy());
    answer.pipe(res);
  }

  #refuse(req: IncomingMessage, socket: Duplex): void {
    this.refused.push(req.url ?? "");
    socket.on("error", () => {});
    const { refusal } = this.#options;
    if (refusal === "answers 403") {
      socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    } else if (refusal === "hangs up") socket.destroy();
  }
}
