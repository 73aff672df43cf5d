import { Refreshes, Revocations } from "./auth/revocations.js";
import { ByChannel } from "./channels/by-channel.js";
import { PubSub } from "./channels/pubsub.js";
import { SlowReaders } from "./channels/slow-readers.js";
import { Asker } from "./cluster/asker.js";
import { Cluster } from "./cluster/cluster.js";
import { IdentityChannels } from "./cluster/identity-channels.js";
import { Responder } from "./cluster/responder.js";
import type { Connection } from "./connection/connection.js";
import { ConnectionIndex } from "./connection/connection-index.js";
import type { Guards } from "./events/guards.js";
import type { Ground } from "./ground.js";
import { Histories, type HistoriesParts } from "./history/histories.js";
import type { ResolvedOptions } from "./options/options.js";
import { wirePresence } from "./presence-wiring.js";
import type { Redis } from "./redis/redis.js";
import { Registry } from "./registry/registry.js";
import type { PendingSocket } from "./transport/socket.js";

/** What the cluster gets from parts that are made after it. */
export interface Late<Auth> {
  readonly load: () => { readonly sockets: number; readonly draining: boolean };
  readonly connectionOf: (socket: PendingSocket) => Connection<Auth> | undefined;
  readonly guards: Guards;
}

/** Wires what servers that share a Redis have in common. */
export function wireCluster<Auth>({ options, redis, reporter, notices }: Ground<Auth>, late: Late<Auth>) {
  const { channelPrefix, filter, slowReaders, limits, tokenTtl } = options;
  const { publisher, subscriber } = redis;
  const histories = wireHistories(options, publisher, {
    deliver: (channel, entry) => pubsub.deliverKept(channel, entry),
    lose: (channel, loss, at) => pubsub.lose(channel, loss, at),
    onError: (error) => reporter.outage("the history of a channel could not be read", error),
  });
  const pubsub: PubSub<Auth> = new PubSub<Auth>({
    publisher,
    subscriber,
    histories: histories.areKept ? histories : undefined,
    channelPrefix,
    filter,
    slowReaders: new SlowReaders(new ByChannel(slowReaders), reporter),
    limits,
    reporter,
    onMembership: (event, connection, channel) => {
      const { socket, closed, isDismissed } = connection;
      if (event === "subscribed") presence.join(connection, channel);
      else presence.leave(connection, channel, closed && !isDismissed);
      reporter.debug(() => `${socket.sid} has ${event} ${JSON.stringify(channel)}`);
      notices.notify(event, socket, { channel });
    },
    onRecovered: ({ socket }, channel, messages) =>
      notices.notify("recovered", socket, { channel, messages }),
    onLost: ({ socket }, channel, loss) => notices.notify("lost", socket, { channel, ...loss }),
    onCommand: (message) => cluster.receive(message),
    onHearing: () => {
      cluster.catchUp();
      histories.catchUp();
      presence.refill();
    },
  });
  const index = new ConnectionIndex<Connection<Auth>>();
  const revocations = new Revocations(tokenTtl);
  const refreshes = new Refreshes(tokenTtl);
  const shared = { publisher, subscriber, channelPrefix, patience: limits.redisTimeout, reporter };
  const registry = new Registry({
    redis: publisher,
    channelPrefix,
    isShared: subscriber !== undefined,
    isReachable: () => redis.health.subscriber === true,
    patience: limits.redisTimeout,
    load: () => ({ ...late.load(), channels: pubsub.channels().length }),
    onError: (error) => reporter.outage("the registry of servers could not be written", error),
  });
  const presence = wirePresence({ options, redis, reporter, notices, guards: late.guards, registry });
  const asker = new Asker({ ...shared, registry });
  const identityChannels = new IdentityChannels(shared, (json) => cluster.receiveByIdentity(json));
  const responder = new Responder<Auth>({ pubsub, index, connectionOf: late.connectionOf });
  const cluster: Cluster<Auth> = new Cluster<Auth>({
    publisher,
    pubsub,
    key: `token-sockjs:${channelPrefix}revocations`,
    limits,
    revocations,
    refreshes,
    index,
    asker,
    responder,
    identityChannels,
    reporter,
  });
  return {
    pubsub,
    histories,
    presence,
    cluster,
    index,
    revocations,
    refreshes,
    registry,
    asker,
    identityChannels,
  };
}

function wireHistories<Auth>(
  { history, channelPrefix, limits }: ResolvedOptions<Auth>,
  redis: Redis,
  ends: Pick<HistoriesParts, "deliver" | "lose" | "onError">,
): Histories {
  const byChannel = new ByChannel(history);
  return new Histories({
    ...ends,
    redis,
    channelPrefix,
    limits,
    optionOf: (channel) => byChannel.get(channel),
    areKept: Object.keys(history).length > 0,
  });
}
