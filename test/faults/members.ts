import { randomUUID } from "node:crypto";
import type { Frame } from "../support/wire-client.js";
import { WireClient } from "../support/wire-client.js";

/** An event that an observer was told. */
export type Told = readonly [event: "join" | "leave" | "update", id: string];

interface Listed {
  readonly id: string;
  readonly state: unknown;
}

/** A client of protocol 4 that is in a channel, and knows its members by frames alone. */
export class Member {
  readonly name: string;
  readonly channel: string;
  readonly told: Told[] = [];
  /** What was wrong with what it was told. */
  readonly faults: string[] = [];
  /** Each member's state, as JSON. */
  readonly members = new Map<string, string>();
  /** The server that it has connected to last. */
  url = "";
  #client: WireClient | undefined;
  #v = 0;
  #reading: Promise<void> | undefined;

  constructor(name: string, channel = "room:1") {
    this.name = name;
    this.channel = channel;
  }

  get isConnected(): boolean {
    return this.#client !== undefined;
  }

  /** Connects and joins; waits until both are done. */
  async connect(url: string): Promise<void> {
    this.url = url;
    const response = await fetch(`${url}/socket/token?name=${this.name}`);
    const { token } = (await response.json()) as { token: string };
    const client = new WireClient(`${url}/sockets`, "raw-websocket");
    await client.opened;
    await client.request({ rpc: "auth", token, protocol: 4 });
    await client.subscribe(this.channel);
    this.#client = client;
    void client.closed.then(() => {
      if (this.#client === client) this.#client = undefined;
    });
  }

  /** Observes; after a reconnect it tells real differences alone, as a client has to. */
  async observe(): Promise<void> {
    const client = this.#client;
    if (!client) throw new Error("not connected");
    const { resp } = await this.#ask(client, {});
    const page = resp as { v: number; members: Listed[] };
    this.#v = page.v;
    this.#compare(page.members);
    this.#reading = this.#read(client).catch((error: Error) => {
      // its end is none of its faults
      if (!error.message.startsWith("closed")) this.faults.push(error.message);
    });
  }

  set(state: unknown): Promise<Frame> {
    return this.#ask(this.#client as WireClient, { state });
  }

  async leave(): Promise<void> {
    await this.#client?.request({ rpc: "_unsubscribe", req: { channel: this.channel } });
  }

  /** Loses the line. */
  async end(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.end();
    await this.#reading;
  }

  #ask(client: WireClient, req: object): Promise<Frame> {
    const uuid = randomUUID();
    client.send({ rpc: "_presence", uuid, req: { channel: this.channel, ...req } });
    return client.take((frame) => frame.uuid === uuid);
  }

  async #read(client: WireClient): Promise<void> {
    for (;;) {
      const frame = await client.take(({ presence }) => presence === this.channel);
      if (frame.end || frame.resync || frame.v !== ++this.#v) throw new Error(JSON.stringify(frame));
      for (const { id } of (frame.leave ?? []) as Listed[]) this.#tell("leave", id);
      for (const one of (frame.join ?? []) as Listed[]) this.#tell("join", one.id, one.state);
      for (const one of (frame.update ?? []) as Listed[]) this.#tell("update", one.id, one.state);
      if (frame.count !== this.members.size) throw new Error(`${frame.count} are not ${this.members.size}`);
    }
  }

  #compare(listed: readonly Listed[]): void {
    const isFirst = this.members.size === 0;
    const now = new Map(listed.map(({ id, state }) => [id, state]));
    for (const id of [...this.members.keys()]) if (!now.has(id)) this.#tell("leave", id);
    for (const [id, state] of now) {
      if (isFirst) this.members.set(id, JSON.stringify(state));
      else if (!this.members.has(id)) this.#tell("join", id, state);
      else if (this.members.get(id) !== JSON.stringify(state)) this.#tell("update", id, state);
    }
  }

  #tell(event: Told[0], id: string, state?: unknown): void {
    this.told.push([event, id]);
    if (this.members.has(id) === (event === "join"))
      throw new Error(`${this.name} was told ${event} of ${id}`);
    if (event === "leave") this.members.delete(id);
    else this.members.set(id, JSON.stringify(state));
  }
}
