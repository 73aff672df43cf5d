import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** A TCP proxy that can lose all that passes without a word, as a cable does that is cut. */
export class BlackHole {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isCut = false;

  static async before(port: number): Promise<BlackHole> {
    const hole = new BlackHole(port);
    hole.#server.listen(0, "127.0.0.1");
    await once(hole.#server, "listening");
    return hole;
  }

  private constructor(port: number) {
    this.#server = createServer((near) => {
      const far = connect(port, "127.0.0.1");
      this.#link(near, far);
      this.#link(far, near);
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Loses all from now on, ends of connections too. */
  cut(): void {
    this.#isCut = true;
  }

  async stop(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, "close");
  }

  #link(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.on("data", (data) => this.#isCut || to.write(data));
    from.on("end", () => this.#isCut || to.end());
    from.on("error", () => {});
    from.on("close", () => {
      this.#sockets.delete(from);
      if (!this.#isCut) to.destroy();
    });
  }
}
