import express, { type Express, type Request, type RequestHandler, type Response } from "express";
import qs from "qs";
import { type Callback, type Handler, invoke } from "../../shared/answer.js";
import { CLOSE } from "../../shared/close-codes.js";
import { errorForWire, failureForWire, isRpcError, type Outcome } from "../../shared/errors.js";
import { TIMED_OUT } from "../../shared/refusals.js";
import { startTimer } from "../../shared/times.js";
import { lateError } from "../events/guards.js";
import * as arrivals from "../http/arrivals.js";
import { TOO_MUCH } from "../http/body.js";
import { hostOf, type Origins } from "../http/origins.js";
import { unmount } from "../http/router.js";
import { plainAddress } from "../limits/address.js";
import { steadyNow } from "../limits/clock.js";
import { Deadlines } from "../limits/deadlines.js";
import type { Limits } from "../limits/limits.js";
import type { UnfinishedBytes } from "../limits/unfinished-bytes.js";
import type { Reporter } from "../log/reporter.js";
import type { AuthenticationFunction } from "./authentication.js";
import { Expiring, expiryOfRequest, toTime } from "./expiry.js";
import type { OutstandingTokens, TokenPlace } from "./outstanding-tokens.js";
import { nonceOf, type TokenBinding } from "./token-binding.js";
import type { TokenRecord, TokenStore } from "./token-store.js";

/** The pages that may use JSONP: those of the same origin, these others too, or none. */
export type JsonpOrigins = "same-origin" | readonly string[] | false;

/** The parts of the server that the token route needs. */
export interface TokenRouteParts<Auth> {
  readonly app: Express;
  readonly options: {
    readonly tokenRoute: string;
    readonly tokenBinding: TokenBinding;
    readonly customMiddleware: RequestHandler | RequestHandler[] | undefined;
    readonly jsonp: JsonpOrigins;
    readonly exposeErrors: boolean;
    readonly limits: Limits;
  };
  /** Read at each request, so that the application may change it at any time. */
  readonly authentication: () => string | AuthenticationFunction<Auth>;
  readonly tokens: TokenStore<Auth>;
  readonly outstanding: OutstandingTokens;
  readonly unfinishedBytes: UnfinishedBytes;
  readonly origins: Origins;
  readonly reporter: Reporter;
}

/** The answer to a token request. */
interface Answer {
  readonly status: number;
  readonly body: { readonly token: string } | { readonly error: string };
}

const NO_TOKEN: Answer = { status: 403, body: { error: "Forbidden" } };

const TOO_MANY: Answer = { status: 429, body: { error: "Too many tokens" } };

const NO_NONCE: Answer = { status: 400, body: { error: "A nonce is missing" } };

const NO_ADDRESS =
  'token requests are refused, since options.tokenBinding is "ip" and they have no address, as over a unix socket: set "trust proxy" to the proxy before it, or choose another binding';

/** The `Retry-After` of answers while Redis does not answer or there are too many tokens, in seconds. */
const RETRY_AFTER_SECONDS = 5;

/** The name of a JSONP callback: a dotted path of plain identifiers. */
const CALLBACK_NAME = /^[A-Za-z_$][\w$]*(\.[A-Za-z_$][\w$]*)*$/;
const LONGEST_CALLBACK_NAME = 128;

/** Those of the route; Express would answer HEAD by the handlers of GET, and make a token for it. */
const METHODS = ["GET", "POST", "OPTIONS"];

/** Bytes of JSON that a client may send to the token route. */
const LONGEST_BODY = 65_536;

/** The HTTP route at which a session obtains a token, by GET with a query or by POST with a JSON body. */
export class TokenRoute<Auth> {
  /** Undefined once closed; requests that are under way then pass. */
  #parts: TokenRouteParts<Auth> | undefined;
  readonly #deadlines: Deadlines;
  #isPaused = false;
  readonly #unmount: () => void;
  readonly #warned = new Set<string>();

  constructor(parts: TokenRouteParts<Auth>) {
    this.#parts = parts;
    const { app, options } = parts;
    this.#deadlines = new Deadlines(options.limits.authenticationTimeout);
    const custom = [options.customMiddleware ?? []].flat();
    const open: RequestHandler = (req, res, next) => {
      if (!this.#parts || !METHODS.includes(req.method)) return next("route");
      // what is revoked while it is under way counts for its token, and a body may be slow
      arrivals.note(req);
      // without one, Express's own is empty; to add anything to a request of Express takes long
      if (queryOf(req) !== "" || custom[0] || typeof app.get("query parser") === "function") setQuery(req);
      if (this.#admits(this.#parts, req, res)) next();
    };
    const preflight: RequestHandler = (_req, res) => void res.sendStatus(204);
    const serve: RequestHandler = (req, res, next) => {
      if (this.#parts) this.#serve(this.#parts, req, res).catch(next);
      else next("route");
    };
    const route = app.route(options.tokenRoute);
    route.options(open, preflight);
    route.get(open, ...custom, serve);
    route.post(open, readJsonBody(options.limits.bodyTimeout, parts.unfinishedBytes), ...custom, serve);
    this.#unmount = () => unmount(app, route);
  }

  /** Answers from now on that clients should try again elsewhere. */
  pause(): void {
    this.#isPaused = true;
  }

  /** Takes the route out of service. */
  close(): void {
    this.#parts = undefined;
    this.#deadlines.limit(undefined);
    this.#unmount();
  }

  /** Whether a page may ask; the answer is on its way where not. What is allowed has the headers that say so. */
  #admits({ origins, reporter }: TokenRouteParts<Auth>, req: Request, res: Response): boolean {
    // Express parses the header that there is
    if (res.hasHeader("Vary")) res.vary("Origin");
    else res.setHeader("Vary", "Origin");
    // a script's request, whose page `jsonp` is about
    if (isJsonp(req)) return true;
    const origin = origins.of(req);
    if (origin === "own") return true;
    if (origin === "refused") {
      reporter.debug(() => `a token request of a page of ${nameOf(req)} was refused`);
      answerJson(res, NO_TOKEN);
      return false;
    }
    res.set({
      "Access-Control-Allow-Origin": origin.foreign,
      "Access-Control-Allow-Credentials": "true",
      "Access-Control-Expose-Headers": "Retry-After",
    });
    if (req.method === "OPTIONS") {
      res.set("Access-Control-Allow-Methods", "GET, POST");
      const headers = req.get("access-control-request-headers");
      if (headers !== undefined) res.set("Access-Control-Allow-Headers", headers);
    }
    return true;
  }

  /** Warns of something once. */
  #warnOnce(reporter: Reporter, about: string, message: () => string): void {
    if (this.#warned.has(about)) return;
    this.#warned.add(about);
    reporter.warn(message());
  }

  async #serve(parts: TokenRouteParts<Auth>, req: Request, res: Response): Promise<void> {
    res.setHeader("X-Content-Type-Options", "nosniff");
    const callback = isJsonp(req) ? req.query.callback : undefined;
    // with cookies, it would hand a token to any page that asks
    if (callback !== undefined && !(isCallbackName(callback) && mayUseJsonp(req, parts.options.jsonp))) {
      parts.reporter.debug(() => "a JSONP request for a token was refused");
      return answerJson(res, NO_TOKEN);
    }
    const answer = await this.#answer(parts, req);
    const { status, body } = answer;
    if (status === 503 || status === 429)
      res.set("Retry-After", String(this.#isPaused ? 1 : RETRY_AFTER_SECONDS));
    // on another connection a load balancer has the choice of another server
    if (this.#isPaused) res.set("Connection", "close");
    if (callback === undefined) return answerJson(res, answer);
    const script = `/**/ typeof ${callback} === "function" && ${callback}(${JSON.stringify(body)});`;
    answerText(res, status, "text/javascript", script);
  }

  async #answer(parts: TokenRouteParts<Auth>, req: Request): Promise<Answer> {
    const { outstanding, reporter, options } = parts;
    if (this.#isPaused) return { status: 503, body: { error: CLOSE.shutdown.reason } };
    const nonce = options.tokenBinding === "nonce" ? nonceOf(req) : undefined;
    if (options.tokenBinding === "nonce" && nonce === undefined) return NO_NONCE;
    // Express works it out each time
    const { ip } = req;
    if (options.tokenBinding === "ip" && plainAddress(ip) === "") {
      this.#warnOnce(reporter, "ip", () => NO_ADDRESS);
      return NO_TOKEN;
    }
    let place: TokenPlace | undefined;
    let answer: Answer;
    try {
      // it counts from now on, since what is asked for at once would find room together
      place = outstanding.enter(sessionIdOf(req), ip, arrivals.of(req) ?? steadyNow());
      if (!place) {
        reporter.debug(() => "a token request was refused: its session or address has too many tokens");
        return TOO_MANY;
      }
      answer = await this.#answerAt(place, parts, req, ip, nonce);
    } catch (error) {
      reporter.error("the session of a token request cannot be read", error);
      answer = {
        status: 500,
        // Stryker disable next-line StringLiteral: what is no error is a failure
        body: { error: messageOf({ status: "failure", error }, options.exposeErrors) },
      };
    }
    if (place && answer.status !== 200) outstanding.leave(place);
    return answer;
  }

  /** Rejects where a session throws that is read. */
  async #answerAt(
    place: TokenPlace,
    parts: TokenRouteParts<Auth>,
    req: Request,
    ip: string | undefined,
    nonce: string | undefined,
  ): Promise<Answer> {
    const { tokens, reporter, options } = parts;
    const outcome = await this.#authenticate(parts, req);
    if (!outcome) {
      reporter.error("authentication at the token route", new Error("There was no answer in time"));
      return { status: 503, body: { error: TIMED_OUT.message } };
    }
    if (outcome.status !== "result") {
      if (outcome.status === "failure" && !isRpcError(outcome.error)) {
        reporter.error("authentication at the token route failed", outcome.error);
      }
      return { status: 500, body: { error: messageOf(outcome, options.exposeErrors) } };
    }
    try {
      const record = this.#recordOf(parts, outcome.value, req, ip);
      if (!record) return NO_TOKEN;
      const token = await tokens.issue(nonce === undefined ? record : { ...record, nonce }, place);
      return { status: 200, body: { token } };
    } catch (error) {
      if (error instanceof TypeError) {
        reporter.error("an identity is no JSON, or its expiry no time", error);
        // Stryker disable next-line StringLiteral: what is no error is a failure
        const failure: Outcome = { status: "failure", error };
        return { status: 500, body: { error: messageOf(failure, options.exposeErrors) } };
      }
      reporter.error("storing a token failed", error);
      return { status: 503, body: { error: "Service unavailable" } };
    }
  }

  /** Gives nothing where the application's function takes too long. */
  #authenticate(
    { authentication, reporter }: TokenRouteParts<Auth>,
    req: Request,
  ): Promise<Outcome | undefined> | Outcome {
    const authenticate = authentication();
    if (typeof authenticate === "string") {
      const session = this.#sessionOf(reporter, req);
      const value = session && Object.hasOwn(session, authenticate) ? session[authenticate] : undefined;
      return { status: "result", value };
    }
    return new Promise((resolve) => {
      let hasAnswered = false;
      const asked = { expire: () => resolve(undefined) };
      const settle = (outcome: Outcome) => {
        hasAnswered = true;
        this.#deadlines.delete(asked);
        resolve(outcome);
      };
      const fn = withOptions(authenticate);
      invoke(
        { fn, declared: authenticate.length, self: undefined, args: [req], position: 1 },
        settle,
        (late) => reporter.error("authentication at the token route answered again", lateError(late)),
      );
      // a function that answers at once needs no timer
      if (!hasAnswered) this.#deadlines.add(asked);
    });
  }

  /** Makes the record of a token; `undefined` for an identity that is none, or has expired. */
  #recordOf(
    parts: TokenRouteParts<Auth>,
    given: unknown,
    req: Request,
    ip = "",
  ): TokenRecord<Auth> | undefined {
    const { auth: value, expiresAt } = given instanceof Expiring ? given : new Expiring(given, undefined);
    const auth = this.#authOf(parts, value, req);
    if (!auth) return undefined;
    const isOfSession = typeof parts.authentication() === "string" || typeof value !== "object";
    const end = toTime(expiresAt) ?? (isOfSession ? expiryOfRequest(req) : undefined);
    if (end !== undefined && end <= Date.now()) return undefined;
    return { auth, host: hostOf(req), ip, ips: req.ips, expiresAt: end, sessionId: sessionIdOf(req) };
  }

  /** An object is the identity; another truthy value stands for the session's data. */
  #authOf({ reporter }: TokenRouteParts<Auth>, value: unknown, req: Request): Auth | undefined {
    if (!value) return undefined;
    if (typeof value === "object") return value as Auth;
    const session = this.#sessionOf(reporter, req);
    if (!session) return undefined;
    // the cookie is the session's own bookkeeping
    const { cookie: _, ...data } = session;
    return data as Auth;
  }

  #sessionOf(reporter: Reporter, req: Request): Record<string, unknown> | undefined {
    const { session } = req as unknown as { session?: Record<string, unknown> | null };
    if (session) return session;
    reporter.warn(
      "a token request has no session: is a session middleware (express-session) installed before TokenSocketServer?",
    );
    return undefined;
  }
}

/**
 * Answers by Node.js's own means: what an application has put around Express's `res.json`, such as an envelope, is for its
 * own answers, and an ETag of what may not be stored is of no use.
 */
function answerText(res: Response, status: number, type: string, text: string): void {
  res.statusCode = status;
  res.setHeader("Cache-Control", "no-store");
  res.setHeader("Content-Type", `${type}; charset=utf-8`);
  res.end(text);
}

function answerJson(res: Response, { status, body }: Answer): void {
  answerText(res, status, "application/json", JSON.stringify(body));
}

const parseBody = express.json({ limit: LONGEST_BODY });

/**
 * Reads authentication data that a client sends as JSON, so that it is in no URL and no access log; within a time limit in
 * milliseconds, and counted among what strangers have under way.
 */
function readJsonBody(limit: number, all: UnfinishedBytes): RequestHandler {
  return (req, res, next) => {
    const refuse = (status: number, error: string) => answerJson(res, { status, body: { error } });
    let isOver = false;
    let held = 0;
    const end = () => {
      isOver = true;
      stopTimer();
      req.off("data", count);
      all.change(held, 0);
    };
    /** Refuses a body of which there is more to come, and does not wait for that. */
    const giveUp = (status: number, reason: string) => {
      if (isOver) return;
      end();
      res.set("Connection", "close");
      refuse(status, reason);
    };
    const count = (chunk: Buffer) => {
      const before = held;
      held += chunk.length;
      if (!all.change(before, held)) return;
      res.set("Retry-After", String(RETRY_AFTER_SECONDS));
      giveUp(TOO_MUCH.status, TOO_MUCH.reason);
    };
    const stopTimer = startTimer(limit, () => giveUp(408, "Body too slow"));
    parseBody(req, res, (error?: unknown) => {
      if (isOver) return;
      end();
      if (error !== undefined) {
        const { status = 400 } = error as { status?: number };
        return refuse(status, "Invalid request");
      }
      if (takeRead(req)) next();
      else refuse(400, "Invalid request");
    });
    // it reads by itself from now on, unless there is nothing to read
    if (!isOver) req.on("data", count);
  };
}

/** Takes JSON that the application has read as text or bytes, by `express.text()` or `express.raw()`; says whether it is some. */
function takeRead(req: Request): boolean {
  const { body } = req as { body?: unknown };
  if (!(typeof body === "string" || Buffer.isBuffer(body)) || !req.is("json")) return true;
  try {
    req.body = JSON.parse(String(body));
    return true;
  } catch {
    return false;
  }
}

/** The same function, whose callback takes what else there is to say of an identity. */
function withOptions<Auth>(authenticate: AuthenticationFunction<Auth>): Handler {
  return (req: Request, callback: Callback) =>
    authenticate(req, (error, auth, options) => {
      callback(error, auth && options ? new Expiring(auth, options.expiresAt) : auth);
    });
}

function messageOf(outcome: Exclude<Outcome, { status: "result" }>, exposeErrors: boolean): string {
  const error =
    outcome.status === "error" ? errorForWire(outcome.error) : failureForWire(outcome.error, exposeErrors);
  if (typeof error === "string") return error;
  const { message } = error as { message?: unknown };
  return typeof message === "string" ? message : JSON.stringify(error);
}

function sessionIdOf(req: Request): string | undefined {
  const { sessionID } = req as unknown as { sessionID?: unknown };
  return typeof sessionID === "string" ? sessionID : undefined;
}

function queryOf({ url }: Request): string {
  const start = url.indexOf("?");
  return start === -1 ? "" : url.slice(start + 1);
}

/** Nests the query, `a[b]=c`, whatever query parser the application has. */
function setQuery(req: Request): void {
  const value = qs.parse(queryOf(req));
  Object.defineProperty(req, "query", { value, writable: true, configurable: true, enumerable: true });
}

/** JSONP is a way of GET alone. */
function isJsonp(req: Request): boolean {
  // Stryker disable next-line ConditionalExpression,StringLiteral: it is only quicker
  return queryOf(req) !== "" && req.method === "GET" && req.query.callback !== undefined;
}

/** A page's origin for the log; a client may send anything there. */
function nameOf(req: Request): string {
  return JSON.stringify(req.get("origin")?.slice(0, LONGEST_ORIGIN) ?? "another site");
}

const LONGEST_ORIGIN = 200;

function isCallbackName(value: unknown): value is string {
  return typeof value === "string" && value.length <= LONGEST_CALLBACK_NAME && CALLBACK_NAME.test(value);
}

/**
 * A page of the same site may, and one of an origin in the list. Browsers say in `Sec-Fetch-Site` where a
 * request comes from (Fetch Metadata Request Headers, W3C); older ones only in `Referer`.
 */
function mayUseJsonp(req: Request, jsonp: JsonpOrigins): boolean {
  if (jsonp === false) return false;
  const site = req.get("sec-fetch-site");
  if (site === "same-origin") return true;
  const referer = req.get("referer");
  if (referer === undefined || !URL.canParse(referer)) return false;
  const { origin, host, protocol } = new URL(referer);
  if (jsonp !== "same-origin" && jsonp.includes(origin)) return true;
  if (site !== undefined) return false;
  const own = `${protocol}//${hostOf(req)}`;
  return URL.canParse(own) && new URL(own).host === host;
}
