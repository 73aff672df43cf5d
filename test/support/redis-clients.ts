import { Redis as IORedis6 } from "ioredis";
import { Redis as IORedis5 } from "ioredis5";
import { createClient as createNodeRedis6 } from "redis";
import { createClient as createNodeRedis4 } from "redis4";
import { createClient as createNodeRedis5 } from "redis5";
import { memoryRedis } from "../../lib/memory.js";
import type { RedisClient } from "../../lib/server/redis/adapt.js";

/** Where a client connects to, and what it says there. */
export interface Address {
  readonly host: string;
  readonly port: number;
  readonly url: string;
  readonly login?: { readonly username: string; readonly password: string };
  readonly database?: number;
}

/** A client that is not connected yet. */
export interface TestClient {
  readonly client: RedisClient;
  /** Connects; rejects when it cannot. */
  connect(): Promise<unknown>;
  /** Closes it for good; does nothing where it is closed already. */
  close(): void;
  /** Whether it has begun to connect. */
  isConnecting(): boolean;
}

export interface Kind {
  readonly name: string;
  /** `giveUp` makes a client that ends when its first attempt to connect fails. */
  create(address: Address, giveUp?: boolean): TestClient;
}

/** The kinds of client that connect to a server. */
export const CONNECTING_KINDS: readonly Kind[] = [
  nodeRedis("node-redis 6", () => createNodeRedis6()),
  nodeRedis("node-redis 6 with RESP2", () => createNodeRedis6({ RESP: 2 })),
  nodeRedis("node-redis 5", () => createNodeRedis5()),
  nodeRedis("node-redis 4", () => createNodeRedis4()),
  ioredis("ioredis 6", (options) => new IORedis6(options)),
  ioredis("ioredis 6 with RESP2", (options) => new IORedis6({ ...options, protocol: 2 })),
  ioredis("ioredis 5", (options) => new IORedis5(options)),
];

/** A client that leaves it to the server to subscribe again on a new connection. */
export const NOT_RESUBSCRIBING: Kind = ioredis(
  "ioredis 6 without autoResubscribe",
  (options) => new IORedis6({ ...options, autoResubscribe: false }),
);

type NodeRedis = RedisClient & {
  readonly isOpen: boolean;
  duplicate(options: NodeRedisOptions): NodeRedis;
  connect(): Promise<unknown>;
  disconnect(): Promise<unknown>;
};

interface NodeRedisOptions {
  url: string;
  socket: { reconnectStrategy: false | number };
  username?: string;
  password?: string;
  database?: number;
}

/** To make a client's class, with a method for each command, takes longer than to make a client: a model has it. */
function nodeRedis(name: string, makeModel: () => NodeRedis): Kind {
  let model: NodeRedis | undefined;
  return {
    name,
    create({ url, login, database = 0 }, giveUp = false) {
      model ??= makeModel();
      const socket = { reconnectStrategy: giveUp ? (false as const) : 10 };
      const client = model.duplicate({ url, ...login, database, socket });
      return {
        client,
        connect: () => client.connect(),
        close: () => {
          if (client.isOpen) void client.disconnect();
        },
        isConnecting: () => client.isOpen,
      };
    },
  };
}

type IORedis = RedisClient & { readonly status: string; connect(): Promise<unknown>; disconnect(): void };

interface IORedisOptions {
  host: string;
  port: number;
  lazyConnect: true;
  retryStrategy: () => number | null;
  username?: string;
  password?: string;
  db?: number;
}

function ioredis(name: string, make: (options: IORedisOptions) => IORedis): Kind {
  return {
    name,
    create({ host, port, login, database = 0 }, giveUp = false) {
      const retryStrategy = () => (giveUp ? null : 10);
      const client = make({ host, port, ...login, db: database, lazyConnect: true, retryStrategy });
      return {
        client,
        connect: () => client.connect(),
        close: () => client.disconnect(),
        isConnecting: () => client.status !== "wait",
      };
    },
  };
}

/** The embedded store: all its "clients" are one object. */
export function embedded(): Kind {
  const client = memoryRedis();
  return {
    name: "the embedded store",
    create: () => ({ client, connect: async () => {}, close: () => {}, isConnecting: () => true }),
  };
}
