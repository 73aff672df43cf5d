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
import { answerBy } from "../shared/promises.js";
import type { ClientCalls } from "../shared/typed-calls.js";
import type { Audience, FindOptions, FoundSockets, SocketCount, Target } from "./api/audience.js";
import { expiring } from "./auth/expiry.js";
import type { LogoutOptions } from "./auth/logout.js";
import type { DisconnectOptions, Selector } from "./auth/selectors.js";
import { DRAIN_TIME } from "./connection/drain.js";
import { ServerEmitter } from "./events/events.js";
import type { Channel, Delivered, Published } from "./events/message-types.js";
import type { HistoryOptions, HistoryResult, PublishOptions } from "./history/kept-message.js";
import { type Health, healthHandler } from "./http/health.js";
import type { HttpServer } from "./http/interception.js";
import { checkTime } from "./limits/deadlines.js";
import type { ResolvedOptions, TokenSocketServerOptions } from "./options/options.js";
import { readOptions } from "./options/resolve.js";
import { checkOption } from "./options/rules.js";
import { warnOfUncallable } from "./options/uncallable.js";
import type { PresenceList } from "./presence/member.js";
import type { RedisClient } from "./redis/adapt.js";
import type { ServerInfo } from "./registry/registry.js";
import type { Routes } from "./routes/express-routes.js";
import type { Controller, TokenSocketServer as Server } from "./rpc/controller.js";
import { procedure } from "./rpc/procedure-maker.js";
import { call } from "./rpc/test-call.js";
import type { AnySocket, PendingSocket, Socket, SockJSOptions, SockJSServer } from "./transport/socket.js";
import { type ServerParts, wire } from "./wiring.js";

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

  readonly #parts: ServerParts<Auth>;

  constructor(
    app: Express,
    redisClient: RedisClient,
    socketServer: SockJSServer,
    options?: TokenSocketServerOptions<Auth, Messages> | null,
  ) {
    super();
    this.#parts = wire(this as unknown as Server<Auth>, { app, redisClient, socketServer, options });
  }

  get socketController(): Controller<Auth> {
    return this.#parts.options.socketController;
  }

  set socketController(controller: Controller<Auth>) {
    checkOption("socketController", controller);
    warnOfUncallable("socketController", controller, this.#parts.reporter);
    this.#parts.options.socketController = controller;
  }

  get routes(): Routes {
    return this.#parts.options.routes;
  }

  set routes(routes: Routes) {
    checkOption("routes", routes);
    warnOfUncallable("routes", routes, this.#parts.reporter);
    this.#parts.options.routes = routes;
  }

  get authentication(): ResolvedOptions<Auth>["authentication"] {
    return this.#parts.options.authentication;
  }

  set authentication(authentication: ResolvedOptions<Auth>["authentication"]) {
    checkOption("authentication", authentication);
    this.#parts.options.authentication = authentication;
  }

  ready(): Promise<void> {
    return this.#parts.lifecycle.ready();
  }

  attach(httpServer: HttpServer, sockjsOptions?: SockJSOptions | null): void {
    const { handshakes, clientFiles, lifecycle } = this.#parts;
    if (lifecycle.isClosed) throw new Error("The server has been shut down");
    handshakes.attach(httpServer, sockjsOptions ?? {}, clientFiles?.sockjsPath);
  }

  get clientUrl(): string | undefined {
    return this.#parts.clientFiles?.url;
  }

  sockets(): AnySocket<Auth>[] {
    return this.#parts.connections.sockets();
  }

  channels(): string[] {
    return this.#parts.channels.channels();
  }

  channelSockets(channel: Channel<Messages>): Socket<Auth>[] {
    return this.#parts.channels.sockets(channel);
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
    const { connections, reporter } = this.#parts;
    const calling = connections.call(socket, command, args, options);
    if (callback) {
      answerBy(callback, calling, (error) => reporter.error("a callback of rpc() threw", error));
      return undefined;
    }
    // the caller may ignore it
    calling.catch(() => {});
    return calling;
  }

  client<Actions>(socket: PendingSocket): ClientCalls<Actions, CallOptions> {
    return callable((path, [args, options]) => this.rpc(socket, path, args, options as CallOptions)) as never;
  }

  publish<Name extends Channel<Messages>>(
    channel: Name,
    data: Published<Messages, Name>,
    options?: PublishOptions | null,
  ): Promise<string | undefined> {
    return this.#parts.channels.publish(channel, data, options ?? {});
  }

  history<Name extends Channel<Messages>>(
    channel: Name,
    options?: HistoryOptions | null,
  ): Promise<HistoryResult<Delivered<Messages, Name>>> {
    return this.#parts.channels.history(channel, options ?? {}) as never;
  }

  presence<Info = unknown, State = unknown>(channel: Channel<Messages>): Promise<PresenceList<Info, State>> {
    return this.#parts.channels.presence(channel) as never;
  }

  broadcast(data: unknown): Promise<void> {
    return this.#parts.channels.broadcast(data);
  }

  subscribe(socket: PendingSocket, channel: Channel<Messages>): Promise<void> {
    return this.#parts.channels.subscribe(socket, channel);
  }

  unsubscribe(socket: PendingSocket, channel: Channel<Messages>): Promise<void> {
    return this.#parts.channels.unsubscribe(socket, channel);
  }

  unsubscribeAll(channel: Channel<Messages>): Promise<void> {
    return this.#parts.channels.unsubscribeAll(channel);
  }

  send<Name extends Channel<Messages>>(
    socket: PendingSocket,
    channel: Name,
    message: Published<Messages, Name>,
  ): boolean {
    return this.#parts.channels.send(socket, channel, message);
  }

  disconnect(selector: Selector, options?: DisconnectOptions | null): Promise<number> {
    return this.#parts.selections.disconnect(selector, options);
  }

  logout(req: Request, options?: LogoutOptions | null): Promise<void> {
    return this.#parts.selections.logout(req, options ?? {});
  }

  refresh(selector: Selector): Promise<number> {
    return this.#parts.selections.refresh(selector);
  }

  to(target: Target): Audience<Messages> {
    return this.#parts.audiences.to(target);
  }

  count(target: Target): Promise<SocketCount> {
    return this.#parts.audiences.count(target);
  }

  find(target: Target, options?: FindOptions | null): Promise<FoundSockets> {
    return this.#parts.audiences.find(target, options ?? {});
  }

  servers(): Promise<ServerInfo[]> {
    return this.#parts.selections.servers();
  }

  enableCleanup(ms = 5000): void {
    checkTime("ms", ms);
    const { connections, lifecycle } = this.#parts;
    if (!lifecycle.isClosed) connections.limitUnauthenticated(ms);
  }

  disableCleanup(): void {
    this.#parts.connections.limitUnauthenticated(undefined);
  }

  health(): Health {
    return this.#parts.lifecycle.health();
  }

  healthHandler(): RequestHandler {
    return healthHandler(() => this.health());
  }

  drain(options?: { timeout?: number }): Promise<void> {
    const { timeout = DRAIN_TIME } = readOptions(options, ["timeout"], "drain()") as { timeout?: number };
    checkTime("timeout", timeout);
    return this.#parts.lifecycle.drain(timeout);
  }

  shutdown(): Promise<void> {
    return this.#parts.lifecycle.shutdown();
  }
};
