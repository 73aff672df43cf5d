import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Receive } from "./socket.js";

/** An HTTP client of one connection that stays open; one request at a time. */
export class RawHttp {
  readonly #socket: Socket;
  readonly #port: number;
  #input = "";
  #waiting: { resolve: (body: string) => void; reject: (error: Error) => void } | undefined;

  constructor(port: number) {
    this.#port = port;
    this.#socket = connect({ port, host: "127.0.0.1", noDelay: true });
    this.#socket.setEncoding("latin1").on("data", (text: string) => {
      this.#input += text;
      this.#take();
    });
    this.#socket.on("error", (error) => this.#waiting?.reject(error));
    this.#socket.on("close", () => this.#waiting?.reject(new Error("The HTTP connection has closed")));
  }

  /** Resolves when it is connected. */
  async connected(): Promise<void> {
    await once(this.#socket, "connect");
  }

  get(path: string): Promise<string> {
    return this.#request(`GET ${path}`, "");
  }

  /** Posts JSON of ASCII. */
  post(path: string, json: string): Promise<string> {
    return this.#request(
      `POST ${path}`,
      `Content-Type: application/json\r\nContent-Length: ${json.length}\r\n`,
      json,
    );
  }

  close(): void {
    this.#waiting = undefined;
    this.#socket.destroy();
  }

  #request(target: string, headers: string, body = ""): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(
        `${target} HTTP/1.1\r\nHost: 127.0.0.1:${this.#port}\r\nConnection: keep-alive\r\n${headers}\r\n${body}`,
      );
    });
  }

  #take(): void {
    const end = this.#input.indexOf("\r\n\r\n");
    if (end === -1) return;
    const head = this.#input.slice(0, end);
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? Number.NaN);
    const waiting = this.#waiting;
    if (!head.startsWith("HTTP/1.1 200 ") || Number.isNaN(length)) {
      waiting?.reject(new Error(`Not the expected answer: ${head}`));
      return;
    }
    if (this.#input.length < end + 4 + length) return;
    const body = this.#input.slice(end + 4, end + 4 + length);
    this.#input = this.#input.slice(end + 4 + length);
    this.#waiting = undefined;
    waiting?.resolve(body);
  }
}

/** An HTTP connection in a WebSocket's place: each message is a POST, and the body of the answer is what is received. */
export class HttpSocket {
  receive: Receive = () => {};
  onLost: (error: Error) => void = () => {};
  readonly upgraded: Promise<void>;
  readonly #http: RawHttp;
  readonly #path: string;

  constructor(port: number, path: string) {
    this.#http = new RawHttp(port);
    this.#path = path;
    this.upgraded = this.#http.connected();
  }

  write(json: string): void {
    this.#http.post(this.#path, json).then(
      (body) => this.receive(Buffer.from(body, "latin1"), 0, body.length),
      (error: Error) => this.onLost(error),
    );
  }

  /** A client that is not asked for anything has nothing to read. */
  stall(): void {}

  close(): void {
    this.#http.close();
  }
}
