import { once } from "node:events";
import { connect, type Socket } from "node:net";

const NEWLINE = 10;

/** A connection to Redis that costs little: it counts what comes, and reads only what it has to. */
export class RawRedis {
  readonly #socket: Socket;
  /** Lines that are yet to come. */
  #due = 0;
  #onLines: () => void = () => {};
  #onText: ((text: string) => void) | undefined;
  /** Bytes that have come so far. */
  received = 0;
  onReceived: () => void = () => {};

  static async open(port: number): Promise<RawRedis> {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    await once(socket, "connect");
    return new RawRedis(socket);
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (data) => this.#take(data));
  }

  /** Sends a command, or several; calls `onLines` when so many lines have come in reply. */
  send(text: string, lines: number, onLines: () => void): void {
    this.#due = lines;
    this.#onLines = onLines;
    this.#socket.write(text);
  }

  /** Resolves when so many lines have come. */
  request(text: string, lines: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.once("error", reject);
      this.send(text, lines, () => {
        this.#socket.off("error", reject);
        resolve();
      });
    });
  }

  /** Resolves with a reply of one line, or with one that says how long it is. */
  text(command: string): Promise<string> {
    let all = "";
    return new Promise((resolve, reject) => {
      this.#onText = (text) => {
        all += text;
        const end = all.indexOf("\r\n");
        if (end === -1) return;
        const isBulk = all.startsWith("$");
        const length = isBulk ? Number(all.slice(1, end)) + 2 : 0;
        if (all.length < end + 2 + length) return;
        this.#onText = undefined;
        if (all.startsWith("-")) reject(new Error(all.trim()));
        else resolve(isBulk ? all.slice(end + 2, end + length) : all.slice(1, end));
      };
      this.#socket.write(`${command}\r\n`);
    });
  }

  /** What `INFO`, or another command that answers so, says under a name. */
  async figure(command: string, name: string): Promise<string> {
    const text = await this.text(command);
    const value = new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(text)?.[1];
    if (value === undefined) throw new Error(`${command} does not say ${name}`);
    return value;
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(data: Buffer): void {
    this.received += data.length;
    if (this.#onText) return this.#onText(data.toString("latin1"));
    this.onReceived();
    if (this.#due === 0) return;
    for (let at = data.indexOf(NEWLINE); at !== -1; at = data.indexOf(NEWLINE, at + 1)) this.#due--;
    if (this.#due > 0) return;
    this.#due = 0;
    this.#onLines();
  }
}

/** A command as Redis clients send it. */
export function command(...parts: readonly string[]): string {
  return `*${parts.length}\r\n${parts.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`).join("")}`;
}
