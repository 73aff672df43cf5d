import { setTimeout as delay } from "node:timers/promises";
import { entriesKey, parseEntry } from "../redis/member-list.js";
import type { Redis } from "../redis/redis.js";

/** The part of the registry of servers that presence needs. */
export interface ServerRegistry {
  /** This server's id, new at each start. */
  readonly id: string;
  /** The servers that are alive. */
  servers(): Promise<readonly { readonly id: string }[]>;
  /** Calls a function for each other server that is dead, again and again until `forget` is called. */
  onDead(listener: (id: string) => void): void;
  /** Calls a function when this server was taken for dead meanwhile, or Redis was emptied. */
  onReturn(listener: () => void): void;
  /** Forgets a dead server: what it had left is done. */
  forget(id: string): Promise<unknown>;
}

export interface LeftBehindParts {
  readonly redis: Redis;
  readonly channelPrefix: string;
  readonly registry: ServerRegistry;
  /** Takes over members of a channel that a server has left behind, which was dead at a time of Redis. */
  readonly takeOver: (
    channel: string,
    dead: { readonly server: string; readonly at: number },
    ids: readonly string[],
  ) => Promise<void>;
  readonly onError: (error: unknown) => void;
}

/** The partitions of channels, and entries in one answer. */
const PARTITIONS = 256;
const MOST_ENTRIES = 100;

/** The partitions that are looked through at once. */
const AT_ONCE = 16;

/** How long this server lets others go before it, in milliseconds at most: one that comes later finds nothing to do. */
const SPREAD = 200;

/**
 * The members that dead servers have left behind. Each server that is alive looks for them; a script lets one alone take each
 * over, and passes over what the server has written after it was dead, since it is back then.
 */
export class LeftBehind {
  readonly #parts: LeftBehindParts;
  readonly #underWay = new Set<string>();
  #isClosed = false;

  constructor(parts: LeftBehindParts) {
    this.#parts = parts;
  }

  /** Takes over what a dead server has left, and has it forgotten. Never rejects; what fails is tried at the next call. */
  async takeOver(server: string): Promise<void> {
    if (this.#isClosed || this.#underWay.has(server)) return;
    this.#underWay.add(server);
    try {
      await delay(Math.random() * SPREAD, undefined, { ref: false });
      const isDone = await this.#takeOver(server);
      if (isDone && !this.#isClosed) await this.#parts.registry.forget(server);
    } catch (error) {
      if (!this.#isClosed) this.#parts.onError(error);
    } finally {
      this.#underWay.delete(server);
    }
  }

  close(): void {
    this.#isClosed = true;
  }

  async #takeOver(server: string): Promise<boolean> {
    const { redis, channelPrefix, registry } = this.#parts;
    // a time at which it was dead: before it was seen to be
    const { now: at } = await redis.readEntries(entriesKey(channelPrefix, 0, server), 0, 1);
    const alive = await registry.servers();
    if (alive.some(({ id }) => id === server)) return false;
    const first = Math.floor(Math.random() * PARTITIONS);
    const partitions = Array.from({ length: PARTITIONS }, (_, i) => (first + i) % PARTITIONS).values();
    const work = async () => {
      for (const partition of partitions) await this.#takeOverIn(partition, { server, at });
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    return !this.#isClosed;
  }

  async #takeOverIn(
    partition: number,
    dead: { readonly server: string; readonly at: number },
  ): Promise<void> {
    const { redis, channelPrefix, takeOver } = this.#parts;
    const key = entriesKey(channelPrefix, partition, dead.server);
    while (!this.#isClosed) {
      const { entries } = await redis.readEntries(key, dead.at, MOST_ENTRIES);
      const byChannel = new Map<string, string[]>();
      for (const { channel, id } of entries.flatMap((entry) => parseEntry(entry) ?? [])) {
        byChannel.set(channel, [...(byChannel.get(channel) ?? []), id]);
      }
      if (byChannel.size === 0) return;
      for (const [channel, ids] of byChannel) await takeOver(channel, dead, ids);
    }
  }
}
