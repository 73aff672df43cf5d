// The code of presence, which puts itself into the client where it is imported.

import { encodeJson } from "../shared/protocol.js";
import { untilAnswered } from "./calls/repetition.js";
import { Emitter } from "./emitter.js";
import { AbortedError } from "./errors.js";
import { NOTHING, Observation, type Told, type View } from "./observation.js";
import type { Logger } from "./options.js";
import { setPresence } from "./presence-slot.js";
import type { Member, Presence, PresenceEvents } from "./presence-types.js";

/** A handle of an observation, which may have others. It shows the observation's view. */
class Handle extends Emitter<PresenceEvents> implements Presence {
  declare readonly members: readonly Member[];
  declare readonly count: number;
  declare readonly me: string | undefined;
  declare readonly isSynced: boolean;
  declare readonly error: Error | undefined;
  readonly #observation: Observation;

  /** Callbacks for the next change of what is shown. */
  #waiting: (() => void)[] = [];

  constructor(observation: Observation, logger: Logger) {
    super(logger);
    this.#observation = observation;
    observation.listeners.add(this.#hear);
    this.#show(observation.view);
  }

  ready(): Promise<void> {
    return quiet(this.#synced());
  }

  set(state: unknown): Promise<void> {
    const set = async () => {
      if (this.error) throw this.error;
      const observation = this.#observation;
      const json = encodeJson(state);
      observation.state = json;
      await untilAnswered(async () => {
        await this.#synced();
        // a newer one takes its place
        if (observation.state === json) await observation.ask({ state: JSON.parse(json) });
      });
    };
    return quiet(set());
  }

  end(): void {
    if (this.error) return;
    const error = new AbortedError("end()");
    this.#observation.leave(this.#hear, error);
    this.#show({ ...NOTHING, error });
  }

  readonly #hear = (...event: Told): void => {
    this.#show(this.#observation.view);
    this.emit(...(event as ["change"]));
  };

  #show(view: View): void {
    Object.assign(this, view);
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  async #synced(): Promise<void> {
    while (!this.isSynced) {
      if (this.error) throw this.error;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

/** A rejection that nobody looks at is no unhandled one. */
function quiet(promise: Promise<void>): Promise<void> {
  promise.catch(() => {});
  return promise;
}

setPresence((channel, observations, requests, channels, logger) => {
  let observation = observations.get(channel);
  if (!observation) {
    observation = new Observation(channel, requests, channels, () => observations.delete(channel));
    observations.set(channel, observation);
    observation.connect();
  }
  return new Handle(observation, logger);
});

export type { Member, Presence, PresenceEvents } from "./presence-types.js";
