import type { StandardSchema } from "../shared/standard-schema.js";
import { ByChannel } from "./channels/by-channel.js";
import { ChannelSchemas } from "./channels/channel-schemas.js";
import type { Guards } from "./events/guards.js";
import type { Notices } from "./events/notices.js";
import type { Reporter } from "./log/reporter.js";
import type { ResolvedOptions } from "./options/options.js";
import type { ServerRegistry } from "./presence/left-behind.js";
import { Presence } from "./presence/presence.js";
import { resolvePresence } from "./presence/presence-option.js";
import { PRESENCE_TIMES } from "./presence/presence-times.js";
import type { RedisClients } from "./redis/clients.js";

interface Ground<Auth> {
  readonly options: ResolvedOptions<Auth>;
  readonly redis: RedisClients;
  readonly reporter: Reporter;
  readonly notices: Notices<Auth>;
  readonly guards: Guards;
  readonly registry: ServerRegistry;
}

/** Wires the members of channels. */
export function wirePresence<Auth>({
  options,
  redis,
  reporter,
  notices,
  guards,
  registry,
}: Ground<Auth>): Presence {
  const { channelPrefix, limits } = options;
  const byChannel = new ByChannel(mapValues(options.presence, resolvePresence));
  return new Presence({
    redis: redis.publisher,
    subscriber: redis.subscriber,
    channelPrefix,
    registry,
    limits,
    times: PRESENCE_TIMES,
    optionOf: (channel) => byChannel.get(channel),
    isOn: Object.keys(options.presence).length > 0,
    isGuarded: () => guards.has("presence"),
    reporter,
    notify: (...args) => notices.notify(...args),
  });
}

/** The schema of states where there is none: anything. */
const ANY_STATE: StandardSchema = {
  "~standard": { version: 1, vendor: "node-token-sockjs", validate: (value) => ({ value }) },
};

/** Makes the schemas of the states that members set. */
export function stateSchemas<Auth>(
  { presence, limits }: ResolvedOptions<Auth>,
  reporter: Reporter,
): ChannelSchemas {
  const states = mapValues(presence, ({ state }) => state ?? ANY_STATE);
  return new ChannelSchemas(states, limits.guardTimeout, reporter);
}

function mapValues<From, To>(values: Readonly<Record<string, From>>, map: (value: From) => To) {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, map(value)]));
}
