import { addressOf } from "./auth/connection-address.js";
import { OutstandingTokens } from "./auth/outstanding-tokens.js";
import { shownIdentity } from "./auth/shown-identity.js";
import { isBoundTo } from "./auth/token-binding.js";
import { TokenRoute } from "./auth/token-route.js";
import { TokenStore } from "./auth/token-store.js";
import { TokenVerifier } from "./auth/token-verifier.js";
import { ChannelCommands } from "./channels/channel-commands.js";
import { ChannelSchemas } from "./channels/channel-schemas.js";
import { AudienceCommands } from "./cluster/audience-commands.js";
import { SelectionCommands } from "./cluster/selection-commands.js";
import { wireCluster } from "./cluster-wiring.js";
import { OpenConnections } from "./connection/open-connections.js";
import { Guards } from "./events/guards.js";
import { type Given, type Ground, layGround } from "./ground.js";
import { ClientFiles } from "./http/client-files.js";
import { Handshakes } from "./http/handshakes.js";
import { Origins } from "./http/origins.js";
import { mount } from "./http/router.js";
import { withOwnPromise } from "./http/verify-connection.js";
import { Lifecycle } from "./lifecycle.js";
import { Deadlines } from "./limits/deadlines.js";
import { IdentityRates } from "./limits/identity-rate.js";
import { IdentityUsages } from "./limits/identity-usage.js";
import { TurnScheduler } from "./limits/turn-scheduler.js";
import { UnfinishedBytes } from "./limits/unfinished-bytes.js";
import { Commands } from "./log/commands.js";
import type { Reporter } from "./log/reporter.js";
import type { ResolvedOptions } from "./options/options.js";
import { stateSchemas } from "./presence-wiring.js";
import { checkClient, checkSubscriber, evictionWarning } from "./redis/start-check.js";
import { Startup } from "./redis/startup.js";
import { ExpressRoutes } from "./routes/express-routes.js";
import type { TokenSocketServer } from "./rpc/controller.js";
import { Dispatcher } from "./rpc/dispatcher.js";
import { onConnection } from "./transport/connections.js";
import { Heartbeats } from "./transport/heartbeats.js";
import { WaitingSendQueues } from "./transport/send-queue.js";
import { WriteBatcher } from "./transport/write-batcher.js";

/** The number of items that all streams of a server may send in one turn of the event loop. */
const STREAM_ITEMS = 256;

const UNATTACHED =
  "a connection came by SockJS's installHandlers(): call tokenServer.attach(httpServer) instead, which is faster, and without which neither origins nor sizes are checked";

/** The parts of a server that its public methods use. */
export interface ServerParts<Auth> {
  readonly options: ResolvedOptions<Auth>;
  readonly reporter: Reporter;
  readonly handshakes: Handshakes;
  /** Absent where the client's script is not served. */
  readonly clientFiles: ClientFiles | undefined;
  readonly connections: OpenConnections<Auth>;
  readonly channels: ChannelCommands<Auth>;
  readonly selections: SelectionCommands<Auth>;
  readonly audiences: AudienceCommands<Auth>;
  readonly lifecycle: Lifecycle<Auth>;
}

/**
 * Puts the parts of a server together, and starts it. Throws a `TypeError` where something that it is given is missing or
 * wrong, and then nothing stays behind.
 */
export function wire<Auth>(server: TokenSocketServer<Auth>, given: Given): ServerParts<Auth> {
  const ground = layGround(server, given);
  const { options, redis, reporter } = ground;
  const tokens = wireTokens(ground);
  const http = wireHttp(ground);
  const decisions = wireDecisions(ground, tokens.store);
  const shared = wireCluster<Auth>(ground, {
    load: () => ({ sockets: connections.size, draining: lifecycle.isDraining }),
    connectionOf: (socket) => connections.identified(socket),
    guards: decisions.guards,
  });
  const rates = wireRates(ground);
  const connections: OpenConnections<Auth> = wireConnections(ground, shared, decisions, rates);
  // last of all that may fail
  const { tokenRoute, clientFiles } = mountRoutes(ground, tokens, http);
  const { handshakes, writeBatcher, heartbeats } = http;
  const stopAccepting = onConnection(given.socketServer, {
    prefix: options.prefix,
    writeBatcher,
    heartbeats,
    onError: (context, error) => reporter.error(context, error),
    claim: (connection) => handshakes.claim(connection),
    accept: (transport) => connections.accept(transport),
    onUnattached: once(() => reporter.warn(UNATTACHED)),
  });
  const { pubsub, presence, cluster, registry, asker, identityChannels } = shared;
  const startup = start(ground, shared, rates);
  const lifecycle: Lifecycle<Auth> = new Lifecycle<Auth>({
    redis,
    startup,
    registry,
    tokenRoute,
    handshakes,
    connections,
    presence,
    pubsub,
    endReach: () => Promise.all([asker.end(), identityChannels.close()]),
    entrances: [
      { close: stopAccepting },
      handshakes,
      tokenRoute,
      ...(clientFiles ? [clientFiles] : []),
      cluster,
    ],
    deciders: [decisions.guards, decisions.tokenVerifier, decisions.channelSchemas, decisions.stateSchemas],
  });
  const commands = new Commands(reporter, () => lifecycle.isClosed);
  const channels = new ChannelCommands<Auth>({
    commands,
    pubsub,
    histories: shared.histories,
    presence,
    limits: options.limits,
    connectionOf: (socket) => connections.identified(socket),
    unsubscribeAll: (channel) => cluster.unsubscribeAll(channel),
  });
  const selections = new SelectionCommands<Auth>({
    commands,
    cluster,
    registry,
    hasIdentities: options.identify !== undefined,
  });
  const audiences = new AudienceCommands<Auth>({
    commands,
    cluster,
    limits: options.limits,
    hasIdentities: options.identify !== undefined,
  });
  return {
    options,
    reporter,
    handshakes,
    clientFiles,
    connections,
    channels,
    selections,
    audiences,
    lifecycle,
  };
}

function wireTokens<Auth>({ options, redis }: Ground<Auth>) {
  const { limits, tokenTtl, tokenPrefix } = options;
  const outstanding = new OutstandingTokens(limits, tokenTtl);
  const store = new TokenStore<Auth>({
    redis: redis.publisher,
    prefix: tokenPrefix,
    ttl: tokenTtl,
    patience: limits.redisTimeout,
    outstanding,
  });
  return { outstanding, store };
}

/** Wires what takes requests and upgrades. */
function wireHttp<Auth>({ given, options, reporter }: Ground<Auth>) {
  const { heartbeat, limits } = options;
  const origins = new Origins(options, reporter);
  const unfinishedBytes = new UnfinishedBytes(limits.unauthenticatedBytes);
  const writeBatcher = new WriteBatcher((error) => reporter.error("a socket could not be written to", error));
  const heartbeats = heartbeat === false ? undefined : new Heartbeats(heartbeat);
  const verifyConnection = options.verifyConnection && withOwnPromise(options.verifyConnection);
  const handshakes = new Handshakes({
    app: given.app,
    socketServer: given.socketServer,
    options: { ...options, verifyConnection },
    origins,
    unfinishedBytes,
    writeBatcher,
    heartbeats,
    reporter,
  });
  return { handshakes, origins, unfinishedBytes, writeBatcher, heartbeats };
}

/** Wires what decides on clients: on their tokens, and on what they ask for. */
function wireDecisions<Auth>(ground: Ground<Auth>, tokens: TokenStore<Auth>) {
  const { server, given, options, reporter } = ground;
  const { channels, exposeErrors, identify, limits, tokenBinding, verifyToken } = options;
  return {
    tokenVerifier: new TokenVerifier<Auth>({
      identify,
      verifyToken,
      tokenLength: limits.tokenLength,
      authenticationTimeout: limits.authenticationTimeout,
      tokens,
      isBoundTo: (record, socket, nonce) => isBoundTo(tokenBinding, given.app, record, socket, nonce),
      addressOf: (socket) => addressOf(given.app, socket),
      reporter,
    }),
    guards: new Guards(server, reporter, exposeErrors, limits),
    channelSchemas: new ChannelSchemas(channels, limits.guardTimeout, reporter),
    stateSchemas: stateSchemas(options, reporter),
  };
}

/** Wires what counts for each identity, over all servers. */
function wireRates<Auth>({ given, options, reporter }: Ground<Auth>) {
  const { channelPrefix, limits } = options;
  const rateOf = (name: string, perSecond: number) => {
    const keyPrefix = `token-sockjs:${channelPrefix}${name}`;
    if (perSecond === Infinity) return undefined;
    return new IdentityRates({ client: given.redisClient, keyPrefix, perSecond, reporter });
  };
  return {
    frames: rateOf("frames", limits.identityFramesPerSecond),
    bytes: rateOf("bytes", limits.identityBytesPerSecond),
  };
}

function wireConnections<Auth>(
  ground: Ground<Auth>,
  { pubsub, presence, index, revocations, refreshes, identityChannels }: ReturnType<typeof wireCluster<Auth>>,
  decisions: ReturnType<typeof wireDecisions<Auth>>,
  rates: ReturnType<typeof wireRates<Auth>>,
): OpenConnections<Auth> {
  const { server, given, options, reporter, notices } = ground;
  const { authTimeout, exposeErrors, limits, ping, showIdentity } = options;
  const showing = { showIdentity, identityBytes: limits.identityBytes, reporter };
  const routes = new ExpressRoutes<Auth>(given.app, limits.routeResponseBytes);
  const connections: OpenConnections<Auth> = new OpenConnections<Auth>({
    shared: {
      ...decisions,
      ping,
      exposeErrors,
      limits,
      revocations,
      refreshes,
      index,
      identityChannels: options.identify && identityChannels,
      authenticationDeadlines: new Deadlines(authTimeout),
      show: (...args) => shownIdentity(showing, ...args),
      dispatcher: new Dispatcher(options, routes, limits.pathLength, reporter, server),
      waitingSendQueues: new WaitingSendQueues(),
      identityUsages: new IdentityUsages(limits, rates),
      streamScheduler: new TurnScheduler(STREAM_ITEMS),
      pubsub,
      presence,
      reporter,
      notify: (event, ...args) => {
        const connection = event === "authenticated" && connections.identified(args[0]);
        if (connection) presence.renew(connection);
        notices.notify(event, ...args);
      },
      hears: (event) => notices.hears(event),
      functionDeadlines: new Deadlines(limits.functionTimeout),
    },
    notices,
  });
  return connections;
}

/** Mounts the routes on the application; where it cannot serve them, nothing stays behind. */
function mountRoutes<Auth>(
  { given, options, redis, reporter }: Ground<Auth>,
  { outstanding, store }: ReturnType<typeof wireTokens<Auth>>,
  { origins, unfinishedBytes }: ReturnType<typeof wireHttp<Auth>>,
) {
  const { app } = given;
  const { serveClient } = options;
  const route = {
    app,
    options,
    authentication: () => options.authentication,
    tokens: store,
    outstanding,
    unfinishedBytes,
    origins,
    reporter,
  };
  try {
    return mount(app, () => ({
      tokenRoute: new TokenRoute<Auth>(route),
      clientFiles: serveClient === false ? undefined : new ClientFiles(app, serveClient),
    }));
  } catch (cause) {
    redis.release();
    const message = "options.tokenRoute and options.serveClient must be paths that Express can serve";
    throw new TypeError(message, { cause });
  }
}

/** Starts to use Redis, and warns of what may go wrong there. */
function start<Auth>(
  { options, redis, reporter, notices }: Ground<Auth>,
  { pubsub, registry, asker }: ReturnType<typeof wireCluster<Auth>>,
  rates: ReturnType<typeof wireRates<Auth>>,
): Startup {
  const { publisher, subscriber } = redis;
  const { channelPrefix, tokenPrefix } = options;
  const hasSubscriber = subscriber !== undefined;
  const use = {
    channelPrefix,
    tokenPrefix,
    hasSubscriber,
    hasHistory: Object.keys(options.history).length > 0,
    hasPresence: Object.keys(options.presence).length > 0,
    rates: rates.frames ?? rates.bytes,
  };
  const startup = new Startup({
    steps: [
      async () => {
        const refused = await checkClient(publisher, use);
        // what has been refused once is not tried, and told, a second time
        if (refused.length === 0) await registry.start();
        return refused;
      },
      async () => (subscriber ? checkSubscriber(subscriber, channelPrefix) : []),
      () => Promise.all([pubsub.start(), asker.start()]).then(() => []),
    ],
    onReady: () => notices.notify("ready"),
    reporter,
  });
  void evictionWarning(publisher).then((warning) => warning && reporter.warn(warning));
  redis.startChecks();
  return startup;
}

/** A function that acts the first time alone. */
function once(act: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    act();
  };
}
