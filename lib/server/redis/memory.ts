import { AsyncResource } from "node:async_hooks";
import type { PayloadListener } from "./broker.js";
import { released } from "./client-redis.js";
import type { HistoryBounds, HistoryNames, Kept, LogPage, LogQuery, NewEntry } from "./history-log.js";
import type { MemberBatch, MemberNames, MemberOutcomes, MemberPage } from "./member-list.js";
import { MemoryStore, type Subscriber } from "./memory-store.js";
import type { EntriesRead, Redis } from "./redis.js";
import type { Beat, ListedServer, ServerNames, ServerTimes } from "./server-list.js";

/** Known by its name in the registry of symbols, so that a second copy of this module knows it as well. */
const CONNECT: unique symbol = Symbol.for("node-token-sockjs.memoryRedis");

/** A store in this process that stands in for Redis, as `redisClient` and as `pubsubClient` at once. */
export interface MemoryRedis {
  readonly [CONNECT]: () => Redis;
}

/**
 * Makes a store in this process that stands in for Redis: for development, for tests, and for applications
 * that run as one process. Servers that are given the same one share it, like servers on one Redis.
 */
export function memoryRedis(): MemoryRedis {
  const store = new MemoryStore();
  return { [CONNECT]: () => new MemoryAdapter(store) };
}

/** Whether a value is a store that {@link memoryRedis} has made. */
export function isMemoryRedis(value: unknown): value is MemoryRedis {
  return (
    typeof value === "object" && value !== null && CONNECT in value && typeof value[CONNECT] === "function"
  );
}

/** Makes an adapter of an embedded store. */
export function connectMemoryRedis(memory: MemoryRedis): Redis {
  return memory[CONNECT]();
}

/** {@link Redis} on a store in this process. */
class MemoryAdapter implements Redis {
  readonly #store: MemoryStore;
  /** The async context in which listeners run: as with Redis, the one in which the connection was made. */
  readonly #context = new AsyncResource("MemoryRedis");
  readonly #subscribers = new Map<string, Map<PayloadListener, Subscriber>>();
  readonly #errorListeners = new Set<{ readonly listener: (error: unknown) => void }>();
  #released = false;

  constructor(store: MemoryStore) {
    this.#store = store;
    store.acquire();
  }

  get isReady(): boolean {
    return !this.#released;
  }

  async ready(): Promise<void> {
    this.#checkInUse();
  }

  /** It answers always. */
  async ping(): Promise<void> {}

  async set(key: string, value: string, ttl: number): Promise<void> {
    this.#checkInUse();
    await this.#store.execute(() => this.#store.set(key, value, ttl));
  }

  async take(key: string): Promise<string | null> {
    this.#checkInUse();
    return this.#store.execute(() => this.#store.take(key));
  }

  async append(key: string, value: string, count: number, ttl: number): Promise<void> {
    this.#checkInUse();
    await this.#store.execute(() => this.#store.append(key, value, count, ttl));
  }

  async remove(key: string, value: string): Promise<void> {
    this.#checkInUse();
    await this.#store.execute(() => this.#store.remove(key, value));
  }

  async list(key: string): Promise<string[]> {
    this.#checkInUse();
    return this.#store.execute(() => this.#store.list(key));
  }

  async keep(names: HistoryNames, bounds: HistoryBounds, entry: NewEntry): Promise<Kept> {
    this.#checkInUse();
    return this.#store.execute(() => this.#store.keep(names, bounds, entry));
  }

  async read(names: HistoryNames, bounds: HistoryBounds, query: LogQuery): Promise<LogPage> {
    this.#checkInUse();
    return this.#store.execute(() => this.#store.read(names, bounds, query));
  }

  async beat(names: ServerNames, times: ServerTimes, id: string, json: string): Promise<Beat> {
    this.#checkInUse();
    return this.#store.execute(() => this.#store.servers.beat(names, times, id, json));
  }

  async servers(names: ServerNames): Promise<ListedServer[]> {
    this.#checkInUse();
    return this.#store.execute(() => this.#store.servers.list(names));
  }

  async forgetServer(names: ServerNames, times: ServerTimes, id: string): Promise<boolean> {
    this.#checkInUse();
    return this.#store.execute(() => this.#store.servers.forget(names, times, id));
  }

  async endServer(names: ServerNames, id: string): Promise<void> {
    this.#checkInUse();
    await this.#store.execute(() => this.#store.servers.end(names, id));
  }

  async changeMembers(
    channelPrefix: string,
    names: MemberNames,
    batch: MemberBatch,
  ): Promise<MemberOutcomes> {
    this.#checkInUse();
    return this.#store.execute(() => this.#store.changeMembers(channelPrefix, names, batch));
  }

  async readMembers(names: MemberNames): Promise<MemberPage> {
    this.#checkInUse();
    return this.#store.execute(() => this.#store.readMembers(names));
  }

  async readEntries(key: string, until: number, count: number): Promise<EntriesRead> {
    this.#checkInUse();
    return this.#store.execute(() => this.#store.readEntries(key, until, count));
  }

  async publish(channel: string, payload: string): Promise<number> {
    this.#checkInUse();
    return this.#store.execute(() => this.#store.publish(channel, payload));
  }

  async subscribe(channel: string, listener: PayloadListener): Promise<void> {
    this.#checkInUse();
    const subscriber = this.#subscriberOf(channel, listener);
    await this.#store.execute(() => this.#store.subscribe(subscriber));
  }

  async unsubscribe(channel: string, listener: PayloadListener): Promise<void> {
    const listeners = this.#subscribers.get(channel);
    const subscriber = listeners?.get(listener);
    if (!listeners || !subscriber) return;
    listeners.delete(listener);
    if (listeners.size === 0) this.#subscribers.delete(channel);
    subscriber.active = false;
    await this.#store.execute(() => this.#store.unsubscribe(subscriber));
  }

  listeners(channel: string): number {
    return this.#subscribers.get(channel)?.size ?? 0;
  }

  /** It is never away. */
  onReturn(): void {}

  onError(listener: (error: unknown) => void): () => void {
    const entry = { listener };
    this.#errorListeners.add(entry);
    return () => {
      this.#errorListeners.delete(entry);
    };
  }

  async rehearse(): Promise<readonly Error[]> {
    return [];
  }

  async info(): Promise<string> {
    return "";
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#store.release();
    for (const [channel, listeners] of this.#subscribers) {
      for (const listener of listeners.keys()) void this.unsubscribe(channel, listener);
    }
    this.#errorListeners.clear();
  }

  #subscriberOf(channel: string, listener: PayloadListener): Subscriber {
    let listeners = this.#subscribers.get(channel);
    if (!listeners) {
      listeners = new Map();
      this.#subscribers.set(channel, listeners);
    }
    let subscriber = listeners.get(listener);
    if (!subscriber) {
      subscriber = {
        channel,
        listener: (payload) => this.#context.runInAsyncScope(this.#deliver, this, listener, payload, channel),
        active: true,
      };
      listeners.set(listener, subscriber);
    }
    return subscriber;
  }

  #deliver(listener: PayloadListener, payload: string, channel: string): void {
    try {
      listener(payload, channel);
    } catch (error) {
      this.#report(error);
    }
  }

  #report(error: unknown): void {
    for (const { listener } of [...this.#errorListeners]) {
      try {
        listener(error);
      } catch {
        // it was the last place to report to
      }
    }
  }

  #checkInUse(): void {
    if (this.#released) throw released();
  }
}
