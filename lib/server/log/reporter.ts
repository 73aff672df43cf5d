import { isError } from "../../shared/errors.js";
import { watchPromise } from "../../shared/promises.js";
import { ReportRate } from "./report-rate.js";

/** Any console-like logger: the console, pino, winston. Each call gets one string. */
export interface Logger {
  error(message: string): unknown;
  warn(message: string): unknown;
  info(message: string): unknown;
  debug?(message: string): unknown;
}

const NAME = "node-token-sockjs";

/** The time after which an outage that goes on is told again, in milliseconds. */
const REPEAT_AFTER = 60_000;

/** The number of messages of outages that are remembered. */
const MOST_OUTAGES = 100;

/** The length of an error's message that tells it from others. A client may have a part in the message. */
const LONGEST_KIND = 200;

/**
 * The output of the server's log lines and errors. A logger that throws is no reason to fail. Errors are told in a turn of the
 * event loop of their own, so that a listener that fails by itself, and is told of that, keeps nobody else waiting.
 */
export class Reporter {
  readonly #logger: Logger;
  readonly #debugging: boolean;
  /** Hands an error to the application's listeners; false where there are none. */
  readonly #emitError: (error: Error, context: string) => boolean;

  readonly #rate = new ReportRate((kind, times) => {
    const text = kind === undefined ? "errors of other kinds" : kind;
    this.#write("error", `${text} (${times} more times within a second)`);
  });
  /** The time at which each was told last, in that order. */
  readonly #outages = new Map<string, number>();

  constructor(logger: Logger, debugging: boolean, emitError: (error: Error, context: string) => boolean) {
    this.#logger = logger;
    this.#debugging = debugging;
    this.#emitError = emitError;
  }

  /**
   * Tells the application of something that has failed: its `error` listeners, or without one the log. Of what fails again
   * and again in one second it tells how often that was.
   */
  error(context: string, cause: unknown): void {
    this.#inTurn(context, cause, () => {
      const error = isError(cause) ? cause : new Error(`${context}: ${describe(cause)}`, { cause });
      if (!this.#tell(error, context)) this.#write("error", `${context}: ${describe(cause)}`);
    });
  }

  /** As `error`, for what is repeated as long as it lasts: each message is told once a minute. */
  outage(context: string, cause: unknown): void {
    this.#inTurn(context, cause, () => {
      const message = messageOf(cause);
      if (!this.#isNew(message)) return;
      if (this.#tell(isError(cause) ? cause : new Error(message, { cause }), context)) return;
      this.#write("error", `${context}: ${message}`);
    });
  }

  warn(message: string): void {
    this.#write("warn", message);
  }

  /** Logs a relevant action where `debug` is on. `message` is a function so that it costs nothing otherwise. */
  debug(message: () => string): void {
    if (!this.#debugging) return;
    try {
      this.#write(this.#logger.debug ? "debug" : "info", message());
    } catch {
      // what was to be told cannot be read
    }
  }

  #inTurn(context: string, cause: unknown, report: () => void): void {
    if (this.#rate.admits(`${context}: ${messageOf(cause)}`.slice(0, LONGEST_KIND))) setImmediate(report);
  }

  /** Whether an outage's message has to be told; takes note that it is. */
  #isNew(message: string): boolean {
    const now = performance.now();
    const told = this.#outages.get(message);
    if (told !== undefined && now - told < REPEAT_AFTER) return false;
    this.#outages.delete(message);
    this.#outages.set(message, now);
    const [oldest] = this.#outages.keys();
    if (this.#outages.size > MOST_OUTAGES && oldest !== undefined) this.#outages.delete(oldest);
    return true;
  }

  /** Whether the application has heard of an error. */
  #tell(error: Error, context: string): boolean {
    try {
      return this.#emitError(error, context);
    } catch (thrown) {
      this.#write("error", `an "error" listener threw: ${describe(thrown)}`);
      return false;
    }
  }

  #write(level: "error" | "warn" | "info" | "debug", message: string): void {
    try {
      const written: unknown = this.#logger[level]?.(`${NAME}: ${message.replace(UNPRINTABLE, printable)}`);
      watchPromise(written, () => {});
    } catch {
      // there is nowhere left to tell
    }
  }
}

/** The message of an error, whose getters may throw. */
function messageOf(cause: unknown): string {
  if (!isError(cause)) return describe(cause);
  try {
    return String(cause.message || innerErrors(cause).map(ownMessage).join("; ") || cause.name);
  } catch {
    return UNREADABLE;
  }
}

const UNREADABLE = "an error that cannot be read";

/** An error's stack and those behind it. Not its other fields: a Redis client puts keys and values there. */
function describe(cause: unknown, depth = 0): string {
  if (typeof cause === "string") return cause;
  if (!isError(cause)) return `a ${typeof cause} was thrown`;
  try {
    const own = String(cause.stack ?? `${cause.name}: ${cause.message}`);
    // an error may be behind itself
    const behind = [
      ...(depth < MOST_CAUSES ? [cause.cause] : []),
      ...(depth === 0 ? innerErrors(cause) : []),
    ].filter(isError);
    return [own, ...behind.map((error) => `caused by ${describe(error, depth + 1)}`)].join("\n");
  } catch {
    return UNREADABLE;
  }
}

/** Those of an `AggregateError`, as of a host with several addresses of which none can be reached: it has no message itself. */
function innerErrors(error: Error): unknown[] {
  const { errors } = error as { errors?: unknown };
  return Array.isArray(errors) ? errors.slice(0, MOST_INNER) : [];
}

function ownMessage(error: unknown): string {
  return isError(error) ? String(error.message) : describe(error);
}

const MOST_CAUSES = 8;
const MOST_INNER = 4;

/** The characters that end a line, command a terminal or turn the direction of text. A client may get them into an error's message. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;

/** The lines of a stack stay lines, which are indented: none of them can be taken for a message of its own. */
function printable(character: string): string {
  if (character === "\n") return "\n  ";
  return character === "\t" ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
