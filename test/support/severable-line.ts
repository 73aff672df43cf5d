import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

const HOST = "127.0.0.1";

/** A TCP proxy that can be severed and mended: to its clients it is a server that has ended and comes back. */
export class SeverableLine {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #port = 0;

  static async to(port: number): Promise<SeverableLine> {
    const line = new SeverableLine(port);
    await line.mend();
    line.#port = (line.#server.address() as AddressInfo).port;
    return line;
  }

  private constructor(port: number) {
    this.#server = createServer((near) => {
      const far = connect(port, HOST);
      this.#link(near, far);
      this.#link(far, near);
    });
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

  #link(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.on("data", (data) => to.write(data));
    from.on("error", () => {});
    from.on("close", () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }
}
