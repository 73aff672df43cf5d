/** Why this side closes a connection: a WebSocket close code and reason, and whether to come back. */
export interface CloseReason {
  /** Of the range for applications, 4000–4999 (RFC 6455, section 7.4.2); SockJS uses 3000 itself. */
  readonly code: number;
  /** At most 123 bytes, as RFC 6455 has it. */
  readonly reason: string;
  /** Whether another attempt can succeed without the user's doing. */
  readonly reconnect: boolean;
}

/** Each reason the server closes a connection for. */
export const CLOSE = {
  shutdown: { code: 4000, reason: "Server shutting down", reconnect: true },
  invalidToken: { code: 4400, reason: "Invalid token", reconnect: false },
  tokenNotFound: { code: 4401, reason: "Token not found", reconnect: true },
  forbidden: { code: 4403, reason: "Forbidden", reconnect: false },
  authenticationTimeout: { code: 4408, reason: "Not authenticated in time", reconnect: true },
  tooManyFrames: { code: 4429, reason: "Too many frames while authenticating", reconnect: true },
  unavailable: { code: 4503, reason: "Authentication unavailable", reconnect: true },
} as const satisfies Record<string, CloseReason>;
