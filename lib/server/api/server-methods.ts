import type { Request, RequestHandler } from "express";
import type { Callback } from "../../shared/answer.js";
import type { CallOptions } from "../../shared/pending-calls.js";
import type { ClientCalls } from "../../shared/typed-calls.js";
import type { AuthenticationFunction } from "../auth/authentication.js";
import type { LogoutOptions } from "../auth/logout.js";
import type { DisconnectOptions, Selector } from "../auth/selectors.js";
import type { ServerEmitter } from "../events/events.js";
import type { Channel, Delivered, Published } from "../events/message-types.js";
import type { HistoryOptions, HistoryResult, PublishOptions } from "../history/kept-message.js";
import type { Health } from "../http/health.js";
import type { HttpServer } from "../http/interception.js";
import type { PresenceList } from "../presence/member.js";
import type { ServerInfo } from "../registry/registry.js";
import type { Routes } from "../routes/express-routes.js";
import type { AnySocket, PendingSocket, Socket, SockJSOptions } from "../transport/socket.js";
import type { Audience, FindOptions, FoundSockets, SocketCount, Target } from "./audience.js";

/**
 * The public methods and live properties of a `TokenSocketServer`, apart from `socketController`, whose functions are given
 * the server themselves: `rpc/controller.ts` adds it.
 */
export interface ServerMethods<Auth, Messages> extends ServerEmitter<Auth, Messages> {
  /**
   * Not there at run time: so that a server of some channels is none of others, but any is one without types. A type that is
   * worked out key by key lets TypeScript up to 5 compare what the methods take, too.
   */
  readonly "~types"?: { readonly [Name in keyof Messages]: Messages[Name] };

  /** The Express handlers that clients may call; what is added, replaced or removed counts from the next call on. */
  routes: Routes;

  /** Decides who gets a token; a new value counts from the next token request on. */
  authentication: string | AuthenticationFunction<NoInfer<Auth>>;

  /**
   * Resolves when the token route and the subscriptions serve. Nothing is lost before that: what comes early
   * waits for Redis. Where Redis cannot be used, or refuses a command that the server needs, the server tries again,
   * and tells so by an `error` event. Rejects only where `shutdown()` was called before.
   */
  ready(): Promise<void>;

  /**
   * Serves the clients of an HTTP server at `prefix`: WebSockets by `ws`, and the fallbacks by the SockJS server. It checks
   * requests and upgrades alike. Other paths go to the HTTP server's listeners.
   *
   * @param httpServer a server of Node.js, of `node:http` or `node:https`
   * @param sockjsOptions what SockJS's `installHandlers` takes, without the prefix
   * @throws TypeError where an argument is wrong; Error after `shutdown()`
   */
  attach(httpServer: HttpServer, sockjsOptions?: SockJSOptions | null): void;

  /**
   * The path of the client's script under a name that holds its hash, so that browsers may keep it for ever;
   * undefined where `serveClient` is false.
   */
  readonly clientUrl: string | undefined;

  /** This server's connections; those that have not authenticated have no `auth`. */
  sockets(): AnySocket<Auth>[];

  /** The names of the channels that sockets of this server have joined. */
  channels(): string[];

  /** This server's sockets in a channel. */
  channelSockets(channel: Channel<Messages>): Socket<Auth>[];

  /**
   * Calls a function of a client. `rpc(socket, command, args?, callback?, options?)`; the options may come
   * without a callback, too.
   *
   * @param command the dotted path of the client's function
   * @param args any JSON value, the function's argument
   * @returns the client's answer; undefined where a callback gets it
   * @throws (rejects with, or gives to the callback) `TimeoutError`, `AbortedError`, `DisconnectedError`,
   *   `UnauthorizedError` for a socket that has not authenticated, `CallError` with the code `busy` where
   *   `limits.callsInFlight` calls of this client are under way, `RemoteError` with what the client answered, or
   *   `TypeError` for arguments that are no JSON
   */
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

  /**
   * A client's functions as functions: `client<typeof actions>(socket).ui.confirm({ text })` is
   * `rpc(socket, "ui.confirm", { text })`, with the types that `Actions` has. One that is named `then` has to be called
   * by `rpc`.
   */
  client<Actions>(socket: PendingSocket): ClientCalls<Actions, CallOptions>;

  /**
   * Publishes a message on a channel, for the sockets of all servers and whoever else listens in Redis.
   *
   * @param data any JSON value
   * @param options `id`, the publisher's own id of the message: on a channel with history, the same id within five minutes
   *   gives the first message's position, and is not published again
   * @returns when Redis has taken it, with its position where the channel has a history
   * @throws (rejects with) `TypeError` for a channel that is reserved or no channel's name, or data that is no
   *   JSON; else what the Redis client says. A failure is reported as an `error` event, too; a `DisconnectedError`, after
   *   `shutdown()`, is only logged where `debug` is on.
   */
  publish<Name extends Channel<Messages>>(
    channel: Name,
    data: Published<Messages, Name>,
    options?: PublishOptions | null,
  ): Promise<string | undefined>;

  /**
   * Reads what a channel's history has, past the filter, which is for sockets.
   *
   * @param options `since`, a position: what came after it, at most `limit` messages; otherwise the newest messages, `before`
   *   a position or all, at most `last` (100)
   * @throws (rejects with) `TypeError` for wrong arguments, `Error` for a channel without a history, else what the Redis
   *   client says
   */
  history<Name extends Channel<Messages>>(
    channel: Name,
    options?: HistoryOptions | null,
  ): Promise<HistoryResult<Delivered<Messages, Name>>>;

  /**
   * Reads who is in a channel with presence, on all servers: what is in Redis, where nothing has to be asked of other servers.
   * `Info` and `State` are what its option's `info` and `state` give.
   *
   * @throws (rejects with) `TypeError` for a wrong channel, `Error` for a channel without presence, else what the Redis client
   *   says
   */
  presence<Info = unknown, State = unknown>(channel: Channel<Messages>): Promise<PresenceList<Info, State>>;

  /** Publishes a message on every channel that a socket of some server has joined; as `publish` otherwise. */
  broadcast(data: unknown): Promise<void>;

  /**
   * Lets a socket join a channel, without asking the guards.
   *
   * @returns when Redis has confirmed: a message published after that reaches the socket
   * @throws (rejects with) `TypeError` for a wrong channel, `DisconnectedError` for a socket that is not, or no
   *   longer, one of this server's, else what the Redis client says
   */
  subscribe(socket: PendingSocket, channel: Channel<Messages>): Promise<void>;

  /** Lets a socket leave a channel, without asking the guards; resolves when it has. */
  unsubscribe(socket: PendingSocket, channel: Channel<Messages>): Promise<void>;

  /** Lets all sockets of all servers leave a channel; resolves when this server's have and Redis has told the others. */
  unsubscribeAll(channel: Channel<Messages>): Promise<void>;

  /**
   * Sends a message to one socket alone, through the filter, whether it has joined the channel or not.
   *
   * @returns whether it was sent: not where the socket has closed or the filter gave nothing
   * @throws TypeError for a channel that is reserved or no channel's name, or a message that is no JSON
   */
  send<Name extends Channel<Messages>>(
    socket: PendingSocket,
    channel: Name,
    message: Published<Messages, Name>,
  ): boolean;

  /**
   * Closes sockets on all servers, also those whose server is away from Redis, as soon as it is back; and those whose
   * token was asked for before. Those of this server have closed when it returns.
   *
   * @param selector a socket, `{ sid }`, `{ identity }` (see the option `identify`) or `{ sessionId }`
   * @returns how many were closed, here and elsewhere as far as the others have answered within a second
   * @throws (rejects with) `TypeError` for what is no selector, or no code and reason; else what Redis says, or that
   *   it has said nothing: then only this server's are sure to have closed
   */
  disconnect(selector: Selector, options?: DisconnectOptions | null): Promise<number>;

  /**
   * Logs a user out: ends the request's session, by passport's `req.logout()` where there is one and otherwise by
   * `req.session.destroy()`, and closes the session's sockets on all servers. Whoever has got a token until the session
   * was gone is kept out, too.
   *
   * @param req a request with a session of express-session
   * @returns when the session is gone and its sockets are closed, as far as `disconnect` says so
   * @throws (rejects with) `TypeError` for a request without such a session, or no code and reason; what the session's
   *   store or passport says, and then the session may still be there; else what `disconnect` rejects with
   */
  logout(req: Request, options?: LogoutOptions | null): Promise<void>;

  /**
   * Asks the clients of sockets on all servers for a new token, and the guards again about the channels that these have
   * joined by their own requests, and about their calls and streams. For clients of version 3 only the guards are asked.
   *
   * @param selector as for `disconnect`
   * @returns how many sockets there are, as `disconnect` does
   */
  refresh(selector: Selector): Promise<number>;

  /**
   * The sockets of a target on all servers, to be sent to, called, joined to channels, refreshed or closed.
   *
   * @param target a socket, `{ sid }`, `{ identity }` (see the option `identify`), `{ sessionId }` or `{ channel }`
   * @throws TypeError for what is no target
   */
  to(target: Target): Audience<Messages>;

  /**
   * Counts the sockets of a target on all servers.
   *
   * @throws (rejects with) `TypeError` for what is no target; else what Redis says
   */
  count(target: Target): Promise<SocketCount>;

  /**
   * Finds the sockets of a target on all servers, a page at a time, in order of their `sid`.
   *
   * @throws (rejects with) `TypeError` for what is no target, no limit or no cursor; else what Redis says
   */
  find(target: Target, options?: FindOptions | null): Promise<FoundSockets>;

  /**
   * Lists the servers that share this one's Redis and `channelPrefix`: this one first, as it is now, and then those that have
   * written their entry within 15 s by the clock of Redis, which they do every 5 s. Without `pubsubClient` a server knows of
   * itself alone.
   *
   * @throws (rejects with) what the Redis client says
   */
  servers(): Promise<ServerInfo[]>;

  /**
   * Closes each unauthenticated connection when it is `ms` milliseconds old, those that are open as well. It is
   * on from the start, at `authTimeout`.
   */
  enableCleanup(ms?: number): void;

  /** Lets unauthenticated connections stay. They cost memory, and anybody can open them. */
  disableCleanup(): void;

  /** The server's readiness, as a load balancer needs it. */
  health(): Health;

  /** An Express handler that answers 200 where the server is ready, and 503 where it is not, with `health()` as JSON. */
  healthHandler(): RequestHandler;

  /**
   * Ends the server in a way that loses no call: it takes on no more clients, and asks those that it has to go, one after
   * the other, spread over most of `timeout`, so that the other servers are not stormed. They go when their calls have
   * ended, and come back to those. The sockets of clients that cannot be asked it closes then. Then it does what
   * `shutdown()` does. Close the HTTP server before: as long as it listens, a proxy sends those clients back to it.
   *
   * @param timeout milliseconds after which what is still there is closed; default 20,000, which is less than the 30 s
   *   after which Kubernetes, Heroku and others kill a process that was told to end
   * @returns when that is done
   */
  drain(options?: { timeout?: number }): Promise<void>;

  /**
   * Closes all sockets, unsubscribes, takes the token route out of service, lets nobody in where `attach` was
   * called, and lets go of the Redis clients, which stay open. All that is visible from here has happened when it returns.
   *
   * @returns when Redis has confirmed the end of the subscriptions, or 5 s have passed
   */
  shutdown(): Promise<void>;
}
