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
import { type Middlewares, pass } from "./middleware.js";
import { dispose } from "./outgoing-stream.js";

/** The type of the data that calls of a procedure take. */
export type ProcedureInput<P> = P extends Procedure<never, infer Sent, unknown> ? Sent : never;

/** The type of a procedure's result, before it becomes JSON. */
export type ProcedureResult<P> = P extends Procedure<never, unknown, infer Result> ? Result : never;

/** A definition as procedures keep it. */
interface Definition {
  readonly input?: StandardSchema | undefined;
  readonly output?: StandardSchema | undefined;
  readonly handler: (call: never) => unknown;
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

/** The argument of handlers and middlewares. */
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

interface Call {
  readonly data: unknown;
  readonly auth: unknown;
  readonly socket: unknown;
  /** Says whether the handler may be run after a schema that had to be waited for. */
  mayRun(): boolean;
}

interface RunningCall {
  readonly signal: AbortSignal;
  readonly isAborted: boolean;
  readonly server: unknown;
}

/** The error for data that does not satisfy its schema. */
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
