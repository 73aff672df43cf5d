import type { PayloadListener } from "./broker.js";
import type { ClientDriver } from "./client-driver.js";
import { ExplainedError, explain, isAnswer, isForbidden, isOfScript } from "./explained-error.js";
import {
  type HistoryBounds,
  type HistoryNames,
  KEEP,
  type Kept,
  keepArguments,
  type LogPage,
  type LogQuery,
  type NewEntry,
  parseKept,
  parsePage,
  READ,
  readArguments,
} from "./history-log.js";
import { KeepBatch } from "./keep-batch.js";
import {
  changeArguments,
  type MemberBatch,
  type MemberNames,
  type MemberOutcomes,
  type MemberPage,
  PAGE,
  parseMemberPage,
  parseOutcomes,
} from "./member-list.js";
import { CHANGE, READ_ENTRIES, READ_MEMBERS } from "./member-scripts.js";
import type { EntriesRead, Redis } from "./redis.js";
import type { Script } from "./script.js";
import {
  BEAT,
  type Beat,
  beatArguments,
  END,
  endArguments,
  FORGET,
  forgetArguments,
  LIST,
  type ListedServer,
  listArguments,
  parseBeat,
  parseList,
  type ServerNames,
  type ServerTimes,
} from "./server-list.js";
import type { SharedClient } from "./shared-client.js";
import type { Trial } from "./trial.js";

/** The prefixes of the names that a server uses in Redis. */
export interface Names {
  /** Its tokens' keys; each other key begins with `token-sockjs:`. */
  readonly tokenPrefix: string;
  readonly channelPrefix: string;
}

/** The prefix of all keys but those of tokens, which may have another. */
const KEYS = "token-sockjs:";

/** {@link Redis} on a client that its owner may share between several servers. */
export class ClientRedis implements Redis {
  readonly #client: SharedClient;
  readonly #names: Names;
  readonly #keeping: KeepBatch;
  #released = false;

  constructor(client: SharedClient, names: Names) {
    this.#client = client;
    this.#names = names;
    this.#keeping = new KeepBatch(async (channel, bounds, entries) =>
      parseKept(await this.#runScript(KEEP, keepArguments(channel, bounds, entries)), entries.length),
    );
    client.acquire(this);
  }

  get isReady(): boolean {
    return !this.#released && this.#client.isReady;
  }

  async ready(): Promise<void> {
    this.#checkInUse();
    await this.#client.ready(this);
  }

  async ping(): Promise<void> {
    await this.#run("ping", undefined, (driver) => driver.ping());
  }

  set(key: string, value: string, ttl: number): Promise<unknown> {
    return this.#run("set", key, (driver) => driver.set(key, value, ttl));
  }

  take(key: string): Promise<string | null> {
    return this.#run("getdel", key, (driver) => driver.take(key));
  }

  async append(key: string, value: string, count: number, ttl: number): Promise<void> {
    await this.#run("rpush ltrim pexpire", key, (driver) =>
      Promise.all([driver.push(key, value), driver.trim(key, count), driver.expire(key, ttl)]),
    );
  }

  async remove(key: string, value: string): Promise<void> {
    await this.#run("lrem", key, (driver) => driver.remove(key, value));
  }

  async list(key: string): Promise<string[]> {
    return this.#run("lrange", key, (driver) => driver.list(key));
  }

  async keep(names: HistoryNames, bounds: HistoryBounds, entry: NewEntry): Promise<Kept> {
    this.#checkInUse();
    return this.#keeping.add(names, bounds, entry);
  }

  async read(names: HistoryNames, bounds: HistoryBounds, query: LogQuery): Promise<LogPage> {
    const answer = await this.#runScript(READ, readArguments(names, bounds, query));
    return parsePage(answer, query.from === undefined);
  }

  async beat(names: ServerNames, times: ServerTimes, id: string, json: string): Promise<Beat> {
    return parseBeat(await this.#runScript(BEAT, beatArguments(names, times, id, json)));
  }

  async servers(names: ServerNames): Promise<ListedServer[]> {
    return parseList(await this.#runScript(LIST, listArguments(names)));
  }

  async forgetServer(names: ServerNames, times: ServerTimes, id: string): Promise<boolean> {
    return (await this.#runScript(FORGET, forgetArguments(names, times, id)))[0] === "1";
  }

  async endServer(names: ServerNames, id: string): Promise<void> {
    await this.#runScript(END, endArguments(names, id));
  }

  async changeMembers(
    channelPrefix: string,
    names: MemberNames,
    batch: MemberBatch,
  ): Promise<MemberOutcomes> {
    return parseOutcomes(await this.#runScript(CHANGE, changeArguments(channelPrefix, names, batch)));
  }

  async readMembers({ members }: MemberNames, cursor: string): Promise<MemberPage> {
    const read = { keys: [members], args: [cursor, String(PAGE)] };
    return parseMemberPage(await this.#runScript(READ_MEMBERS, read));
  }

  async readEntries(key: string, until: number, count: number): Promise<EntriesRead> {
    const read = { keys: [key], args: [String(until), String(count)] };
    const [now, ...entries] = await this.#runScript(READ_ENTRIES, read);
    return { now: Number(now), entries };
  }

  async publish(channel: string, payload: string): Promise<number> {
    return Number(await this.#run("publish", undefined, (driver) => driver.publish(channel, payload)));
  }

  async subscribe(channel: string, listener: PayloadListener): Promise<void> {
    this.#checkInUse();
    try {
      await this.#client.subscriptions.subscribe(channel, listener, this);
    } catch (error) {
      throw this.#explained(error, "subscribe");
    }
  }

  async unsubscribe(channel: string, listener: PayloadListener): Promise<void> {
    await this.#client.subscriptions.unsubscribe(channel, listener);
  }

  listeners(channel: string): number {
    return this.#client.subscriptions.listeners(channel);
  }

  onReturn(listener: () => void): void {
    this.#client.onReturn(this, listener);
  }

  onError(listener: (error: unknown) => void): () => void {
    return this.#client.onError(this, (error) => listener(this.#explained(error, "subscribe")));
  }

  async rehearse(trials: readonly Trial[]): Promise<readonly Error[]> {
    const tried = trials.map(({ commands, key, run }) => this.#run(commands, key, run));
    const settled = await Promise.allSettled(tried);
    const refused = new Set<string>();
    const errors = new Map<string, Error>();
    for (const [index, { commands, uses = "", after = "", isOptional }] of trials.entries()) {
      const outcome = settled[index];
      if (outcome?.status !== "rejected") continue;
      const error: unknown = outcome.reason;
      if (!isAnswer(error)) throw error;
      if ((refused.has(uses) && isOfScript(error)) || refused.has(after)) continue;
      if (isOptional && !isForbidden(error)) continue;
      refused.add(commands);
      const cause = error instanceof ExplainedError ? error.advice : error.message;
      if (!errors.has(cause)) errors.set(cause, error);
    }
    return [...errors.values()];
  }

  async info(): Promise<string> {
    return (await this.#run("info", undefined, (driver) => driver.info())) ?? "";
  }

  release(): void {
    if (this.#released) return;
    this.#keeping.flush();
    this.#released = true;
    this.#client.release(this, released());
  }

  async #run<T>(
    commands: string,
    key: string | undefined,
    command: (driver: ClientDriver) => Promise<T>,
  ): Promise<T> {
    this.#checkInUse();
    this.#keeping.flush();
    try {
      return await this.#client.run(this, () => command(this.#client.driver));
    } catch (error) {
      throw this.#explained(error, commands, key);
    }
  }

  async #runScript(
    script: Script,
    { keys, args }: { readonly keys: readonly string[]; readonly args: readonly string[] },
  ): Promise<string[]> {
    this.#checkInUse();
    this.#keeping.flush();
    try {
      return await this.#client.runScript(this, script, keys, args);
    } catch (error) {
      throw this.#explained(error, script.commands, keys[0]);
    }
  }

  #explained(error: unknown, commands: string, key?: string): unknown {
    const { user, keyPrefix } = this.#client.driver.settings();
    const { hasBeenReady } = this.#client;
    const { tokenPrefix, channelPrefix } = this.#names;
    if (key === undefined)
      return explain(error, { user, commands, hasBeenReady, channels: `${channelPrefix}*` });
    const beginning = key.startsWith(KEYS) ? KEYS : tokenPrefix;
    return explain(error, { user, commands, hasBeenReady, keys: `${keyPrefix}${beginning}*` });
  }

  #checkInUse(): void {
    if (this.#released) throw released();
  }
}

/** The error of a command whose adapter has been released. */
export function released(): Error {
  return new Error("The Redis client is not in use any more");
}
