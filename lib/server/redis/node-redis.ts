import {
  type ClientDriver,
  type ClientEvents,
  type ClientSettings,
  type ClientState,
  settingsOf,
  toText,
  toTexts,
} from "./client-driver.js";

/** A client of node-redis (`redis` 4, 5 or 6), as `createClient()` makes it: the part that is used. */
export interface NodeRedisClient {
  readonly isOpen: boolean;
  readonly isReady: boolean;
  ping(): Promise<unknown>;
  set(key: string, value: string, options: { PX: number }): Promise<unknown>;
  getDel(key: string): Promise<unknown>;
  rPush(key: string, value: string): Promise<unknown>;
  lTrim(key: string, start: number, stop: number): Promise<unknown>;
  pExpire(key: string, ttl: number): Promise<unknown>;
  lRem(key: string, count: number, value: string): Promise<unknown>;
  lRange(key: string, start: number, stop: number): Promise<unknown>;
  publish(channel: string, message: string): Promise<unknown>;
  subscribe(
    channels: string | string[],
    listener: (message: string, channel: string) => void,
  ): Promise<unknown>;
  unsubscribe(
    channels: string | string[],
    listener: (message: string, channel: string) => void,
  ): Promise<unknown>;
  /** Needed with pub/sub. */
  eval?(text: string, options: ScriptOptions): Promise<unknown>;
  evalSha?(sha: string, options: ScriptOptions): Promise<unknown>;
  info?(section: string): Promise<unknown>;
  /** The same client with other options for its commands; version 4 has none. */
  withCommandOptions?(options: { timeout?: number | undefined }): FrequentCommands;
  on(event: string | symbol, listener: (...args: unknown[]) => void): unknown;
  off(event: string | symbol, listener: (...args: unknown[]) => void): unknown;
  eventNames(): readonly (string | symbol)[];
  listenerCount(event: string | symbol): number;
}

interface ScriptOptions {
  keys: string[];
  arguments: string[];
}

/** The commands of each login and each message. */
type FrequentCommands = Pick<NodeRedisClient, "set" | "getDel" | "publish" | "eval" | "evalSha">;

/** Commands under way at a time without the client's time limit, which bounds what waits for a Redis that reads nothing. */
const MOST_WITHOUT_LIMIT = 1_000;

/** An event that never comes. */
const ANCHOR = Symbol("anchor");

/** Drives a client of node-redis. */
export class NodeRedisDriver implements ClientDriver {
  readonly #client: NodeRedisClient;
  readonly #events: ClientEvents;
  readonly #withoutLimit: FrequentCommands;
  #underWay = 0;

  constructor(client: NodeRedisClient, events: ClientEvents) {
    this.#client = client;
    this.#withoutLimit = client.withCommandOptions?.({ timeout: undefined }) ?? client;
    this.#events = events;
  }

  /** A client that is not open has not been connected yet, or has been closed: there is no telling. */
  state(): ClientState {
    return this.#client.isReady ? "ready" : "waiting";
  }

  settings(): ClientSettings {
    return settingsOf(this.#client);
  }

  attach(): void {
    for (const [event, listener] of this.#listeners) this.#client.on(event, listener);
  }

  detach(): void {
    this.#anchor();
    for (const [event, listener] of this.#listeners) this.#client.off(event, listener);
  }

  ping(): Promise<unknown> {
    return this.#client.ping();
  }

  set(key: string, value: string, ttl: number): Promise<unknown> {
    return this.#run((client) => client.set(key, value, { PX: ttl }));
  }

  take(key: string): Promise<string | null> {
    return this.#run((client) => client.getDel(key)).then(toText);
  }

  push(key: string, value: string): Promise<unknown> {
    return this.#client.rPush(key, value);
  }

  trim(key: string, count: number): Promise<unknown> {
    return this.#client.lTrim(key, -count, -1);
  }

  expire(key: string, ttl: number): Promise<unknown> {
    return this.#client.pExpire(key, ttl);
  }

  remove(key: string, value: string): Promise<unknown> {
    return this.#client.lRem(key, -1, value);
  }

  async list(key: string): Promise<string[]> {
    return toTexts(await this.#client.lRange(key, 0, -1));
  }

  publish(channel: string, payload: string): Promise<unknown> {
    return this.#run((client) => client.publish(channel, payload));
  }

  async subscribe(channels: readonly string[]): Promise<unknown> {
    this.#checkOpen();
    return this.#client.subscribe([...channels], this.#onMessage);
  }

  async unsubscribe(channels: readonly string[]): Promise<unknown> {
    this.#checkOpen();
    return this.#client.unsubscribe([...channels], this.#onMessage);
  }

  async evaluate(text: string, keys: readonly string[], args: readonly string[]): Promise<string[]> {
    return toTexts(
      await this.#run((client) => client.eval?.(text, { keys: [...keys], arguments: [...args] })),
    );
  }

  async evaluateKnown(sha: string, keys: readonly string[], args: readonly string[]): Promise<string[]> {
    return toTexts(
      await this.#run((client) => client.evalSha?.(sha, { keys: [...keys], arguments: [...args] })),
    );
  }

  async info(): Promise<string | null> {
    return toText(await this.#client.info?.("memory"));
  }

  /**
   * Gives a command to the client. Version 6 limits the time that a command may wait to be sent, with a signal and a timer
   * for each, which cost several times what the command does. While the client is connected, no command waits.
   */
  #run(command: (client: FrequentCommands) => Promise<unknown> | undefined): Promise<unknown> {
    const isLimited = !this.#client.isReady || this.#underWay >= MOST_WITHOUT_LIMIT;
    const running = Promise.resolve(command(isLimited ? this.#client : this.#withoutLimit));
    if (isLimited) return running;
    this.#underWay++;
    running.then(this.#ended, this.#ended);
    return running;
  }

  readonly #ended = (): void => {
    this.#underWay--;
  };

  /** A closed client refuses other commands, but would keep these two waiting for ever. */
  #checkOpen(): void {
    if (!this.#client.isOpen) throw new Error("The Redis client is closed");
  }

  /**
   * Keeps a client that has none but our listeners from losing its last one. `createClient` of node-redis 5 and
   * 6 gives an object that inherits from the client that emits, and Node.js gives an emitter that loses its last
   * listener a new table of them: that object would have it for itself, and would never hear an event again.
   */
  #anchor(): void {
    const isOurs = (event: string | symbol) => this.#listeners.some(([ours]) => ours === event);
    const others = this.#client
      .eventNames()
      .some((event) => this.#client.listenerCount(event) > (isOurs(event) ? 1 : 0));
    if (!others) this.#client.on(ANCHOR, () => {});
  }

  readonly #onError = (error: unknown): void => {
    this.#events.failed(error);
    // a client that gives up connecting says so by nothing else
    if (!this.#client.isOpen) this.#events.ended(error);
  };

  readonly #onMessage = (payload: string, channel: string): void => this.#events.message(channel, payload);

  readonly #listeners: readonly (readonly [string, (...args: unknown[]) => void])[] = [
    ["ready", () => this.#events.ready()],
    ["reconnecting", () => this.#events.lost()],
    ["end", () => this.#events.ended(undefined)],
    ["error", this.#onError],
  ];
}
