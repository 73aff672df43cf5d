import { brand, isBranded } from "./brand.js";
import { INTERNAL_ERROR } from "./refusals.js";

/** The fields of an {@link RpcError} beside its message. */
export interface RpcErrorOptions {
  /** A short machine-readable name of the cause, for instance `"E_QUOTA"`. */
  code?: string | number;
  /** Any JSON value that helps the caller. */
  data?: unknown;
  /** The error behind this one; it stays on this side of the wire. */
  cause?: unknown;
}

/** By it they are known, so that the script for pages goes without the class, which it does not show. */
const RPC_ERROR = Symbol.for("node-token-sockjs.RpcError");

/**
 * An error that is meant for the caller: its `message`, `code` and `data` go over the wire, also when it
 * is thrown. Of any other error that is thrown the caller sees just "Internal error".
 */
export class RpcError extends Error {
  readonly code: string | number | undefined;
  readonly data: unknown;

  constructor(message: string, options: RpcErrorOptions = {}) {
    super(message, options);
    this.name = "RpcError";
    this.code = options.code;
    this.data = options.data;
    brand(this, RPC_ERROR);
  }
}

/**
 * The outcome of a function, a guard or a route. An `error` was given on purpose, so it is for the caller to
 * see; a `failure` was thrown or rejected with, so it is for the log.
 */
export type Outcome =
  | { readonly status: "result"; readonly value: unknown }
  | { readonly status: "error"; readonly error: unknown }
  | { readonly status: "failure"; readonly error: unknown };

/**
 * The part of an error that goes over the wire: of an `Error` its `message`, `code` and `data`, any other value as it
 * is. Falls back to "Internal error" for a value that has no JSON form or that reads as "no error".
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
    message: typeof message === "string" ? message : INTERNAL_ERROR.message,
    ...(isCode(code) ? { code } : {}),
    ...(data !== undefined && isJson(data) ? { data } : {}),
  };
}

/** The part of a failure that goes over the wire; `expose` is for development only. */
export function failureForWire(error: unknown, expose: boolean): unknown {
  return expose || isRpcError(error) ? errorForWire(error) : INTERNAL_ERROR;
}

/** Says whether a value is an error. Never throws, as `instanceof` alone does for a proxy that was revoked. */
export function isError(value: unknown): value is Error {
  try {
    return value instanceof Error;
  } catch {
    return false;
  }
}

/** Says whether an error is meant for the caller. */
export function isRpcError(error: unknown): error is RpcError {
  return isBranded(error, RPC_ERROR);
}

/** Says whether a value may be an error's code. */
export function isCode(value: unknown): value is string | number {
  return typeof value === "string" || typeof value === "number";
}

function isJson(value: unknown): boolean {
  try {
    return JSON.stringify(value) !== undefined;
  } catch {
    return false;
  }
}
