import { onAbort } from "./abort.js";
import { AbortedError, TimeoutError } from "./call-errors.js";
import { startTimer } from "./times.js";

/** Options of a call: its time limit, and a signal that ends it. */
export interface CallOptions {
  /** Milliseconds until the call is rejected with a `TimeoutError`; default 30,000. `Infinity`: no limit. */
  timeout?: number | undefined;
  /** Rejects the call with an `AbortedError` when it fires; the other side is not told. */
  signal?: AbortSignal | undefined;
}

/** A call's options, and what only this side sets. */
export interface PendingCallOptions extends CallOptions {
  /** Gives the cause of the `TimeoutError`, where there is one. */
  causeOfTimeout?: (() => unknown) | undefined;
}

export const DEFAULT_CALL_TIMEOUT = 30_000;

interface PendingCall {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** Calls that await an answer from the other side. */
export class PendingCalls {
  readonly #calls = new Map<number, PendingCall>();
  #made = 0;

  get size(): number {
    return this.#calls.size;
  }

  /** Adds a call and hands its id to `send`; what `send` throws rejects the call. */
  add(
    { timeout = DEFAULT_CALL_TIMEOUT, signal, causeOfTimeout }: PendingCallOptions,
    send: (id: number) => void,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) throw new AbortedError(signal.reason);
      const id = ++this.#made;
      const stop = startTimer(timeout, () => this.reject(id, new TimeoutError(timeout, causeOfTimeout?.())));
      const end = () => {
        this.#calls.delete(id);
        stop();
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
  resolve(id: number, value: unknown): boolean {
    const call = this.#calls.get(id);
    call?.resolve(value);
    return call !== undefined;
  }

  /** Settles a call with an error, likewise. */
  reject(id: number, error: Error): boolean {
    const call = this.#calls.get(id);
    call?.reject(error);
    return call !== undefined;
  }

  /** Ends all calls, for instance because the connection has closed. */
  rejectAll(error: () => Error): void {
    for (const call of [...this.#calls.values()]) call.reject(error());
  }
}
