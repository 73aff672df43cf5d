/** What an {@link RpcError} may carry beside its message. */
export interface RpcErrorOptions {
  /** A short machine-readable name of the cause, for instance `"E_QUOTA"`. */
  code?: string | number;
  /** Any JSON value that helps the caller. */
  data?: unknown;
  /** The error behind this one; it stays on this side of the wire. */
  cause?: unknown;
}

/**
 * An error that is meant for the caller: its `message`, `code` and `data` go over the wire, also when it
 * is thrown. Of any other error that is thrown the caller sees just "Internal error".
 */
export class RpcError extends Error {
  readonly code: string | number | undefined;
  readonly data: unknown;

  constructor(message: string, options: RpcErrorOptions = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.name = "RpcError";
    this.code = options.code;
    this.data = options.data;
  }
}

/**
 * How a function, a listener or a route ended. An `error` was given on purpose, so it is for the caller to
 * see; a `failure` was thrown or rejected with, so it is for the log.
 */
export type Outcome =
  | { readonly status: "result"; readonly value: unknown }
  | { readonly status: "error"; readonly error: unknown }
  | { readonly status: "failure"; readonly error: unknown };

/** What the caller sees of a failure. */
export const INTERNAL_ERROR = "Internal error";

/** What the caller of a path that leads nowhere sees. */
export const FUNCTION_NOT_FOUND = "Function not found";

/**
 * What of an error goes over the wire: of an `Error` its `message`, `code` and `data`, any other value as it
 * is. Falls back to {@link INTERNAL_ERROR} for a value that has no JSON form or that reads as "no error".
 */
export function errorForWire(error: unknown): unknown {
  try {
    const wire = isError(error) ? fieldsForWire(error) : error;
    return wire && isJson(wire) ? wire : INTERNAL_ERROR;
  } catch {
    // a getter has thrown
    return INTERNAL_ERROR;
  }
}

function fieldsForWire({ message, code, data }: Error & { code?: unknown; data?: unknown }): object {
  return {
    message: typeof message === "string" ? message : INTERNAL_ERROR,
    ...(typeof code === "string" || typeof code === "number" ? { code } : {}),
    ...(data !== undefined && isJson(data) ? { data } : {}),
  };
}

/** What of a failure goes over the wire; `expose` is for development only. */
export function failureForWire(error: unknown, expose: boolean): unknown {
  return expose || isRpcError(error) ? errorForWire(error) : INTERNAL_ERROR;
}

/** Says whether a value is an error. Never throws, as `instanceof` does for a proxy that was revoked. */
export function isError(value: unknown): value is Error {
  try {
    return value instanceof Error;
  } catch {
    return false;
  }
}

/** Says whether an error is meant for the caller. */
export function isRpcError(error: unknown): error is RpcError {
  return isError(error) && error instanceof RpcError;
}

function isJson(value: unknown): boolean {
  try {
    return JSON.stringify(value) !== undefined;
  } catch {
    return false;
  }
}

/**
 * Why a call to the other side has failed. It is no {@link RpcError}: a function that lets it pass does not
 * tell its own caller what went wrong elsewhere.
 */
export class CallError extends Error {
  /** A short machine-readable name of the cause. */
  readonly code: string | number | undefined;

  constructor(message: string, code?: string | number, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.name = new.target.name;
  }
}

/** No answer came in time; whether the function has run is unknown. */
export class TimeoutError extends CallError {
  constructor(timeout: number) {
    super(`No answer within ${timeout} ms`, "timeout");
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
    const why = sent ? "The connection was lost; its outcome is unknown" : "There is no connection";
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

  constructor(error: unknown) {
    const { message, code, data } = describeRemote(error);
    super(message, code);
    this.data = data;
  }
}

function describeRemote(error: unknown): { message: string; code?: string | number; data: unknown } {
  if (typeof error === "string") return { message: error, data: error };
  if (typeof error !== "object" || error === null) return { message: "The call failed", data: error };
  const { message, code, data } = error as { message?: unknown; code?: unknown; data?: unknown };
  return {
    message: typeof message === "string" ? message : "The call failed",
    ...(typeof code === "string" || typeof code === "number" ? { code } : {}),
    data: data === undefined ? error : data,
  };
}
