/** Any console-like logger: the console, pino, winston. Each call gets one string. */
export interface Logger {
  error(message: string): unknown;
  warn(message: string): unknown;
  info(message: string): unknown;
  debug?(message: string): unknown;
}

const NAME = "node-token-sockjs";

/** Where the server's log lines and errors go. A logger that throws is no reason to fail. */
export class Reporter {
  readonly #logger: Logger;
  readonly #debugging: boolean;
  /** Hands an error to the application's listeners; false where there are none. */
  readonly #emitError: (error: Error) => boolean;

  constructor(logger: Logger, debugging: boolean, emitError: (error: Error) => boolean) {
    this.#logger = logger;
    this.#debugging = debugging;
    this.#emitError = emitError;
  }

  /** Tells the application of something that has failed: its `error` listeners, or without one the log. */
  error(context: string, cause: unknown): void {
    const error = cause instanceof Error ? cause : new Error(`${context}: ${describe(cause)}`, { cause });
    try {
      if (this.#emitError(error)) return;
    } catch (thrown) {
      this.#write("error", `an "error" listener threw: ${describe(thrown)}`);
    }
    this.#write("error", `${context}: ${describe(cause)}`);
  }

  warn(message: string): void {
    this.#write("warn", message);
  }

  /** Logs a relevant action where `debug` is on. `message` is a function so that it costs nothing otherwise. */
  debug(message: () => string): void {
    if (this.#debugging) this.#write(this.#logger.debug ? "debug" : "info", message());
  }

  #write(level: "error" | "warn" | "info" | "debug", message: string): void {
    try {
      this.#logger[level]?.(`${NAME}: ${message}`);
    } catch {
      // there is nowhere left to tell
    }
  }
}

/** An error's stack and those behind it. Not its other fields: a Redis client puts keys and values there. */
function describe(cause: unknown): string {
  if (!(cause instanceof Error)) return typeof cause === "string" ? cause : `a ${typeof cause} was thrown`;
  const own = cause.stack ?? `${cause.name}: ${cause.message}`;
  return cause.cause instanceof Error ? `${own}\ncaused by ${describe(cause.cause)}` : own;
}
