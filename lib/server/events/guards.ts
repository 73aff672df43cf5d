import type { EventEmitter } from "node:events";
import { type Handler, invoke, isThenable } from "../../shared/answer.js";
import { errorForWire, failureForWire, isRpcError, type Outcome } from "../../shared/errors.js";
import { whenSettled } from "../../shared/promises.js";
import { FORBIDDEN, TIMED_OUT } from "../../shared/refusals.js";
import { Deadlines } from "../limits/deadlines.js";
import type { Limits } from "../limits/limits.js";
import type { Reporter } from "../log/reporter.js";
import type { GuardEvents } from "./events.js";

/** The number of times that guards are asked about one request whose rights change again and again. */
export const MOST_DECISIONS = 10;

/** The decision of the guards; `error` is what the client may see of a refusal. */
export type GuardResult =
  | {
      readonly allowed: true;
      /** The time, in milliseconds since 1970, before which the client gets nothing of a channel's past. */
      readonly from?: number | undefined;
    }
  | { readonly allowed: false; readonly error: unknown };

/** The guards whose answer may be `{ from }`. */
const MAY_BOUND: readonly string[] = ["subscribe", "history"];

const ALLOWED: GuardResult = { allowed: true };
const REFUSED: GuardResult = { allowed: false, error: FORBIDDEN };

/** The position of the callback among a guard's arguments. */
const POSITION = 2;

/** A guard, or the wrapper that `once` has made of one. */
type Guard = Handler & { readonly listener?: Handler };

/** The application's guards: asks one after the other, and gives one decision back. */
export class Guards {
  readonly #emitter: EventEmitter;
  readonly #reporter: Reporter;
  readonly #exposeErrors: boolean;
  readonly #deadlines: Deadlines;
  readonly #authenticationDeadlines: Deadlines;

  constructor(
    emitter: EventEmitter,
    reporter: Reporter,
    exposeErrors: boolean,
    { guardTimeout, authenticationTimeout }: Pick<Limits, "guardTimeout" | "authenticationTimeout">,
  ) {
    this.#emitter = emitter;
    this.#reporter = reporter;
    this.#exposeErrors = exposeErrors;
    this.#deadlines = new Deadlines(guardTimeout);
    this.#authenticationDeadlines = new Deadlines(authenticationTimeout);
  }

  /** Lets go of the guards that have not answered. */
  close(): void {
    this.#deadlines.limit(undefined);
    this.#authenticationDeadlines.limit(undefined);
  }

  /** Says whether anybody guards a kind of request. */
  has(event: keyof GuardEvents<unknown>): boolean {
    return this.#emitter.listenerCount(event) > 0;
  }

  /** Decides on a client's request; at once without a guard. Never rejects. */
  decide<E extends keyof GuardEvents<unknown>>(
    event: E,
    socket: unknown,
    request: GuardEvents<unknown>[E][1],
  ): GuardResult | Promise<GuardResult> {
    if (this.#emitter.listenerCount(event) === 0) return ALLOWED;
    return this.#askEach(event, [socket, request], false);
  }

  /** Decides on an identity; at once without a guard. Never rejects. */
  authenticate(socket: unknown, auth: unknown): GuardResult | Promise<GuardResult> {
    if (this.#emitter.listenerCount("authentication") === 0) return ALLOWED;
    return this.#askEach("authentication", [socket, auth], true);
  }

  async #askEach(event: string, args: readonly unknown[], nothingAllows: boolean): Promise<GuardResult> {
    const asked: Guard[] = [];
    let from: number | undefined;
    try {
      for (;;) {
        // those that are there now: one may have taken another's place while an earlier one decided
        const guard = this.#next(event, asked);
        if (!guard) return from === undefined ? ALLOWED : { allowed: true, from };
        asked.push(guard);
        const outcome = await this.#askOne(event, guard, args, nothingAllows);
        if (outcome === undefined) return { allowed: false, error: TIMED_OUT };
        if (outcome.status === "failure") return this.#failed(event, outcome.error);
        if (outcome.status === "error") {
          return { allowed: false, error: errorForWire(outcome.error) };
        }
        const { value } = outcome;
        const allows = Boolean(value) || (nothingAllows && value === undefined);
        if (!allows) return REFUSED;
        if (MAY_BOUND.includes(event)) from = later(from, fromOf(value));
      }
    } catch (error) {
      // a getter of the guard itself has thrown
      return this.#failed(event, error);
    }
  }

  #failed(event: string, error: unknown): GuardResult {
    if (!isRpcError(error)) this.#reporter.error(`a guard for "${event}" failed`, error);
    return { allowed: false, error: failureForWire(error, this.#exposeErrors) };
  }

  /** The first guard that has not been asked yet. One may be there several times. */
  #next(event: string, asked: readonly Guard[]): Guard | undefined {
    const before = [...asked];
    return (this.#emitter.rawListeners(event) as Guard[]).find((guard) => {
      const index = before.indexOf(guard);
      if (index === -1) return true;
      before.splice(index, 1);
      return false;
    });
  }

  /** Resolves with nothing where the guard takes too long, and reports that. */
  #askOne(
    event: string,
    guard: Guard,
    args: readonly unknown[],
    nothingAllows: boolean,
  ): Promise<Outcome | undefined> {
    const deadlines = nothingAllows ? this.#authenticationDeadlines : this.#deadlines;
    // `once` wraps a guard; the wrapper removes it when called, and keeps the parameters' count to itself
    const declared = (guard.listener ?? guard).length;
    let hasEnded = false;
    const ending = function (this: unknown, ...given: never[]): unknown {
      const returned: unknown = Reflect.apply(guard, this, given);
      if (!isThenable(returned)) return returned;
      return Promise.resolve(returned).then(() => {
        hasEnded = true;
      });
    };
    const declaresCallback = declared > POSITION;
    return new Promise((settle) => {
      const expire = () => {
        const why = hasEnded
          ? ": its promise has ended, and it has not called the callback that it declares"
          : "";
        this.#reporter.error("guards", new Error(`A guard for "${event}" has not answered in time${why}`));
        settle(undefined);
      };
      let hasAnswered = false;
      const asked = { expire };
      invoke(
        {
          // what one returns that declares the callback does not count
          fn: declaresCallback ? ending : guard,
          declared,
          self: this.#emitter,
          args: [...args],
          position: POSITION,
          nothingAnswers: nothingAllows,
        },
        (outcome) =>
          whenSettled(outcome, (settled) => {
            hasAnswered = true;
            deadlines.delete(asked);
            settle(settled);
          }),
        (outcome) => this.#reporter.error(`a guard for "${event}" answered again`, lateError(outcome)),
      );
      // most answer at once, and need no timer
      if (!hasAnswered) deadlines.add(asked);
    });
  }
}

/** Reads `from` in the answer of a guard. Throws a `TypeError` for what is no time. */
function fromOf(answer: unknown): number | undefined {
  const { from } = typeof answer === "object" && answer !== null ? (answer as { from?: unknown }) : {};
  if (from === undefined || from === null) return undefined;
  const time = from instanceof Date ? from.getTime() : from;
  if (typeof time === "number" && !Number.isNaN(time)) return time;
  throw new TypeError("from must be a Date, or a number of milliseconds since 1970");
}

function later(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.max(a, b);
}

/** The report about an answer that came after the first one. */
export function lateError(outcome: Outcome): unknown {
  return outcome.status === "result" ? new Error("The first answer counts") : outcome.error;
}
