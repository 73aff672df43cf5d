import type { Request } from "express";
import { isThenable } from "../../shared/answer.js";
import type { HttpRefusal } from "./refusal.js";

/**
 * The answer of `verifyConnection`: true lets the connection in, `{ data }` does, too, and becomes the socket's `data`.
 * `{ status, reason }` refuses with them, and all else with 403.
 */
export type Verification =
  | boolean
  | { readonly data: unknown }
  | { readonly status: number; readonly reason?: string };

/** Decides on a connection by the request for it, an Express request without body and session. */
export type VerifyFunction = {
  bivariant(req: Request): Verification | PromiseLike<Verification>;
}["bivariant"];

/** The same function, whose promise, of whatever make, is one of JavaScript's own. */
export function withOwnPromise(verify: VerifyFunction): VerifyFunction {
  return (req) => {
    const answer = verify(req);
    return isThenable(answer) ? Promise.resolve(answer) : answer;
  };
}

/** The result of a verification: the connection's `data`, or a refusal. */
export type VerificationResult = HttpRefusal | { readonly data: unknown };

const UNVERIFIED: HttpRefusal = { status: 403, reason: "Forbidden" };

/** Reads the application's answer; whatever it does not know refuses. */
export function verificationResultOf(answer: unknown): VerificationResult {
  if (answer === true) return { data: undefined };
  if (typeof answer !== "object" || answer === null) return UNVERIFIED;
  const { status, reason } = answer as { status?: unknown; reason?: unknown };
  if (status === undefined) return "data" in answer ? { data: answer.data } : UNVERIFIED;
  const isStatus = Number.isInteger(status) && Number(status) >= 400 && Number(status) <= 599;
  return {
    status: isStatus ? Number(status) : UNVERIFIED.status,
    reason: typeof reason === "string" ? reason : UNVERIFIED.reason,
  };
}
