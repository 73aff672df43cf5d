import type { Callback } from "../../shared/answer.js";
import type { ServerMethods } from "../api/server-methods.js";
import type { Socket } from "../transport/socket.js";
import type { Procedure } from "./procedure.js";

/** The context of a call. */
export interface CallContext {
  /**
   * Aborts when the call is cancelled, runs into `limits.functionTimeout`, is refused after all by a guard, or its socket
   * closes.
   */
  readonly signal: AbortSignal;
}

/** The last argument of a function: the context of its call. */
export interface FunctionContext<Auth = Record<string, unknown>> extends CallContext {
  /** The server that was called. */
  readonly server: TokenSocketServer<Auth>;
}

/** A function that clients may call, which returns something. */
type Returning<Auth, Returned> = {
  // a method's parameters may be narrowed, so that a function may name the type of data that it expects
  bivariant(
    auth: Auth,
    data: unknown,
    callback: Callback,
    socket: Socket<Auth>,
    context: FunctionContext<Auth>,
  ): Returned;
}["bivariant"];

/**
 * A function that clients may call. It answers by what it returns, a value or a promise; or, where it declares three
 * parameters or more or none, by `callback(error, value)`, and then an answer of `undefined` or of an object of a class that
 * is not in a promise is none. The first answer counts.
 */
// of what is void the compiler asks no function what it returns, so that this may depend on the server that it is given to;
// the promise is for linters, to which an async function in place of one that returns nothing is a mistake
export type RpcFunction<Auth = Record<string, unknown>> =
  | Returning<Auth, void>
  | Returning<Auth, PromiseLike<unknown>>;

/** The functions and procedures that clients may call, nested; `{a: {b}}` is called as `a.b`. Own properties only. */
export interface Controller<Auth = Record<string, unknown>> {
  [name: string]: RpcFunction<Auth> | Procedure<Auth> | Controller<Auth>;
}

/**
 * A server, as the application and the functions that clients call know it.
 *
 * `Auth` is the type of what identifies a user, as `authentication` gives it; `Messages` that of the option `channels`, or of
 * the messages themselves by the channels' names.
 */
export interface TokenSocketServer<Auth = Record<string, unknown>, Messages = unknown>
  extends ServerMethods<Auth, Messages> {
  /** The RPC functions; what is added, replaced or removed counts from the next call on. */
  socketController: Controller<Auth>;
}
