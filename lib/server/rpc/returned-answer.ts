import { type Callback, type Handler, isStream, isThenable } from "../../shared/answer.js";

/** The position of the callback among a function's arguments. */
const POSITION = 2;

/**
 * A function that is asked as one that declares no parameters: it answers by its callback or by what it returns other than
 * `undefined`, whichever comes first. Of a function that declares the callback an object of a class does not count, unless a
 * promise gives it: timers and requests are what functions return that answer by the callback.
 *
 * `onSilence` is called when its promise has ended without an answer, which may still come by the callback.
 */
export function answeringByEither(fn: Handler, onSilence: () => void): Handler {
  const declaresCallback = fn.length > POSITION;
  return function (this: unknown, ...args: unknown[]): unknown {
    let hasAnswered = false;
    const callback = args[POSITION] as Callback;
    const given = args.with(POSITION, (...answer: Parameters<Callback>) => {
      hasAnswered = true;
      callback(...answer);
    });
    const returned: unknown = Reflect.apply(fn, this, given);
    const answered = (value: unknown, isPromised: boolean): unknown => {
      // a stream is to be ended where it comes too late
      if (!declaresCallback || isStream(value)) return value;
      return !hasAnswered && (isPromised || isPlain(value)) ? value : undefined;
    };
    if (!isThenable(returned)) return answered(returned, false);
    return Promise.resolve(returned).then((value) => {
      if (value === undefined && !hasAnswered) onSilence();
      return answered(value, true);
    });
  };
}

/** Says whether a value is no function and no object of a class. Throws what a proxy throws. */
function isPlain(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return typeof value !== "function";
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype || Array.isArray(value);
}
