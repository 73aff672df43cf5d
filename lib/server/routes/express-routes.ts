import type { Request, Response } from "express";
import { isError, isRpcError, type Outcome, RpcError } from "../../shared/errors.js";
import { NOT_FOUND } from "../../shared/refusals.js";
import { type ConnectionObserver, RouteConnection } from "./route-connection.js";
import { type Raised, type RouteErrorHandler, type RouteHandler, runHandlers } from "./route-handlers.js";
import { type RecordedResponse, readReply, statusError } from "./route-reply.js";
import { type RouteCall, RouteRequest } from "./route-request.js";
import { type ResponseObserver, RouteResponse } from "./route-response.js";

export type { RouteErrorHandler, RouteHandler } from "./route-handlers.js";
export type { RouteCall } from "./route-request.js";

/** A route that clients may call: an Express handler, or an array of handlers, middleware and error handlers. */
export type Route = RouteHandler | readonly (RouteErrorHandler | Route)[];

/** The routes that clients may call, nested; `{a: {b}}` is called as `a.b`. Own properties only. */
export interface Routes {
  [name: string]: Route | Routes;
}

/** The part of an Express application, of version 5 or 4, that routes need. */
export interface ExpressApplicationLike {
  /** The prototype of its requests. */
  readonly request: object;
  /** The prototype of its responses. */
  readonly response: object;
}

/** A route that was called. */
export interface RunningRoute {
  /** Whether it has ended without an answer, which may still come by a callback. */
  readonly isSilent?: boolean;
  /**
   * Nobody waits any more: the request and the response emit `close`, and nothing is settled. Where that is since a guard
   * refuses the call by now, no further handler runs.
   */
  abort(isRefused?: boolean): void;
}

type Handler = RouteHandler | RouteErrorHandler;

/** An application's prototypes, and the classes that have them. */
interface RouteClasses extends ExpressApplicationLike {
  readonly Request: typeof RouteRequest;
  readonly Response: typeof RouteResponse;
}

const FUNCTION_NOT_FOUND: Outcome = { status: "error", error: NOT_FOUND };

/** Runs an application's Express handlers for calls that came over a socket. */
export class ExpressRoutes<Auth = Record<string, unknown>> {
  readonly #app: ExpressApplicationLike;
  readonly #maxBytes: number;
  #classes: RouteClasses | undefined;

  /** `maxBytes` bounds a response's body; a larger one fails its call. */
  constructor(app: ExpressApplicationLike, maxBytes: number) {
    this.#app = app;
    this.#maxBytes = maxBytes;
  }

  /**
   * Runs a route. `settle` is called once, perhaps before this returns, or never after `abort`. `late` gets
   * whatever goes wrong after either. Neither may throw.
   */
  call(
    route: Route,
    call: RouteCall<Auth>,
    settle: (outcome: Outcome) => void,
    late: (error: unknown) => void,
  ): RunningRoute {
    const run = new RouteRun(this.#classesNow(), call, this.#maxBytes, settle, late);
    run.start(handlersOf(route));
    return run;
  }

  /** An application may be given other prototypes at any time. */
  #classesNow(): RouteClasses {
    const { request, response } = this.#app;
    if (this.#classes?.request !== request || this.#classes.response !== response) {
      this.#classes = classesFor(this.#app);
    }
    return this.#classes;
  }
}

/** One call of a route: the handlers' request and response, and what becomes of them. */
class RouteRun<Auth> implements RunningRoute, ConnectionObserver, ResponseObserver {
  readonly #path: string;
  readonly #maxBytes: number;
  readonly #settle: (outcome: Outcome) => void;
  readonly #late: (error: unknown) => void;
  readonly #connection: RouteConnection;
  readonly #req: Request;
  readonly #res: Response;
  #isRunning = true;
  #isRefused = false;

  constructor(
    classes: RouteClasses,
    call: RouteCall<Auth>,
    maxBytes: number,
    settle: (outcome: Outcome) => void,
    late: (error: unknown) => void,
  ) {
    this.#path = call.path;
    this.#maxBytes = maxBytes;
    this.#settle = settle;
    this.#late = late;
    this.#connection = new RouteConnection(call.socket, this);
    const req = new classes.Request(call, this.#connection, this);
    const res = new classes.Response(req, classes.response, this.#connection, maxBytes, this);
    this.#req = req as unknown as Request;
    this.#res = res as unknown as Response;
    this.#connection.on("close", () => this.#closed());
  }

  start(handlers: readonly Handler[]): void {
    const foreign = handlers.findIndex((handler) => typeof handler !== "function");
    if (foreign >= 0) {
      return this.#fail(new TypeError(`Route "${this.#path}": handler ${foreign + 1} is not a function`));
    }
    const stack = handlers.map((handle) => ({ handle, name: handle.name, method: "post" }));
    this.#req.route = { path: this.#req.url, stack, methods: { post: true } };
    runHandlers(handlers, this.#req, this.#res, {
      mayGoOn: () => !this.#isRefused,
      pastTheEnd: (raised) => this.#pastTheEnd(raised),
    });
  }

  abort(isRefused = false): void {
    this.#isRefused ||= isRefused;
    if (!this.#isRunning) return;
    this.#isRunning = false;
    this.#connection.destroy();
    this.#req.destroy();
  }

  ended(response: RecordedResponse): void {
    if (!this.#isRunning) return;
    this.#isRunning = false;
    this.#settle(readReply(response));
  }

  tooLarge(): void {
    this.#fail(responseTooLarge(this.#maxBytes));
  }

  timedOut(): void {
    const heard = [this.#req, this.#res].map((each) => each.emit("timeout", this.#connection));
    if (!heard.includes(true)) this.#connection.destroy();
  }

  report(error: unknown): void {
    this.#fail(error);
  }

  #closed(): void {
    if (!this.#isRunning) return;
    const silent = () => new Error(`Route "${this.#path}" closed its response without an answer`);
    this.#fail(this.#connection.errored ?? silent());
  }

  #fail(error: unknown): void {
    if (!this.#isRunning) return this.#late(error);
    this.#conclude({ status: "failure", error }, 500);
  }

  #pastTheEnd(raised?: Raised): void {
    if (raised) {
      if (!this.#isRunning) return this.#late(raised.error);
      return this.#conclude(outcomeOf(raised), statusOf(raised.error) ?? 500);
    }
    // a response that has begun goes on, whoever has passed the call on beside it
    if (this.#isRunning && !this.#res.headersSent) this.#conclude(FUNCTION_NOT_FOUND, 404);
  }

  /**
   * Settles without a response of the handlers', and ends theirs, so that whoever waits for its end is told
   * and a handler that answers later learns that it is late, as it would over HTTP.
   */
  #conclude(outcome: Outcome, statusCode: number): void {
    this.#isRunning = false;
    this.#settle(outcome);
    const res = this.#res;
    try {
      if (res.headersSent) {
        this.#connection.destroy();
        return;
      }
      for (const name of res.getHeaderNames()) res.removeHeader(name);
      res.statusCode = statusCode;
      res.end();
    } catch (error) {
      this.#late(error);
    }
  }
}

function handlersOf(route: Route): readonly Handler[] {
  if (typeof route === "function") return [route];
  return ([route] as unknown[]).flat(Number.POSITIVE_INFINITY) as Handler[];
}

/**
 * An error is for the caller where it is an `RpcError`, or says `expose: true` as those of http-errors do. Of others that
 * were given to `next` the caller sees the status, as Express's own handler has it in production; also of what Express
 * itself gives, which may name files of the server.
 */
function outcomeOf({ error, by }: Raised): Outcome {
  if (isRpcError(error)) return { status: "error", error };
  if (by !== "express" && isExposed(error)) return { status: "error", error };
  const status = by === "throw" ? undefined : statusOf(error);
  return status !== undefined && status < 500
    ? { status: "error", error: statusError(status) }
    : { status: "failure", error };
}

/** Says whether an error is meant for the caller by the convention of http-errors. Never throws. */
function isExposed(error: unknown): boolean {
  try {
    return isError(error) && (error as { expose?: unknown }).expose === true;
    // Stryker disable next-line BlockStatement: nothing is as good as false
  } catch {
    return false;
  }
}

/** The HTTP status that an error carries. Never throws. */
function statusOf(error: unknown): number | undefined {
  try {
    const { status, statusCode } = Object(error) as { status?: unknown; statusCode?: unknown };
    return [status, statusCode].find(
      (code): code is number => Number.isInteger(code) && Number(code) >= 400 && Number(code) <= 599,
    );
    // Stryker disable next-line BlockStatement: a function that returns nothing gives undefined, too
  } catch {
    return undefined;
  }
}

function responseTooLarge(maxBytes: number): RpcError {
  return new RpcError(`The response is larger than ${maxBytes} bytes`, { code: "E_RESPONSE_TOO_LARGE" });
}

/**
 * Objects whose prototypes are set one by one differ in shape each, and all that touches them is slow; so an
 * application's prototypes are put into classes.
 */
function classesFor({ request, response }: ExpressApplicationLike): RouteClasses {
  const Request = class extends RouteRequest {};
  const Response = class extends RouteResponse {};
  Object.setPrototypeOf(Request.prototype, request);
  Object.setPrototypeOf(Response.prototype, response);
  return { request, response, Request, Response };
}
