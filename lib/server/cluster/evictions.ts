import { v4 as uuid } from "uuid";
import { isChannelName, isObject, isReservedChannel, type JsonObject } from "../../shared/protocol.js";
import { startTimer } from "../../shared/times.js";
import { steadyNow, toSteady } from "../limits/clock.js";
import type { Limits } from "../limits/limits.js";
import type { Redis } from "../redis/redis.js";

/** The parts of the server that evictions need. */
export interface EvictionsParts {
  readonly publisher: Redis;
  /** The key in Redis of the evictions of late. */
  readonly key: string;
  readonly limits: Pick<Limits, "channelNameLength">;
  /** Tells all servers something, this one included. */
  broadcastCommand(json: string): Promise<unknown>;
  /** Lets the sockets of this server leave a channel. */
  emptyHere(channel: string): Promise<void>;
}

interface Eviction {
  readonly channel: string;
  /** Absent where it is of version 3. */
  readonly id: string | undefined;
  /** The time of the command, by the steady clock. */
  readonly at: number;
}

/**
 * The time that a server waits for its own command to come back, in milliseconds; it does not come where the connection
 * for subscriptions was lost in that moment.
 */
const ECHO_PATIENCE = 5_000;

/** The number of evictions that are kept, here and in Redis, and the time, in milliseconds. */
const MOST_EVICTIONS = 1_000;
const EVICTION_LIFE = 3_600_000;

/**
 * Evictions: commands by which all sockets of all servers leave a channel. They go the way of messages, so that what was
 * published before still arrives. A server that was away from Redis reads what it has missed when it is back.
 */
export class Evictions {
  readonly #parts: EvictionsParts;
  readonly #began = steadyNow();
  /** The ids of those that were carried out here, the oldest first. */
  readonly #heard = new Set<string | undefined>();
  /** Callbacks for when a command of this server has come back and has been carried out. */
  readonly #echoes = new Map<string, () => void>();

  constructor(parts: EvictionsParts) {
    this.#parts = parts;
  }

  /** Lets all sockets leave a channel; resolves when the command has come back here and this server's sockets have left. */
  async evict(channel: string): Promise<void> {
    const { publisher, key, broadcastCommand } = this.#parts;
    const id = uuid();
    const json = JSON.stringify({ command: "unsubscribeAll", data: { channel, at: Date.now() }, id });
    let stopTimer = () => {};
    const echoed = new Promise<void>((resolve) => {
      this.#echoes.set(id, resolve);
      stopTimer = startTimer(ECHO_PATIENCE, () => {
        if (!this.#heard.has(id)) void this.#carryOut({ channel, id, at: steadyNow() });
      });
    });
    try {
      // first there, so that a server finds it that subscribes again too late to hear of it
      await Promise.all([publisher.append(key, json, MOST_EVICTIONS, EVICTION_LIFE), broadcastCommand(json)]);
      await echoed;
    } finally {
      stopTimer();
      this.#echoes.delete(id);
    }
  }

  /** Carries out what some server has sent; says whether it was an eviction. */
  receive(message: JsonObject): boolean {
    const eviction = this.#parse(message);
    if (eviction) void this.#carryOut(eviction);
    return eviction !== undefined;
  }

  /** Carries out those of the list in Redis that this server has missed. */
  catchUp(messages: readonly JsonObject[]): void {
    for (const message of messages) {
      const eviction = this.#parse(message);
      if (eviction && eviction.at >= this.#began && !this.#heard.has(eviction.id)) {
        void this.#carryOut(eviction);
      }
    }
  }

  /** Waits for nobody any more. */
  close(): void {
    for (const echoed of this.#echoes.values()) echoed();
  }

  async #carryOut({ channel, id }: Eviction): Promise<void> {
    if (id === undefined) return this.#parts.emptyHere(channel);
    this.#note(id);
    await this.#parts.emptyHere(channel);
    this.#echoes.get(id)?.();
  }

  #note(id: string): void {
    this.#heard.add(id);
    if (this.#heard.size <= MOST_EVICTIONS) return;
    for (const oldest of this.#heard) {
      this.#heard.delete(oldest);
      return;
    }
  }

  #parse({ command, data, id }: JsonObject): Eviction | undefined {
    if (command !== "unsubscribeAll" || !isObject(data)) return undefined;
    const { channel, at } = data;
    if (!isChannelName(channel, this.#parts.limits) || isReservedChannel(channel)) return undefined;
    return {
      channel,
      id: typeof id === "string" ? id : undefined,
      at: typeof at === "number" ? toSteady(at) : steadyNow(),
    };
  }
}
