import { CLOSE, type CloseReason } from "../../shared/close-codes.js";
import { PROTOCOL, type Protocol } from "../../shared/protocol.js";
import { TIMED_OUT, TOKEN_NOT_FOUND, UNAVAILABLE } from "../../shared/refusals.js";
import { onExpired, timeLeft } from "../auth/expiry.js";
import type { Refreshes, Revocations } from "../auth/revocations.js";
import type { TokenVerifier, VerifiedIdentity } from "../auth/token-verifier.js";
import type { Guards } from "../events/guards.js";
import type { Deadlines } from "../limits/deadlines.js";
import type { IdentityUsage, IdentityUsages } from "../limits/identity-usage.js";
import type { Limits } from "../limits/limits.js";
import type { Reporter } from "../log/reporter.js";
import type { Socket } from "../transport/socket.js";
import type { ConnectionIndex, IndexedConnection } from "./connection-index.js";

/** The parts of the server that authentication needs. */
export interface AuthenticationParts<Auth> {
  readonly limits: Limits;
  readonly tokenVerifier: TokenVerifier<Auth>;
  readonly guards: Guards;
  readonly revocations: Revocations;
  readonly refreshes: Refreshes;
  readonly identityUsages: IdentityUsages;
  /** Has other servers reach an identity here; absent without the option `identify`. */
  readonly identityChannels: IdentityReach | undefined;
  /** The connections by what selects them. */
  readonly index: ConnectionIndex<AuthenticatingConnection<Auth>>;
  /** The time limits of the connections that authenticate. */
  readonly authenticationDeadlines: Deadlines;
  readonly reporter: Reporter;
}

/** The ways by which other servers reach an identity here, from its first socket to its last. */
export interface IdentityReach {
  /** Adds a socket; resolves when the identity can be reached, and undefined where it can already. */
  enter(key: string): Promise<void> | undefined;
  leave(key: string): void;
}

/** The identity of a connection. Its socket has the rest: `auth`, `host`, `ip` and `ips`. */
export interface ConnectionIdentity
  extends Pick<VerifiedIdentity<unknown>, "key" | "sessionId" | "issuedAt" | "expiresAt"> {
  /** The usage that it shares with the other connections of its identity; absent without the option `identify`. */
  readonly usage: IdentityUsage | undefined;
  /** Cancels that the connection is closed when the identity expires. */
  readonly stopExpiry: () => void;
}

/** A connection whose client presents tokens. */
export interface AuthenticatingConnection<Auth> extends IndexedConnection {
  /** Its identity, from its first good token on; written by `Authentication`. */
  identity: ConnectionIdentity | undefined;
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

/** The authentication of a connection. It keeps nothing itself, and is made whenever it is needed. */
export class Authentication<Auth> {
  readonly #connection: AuthenticatingConnection<Auth>;
  readonly #parts: AuthenticationParts<Auth>;

  constructor(connection: AuthenticatingConnection<Auth>, parts: AuthenticationParts<Auth>) {
    this.#connection = connection;
    this.#parts = parts;
  }

  /** Milliseconds until the identity expires; undefined where it does not. */
  get expiresIn(): number | undefined {
    const expiresAt = this.#connection.identity?.expiresAt;
    return expiresAt === undefined ? undefined : timeLeft(expiresAt);
  }

  /** Whether a refresh concerns the identity, so that the client has to be asked for a new one. */
  get isOutdated(): boolean {
    const { identity } = this.#connection;
    return identity !== undefined && this.#parts.refreshes.concern(identity);
  }

  /** Starts the time limit for the first token. */
  begin(): void {
    this.#parts.index.add(this.#connection);
    this.#parts.authenticationDeadlines.add(this.#connection);
  }

  /**
   * Redeems a token and asks the guards. A first identity is there for the guards to use; a further one replaces it only when
   * they have accepted it. Resolves with the refusal, or with undefined where the identity holds or the connection has closed.
   */
  async present(token: string, nonce: unknown): Promise<Refusal | undefined> {
    const { tokenVerifier, guards, authenticationDeadlines, reporter } = this.#parts;
    const connection = this.#connection;
    const isFirst = !connection.identity;
    let reachable: Promise<void> | undefined;
    if (!isFirst) authenticationDeadlines.add(connection);
    let identity: VerifiedIdentity<Auth> | undefined;
    try {
      identity = await tokenVerifier.find(token, connection.socket, nonce);
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
    if (isFirst) {
      const { key } = identity;
      const usage = key === undefined ? undefined : this.#parts.identityUsages.enter(key);
      if (key !== undefined && !usage) return { close: CLOSE.tooManyConnections };
      this.#adopt(identity, usage);
      if (key !== undefined) reachable = this.#parts.identityChannels?.enter(key);
    }
    const asked = guards.authenticate(connection.socket, identity.auth);
    // without a guard nobody waits
    const verdict = asked instanceof Promise ? await asked : asked;
    if (reachable && !connection.closed) await reachable;
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
      // Stryker disable next-line OptionalChaining: it is not the first one
      this.#adopt(identity, connection.identity?.usage);
    }
    authenticationDeadlines.delete(connection);
    return undefined;
  }

  /** Forgets a connection that has closed. */
  end(): void {
    const { authenticationDeadlines, index, identityUsages, identityChannels } = this.#parts;
    const { key, usage, stopExpiry } = this.#connection.identity ?? {};
    stopExpiry?.();
    authenticationDeadlines.delete(this.#connection);
    index.delete(this.#connection);
    if (usage) identityUsages.leave(usage);
    if (key !== undefined) identityChannels?.leave(key);
  }

  #check(identity: VerifiedIdentity<Auth>): Refusal | undefined {
    const { key, expiresAt } = identity;
    if (expiresAt !== undefined && expiresAt <= Date.now()) return { close: CLOSE.expired };
    const before = this.#connection.identity;
    if (before && key !== before.key) return { close: CLOSE.otherIdentity };
    return this.#checkRevoked(identity);
  }

  /** Refuses an identity that was revoked while its token was on the way. */
  #checkRevoked(identity: VerifiedIdentity<Auth>): Refusal | undefined {
    const revocation = this.#parts.revocations.find(identity);
    return revocation && { close: { ...revocation, reconnect: true } };
  }

  #adopt(identity: VerifiedIdentity<Auth>, usage: IdentityUsage | undefined): void {
    const { index, limits } = this.#parts;
    const connection = this.#connection;
    const { auth, host, ip, ips, key, sessionId, issuedAt, expiresAt } = identity;
    Object.assign(connection.socket, { auth, host, ip, ips });
    connection.identity?.stopExpiry();
    const stopExpiry =
      expiresAt === undefined
        ? nothing
        : onExpired(expiresAt, limits.expiryGrace, () => connection.close(CLOSE.expired));
    index.delete(connection);
    connection.identity = { key, sessionId, issuedAt, expiresAt, usage, stopExpiry };
    index.add(connection);
  }
}

function nothing(): void {}
