import type { TokenRoute } from "./auth/token-route.js";
import type { PubSub } from "./channels/pubsub.js";
import type { OpenConnections } from "./connection/open-connections.js";
import type { Handshakes } from "./http/handshakes.js";
import type { Health } from "./http/health.js";
import type { Presence } from "./presence/presence.js";
import type { RedisClients } from "./redis/clients.js";
import type { Startup } from "./redis/startup.js";
import type { Registry } from "./registry/registry.js";

/** The time that `shutdown()` waits for Redis to confirm, in milliseconds. */
const SHUTDOWN_PATIENCE = 5_000;

interface Closable {
  close(): void;
}

export interface LifecycleParts<Auth> {
  readonly redis: RedisClients;
  readonly startup: Startup;
  readonly registry: Registry;
  readonly tokenRoute: TokenRoute<Auth>;
  readonly handshakes: Handshakes;
  readonly connections: OpenConnections<Auth>;
  readonly presence: Presence;
  readonly pubsub: PubSub<Auth>;
  /** Ends the subscriptions by which other servers reach this one; resolves when Redis has confirmed. */
  readonly endReach: () => Promise<unknown>;
  /** The parts that are closed before the connections, in this order: after that nobody is let in. */
  readonly entrances: readonly Closable[];
  /** The parts that are closed after the connections, which wait for them: guards, verifiers, schemas. */
  readonly deciders: readonly Closable[];
}

/** The life of a server, from the first answer of Redis to the end. */
export class Lifecycle<Auth> {
  readonly #parts: LifecycleParts<Auth>;
  #closing: Promise<void> | undefined;
  #draining: Promise<void> | undefined;

  constructor(parts: LifecycleParts<Auth>) {
    this.#parts = parts;
  }

  /** Whether the server was shut down. */
  get isClosed(): boolean {
    return this.#closing !== undefined;
  }

  ready(): Promise<void> {
    return this.#parts.startup.ready;
  }

  /** Whether it was told to end. */
  get isDraining(): boolean {
    return this.#draining !== undefined || this.isClosed;
  }

  health(): Health {
    const { redis, startup, registry } = this.#parts;
    const { client, subscriber } = redis.health;
    const { id, sockets, channels, eventLoopDelay, draining } = registry.own;
    return {
      ready: startup.isReady && client && subscriber !== false && !draining,
      redis: { client, subscriber },
      sockets,
      draining,
      id,
      channels,
      eventLoopDelay,
      servers: registry.alive,
    };
  }

  /** Ends the server within a number of milliseconds, in a way that loses no call. */
  drain(time: number): Promise<void> {
    const isNew = this.#draining === undefined;
    this.#draining ??= this.#drain(time);
    if (isNew && !this.isClosed) void this.#parts.registry.update();
    return this.#draining;
  }

  /** Ends the server at once; resolves when Redis has confirmed, or has not in time. */
  shutdown(): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  async #drain(time: number): Promise<void> {
    this.#parts.tokenRoute.pause();
    this.#parts.handshakes.pause();
    if (!this.isClosed) await this.#parts.connections.drain(time);
    await this.shutdown();
  }

  async #shutDown(): Promise<void> {
    const { redis, startup, registry, connections, presence, pubsub, endReach, entrances, deciders } =
      this.#parts;
    for (const entrance of entrances) entrance.close();
    redis.stopChecks();
    startup.stop();
    connections.close();
    for (const decider of deciders) decider.close();
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, SHUTDOWN_PATIENCE);
    });
    // who takes over from this server has to find all that it has written
    const ending = Promise.all([presence.close().then(() => registry.close()), pubsub.close(), endReach()]);
    await Promise.race([ending, patience]);
    clearTimeout(timer);
    redis.release();
  }
}
