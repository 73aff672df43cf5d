import { v4 as uuid, validate, version } from "uuid";
import { isObject } from "../shared/protocol.js";
import type { Redis } from "./redis/redis.js";
import type { Identity } from "./socket.js";

/** Tokens and the identities behind them, in Redis. A token is good once, and for a limited time. */
export class TokenStore<Auth> {
  readonly #redis: Redis;
  readonly #prefix: string;
  readonly #ttl: number;

  constructor(redis: Redis, prefix: string, ttl: number) {
    this.#redis = redis;
    this.#prefix = prefix;
    this.#ttl = ttl;
  }

  /** Stores an identity and gives its token, a uuid v4. Throws a `TypeError` for an identity that is no JSON. */
  async issue(identity: Identity<Auth>): Promise<string> {
    const value = JSON.stringify(identity);
    const token = uuid();
    await this.#redis.set(this.#prefix + token, value, this.#ttl).catch((error: unknown) => {
      throw withoutToken(error, token);
    });
    return token;
  }

  /** Gives the identity behind a token and forgets the token, in one command; undefined for an unknown one. */
  async redeem(token: string): Promise<Identity<Auth> | undefined> {
    const value = await this.#redis.take(this.#prefix + token).catch((error: unknown) => {
      throw withoutToken(error, token);
    });
    return value === null ? undefined : parseIdentity<Auth>(value);
  }
}

/** Says whether a value has a token's form. */
export function isToken(value: unknown): value is string {
  return typeof value === "string" && validate(value) && version(value) === 4;
}

function parseIdentity<Auth>(value: string): Identity<Auth> {
  const identity: unknown = JSON.parse(value);
  if (!isObject(identity) || !isObject(identity.auth))
    throw new Error("What Redis holds for a token is no identity");
  return identity as unknown as Identity<Auth>;
}

/** Redis quotes a command's arguments in some errors, and errors end up in logs. */
function withoutToken(error: unknown, token: string): Error {
  const message = error instanceof Error ? error.message : String(error);
  return new Error(message.replaceAll(token, "<token>"));
}
