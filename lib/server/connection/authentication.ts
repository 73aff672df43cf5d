import { CLOSE, type CloseReason } from "../../shared/close-codes.js";
import { PROTOCOL, type Protocol } from "../../shared/protocol.js";
import { TIMED_OUT, TOKEN_NOT_FOUND, UNAVAILABLE } from "../../shared/refusals.js";
import { onExpired, timeLeft } from "../auth/expiry.js";
import type { Identities, VerifiedIdentity } from "../auth/identities.js";
import type { Refreshes, Revocations } from "../auth/revocations.js";
import type { Access } from "../events/guards.js";
import type { Deadlines } from "../limits/deadlines.js";
import type { IdentityUsage, IdentityUsages } from "../limits/identity-usage.js";
import type { Limits } from "../limits/limits.js";
import type { Reporter } from "../log/reporter.js";
import type { Socket } from "../transport/socket.js";
import type { ConnectionIndex, IndexedConnection } from "./connection-index.js";

/** The parts of the server that authentication needs. */
export interface AuthenticationParts<Auth> {
  readonly limits: Limits;
  readonly identities: Identities<Auth>;
  readonly access: Access;
  readonly revocations: Revocations;
  readonly refreshes: Refreshes;
  readonly identityUsages: IdentityUsages;
  /** The connections by what selects them. */
  readonly index: ConnectionIndex<AuthenticatingConnection<Auth>>;
  /** The time limits of the connections that authenticate. */
  readonly authenticationDeadlines: Deadlines;
  readonly reporter: Reporter;
}

/** A connection whose client presents tokens. */
export interface AuthenticatingConnection<Auth> extends IndexedConnection {
  readonly socket: Socket<Auth>;
  readonly protocol: Protocol;
  readonly closed: boolean;
  /** Called when the client has not authenticated in time. */
  expire(): void;
  close(reason: CloseReason): void;
  /** Resolves when the channel requests that have come so far are decided. */
  requestsDecided(): Promise<void>;
}

/** The refusal of a token: the error that the client is told, and how its connection is closed. Without `close` it stays. */
export interface Refusal {
  readonly error?: unknown;
  readonly close?: CloseReason;
}

/** The identity of one connection: how its tokens are verified, and until when it holds. */
export class Authentication<Auth> {
  readonly #connection: AuthenticatingConnection<Auth>;
  readonly #parts: AuthenticationParts<Auth>;
  #identity: VerifiedIdentity<Auth> | undefined;
  #usage: IdentityUsage | undefined;
  #isOutdated = false;
  /** Cancels that the connection is closed when its identity expires. */
  #stopExpiry: () => void = nothing;

  constructor(connection: AuthenticatingConnection<Auth>, parts: AuthenticationParts<Auth>) {
    this.#connection = connection;
    this.#parts = parts;
  }

  /** The connection's identity, from its first good token on. */
  get identity(): VerifiedIdentity<Auth> | undefined {
    return this.#identity;
  }

  /** The usage that it shares with the other connections of its identity; absent without the option `identify`. */
  get usage(): IdentityUsage | undefined {
    return this.#usage;
  }

  /** Milliseconds until the identity expires; undefined where it does not. */
  get expiresIn(): number | undefined {
    const expiresAt = this.#identity?.expiresAt;
    return expiresAt === undefined ? undefined : timeLeft(expiresAt);
  }

  /** Whether a refresh concerns the identity, so that the client has to be asked for a new one. */
  get isOutdated(): boolean {
    const identity = this.#identity;
    return this.#isOutdated || (identity !== undefined && this.#parts.refreshes.concern(identity));
  }

  /** Notes a refresh that comes while a token is being verified. */
  outdate(): void {
    this.#isOutdated = true;
  }

  /** Starts the time limit for the first token. */
  begin(): void {
    this.#parts.index.add(this.#connection);
    this.#parts.authenticationDeadlines.add(this.#connection);
  }

  /** Says whether a value has the form of a token. */
  accepts(token: unknown): token is string {
    return this.#parts.identities.accepts(token);
  }

  /**
   * Redeems a token and asks the guards. A first identity is there for the guards to use; a further one replaces it only when
   * they have accepted it. Resolves with the refusal, or with undefined where the identity holds or the connection has closed.
   */
  async present(token: string, nonce: unknown): Promise<Refusal | undefined> {
    const { identities, access, authenticationDeadlines, reporter } = this.#parts;
    const connection = this.#connection;
    const isFirst = !this.#identity;
    this.#isOutdated = false;
    if (!isFirst) authenticationDeadlines.add(connection);
    let identity: VerifiedIdentity<Auth> | undefined;
    try {
      identity = await identities.find(token, connection.socket, nonce);
    } catch (error) {
      reporter.error("redeeming a token failed", error);
      if (isFirst || connection.protocol !== PROTOCOL) return { close: CLOSE.unavailable };
      authenticationDeadlines.delete(connection);
      return { error: UNAVAILABLE };
    }
    if (connection.closed) return undefined;
    if (!identity) return { error: TOKEN_NOT_FOUND, close: CLOSE.tokenNotFound };
    const refusal = this.#check(identity);
    if (refusal) return refusal;
    if (isFirst && !this.#enter(identity.key)) return { close: CLOSE.tooManyConnections };
    if (isFirst) this.#adopt(identity);
    const verdict = await access.authenticate(connection.socket, identity.auth);
    if (connection.closed) return undefined;
    if (!verdict.allowed) {
      return { close: verdict.error === TIMED_OUT ? CLOSE.unavailable : CLOSE.forbidden };
    }
    if (!isFirst) {
      // what the client asked for before it presented this token is decided under its old identity
      await connection.requestsDecided();
      if (connection.closed) return undefined;
      const revoked = this.#checkRevoked(identity);
      if (revoked) return revoked;
      this.#adopt(identity);
    }
    authenticationDeadlines.delete(connection);
    return undefined;
  }

  /** Forgets a connection that has closed. */
  end(): void {
    this.#stopExpiry();
    this.#parts.authenticationDeadlines.delete(this.#connection);
    this.#parts.index.delete(this.#connection);
    if (this.#usage) this.#parts.identityUsages.leave(this.#usage);
  }

  #check(identity: VerifiedIdentity<Auth>): Refusal | undefined {
    const { key, expiresAt } = identity;
    if (expiresAt !== undefined && expiresAt <= Date.now()) return { close: CLOSE.expired };
    if (this.#identity && key !== this.#identity.key) return { close: CLOSE.otherIdentity };
    return this.#checkRevoked(identity);
  }

  /** Refuses an identity that was revoked while its token was on the way. */
  #checkRevoked(identity: VerifiedIdentity<Auth>): Refusal | undefined {
    const revocation = this.#parts.revocations.find(identity);
    return revocation && { close: { ...revocation, reconnect: true } };
  }

  /** Counts the connection towards those of its identity; says whether it may have one more. */
  #enter(key: string | undefined): boolean {
    if (key === undefined) return true;
    this.#usage = this.#parts.identityUsages.enter(key);
    return this.#usage !== undefined;
  }

  #adopt(identity: VerifiedIdentity<Auth>): void {
    const { index, limits } = this.#parts;
    const connection = this.#connection;
    const { auth, host, ip, ips, expiresAt } = identity;
    Object.assign(connection.socket, { auth, host, ip, ips });
    index.delete(connection);
    this.#identity = identity;
    index.add(connection);
    this.#stopExpiry();
    this.#stopExpiry =
      expiresAt === undefined
        ? nothing
        : onExpired(expiresAt, limits.expiryGrace, () => connection.close(CLOSE.expired));
  }
}

function nothing(): void {}
