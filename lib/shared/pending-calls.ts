import { onAbort } from "./abort.js";
import { AbortedError, TimeoutError } from "./call-errors.js";

/** How long a call may take. */
export interface CallOptions {
  /** Milliseconds until the call is rejected with a `TimeoutError`; default 30,000. `Infinity`: no limit. */
  timeout?: number | undefined;
  /** Rejects the call with an `AbortedError` when it fires; the other side is not told. */
  signal?: AbortSignal | undefined;
}

export const DEFAULT_CALL_TIMEOUT = 30_000;

/** The longest time a Node.js timer can wait for. */
export const LONGEST_TIMER = 2 ** 31 - 1;

/** From how many milliseconds on a timer is late, because the event loop was blocked or the machine was suspended. */
export const LATE = 5;

/** Calls back at once, or, where it is late, when what has come by now has been read: the answer may be there. */
function whenRead(due: number, act: () => void): void {
  if (performance.now() < due + LATE) act();
  // browsers have no setImmediate
  else (globalThis.setImmediate ?? setTimeout)(act);
}

interface PendingCall {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** Calls that await an answer from the other side. */
export class PendingCalls {
  readonly #calls = new Map<string, PendingCall>();
  #made = 0;

  get size(): number {
    return this.#calls.size;
  }

  /** Adds a call and hands its id to `send`; what `send` throws rejects the call. */
  add({ timeout = DEFAULT_CALL_TIMEOUT, signal }: CallOptions, send: (id: string) => void): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) throw new AbortedError(signal.reason);
      const id = (++this.#made).toString(36);
      const due = performance.now() + timeout;
      const timer =
        timeout <= LONGEST_TIMER
          ? setTimeout(() => whenRead(due, () => this.reject(id, new TimeoutError(timeout))), timeout)
          : undefined;
      const end = () => {
        this.#calls.delete(id);
        clearTimeout(timer);
        forget();
      };
      this.#calls.set(id, {
        resolve(value) {
          end();
          resolve(value);
        },
        reject(error) {
          end();
          reject(error);
        },
      });
      const forget = onAbort(signal, () => this.reject(id, new AbortedError(signal?.reason)));
      try {
        send(id);
      } catch (error) {
        end();
        reject(error);
      }
    });
  }

  /** Settles a call with a value; an id that is not pending, or no longer, changes nothing. */
  resolve(id: string, value: unknown): boolean {
    const call = this.#calls.get(id);
    call?.resolve(value);
    return call !== undefined;
  }

  /** Settles a call with an error, likewise. */
  reject(id: string, error: Error): boolean {
    const call = this.#calls.get(id);
    call?.reject(error);
    return call !== undefined;
  }

  /** Ends all calls, for instance because the connection has closed. */
  rejectAll(error: () => Error): void {
    for (const call of [...this.#calls.values()]) call.reject(error());
  }
}
