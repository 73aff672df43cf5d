import type { Requests } from "./calls/requests.js";
import type { Channels } from "./channels.js";
import type { Observation } from "./observation.js";
import type { Logger } from "./options.js";
import type { Presence } from "./presence-types.js";

/** The channels that a client observes, by name. */
export type Observations = Map<string, Observation>;

/** Makes a handle of a channel's observation, which it begins where there is none. */
export type MakePresence = (
  channel: string,
  observations: Observations,
  requests: Requests,
  channels: Channels,
  logger: Logger,
) => Presence;

/** The code of presence, which is there once `presence.ts` is imported: bundles without it do not carry it. */
export let makePresence: MakePresence;

export function setPresence(make: MakePresence): void {
  makePresence = make;
}
