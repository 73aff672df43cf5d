import { type Callback, isThenable } from "./answer.js";
import type { Outcome } from "./errors.js";

/** A promise of JavaScript's own for one of any make. Reading that may throw; then it rejects. */
function ownPromise(thenable: unknown): Promise<unknown> {
  return new Promise((resolve) => resolve(thenable));
}

/**
 * Hands what a promise, of whatever make, is rejected with to `failed`, for a function whose result nobody waits for. So too
 * what is thrown by looking whether it is a promise. `failed` may not throw.
 */
export function watchPromise(returned: unknown, failed: (error: unknown) => void): void {
  try {
    // Stryker disable next-line ConditionalExpression: it is only quicker
    if (isThenable(returned)) ownPromise(returned).catch(failed);
  } catch (error) {
    failed(error);
  }
}

/**
 * Calls a function of the application's whose result nobody waits for, and hands what it throws or rejects with to `failed`,
 * which may not throw.
 */
export function callGuarded(act: () => unknown, failed: (error: unknown) => void): void {
  try {
    watchPromise(act(), failed);
  } catch (error) {
    failed(error);
  }
}

/** Hands what becomes of a promise to a callback; what that throws or rejects with goes to `failed`, which may not throw. */
export function answerBy(
  callback: Callback,
  promise: Promise<unknown>,
  failed: (error: unknown) => void,
): void {
  promise.then(
    (value) => callGuarded(() => callback(null, value), failed),
    (error: unknown) => callGuarded(() => callback(error), failed),
  );
}

/** Hands an outcome on; where its value is a promise, since a callback was given one, then what becomes of that. */
export function whenSettled(outcome: Outcome, settle: (outcome: Outcome) => void): void {
  // Stryker disable next-line ConditionalExpression: the others have no value
  if (outcome.status !== "result") return settle(outcome);
  let isPromise: boolean;
  try {
    isPromise = isThenable(outcome.value);
  } catch (error) {
    return settle({ status: "failure", error });
  }
  if (!isPromise) return settle(outcome);
  ownPromise(outcome.value).then(
    (value) => settle({ status: "result", value }),
    (error: unknown) => settle({ status: "failure", error }),
  );
}
