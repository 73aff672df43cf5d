import { CLOSE, type CloseReason } from "../../shared/close-codes.js";

/** The reasons after which a client is expected back as the same user. */
const EXPECTED_BACK: ReadonlySet<CloseReason> = new Set([
  CLOSE.shutdown,
  CLOSE.tokenNotFound,
  CLOSE.authenticationTimeout,
  CLOSE.vanished,
  CLOSE.tooManyFrames,
  CLOSE.tooSlow,
  CLOSE.expired,
  CLOSE.messageTooLarge,
  CLOSE.tooManyConnections,
  CLOSE.unavailable,
]);

/** Says whether a connection that is closed for a reason is dismissed, as when its session has ended. */
export function isDismissal(reason: CloseReason): boolean {
  return !EXPECTED_BACK.has(reason);
}
