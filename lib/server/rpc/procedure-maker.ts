import type { StandardSchema } from "../../shared/standard-schema.js";
import type { Socket } from "../transport/socket.js";
import type { CallContext, TokenSocketServer } from "./controller.js";
import type { Middlewares, Next, Passed } from "./middleware.js";
import { Procedure } from "./procedure.js";

/** The argument of a procedure's handler. */
export interface ProcedureCall<Input = unknown, Auth = unknown> extends CallContext {
  /** The call's data as the `input` schema has made it; without a schema the data as the client sent it. */
  readonly input: Input;
  /** The identity of the caller. */
  readonly auth: Auth;
  /** The caller's socket. */
  readonly socket: Socket<Auth>;
  /** The server that was called. */
  readonly server: TokenSocketServer<Auth>;
}

/** A procedure without an `output` schema. `Sent` is the data that a call takes, `Context` what middlewares have added. */
export interface ProcedureDefinition<Auth, Sent, Input, Returned, Context = unknown> {
  /**
   * The schema of the call's data. Default none. Data that does not satisfy it is answered "Invalid input" with
   * the issues, and the handler is not called; a throw is an internal error.
   */
  input?: StandardSchema<Sent, Input> | undefined;
  output?: undefined;
  /**
   * Answers by what it returns: a value, a promise, or a stream, which is what an async generator returns. A throw
   * is an internal error, or, of an `RpcError`, for the client to see. A stream gives the next item only when the
   * client reads on; when nobody reads it any more, a generator's `finally` runs.
   */
  handler: (call: ProcedureCall<Input, Auth> & Context) => Returned;
}

/** A procedure with an `output` schema. `Sent` is the data that a call takes, `Result` what it is answered. */
export interface CheckedProcedureDefinition<Auth, Sent, Input, Returned, Result, Context = unknown>
  extends Omit<ProcedureDefinition<Auth, Sent, Input, unknown>, "output" | "handler"> {
  /**
   * The schema of the result; the client gets what it has made of that. A result that does not satisfy it, and a
   * throw, are internal errors.
   */
  output: StandardSchema<Returned, Result>;
  /** As without an `output` schema. */
  handler: (call: ProcedureCall<Input, Auth> & Context) => NoInfer<Returned> | PromiseLike<NoInfer<Returned>>;
}

/** A procedure with an `output` schema that streams: the schema is that of each item. */
export interface StreamDefinition<Auth, Sent, Input, Returned, Result, Context = unknown>
  extends Omit<ProcedureDefinition<Auth, Sent, Input, unknown>, "output" | "handler"> {
  /** The schema of an item. One that does not satisfy it ends the stream with an internal error. */
  output: StandardSchema<Returned, Result>;
  /** An async generator, or another function that returns what can be read by `for await`. */
  handler: (call: ProcedureCall<Input, Auth> & Context) => AsyncIterable<NoInfer<Returned>>;
}

/** `procedure` for one type of `auth`, and behind middlewares that have added `Context`. */
export interface ProcedureMaker<Auth, Context = unknown> {
  <Input, Returned>(
    handler: (call: ProcedureCall<Input, Auth> & Context) => Returned,
  ): Procedure<Auth, Input, Awaited<Returned>>;
  <Sent, Input, Returned, Result>(
    definition: StreamDefinition<Auth, Sent, Input, Returned, Result, Context>,
  ): Procedure<Auth, Sent, AsyncIterable<Result>>;
  <Sent, Input, Returned, Result>(
    definition: CheckedProcedureDefinition<Auth, Sent, Input, Returned, Result, Context>,
  ): Procedure<Auth, Sent, Result>;
  <Sent, Input, Returned>(
    definition: ProcedureDefinition<Auth, Sent, Input, Returned, Context>,
  ): Procedure<Auth, Sent, Awaited<Returned>>;
  /** Puts a middleware before the procedures that are made by what it returns, behind those that are there. */
  use<Added>(middleware: Middleware<Auth, Context, Added>): ProcedureMaker<Auth, Context & Added>;
}

/** The argument of a middleware; `Context` is what those before it have added. Its `input` is the data as the client sent it. */
export type MiddlewareCall<Auth = unknown, Context = unknown> = ProcedureCall<unknown, Auth> &
  Context & { readonly next: Next };

/** A function that runs before procedures: it lets a call go on by `next`, or refuses it by a throw. */
export type Middleware<Auth = unknown, Context = unknown, Added = unknown> = (
  call: MiddlewareCall<Auth, Context>,
) => Passed<Added> | PromiseLike<Passed<Added>>;

/**
 * Makes a function that clients may call, to put into `socketController`: of a handler alone, or of a handler with schemas
 * of its input and its result. The handler gets one object.
 *
 * The type of `auth` comes from where the procedure stands, `{ … } satisfies Controller<User>`, or from
 * `procedure<User>()`, which is `procedure` for that type. Elsewhere it is `unknown`, and the procedure is good for
 * every server.
 */
export function procedure<Auth>(): ProcedureMaker<Auth>;
export function procedure<Auth, Input, Returned>(
  handler: (call: ProcedureCall<Input, Auth>) => Returned,
): Procedure<Auth, Input, Awaited<Returned>>;
export function procedure<Auth, Sent, Input, Returned, Result>(
  definition: StreamDefinition<Auth, Sent, Input, Returned, Result>,
): Procedure<Auth, Sent, AsyncIterable<Result>>;
export function procedure<Auth, Sent, Input, Returned, Result>(
  definition: CheckedProcedureDefinition<Auth, Sent, Input, Returned, Result>,
): Procedure<Auth, Sent, Result>;
export function procedure<Auth, Sent, Input, Returned>(
  definition: ProcedureDefinition<Auth, Sent, Input, Returned>,
): Procedure<Auth, Sent, Awaited<Returned>>;
export function procedure(...definitions: [definition?: unknown]): unknown {
  return definitions.length === 0 ? procedure : new Procedure(definitions[0]);
}

/** Makes a `procedure` whose procedures a middleware runs before, for any type of `auth`. */
procedure.use = <Added>(middleware: Middleware<unknown, unknown, Added>): ProcedureMaker<unknown, Added> =>
  makerBehind([middleware]);

function makerBehind<Auth, Context>(middlewares: Middlewares): ProcedureMaker<Auth, Context> {
  if (!middlewares.every((middleware) => typeof middleware === "function")) {
    throw new TypeError("a procedure's middleware must be a function");
  }
  const make = (definition: unknown) => new Procedure(definition, middlewares);
  make.use = (middleware: Middleware<never, never>) => makerBehind([...middlewares, middleware]);
  return make as unknown as ProcedureMaker<Auth, Context>;
}
