import { type Handler, invoke } from "../../shared/answer.js";
import { errorForWire, failureForWire, isRpcError, type Outcome } from "../../shared/errors.js";
import { lookUp } from "../../shared/procedures.js";
import { isObject } from "../../shared/protocol.js";
import { NOT_FOUND } from "../../shared/refusals.js";
import { demand, type Logger } from "../options.js";

/**
 * A function that the server may call. With two parameters or more it answers by the callback, else by what it
 * returns, a value or a promise.
 */
export type Action = (data: never, callback: (error?: unknown, value?: unknown) => void) => unknown;

/** Functions that the server may call, nested. */
export interface Actions {
  [name: string]: Action | Actions;
}

/** The functions that the server may call. */
export class ActionTable {
  readonly #logger: Logger;
  #actions: Actions = {};

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Adds functions; one of a name that is there takes its place. Throws a `TypeError` for what is no function. */
  register(actions: Actions): void {
    check(actions);
    this.#actions = { ...this.#actions, ...actions };
  }

  /** Calls a function and hands its answer to `send` as an object with `data` or `error`, encoded. Where `send` throws, that is the answer. */
  call(path: string, args: unknown, send: (json: string) => void): void {
    const settle = (outcome: Outcome) => {
      try {
        send(this.#encode(path, outcome));
      } catch (error) {
        // too much for the server
        send(this.#encode(path, { status: "error", error }));
      }
    };
    try {
      const found = lookUp(this.#actions, path);
      if (typeof found?.value !== "function") return settle({ status: "error", error: NOT_FOUND });
      const fn = found.value as Handler;
      // the callback is the second parameter, so that also a function without parameters answers by its result
      const invocation = {
        fn,
        declared: Math.max(1, fn.length),
        self: found.parent,
        args: [args],
        position: 1,
      };
      invoke(invocation, settle, (late) =>
        this.#logger.error(`The action ${path} has answered more than once`, late),
      );
    } catch (error) {
      // a getter has thrown
      settle({ status: "failure", error });
    }
  }

  #encode(path: string, outcome: Outcome): string {
    try {
      if (outcome.status === "result") return JSON.stringify({ data: outcome.value });
      const { status, error } = outcome;
      if (status === "error") return JSON.stringify({ error: errorForWire(error) });
      if (!isRpcError(error)) this.#logger.error(`The action ${path} failed`, error);
      return JSON.stringify({ error: failureForWire(error, false) });
    } catch (error) {
      // no JSON, or none this time
      return this.#encode(path, { status: "failure", error });
    }
  }
}

/** Throws a `TypeError` for an action that is neither a function nor an object of functions. */
function check(actions: unknown, path: string[] = [], seen = new Set<unknown>()): void {
  demand(isObject(actions), `action ${path.join(".")}`, "function");
  // an object may hold itself
  if (seen.has(actions)) return;
  seen.add(actions);
  for (const [name, value] of Object.entries(actions as object)) {
    if (typeof value !== "function") check(value, [...path, name], seen);
  }
}
