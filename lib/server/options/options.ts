import type { RequestHandler } from "express";
import type { AuthenticationFunction } from "../auth/authentication.js";
import type { ShowIdentity } from "../auth/shown-identity.js";
import type { TokenBinding } from "../auth/token-binding.js";
import type { Identify, VerifyToken } from "../auth/token-verifier.js";
import type { Channels } from "../channels/channel-schemas.js";
import type { SlowReaderPolicy } from "../channels/slow-readers.js";
import type { Filter } from "../events/message-types.js";
import type { ChannelHistory } from "../history/history-option.js";
import type { OriginFunction } from "../http/origins.js";
import type { VerifyFunction } from "../http/verify-connection.js";
import type { Limits } from "../limits/limits.js";
import type { Logger } from "../log/reporter.js";
import type { ChannelPresence } from "../presence/presence-option.js";
import type { RedisClient } from "../redis/adapt.js";
import type { Routes } from "../routes/express-routes.js";
import type { Controller } from "../rpc/controller.js";
import type { WebSocketOptions } from "../transport/websockets.js";

/** The options of a `TokenSocketServer`. All may be absent; all times are in milliseconds. */
export interface TokenSocketServerOptions<Auth = Record<string, unknown>, Messages = unknown> {
  /** The route prefix that the SockJS server is bound to. Default `"/sockets"`. */
  prefix?: string | null | undefined;
  /** The path of the token route, not below `prefix`. Default `"/socket/token"`. */
  tokenRoute?: string | null | undefined;
  /**
   * A second Redis client, for subscriptions. Default none: pub/sub is off, and using it is an error that says
   * so. It may not be `redisClient`, since a client that has subscribed serves nothing else; the embedded
   * client may.
   */
  pubsubClient?: RedisClient | null | undefined;
  /**
   * Put before every channel's name in Redis, the reserved ones included, so that several applications can
   * share one Redis. Default `""`. Changing it parts the servers that have it from those that have not.
   */
  channelPrefix?: string | null | undefined;
  /** The RPC functions, nested. Default `{}`. Also a live property of the server. */
  socketController?: Controller<Auth> | null | undefined;
  /**
   * Schemas of the messages that clients may publish, by the channels' names; a `*` at the end of a name stands for
   * anything. What does not satisfy its schema is refused, and what the schema makes of it is what the guards
   * see and what is published. Default `{}`: anything, anywhere. It holds for neither broadcasts nor the server's own
   * `publish`.
   */
  channels?: Channels | null | undefined;
  /** Express handlers that clients may call, nested. Default `{}`. Also a live property of the server. */
  routes?: Routes | null | undefined;
  /** Middleware that runs before the token route's own handler: one or an array. Default none. */
  customMiddleware?: RequestHandler | RequestHandler[] | null | undefined;
  /**
   * Decides who gets a token: the name of a session property, or a function `(req, callback)` or `(req)`. An object
   * becomes the socket's `auth`; another truthy value attaches the session's data; a falsy one is a 403. An
   * error given to the callback is a 500 with its message, a throw or a rejection a 500 "Internal error".
   * An identity may end: `callback(null, auth, { expiresAt })`, or the result `expiring(auth, expiresAt)`; one that
   * is the session's ends with the session otherwise.
   * Default `"auth"`. Also a live property of the server.
   */
  authentication?: string | AuthenticationFunction<NoInfer<Auth>> | null | undefined;
  /**
   * Gives the key of an identity, a string or a number, or a promise of one, which `limits.authenticationTimeout` bounds: a socket may get a new token of the same identity only, and
   * `disconnect` and `refresh` find it by that. What it throws keeps the socket out. Default none: any new token
   * replaces the identity.
   */
  identify?: Identify<Auth> | null | undefined;
  /**
   * Gives what a client is shown of its own identity, as its `socket.identity`: any JSON of at most
   * `limits.identityBytes`, or undefined for nothing. Called for each token of a client that asks, at once, before the
   * client is told that it is in. Where it throws, or gives anything else, the client is shown nothing, and the error
   * is reported. Default none: nothing is shown. Whatever script runs in the user's page can read what is.
   */
  showIdentity?: ShowIdentity<Auth> | null | undefined;
  /**
   * Called with a token that is no uuid, such as a JWT, and the socket that presents it. Gives `{ auth, expiresAt? }`; a
   * throw, as of what it cannot verify, refuses the token. Default none: such a token is refused.
   */
  verifyToken?: VerifyToken<Auth> | null | undefined;
  /**
   * Called synchronously for each message and socket with a copy of the message; what it returns is sent to
   * that socket, and a falsy value sends nothing. A throw withholds the message from that socket and is
   * reported. Default none. With one, a message is encoded for each socket instead of once for all.
   */
  filter?: Filter<Auth, Messages> | null | undefined;
  /**
   * The policy for a channel's messages to a socket that reads too slowly, by the channels' names; a `*` at the end of
   * a name stands for anything: `"close"`, `"dropOldest"`, `"latest"` or `{ latest: (message) => key }`. Default `{}`:
   * the socket is closed when more than `limits.bufferedBytes` wait. With another policy the client misses messages; it
   * is told how many on a channel with history, if it asks, and otherwise not.
   */
  slowReaders?: { [channel: string]: SlowReaderPolicy } | null | undefined;
  /**
   * What is kept of channels' messages, by the channels' names; a `*` at the end of a name stands for anything:
   * `{ size, ttl, positionTtl? }`, messages and milliseconds. Default `{}`: nothing. With a history, a message is published by
   * a script that keeps it, and one that cannot be kept is not sent. It costs Redis the memory of `size` messages for each
   * channel, and several times the time of a publish.
   */
  history?: { [channel: string]: ChannelHistory } | null | undefined;
  /**
   * The channels whose members are known, by their names; a `*` at the end of a name stands for anything:
   * `{ info?, state?, grace?, limit?, events? }`. It needs `identify`: a member is an identity, however many sockets it has.
   * Default `{}`: none. With it, a join and a leave are one command of Redis more each, and members who do nothing cost none.
   */
  presence?: { [channel: string]: ChannelPresence<Auth> } | null | undefined;
  /** Options of `ws` for the WebSockets that `attach` opens. Default `{}`. */
  webSocket?: WebSocketOptions | null | undefined;
  /**
   * The interval of heartbeats for clients on transports without SockJS's heartbeats: the plain WebSocket gets a ping,
   * streaming responses end and have to be asked for anew. A client that has gone without a word is closed with 4411 within
   * 10 s more. Default 25,000. `false`: never; then such a client stays until TCP gives it up, which may take hours.
   */
  heartbeat?: number | false | null | undefined;
  /** Answer `_ping`. Default `false`. */
  ping?: boolean | null | undefined;
  /** Log relevant actions, without tokens or session contents. Default `false`; it costs a line for each. */
  debug?: boolean | null | undefined;
  /** The logger of all log lines. Default the console. */
  logger?: Logger | null | undefined;
  /**
   * Tell clients the messages of errors that were thrown, for development. Default `false`: they see "Internal
   * error". Switched on, whatever your libraries put into an error's message goes to the client.
   */
  exposeErrors?: boolean | null | undefined;
  /** A token's life. Default 30,000. A longer one gives a stolen token longer to be used. */
  tokenTtl?: number | null | undefined;
  /**
   * A token's key in Redis is this and the token. The default holds `channelPrefix` and `tokenRoute`, so that
   * a token of one application or route is none of another's.
   */
  tokenPrefix?: string | null | undefined;
  /**
   * The binding of a token: `"ip"`, connections of the IP that asked for it; `"nonce"`, those whose
   * `auth` frame has the `nonce` that the token request had; `false`, any. Default `false`. `"ip"` shuts out clients whose
   * address changes between the two, `"nonce"` those that send none.
   */
  tokenBinding?: TokenBinding | null | undefined;
  /** Connections that have not authenticated are closed after this time. Default `tokenTtl`. */
  authTimeout?: number | null | undefined;
  /**
   * The origins of other pages that may ask for tokens, with the user's cookies, and open connections: a list, a
   * pattern that has to fit the whole origin, or a function `(origin, req)` that returns true or false. What it throws
   * refuses, and is reported. The request's own origin always may. Default none. Each origin that is allowed can do
   * whatever the user who visits it can.
   */
  allowedOrigins?: readonly string[] | RegExp | OriginFunction | null | undefined;
  /**
   * Whether upgrades and POST requests may come without `Origin`, as from programs. Default `true`; `false` lets just
   * browsers in, and programs that say what browsers say.
   */
  allowMissingOrigin?: boolean | null | undefined;
  /**
   * Decides on each connection before it is opened, where `attach` was called: `(req)` returns, or resolves with, true,
   * `{ data }` for the socket's `data`, or `{ status, reason }`, with which it is refused. All else is a 403, a throw a
   * 500 that is reported, and no answer within `authTimeout` a 503. Default none.
   */
  verifyConnection?: VerifyFunction | null | undefined;
  /**
   * The pages that may use JSONP on the token route: `"same-origin"`, a list of further origins, or `false` for nobody.
   * Default `"same-origin"`. Each origin in the list can obtain tokens as the user who visits it.
   */
  jsonp?: "same-origin" | readonly string[] | false | null | undefined;
  /**
   * The path at which pages without a bundler get the client's script; `sockjs.js` is beside it. `false`: nowhere.
   * Default `"/socket/client.js"`.
   */
  serveClient?: string | false | null | undefined;
  /** Bounds on what one client may cost. Each has a default of its own. */
  limits?: { [Name in keyof Limits]?: Limits[Name] | null | undefined } | null | undefined;
}

/** The options as the server uses them. */
export type ResolvedOptions<Auth> = {
  [Name in keyof TokenSocketServerOptions<Auth>]-?: NonNullable<TokenSocketServerOptions<Auth>[Name]>;
} extends infer All extends Record<Optional, unknown>
  ? Omit<All, Optional | "limits"> & { [Name in Optional]: All[Name] | undefined } & { limits: Limits }
  : never;

/** The options without which the server goes. */
type Optional =
  | "pubsubClient"
  | "customMiddleware"
  | "identify"
  | "showIdentity"
  | "verifyToken"
  | "filter"
  | "allowedOrigins"
  | "verifyConnection";
