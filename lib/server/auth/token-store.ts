import { v4 as uuid, validate, version } from "uuid";
import { isObject } from "../../shared/protocol.js";
import { toSteady, toWall } from "../limits/clock.js";
import { inTime } from "../limits/in-time.js";
import type { Redis } from "../redis/redis.js";
import type { Identity } from "../transport/socket.js";
import type { OutstandingTokens, TokenPlace } from "./outstanding-tokens.js";

/** The record of a token: its identity, and facts that clients never see. */
export interface TokenRecord<Auth> extends Identity<Auth> {
  /** The end of the identity, in milliseconds since 1970; absent if it does not end. */
  readonly expiresAt?: number | undefined;
  /** The time of the token request: in Redis by the wall clock of the server that was asked, here by the steady clock. */
  readonly issuedAt?: number | undefined;
  /** The id of the token request's session. */
  readonly sessionId?: string | undefined;
  /** The address or nonce that the token is bound to. */
  readonly nonce?: string | undefined;
}

export interface TokenStoreParts {
  readonly redis: Redis;
  readonly prefix: string;
  /** A token's life in milliseconds. */
  readonly ttl: number;
  /** The time that Redis may take, in milliseconds. */
  readonly patience: number;
  readonly outstanding: OutstandingTokens;
}

/** Tokens and the identities behind them, in Redis. A token is good once, and for a limited time. */
export class TokenStore<Auth> {
  readonly #parts: TokenStoreParts;

  constructor(parts: TokenStoreParts) {
    this.#parts = parts;
  }

  /** Stores an identity and gives its token, a uuid v4. Throws a `TypeError` for an identity that is no JSON. */
  async issue(identity: TokenRecord<Auth>, place: TokenPlace): Promise<string> {
    const { redis, prefix, ttl, outstanding } = this.#parts;
    const value = encodeIdentity(identity, toWall(place.issuedAt));
    const token = uuid();
    await this.#inTime(token, redis.set(prefix + token, value, ttl));
    outstanding.keep(place, token);
    return token;
  }

  /** Gives the identity behind a token and forgets the token, in one command; undefined for an unknown one. */
  async redeem(token: string): Promise<TokenRecord<Auth> | undefined> {
    const { redis, prefix, outstanding } = this.#parts;
    const value = await this.#inTime(token, redis.take(prefix + token));
    const place = outstanding.redeem(token);
    if (value === null) return undefined;
    const { auth, host, ip, ips, expiresAt, issuedAt, sessionId, nonce } = parseIdentity<Auth>(value);
    const told = issuedAt === undefined ? undefined : toSteady(issuedAt);
    return { auth, host, ip, ips, expiresAt, issuedAt: place?.issuedAt ?? told, sessionId, nonce };
  }

  #inTime<T>(token: string, command: Promise<T>): Promise<T> {
    return inTime(this.#parts.patience, command).catch((error: unknown) => {
      throw withoutSecret(error, token);
    });
  }
}

/** Says whether a value has a token's form. */
export function isToken(value: unknown): value is string {
  return validate(value) && version(value as string) === 4;
}

function encodeIdentity(identity: TokenRecord<unknown>, issuedAt: number): string {
  const { auth, host, ip, ips, expiresAt, sessionId, nonce } = identity;
  const json = JSON.stringify({ auth, host, ip, ips, expiresAt, issuedAt, sessionId, nonce });
  // what is an object here may be something else as JSON, for instance a date
  const isObjectStill = json.startsWith('{"auth":{') || json.startsWith('{"auth":[');
  if (!isObjectStill) throw new TypeError("An identity must be an object as JSON, too");
  return json;
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
  for (const time of [identity.expiresAt, identity.issuedAt]) {
    if (time !== undefined && typeof time !== "number") {
      throw new Error("What Redis holds for a token has a time that is none");
    }
  }
  return identity as unknown as TokenRecord<Auth>;
}

/**
 * An error without a secret that its message repeats, since errors end up in logs: Redis quotes a command's arguments in
 * some, and verifiers of tokens what they could not read. One that does not repeat it stays as it is.
 */
export function withoutSecret(error: unknown, secret: string): unknown {
  const forms = formsOf(secret);
  const text = textOf(error);
  if (!forms.some((form) => text.includes(form))) return error;
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new Error(forms.reduce((left, form) => left.replaceAll(form, "<token>"), message));
}

/** All that may be logged of an error. */
function textOf(error: unknown, depth = 0): string {
  if (!(error instanceof Error)) return String(error);
  // Stryker disable next-line EqualityOperator,StringLiteral: the bound is for causes in a circle, which say nothing new
  const cause = error.cause !== undefined && depth < MOST_CAUSES ? textOf(error.cause, depth + 1) : "";
  return `${error.message}${error.stack}${cause}`;
}

const MOST_CAUSES = 8;

/** The forms in which an error may repeat a secret: as it is, in a URL or in JSON, or a part of a JWT alone. */
function formsOf(secret: string): string[] {
  const parts = secret.split(".").filter((part) => part.length >= SHORTEST_PART);
  const forms = [
    secret,
    encodeURIComponent(secret.toWellFormed()),
    JSON.stringify(secret).slice(1, -1),
    ...parts,
  ];
  // a shorter one is no secret, and would be found in any text
  return forms.filter((form) => form.length >= SHORTEST_SECRET);
}

/** Characters of what is worth to be kept secret: a token, and a part of one alone. */
const SHORTEST_SECRET = 4;
const SHORTEST_PART = 8;
