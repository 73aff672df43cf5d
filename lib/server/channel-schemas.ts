import { isThenable } from "../shared/answer.js";
import type { Outcome } from "../shared/errors.js";
import { check, type StandardSchema } from "../shared/standard-schema.js";
import { ByChannel } from "./by-channel.js";
import { invalidInput } from "./procedure.js";

/** Schemas of channels' messages, by the channels' names; a `*` at the end of one stands for anything. */
export interface Channels {
  [name: string]: StandardSchema;
}

/** What clients may publish on which channel. */
export class ChannelSchemas {
  readonly #schemas: ByChannel<StandardSchema>;

  constructor(channels: Channels) {
    this.#schemas = new ByChannel(channels);
  }

  /** Checks a message, and says what is to be published; at once where there is no schema or it answers at once. */
  check(channel: string, data: unknown): Outcome | Promise<Outcome> {
    const schema = this.#schemas.get(channel);
    if (!schema) return { status: "result", value: data };
    try {
      const checking = check(schema, data);
      return isThenable(checking) ? checking.then(outcomeOf, failed) : outcomeOf(checking);
    } catch (error) {
      return failed(error);
    }
  }
}

function outcomeOf(checked: Awaited<ReturnType<typeof check>>): Outcome {
  return checked.valid ? { status: "result", value: checked.value } : invalidInput(checked.issues);
}

function failed(error: unknown): Outcome {
  return { status: "failure", error };
}
