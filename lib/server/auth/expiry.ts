import { performance } from "node:perf_hooks";
import { brand, isBranded } from "../../shared/brand.js";
import { LONGEST_TIMER } from "../../shared/times.js";
import { LONGEST_WAIT } from "../limits/deadlines.js";

/**
 * The end of an identity that `authentication` gives with it: milliseconds since 1970, a date, or the session of
 * express-session that it ends with, `req.session`.
 */
export type ExpiresAt = number | Date | { readonly cookie: object };

const EXPIRING = Symbol.for("node-token-sockjs.Expiring");

/** An identity with its end; see {@link expiring}. */
export class Expiring<Auth = unknown> {
  /** Knows also those of another copy of this package. */
  static [Symbol.hasInstance](value: unknown): value is Expiring {
    return isBranded(value, EXPIRING);
  }

  readonly auth: Auth;
  readonly expiresAt: ExpiresAt | null | undefined;

  constructor(auth: Auth, expiresAt: ExpiresAt | null | undefined) {
    this.auth = auth;
    this.expiresAt = expiresAt;
    brand(this, EXPIRING);
  }
}

/**
 * The result of `authentication` for an identity that ends: `expiring({ name }, Date.now() + 3_600_000)`, or with the session
 * `expiring({ name }, req.session)`.
 */
export function expiring<Auth>(auth: Auth, expiresAt: ExpiresAt | null | undefined): Expiring<Auth> {
  return new Expiring(auth, expiresAt);
}

/** Milliseconds since 1970, or undefined where nothing is said. Throws a `TypeError` for what is no time. */
export function toTime(expiresAt: unknown): number | undefined {
  if (expiresAt === undefined || expiresAt === null) return undefined;
  if (hasCookie(expiresAt)) return expiryOfSession(expiresAt);
  const time = expiresAt instanceof Date ? expiresAt.getTime() : expiresAt;
  if (!Number.isFinite(time)) {
    throw new TypeError(
      "expiresAt must be a number of milliseconds since 1970, a valid Date, or a session of express-session",
    );
  }
  return time as number;
}

function hasCookie(value: unknown): value is { readonly cookie: object } {
  const { cookie } = Object(value) as { readonly cookie?: unknown };
  return typeof cookie === "object" && cookie !== null;
}

/**
 * The end of a request's session. cookie-session does not know when it has set the session's cookie, so that this is the
 * latest possible time.
 */
export function expiryOfRequest(req: object): number | undefined {
  const { session, sessionOptions } = req as { session?: unknown; sessionOptions?: unknown };
  if (hasCookie(session)) return expiryOfSession(session);
  const { expires, maxAge } = Object(sessionOptions) as { expires?: unknown; maxAge?: unknown };
  // it takes 0 for none
  return expiryOfSession({ cookie: { expires, maxAge: maxAge || undefined } });
}

/**
 * The end of a session, by its cookie; undefined if it lasts as long as the browser, which express-session says by
 * `false` or `null`. One of express-session begins its time anew with each response, the token route's as well
 * (`session.touch()`), whatever its cookie has from the request before.
 */
export function expiryOfSession(
  session: { readonly cookie?: unknown; readonly touch?: unknown } | null | undefined,
): number | undefined {
  const cookie = Object(session?.cookie) as { expires?: unknown; maxAge?: unknown; originalMaxAge?: unknown };
  const { expires, maxAge, originalMaxAge } = cookie;
  const isTouched = typeof session?.touch === "function" && typeof originalMaxAge === "number";
  const left = isTouched ? originalMaxAge : maxAge;
  const end =
    expires instanceof Date && !isTouched
      ? expires.getTime()
      : Date.now() + (typeof left === "number" ? left : Number.NaN);
  return Number.isFinite(end) ? end : undefined;
}

/** The time that an identity has left, as a client is told it: at most what a timer can wait. */
export function timeLeft(expiresAt: number): number {
  return Math.min(Math.max(0, Math.ceil(expiresAt - Date.now())), LONGEST_TIMER);
}

/**
 * Calls a function when an identity has expired and a grace is over, in which the client may still present a new
 * token, until the function that it returns is called. The identities of many may end in one moment, so each gets
 * up to a fifth of the grace more.
 */
export function onExpired(expiresAt: number, grace: number, act: () => void): () => void {
  const end = new End(expiresAt + grace * (1 + Math.random() / 5));
  let timer: NodeJS.Timeout | undefined;
  const watch = () => {
    clearTimeout(timer);
    const { left } = end;
    timer = left > 0 ? setTimeout(watch, Math.min(Math.ceil(left), LONGEST_WAIT)) : setTimeout(expire);
  };
  const expire = () => {
    stop();
    act();
  };
  const check = () => {
    if (end.left <= 0) expire();
    else watch();
  };
  const stop = () => {
    clearTimeout(timer);
    unwatchClocks(check);
  };
  watch();
  watchClocks(check);
  return stop;
}

/**
 * A time by the wall clock, and by the clock that nobody sets as long as it takes to get there: what comes first counts,
 * so that neither a step of the one nor a pause of the other, as while a machine is suspended, puts it off.
 */
class End {
  readonly #wall: number;
  readonly #steady: number;

  constructor(wall: number) {
    this.#wall = wall;
    this.#steady = performance.now() + (wall - Date.now());
  }

  /** The milliseconds that are left until then. */
  get left(): number {
    return Math.min(this.#wall - Date.now(), this.#steady - performance.now());
  }
}

/** Callbacks for when one of the two clocks has gone on without the other. */
const watches = new Set<() => void>();
let interval: NodeJS.Timeout | undefined;
let difference = 0;

/** The interval at which the clocks are compared, and the difference that is tolerated, in milliseconds. */
const COMPARE_EVERY = 1000;
const TOLERANCE = 250;

/**
 * Has what has expired meanwhile told where the wall clock was set or the machine was suspended, which timers know nothing
 * of. It is called each second, and costs next to nothing.
 */
export function compareClocks(): void {
  // Stryker disable next-line ConditionalExpression: it is only quicker
  if (watches.size === 0) return;
  const now = Date.now() - performance.now();
  if (Math.abs(now - difference) < TOLERANCE) return;
  difference = now;
  for (const check of [...watches]) check();
}

function watchClocks(check: () => void): void {
  if (watches.size === 0) {
    difference = Date.now() - performance.now();
    interval = setInterval(compareClocks, COMPARE_EVERY).unref();
  }
  watches.add(check);
}

function unwatchClocks(check: () => void): void {
  watches.delete(check);
  if (watches.size === 0) clearInterval(interval);
}
