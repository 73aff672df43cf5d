import type { IncomingMessage } from "node:http";
import type { Request, RequestHandler } from "express";
import { isStandardSchema } from "../shared/standard-schema.js";
import type { ExpiresAt, Expiring } from "./auth/expiry.js";
import type { TokenBinding } from "./auth/token-binding.js";
import { isByChannel } from "./channels/by-channel.js";
import type { Channels } from "./channels/channel-schemas.js";
import { isSlowReaderPolicy, type SlowReaderPolicy } from "./channels/slow-readers.js";
import type { FilterArguments } from "./events/message-types.js";
import type { Logger } from "./events/reporter.js";
import { isOrigin } from "./http/origins.js";
import type { VerifyFunction } from "./http/verify-connection.js";
import type { RedisClient } from "./redis/adapt.js";
import type { Routes } from "./routes/express-routes.js";
import type { Controller } from "./rpc/controller.js";
import type { PendingSocket, Socket } from "./transport/socket.js";

/**
 * What `authentication` answers: an identity; another value that is true, which stands for the session's data; or one that is
 * not, which refuses. Where `Auth` may have any keys nothing is known of it.
 */
export type AuthenticationResult<Auth> = string extends keyof Auth
  ? unknown
  : Auth | Expiring<Auth> | string | number | boolean | null | undefined;

/** Who gets a token. The first parameter is the token request; a falsy answer is a 403. */
export type AuthenticationFunction<Auth = Record<string, unknown>> = {
  // a method's parameters may be narrowed, so that handlers may name a request type of their own
  bivariant(
    req: Request,
    callback: (
      error?: unknown,
      auth?: AuthenticationResult<Auth>,
      options?: { expiresAt?: ExpiresAt | null | undefined } | null,
    ) => void,
    // biome-ignore lint/suspicious/noConfusingVoidType: one that answers by the callback returns nothing
  ): AuthenticationResult<Auth> | PromiseLike<AuthenticationResult<Auth>> | void;
}["bivariant"];

/** Gives an identity's key; see `TokenSocketServerOptions.identify`. */
export type Identify<Auth> = {
  bivariant(auth: Auth): string | number | PromiseLike<string | number>;
}["bivariant"];

/** The identity that a token stands for. */
export interface VerifiedToken<Auth> {
  auth: Auth;
  expiresAt?: ExpiresAt | null | undefined;
}

/** Whom a token that is not of the token route lets in; see `TokenSocketServerOptions.verifyToken`. */
export type VerifyToken<Auth> = {
  bivariant(token: string, socket: PendingSocket): VerifiedToken<Auth> | PromiseLike<VerifiedToken<Auth>>;
}["bivariant"];

/** Decides what of a message one socket gets; see `TokenSocketServerOptions.filter`. */
export type Filter<Auth, Messages = unknown> = {
  bivariant(...args: FilterArguments<Socket<Auth>, Messages>): unknown;
}["bivariant"];

/** Says whether pages of another origin may connect; see `TokenSocketServerOptions.allowedOrigins`. */
export type OriginFunction = (origin: string, req: Request) => boolean;

/**
 * Options of the WebSockets that `attach` opens, as the `WebSocketServer` of `ws` takes them. Its others are the server's
 * own to set.
 */
export interface WebSocketOptions {
  /**
   * Compression of messages (RFC 7692), as `ws` takes it: `true`, or its options. Default `false`. It costs up to 300 KB of
   * memory and a few times the CPU for each socket that agrees on it, and each of its messages is encoded and compressed by
   * itself instead of once for all readers. Worth it for large texts on slow lines.
   */
  perMessageDeflate?: boolean | object | undefined;
  /**
   * Chooses one of the subprotocols that a client offers, or none by `false`. Default: none.
   */
  handleProtocols?: ((protocols: Set<string>, req: IncomingMessage) => string | false) | undefined;
}

/** Bounds on what one client may cost. Raising one costs memory or time for each client that goes to the bound. */
export interface Limits {
  /** Levels of nested arrays and objects in one frame; a deeper one is answered "Invalid message". Default 128. */
  jsonDepth: number;
  /**
   * Values in one frame, of which an empty object or array counts as two; one with more is answered "Invalid message".
   * Default 20,000. In memory a value may take twenty times what it takes as text.
   */
  jsonValues: number;
  /**
   * Bytes of one message, past which its socket is closed. Default 65,536. Where `attach` was called, a POST body and
   * a WebSocket frame, which may carry several, are bounded at 16 times that as they arrive: the body is answered 413,
   * the frame closes its connection with 1009.
   */
  messageBytes: number;
  /**
   * Milliseconds that a POST body may take, for the token route, and for SockJS where `attach` was called; then it is
   * answered 408. Default 20,000.
   */
  bodyTimeout: number;
  /**
   * Connections of one IP at once, where `attach` was called; more are answered 429. Default Infinity: without `trust
   * proxy` all users have the proxy's, and those of one company may share one.
   */
  connectionsPerIp: number;
  /**
   * Connections of one identity at once, as the option `identify` tells them apart, on this server; a further one is
   * closed with 4430. Default Infinity. A low one keeps out users with many pages.
   */
  connectionsPerIdentity: number;
  /**
   * Tokens of one session that this server has issued and that have neither been redeemed here nor expired; a request for
   * a further one is answered 429. Default 100. A lower one keeps out users with many pages, a higher one lets each
   * session fill Redis with more tokens.
   */
  tokensPerSession: number;
  /**
   * Likewise those of one IP, of one /64 network for IPv6. Default 10,000: without `trust proxy` all users have the proxy's,
   * and those of one company may share one. With `trust proxy`, a lower one lets strangers fill Redis with fewer.
   */
  tokensPerIp: number;
  /**
   * Connections at once that have not authenticated, where `attach` was called; more are answered 503. Default 10,000. A
   * lower one lets fewer strangers keep users out.
   */
  unauthenticatedConnections: number;
  /**
   * Connections at once of one address that have not authenticated, where `attach` was called; more are answered 429.
   * Addresses of IPv6 count by /64. Default a tenth of `unauthenticatedConnections`, and 16 at least. A higher one lets fewer
   * addresses keep users out, a lower one keeps out many users behind one address who come at once.
   */
  unauthenticatedConnectionsPerIp: number;
  /**
   * Bytes of unfinished messages and `POST` bodies of those that have not authenticated, all together, for the token route,
   * and for SockJS where `attach` was called. Past it, whoever sends on and has more than an equal share is closed with
   * 4413, or answered 503. Default 33,554,432. A higher one lets strangers
   * take more memory, a lower one lets them keep out those whose first message comes in pieces.
   */
  unauthenticatedBytes: number;
  /** UTF-16 code units in a channel's name; a request with a longer one is answered "Invalid request". Default 256. */
  channelNameLength: number;
  /**
   * UTF-16 code units in a request's `uuid`, which each answer and each item of a stream repeats; a request with a longer one
   * is answered "Invalid request", without it. Default 256.
   */
  idLength: number;
  /** UTF-16 code units in a token that `verifyToken` gets; a longer one is refused. Default 8192. */
  tokenLength: number;
  /** UTF-16 code units in an RPC path; a longer one is answered "Function not found". Default 256. */
  pathLength: number;
  /**
   * A socket's channel requests that wait for listeners or Redis, past which they are refused with "Too many
   * requests", and its frames that wait while it authenticates, past which it is closed. Default 1000.
   */
  framesWaiting: number;
  /** Bytes in the frames that wait while a socket authenticates, past which it is closed. Default 1,048,576. */
  bytesWaiting: number;
  /**
   * Milliseconds that Redis may take to store or to redeem a token; then the token route answers 503, or the
   * socket is closed, and the client tries again. Default 4000.
   */
  redisTimeout: number;
  /**
   * Frames that a socket may send each second, on average. More wait, up to `framesWaiting` and `bytesWaiting`, and past
   * these the socket is closed. Default 500. `Infinity`: as many as it likes.
   */
  framesPerSecond: number;
  /** Frames that a socket may send at once after a quiet time. Default 1000. `Infinity` likewise. */
  frameBurst: number;
  /**
   * Bytes of frames that a socket may send each second, on average. More wait, likewise. Default 1,048,576. With a higher
   * one, whoever may publish can have readers closed who read less than that. `Infinity`: as many as it likes.
   */
  bytesPerSecond: number;
  /** Bytes of frames that a socket may send at once after a quiet time. Default 16,777,216. `Infinity` likewise. */
  byteBurst: number;
  /**
   * Frames that the sockets of one identity may send each second together, on all servers, as the option `identify` tells
   * identities apart. More wait, as with `framesPerSecond`. Default Infinity. Each server asks Redis for a twentieth of it
   * at a time, by a script (`EVAL`), so that a low one costs Redis a command for every frame; where Redis does not answer,
   * each server counts alone.
   */
  identityFramesPerSecond: number;
  /** Bytes of frames that they may send each second together, likewise. Default Infinity. */
  identityBytesPerSecond: number;
  /**
   * Calls of a socket that are under way, its streams among them, past which further ones are refused with "Too many
   * requests"; likewise the calls of one client that the server makes. Default 1000. `Infinity`: no limit.
   */
  callsInFlight: number;
  /**
   * Bytes of the frames of a socket's calls that are under way, its streams among them, past which further ones are
   * refused with "Too many requests". Default 4,194,304. What functions are called with stays in memory as long as they
   * use it, and takes several times that. `Infinity`: no limit.
   */
  callBytes: number;
  /** Channels that a socket may be in by its own doing; further ones are refused. Default 1000. `Infinity`: no limit. */
  channelsPerSocket: number;
  /**
   * Channels that the sockets of one identity may be in by their own doing, on this server, each socket's counted; further
   * ones are refused. Default Infinity. A low one keeps out users with many pages.
   */
  channelsPerIdentity: number;
  /**
   * Milliseconds that a function, a procedure or a route may take to answer; then its signal fires, the client gets the
   * error `timeout`, and an `error` event has its path. A stream may last as long as it likes. Default 30,000. `Infinity`: no limit.
   */
  functionTimeout: number;
  /** Milliseconds that a listener, or the schema of a channel, may take to decide; then the request is refused. Default 10,000. `Infinity` likewise. */
  listenerTimeout: number;
  /**
   * Milliseconds that the `authentication` function, a listener of that name, `verifyToken` or `identify` may take; then the token route
   * answers 503, or the socket is closed with 4503, and the client comes back. Default 10,000. `Infinity` likewise.
   */
  authenticationTimeout: number;
  /**
   * Bytes that may wait for a socket that reads too slowly, on any transport, before it is closed with 4509 or messages
   * are dropped, see `slowReaders`; a single larger frame may still be sent. Default 1,048,576. A larger one costs memory
   * for each slow reader, a smaller one closes sockets on slow networks.
   */
  bufferedBytes: number;
  /**
   * Milliseconds that a socket stays open after its identity has expired, for the client to present a new token.
   * Default 25,000.
   */
  expiryGrace: number;
  /** Bytes in the body of a route's response; a larger one fails its call. Default 16,777,216. */
  routeResponseBytes: number;
}

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
   * anything. What does not satisfy its schema is refused, and what the schema makes of it is what the listeners
   * see and what is published. Default `{}`: anything, anywhere. It holds for neither broadcasts nor the server's own
   * `publish`.
   */
  channels?: Channels | null | undefined;
  /** Express handlers that clients may call, nested. Default `{}`. Also a live property of the server. */
  routes?: Routes | null | undefined;
  /** Middleware that runs before the token route's own handler: one or an array. Default none. */
  customMiddleware?: RequestHandler | RequestHandler[] | null | undefined;
  /**
   * Who gets a token: the name of a session property, or a function `(req, callback)` or `(req)`. An object
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
   * What becomes of a channel's messages to a socket that reads too slowly, by the channels' names; a `*` at the end of
   * a name stands for anything: `"close"`, `"dropOldest"`, `"latest"` or `{ latest: (message) => key }`. Default `{}`:
   * the socket is closed when more than `limits.bufferedBytes` wait. With another policy the client misses messages and
   * is not told.
   */
  slowReaders?: { [channel: string]: SlowReaderPolicy } | null | undefined;
  /** Options of `ws` for the WebSockets that `attach` opens. Default `{}`. */
  webSocket?: WebSocketOptions | null | undefined;
  /**
   * How often to look after clients on transports that SockJS does not look after: the plain WebSocket gets a ping,
   * streaming responses end and have to be asked for anew. A client that has gone without a word is closed with 4411 within
   * 10 s more. Default 25,000. `false`: never; then such a client stays until TCP gives it up, which may take hours.
   */
  heartbeat?: number | false | null | undefined;
  /** Answer `_ping`. Default `false`. */
  ping?: boolean | null | undefined;
  /** Log relevant actions, without tokens or session contents. Default `false`; it costs a line for each. */
  debug?: boolean | null | undefined;
  /** Where log lines go. Default the console. */
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
   * What a token is good for, apart from time: `"ip"`, connections of the IP that asked for it; `"nonce"`, those whose
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
   * Who may use JSONP on the token route: `"same-origin"`, a list of further origins, or `false` for nobody.
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
  | "verifyToken"
  | "filter"
  | "allowedOrigins"
  | "verifyConnection";

interface Rule {
  readonly expected: string;
  accepts(value: unknown): boolean;
}

const text: Rule = { expected: "a string", accepts: (value) => typeof value === "string" };
const path: Rule = {
  expected: 'a path that begins with "/"',
  accepts: (value) => typeof value === "string" && value.startsWith("/"),
};
const flag: Rule = { expected: "true or false", accepts: (value) => typeof value === "boolean" };
const milliseconds: Rule = { expected: "a positive number of milliseconds", accepts: isPositive };
const bound: Rule = {
  expected: "a positive whole number",
  accepts: (value) => isPositive(value) && Number.isInteger(value),
};
const nested: Rule = { expected: "an object", accepts: isNested };
const fn: Rule = { expected: "a function", accepts: isFunction };

const WEB_SOCKET_OPTIONS: readonly string[] = ["perMessageDeflate", "handleProtocols"];

/** The rule for each option. */
const RULES: { readonly [Name in keyof TokenSocketServerOptions]-?: Rule } = {
  prefix: { expected: 'a string that begins with "/", or ""', accepts: (v) => v === "" || path.accepts(v) },
  tokenRoute: path,
  pubsubClient: {
    expected: "a Redis client",
    accepts: (value) => typeof value === "object" || isFunction(value),
  },
  channelPrefix: text,
  socketController: nested,
  channels: {
    expected: "an object of schemas by channels' names, with no * but at a name's end",
    accepts: (value) => isByChannel(value, isStandardSchema),
  },
  routes: nested,
  customMiddleware: {
    expected: "a middleware function or an array of them",
    accepts: (value) => isFunction(value) || (Array.isArray(value) && value.every(isFunction)),
  },
  authentication: {
    expected: "the name of a session property or a function",
    accepts: (value) => (typeof value === "string" && value !== "") || isFunction(value),
  },
  identify: fn,
  verifyToken: fn,
  filter: fn,
  slowReaders: {
    expected:
      'an object of "close", "dropOldest", "latest" or { latest: a function } by channels\' names, with no * but at a name\'s end',
    accepts: (value) => isByChannel(value, isSlowReaderPolicy),
  },
  webSocket: {
    expected: "an object with perMessageDeflate and handleProtocols alone, as ws takes them",
    accepts: (value) =>
      isNested(value) && Object.keys(value as object).every((name) => WEB_SOCKET_OPTIONS.includes(name)),
  },
  heartbeat: {
    expected: "a positive number of milliseconds, or false",
    accepts: (value) => value === false || milliseconds.accepts(value),
  },
  ping: flag,
  debug: flag,
  logger: {
    expected: "a logger with the methods error, warn and info",
    accepts: (value) =>
      typeof value === "object" &&
      value !== null &&
      ["error", "warn", "info"].every((level) => isFunction((value as Record<string, unknown>)[level])),
  },
  exposeErrors: flag,
  tokenTtl: bound,
  tokenPrefix: text,
  tokenBinding: {
    expected: '"ip", "nonce" or false',
    accepts: (value) => value === "ip" || value === "nonce" || value === false,
  },
  authTimeout: milliseconds,
  allowedOrigins: {
    expected: 'a list of origins such as "https://example.com", a regular expression or a function',
    accepts: (value) =>
      value instanceof RegExp || isFunction(value) || (Array.isArray(value) && value.every(isOrigin)),
  },
  allowMissingOrigin: flag,
  verifyConnection: fn,
  jsonp: {
    expected: '"same-origin", a list of origins such as "https://example.com", or false',
    accepts: (value) =>
      value === false || value === "same-origin" || (Array.isArray(value) && value.every(isOrigin)),
  },
  serveClient: {
    expected: 'a path that begins with "/" and ends with ".js", or false',
    accepts: (value) => value === false || (path.accepts(value) && String(value).endsWith(".js")),
  },
  limits: { expected: "an object", accepts: isNested },
};

/** Each limit's default. */
export const DEFAULT_LIMITS: Readonly<Limits> = {
  jsonDepth: 128,
  jsonValues: 20_000,
  messageBytes: 65_536,
  bodyTimeout: 20_000,
  unauthenticatedConnections: 10_000,
  unauthenticatedConnectionsPerIp: 1000,
  unauthenticatedBytes: 33_554_432,
  channelNameLength: 256,
  idLength: 256,
  tokenLength: 8192,
  pathLength: 256,
  framesWaiting: 1000,
  bytesWaiting: 1_048_576,
  redisTimeout: 4_000,
  framesPerSecond: 500,
  frameBurst: 1000,
  bytesPerSecond: 1_048_576,
  byteBurst: 16_777_216,
  identityFramesPerSecond: Number.POSITIVE_INFINITY,
  identityBytesPerSecond: Number.POSITIVE_INFINITY,
  callsInFlight: 1000,
  callBytes: 4_194_304,
  channelsPerSocket: 1000,
  channelsPerIdentity: Number.POSITIVE_INFINITY,
  connectionsPerIp: Number.POSITIVE_INFINITY,
  connectionsPerIdentity: Number.POSITIVE_INFINITY,
  tokensPerSession: 100,
  tokensPerIp: 10_000,
  functionTimeout: 30_000,
  listenerTimeout: 10_000,
  authenticationTimeout: 10_000,
  bufferedBytes: 1_048_576,
  expiryGrace: 25_000,
  routeResponseBytes: 16_777_216,
};

/** Connections of one address that may be unauthenticated in any case: a browser opens several. */
const LEAST_SHARE = 16;

/** The limits that `Infinity` turns off. */
const MAY_BE_OFF: ReadonlySet<string> = new Set<keyof Limits>([
  "framesPerSecond",
  "frameBurst",
  "bytesPerSecond",
  "byteBurst",
  "identityFramesPerSecond",
  "identityBytesPerSecond",
  "callsInFlight",
  "callBytes",
  "channelsPerSocket",
  "channelsPerIdentity",
  "connectionsPerIp",
  "connectionsPerIdentity",
  "tokensPerSession",
  "tokensPerIp",
  "functionTimeout",
  "listenerTimeout",
  "authenticationTimeout",
]);

/** The limits that need the option `identify`. */
const BY_IDENTITY = [
  "connectionsPerIdentity",
  "channelsPerIdentity",
  "identityFramesPerSecond",
  "identityBytesPerSecond",
] as const;

/** Checks the options and fills in the defaults. Throws a `TypeError` that names the option. */
export function resolveOptions<Auth>(given: unknown): ResolvedOptions<Auth> {
  if (given !== undefined && given !== null && !isNested(given)) {
    throw new TypeError(`options must be an object, not ${show(given)}`);
  }
  const options = withoutAbsent(given ?? {}) as Partial<ResolvedOptions<Auth>>;
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(RULES, name)) throw new TypeError(`options.${name} is no option of TokenSocketServer`);
    checkOption(name as keyof typeof RULES, value);
  }
  const {
    prefix = "/sockets",
    tokenRoute = "/socket/token",
    channelPrefix = "",
    tokenTtl = 30_000,
    tokenPrefix = `token-sockjs:${channelPrefix}${tokenRoute}:`,
  } = options;
  if (prefix !== "" && `${tokenRoute}/`.startsWith(`${prefix}/`)) {
    throw new TypeError(
      "options.tokenRoute must not lie below options.prefix, where SockJS answers all requests",
    );
  }
  const limits = resolveLimits(options.limits);
  for (const name of BY_IDENTITY) {
    if (limits[name] === Infinity || options.identify) continue;
    throw new TypeError(`options.limits.${name} needs options.identify, which tells identities apart`);
  }
  return {
    pubsubClient: undefined,
    socketController: {},
    channels: {},
    routes: {},
    customMiddleware: undefined,
    authentication: "auth",
    identify: undefined,
    verifyToken: undefined,
    filter: undefined,
    slowReaders: {},
    webSocket: {},
    heartbeat: 25_000,
    ping: false,
    debug: false,
    logger: console,
    exposeErrors: false,
    tokenBinding: false,
    authTimeout: tokenTtl,
    allowedOrigins: undefined,
    allowMissingOrigin: true,
    verifyConnection: undefined,
    jsonp: "same-origin",
    serveClient: "/socket/client.js",
    ...options,
    prefix,
    tokenRoute,
    channelPrefix,
    tokenTtl,
    tokenPrefix,
    limits,
  };
}

/** Checks one option's value, also where it is set on the server later. */
export function checkOption(name: keyof TokenSocketServerOptions, value: unknown): void {
  const rule = RULES[name];
  if (!rule.accepts(value))
    throw new TypeError(`options.${name} must be ${rule.expected}, not ${show(value)}`);
}

/** The names of all options. */
export function optionNames(): string[] {
  return Object.keys(RULES);
}

function resolveLimits(given: object | undefined): Limits {
  const limits = withoutAbsent(given ?? {});
  for (const [name, value] of Object.entries(limits)) {
    if (!Object.hasOwn(DEFAULT_LIMITS, name)) throw new TypeError(`options.limits.${name} is no limit`);
    if (!bound.accepts(value) && !(value === Infinity && MAY_BE_OFF.has(name))) {
      throw new TypeError(`options.limits.${name} must be ${bound.expected}, not ${show(value)}`);
    }
  }
  const { unauthenticatedConnections = DEFAULT_LIMITS.unauthenticatedConnections } =
    limits as Partial<Limits>;
  const unauthenticatedConnectionsPerIp = Math.max(LEAST_SHARE, Math.ceil(unauthenticatedConnections / 10));
  return { ...DEFAULT_LIMITS, unauthenticatedConnectionsPerIp, ...limits };
}

/** The options that are there, inherited ones included. */
export function withoutAbsent(options: object): Record<string, unknown> {
  const present: Record<string, unknown> = {};
  for (const name in options) {
    const value: unknown = (options as Record<string, unknown>)[name];
    if (value !== undefined && value !== null) present[name] = value;
  }
  return present;
}

function isPositive(value: unknown): boolean {
  return typeof value === "number" && value > 0 && value <= Number.MAX_SAFE_INTEGER;
}

function isFunction(value: unknown): boolean {
  return typeof value === "function";
}

function isNested(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" && value !== null ? "an object" : String(value);
}
