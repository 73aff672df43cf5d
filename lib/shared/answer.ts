import type { Outcome } from "./errors.js";

/** A function of the application's that may answer by a callback or by what it returns. */
export type Handler = (...args: never[]) => unknown;

/** The callback that such a function is given, as Node.js has them. */
export type Callback = (error?: unknown, value?: unknown) => void;

/** An invocation of a function of the application. */
export interface Invocation {
  readonly fn: Handler;
  /** The number of parameters that it declares; another one than `fn.length` where `fn` is wrapped. */
  readonly declared?: number;
  readonly self: unknown;
  readonly args: readonly unknown[];
  /** The position of the callback among the arguments. */
  readonly position: number;
  /** Whether a promise of `undefined` answers for a function that declares no parameters. */
  readonly nothingAnswers?: boolean;
}

/**
 * Calls a function and settles once with how it ended.
 *
 * One that declares the callback answers by it, and a throw or a rejection is its failure. One that declares
 * fewer parameters answers by what it returns, a value or a promise. One that declares none (rest parameters,
 * wrappers, spies) answers by the callback or by a result other than `undefined`, whichever comes first.
 *
 * `late` gets every further answer; what it is given must not be lost, since it may be a failure.
 */
export function invoke(
  invocation: Invocation,
  settle: (outcome: Outcome) => void,
  late: (outcome: Outcome) => void,
): void {
  const { fn, declared = fn.length, self, args, position, nothingAnswers } = invocation;
  const byCallback = declared > position;
  let settled = false;
  const answer = (outcome: Outcome) => {
    if (settled) return late(outcome);
    settled = true;
    settle(outcome);
  };
  const fail = (error: unknown) => answer({ status: "failure", error });
  const succeed = (value: unknown, isAnswer?: boolean) => {
    try {
      // a stream is an answer also of a function that declares the callback for the sake of what comes after it
      if (byCallback && !isStream(value)) return;
    } catch (error) {
      // a getter of what was returned has thrown
      return fail(error);
    }
    if (value === undefined && (settled || !isAnswer)) return;
    answer({ status: "result", value });
  };
  const callback: Callback = (...given) => answer(outcomeOfCallback(given));

  let returned: unknown;
  try {
    returned = Reflect.apply(fn, self, [...args.slice(0, position), callback, ...args.slice(position)]);
    if (!isThenable(returned)) return succeed(returned, declared > 0);
    // a promise may have a `then` of its own, which throws
    Promise.resolve(returned).then((value) => succeed(value, declared > 0 || nothingAnswers), fail);
  } catch (error) {
    fail(error);
  }
}

/** `callback(false)` answers false, so that a guard's "no" is not taken for "no error". */
function outcomeOfCallback([error, value]: [error?: unknown, value?: unknown]): Outcome {
  if (error === undefined || error === null) return { status: "result", value };
  if (error === false) return { status: "result", value: value === undefined ? false : value };
  return { status: "error", error };
}

/** Says whether a value can be read by `for await`. Throws what a getter throws. */
export function isStream(value: unknown): value is AsyncIterable<unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    typeof (value as Partial<AsyncIterable<unknown>>)[Symbol.asyncIterator] === "function"
  );
}

/** Says whether a value is a promise, of whatever make. Throws what a getter throws. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    (typeof value === "object" || typeof value === "function") &&
    value !== null &&
    typeof (value as { then?: unknown }).then === "function"
  );
}
