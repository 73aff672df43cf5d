import { CLOSE } from "../../shared/close-codes.js";
import type { JsonObject } from "../../shared/protocol.js";
import { toKey } from "./token-verifier.js";

/**
 * The sockets that `disconnect` and `refresh` concern: one, all of an identity (see the option `identify`), or all whose token
 * was asked for within a session of express-session.
 */
export type Selector =
  | { readonly sid: string }
  | { readonly identity: string | number }
  | { readonly sessionId: string };

/** A selector as servers tell it each other: what it selects by, and the value. */
export interface Selection {
  readonly by: "sid" | "identity" | "sessionId";
  readonly value: string;
}

/** Reads a selector; a socket is one, too. Throws a `TypeError` for what is none, since nothing may mean everybody. */
export function toSelection(
  selector: unknown,
  expected = "a socket, { sid }, { identity } or { sessionId }",
): Selection {
  const { sid, identity, sessionId, channel, close } = Object(selector) as Record<string, unknown>;
  const given = [sid, identity, sessionId, channel].filter((value) => value !== undefined);
  // the application may have put anything on a socket
  if (given.length > 1 && typeof close !== "function") {
    throw new TypeError(`selector must be ${expected}, and no two of them`);
  }
  if (typeof sid === "string" && sid !== "") return { by: "sid", value: sid };
  if (identity !== undefined && sessionId === undefined) return { by: "identity", value: toKey(identity) };
  if (typeof sessionId === "string" && sessionId !== "" && identity === undefined) {
    return { by: "sessionId", value: sessionId };
  }
  throw new TypeError(`selector must be ${expected}`);
}

/** Throws a `TypeError` for a selector by identity where identities are not told apart. */
export function checkIdentities({ by }: { readonly by: string }, hasIdentities: boolean): void {
  if (by === "identity" && !hasIdentities) {
    throw new TypeError("A selector { identity } needs options.identify");
  }
}

/** Reads what another server has sent; undefined for what is no selection. */
export function parseSelection({ by, value }: JsonObject): Selection | undefined {
  const isKnown = by === "sid" || by === "identity" || by === "sessionId";
  return isKnown && typeof value === "string" && value !== "" ? { by, value } : undefined;
}

/** Options of `disconnect`: a close code of the application's own, and a reason. */
export interface DisconnectOptions {
  /** Of 4000 to 4999, or 1000. Default 4001, which says to come back. */
  code?: number | undefined;
  /** At most 123 bytes. Default "Disconnected". */
  reason?: string | undefined;
}

/** Says whether a connection can be closed so (RFC 6455, sections 5.5.1 and 7.4.2). */
export function isCloseReason<Value extends JsonObject>(
  value: Value,
): value is Value & { readonly code: number; readonly reason: string } {
  const { code, reason } = value;
  return (
    Number.isInteger(code) &&
    (code === 1000 || (Number(code) >= 4000 && Number(code) <= 4999)) &&
    typeof reason === "string" &&
    Buffer.byteLength(reason) <= LONGEST_REASON
  );
}

const LONGEST_REASON = 123;

/** Reads how sockets are to be closed; throws a `TypeError` where they cannot be closed so. */
export function closeReasonOf(options: DisconnectOptions | null | undefined): {
  code: number;
  reason: string;
} {
  const { code, reason } = options ?? {};
  const given = { code: code ?? CLOSE.disconnected.code, reason: reason ?? CLOSE.disconnected.reason };
  if (!isCloseReason(given)) {
    throw new TypeError("code must be 1000 or of 4000 to 4999, and reason a text of at most 123 bytes");
  }
  return given;
}
