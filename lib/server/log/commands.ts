import { DisconnectedError } from "../../shared/call-errors.js";
import { isError } from "../../shared/errors.js";
import type { Reporter } from "./reporter.js";

/**
 * The application's commands to a server. Nobody has to wait for one: a failure is reported, and is no unhandled rejection.
 */
export class Commands {
  readonly #reporter: Reporter;
  readonly #isClosed: () => boolean;

  /** `isClosed` says whether the server was shut down, so that it does nothing any more. */
  constructor(reporter: Reporter, isClosed: () => boolean) {
    this.#reporter = reporter;
    this.#isClosed = isClosed;
  }

  /** Does something, and reports under `context` that it has failed. */
  run<T>(context: string, act: () => Promise<T>): Promise<T> {
    return this.reported(context, this.attempt(act));
  }

  /** Does something; a failure is the caller's to handle. */
  async attempt<T>(act: () => Promise<T>): Promise<T> {
    if (this.#isClosed()) throw new DisconnectedError(false, "The server has been shut down");
    return act();
  }

  /** Reports that something under way has failed. */
  reported<T>(context: string, acting: Promise<T>): Promise<T> {
    acting.catch((error: unknown) => {
      // that a socket has gone in the meantime is no failure of the server's
      if (isError(error) && error instanceof DisconnectedError)
        this.#reporter.debug(() => `${context}: ${error.message}`);
      else this.#reporter.error(context, error);
    });
    return acting;
  }
}
