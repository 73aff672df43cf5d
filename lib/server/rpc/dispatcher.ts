import { type Handler, invoke } from "../../shared/answer.js";
import type { Outcome } from "../../shared/errors.js";
import { lookUp } from "../../shared/procedures.js";
import { whenSettled } from "../../shared/promises.js";
import { NOT_FOUND } from "../../shared/refusals.js";
import { lateError } from "../events/guards.js";
import type { Reporter } from "../log/reporter.js";
import type { ExpressRoutes, Route, RouteCall, Routes, RunningRoute } from "../routes/express-routes.js";
import type { Controller, FunctionContext, TokenSocketServer } from "./controller.js";
import { guardListeners } from "./guarded-signal.js";
import { Procedure } from "./procedure.js";
import { answeringByEither } from "./returned-answer.js";

/** The functions; read at each call, so that the application may change them at any time. */
export interface Functions<Auth> {
  readonly socketController: Controller<Auth>;
  readonly routes: Routes;
}

const FUNCTION_NOT_FOUND: Outcome = { status: "error", error: NOT_FOUND };

/** A call to be dispatched. */
export interface DispatchedCall<Auth> extends RouteCall<Auth> {
  /**
   * Says whether the function may be run, asked where that had to wait. Where not, since the caller's rights may have
   * become others, nothing is settled.
   */
  mayRun(): boolean;
}

/** Finds the function, the procedure or the Express handler that a client calls, and runs it. */
export class Dispatcher<Auth> {
  readonly #functions: Functions<Auth>;
  readonly #routes: ExpressRoutes<Auth>;
  readonly #pathLength: number;
  readonly #reporter: Reporter;
  readonly #server: TokenSocketServer<Auth>;
  /** The functions of which it was told that they end without an answer. */
  readonly #silent = new WeakSet<Handler>();

  constructor(
    functions: Functions<Auth>,
    routes: ExpressRoutes<Auth>,
    pathLength: number,
    reporter: Reporter,
    server: TokenSocketServer<Auth>,
  ) {
    this.#functions = functions;
    this.#routes = routes;
    this.#pathLength = pathLength;
    this.#reporter = reporter;
    this.#server = server;
  }

  /** Runs what the path names, the controller's function before a route, and settles once. */
  dispatch(call: DispatchedCall<Auth>, settle: (outcome: Outcome) => void): RunningRoute | undefined {
    // not the call, with all that it was called with
    const { path } = call;
    const late = (outcome: Outcome) =>
      this.#reporter.error(`${JSON.stringify(path)} went on after its answer`, lateError(outcome));
    try {
      const found = this.#find(call.path);
      if (!found) settle(FUNCTION_NOT_FOUND);
      else if ("route" in found) {
        return this.#routes.call(found.route, call, settle, (error) => late({ status: "failure", error }));
      } else if ("procedure" in found) {
        const running = new RunningFunction(this.#server, late);
        void found.procedure.run(call, running, settle);
        return running;
      } else {
        const { fn, self } = found;
        const running = new RunningFunction(this.#server, late);
        const args = [call.auth, call.data, undefined, call.socket, running];
        const { length } = fn;
        const byEither = length === 0 || length > 2;
        const asked = byEither ? this.#answeringByEither(path, fn, running) : fn;
        // all of one shape: this is done for each call
        const invocation = { fn: asked, declared: byEither ? 0 : length, self, args, position: 2 };
        invoke(invocation, (outcome) => whenSettled(outcome, settle), late);
        return running;
      }
    } catch (error) {
      // a getter on the way has thrown
      settle({ status: "failure", error });
    }
    return undefined;
  }

  #answeringByEither(path: string, fn: Handler, running: RunningFunction<Auth>): Handler {
    return answeringByEither(fn, () => {
      running.isSilent = true;
      this.#warn(path, fn);
    });
  }

  /** Once for each function, which may yet call its callback. */
  #warn(path: string, fn: Handler): void {
    if (this.#silent.has(fn)) return;
    this.#silent.add(fn);
    this.#reporter.warn(
      `${JSON.stringify(path)} has ended without an answer: its promise gave nothing, and it has not called its callback`,
    );
  }

  #find(path: string): Target | undefined {
    if (path.length > this.#pathLength) return undefined;
    // most have one name, and to split a text takes several times as long as to look whether it has to be
    const names = path.includes(".") ? path.split(".") : [path];
    const found = lookUp(this.#functions.socketController, names);
    if (typeof found?.value === "function") return { fn: found.value as Handler, self: found.parent };
    if (found?.value instanceof Procedure) return { procedure: found.value };
    const route = lookUp(this.#functions.routes, names)?.value;
    return isRoute(route) ? { route } : undefined;
  }
}

/** A call of a function; its signal is made when the function asks for it. */
class RunningFunction<Auth> implements FunctionContext<Auth>, RunningRoute {
  readonly server: TokenSocketServer<Auth>;
  isSilent = false;
  readonly #late: (outcome: Outcome) => void;
  #controller: AbortController | undefined;
  #isAborted = false;

  /** `late` gets what listeners of the signal throw. */
  constructor(server: TokenSocketServer<Auth>, late: (outcome: Outcome) => void) {
    this.server = server;
    this.#late = late;
  }

  get isAborted(): boolean {
    return this.#isAborted;
  }

  get signal(): AbortSignal {
    this.#controller ??= this.#makeController();
    return this.#controller.signal;
  }

  #makeController(): AbortController {
    const controller = new AbortController();
    guardListeners(controller.signal, (error) => this.#late({ status: "failure", error }));
    if (this.#isAborted) controller.abort();
    return controller;
  }

  abort(): void {
    this.#isAborted = true;
    this.#controller?.abort();
  }
}

type Target =
  | { readonly fn: Handler; readonly self: object }
  | { readonly procedure: Procedure }
  | { readonly route: Route };

function isRoute(value: unknown): value is Route {
  if (typeof value === "function") return true;
  if (!Array.isArray(value)) return false;
  const handlers: unknown[] = value.flat(Number.POSITIVE_INFINITY);
  return handlers.length > 0 && handlers.every((handler) => typeof handler === "function");
}
