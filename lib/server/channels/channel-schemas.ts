import { isThenable } from "../../shared/answer.js";
import { isError, type Outcome } from "../../shared/errors.js";
import { TIMED_OUT } from "../../shared/refusals.js";
import { check, type StandardSchema } from "../../shared/standard-schema.js";
import { Deadlines } from "../limits/deadlines.js";
import type { Reporter } from "../log/reporter.js";
import { invalidInput } from "../rpc/procedure.js";
import { ByChannel } from "./by-channel.js";

/** Schemas of channels' messages, by the channels' names; a `*` at the end of one stands for anything. */
export interface Channels {
  [name: string]: StandardSchema;
}

/** The schemas of the messages that clients may publish, by channel. */
export class ChannelSchemas {
  readonly #schemas: ByChannel<StandardSchema>;
  readonly #deadlines: Deadlines;
  readonly #reporter: Reporter;

  /** `timeout` is how long a schema may take, in milliseconds. */
  constructor(channels: Channels, timeout: number, reporter: Reporter) {
    this.#schemas = new ByChannel(channels);
    this.#deadlines = new Deadlines(timeout);
    this.#reporter = reporter;
  }

  /** Lets go of the checks that have not ended. */
  close(): void {
    this.#deadlines.limit(undefined);
  }

  /** Checks a message, and says what is to be published; at once where there is no schema or it answers at once. */
  check(channel: string, data: unknown): Outcome | Promise<Outcome> {
    const schema = this.#schemas.get(channel);
    if (!schema) return { status: "result", value: data };
    try {
      const checking = check(schema, data);
      if (!isThenable(checking)) return outcomeOf(checking);
      const late = () => new Late(`The schema of ${JSON.stringify(channel)} has not answered in time`);
      return this.#deadlines.within(checking, late).then(outcomeOf, (error: unknown) => {
        if (!isLate(error)) return failed(error);
        this.#reporter.error("channels", error);
        return { status: "error", error: TIMED_OUT };
      });
    } catch (error) {
      return failed(error);
    }
  }
}

/** A schema has taken too long. */
class Late extends Error {}

function isLate(error: unknown): error is Late {
  return isError(error) && error instanceof Late;
}

function outcomeOf(checked: Awaited<ReturnType<typeof check>>): Outcome {
  return checked.valid ? { status: "result", value: checked.value } : invalidInput(checked.issues);
}

function failed(error: unknown): Outcome {
  return { status: "failure", error };
}
