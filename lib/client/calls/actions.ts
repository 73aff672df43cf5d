import { errorForWire, isRpcError } from "../../shared/errors.js";
import { lookUp } from "../../shared/procedures.js";
import { isObject } from "../../shared/protocol.js";
import { INTERNAL_ERROR, NOT_FOUND } from "../../shared/refusals.js";
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
    let isAnswered = false;
    const answer = (value: unknown, error?: unknown, isFailure?: boolean) => {
      if (isAnswered) {
        this.#logger.error(`The action ${path} answered again`, error ?? value);
        return;
      }
      isAnswered = true;
      try {
        send(this.#encode(path, value, error, isFailure));
      } catch (tooMuch) {
        send(this.#encode(path, undefined, tooMuch));
      }
    };
    const fail = (error: unknown = null) => answer(undefined, error, true);
    // of no use is what a function returns that has answered by the callback, though it does not declare it
    const succeed = (value: unknown) => {
      if (!isAnswered || value !== undefined) answer(value);
    };
    const callback = (error: unknown, value?: unknown) => {
      if (error === undefined || error === null) answer(value);
      // as for guards
      else if (error === false) answer(value ?? false);
      else answer(undefined, error);
    };
    try {
      const found = lookUp(this.#actions, path.split("."));
      if (typeof found?.value !== "function") return answer(undefined, NOT_FOUND);
      const action = found.value as Action;
      const returned = Reflect.apply(action, found.parent, [args, callback]);
      Promise.resolve(returned).then(action.length < 2 ? succeed : undefined, fail);
    } catch (error) {
      fail(error);
    }
  }

  /** Encodes a value or, where there is one, an error; `isFailure` says that it was thrown, and so may not be meant for the server. */
  #encode(path: string, value: unknown, error?: unknown, isFailure?: boolean): string {
    try {
      if (error === undefined) return JSON.stringify({ data: value });
      const isMeant = !isFailure || isRpcError(error);
      if (!isMeant) this.#logger.error(`The action ${path} failed`, error);
      return JSON.stringify({ error: isMeant ? errorForWire(error) : INTERNAL_ERROR });
    } catch (thrown) {
      // no JSON, or none this time
      return this.#encode(path, undefined, thrown ?? null, true);
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
