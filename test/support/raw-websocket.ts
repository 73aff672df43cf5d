import { isUtf8 } from "node:buffer";
import { once } from "node:events";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";

/** What a WebSocket's frames are (RFC 6455, section 5.2). */
export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

const NAMES: { readonly [opcode: number]: string } = { 1: "text", 2: "binary", 9: "ping", 10: "pong" };

/** How a frame differs from a right one that is whole. */
export interface FrameForm {
  /** Whether it ends its message. Default true. */
  readonly fin?: boolean;
  /** Its reserved bits: 4 for RSV1, 2 for RSV2, 1 for RSV3. Default 0. */
  readonly rsv?: number;
  /** Default true. */
  readonly isMasked?: boolean;
  /** Its four bytes. Default: those of RFC 6455's own examples. */
  readonly mask?: readonly number[];
  /** The bits of its length. Default: as few as there can be. */
  readonly lengthBits?: 7 | 16 | 64;
  /** What it says of its length. Default: the truth. */
  readonly length?: bigint;
}

/** The mask and the key of RFC 6455's own examples, and what a server has to answer to that key. */
const MASK: readonly number[] = [0x37, 0xfa, 0x21, 0x3d];
const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/** Gives the bytes of a frame as a client sends it. */
export function frame(opcode: number, payload: string | Buffer = "", form: FrameForm = {}): Buffer {
  const bytes = Buffer.from(payload as string);
  const { fin = true, rsv = 0, isMasked = true, mask = MASK, length = BigInt(bytes.length) } = form;
  const bits = form.lengthBits ?? (length <= 125n ? 7 : length <= 0xffffn ? 16 : 64);
  const extended = Buffer.alloc(bits === 7 ? 0 : bits / 8);
  if (bits === 16) extended.writeUInt16BE(Number(length));
  if (bits === 64) extended.writeBigUInt64BE(length);
  const said = bits === 7 ? Number(length) : bits === 16 ? 126 : 127;
  const head = Buffer.from([(fin ? 0x80 : 0) | (rsv << 4) | opcode, (isMasked ? 0x80 : 0) | said]);
  if (!isMasked) return Buffer.concat([head, extended, bytes]);
  const masked = bytes.map((byte, index) => byte ^ (mask[index % 4] ?? 0));
  return Buffer.concat([head, extended, Buffer.from(mask), masked]);
}

/** Gives a text frame. */
export function text(payload: string | Buffer, form?: FrameForm): Buffer {
  return frame(OPCODE.text, payload, form);
}

/** Gives a close frame with a code and a reason, or with neither. */
export function close(code?: number, reason: string | Buffer = "", form?: FrameForm): Buffer {
  if (code === undefined) return frame(OPCODE.close, "", form);
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(code);
  return frame(OPCODE.close, Buffer.concat([bytes, Buffer.from(reason as string)]), form);
}

/** Gives the frames of a message that is sent in pieces; `between` comes between each two of them. */
export function fragments(
  opcode: number,
  pieces: readonly (string | Buffer)[],
  between: Buffer = Buffer.alloc(0),
): Buffer {
  const frames = pieces.map((piece, index) =>
    frame(index === 0 ? opcode : OPCODE.continuation, piece, { fin: index === pieces.length - 1 }),
  );
  return Buffer.concat(frames.flatMap((one, index) => (index === 0 ? [one] : [between, one])));
}

/** The head of a request for a WebSocket. Headers that are given replace those of their name, or remove them. */
export function upgradeRequest(path: string, headers: Record<string, string | undefined> = {}): string {
  const all = {
    Host: "127.0.0.1",
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
    ...headers,
  };
  const lines = Object.entries(all).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}`],
  );
  return [`GET ${path} HTTP/1.1`, ...lines, "\r\n"].join("\r\n");
}

/** How a request for a WebSocket differs from the usual one. */
export interface RawRequest {
  readonly path?: string;
  readonly headers?: Record<string, string | undefined>;
  readonly first?: Buffer;
}

/** One of the ways in which a WebSocket carries messages. */
export interface WireFraming {
  readonly name: string;
  readonly path: string;
  /** Puts a message into the payload of a client's frame. */
  wrap(message: string): string;
  /** Takes the messages out of a server's frame, as `RawWebSocket` tells of it. */
  unwrap(frame: string): string[];
}

export const PLAIN: WireFraming = {
  name: "a plain WebSocket",
  path: "/sockets/websocket",
  wrap: (message) => message,
  unwrap: (one) => [one.replace(/^text /, "")],
};

export const SOCKJS: WireFraming = {
  name: "a WebSocket with SockJS's framing",
  path: "/sockets/000/session/websocket",
  wrap: (message) => JSON.stringify([message]),
  unwrap: (one) => JSON.parse(one.replace(/^text a/, "")),
};

/**
 * A WebSocket's client by hand, on a connection to a server. What the server sends it knows as texts: `text …`,
 * `binary …`, `ping …`, `pong …` and `close 1000 …`, or `broken …` where that is no right frame of a server.
 */
export class RawWebSocket {
  readonly socket: Duplex;
  readonly framing: WireFraming;
  /** The head of the server's answer. */
  head = "";
  #received: Buffer = Buffer.alloc(0);
  readonly #frames: string[] = [];
  /** The messages of the last frame that nobody has taken. */
  readonly #messages: string[] = [];
  #isClosed = false;
  #wake = () => {};

  private constructor(socket: Duplex, framing: WireFraming) {
    this.socket = socket;
    this.framing = framing;
    // each piece is to go out by itself
    if (socket instanceof Socket) socket.setNoDelay();
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#isClosed = true;
      this.#wake();
    });
  }

  /**
   * Asks for a WebSocket and waits until it is open, and SockJS's has said `o`. Rejects where the server refuses. The
   * path may be another one than the framing's own, and `first` goes with the request.
   */
  static async open(
    socket: Duplex,
    framing: WireFraming,
    { path = framing.path, headers = {}, first = Buffer.alloc(0) }: RawRequest = {},
  ): Promise<RawWebSocket> {
    const webSocket = new RawWebSocket(socket, framing);
    socket.write(Buffer.concat([Buffer.from(upgradeRequest(path, headers)), first]));
    while (!webSocket.head && !webSocket.#isClosed) await webSocket.#change();
    const { head } = webSocket;
    if (!/^HTTP\/1\.1 101 /.test(head) || !head.includes(`Sec-WebSocket-Accept: ${ACCEPT}\r\n`)) {
      throw new Error(`no WebSocket: ${head || "closed"}`);
    }
    const opening = framing === SOCKJS ? await webSocket.next() : "text o";
    if (opening !== "text o") throw new Error(`no session: ${opening}`);
    return webSocket;
  }

  /** Presents a token, and waits until it is accepted. */
  async logIn(token: string): Promise<this> {
    this.send({ rpc: "auth", token });
    const reply = await this.message();
    if (JSON.parse(reply).resp !== "success") throw new Error(`not authenticated: ${reply}`);
    return this;
  }

  /** Sends a message. */
  send(message: unknown): void {
    this.write(text(this.framing.wrap(JSON.stringify(message))));
  }

  /** Sends bytes in one go. */
  write(...bytes: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(bytes));
  }

  /** Sends bytes in pieces, which a server in this process can read one by one. */
  async writePieces(bytes: Buffer, size = 1): Promise<void> {
    for (let offset = 0; offset < bytes.length && !this.#isClosed; offset += size) {
      this.socket.write(bytes.subarray(offset, offset + size));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Takes the next frame, waiting for it. */
  async next(): Promise<string> {
    while (this.#frames.length === 0) {
      if (this.#isClosed) throw new Error("closed before another frame");
      await this.#change();
    }
    return this.#frames.shift() ?? "";
  }

  /** Takes the next message, waiting for it. */
  async message(): Promise<string> {
    while (this.#messages.length === 0) this.#messages.push(...this.framing.unwrap(await this.next()));
    return this.#messages.shift() ?? "";
  }

  /** Waits until the server has ended the connection; gives the messages and frames that nobody has taken. */
  async rest(): Promise<string[]> {
    if (!this.#isClosed) await once(this.socket, "close");
    const unfinished = this.#received.length > 0 ? [`broken ${this.#received.toString("hex")}`] : [];
    return [...this.#messages.splice(0), ...this.#frames.splice(0), ...unfinished];
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #read(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    if (!this.head) {
      const end = this.#received.indexOf("\r\n\r\n");
      if (end === -1) return;
      this.head = this.#received.toString("latin1", 0, end + 4);
      this.#received = this.#received.subarray(end + 4);
    }
    for (let end = endOfFrame(this.#received); end !== undefined; end = endOfFrame(this.#received)) {
      this.#frames.push(describeFrame(this.#received.subarray(0, end)));
      this.#received = this.#received.subarray(end);
    }
    this.#wake();
  }
}

/** Where the payload of a server's frame begins, and its length; undefined where the head is not whole. */
function payloadOf(bytes: Buffer): { start: number; length: number } | undefined {
  const said = bytes[1];
  if (said === undefined) return undefined;
  const start = said === 127 ? 10 : said === 126 ? 4 : 2;
  if (bytes.length < start) return undefined;
  if (start === 2) return { start, length: said & 0x7f };
  return { start, length: start === 4 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2)) };
}

function endOfFrame(bytes: Buffer): number | undefined {
  const payload = payloadOf(bytes);
  const end = payload && payload.start + payload.length;
  return end !== undefined && bytes.length >= end ? end : undefined;
}

function describeFrame(bytes: Buffer): string {
  const { start = 2, length = 0 } = payloadOf(bytes) ?? {};
  const [first = 0, second = 0] = bytes;
  const opcode = first & 0x0f;
  const payload = bytes.subarray(start);
  const shortest = length > 0xffff ? 10 : length > 125 ? 4 : 2;
  const isRight = first === (0x80 | opcode) && second < 0x80 && start === shortest;
  if (isRight && opcode === OPCODE.close && length === 0) return "close";
  const said = opcode === OPCODE.close ? payload.subarray(2) : payload;
  if (!isRight || !isUtf8(said)) return `broken ${bytes.toString("hex")}`;
  if (opcode === OPCODE.close) return `close ${payload.readUInt16BE()} ${said}`.trim();
  return `${NAMES[opcode] ?? "broken"} ${said}`;
}
