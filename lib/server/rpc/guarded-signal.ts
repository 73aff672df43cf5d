import { watchPromise } from "../../shared/promises.js";

type Listener = Parameters<AbortSignal["addEventListener"]>[1];

/**
 * Has what the listeners of a signal throw or reject with handed to `failed`: Node.js would end the process with it, and
 * a client chooses when its call is aborted.
 */
export function guardListeners(signal: AbortSignal, failed: (error: unknown) => void): void {
  const guarded = new WeakMap<object, (event: Event) => void>();
  const guardedOf = (listener: Listener): Listener => {
    // what is no listener is for the signal itself to refuse
    if ((typeof listener !== "object" && typeof listener !== "function") || listener === null)
      return listener;
    const known = guarded.get(listener) ?? guard(signal, listener, failed);
    guarded.set(listener, known);
    return known;
  };
  const { addEventListener, removeEventListener } = AbortSignal.prototype;
  Object.defineProperties(signal, {
    addEventListener: {
      value: (type: "abort", listener: Listener, ...options: unknown[]) =>
        Reflect.apply(addEventListener, signal, [type, guardedOf(listener), ...options]),
    },
    removeEventListener: {
      value: (type: "abort", listener: Listener, ...options: unknown[]) =>
        Reflect.apply(removeEventListener, signal, [type, guardedOf(listener), ...options]),
    },
  });
}

function guard(
  signal: AbortSignal,
  listener: Exclude<Listener, null>,
  failed: (error: unknown) => void,
): (event: Event) => void {
  return (event) => {
    try {
      const returned: unknown =
        typeof listener === "function" ? listener.call(signal, event) : listener.handleEvent(event);
      watchPromise(returned, failed);
    } catch (error) {
      failed(error);
    }
  };
}
