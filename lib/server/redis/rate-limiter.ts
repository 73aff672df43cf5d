import { type RateLimiterAbstract, RateLimiterMemory, RateLimiterRedis } from "rate-limiter-flexible";
import type { RedisClient } from "./adapt.js";
import { isMemoryRedis, type MemoryRedis } from "./memory.js";

/** What a rate is, and by which keys Redis knows whose. */
export interface RateParts {
  /** Put before each key. */
  readonly keyPrefix: string;
  /** Points in each second. */
  readonly points: number;
}

/** Those of each embedded store, by their points: servers that are given the same store count together. */
const embedded = new WeakMap<MemoryRedis, Map<number, RateLimiterMemory>>();

/** Counts the points of each key for all servers on one Redis; rejects with an error where Redis is away. */
export function sharedRateLimiter(
  client: RedisClient,
  { keyPrefix, points }: RateParts,
): RateLimiterAbstract {
  if (isMemoryRedis(client)) return embeddedRateLimiter(client, points);
  return new RateLimiterRedis({
    storeClient: client,
    // its own way of telling clients from each other goes by the name of a class
    useRedisPackage: "isReady" in client,
    rejectIfRedisNotReady: true,
    keyPrefix,
    points,
    duration: 1,
  });
}

/** Counts the points of each key on this server. */
export function localRateLimiter(points: number): RateLimiterMemory {
  return new RateLimiterMemory({ points, duration: 1 });
}

function embeddedRateLimiter(store: MemoryRedis, points: number): RateLimiterAbstract {
  const limiters = embedded.get(store) ?? new Map<number, RateLimiterMemory>();
  embedded.set(store, limiters);
  const limiter = limiters.get(points) ?? localRateLimiter(points);
  limiters.set(points, limiter);
  return limiter;
}
