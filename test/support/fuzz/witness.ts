import { once } from "node:events";
import { expect } from "chai";
import type { Application } from "../application.js";
import type { WireClient } from "../wire-client.js";

/** A client that does nothing wrong, and shows after each run that it is served, and that nothing else is left. */
export class Witness {
  readonly #application: Application;
  readonly #client: WireClient;
  readonly #fatal: unknown[] = [];
  #count = 0;

  static async of(application: Application): Promise<Witness> {
    const client = await application.open();
    const token = await application.token("?name=witness");
    await client.request({ rpc: "auth", token });
    await client.subscribe("witness");
    return new Witness(application, client);
  }

  private constructor(application: Application, client: WireClient) {
    this.#application = application;
    this.#client = client;
    process.on("uncaughtException", this.#onFatal);
    process.on("unhandledRejection", this.#onFatal);
  }

  /** The process is up, the witness is served, and of everybody else nothing is left. */
  async check(): Promise<void> {
    const { tokenServer } = this.#application;
    while (tokenServer.sockets().length > 1) await once(tokenServer, "disconnect");
    expect(tokenServer.channels()).to.deep.equal(["witness"]);
    await this.isServed();
  }

  /** Whoever is still there but the witness, for the report of a failure. */
  left(): string[] {
    const { tokenServer } = this.#application;
    return tokenServer.sockets().map(({ sid, readyState }) => `${sid} in state ${readyState}`);
  }

  async isServed(): Promise<void> {
    const message = ++this.#count;
    expect(await this.#client.request({ rpc: "echo", req: message, uuid: "w" })).to.deep.equal({
      rpc: "echo",
      uuid: "w",
      resp: message,
    });
    await this.#application.tokenServer.publish("witness", message);
    for (;;) {
      // others may have broadcast; the filter puts each message into an array
      const got = await this.#client.message("witness");
      expect(got).to.be.an("array").with.lengthOf(1);
      if (JSON.stringify(got) === JSON.stringify([message])) break;
    }
    for (const frame of this.#client.frames.splice(0)) {
      if (frame.command !== "refresh") expect(frame.channel, JSON.stringify(frame)).to.equal("witness");
    }
    expect(this.#fatal.splice(0)).to.deep.equal([]);
    this.#application.errors.length = 0;
    this.#application.log.length = 0;
  }

  /** Ends the application; nothing may be left. */
  async end(): Promise<void> {
    const { tokenServer } = this.#application;
    await this.#application.stop();
    process.off("uncaughtException", this.#onFatal);
    process.off("unhandledRejection", this.#onFatal);
    expect(tokenServer.sockets()).to.deep.equal([]);
    expect(tokenServer.channels()).to.deep.equal([]);
    expect(this.#fatal).to.deep.equal([]);
  }

  readonly #onFatal = (error: unknown): void => {
    this.#fatal.push(error);
  };
}
