import { adaptRedis, isMemoryRedis, type RedisClient } from "./adapt.js";
import type { Names } from "./client-redis.js";
import { HealthCheck } from "./health-check.js";
import type { Redis } from "./redis.js";

/** The Redis clients of one server. */
export class RedisClients {
  /** For all commands but those of subscriptions. */
  readonly publisher: Redis;
  /** For subscriptions; undefined where pub/sub is off. */
  readonly subscriber: Redis | undefined;
  readonly #publisherCheck: HealthCheck;
  readonly #subscriberCheck: HealthCheck | undefined;

  /**
   * Throws a `TypeError` for what is no client, or for two that do not make a pair. `names` are for errors; `patience` is how
   * long Redis may take to answer, in milliseconds.
   */
  constructor(
    redisClient: RedisClient,
    pubsubClient: RedisClient | undefined,
    names: Names,
    patience: number,
  ) {
    this.publisher = adaptRedis(redisClient, "redisClient", names);
    try {
      checkPair(redisClient, pubsubClient);
      this.subscriber = pubsubClient && adaptRedis(pubsubClient, "options.pubsubClient", names);
    } catch (error) {
      this.publisher.release();
      throw error;
    }
    this.#publisherCheck = new HealthCheck(this.publisher, patience);
    this.#subscriberCheck = this.subscriber && new HealthCheck(this.subscriber, patience);
  }

  /** Whether each client is connected and Redis answers it; `subscriber` is null where pub/sub is off. */
  get health(): { readonly client: boolean; readonly subscriber: boolean | null } {
    return { client: this.#publisherCheck.isHealthy, subscriber: this.#subscriberCheck?.isHealthy ?? null };
  }

  /** Listens to the errors of all, until they are released. */
  onError(listener: (error: unknown) => void): void {
    this.publisher.onError(listener);
    this.subscriber?.onError(listener);
  }

  /** Begins to look, at intervals, whether Redis answers. */
  startChecks(): void {
    this.#publisherCheck.start();
    this.#subscriberCheck?.start();
  }

  stopChecks(): void {
    this.#publisherCheck.stop();
    this.#subscriberCheck?.stop();
  }

  /** Lets go of the clients, which stay open. */
  release(): void {
    this.publisher.release();
    this.subscriber?.release();
  }
}

/** Throws a `TypeError` for two clients that do not make a pair. */
function checkPair(redisClient: RedisClient, pubsubClient: RedisClient | undefined): void {
  if (pubsubClient === undefined) return;
  const isSame = pubsubClient === redisClient;
  if (isMemoryRedis(redisClient) || isMemoryRedis(pubsubClient)) {
    if (isSame) return;
    throw new TypeError(
      "options.pubsubClient must be the same memoryRedis() as redisClient: each is a world of its own",
    );
  }
  if (isSame) {
    throw new TypeError(
      "options.pubsubClient must be another client than redisClient: one that has subscribed serves nothing else",
    );
  }
}
