import { expect } from "chai";
import type { TokenSocket, TokenSocketEvents } from "../../lib/client/index.js";
import { HistoryServer } from "./history-server.js";
import { inState, Stage } from "./support.js";

/** A client of a server that keeps histories, and what its listeners have heard of channels; anew for each test. */
export class HistoryScene {
  #stage = new Stage();
  #client: TokenSocket | undefined;
  server = new HistoryServer();
  /** What the client's listeners have heard, in order. */
  heard: unknown[][] = [];

  /** Sets the scene for each test of the suite in which it is called. */
  static forEachTest(): HistoryScene {
    const scene = new HistoryScene();
    beforeEach(() => scene.#set());
    afterEach(() => scene.#clear());
    return scene;
  }

  get client(): TokenSocket {
    return this.#client ?? expect.fail("The scene is set for each test");
  }

  listen(events: readonly (keyof TokenSocketEvents)[]): void {
    for (const event of events)
      this.client.on(event, (...args: unknown[]) => this.heard.push([event, ...args]));
  }

  /** The messages that listeners have heard, and how they came. */
  messages(): unknown[] {
    return this.heard
      .filter(([event]) => event === "message")
      .map(([, , message, info]) => {
        const { recovered } = (info ?? {}) as { recovered?: boolean };
        return recovered ? `${message} recovered` : message;
      });
  }

  plain(): unknown[] {
    return this.messages().map((text) => `${text}`.split(" recovered")[0]);
  }

  others(): unknown[][] {
    return this.heard.filter(([event]) => event !== "message");
  }

  echo(): Promise<unknown> {
    return this.client.rpc("echo", 1);
  }

  /** Cuts the connection; resolves when the client knows. */
  async lose(): Promise<void> {
    const waits = inState(this.client, "waiting");
    this.server.cut();
    await waits;
  }

  async #set(): Promise<void> {
    this.#stage = new Stage();
    this.server = new HistoryServer();
    this.#client = this.#stage.client(await this.#stage.server(this.server.http));
    this.heard = [];
    this.listen(["message", "recovered", "lost"]);
    await this.client.ready();
  }

  async #clear(): Promise<void> {
    await this.#stage.clear();
    expect(this.#stage.errors).to.deep.equal([]);
  }
}
