import { hostname } from "node:os";
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import { v4 as uuid } from "uuid";
import { isObject } from "../../shared/protocol.js";
import { inTime } from "../limits/in-time.js";
import type { Redis } from "../redis/redis.js";
import { type ListedServer, type ServerTimes, serverNames } from "../redis/server-list.js";

/** A server as the others see it. */
export interface ServerInfo {
  /** The server's own, new at each start. */
  readonly id: string;
  /** The name of its machine or container. */
  readonly host: string;
  /** The number of its process. */
  readonly pid: number;
  /** When it was started, in milliseconds since 1970, by its own clock. */
  readonly startedAt: number;
  /** Its open connections, unauthenticated ones among them. */
  readonly sockets: number;
  /** The channels that its sockets have joined. */
  readonly channels: number;
  /** By how many milliseconds its event loop was late, at the 99th percentile since the last write: how busy it is. */
  readonly eventLoopDelay: number;
  /** Whether `drain()` was called. */
  readonly draining: boolean;
}

/** The part of its entry that changes while a server runs. */
type ServerLoad = Pick<ServerInfo, "sockets" | "channels" | "draining">;

export interface RegistryParts {
  readonly redis: Redis;
  readonly channelPrefix: string;
  /** Whether pub/sub is on; otherwise a server knows of itself alone. */
  readonly isShared: boolean;
  /** Whether others reach this server now: one that hears nothing is not listed as if it did. */
  readonly isReachable: () => boolean;
  /** The time that Redis may take to answer, in milliseconds. */
  readonly patience: number;
  readonly load: () => ServerLoad;
  /** Told why the registry could not be written. */
  readonly onError: (error: unknown) => void;
}

/** The interval at which a server writes, and the age of its last write after which it is overdue and dead, in milliseconds. */
const INTERVAL = 5_000;
export const TIMES: ServerTimes & { readonly interval: number } = {
  interval: INTERVAL,
  overdueAfter: 1.5 * INTERVAL,
  deadAfter: 3 * INTERVAL,
  goneFor: 600_000,
};

/** The writes for which a dead server is left to others that may have something to do about it: those of ten minutes. */
const LEFT_TO_OTHERS = TIMES.goneFor / INTERVAL;

/** The interval at which the delay of the event loop is measured, in milliseconds. */
const RESOLUTION = 20;

/**
 * What servers of this process that have ended have measured the event loop with: each is a handle with 360 KB, which Node.js
 * keeps as long as the process.
 */
const usedDelays: IntervalHistogram[] = [];

/**
 * The servers that share a Redis. Each writes its entry there every 5 s, by the clock of Redis, and is dead when it has not
 * done so for 15 s.
 */
export class Registry {
  readonly id: string = uuid();
  readonly #parts: RegistryParts;
  readonly #names;
  readonly #startedAt = Date.now();
  /** Made at the start, since it is a handle of the process. */
  #delays: IntervalHistogram | undefined;
  readonly #deadListeners: ((id: string) => void)[] = [];
  /** How often this server was told of each dead one, where it has nothing to do about them itself. */
  #tellings = new Map<string, number>();
  readonly #returnListeners: (() => void)[] = [];
  #eventLoopDelay = 0;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> | undefined;
  #hasWritten = false;
  #isClosed = false;
  #alive = 1;
  #overdue: readonly string[] = [];

  constructor(parts: RegistryParts) {
    this.#parts = parts;
    this.#names = serverNames(parts.channelPrefix);
  }

  /** This server's entry. */
  get own(): ServerInfo {
    return {
      id: this.id,
      host: hostname(),
      pid: process.pid,
      startedAt: this.#startedAt,
      ...this.#parts.load(),
      eventLoopDelay: this.#eventLoopDelay,
    };
  }

  /** The number of servers that were alive when this one has written last. */
  get alive(): number {
    return this.#alive;
  }

  /** Servers that had not written in time when this one has written last, and were not dead yet. */
  get overdue(): readonly string[] {
    return this.#overdue;
  }

  /** Writes the first entry, and then one every 5 s; resolves when the first one is there. */
  async start(): Promise<void> {
    if (this.#isClosed) return;
    if (this.#delays === undefined) {
      this.#delays = usedDelays.pop() ?? monitorEventLoopDelay({ resolution: RESOLUTION });
      this.#delays.enable();
      // in a turn after the timers, so that the delay of this one counts
      this.#timer = setInterval(() => setImmediate(() => void this.#tick()), TIMES.interval).unref();
    }
    if (this.#parts.isShared) await this.#beat();
  }

  /** The servers that are alive, this one first as it is now, then by their start. */
  async servers(): Promise<ServerInfo[]> {
    const listed = this.#parts.isShared ? await this.list() : [];
    const others = listed
      .filter((server) => server.id !== this.id && isAlive(server))
      .flatMap((server) => parseInfo(server) ?? [])
      .sort((a, b) => a.startedAt - b.startedAt);
    return [this.own, ...others];
  }

  /** All servers that Redis knows of, also those that are dead. */
  list(): Promise<readonly ListedServer[]> {
    const { redis, patience } = this.#parts;
    return inTime(patience, redis.servers(this.#names));
  }

  /** Writes this server's entry now, as when it begins to drain. */
  async update(): Promise<void> {
    await this.#beating?.catch(() => {});
    await this.#tick();
  }

  /**
   * Calls a function for each other server that has not written for 15 s or has ended, on every living server, and again after
   * each write of this one until somebody has called `forget`. Where no function is given, the registry does so after ten
   * minutes: until then another server may have something to do about it.
   */
  onDead(listener: (id: string) => void): void {
    this.#deadListeners.push(listener);
  }

  /**
   * Calls a function when this server was taken for dead meanwhile, or Redis was emptied: what depends on its entry has to be
   * written again.
   */
  onReturn(listener: () => void): void {
    this.#returnListeners.push(listener);
  }

  /** Forgets a dead server, for all: what it had left is done. Resolves with false where it is back, or forgotten already. */
  forget(id: string): Promise<boolean> {
    return this.#parts.redis.forgetServer(this.#names, TIMES, id);
  }

  /** Writes no more, and has this server count as dead at once; resolves when Redis has taken that, or has not in time. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#timer);
    if (this.#delays) {
      this.#delays.disable();
      this.#delays.reset();
      usedDelays.push(this.#delays);
    }
    // where it has never written there is nothing to end, and Redis may never answer
    if (!this.#hasWritten) return;
    const { redis, patience } = this.#parts;
    await inTime(patience, redis.endServer(this.#names, this.id)).catch(() => {});
  }

  async #tick(): Promise<void> {
    if (this.#isClosed) return;
    this.#measure();
    if (!this.#parts.isShared || !this.#parts.isReachable()) return;
    await this.#beat().catch((error: unknown) => {
      if (!this.#isClosed) this.#parts.onError(error);
    });
  }

  #measure(): void {
    const delay = (this.#delays?.percentile(99) ?? 0) / 1e6 - RESOLUTION;
    this.#delays?.reset();
    this.#eventLoopDelay = Math.max(0, Math.round(delay * 10) / 10) || 0;
  }

  /** One write at a time: the entry is the newest anyway, and a Redis that is away must not get a queue of them. */
  #beat(): Promise<void> {
    this.#beating ??= this.#write().finally(() => {
      this.#beating = undefined;
    });
    return this.#beating;
  }

  async #write(): Promise<void> {
    const { redis, patience } = this.#parts;
    const json = JSON.stringify(this.own);
    const beat = await inTime(patience, redis.beat(this.#names, TIMES, this.id, json));
    if (this.#isClosed) return;
    this.#alive = beat.alive;
    this.#overdue = beat.overdue;
    if (this.#hasWritten && !beat.wasAlive) for (const listener of this.#returnListeners) listener();
    this.#hasWritten = true;
    for (const listener of this.#deadListeners) for (const id of beat.dead) listener(id);
    if (this.#deadListeners.length === 0) this.#leaveToOthers(beat.dead);
  }

  #leaveToOthers(dead: readonly string[]): void {
    this.#tellings = new Map(dead.map((id) => [id, (this.#tellings.get(id) ?? 0) + 1]));
    for (const [id, tellings] of this.#tellings) {
      if (tellings > LEFT_TO_OTHERS) this.forget(id).catch(() => {});
    }
  }
}

/** Whether a server has written in time. */
export function isAlive({ at, age, isGone }: ListedServer): boolean {
  return !isGone && at > 0 && age <= TIMES.deadAfter;
}

/** Reads what a server has written; undefined for what is of no form that is known here. */
function parseInfo({ id, json }: ListedServer): ServerInfo | undefined {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return undefined;
  }
  if (!isObject(value)) return undefined;
  const { host, pid, startedAt, sockets, channels, eventLoopDelay, draining } = value;
  if (typeof host !== "string" || typeof draining !== "boolean") return undefined;
  const numbers = [pid, startedAt, sockets, channels, eventLoopDelay].map(Number);
  if (!numbers.every(Number.isFinite)) return undefined;
  return {
    id,
    host,
    pid: Number(pid),
    startedAt: Number(startedAt),
    sockets: Number(sockets),
    channels: Number(channels),
    eventLoopDelay: Number(eventLoopDelay),
    draining,
  };
}
