import { onAbort } from "../shared/abort.js";
import { startTimer } from "../shared/times.js";
import { ConnectionError } from "./errors.js";

/**
 * Waits for what `run` does until a time has passed or `signal` fires. The signal that `run` gets fires then, and at the end,
 * so that nothing of it goes on.
 */
export async function within<T>(
  time: number,
  what: string,
  signal: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const limit = new AbortController();
  const stop = startTimer(time, () => limit.abort(new ConnectionError(`${what} took over ${time} ms`)));
  const forget = onAbort(signal, () => limit.abort(signal.reason));
  try {
    return await Promise.race([run(limit.signal), aborted(limit.signal)]);
  } finally {
    stop();
    forget();
    limit.abort();
  }
}

/** Rejects with the signal's reason as soon as it fires. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    onAbort(signal, () => reject(signal.reason));
  });
}
