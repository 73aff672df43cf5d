import {
  attempt,
  type ClientDriver,
  type ClientEvents,
  type ClientSettings,
  type ClientState,
  settingsOf,
  toText,
  toTexts,
} from "./client-driver.js";

/** A client of ioredis (5 or 6), as `new Redis()` makes it: the part that is used. */
export interface IORedisClient {
  readonly status: string;
  ping(): Promise<unknown>;
  set(key: string, value: string, unit: "PX", ttl: number): Promise<unknown>;
  getdel(key: string): Promise<unknown>;
  rpush(key: string, value: string): Promise<unknown>;
  ltrim(key: string, start: number, stop: number): Promise<unknown>;
  pexpire(key: string, ttl: number): Promise<unknown>;
  lrem(key: string, count: number, value: string): Promise<unknown>;
  lrange(key: string, start: number, stop: number): Promise<unknown>;
  publish(channel: string, message: string): Promise<unknown>;
  subscribe(...channels: string[]): Promise<unknown>;
  unsubscribe(...channels: string[]): Promise<unknown>;
  eval(text: string, keys: number, ...args: string[]): Promise<unknown>;
  evalsha(sha: string, keys: number, ...args: string[]): Promise<unknown>;
  info?(section: string): Promise<unknown>;
  connect?(): Promise<unknown>;
  on(event: string, listener: (...args: unknown[]) => void): unknown;
  off(event: string, listener: (...args: unknown[]) => void): unknown;
}

/** The time that the owner of a lazy client has to connect it, in milliseconds. */
const OWNERS_TIME = 1_000;

/** Drives a client of ioredis. */
export class IORedisDriver implements ClientDriver {
  readonly #client: IORedisClient;
  readonly #events: ClientEvents;
  #stopWatching = () => {};
  #asking: NodeJS.Timeout | undefined;
  /** Whether there is a connection of which the client has told neither that it is ready nor an error. */
  #isUntold = false;
  /** Commands that wait for the client to be ready, or not to be connected any more. */
  readonly #held: (() => void)[] = [];

  constructor(client: IORedisClient, events: ClientEvents) {
    this.#client = client;
    this.#events = events;
  }

  /** In each other state the client is on its way. */
  state(): ClientState {
    const { status } = this.#client;
    return status === "ready" ? "ready" : status === "end" ? "ended" : "waiting";
  }

  settings(): ClientSettings {
    return settingsOf(this.#client);
  }

  attach(): void {
    for (const [event, listener] of this.#listeners) this.#client.on(event, listener);
    this.#stopWatching = watchSubscribe(this.#client);
    this.#asking = setTimeout(() => this.#askToConnect(), OWNERS_TIME).unref();
  }

  /**
   * With `lazyConnect` a client waits for its first command, and here the first command waits for the client. Its owner may
   * have connected it by now; it tells of its errors itself.
   */
  #askToConnect(): void {
    if (this.#client.status === "wait") void this.#client.connect?.().catch(() => {});
  }

  detach(): void {
    clearTimeout(this.#asking);
    for (const [event, listener] of this.#listeners) this.#client.off(event, listener);
    this.#stopWatching();
    this.#letGo();
  }

  ping(): Promise<unknown> {
    return this.#run(() => this.#client.ping());
  }

  set(key: string, value: string, ttl: number): Promise<unknown> {
    return this.#run(() => this.#client.set(key, value, "PX", ttl));
  }

  async take(key: string): Promise<string | null> {
    return toText(await this.#run(() => this.#client.getdel(key)));
  }

  push(key: string, value: string): Promise<unknown> {
    return this.#run(() => this.#client.rpush(key, value));
  }

  trim(key: string, count: number): Promise<unknown> {
    return this.#run(() => this.#client.ltrim(key, -count, -1));
  }

  expire(key: string, ttl: number): Promise<unknown> {
    return this.#run(() => this.#client.pexpire(key, ttl));
  }

  remove(key: string, value: string): Promise<unknown> {
    return this.#run(() => this.#client.lrem(key, -1, value));
  }

  async list(key: string): Promise<string[]> {
    return toTexts(await this.#run(() => this.#client.lrange(key, 0, -1)));
  }

  publish(channel: string, payload: string): Promise<unknown> {
    return this.#run(() => this.#client.publish(channel, payload));
  }

  subscribe(channels: readonly string[]): Promise<unknown> {
    return this.#run(() => this.#client.subscribe(...channels));
  }

  unsubscribe(channels: readonly string[]): Promise<unknown> {
    return this.#run(() => this.#client.unsubscribe(...channels));
  }

  async evaluate(text: string, keys: readonly string[], args: readonly string[]): Promise<string[]> {
    return toTexts(await this.#run(() => this.#client.eval(text, keys.length, ...keys, ...args)));
  }

  async evaluateKnown(sha: string, keys: readonly string[], args: readonly string[]): Promise<string[]> {
    return toTexts(await this.#run(() => this.#client.evalsha(sha, keys.length, ...keys, ...args)));
  }

  async info(): Promise<string | null> {
    return toText(await this.#run(async () => this.#client.info?.("memory")));
  }

  /**
   * Gives a command to the client. One that comes between `connect` and `ready` waits for what comes next: the client would
   * write it at once, and never settle it where that connection is lost before `ready`.
   */
  #run<T>(command: () => Promise<T>): Promise<T> {
    if (this.#held.length === 0 && this.#client.status !== "connect") return command();
    return new Promise((resolve) => this.#held.push(() => resolve(attempt(command))));
  }

  #letGo(): void {
    for (const start of this.#held.splice(0)) start();
  }

  #onReady(): void {
    this.#isUntold = false;
    this.#letGo();
    this.#events.ready();
  }

  #onError(error: unknown): void {
    this.#isUntold = false;
    this.#events.failed(error);
  }

  /** The client is silent about a connection that Redis closes before it has answered, such as one that wants TLS. */
  #onReconnecting(): void {
    if (this.#isUntold) this.#onError(new Error("Connection is closed"));
  }

  readonly #listeners: readonly (readonly [string, (...args: unknown[]) => void])[] = [
    [
      "connect",
      () => {
        this.#isUntold = true;
      },
    ],
    ["ready", () => this.#onReady()],
    ["reconnecting", () => this.#onReconnecting()],
    ["close", () => this.#letGo()],
    ["close", () => this.#events.lost()],
    ["end", () => this.#letGo()],
    ["end", () => this.#events.ended(undefined)],
    ["error", (error) => this.#onError(error)],
    ["message", (channel, payload) => this.#events.message(String(channel), String(payload))],
  ];
}

/**
 * On a new connection a client subscribes again by itself, and does not watch the promise: where that fails, for instance
 * because the connection is lost again, it would be an unhandled rejection, and the end of the process. Gives the function
 * that takes the watch away.
 */
function watchSubscribe(client: IORedisClient): () => void {
  const before = Object.getOwnPropertyDescriptor(client, "subscribe");
  const { subscribe } = client;
  const watched: typeof subscribe = (...args) => {
    const subscribing: unknown = Reflect.apply(subscribe, client, args);
    if (subscribing instanceof Promise) subscribing.catch(() => {});
    return subscribing as Promise<unknown>;
  };
  client.subscribe = watched;
  return () => {
    // somebody else may have put something around it
    if (client.subscribe !== watched) return;
    if (before) Object.defineProperty(client, "subscribe", before);
    else Reflect.deleteProperty(client, "subscribe");
  };
}
