import { type RateLimiterAbstract, RateLimiterMemory, RateLimiterRedis } from "rate-limiter-flexible";
import type { RedisClient } from "./adapt.js";
import { isMemoryRedis, type MemoryRedis } from "./memory.js";

/** A rate, and the prefix of its keys in Redis. */
export interface RateParts {
  /** Put before each key. */
  readonly keyPrefix: string;
  /** Points in each second. */
  readonly points: number;
}

/** Those of each embedded store, by what they count: servers that are given the same store count together. */
const embedded = new WeakMap<MemoryRedis, Map<string, RateLimiterMemory>>();

/** Counts the points of each key for all servers on one Redis; rejects with an error where Redis is away. */
export function sharedRateLimiter(client: RedisClient, parts: RateParts): RateLimiterAbstract {
  if (isMemoryRedis(client)) return embeddedRateLimiter(client, parts);
  return new RateLimiterRedis({
    storeClient: client,
    // its own way of telling clients from each other goes by the name of a class
    useRedisPackage: "isReady" in client,
    rejectIfRedisNotReady: true,
    ...parts,
    duration: 1,
  });
}

/** Counts the points of each key on this server. */
export function localRateLimiter(points: number): RateLimiterMemory {
  return new RateLimiterMemory({ points, duration: 1 });
}

function embeddedRateLimiter(store: MemoryRedis, { keyPrefix, points }: RateParts): RateLimiterAbstract {
  const limiters = embedded.get(store) ?? new Map<string, RateLimiterMemory>();
  embedded.set(store, limiters);
  const name = `${points} ${keyPrefix}`;
  const limiter = limiters.get(name) ?? localRateLimiter(points);
  limiters.set(name, limiter);
  return limiter;
}
