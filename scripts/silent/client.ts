import { type Agent, request } from "node:http";
import { connect, type Socket } from "node:net";
import { encodeText } from "../../test/support/fuzz/web-socket-frames.js";

/** How a client that will be silent comes in. */
export const TRANSPORTS = ["raw-websocket", "websocket", "xhr-streaming", "xhr-polling"] as const;
export type SilentTransport = (typeof TRANSPORTS)[number];

export interface SilentOptions {
  readonly url: string;
  readonly agent: Agent;
  /** Of its own, so that it is told from the others: sources have only so many ports. */
  readonly localAddress: string;
  readonly transport: SilentTransport;
  readonly channel: string;
}

/** A client that comes in, joins a channel, and never reads again; over polling, never polls again. */
export class SilentClient {
  readonly transport: SilentTransport;
  readonly channel: string;
  readonly #options: SilentOptions;
  #socket: Socket | undefined;
  #text = "";
  #wake = () => {};

  static async open(options: SilentOptions): Promise<SilentClient> {
    const client = new SilentClient(options);
    const { token } = JSON.parse(await client.#ask("GET", "/socket/token")) as { token: string };
    const auth = JSON.stringify({ rpc: "auth", token, uuid: "a", protocol: 4 });
    const join = JSON.stringify({ rpc: "_subscribe", req: { channel: options.channel }, uuid: "j" });
    if (options.transport === "xhr-polling") await client.#poll(auth, join);
    else await client.#stream(auth, join);
    return client;
  }

  private constructor(options: SilentOptions) {
    this.#options = options;
    this.transport = options.transport;
    this.channel = options.channel;
  }

  /** Reads again for some time; gives the numbers of the messages that come. */
  async readFor(ms: number): Promise<number[]> {
    this.#text = "";
    this.#socket?.resume();
    await new Promise((resolve) => setTimeout(resolve, ms));
    this.#socket?.pause();
    return [...this.#text.matchAll(/\\?"seq\\?":(\d+)/g)].map(([, seq]) => Number(seq));
  }

  get isConnected(): boolean {
    return this.#socket !== undefined && !this.#socket.destroyed;
  }

  end(): void {
    this.#socket?.destroy();
  }

  async #poll(auth: string, join: string): Promise<void> {
    const session = `/sockets/0/${Math.random().toString(36).slice(2)}`;
    await this.#ask("POST", `${session}/xhr`);
    for (const [frame, uuid] of [
      [auth, "a"],
      [join, "j"],
    ] as const) {
      await this.#ask("POST", `${session}/xhr_send`, JSON.stringify([frame]));
      while (!isReplied(this.#text, uuid)) this.#text += await this.#ask("POST", `${session}/xhr`);
    }
  }

  async #stream(auth: string, join: string): Promise<void> {
    const { url, localAddress, transport } = this.#options;
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), localAddress });
    this.#socket = socket;
    socket.setEncoding("latin1");
    socket.on("error", () => this.#wake());
    socket.on("close", () => this.#wake());
    socket.on("data", (text: string) => {
      this.#text += text;
      this.#wake();
    });
    const session = `/sockets/0/${Math.random().toString(36).slice(2)}`;
    let send = async (frame: string) => void socket.write(encodeText(frame));
    if (transport === "xhr-streaming") {
      socket.write(`POST ${session}/xhr_streaming HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`);
      await this.#until("o\n");
      send = async (frame) => void (await this.#ask("POST", `${session}/xhr_send`, JSON.stringify([frame])));
    } else {
      const isRaw = transport === "raw-websocket";
      const path = isRaw ? "/sockets/websocket" : `${session}/websocket`;
      socket.write(
        `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      );
      await this.#until("\r\n\r\n");
      if (!isRaw) send = async (frame) => void socket.write(encodeText(JSON.stringify([frame])));
    }
    await send(auth);
    await this.#until("a");
    await send(join);
    await this.#until("j");
    socket.pause();
    this.#text = "";
  }

  /** Waits for a text, or with one letter for the reply to a request. */
  async #until(what: string): Promise<void> {
    const isThere = () => (what.length === 1 ? isReplied(this.#text, what) : this.#text.includes(what));
    while (!isThere()) {
      if (!this.isConnected)
        throw new Error(`closed before ${JSON.stringify(what)}: ${this.#text.slice(-200)}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #ask(method: string, path: string, body = ""): Promise<string> {
    const { url, agent } = this.#options;
    return new Promise((resolve, reject) => {
      const asking = request(`${url}${path}`, { method, agent }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () => resolve(text));
        response.on("error", reject);
      });
      asking.on("error", reject);
      asking.end(body);
    });
  }
}

/** Whatever the transport has wrapped it in. */
function isReplied(text: string, uuid: string): boolean {
  return text.replaceAll("\\", "").includes(`"uuid":"${uuid}","resp"`);
}
