import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";

/** How long a handshake may take, in milliseconds. */
const PATIENCE = 30_000;

/** What all sockets read into: what is in it is dealt with before the next one reads. */
const INPUT = Buffer.allocUnsafe(262_144);

const TEXT = 1;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

/** What a socket receives: the payload of a text frame, in a buffer that is good for the length of the call. */
export type Receive = (buffer: Buffer, start: number, end: number) => void;

/** A WebSocket over a bare TCP socket, that does no more than a load generator needs: it sends ASCII, and unmasked. */
export class RawSocket {
  receive: Receive = () => {};
  /** Called once, when the other side ends it. */
  onLost: (error: Error) => void = () => {};
  readonly #socket: Socket;
  readonly upgraded: Promise<void>;
  #onHead: ((error?: Error) => void) | undefined;
  #rest: Buffer | undefined;
  #isClosing = false;

  constructor(port: number, path: string) {
    this.#socket = connect({
      port,
      host: "127.0.0.1",
      noDelay: true,
      onread: {
        buffer: INPUT,
        callback: (length) => {
          this.#take(length);
          return true;
        },
      },
    });
    this.upgraded = new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#socket.destroy(new Error("No answer to a handshake")), PATIENCE);
      this.#onHead = (error) => {
        clearTimeout(timer);
        this.#onHead = undefined;
        if (error) reject(error);
        else resolve();
      };
    });
    let failure = new Error("The server has closed a socket");
    this.#socket.on("error", (error) => {
      failure = error;
    });
    this.#socket.on("close", () => {
      this.#onHead?.(failure);
      if (!this.#isClosing) this.onLost(failure);
    });
    const key = randomBytes(16).toString("base64");
    this.#socket.write(
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
    );
  }

  /** Sends what `frame` has made, any number of frames. */
  write(frames: string): void {
    this.#socket.write(frames, "latin1");
  }

  send(text: string): void {
    this.write(frame(text));
  }

  /** Reads nothing any more. */
  stall(): void {
    this.#socket.pause();
  }

  close(): void {
    this.#isClosing = true;
    this.#socket.destroy();
  }

  #take(length: number): void {
    if (!this.#rest && !this.#onHead) {
      this.#parse(INPUT, 0, length);
      return;
    }
    const input = INPUT.subarray(0, length);
    const data = this.#rest ? Buffer.concat([this.#rest, input]) : input;
    this.#rest = undefined;
    this.#parse(data, this.#onHead ? this.#endOfHead(data) : 0, data.length);
  }

  /** Where the frames begin; the whole length while the answer to the handshake is not complete. */
  #endOfHead(data: Buffer): number {
    const end = data.indexOf("\r\n\r\n");
    if (end === -1) {
      this.#rest = Buffer.from(data);
      return data.length;
    }
    const [status = ""] = data.toString("latin1", 0, end).split("\r\n");
    if (!status.includes(" 101 ")) this.#socket.destroy(new Error(`Not upgraded: ${status}`));
    else this.#onHead?.();
    return end + 4;
  }

  #parse(data: Buffer, from: number, end: number): void {
    let at = from;
    while (end - at >= 2) {
      const head = data[at] ?? 0;
      let size = (data[at + 1] ?? 0) & 127;
      let start = at + 2;
      if (size === 126) {
        if (end - at < 4) break;
        size = data.readUInt16BE(start);
        start += 2;
      } else if (size === 127) {
        if (end - at < 10) break;
        size = Number(data.readBigUInt64BE(start));
        start += 8;
      }
      if (start + size > end) break;
      at = start + size;
      if (head === (0x80 | TEXT)) this.receive(data, start, at);
      else this.#control(head, data.subarray(start, at));
    }
    if (at < end) this.#rest = Buffer.from(data.subarray(at, end));
  }

  #control(head: number, payload: Buffer): void {
    switch (head) {
      case 0x80 | PING:
        return this.write(frame(payload.toString("latin1"), PONG));
      case 0x80 | PONG:
        return;
      case 0x80 | CLOSE: {
        const reason = payload.length < 2 ? "" : `${payload.readUInt16BE(0)} ${payload.toString("utf8", 2)}`;
        this.#socket.destroy(new Error(`The server has closed a socket: ${reason}`));
        return;
      }
      default:
        this.#socket.destroy(new Error(`An unexpected frame: ${head}`));
    }
  }
}

/** A frame of ASCII, masked with zeros, which leave it as it is. */
export function frame(text: string, opcode = TEXT): string {
  const { length } = text;
  const head = String.fromCharCode(0x80 | opcode);
  if (length < 126) return `${head}${String.fromCharCode(0x80 | length)}\0\0\0\0${text}`;
  if (length > 65_535) throw new RangeError("Too long for the benchmark");
  return `${head}\xfe${String.fromCharCode(length >> 8, length & 255)}\0\0\0\0${text}`;
}
