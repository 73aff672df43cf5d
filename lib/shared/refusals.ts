/**
 * An error with which the library itself answers a request that it does not carry out. Version 3 of the protocol has the
 * text alone, so that is the JSON of it.
 */
export class Refusal {
  readonly message: string;
  readonly code: string;
  /** After how many milliseconds it may go better, where time helps. */
  readonly retryAfter: number | undefined;

  constructor(code: string, message: string, retryAfter?: number) {
    this.message = message;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  toJSON(): unknown {
    return this.message;
  }
}

/** Says whether an error is a refusal. Never throws, as `instanceof` alone does for a proxy that was revoked. */
export function isRefusal(error: unknown): error is Refusal {
  try {
    return error instanceof Refusal;
  } catch {
    return false;
  }
}

/** A guard has refused, or the name is reserved. */
export const FORBIDDEN = /* @__PURE__ */ new Refusal("forbidden", "Forbidden");

/** The path leads nowhere. */
export const NOT_FOUND = /* @__PURE__ */ new Refusal("not_found", "Function not found");

/** The frame lacks what the request needs. */
export const INVALID_REQUEST = /* @__PURE__ */ new Refusal("invalid", "Invalid request");

/** Too much of the socket's is under way. */
export const BUSY = /* @__PURE__ */ new Refusal("busy", "Too many requests", 1000);

/** Redis has not done it. */
export const UNAVAILABLE = /* @__PURE__ */ new Refusal("unavailable", "Service unavailable", 5000);

/** The server has no client for subscriptions. */
export const PUBSUB_OFF = /* @__PURE__ */ new Refusal("pubsub_off", "Pub/sub is off");

/** A function has failed; the log says why. */
export const INTERNAL_ERROR = /* @__PURE__ */ new Refusal("internal", "Internal error");

/** The caller has cancelled the call. */
export const ABORTED = /* @__PURE__ */ new Refusal("aborted", "The call was aborted");

/** The token was unknown, used or expired. */
export const TOKEN_NOT_FOUND = /* @__PURE__ */ new Refusal("token_not_found", "Token not found");

/** The function answers with a stream, and the client has not said that it can read one. */
export const IS_STREAM = /* @__PURE__ */ new Refusal("stream", "The function answers with a stream");

/** A function or a guard has not answered in time. */
export const TIMED_OUT = /* @__PURE__ */ new Refusal("timeout", "No answer in time");

/** The channel keeps no history. */
export const NO_HISTORY = /* @__PURE__ */ new Refusal("no_history", "The channel keeps no history");

/** The channel has no presence. */
export const NO_PRESENCE = /* @__PURE__ */ new Refusal("no_presence", "The channel has no presence");

/** The channel has as many members as it may have. */
export const TOO_MANY_MEMBERS = /* @__PURE__ */ new Refusal("too_many_members", "Too many members");

/** The state of a member is too long. */
export const STATE_TOO_LONG = /* @__PURE__ */ new Refusal("state_too_long", "The state is too long");

/** The socket is in as many channels as it may be. */
export const TOO_MANY_CHANNELS = /* @__PURE__ */ new Refusal("too_many_channels", "Too many channels");

/** Encodes an error. What can be encoded at one time may fail at another, and something has to be told. */
export function encodeError(error: unknown): string {
  try {
    return JSON.stringify(error) ?? JSON.stringify(INTERNAL_ERROR);
  } catch {
    return JSON.stringify(INTERNAL_ERROR);
  }
}
