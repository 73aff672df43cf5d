import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

const HOST = "127.0.0.1";

/** What is to be held back, and who waits for it. */
interface Hold {
  readonly command: RegExp;
  resolve(): void;
}

/**
 * A TCP proxy that can be severed and mended: to its clients it is a server that has ended and comes back. It can fall
 * silent, too, and lead to another server.
 */
export class SeverableLine {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #target: number;
  #port = 0;
  #isSilent = false;
  #hold: Hold | undefined;

  static async to(port: number): Promise<SeverableLine> {
    const line = new SeverableLine(port);
    await line.mend();
    line.#port = (line.#server.address() as AddressInfo).port;
    return line;
  }

  private constructor(port: number) {
    this.#target = port;
    this.#server = createServer((near) => {
      const far = connect(this.#target, HOST);
      near.on("data", (data) => this.#holdAtCommand(data, far));
      this.#link(near, far);
      this.#link(far, near);
    });
  }

  get host(): string {
    return HOST;
  }

  get port(): number {
    return this.#port;
  }

  /** `redis://host:port` */
  get url(): string {
    return `redis://${HOST}:${this.#port}`;
  }

  /** Ends all connections and refuses new ones. */
  async sever(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, "close");
  }

  /** Serves again, on the same port. */
  async mend(): Promise<void> {
    if (this.#server.listening) return;
    this.#server.listen(this.#port, HOST);
    await once(this.#server, "listening");
  }

  /** Ends all connections; from now on they lead to another server. */
  moveTo(port: number): void {
    this.#target = port;
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Keeps to itself all that comes, from both sides, until `speak`. */
  fallSilent(): void {
    this.#isSilent = true;
    for (const socket of this.#sockets) socket.pause();
  }

  /** Passes on all that it has kept. */
  speak(): void {
    this.#isSilent = false;
    this.#hold = undefined;
    for (const socket of this.#sockets) socket.resume();
  }

  /** Lets the next command through that fits, and keeps its answer; resolves when there was one. */
  holdAnswerTo(command: RegExp): Promise<void> {
    return new Promise((resolve) => {
      this.#hold = { command, resolve };
    });
  }

  #holdAtCommand(data: Buffer, far: Socket): void {
    if (!this.#hold?.command.test(String(data))) return;
    far.pause();
    this.#hold.resolve();
    this.#hold = undefined;
  }

  #link(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.on("data", (data) => to.write(data));
    if (this.#isSilent) from.pause();
    from.on("error", () => {});
    from.on("close", () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }
}
