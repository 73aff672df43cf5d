import { isThenable } from "../../shared/answer.js";
import { isObject } from "../../shared/protocol.js";
import { steadyNow } from "../limits/clock.js";
import { Deadlines } from "../limits/deadlines.js";
import type { Reporter } from "../log/reporter.js";
import type { PendingSocket } from "../transport/socket.js";
import type { RequestAddress } from "./connection-address.js";
import type { ExpiresAt } from "./expiry.js";
import { toTime } from "./expiry.js";
import { isToken, type TokenRecord, type TokenStore, withoutSecret } from "./token-store.js";

/** Gives an identity's key; see `TokenSocketServerOptions.identify`. */
export type Identify<Auth> = {
  bivariant(auth: Auth): string | number | PromiseLike<string | number>;
}["bivariant"];

/** The identity that a token stands for. */
export interface VerifiedToken<Auth> {
  auth: Auth;
  expiresAt?: ExpiresAt | null | undefined;
}

/** A function that verifies a token that is not of the token route; see `TokenSocketServerOptions.verifyToken`. */
export type VerifyToken<Auth> = {
  bivariant(token: string, socket: PendingSocket): VerifiedToken<Auth> | PromiseLike<VerifiedToken<Auth>>;
}["bivariant"];

/** The identity behind a verified token, as its connection keeps it. */
export interface VerifiedIdentity<Auth> extends TokenRecord<Auth> {
  /** The identity's key, by `identify`; undefined without that option. */
  readonly key: string | undefined;
  /** Since when the identity is known, by the steady clock: what is revoked later counts for it. */
  readonly issuedAt: number;
}

export interface IdentitiesParts<Auth> {
  readonly tokens: TokenStore<Auth>;
  readonly identify: Identify<Auth> | undefined;
  readonly verifyToken: VerifyToken<Auth> | undefined;
  /** Whether a token is good on a connection whose `auth` frame had this nonce. */
  readonly isBoundTo: (record: TokenRecord<Auth>, socket: PendingSocket, nonce: unknown) => boolean;
  /** The host and the addresses of the request that opened a connection. */
  readonly addressOf: (socket: PendingSocket) => RequestAddress;
  /** UTF-16 code units in a token that `verifyToken` gets. */
  readonly tokenLength: number;
  /** Milliseconds that `verifyToken` may take. */
  readonly authenticationTimeout: number;
  readonly reporter: Reporter;
}

/** Finds out whom a token stands for: in Redis, or by the application's own `verifyToken`. */
export class TokenVerifier<Auth> {
  readonly #parts: IdentitiesParts<Auth>;
  /** Whether it was warned of a token that `verifyToken` has refused. */
  #hasWarned = false;
  readonly #deadlines: Deadlines;

  constructor(parts: IdentitiesParts<Auth>) {
    this.#parts = parts;
    this.#deadlines = new Deadlines(parts.authenticationTimeout);
  }

  /** Lets go of the tokens that `verifyToken` has not verified. */
  close(): void {
    this.#deadlines.limit(undefined);
  }

  /** Says whether a value has the form of a token. */
  accepts(token: unknown): token is string {
    const { verifyToken, tokenLength } = this.#parts;
    return isToken(token) || (!!verifyToken && typeof token === "string" && token.length <= tokenLength);
  }

  /** Gives what a token stands for, once; undefined for one that is not good. Rejects where that cannot be told. */
  async find(
    token: string,
    socket: PendingSocket,
    nonce?: unknown,
  ): Promise<VerifiedIdentity<Auth> | undefined> {
    const { identify, tokens, isBoundTo, reporter } = this.#parts;
    // what is revoked while it is being verified counts for it, too
    const begin = steadyNow();
    try {
      const isIssued = isToken(token);
      const record = isIssued ? await tokens.redeem(token) : await this.#verify(token, socket);
      if (!record) return undefined;
      if (isIssued && !isBoundTo(record, socket, nonce)) {
        reporter.debug(() => `${socket.sid} has presented a token that was issued to another client`);
        return undefined;
      }
      const { auth, host, ip, ips, expiresAt, issuedAt, sessionId } = record;
      const key = identify && toKey(await this.#keyOf(identify, auth));
      // a copy by { ...record } would have a hidden class of its own, which takes more than the copy itself
      return { auth, host, ip, ips, expiresAt, issuedAt: issuedAt ?? begin, sessionId, key };
    } catch (error) {
      throw withoutSecret(error, token);
    }
  }

  /** Gives what `identify` makes of an identity; a promise of it where that is one. */
  #keyOf(identify: Identify<Auth>, auth: Auth): unknown {
    const key: unknown = identify(auth);
    if (!isThenable(key)) return key;
    return this.#deadlines.within(
      new Promise((resolve) => resolve(key)),
      () => new Error("identify has not answered in time"),
    );
  }

  async #verify(token: string, socket: PendingSocket): Promise<TokenRecord<Auth> | undefined> {
    const verified = await this.#deadlines.within(
      this.#askApplication(token, socket),
      () => new Error("verifyToken has not answered in time"),
    );
    if (!verified) return undefined;
    if (!isObject(verified) || typeof verified.auth !== "object" || verified.auth === null) {
      throw new TypeError("verifyToken must give { auth, expiresAt? } with an object for auth");
    }
    const { auth, expiresAt } = verified;
    return { auth: auth as Auth, expiresAt: toTime(expiresAt), ...this.#parts.addressOf(socket) };
  }

  /** Gives what `verifyToken` makes of a token; undefined where it throws. */
  async #askApplication(token: string, socket: PendingSocket): Promise<unknown> {
    const { verifyToken, reporter } = this.#parts;
    try {
      return await verifyToken?.(token, socket);
    } catch (error) {
      const why = () => {
        const harmless = withoutSecret(error, token);
        return `verifyToken has refused ${socket.sid}: ${harmless instanceof Error ? harmless.message : ""}`;
      };
      // that a token is not good is nothing to report: anybody may send one; but where none is good, somebody looks here
      if (this.#hasWarned) reporter.debug(why);
      else reporter.warn(`${why()} (further ones are told with options.debug alone)`);
      this.#hasWarned = true;
      return undefined;
    }
  }
}

/**
 * An identity's key; 7 and "7" are one, since a URL or Redis makes one of the other. Redis has no lone surrogates, and would
 * make one key of several that have some.
 */
export function toKey(value: unknown): string {
  const isText = typeof value === "string" && value !== "" && value.isWellFormed();
  if (isText || Number.isFinite(value)) return String(value);
  throw new TypeError("identify must give a number, or a well-formed string that is not empty");
}
