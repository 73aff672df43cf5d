import { CallError, DisconnectedError, type RemoteError } from "../shared/call-errors.js";

export {
  AbortedError,
  CallError,
  DisconnectedError,
  ForbiddenError,
  InvalidRequestError,
  NotFoundError,
  RemoteError,
  TimeoutError,
  UnauthorizedError,
} from "../shared/call-errors.js";
export { RpcError } from "../shared/errors.js";

/** A call that waited for a connection was given up; it has not been sent. `cause` says why there was none, if it is known. */
export class QueueError extends CallError {
  readonly sent = false;

  constructor(code: "queue_full" | "queue_expired", cause?: unknown) {
    super(code === "queue_full" ? "Queue full" : "No connection", code, cause);
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

/** Nothing here can carry a connection, and no further attempt would change that; the message says what is missing. */
export class NoTransportError extends CallError {
  constructor(message: string, cause?: unknown) {
    super(message, "no_transport", cause);
  }
}

/** More came than was read. */
export class OverflowError extends CallError {
  constructor(limit: number) {
    super(`Over ${limit} messages wait`, "overflow");
  }
}

/** Messages of a channel were lost to a loop that is to have all; `messages` says how many, null that nobody can know. */
export class LostError extends CallError {
  declare readonly messages: number | null;
  declare readonly reason: string;

  constructor(loss: { readonly messages: number | null; readonly reason: string }) {
    super(`Messages lost: ${loss.reason}`, "lost");
    Object.assign(this, loss);
  }
}

/** Says whether the server could do just then what it would do at another time. */
export function isPassing(error: RemoteError): boolean {
  return error.code === "unavailable" || error.code === "busy";
}

/** Says whether a request was sent, and lost with its connection. */
export function isLost(error: unknown): boolean {
  return error instanceof DisconnectedError && error.sent;
}
