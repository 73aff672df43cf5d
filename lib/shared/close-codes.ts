/** The reason why this side closes a connection: a WebSocket close code and reason, and whether to come back. */
export interface CloseReason {
  /** Of the range for applications, 4000–4999 (RFC 6455, section 7.4.2); SockJS uses 3000 itself. */
  readonly code: number;
  /** At most 123 bytes, as RFC 6455 has it. */
  readonly reason: string;
  /** Whether another attempt can succeed without the user's doing. */
  readonly reconnect: boolean;
}

/** The codes that say not to come back. */
export const FINAL_CLOSE_CODES: readonly number[] = [4400, 4403];

/** The code of a server that is going: another one is there, or soon will be. */
export const GOING_CLOSE_CODE = 4000;

/** Each reason the server closes a connection for. */
export const CLOSE = /* @__PURE__ */ closeReasons({
  shutdown: [GOING_CLOSE_CODE, "Server shutting down"],
  disconnected: [4001, "Disconnected"],
  invalidToken: [4400, "Invalid token"],
  tokenNotFound: [4401, "Token not found"],
  forbidden: [4403, "Forbidden"],
  authenticationTimeout: [4408, "Not authenticated in time"],
  vanished: [4411, "No sign of life"],
  tooManyFrames: [4429, "Too many frames"],
  tooSlow: [4509, "Reading too slowly"],
  otherIdentity: [4409, "Another identity"],
  expired: [4410, "Identity expired"],
  messageTooLarge: [4413, "Message too large"],
  tooManyConnections: [4430, "Too many connections"],
  unavailable: [4503, "Authentication unavailable"],
});

function closeReasons<Name extends string>(
  reasons: Record<Name, readonly [code: number, reason: string]>,
): Readonly<Record<Name, CloseReason>> {
  const entries = Object.entries<readonly [number, string]>(reasons).map(([name, [code, reason]]) => [
    name,
    { code, reason, reconnect: !FINAL_CLOSE_CODES.includes(code) },
  ]);
  return Object.fromEntries(entries);
}
