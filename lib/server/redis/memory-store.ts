import type { HistoryBounds, HistoryNames, Kept, LogPage, LogQuery, NewEntry } from "./history-log.js";
import type { MemberBatch, MemberNames, MemberOutcomes, MemberPage } from "./member-list.js";
import { MemoryLogs } from "./memory-log.js";
import { MemoryMembers } from "./memory-members.js";
import { MemoryServers } from "./memory-servers.js";
import type { EntriesRead } from "./redis.js";

/** The interval at which expired keys are cleared away, in milliseconds. */
const SWEEP_INTERVAL = 1000;

interface Entry {
  readonly value: string;
  readonly expires: number;
}

interface List {
  readonly values: readonly string[];
  readonly expires: number;
}

/** One listener on one channel. */
export interface Subscriber {
  readonly channel: string;
  readonly listener: (payload: string) => void;
  /** False from the moment in which it is taken back. */
  active: boolean;
}

/** Keys and channels in this process: what a Redis server holds for the others. */
export class MemoryStore {
  readonly #entries = new Map<string, Entry>();
  readonly #lists = new Map<string, List>();
  readonly #channels = new Map<string, Set<Subscriber>>();
  readonly #logs = new MemoryLogs();
  /** The servers that share the store. */
  readonly servers = new MemoryServers();
  readonly #members = new MemoryMembers();
  #queue: (() => void)[] = [];
  #users = 0;
  #sweeper: NodeJS.Timeout | undefined;

  /** Counts one more who uses it; as long as there are any, what has expired is cleared away. */
  acquire(): void {
    this.#users++;
    if (!this.#isEmpty) this.#scheduleSweep();
  }

  /** Counts one less. A store that nobody uses has no timer, so that it goes with all that it holds once nobody has it. */
  release(): void {
    this.#users--;
    if (this.#users > 0) return;
    clearTimeout(this.#sweeper);
    this.#sweeper = undefined;
  }

  /** The number of keys, including those that have expired since the last sweep. */
  get size(): number {
    return this.#entries.size;
  }

  /** Carries a command out soon, never at once, and after all that were given before. */
  execute<T>(command: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#enqueue(() => {
        try {
          resolve(command());
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  set(key: string, value: string, ttl: number): void {
    if (!Number.isSafeInteger(ttl) || ttl <= 0) throw new Error("ERR invalid expire time in 'set' command");
    this.#entries.set(key, { value: value.toWellFormed(), expires: performance.now() + ttl });
    this.#scheduleSweep();
  }

  take(key: string): string | null {
    const entry = this.#entries.get(key);
    this.#entries.delete(key);
    return entry && entry.expires > performance.now() ? entry.value : null;
  }

  append(key: string, value: string, count: number, ttl: number): void {
    const values = [...this.list(key), value.toWellFormed()].slice(-count);
    this.#lists.set(key, { values, expires: performance.now() + ttl });
    this.#scheduleSweep();
  }

  remove(key: string, value: string): void {
    const list = this.#lists.get(key);
    if (!list) return;
    const index = list.values.lastIndexOf(value.toWellFormed());
    if (index !== -1) this.#lists.set(key, { ...list, values: list.values.toSpliced(index, 1) });
  }

  list(key: string): string[] {
    const list = this.#lists.get(key);
    return list && list.expires > performance.now() ? [...list.values] : [];
  }

  keep(names: HistoryNames, bounds: HistoryBounds, entry: NewEntry): Kept {
    this.#scheduleSweep();
    return this.#logs.keep(names, bounds, entry, (payload) => this.publish(names.channel, payload));
  }

  read(names: HistoryNames, bounds: HistoryBounds, query: LogQuery): LogPage {
    this.#scheduleSweep();
    return this.#logs.read(names, bounds, query);
  }

  changeMembers(channelPrefix: string, names: MemberNames, batch: MemberBatch): MemberOutcomes {
    this.#scheduleSweep();
    return this.#members.change(channelPrefix, names, batch, (payload) =>
      this.publish(names.channel, payload),
    );
  }

  readMembers(names: MemberNames): MemberPage {
    return this.#members.read(names);
  }

  readEntries(key: string, until: number, count: number): EntriesRead {
    return this.#members.entries(key, until, count);
  }

  publish(channel: string, payload: string): number {
    const subscribers = this.#channels.get(channel);
    if (!subscribers) return 0;
    const text = payload.toWellFormed();
    for (const subscriber of subscribers) {
      // by a turn of its own, as over a network: whoever has just subscribed learns that before the message
      this.#enqueue(() => {
        if (subscriber.active) subscriber.listener(text);
      });
    }
    return subscribers.size;
  }

  subscribe(subscriber: Subscriber): void {
    if (!subscriber.active) return;
    let subscribers = this.#channels.get(subscriber.channel);
    if (!subscribers) {
      subscribers = new Set();
      this.#channels.set(subscriber.channel, subscribers);
    }
    subscribers.add(subscriber);
  }

  unsubscribe(subscriber: Subscriber): void {
    const subscribers = this.#channels.get(subscriber.channel);
    subscribers?.delete(subscriber);
    if (subscribers?.size === 0) this.#channels.delete(subscriber.channel);
  }

  #enqueue(task: () => void): void {
    if (this.#queue.push(task) === 1) setImmediate(this.#drain);
  }

  readonly #drain = (): void => {
    // what these add is for the next turn, so that no exchange of messages keeps the process from its other work
    const tasks = this.#queue;
    this.#queue = [];
    for (const task of tasks) task();
  };

  #scheduleSweep(): void {
    if (this.#users > 0) this.#sweeper ??= setTimeout(this.#sweep, SWEEP_INTERVAL).unref();
  }

  readonly #sweep = (): void => {
    this.#sweeper = undefined;
    const now = performance.now();
    for (const kept of [this.#entries, this.#lists]) {
      for (const [key, { expires }] of kept) {
        if (expires <= now) kept.delete(key);
      }
    }
    this.#logs.sweep();
    this.#members.sweep();
    if (!this.#isEmpty) this.#scheduleSweep();
  };

  get #isEmpty(): boolean {
    return this.#entries.size + this.#lists.size + this.#logs.size + this.#members.size === 0;
  }
}
