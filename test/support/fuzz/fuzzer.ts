import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type RawData, WebSocket } from "ws";
import type { Frame } from "../wire-client.js";

/** A client of SockJS over WebSocket that sends whatever it is told, and counts the replies that come. */
export class Fuzzer {
  closed = false;
  /** How many replies there are by their ids. */
  readonly #replies = new Map<unknown, number>();
  readonly #socket: WebSocket;
  #wake = () => {};
  #fences = 0;

  static async open(url: string): Promise<Fuzzer> {
    const socket = new WebSocket(
      `${url.replace(/^http/, "ws")}/sockets/0/${randomBytes(6).toString("hex")}/websocket`,
    );
    const fuzzer = new Fuzzer(socket);
    await once(socket, "message");
    return fuzzer;
  }

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data: RawData) => this.#receive(String(data)));
    socket.on("close", () => {
      this.closed = true;
      this.#wake();
    });
  }

  send(payload: string): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(payload);
  }

  /** Waits until the frames are as they should be, or the connection has closed. */
  async until(fits: () => boolean): Promise<void> {
    while (!this.closed && !fits()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** How many replies a request has got. */
  replies(uuid: unknown): number {
    return this.#replies.get(uuid) ?? 0;
  }

  /** Calls something that is answered after all that was sent before, whether it is allowed or not. */
  async fence(): Promise<void> {
    const uuid = `fence ${++this.#fences}`;
    this.send(JSON.stringify([JSON.stringify({ rpc: "slow", uuid })]));
    await this.until(() => this.replies(uuid) > 0);
  }

  async end(): Promise<void> {
    this.#socket.close();
    await this.until(() => false);
  }

  #receive(frame: string): void {
    if (frame.startsWith("a")) {
      for (const message of JSON.parse(frame.slice(1)) as string[]) {
        const { uuid, internal } = JSON.parse(message) as Frame;
        if (internal === undefined) this.#replies.set(uuid, this.replies(uuid) + 1);
      }
    }
    this.#wake();
  }
}
