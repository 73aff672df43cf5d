import { randomUUID } from "node:crypto";
import SockJS from "sockjs-client";
import { WebSocket } from "ws";

/** How a client may talk to the server; `raw-websocket` is WebSocket without SockJS's framing. */
export type WireTransport = "websocket" | "raw-websocket" | "xhr-streaming" | "xhr-polling";

export const WIRE_TRANSPORTS: readonly WireTransport[] = [
  "websocket",
  "raw-websocket",
  "xhr-streaming",
  "xhr-polling",
];

/** A frame as it came over the wire. */
export type Frame = Record<string, unknown> & { readonly data?: Record<string, unknown> };

interface Wire {
  send(text: string): void;
  close(): void;
}

/** A client that knows nothing of the protocol: it sends and collects frames. */
export class WireClient {
  readonly opened: Promise<void>;
  readonly closed: Promise<{ code: number; reason: string }>;
  /** The frames that nobody has taken yet. */
  readonly frames: Frame[] = [];
  readonly #wire: Wire;
  readonly #waiting = new Set<() => void>();
  #ended: { code: number; reason: string } | undefined;

  constructor(url: string, transport: WireTransport) {
    let open = () => {};
    let fail = (_error: Error) => {};
    let close = (_event: { code: number; reason: string }) => {};
    this.opened = new Promise((resolve, reject) => {
      open = resolve;
      fail = reject;
    });
    this.opened.catch(() => {});
    this.closed = new Promise((resolve) => {
      close = resolve;
    });
    const onMessage = (text: string) => {
      this.frames.push(JSON.parse(text));
      this.#wake();
    };
    const onClose = (event: { code: number; reason: string }) => {
      this.#ended = { code: event.code, reason: event.reason };
      fail(new Error(`closed: ${event.code} ${event.reason}`));
      close(this.#ended);
      this.#wake();
    };
    if (transport === "raw-websocket") {
      const socket = new WebSocket(`${url.replace(/^http/, "ws")}/websocket`);
      socket.on("open", () => open());
      socket.on("message", (data) => onMessage(String(data)));
      socket.on("close", (code, reason) => onClose({ code, reason: String(reason) }));
      socket.on("error", fail);
      this.#wire = socket;
    } else {
      // a busy machine is not to be taken for a transport that does not work
      const socket = new SockJS(url, undefined, { transports: transport, timeout: 15_000 });
      socket.onopen = () => open();
      socket.onmessage = ({ data }) => onMessage(data);
      socket.onclose = onClose;
      this.#wire = socket;
    }
  }

  /** Sends text as it is, or anything else as JSON. */
  send(frame: unknown): void {
    this.#wire.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  /** Sends a request with a uuid of its own, and takes the reply to it. */
  async request(frame: Record<string, unknown>): Promise<Frame> {
    const uuid = randomUUID();
    this.send({ uuid, ...frame });
    return this.take((reply) => reply.uuid === (frame.uuid ?? uuid));
  }

  /** Takes the first frame that fits, waiting for it; frames that do not fit stay. */
  async take(fits: (frame: Frame) => boolean = () => true): Promise<Frame> {
    for (;;) {
      const index = this.frames.findIndex(fits);
      const [frame] = index === -1 ? [] : this.frames.splice(index, 1);
      if (frame) return frame;
      if (this.#ended) {
        throw new Error(
          `closed (${this.#ended.code}) before such a frame; there were ${JSON.stringify(this.frames)}`,
        );
      }
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** Takes the next call that the server makes, and its id. */
  async takeCall(): Promise<{ fid: string; command: string; args: unknown }> {
    const { data } = await this.take((frame) => frame.internal === true && frame.command === "rpc");
    return data as { fid: string; command: string; args: unknown };
  }

  /** Takes the next message on a channel. */
  async message(channel: string): Promise<unknown> {
    return (await this.take((frame) => frame.channel === channel && "message" in frame)).message;
  }

  /** Joins a channel and waits until the server says so. */
  async subscribe(channel: string): Promise<Frame> {
    const uuid = randomUUID();
    this.send({ rpc: "_subscribe", req: { channel }, uuid });
    return this.take((frame) => frame.uuid === uuid || frame.data?.uuid === uuid);
  }

  async end(): Promise<void> {
    if (!this.#ended) this.#wire.close();
    await this.closed;
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}
