import { connect, type Socket } from "node:net";

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

  get(path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(
        `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${this.#port}\r\nConnection: keep-alive\r\n\r\n`,
      );
    });
  }

  close(): void {
    this.#waiting = undefined;
    this.#socket.destroy();
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
