/** Calls a function when a signal fires, or at once where it has, until the function returned is called. */
export function onAbort(signal: AbortSignal | undefined, act: () => void): () => void {
  if (signal?.aborted) act();
  else signal?.addEventListener("abort", act);
  return () => signal?.removeEventListener("abort", act);
}
