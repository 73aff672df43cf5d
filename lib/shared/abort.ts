/** Callbacks for when a signal fires. Each signal has one listener: many calls with one signal are no leak, as Node.js would warn. */
const acts = new WeakMap<AbortSignal, Set<() => void>>();

/** Calls a function when a signal fires, or at once where it has, until the function returned is called. */
export function onAbort(signal: AbortSignal | undefined, act: () => void): () => void {
  if (signal?.aborted) act();
  if (!signal || signal.aborted) return () => {};
  const all = acts.get(signal) ?? new Set();
  acts.set(signal, all);
  if (all.size === 0) signal.addEventListener("abort", fire);
  all.add(act);
  return () => {
    if (all.delete(act) && all.size === 0) signal.removeEventListener("abort", fire);
  };
}

function fire(this: AbortSignal): void {
  // one may take another back
  for (const act of acts.get(this) ?? []) act();
}
