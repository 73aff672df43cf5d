/** Any console-like logger: the console, pino, winston. Each call gets one string. */
export interface Logger {
  error(message: string): unknown;
  warn(message: string): unknown;
  info(message: string): unknown;
  debug?(message: string): unknown;
}

const NAME = "node-token-sockjs";

/** When an outage that goes on is logged again, in milliseconds. */
const REPEAT_AFTER = 60_000;

/** Where the server's log lines and errors go. A logger that throws is no reason to fail. */
export class Reporter {
  readonly #logger: Logger;
  readonly #debugging: boolean;
  /** Hands an error to the application's listeners; false where there are none. */
  readonly #emitError: (error: Error) => boolean;

  #lastOutage: { readonly message: string; readonly time: number } | undefined;

  constructor(logger: Logger, debugging: boolean, emitError: (error: Error) => boolean) {
    this.#logger = logger;
    this.#debugging = debugging;
    this.#emitError = emitError;
  }

  /** Tells the application of something that has failed: its `error` listeners, or without one the log. */
  error(context: string, cause: unknown): void {
    const error = cause instanceof Error ? cause : new Error(`${context}: ${describe(cause)}`, { cause });
    if (!this.#tell(error)) this.#write("error", `${context}: ${describe(cause)}`);
  }

  /** As `error`, for what a client repeats as long as it cannot connect: the log gets each message once a minute. */
  outage(context: string, cause: unknown): void {
    const message = cause instanceof Error ? cause.message || cause.name : describe(cause);
    const now = Date.now();
    const isRepeated = this.#lastOutage?.message === message && now - this.#lastOutage.time < REPEAT_AFTER;
    if (this.#tell(cause instanceof Error ? cause : new Error(message, { cause })) || isRepeated) return;
    this.#lastOutage = { message, time: now };
    this.#write("error", `${context}: ${message}`);
  }

  warn(message: string): void {
    this.#write("warn", message);
  }

  /** Logs a relevant action where `debug` is on. `message` is a function so that it costs nothing otherwise. */
  debug(message: () => string): void {
    if (this.#debugging) this.#write(this.#logger.debug ? "debug" : "info", message());
  }

  /** Whether the application has heard of an error. */
  #tell(error: Error): boolean {
    try {
      return this.#emitError(error);
    } catch (thrown) {
      this.#write("error", `an "error" listener threw: ${describe(thrown)}`);
      return false;
    }
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
