import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

const HOST = "127.0.0.1";

/**
 * A load balancer as simple as can be: each connection goes to the next server that is in service, or, where that one
 * refuses it, to the one after.
 */
export class Balancer {
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((near) => this.#serve(near, this.#ports.length));
  #ports: readonly number[] = [];
  #turn = 0;

  async start(): Promise<string> {
    this.#server.listen(0, HOST);
    await once(this.#server, "listening");
    return `http://${HOST}:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Takes servers into service, those at these ports and no others. */
  use(...ports: number[]): void {
    this.#ports = ports;
  }

  async stop(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, "close");
  }

  #serve(near: Socket, attempts: number): void {
    const far = connect(this.#ports[this.#turn++ % this.#ports.length] ?? 0, HOST);
    this.#sockets.add(near).add(far);
    near.on("error", () => far.destroy());
    near.on("close", () => {
      this.#sockets.delete(near);
      far.destroy();
    });
    let isConnected = false;
    far.on("connect", () => {
      isConnected = true;
      near.pipe(far);
      far.pipe(near);
    });
    far.on("error", () => {});
    far.on("close", () => {
      this.#sockets.delete(far);
      if (isConnected || attempts === 1) near.destroy();
      else if (!near.destroyed) this.#serve(near, attempts - 1);
    });
  }
}
