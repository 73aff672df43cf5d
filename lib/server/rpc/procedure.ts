import { isStream, isThenable } from "../../shared/answer.js";
import { brand, isBranded } from "../../shared/brand.js";
import { AbortedError } from "../../shared/call-errors.js";
import { type Outcome, RpcError } from "../../shared/errors.js";
import { isObject } from "../../shared/protocol.js";
import {
  check,
  describeIssues,
  type Issue,
  isStandardSchema,
  type StandardSchema,
} from "../../shared/standard-schema.js";
import type { TokenSocketServer } from "../token-socket-server.js";
import type { Socket } from "../transport/socket.js";
import type { CallContext } from "./controller.js";
import { type Middleware, pass } from "./middleware.js";
import { dispose } from "./outgoing-stream.js";

/** What a procedure's handler is given. */
export interface ProcedureCall<Input = unknown, Auth = unknown> extends CallContext {
  /** What the `input` schema has made of the call's data; without a schema the data as the client sent it. */
  readonly input: Input;
  /** Who calls. */
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

/** The type of the data that calls of a procedure take. */
export type ProcedureInput<P> = P extends Procedure<never, infer Sent, unknown> ? Sent : never;

/** The type of a procedure's result, before it becomes JSON. */
export type ProcedureResult<P> = P extends Procedure<never, unknown, infer Result> ? Result : never;

/** A definition as procedures keep it. */
interface Definition {
  readonly input?: StandardSchema | undefined;
  readonly output?: StandardSchema | undefined;
  readonly handler: (call: ProcedureCall<never, never>) => unknown;
}

const PROCEDURE = Symbol.for("node-token-sockjs.Procedure");
type Middlewares = readonly Middleware<never, never>[];

/**
 * A function that clients may call, with schemas of its input and its result; see `procedure`.
 *
 * It has no properties, so that no path leads into it.
 */
export class Procedure<Auth = unknown, Sent = unknown, Result = unknown> {
  /** For the compiler alone. */
  declare readonly "~types"?: {
    readonly auth: (auth: Auth) => void;
    readonly input: Sent;
    readonly result: Result;
  };

  /** Knows also those of another copy of this package. */
  static [Symbol.hasInstance](value: unknown): value is Procedure {
    return isBranded(value, PROCEDURE);
  }

  readonly #definition: Definition;
  readonly #middlewares: Middlewares;

  constructor(given: unknown, middlewares: Middlewares = []) {
    const definition = typeof given === "function" ? { handler: given } : given;
    checkDefinition(definition);
    const { input, output, handler } = definition;
    this.#definition = { input, output, handler };
    brand(this, PROCEDURE);
    this.#middlewares = middlewares;
    Object.freeze(this);
  }

  /**
   * Runs the middlewares, checks the data, runs the handler and checks the result. Settles once, or never where the call was
   * aborted, or may not run any more, before the handler ran; again with what goes wrong afterwards. Without middlewares the
   * handler runs at once where the schema of the input answers at once. `settle` may not throw.
   */
  async run(call: Call, context: RunningCall, settle: (outcome: Outcome) => void): Promise<void> {
    try {
      const outcome = await this.#run(call, context, settle);
      if (outcome) settle(outcome);
    } catch (error) {
      settle({ status: "failure", error });
    }
  }

  async #run(
    call: Call,
    context: RunningCall,
    settle: (outcome: Outcome) => void,
  ): Promise<Outcome | undefined> {
    if (this.#middlewares.length === 0) return this.#handle(call, context);
    let mayNotRun = false;
    let stream: AsyncIterable<unknown> | undefined;
    const handle = async (added: object) => {
      const outcome = await this.#handle(call, context, added);
      mayNotRun = outcome === undefined;
      if (outcome?.status === "result") {
        if (isStream(outcome.value)) stream = outcome.value;
        return outcome.value;
      }
      throw outcome ? outcome.error : new AbortedError(undefined);
    };
    try {
      const callOf = (added: object) => callFor(call, context, call.data, added);
      return { status: "result", value: await pass(this.#middlewares, callOf, handle) };
    } catch (error) {
      if (mayNotRun) return undefined;
      // a middleware has failed behind it, so that nobody reads it
      if (stream) dispose(stream, (failure) => settle({ status: "failure", error: failure }));
      throw error;
    }
  }

  /** `added` is what middlewares have added, which have been waited for. */
  async #handle(call: Call, context: RunningCall, added?: object): Promise<Outcome | undefined> {
    const { input, handler } = this.#definition;
    const checking = input && check(input, call.data);
    const isWaiting = isThenable(checking);
    const checked = isWaiting ? await checking : checking;
    const hasWaited = isWaiting || added !== undefined;
    if (context.isAborted || (hasWaited && !call.mayRun())) return undefined;
    if (checked && !checked.valid) return invalidInput(checked.issues);
    const given = callFor(call, context, checked ? checked.value : call.data, added);
    return { status: "result", value: await this.#checkResult(await handler(given as never)) };
  }

  async #checkResult(value: unknown): Promise<unknown> {
    const { output } = this.#definition;
    if (!output) return value;
    return isStream(value) ? checkedItems(value, output) : checkedOutput(value, output);
  }
}

/** What handlers and middlewares are given. */
function callFor(call: Call, context: RunningCall, input: unknown, added: object | undefined): object {
  const given = {
    input,
    auth: call.auth,
    socket: call.socket,
    server: context.server,
    // made when it is asked for
    get signal() {
      return context.signal;
    },
  };
  return added ? Object.assign(given, added) : given;
}

/** No generator, since that would let `return()` wait for its turn. */
function checkedItems(items: AsyncIterable<unknown>, schema: StandardSchema): AsyncIterable<unknown> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = items[Symbol.asyncIterator]();
      return {
        async next() {
          const { done, value } = await iterator.next();
          return done ? { done, value } : { done: false, value: await checkedOutput(value, schema) };
        },
        async return() {
          await iterator.return?.();
          return { done: true, value: undefined };
        },
      };
    },
  };
}

async function checkedOutput(value: unknown, schema: StandardSchema): Promise<unknown> {
  const checked = await check(schema, value);
  if (checked.valid) return checked.value;
  throw new TypeError(`Invalid output: ${describeIssues(checked.issues)}`, { cause: checked.issues });
}

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

/** What a procedure is called with in a test. Parts that are left out may not be used. */
export type TestCall<Auth, Sent> = (undefined extends Sent ? { input?: Sent } : { input: Sent }) &
  (undefined extends Auth ? { auth?: Auth } : { auth: Auth }) & {
    socket?: Socket<Auth>;
    server?: TokenSocketServer<Auth>;
    /** Default: one that never fires. */
    signal?: AbortSignal;
  };

/**
 * Calls a procedure without a socket, as in a unit test: `call(read, { input: { id: 7 }, auth })`.
 *
 * @returns what the handler has returned, as the `output` schema has made it, and not yet as JSON
 * @throws (rejects with) what a client would be told, an `RpcError` "Invalid input" among it, or what was thrown
 */
export function call<Auth, Sent, Result>(
  procedure: Procedure<Auth, Sent, Result>,
  ...[given]: Record<never, never> extends TestCall<Auth, Sent>
    ? [given?: TestCall<Auth, Sent>]
    : [given: TestCall<Auth, Sent>]
): Promise<Result> {
  const { input, auth, socket, server, signal } = given ?? ({} as TestCall<Auth, Sent>);
  const asked = { data: input, auth, socket: socket ?? missing("socket"), mayRun: () => true };
  const context = {
    signal: signal ?? new AbortController().signal,
    isAborted: false,
    server: server ?? missing("server"),
  };
  return new Promise((resolve, reject) => {
    void procedure.run(asked, context, (outcome) => {
      if (outcome.status === "result") resolve(outcome.value as Result);
      else reject(outcome.error);
    });
  });
}

/** Stands for what was not given, which may be handed on, but not used. */
function missing(name: string): object {
  const use = () => {
    throw new TypeError(`call() was given no ${name}`);
  };
  return new Proxy({}, { get: use, set: use, has: use });
}

interface Call {
  readonly data: unknown;
  readonly auth: unknown;
  readonly socket: unknown;
  /** Says whether the handler may be run after a schema that had to be waited for. */
  mayRun(): boolean;
}

interface RunningCall extends CallContext {
  readonly isAborted: boolean;
  readonly server: unknown;
}

/** How data that does not satisfy its schema is answered. */
export function invalidInput(issues: readonly Issue[]): Outcome {
  return { status: "error", error: new RpcError("Invalid input", { code: "invalid", data: { issues } }) };
}

function checkDefinition(definition: unknown): asserts definition is Definition {
  if (!isObject(definition)) throw new TypeError("a procedure's definition must be a function or an object");
  for (const name of Object.keys(definition)) {
    if (!PARTS.has(name)) throw new TypeError(`${name} is no part of a procedure's definition`);
  }
  const { input, output, handler } = definition;
  if (typeof handler !== "function") throw new TypeError("a procedure's handler must be a function");
  for (const [name, schema] of Object.entries({ input, output })) {
    if (schema === undefined || isStandardSchema(schema)) continue;
    throw new TypeError(`a procedure's ${name} must be a Standard Schema of version 1`);
  }
}

const PARTS = new Set(["input", "output", "handler"]);
