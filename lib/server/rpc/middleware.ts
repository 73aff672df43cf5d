import { isObject } from "../../shared/protocol.js";

/** The result of a middleware: the one that `next` gave, which says how the procedure ended. */
export class Passed<Added = unknown> {
  /** For the compiler alone. */
  declare readonly "~added": Added;
  /** Nobody else's: a middleware decides on a call, and does not answer it. */
  readonly #result: unknown;

  constructor(result: unknown) {
    this.#result = result;
  }

  /** The procedure's answer. Throws a `TypeError` for a value that is not of `next`. */
  static resultOf(passed: unknown): unknown {
    if (typeof passed === "object" && passed !== null && #result in passed) return passed.#result;
    throw new TypeError("a procedure's middleware must return what next() gives, or throw");
  }
}

/** Goes on with the next middleware, and at last with the procedure itself. Rejects with what these throw. */
export interface Next {
  (): Promise<Passed>;
  /** Adds to what they are given. An `auth` takes the place of the one that is there. */
  <Added extends object>(added: Added): Promise<Passed<Added>>;
}

/** Middlewares as procedures keep them. */
export type Middlewares = readonly ((call: never) => unknown)[];

/**
 * Runs middlewares, one in the other, and `end` in the innermost. Both get what was added by then. Gives what `end` gives;
 * rejects with what they throw.
 */
export async function pass(
  middlewares: Middlewares,
  callOf: (added: object) => object,
  end: (added: object) => Promise<unknown>,
): Promise<unknown> {
  const step = async (index: number, added: object): Promise<Passed> => {
    const middleware = middlewares[index];
    if (!middleware) return new Passed(await end(added));
    let hasPassed = false;
    const next = (more: unknown = {}): Promise<Passed> => {
      if (hasPassed) throw new TypeError("a procedure's middleware may call next() once");
      hasPassed = true;
      checkAdded(more);
      const passing = step(index + 1, { ...added, ...more });
      // a middleware that does not wait for it fails by what it returns instead
      passing.catch(() => {});
      return passing;
    };
    const call = Object.defineProperty(callOf(added), "next", { value: next, enumerable: true });
    const passed: unknown = await middleware(call as never);
    return new Passed(Passed.resultOf(passed));
  };
  return Passed.resultOf(await step(0, {}));
}

/** The parts of a context that are the call's own. */
const RESERVED = ["input", "socket", "server", "signal", "next"];

function checkAdded(added: unknown): asserts added is object {
  if (!isObject(added)) throw new TypeError("next() must be given an object, or nothing");
  const name = RESERVED.find((reserved) => reserved in added);
  if (name !== undefined) throw new TypeError(`next() must not be given ${name}, which is the call's own`);
}
