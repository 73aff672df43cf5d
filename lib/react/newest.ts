import { type RefObject, useInsertionEffect, useRef } from "react";

/** Always holds what the last render was given, so that another handler is no reason to begin anew. */
export function useNewest<Value>(value: Value): Readonly<RefObject<Value>> {
  const newest = useRef(value);
  // before all other effects, and also where nothing is laid out
  useInsertionEffect(() => {
    newest.current = value;
  });
  return newest;
}

/** Reports what a handler has thrown as an uncaught error, so that it disturbs no other handler. */
export function rethrow(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
