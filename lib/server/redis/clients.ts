import { adaptRedis, isMemoryRedis, type RedisClient } from "./adapt.js";
import type { Names } from "./client-redis.js";
import type { Redis } from "./redis.js";

/** The Redis clients of one server. */
export interface Clients {
  /** For all commands but those of subscriptions. */
  readonly publisher: Redis;
  /** For subscriptions; undefined where pub/sub is off. */
  readonly subscriber: Redis | undefined;
}

/** Makes adapters of a server's clients. Throws a `TypeError` for what is no client, or for two that do not make a pair. */
export function adaptClients(
  redisClient: RedisClient,
  pubsubClient: RedisClient | undefined,
  names: Names,
): Clients {
  const publisher = adaptRedis(redisClient, "redisClient", names);
  try {
    checkPair(redisClient, pubsubClient);
    return { publisher, subscriber: pubsubClient && adaptRedis(pubsubClient, "options.pubsubClient", names) };
  } catch (error) {
    publisher.release();
    throw error;
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
