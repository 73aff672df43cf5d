import { CallError, DisconnectedError, RemoteError } from "../shared/errors.js";

export {
  AbortedError,
  CallError,
  DisconnectedError,
  RemoteError,
  RpcError,
  TimeoutError,
} from "../shared/errors.js";

/** A call that waited for a connection was given up; it has not been sent. */
export class QueueError extends CallError {
  readonly sent = false;

  constructor(code: "queue_full" | "queue_expired") {
    super(code === "queue_full" ? "Too much waits for a connection" : "No connection in time", code);
  }
}

/** Who the user is does not suffice for a connection. It does not come back by itself. */
export class UnauthorizedError extends CallError {
  constructor(message: string) {
    super(message, "unauthorized");
  }
}

/** An attempt to connect has failed, or a connection was lost; the client comes back by itself. */
export class ConnectionError extends CallError {
  /** The HTTP status of the token route, or the close code of the connection. */
  readonly status: number | undefined;
  /** Milliseconds that the server asks the client to wait. */
  readonly retryAfter: number;

  constructor(message: string, status?: number, cause?: unknown, retryAfter = 0) {
    super(message, "connection", cause);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** A channel's messages came faster than they were read. */
export class OverflowError extends CallError {
  constructor(limit: number) {
    super(`More than ${limit} messages wait to be read`, "overflow");
  }
}

/** The server does not allow it. */
export class ForbiddenError extends RemoteError {}

/** The server has no such function. */
export class NotFoundError extends RemoteError {}

/** The server does not understand the request. */
export class InvalidRequestError extends RemoteError {}

/** The errors that servers answer with as mere text, and the codes that stand for them here. */
const KNOWN: Readonly<Record<string, readonly [code: string, type: typeof RemoteError]>> = {
  Forbidden: ["forbidden", ForbiddenError],
  "Function not found": ["not_found", NotFoundError],
  "Invalid request": ["invalid", InvalidRequestError],
  "Too many requests": ["busy", RemoteError],
  "Service unavailable": ["unavailable", RemoteError],
  "Pub/sub is off": ["pubsub_off", RemoteError],
  "Internal error": ["internal", RemoteError],
};

/** The error for what a server answered. */
export function remoteError(error: unknown): RemoteError {
  const known = typeof error === "string" && Object.hasOwn(KNOWN, error) ? KNOWN[error] : undefined;
  if (!known) return new RemoteError(error);
  const [code, type] = known;
  return new type({ message: error, code, data: error });
}

/** Says whether the server could do just then what it would do at another time. */
export function isPassing(error: unknown): boolean {
  return error instanceof RemoteError && (error.code === "unavailable" || error.code === "busy");
}

/** Says whether a request was sent, and lost with its connection. */
export function isLost(error: unknown): boolean {
  return error instanceof DisconnectedError && error.sent;
}
