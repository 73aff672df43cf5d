import { isCode } from "./errors.js";
import {
  FORBIDDEN,
  INTERNAL_ERROR,
  INVALID_REQUEST,
  NOT_FOUND,
  TOKEN_NOT_FOUND,
  UNAVAILABLE,
} from "./refusals.js";

/**
 * The error of a call to the other side that has failed. It is no {@link RpcError}: a function that lets it pass does not
 * tell its own caller what went wrong elsewhere.
 */
export class CallError extends Error {
  /** A short machine-readable name of the cause. */
  readonly code: string | number | undefined;

  constructor(message: string, code?: string | number, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/** No answer came in time; whether the function has run is unknown, unless `cause` says why it could not be asked. */
export class TimeoutError extends CallError {
  constructor(timeout: number, cause?: unknown) {
    super(`No answer within ${timeout} ms`, "timeout", cause);
  }
}

/** The caller's `AbortSignal` has fired; `cause` is its reason. */
export class AbortedError extends CallError {
  constructor(reason: unknown) {
    super("The call was aborted", "aborted", reason);
  }
}

/** There is no connection, or it was lost before the answer came; `cause` may say why. */
export class DisconnectedError extends CallError {
  /** Whether the call had been sent. Then its outcome is unknown: the other side may have carried it out. */
  readonly sent: boolean;

  constructor(sent = false, message?: string, cause?: unknown) {
    const why = sent ? "Connection lost, outcome unknown" : "No connection";
    super(message ?? why, "disconnected", cause);
    this.sent = sent;
  }
}

/**
 * The other side answered with an error: its `message` and `code`, and in `data` its own `data`, or without
 * that the error as it came.
 */
export class RemoteError extends CallError {
  readonly data: unknown;
  /** After how many milliseconds the other side may do it, where it has said so. */
  readonly retryAfter: number | undefined;

  constructor(error: unknown) {
    const {
      message,
      code,
      data = error,
      retryAfter,
    } = Object(error) as { message?: unknown; code?: unknown; data?: unknown; retryAfter?: unknown };
    const text = typeof error === "string" ? error : message;
    super(typeof text === "string" ? text : "The call failed", isCode(code) ? code : undefined);
    this.data = data;
    this.retryAfter = typeof retryAfter === "number" ? retryAfter : undefined;
  }
}

/** The other side does not allow it. */
export class ForbiddenError extends RemoteError {}

/** The other side has no such function. */
export class NotFoundError extends RemoteError {}

/** The other side does not understand the request, or does not take its data; `data.issues` may say why. */
export class InvalidRequestError extends RemoteError {}

/** The user's identity does not suffice, or is not known yet. */
export class UnauthorizedError extends CallError {
  constructor(message: string) {
    super(message, "unauthorized");
  }
}

/** The codes of errors that have a class of their own. */
const CLASSES = new Map<unknown, typeof RemoteError>([
  [FORBIDDEN.code, ForbiddenError],
  [NOT_FOUND.code, NotFoundError],
  [INVALID_REQUEST.code, InvalidRequestError],
]);

/** The errors that the other side sends as a mere text, if it speaks version 3 of the protocol. */
const TEXTS = [FORBIDDEN, NOT_FOUND, INVALID_REQUEST, UNAVAILABLE, INTERNAL_ERROR, TOKEN_NOT_FOUND];

/** The error for what the other side answered, also with the mere text that version 3 of the protocol has. */
export function remoteError(error: unknown): RemoteError {
  const refusal = TEXTS.find(({ message }) => message === error);
  const described = refusal ? { ...refusal, data: error } : error;
  const type = CLASSES.get((described as { code?: unknown } | null | undefined)?.code) ?? RemoteError;
  return new type(described);
}
