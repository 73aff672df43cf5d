import { v4 as uuid, validate, version } from "uuid";
import { isObject } from "../shared/protocol.js";
import { inTime } from "./in-time.js";
import type { Redis } from "./redis/redis.js";
import type { Identity } from "./socket.js";

/** What is kept for a token: the identity behind it, and what clients never see. */
export interface TokenRecord<Auth> extends Identity<Auth> {
  /** When the identity ends, in milliseconds since 1970; absent for one that does not. */
  readonly expiresAt?: number | undefined;
  /** When the token was asked for, likewise. */
  readonly issuedAt?: number | undefined;
  /** The id of the token request's session. */
  readonly sessionId?: string | undefined;
  /** What the token is bound to. */
  readonly nonce?: string | undefined;
}

/** Tokens and the identities behind them, in Redis. A token is good once, and for a limited time. */
export class TokenStore<Auth> {
  readonly #redis: Redis;
  readonly #prefix: string;
  readonly #ttl: number;
  readonly #patience: number;

  /** `ttl` is a token's life, and `patience` how long Redis may take, both in milliseconds. */
  constructor(redis: Redis, prefix: string, ttl: number, patience: number) {
    this.#redis = redis;
    this.#prefix = prefix;
    this.#ttl = ttl;
    this.#patience = patience;
  }

  /** Stores an identity and gives its token, a uuid v4. Throws a `TypeError` for an identity that is no JSON. */
  async issue(identity: TokenRecord<Auth>): Promise<string> {
    const value = encodeIdentity(identity);
    const token = uuid();
    await this.#inTime(token, this.#redis.set(this.#prefix + token, value, this.#ttl));
    return token;
  }

  /** Gives the identity behind a token and forgets the token, in one command; undefined for an unknown one. */
  async redeem(token: string): Promise<TokenRecord<Auth> | undefined> {
    const value = await this.#inTime(token, this.#redis.take(this.#prefix + token));
    return value === null ? undefined : parseIdentity<Auth>(value);
  }

  async #inTime<T>(token: string, command: Promise<T>): Promise<T> {
    try {
      return await inTime(this.#patience, command);
    } catch (error) {
      throw withoutToken(error, token);
    }
  }
}

/** Says whether a value has a token's form. */
export function isToken(value: unknown): value is string {
  return typeof value === "string" && validate(value) && version(value) === 4;
}

function encodeIdentity(identity: Identity<unknown>): string {
  const auth = JSON.stringify(identity.auth);
  // what is an object here may be something else as JSON, for instance a date
  if (!/^[{[]/.test(auth ?? "")) throw new TypeError("An identity must be an object as JSON, too");
  return JSON.stringify(identity);
}

function parseIdentity<Auth>(value: string): TokenRecord<Auth> {
  let identity: unknown;
  try {
    identity = JSON.parse(value);
  } catch {
    // the parser's own error quotes what it was given
  }
  if (!isObject(identity) || typeof identity.auth !== "object" || identity.auth === null) {
    throw new Error("What Redis holds for a token is no identity");
  }
  return identity as unknown as TokenRecord<Auth>;
}

/** Redis quotes a command's arguments in some errors, and errors end up in logs. */
function withoutToken(error: unknown, token: string): Error {
  const message = error instanceof Error ? error.message : String(error);
  return new Error(message.replaceAll(token, "<token>"));
}
