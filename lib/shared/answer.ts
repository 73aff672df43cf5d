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
  /** The arguments, with a place for the callback, which is put there. */
  readonly args: unknown[];
  /** The position of the callback among the arguments. */
  readonly position: number;
  /** Whether a promise of `undefined` answers for a function that declares no parameters. */
  readonly nothingAnswers?: boolean;
}

type Settle = (outcome: Outcome) => void;

/**
 * Calls a function and settles once with how it ended.
 *
 * One that declares the callback answers by it, and a throw or a rejection is its failure. One that declares
 * fewer parameters answers by what it returns, a value or a promise. One that declares none (rest parameters,
 * wrappers, spies) answers by the callback or by a result other than `undefined`, whichever comes first.
 *
 * `late` gets every further answer; what it is given must not be lost, since it may be a failure.
 */
export function invoke(invocation: Invocation, settle: Settle, late: Settle): void {
  const { fn, declared = fn.length, self, args, position, nothingAnswers } = invocation;
  const answers = new Answers(settle, late, declared > position);
  const callback: Callback = (error, value) => answers.add(outcomeOfCallback(error, value));
  args[position] = callback;

  let returned: unknown;
  try {
    returned = Reflect.apply(fn, self, args);
    if (!isThenable(returned)) return answers.addReturned(returned, declared > 0);
    const nothingIsAnswer = declared > 0 || nothingAnswers;
    // a promise may have a `then` of its own, which throws
    Promise.resolve(returned).then(
      (value) => answers.addReturned(value, nothingIsAnswer),
      (error: unknown) => answers.addFailure(error),
    );
  } catch (error) {
    answers.addFailure(error);
  }
}

/** The answers of one invocation, of which the first settles it. By functions of its own each call would cost more. */
class Answers {
  readonly #settle: Settle;
  readonly #late: Settle;
  readonly #byCallback: boolean;
  #isSettled = false;

  constructor(settle: Settle, late: Settle, byCallback: boolean) {
    this.#settle = settle;
    this.#late = late;
    this.#byCallback = byCallback;
  }

  add(outcome: Outcome): void {
    if (this.#isSettled) return this.#late(outcome);
    this.#isSettled = true;
    this.#settle(outcome);
  }

  addFailure(error: unknown): void {
    this.add({ status: "failure", error });
  }

  /** Adds what the function has returned, or its promise has given. */
  addReturned(value: unknown, nothingIsAnswer: boolean | undefined): void {
    try {
      // a stream is an answer also of a function that declares the callback for the sake of what comes after it
      if (this.#byCallback && !isStream(value)) return;
    } catch (error) {
      // a getter of what was returned has thrown
      return this.addFailure(error);
    }
    if (value === undefined && (this.#isSettled || !nothingIsAnswer)) return;
    this.add({ status: "result", value });
  }
}

/** `callback(false)` answers false, so that a guard's "no" is not taken for "no error". */
function outcomeOfCallback(error: unknown, value: unknown): Outcome {
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
