import { isStream, isThenable } from "../shared/answer.js";
import { brand, isBranded } from "../shared/brand.js";
import { type Outcome, RpcError } from "../shared/errors.js";
import { isObject } from "../shared/protocol.js";
import {
  check,
  describeIssues,
  type Issue,
  isStandardSchema,
  type StandardSchema,
} from "../shared/standard-schema.js";
import type { CallContext } from "./controller.js";
import type { Socket } from "./socket.js";
import type { TokenSocketServer } from "./token-socket-server.js";

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

/** A procedure without an `output` schema. `Sent` is the data that a call takes. */
export interface ProcedureDefinition<Auth, Sent, Input, Returned> {
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
  handler: (call: ProcedureCall<Input, Auth>) => Returned;
}

/** A procedure with an `output` schema. `Sent` is the data that a call takes, `Result` what it is answered. */
export interface CheckedProcedureDefinition<Auth, Sent, Input, Returned, Result>
  extends Omit<ProcedureDefinition<Auth, Sent, Input, unknown>, "output" | "handler"> {
  /**
   * The schema of the result; the client gets what it has made of that. A result that does not satisfy it, and a
   * throw, are internal errors.
   */
  output: StandardSchema<Returned, Result>;
  /** As without an `output` schema. */
  handler: (call: ProcedureCall<Input, Auth>) => NoInfer<Returned> | Promise<NoInfer<Returned>>;
}

/** A procedure with an `output` schema that streams: the schema is that of each item. */
export interface StreamDefinition<Auth, Sent, Input, Returned, Result>
  extends Omit<ProcedureDefinition<Auth, Sent, Input, unknown>, "output" | "handler"> {
  /** The schema of an item. One that does not satisfy it ends the stream with an internal error. */
  output: StandardSchema<Returned, Result>;
  /** An async generator, or another function that returns what can be read by `for await`. */
  handler: (call: ProcedureCall<Input, Auth>) => AsyncIterable<NoInfer<Returned>>;
}

/** `procedure` for one type of `auth`. */
export interface ProcedureMaker<Auth> {
  <Input, Returned>(
    handler: (call: ProcedureCall<Input, Auth>) => Returned,
  ): Procedure<Auth, Input, Awaited<Returned>>;
  <Sent, Input, Returned, Result>(
    definition: StreamDefinition<Auth, Sent, Input, Returned, Result>,
  ): Procedure<Auth, Sent, AsyncIterable<Result>>;
  <Sent, Input, Returned, Result>(
    definition: CheckedProcedureDefinition<Auth, Sent, Input, Returned, Result>,
  ): Procedure<Auth, Sent, Result>;
  <Sent, Input, Returned>(
    definition: ProcedureDefinition<Auth, Sent, Input, Returned>,
  ): Procedure<Auth, Sent, Awaited<Returned>>;
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

  constructor(given: unknown) {
    const definition = typeof given === "function" ? { handler: given } : given;
    checkDefinition(definition);
    const { input, output, handler } = definition;
    this.#definition = { input, output, handler };
    brand(this, PROCEDURE);
    Object.freeze(this);
  }

  /**
   * Checks the data, runs the handler and checks the result. Settles once, or never where the call was aborted, or may
   * not run any more, before the handler ran. The handler runs at once where the schema of the input answers at once. `settle` may
   * not throw.
   */
  async run(call: Call, context: RunningCall, settle: (outcome: Outcome) => void): Promise<void> {
    try {
      const outcome = await this.#run(call, context);
      if (outcome) settle(outcome);
    } catch (error) {
      settle({ status: "failure", error });
    }
  }

  async #run({ data, auth, socket, mayRun }: Call, context: RunningCall): Promise<Outcome | undefined> {
    let input = data;
    if (this.#definition.input) {
      const checking = check(this.#definition.input, data);
      const isWaiting = isThenable(checking);
      const checked = isWaiting ? await checking : checking;
      if (context.isAborted || (isWaiting && !mayRun())) return undefined;
      if (!checked.valid) return invalidInput(checked.issues);
      input = checked.value;
    }
    const value = await this.#definition.handler({
      input: input as never,
      auth: auth as never,
      socket: socket as Socket<never>,
      server: context.server as TokenSocketServer<never>,
      // made when the handler asks for it
      get signal() {
        return context.signal;
      },
    });
    return { status: "result", value: await this.#checkResult(value) };
  }

  async #checkResult(value: unknown): Promise<unknown> {
    const { output } = this.#definition;
    if (!output) return value;
    return isStream(value) ? checkedItems(value, output) : checkedOutput(value, output);
  }
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
