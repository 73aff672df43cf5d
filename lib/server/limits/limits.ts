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
   * Connections of one IP, of one /64 network for IPv6, at once, where `attach` was called; more are answered 429. Default
   * Infinity: without `trust proxy` all users have the proxy's, and those of one company may share one.
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
  /**
   * Bytes of what `showIdentity` gives, as JSON; what has more is not shown, and is reported. Default 4096. A higher one
   * lets each connection's first answer become as long.
   */
  identityBytes: number;
  /** UTF-16 code units in an RPC path; a longer one is answered "Function not found". Default 256. */
  pathLength: number;
  /**
   * A socket's channel requests that are not done, since they wait for guards, a schema or Redis, past which they are refused
   * with "Too many requests". Separately its frames that wait while it authenticates, or since they came too fast, past which
   * it is closed. Default 1000. A higher one lets each socket keep more of the server's memory.
   */
  framesWaiting: number;
  /** Bytes of those channel requests, and of those frames, likewise. Default 1,048,576. */
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
  /**
   * Channels that a socket is in, past which its requests for further ones are refused. Those that the server has let it join
   * count, too, but the server may go beyond. As many more it may observe the members of. Default 1000. `Infinity`: no limit.
   */
  channelsPerSocket: number;
  /**
   * Channels that the sockets of one identity have joined by their own requests, on this server, each socket's counted, past
   * which requests for further ones are refused. Those that the server has let them join do not count. Default Infinity. A low one keeps out users with many pages.
   */
  channelsPerIdentity: number;
  /**
   * Milliseconds that a function, a procedure or a route may take to answer; then its signal fires, the client gets the
   * error `timeout`, and an `error` event has its path. A stream may last as long as it likes. Default 30,000. `Infinity`: no limit.
   */
  functionTimeout: number;
  /** Milliseconds that a guard, or the schema of a channel, may take to decide; then the request is refused. Default 10,000. `Infinity` likewise. */
  guardTimeout: number;
  /**
   * Milliseconds that the `authentication` function, a guard of that name, `verifyToken` or `identify` may take; then the token route
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
   * Messages that one socket gets of a channel's history at once when it comes back, or asks; if it has missed more, it gets
   * the newest, and is told how many it has lost. Default 1000. A higher one lets each client that was away cost more.
   */
  recoverMessages: number;
  /**
   * Bytes of the newest messages of channels with history that this server keeps in memory, of all such channels together, so
   * that many clients that come back at once cost Redis one read for each channel. Default 16,777,216.
   */
  tailBytes: number;
  /**
   * Bytes of what `presence` shows of a member, and likewise of the state that it sets, each as JSON. A state that has more is
   * refused; what `info` gives is not shown then, and is reported. Default 1024. A higher one lets each member take more of
   * Redis, and of each server and client that observes it.
   */
  presenceBytes: number;
  /**
   * Milliseconds that a socket stays open after its identity has expired, for the client to present a new token.
   * Default 25,000.
   */
  expiryGrace: number;
  /** Bytes in the body of a route's response; a larger one fails its call. Default 16,777,216. */
  routeResponseBytes: number;
}

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
  identityBytes: 4096,
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
  guardTimeout: 10_000,
  authenticationTimeout: 10_000,
  bufferedBytes: 1_048_576,
  recoverMessages: 1000,
  tailBytes: 16_777_216,
  presenceBytes: 1024,
  expiryGrace: 25_000,
  routeResponseBytes: 16_777_216,
};

/** The limits that `Infinity` turns off. */
export const MAY_BE_OFF: ReadonlySet<string> = new Set<keyof Limits>([
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
  "guardTimeout",
  "authenticationTimeout",
]);

/** The limits that need the option `identify`. */
export const BY_IDENTITY = [
  "connectionsPerIdentity",
  "channelsPerIdentity",
  "identityFramesPerSecond",
  "identityBytesPerSecond",
] as const;
