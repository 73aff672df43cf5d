import type { Express, Request, RequestHandler } from "express";
import type { Callback } from "../shared/answer.js";
import {
  AbortedError,
  CallError,
  DisconnectedError,
  ForbiddenError,
  InvalidRequestError,
  NotFoundError,
  RemoteError,
  TimeoutError,
  UnauthorizedError,
} from "../shared/call-errors.js";
import { callable } from "../shared/callable.js";
import { RpcError } from "../shared/errors.js";
import type { CallOptions } from "../shared/pending-calls.js";
import { callGuarded } from "../shared/promises.js";
import type { ClientCalls } from "../shared/typed-calls.js";
import { addressOf } from "./auth/connection-address.js";
import { expiring } from "./auth/expiry.js";
import { Identities } from "./auth/identities.js";
import type { LogoutOptions } from "./auth/logout.js";
import { OutstandingTokens } from "./auth/outstanding-tokens.js";
import { Refreshes, Revocations } from "./auth/revocations.js";
import type { DisconnectOptions, Selector } from "./auth/selectors.js";
import { shownIdentity } from "./auth/shown-identity.js";
import { isBoundTo } from "./auth/token-binding.js";
import { TokenRoute } from "./auth/token-route.js";
import { TokenStore } from "./auth/token-store.js";
import { ByChannel } from "./channels/by-channel.js";
import { ChannelCommands } from "./channels/channel-commands.js";
import { ChannelSchemas } from "./channels/channel-schemas.js";
import { PubSub } from "./channels/pubsub.js";
import { SlowReaders } from "./channels/slow-readers.js";
import { Peers } from "./cluster/cluster.js";
import { SelectionCommands } from "./cluster/selection-commands.js";
import type { Connection } from "./connection/connection.js";
import { ConnectionIndex } from "./connection/connection-index.js";
import { OpenConnections, type OpenConnectionsParts } from "./connection/open-connections.js";
import { ServerEmitter } from "./events/events.js";
import { Access } from "./events/guards.js";
import type { Channel, Published } from "./events/message-types.js";
import { Notices } from "./events/notices.js";
import { ClientFiles } from "./http/client-files.js";
import { Door } from "./http/handshake.js";
import { type Health, healthHandler } from "./http/health.js";
import { checkHttpServer, type HttpServer } from "./http/interception.js";
import { Origins } from "./http/origins.js";
import { checkApp, mount } from "./http/router.js";
import { handlerOptions } from "./http/sockjs-handlers.js";
import { withOwnPromise } from "./http/verify-connection.js";
import { Deadlines } from "./limits/deadlines.js";
import { IdentityRates } from "./limits/identity-rate.js";
import { IdentityUsages } from "./limits/identity-usage.js";
import { UnfinishedBytes } from "./limits/unfinished-bytes.js";
import { Commands } from "./log/commands.js";
import { Reporter } from "./log/reporter.js";
import {
  checkOption,
  type ResolvedOptions,
  resolveOptions,
  type TokenSocketServerOptions,
} from "./options.js";
import type { RedisClient } from "./redis/adapt.js";
import { RedisClients } from "./redis/clients.js";
import { checkClient, checkSubscriber, evictionWarning } from "./redis/start-check.js";
import { Startup } from "./redis/startup.js";
import { ExpressRoutes, type Routes } from "./routes/express-routes.js";
import type { Controller, TokenSocketServer as Server } from "./rpc/controller.js";
import { Dispatcher } from "./rpc/dispatcher.js";
import { procedure } from "./rpc/procedure-maker.js";
import { Turns } from "./rpc/stream-scheduler.js";
import { call } from "./rpc/test-call.js";
import { checkSocketServer, onConnection } from "./transport/connections.js";
import { Heartbeats } from "./transport/heartbeats.js";
import { WaitingSendQueues } from "./transport/send-queue.js";
import type { AnySocket, PendingSocket, Socket, SockJSOptions, SockJSServer } from "./transport/socket.js";
import { Bundles } from "./transport/write-batcher.js";

/** How long `shutdown()` waits for Redis to confirm, in milliseconds. */
const SHUTDOWN_PATIENCE = 5_000;

/** How long `drain()` takes at most, in milliseconds: less than the 30 s after which Kubernetes and Heroku kill. */
const DRAIN_TIME = 20_000;

const UNATTACHED =
  "a connection came by SockJS's installHandlers(): call tokenServer.attach(httpServer) instead, which is faster, and without which neither origins nor sizes are checked";

/**
 * Authenticated real-time for an Express application: a token route, and SockJS connections that present such
 * a token and then call functions, are called, and share channels through Redis.
 *
 * `Auth` is the type of what identifies a user, as `authentication` gives it; `Messages` that of the option `channels`, or of
 * the messages themselves by the channels' names.
 */
export type TokenSocketServer<Auth = Record<string, unknown>, Messages = unknown> = Server<Auth, Messages>;

/** The class `TokenSocketServer`. Its static properties are there for CommonJS, where `require()` gives the class itself. */
export interface TokenSocketServerClass {
  /**
   * Mounts the token route on `app` and serves the connections of `socketServer`.
   *
   * @param app an Express application, 5 or 4
   * @param redisClient a client of node-redis or ioredis for tokens and publishing, connected or to be connected
   *   by its owner, or `memoryRedis()`
   * @param socketServer a SockJS server
   * @throws TypeError where an argument or an option is missing or wrong; it says which, and what was expected
   */
  new <Auth = Record<string, unknown>, Messages = unknown>(
    app: Express,
    redisClient: RedisClient,
    socketServer: SockJSServer,
    options?: TokenSocketServerOptions<Auth, Messages> | null,
  ): TokenSocketServer<Auth, Messages>;
  readonly TokenSocketServer: TokenSocketServerClass;
  readonly RpcError: typeof RpcError;
  readonly CallError: typeof CallError;
  readonly TimeoutError: typeof TimeoutError;
  readonly AbortedError: typeof AbortedError;
  readonly DisconnectedError: typeof DisconnectedError;
  readonly RemoteError: typeof RemoteError;
  readonly ForbiddenError: typeof ForbiddenError;
  readonly NotFoundError: typeof NotFoundError;
  readonly InvalidRequestError: typeof InvalidRequestError;
  readonly UnauthorizedError: typeof UnauthorizedError;
  readonly procedure: typeof procedure;
  readonly call: typeof call;
  readonly expiring: typeof expiring;
}

// its instances are typed by an interface, which has their docstrings, so that calls can name the server without importing it
export const TokenSocketServer: TokenSocketServerClass = class TokenSocketServer<Auth, Messages>
  extends ServerEmitter<Auth, Messages>
  implements Server<Auth, Messages>
{
  declare readonly "~types"?: { readonly [Name in keyof Messages]: Messages[Name] };

  static readonly TokenSocketServer: TokenSocketServerClass = TokenSocketServer;
  static readonly RpcError = RpcError;
  static readonly CallError = CallError;
  static readonly TimeoutError = TimeoutError;
  static readonly AbortedError = AbortedError;
  static readonly DisconnectedError = DisconnectedError;
  static readonly RemoteError = RemoteError;
  static readonly ForbiddenError = ForbiddenError;
  static readonly NotFoundError = NotFoundError;
  static readonly InvalidRequestError = InvalidRequestError;
  static readonly UnauthorizedError = UnauthorizedError;
  static readonly procedure = procedure;
  static override readonly call = call;
  static readonly expiring = expiring;

  readonly #options: ResolvedOptions<Auth>;
  readonly #reporter: Reporter;
  readonly #redis: RedisClients;
  readonly #pubsub: PubSub<Auth>;
  readonly #peers: Peers<Auth>;
  readonly #tokenRoute: TokenRoute<Auth>;
  readonly #clientFiles: ClientFiles | undefined;
  readonly #socketServer: SockJSServer;
  readonly #door: Door;
  readonly #connections: OpenConnections<Auth>;
  readonly #channelCommands: ChannelCommands<Auth>;
  readonly #selectionCommands: SelectionCommands<Auth>;
  readonly #access: Access;
  readonly #identities: Identities<Auth>;
  readonly #channelSchemas: ChannelSchemas;
  readonly #stopAccepting: () => void;
  readonly #startup: Startup;
  #closing: Promise<void> | undefined;
  #draining: Promise<void> | undefined;

  constructor(
    app: Express,
    redisClient: RedisClient,
    socketServer: SockJSServer,
    options?: TokenSocketServerOptions<Auth, Messages> | null,
  ) {
    super();
    checkApp(app);
    checkSocketServer(socketServer);
    this.#options = resolveOptions<Auth>(options);
    const { pubsubClient, logger, debug, exposeErrors, limits, filter, ping, ...rest } = this.#options;
    this.#redis = new RedisClients(redisClient, pubsubClient, rest, limits.redisTimeout);
    const { publisher, subscriber } = this.#redis;
    const reporter: Reporter = new Reporter(logger, debug, (...args) => notices.error(...args));
    const notices = new Notices<Auth>(this, reporter);
    this.#reporter = reporter;
    this.#redis.onError((error) => reporter.outage("a Redis client's error", error));
    this.#pubsub = new PubSub({
      publisher,
      subscriber,
      channelPrefix: rest.channelPrefix,
      filter,
      slowReaders: new SlowReaders(new ByChannel(rest.slowReaders), reporter),
      limits,
      reporter,
      onMembership: (event, { socket }, channel) => {
        reporter.debug(() => `${socket.sid} has ${event} ${JSON.stringify(channel)}`);
        notices.notify(event, socket, { channel });
      },
      onCommand: (message) => this.#peers.receive(message),
      onHearing: () => this.#peers.catchUp(),
    });
    const index = new ConnectionIndex<Connection<Auth>>();
    const revocations = new Revocations(rest.tokenTtl);
    const refreshes = new Refreshes(rest.tokenTtl);
    this.#peers = new Peers({
      publisher,
      pubsub: this.#pubsub,
      key: `token-sockjs:${rest.channelPrefix}revocations`,
      limits,
      revocations,
      refreshes,
      index,
      reporter,
    });
    const outstanding = new OutstandingTokens(limits, rest.tokenTtl);
    const tokens = new TokenStore<Auth>({
      redis: publisher,
      prefix: rest.tokenPrefix,
      ttl: rest.tokenTtl,
      patience: limits.redisTimeout,
      outstanding,
    });
    const origins = new Origins(this.#options, reporter);
    const unfinishedBytes = new UnfinishedBytes(limits.unauthenticatedBytes);
    this.#socketServer = socketServer;
    const bundles = new Bundles((error) => reporter.error("a socket could not be written to", error));
    const heartbeats = rest.heartbeat === false ? undefined : new Heartbeats(rest.heartbeat);
    const verifyConnection = rest.verifyConnection && withOwnPromise(rest.verifyConnection);
    this.#door = new Door({
      app,
      options: { ...this.#options, verifyConnection },
      origins,
      unfinishedBytes,
      bundles,
      heartbeats,
      reporter,
    });
    const rateOf = (name: string, perSecond: number) => {
      const keyPrefix = `token-sockjs:${rest.channelPrefix}${name}`;
      if (perSecond === Infinity) return undefined;
      return new IdentityRates({ client: redisClient, keyPrefix, perSecond, reporter });
    };
    const rates = {
      frames: rateOf("frames", limits.identityFramesPerSecond),
      bytes: rateOf("bytes", limits.identityBytesPerSecond),
    };
    const { identityBytes } = limits;
    const showing = { showIdentity: rest.showIdentity, identityBytes, reporter };
    this.#identities = new Identities({
      ...rest,
      ...limits,
      tokens,
      isBoundTo: (record, socket, nonce) => isBoundTo(rest.tokenBinding, app, record, socket, nonce),
      addressOf: (socket) => addressOf(app, socket),
      reporter,
    });
    this.#access = new Access(this, reporter, exposeErrors, limits);
    this.#channelSchemas = new ChannelSchemas(this.#options.channels, limits.listenerTimeout, reporter);
    const shared: OpenConnectionsParts<Auth>["shared"] = {
      ping,
      exposeErrors,
      limits,
      revocations,
      refreshes,
      index,
      show: (...args) => shownIdentity(showing, ...args),
      identities: this.#identities,
      access: this.#access,
      dispatcher: new Dispatcher(
        this.#options,
        new ExpressRoutes(app, limits.routeResponseBytes),
        limits.pathLength,
        reporter,
        this as unknown as Server<Auth>,
      ),
      channelSchemas: this.#channelSchemas,
      waitingOutboxes: new WaitingOutboxes(),
      identityUsages: new IdentityUsages(limits, rates),
      turns: new Turns(),
      pubsub: this.#pubsub,
      reporter,
      notify: (event, ...args) => notices.notify(event, ...args),
      hears: (event) => notices.hears(event),
      functionDeadlines: new Deadlines(limits.functionTimeout),
    };
    this.#connections = new OpenConnections({ shared, notices, authTimeout: rest.authTimeout });
    const commands = new Commands(reporter, () => this.#closing !== undefined);
    this.#channelCommands = new ChannelCommands({
      commands,
      pubsub: this.#pubsub,
      limits,
      connectionOf: (socket) => this.#connections.identified(socket),
      unsubscribeAll: (channel) => this.#peers.unsubscribeAll(channel),
    });
    const hasIdentities = rest.identify !== undefined;
    this.#selectionCommands = new SelectionCommands({ commands, peers: this.#peers, hasIdentities });
    const authentication = () => this.#options.authentication;
    const route = {
      app,
      options: this.#options,
      authentication,
      tokens,
      outstanding,
      unfinishedBytes,
      origins,
      reporter,
    };
    const { serveClient } = rest;
    // last of all that may fail
    const mounted = this.#mount(app, () => ({
      tokenRoute: new TokenRoute<Auth>(route),
      clientFiles: serveClient === false ? undefined : new ClientFiles(app, serveClient),
    }));
    this.#tokenRoute = mounted.tokenRoute;
    this.#clientFiles = mounted.clientFiles;
    this.#stopAccepting = onConnection(socketServer, {
      prefix: rest.prefix,
      bundles,
      heartbeats,
      onError: (context, error) => reporter.error(context, error),
      claim: (connection) => this.#door.claim(connection),
      accept: (transport) => this.#connections.accept(transport),
      onUnattached: once(() => reporter.warn(UNATTACHED)),
    });
    const use = { ...rest, hasSubscriber: subscriber !== undefined, rates: rates.frames ?? rates.bytes };
    this.#startup = new Startup({
      steps: [
        () => checkClient(publisher, use),
        async () => (subscriber ? checkSubscriber(subscriber, rest.channelPrefix) : []),
        () => this.#pubsub.start().then(() => []),
      ],
      onReady: () => notices.notify("ready"),
      reporter,
    });
    void evictionWarning(publisher).then((warning) => warning && reporter.warn(warning));
    this.#redis.startChecks();
  }

  get socketController(): Controller<Auth> {
    return this.#options.socketController;
  }

  set socketController(controller: Controller<Auth>) {
    checkOption("socketController", controller);
    this.#options.socketController = controller;
  }

  get routes(): Routes {
    return this.#options.routes;
  }

  set routes(routes: Routes) {
    checkOption("routes", routes);
    this.#options.routes = routes;
  }

  get authentication(): ResolvedOptions<Auth>["authentication"] {
    return this.#options.authentication;
  }

  set authentication(authentication: ResolvedOptions<Auth>["authentication"]) {
    checkOption("authentication", authentication);
    this.#options.authentication = authentication;
  }

  ready(): Promise<void> {
    return this.#startup.ready;
  }

  attach(httpServer: HttpServer, sockjsOptions?: SockJSOptions | null): void {
    if (this.#closing) throw new Error("The server has been shut down");
    checkHttpServer(httpServer);
    const options = handlerOptions(sockjsOptions ?? {}, this.#options.prefix);
    this.#door.attach(httpServer, this.#socketServer, options, this.#clientFiles?.sockjsPath);
  }

  get clientUrl(): string | undefined {
    return this.#clientFiles?.url;
  }

  sockets(): AnySocket<Auth>[] {
    return this.#connections.sockets();
  }

  channels(): string[] {
    return this.#channelCommands.channels();
  }

  channelSockets(channel: Channel<Messages>): Socket<Auth>[] {
    return this.#channelCommands.sockets(channel);
  }

  rpc(
    socket: PendingSocket,
    command: string,
    args: unknown,
    callback: undefined,
    options?: CallOptions,
  ): Promise<unknown>;
  rpc(
    socket: PendingSocket,
    command: string,
    args: unknown,
    callback: Callback,
    options?: CallOptions,
  ): undefined;
  // the last one, whose mistake TypeScript tells
  rpc(socket: PendingSocket, command: string, args?: unknown, options?: CallOptions): Promise<unknown>;
  rpc(
    socket: PendingSocket,
    command: string,
    args?: unknown,
    callbackOrOptions?: Callback | CallOptions,
    lastOptions?: CallOptions,
  ): Promise<unknown> | undefined {
    const callback = typeof callbackOrOptions === "function" ? callbackOrOptions : undefined;
    const options =
      (callback ? lastOptions : ((callbackOrOptions as CallOptions | null) ?? lastOptions)) ?? {};
    const calling = this.#connections.call(socket, command, args, options);
    if (!callback) return unwatched(calling);
    const failed = (error: unknown) => this.#reporter.error("a callback of rpc() threw", error);
    calling.then(
      (value) => callGuarded(() => callback(null, value), failed),
      (error: unknown) => callGuarded(() => callback(error), failed),
    );
    return undefined;
  }

  client<Actions>(socket: PendingSocket): ClientCalls<Actions, CallOptions> {
    return callable((path, [args, options]) => this.rpc(socket, path, args, options as CallOptions)) as never;
  }

  publish<Name extends Channel<Messages>>(channel: Name, data: Published<Messages, Name>): Promise<void> {
    return this.#channelCommands.publish(channel, data);
  }

  broadcast(data: unknown): Promise<void> {
    return this.#channelCommands.broadcast(data);
  }

  subscribe(socket: PendingSocket, channel: Channel<Messages>): Promise<void> {
    return this.#channelCommands.subscribe(socket, channel);
  }

  unsubscribe(socket: PendingSocket, channel: Channel<Messages>): Promise<void> {
    return this.#channelCommands.unsubscribe(socket, channel);
  }

  unsubscribeAll(channel: Channel<Messages>): Promise<void> {
    return this.#channelCommands.unsubscribeAll(channel);
  }

  send<Name extends Channel<Messages>>(
    socket: PendingSocket,
    channel: Name,
    message: Published<Messages, Name>,
  ): boolean {
    return this.#channelCommands.send(socket, channel, message);
  }

  disconnect(selector: Selector, options?: DisconnectOptions | null): Promise<number> {
    return this.#selectionCommands.disconnect(selector, options);
  }

  logout(req: Request, options?: LogoutOptions | null): Promise<void> {
    return this.#selectionCommands.logout(req, options ?? {});
  }

  refresh(selector: Selector): Promise<number> {
    return this.#selectionCommands.refresh(selector);
  }

  enableCleanup(ms = 5000): void {
    if (!(typeof ms === "number" && ms > 0 && ms < Infinity)) {
      throw new TypeError("ms must be a positive number of milliseconds");
    }
    if (!this.#closing) this.#connections.limitUnauthenticated(ms);
  }

  disableCleanup(): void {
    this.#connections.limitUnauthenticated(undefined);
  }

  health(): Health {
    const { client, subscriber } = this.#redis.health;
    const draining = this.#draining !== undefined || this.#closing !== undefined;
    return {
      ready: this.#startup.isReady && client && subscriber !== false && !draining,
      redis: { client, subscriber },
      sockets: this.#connections.size,
      draining,
    };
  }

  healthHandler(): RequestHandler {
    return healthHandler(() => this.health());
  }

  drain({ timeout = DRAIN_TIME }: { timeout?: number } = {}): Promise<void> {
    if (!(typeof timeout === "number" && timeout > 0 && timeout < Infinity)) {
      throw new TypeError("timeout must be a positive number of milliseconds");
    }
    this.#draining ??= this.#drain(timeout);
    return this.#draining;
  }

  async #drain(timeout: number): Promise<void> {
    this.#tokenRoute.pause();
    if (!this.#closing) await this.#connections.drain(timeout);
    await this.shutdown();
  }

  shutdown(): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  async #shutDown(): Promise<void> {
    this.#stopAccepting();
    this.#door.close();
    this.#tokenRoute.close();
    this.#clientFiles?.close();
    this.#peers.close();
    this.#redis.stopChecks();
    this.#startup.stop();
    this.#connections.close();
    this.#access.close();
    this.#identities.close();
    this.#channelSchemas.close();
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, SHUTDOWN_PATIENCE);
    });
    await Promise.race([this.#pubsub.close(), patience]);
    clearTimeout(timer);
    this.#redis.release();
  }

  /** Mounts routes; where the application cannot serve them, nothing stays behind. */
  #mount<Mounted>(app: Express, make: () => Mounted): Mounted {
    try {
      return mount(app, make);
    } catch (cause) {
      this.#redis.release();
      const message = "options.tokenRoute and options.serveClient must be paths that Express can serve";
      throw new TypeError(message, { cause });
    }
  }
};

/** A function that acts the first time alone. */
function once(act: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    act();
  };
}

/** For a promise that the caller may ignore: its rejection is then no unhandled one. */
function unwatched<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
