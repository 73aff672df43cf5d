import { ClientRedis, type Names } from "./client-redis.js";
import { type IORedisClient, IORedisDriver } from "./ioredis.js";
import { connectMemoryRedis, isMemoryRedis, type MemoryRedis } from "./memory.js";
import { type NodeRedisClient, NodeRedisDriver } from "./node-redis.js";
import type { Redis } from "./redis.js";
import { SharedClient } from "./shared-client.js";

export type { IORedisClient } from "./ioredis.js";
export { isMemoryRedis, type MemoryRedis } from "./memory.js";
export type { NodeRedisClient } from "./node-redis.js";

/** A Redis client that a server may be given: of node-redis, of ioredis, or the embedded store. */
export type RedisClient = NodeRedisClient | IORedisClient | MemoryRedis;

const NO_PREFIXES: Names = { tokenPrefix: "", channelPrefix: "" };

const EXPECTED = "a client of node-redis (4, 5 or 6), a client of ioredis (5 or 6), or memoryRedis()";

/**
 * Makes an adapter of a client, which it knows by its shape. Throws a `TypeError` that names the argument for
 * a value that is none. Each call makes an adapter of its own; those of one client share its subscriptions.
 * `names` are for its errors.
 */
export function adaptRedis(client: unknown, name: string, names: Names = NO_PREFIXES): Redis {
  if (isMemoryRedis(client)) return connectMemoryRedis(client);
  if (isNodeRedisClient(client)) {
    if (isLegacy(client)) throw new TypeError(`${name} must be a client without legacyMode`);
    const shared = SharedClient.of(client, (events) => new NodeRedisDriver(client, events));
    return new ClientRedis(shared, names);
  }
  if (isIORedisClient(client)) {
    const shared = SharedClient.of(client, (events) => new IORedisDriver(client, events));
    return new ClientRedis(shared, names);
  }
  throw new TypeError(`${name} must be ${EXPECTED}; it is ${client === null ? "null" : kindOf(client)}`);
}

const COMMON_METHODS = ["set", "publish", "subscribe", "unsubscribe", "on", "off"];

function isNodeRedisClient(value: unknown): value is NodeRedisClient {
  return (
    isObject(value) &&
    typeof value.isOpen === "boolean" &&
    typeof value.isReady === "boolean" &&
    hasMethods(value, ["getDel", "eventNames", "listenerCount", ...COMMON_METHODS])
  );
}

function isIORedisClient(value: unknown): value is IORedisClient {
  return (
    isObject(value) && typeof value.status === "string" && hasMethods(value, ["getdel", ...COMMON_METHODS])
  );
}

/** In the legacy mode of node-redis 4 commands answer by callbacks. */
function isLegacy(client: NodeRedisClient & { readonly options?: unknown }): boolean {
  return isObject(client.options) && client.options.legacyMode === true;
}

function hasMethods(value: Record<string, unknown>, names: readonly string[]): boolean {
  return names.every((name) => typeof value[name] === "function");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function kindOf(value: unknown): string {
  return isObject(value) ? "another object" : `of type ${typeof value}`;
}
