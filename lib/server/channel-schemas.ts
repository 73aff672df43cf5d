import { isThenable } from "../shared/answer.js";
import type { Outcome } from "../shared/errors.js";
import { check, isStandardSchema, type StandardSchema } from "../shared/standard-schema.js";
import { invalidInput } from "./procedure.js";

/** Schemas of channels' messages, by the channels' names; a `*` at the end of one stands for anything. */
export interface Channels {
  [name: string]: StandardSchema;
}

/** What clients may publish on which channel. */
export class ChannelSchemas {
  readonly #byName = new Map<string, StandardSchema>();
  /** The longest first. */
  readonly #byStart: (readonly [start: string, schema: StandardSchema])[] = [];

  constructor(channels: Channels) {
    for (const [name, schema] of Object.entries(channels)) {
      if (name.endsWith("*")) this.#byStart.push([name.slice(0, -1), schema]);
      else this.#byName.set(name, schema);
    }
    this.#byStart.sort(([a], [b]) => b.length - a.length);
  }

  /** Checks a message, and says what is to be published; at once where there is no schema or it answers at once. */
  check(channel: string, data: unknown): Outcome | Promise<Outcome> {
    const schema =
      this.#byName.get(channel) ?? this.#byStart.find(([start]) => channel.startsWith(start))?.[1];
    if (!schema) return { status: "result", value: data };
    try {
      const checking = check(schema, data);
      return isThenable(checking) ? checking.then(outcomeOf, failed) : outcomeOf(checking);
    } catch (error) {
      return failed(error);
    }
  }
}

/** Says whether a value declares channels. */
export function areChannels(value: unknown): value is Channels {
  return (
    typeof value === "object" &&
    value !== null &&
    Object.entries(value).every(
      ([name, schema]) => /^[^*]*\*?$/.test(name) && name !== "" && isStandardSchema(schema),
    )
  );
}

function outcomeOf(checked: Awaited<ReturnType<typeof check>>): Outcome {
  return checked.valid ? { status: "result", value: checked.value } : invalidInput(checked.issues);
}

function failed(error: unknown): Outcome {
  return { status: "failure", error };
}
