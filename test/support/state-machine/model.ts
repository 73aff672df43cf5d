export const CLIENTS = [0, 1, 2, 3];
export const CHANNELS = ["a", "b", "c"];

/** What all servers listen to. */
export const RESERVED = ["___all___", "___sync___"];

/** How many tokens there are for clients that connect while Redis is away. */
export const SPARE_TOKENS = 4;

/** What a client asks for. */
export type Request = { readonly id: number; readonly type: "authenticate" | "hold" } | ChannelRequest;

export interface ChannelRequest {
  readonly id: number;
  readonly type: "subscribe" | "unsubscribe" | "publish";
  readonly channel: string;
}

/** What a client should be like. */
export class ModelClient {
  state: "connecting" | "authenticating" | "open" = "connecting";
  /** Whether it has been open once: then the server may call it. */
  identified = false;
  readonly channels = new Set<string>();
  /** Its requests that wait for Redis, in order. */
  waiting: Request[] = [];
  /** Its calls that a function of the server is about to answer. */
  readonly held = new Set<number>();
  /** Calls of the server that it has not answered. */
  readonly calls = new Set<number>();

  /** Its requests that have no reply. */
  get unanswered(): number[] {
    return [...this.waiting.map(({ id }) => id), ...this.held];
  }
}

/** What everything should be like. */
export class Model {
  isUp = true;
  spareTokens = SPARE_TOKENS;
  readonly clients = new Map<number, ModelClient>();
  #ids = 0;

  nextId(): number {
    return ++this.#ids;
  }

  client(index: number): ModelClient {
    const client = this.clients.get(index);
    if (!client) throw new Error(`There is no client ${index}`);
    return client;
  }

  /** The clients in a channel. */
  members(channel: string): number[] {
    return CLIENTS.filter((index) => this.clients.get(index)?.channels.has(channel));
  }

  /** The channels with a member. */
  channels(): string[] {
    return CHANNELS.filter((channel) => this.members(channel).length > 0);
  }

  /** The channels that Redis should know of. */
  channelsInRedis(): string[] {
    return this.isUp ? [...RESERVED, ...this.channels()] : [];
  }

  /** Takes a request on; says whether it is carried out now. */
  request(index: number, request: Request): boolean {
    const client = this.client(index);
    const isDone = this.isUp || this.#needsNoRedis(client, request);
    if (isDone) this.#carryOut(client, request);
    else client.waiting.push(request);
    if (request.type === "authenticate" && !isDone) client.state = "authenticating";
    return isDone;
  }

  /** Redis is back; gives what each client has waited for. */
  mend(): Map<number, Request[]> {
    this.isUp = true;
    const done = new Map<number, Request[]>();
    for (const [index, client] of this.clients) {
      done.set(index, client.waiting);
      for (const request of client.waiting) this.#carryOut(client, request);
      client.waiting = [];
    }
    return done;
  }

  #needsNoRedis(client: ModelClient, request: Request): boolean {
    if (client.state === "authenticating") return false;
    if (request.type === "hold") return true;
    if (!("channel" in request) || request.type === "publish") return false;
    const { channel } = request;
    const isBehind = client.waiting.some(
      (earlier) =>
        (earlier.type === "subscribe" || earlier.type === "unsubscribe") && earlier.channel === channel,
    );
    // where somebody is in a channel, the server has its subscription
    return !isBehind && (request.type === "unsubscribe" || this.members(channel).length > 0);
  }

  #carryOut(client: ModelClient, request: Request): void {
    if (request.type === "authenticate") {
      client.state = "open";
      client.identified = true;
    } else if (request.type === "hold") client.held.add(request.id);
    else if (request.type === "subscribe") client.channels.add(request.channel);
    else if (request.type === "unsubscribe") client.channels.delete(request.channel);
  }
}
