import { DEFAULT_CALL_TIMEOUT } from "../shared/pending-calls.js";
import { isObject } from "../shared/protocol.js";
import type { QueueOptions } from "./calls/queue.js";
import type { BackoffOptions } from "./connection/backoff.js";
import type { SocketConstructor } from "./transport/socket-constructor.js";

/** Data that goes with the token request; it may be nested. */
export type AuthenticationData = object | null | undefined;

/** Headers, by name. */
export type HeadersData = Record<string, string>;

/** The part of `fetch` that the client uses. */
export type Fetch = (
  url: string,
  init: {
    method: string;
    headers: Record<string, string>;
    credentials: "omit" | "same-origin" | "include";
    cache: "no-store";
    mode?: "same-origin";
    redirect?: "error";
    signal: AbortSignal;
    body?: string;
  },
) => Promise<{
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  /** A stream of the web's, where there is one; else `json` is called. */
  readonly body?: unknown;
  json(): Promise<unknown>;
}>;

/** Anything that logs as the console does. */
export interface Logger {
  error(message: string, error?: unknown): void;
  debug(message: string, detail?: unknown): void;
}

/** The options of a `TokenSocket`. All may be absent; all times are in milliseconds. */
export interface TokenSocketOptions {
  /** The server's host: `"example.com"`, `"example.com:8080"` or `"https://example.com"`. Default: the page's. */
  host?: string | null | undefined;
  /** The server's port. Default: that of `host`, or the scheme's own. */
  port?: number | string | null | undefined;
  /** Whether to use TLS. Default: as `host` says, else as the page was loaded, else not. */
  secure?: boolean | null | undefined;
  /** The path of the token route. Default `"/socket/token"`. */
  tokenPath?: string | null | undefined;
  /** With `"POST"` the authentication data goes as a JSON body, so that it is in no URL. Default `"GET"`. */
  tokenMethod?: "GET" | "POST" | null | undefined;
  /** The route prefix of the SockJS server. Default `"/sockets"`. */
  socketPrefix?: string | null | undefined;
  /** Whether to come back after a connection was lost or an attempt has failed. Default true. */
  reconnect?: boolean | null | undefined;
  /**
   * The data for the token route: an object, or a function, also an async one, that gives it for each attempt.
   * A function that throws makes the attempt fail. Default: nothing.
   */
  authentication?: object | (() => AuthenticationData | Promise<AuthenticationData>) | null | undefined;
  /**
   * Whether each token is bound to this client by a random `nonce`, which goes with the token request and, when the token
   * is presented, with the `auth` frame. For servers with `tokenBinding: "nonce"`. Default false.
   */
  nonce?: boolean | null | undefined;
  /**
   * Gives the token itself, which is asked for before each attempt, instead of the token route. For a client that has one, such
   * as a service with a token that the server's `verifyToken` takes. Default: the token route is asked.
   */
  token?: (() => string | Promise<string>) | null | undefined;
  /**
   * Headers of the token request and, in Node.js, of the WebSocket: an object, or a function, also an async one, that gives it
   * for each of them. Default none.
   */
  headers?:
    | HeadersData
    | (() => HeadersData | undefined | Promise<HeadersData | undefined>)
    | null
    | undefined;
  /** Whether the token request carries cookies, as for `fetch`. Default `"same-origin"`. */
  credentials?: "omit" | "same-origin" | "include" | null | undefined;
  /**
   * The interval of pings on an open connection; one that does not answer is closed. It also keeps proxies from taking the
   * connection for idle. Default 25,000. False: never.
   */
  ping?: number | false | null | undefined;
  /** The time that the answer to a ping may take. Default 10,000. */
  pingTimeout?: number | null | undefined;
  /** Options for SockJS, such as `transports`. False: SockJS is not used. Default `{}`. */
  sockjs?: Record<string, unknown> | boolean | null | undefined;
  /** The time that each step of an attempt may take: token, SockJS, authentication, each channel. Default 10,000. */
  connectTimeout?: number | null | undefined;
  /** The time that a plain WebSocket may take to open before SockJS is tried. Default 5,000. */
  webSocketTimeout?: number | null | undefined;
  /** The time limit of calls that give none. Default 30,000. */
  callTimeout?: number | null | undefined;
  /** The waits between attempts. */
  backoff?: BackoffOptions | null | undefined;
  /** Bounds on the calls that wait for a connection. False: none waits, all fail at once. */
  queue?: QueueOptions | false | null | undefined;
  /** Whether to log what happens, unknown frames among it. Default false. */
  debug?: boolean | null | undefined;
  /** Gets the errors of the application's own functions, and with `debug` the rest. Default the console. */
  logger?: Logger | null | undefined;
  /** Default: the global one. */
  fetch?: Fetch | null | undefined;
  /** Default: the global one, in Node.js without one that of the package `ws`. False: not used. */
  WebSocket?: SocketConstructor | false | null | undefined;
  /** Default: the global one, else that of the package `sockjs-client`, loaded when it is needed. */
  SockJS?: SocketConstructor | null | undefined;
}

/** Options with their defaults filled in. */
export interface ResolvedOptions {
  readonly tokenUrl: string;
  readonly socketUrl: string;
  readonly tokenMethod: "GET" | "POST";
  readonly reconnect: boolean;
  readonly authentication: TokenSocketOptions["authentication"];
  readonly nonce: boolean;
  readonly token: TokenSocketOptions["token"];
  readonly headers: TokenSocketOptions["headers"];
  readonly credentials: "omit" | "same-origin" | "include";
  readonly ping: number | false;
  readonly pingTimeout: number;
  readonly sockjs: Record<string, unknown> | boolean;
  readonly connectTimeout: number;
  readonly webSocketTimeout: number;
  readonly callTimeout: number;
  readonly backoff: { readonly min: number; readonly max: number; readonly resetAfter: number };
  readonly queue: { readonly count: number; readonly bytes: number; readonly age: number } | false;
  readonly logger: Logger;
  readonly fetch: Fetch;
  readonly WebSocket: SocketConstructor | false | undefined;
  readonly SockJS: SocketConstructor | undefined;
}

/** Each option: its default, and the types of value that it takes, where these are not just the default's, or a pattern of type and text. */
export const OPTIONS: Readonly<
  Record<keyof TokenSocketOptions, readonly [value?: unknown, types?: string | RegExp]>
> = {
  host: [""],
  port: ["", "number string"],
  secure: [undefined, "boolean"],
  tokenPath: ["/socket/token"],
  tokenMethod: ["GET", /^string (GET|POST)$/],
  socketPrefix: ["/sockets"],
  reconnect: [true],
  authentication: [undefined, "object function"],
  nonce: [false],
  token: [undefined, "function"],
  headers: [undefined, "object function"],
  credentials: ["same-origin"],
  ping: [25_000, "number"],
  pingTimeout: [10_000],
  sockjs: [{}, "object boolean"],
  connectTimeout: [10_000],
  webSocketTimeout: [5000],
  callTimeout: [DEFAULT_CALL_TIMEOUT],
  backoff: [{ min: 500, max: 20_000, resetAfter: 5000 }],
  queue: [{ count: 1000, bytes: 262_144, age: 25_000 }],
  debug: [false],
  logger: [console],
  // the global one does not work as a method of another object
  fetch: [(...request: Parameters<Fetch>) => fetch(...request)],
  WebSocket: [undefined, "function"],
  SockJS: [undefined, "function"],
};

/** The options that may be turned off. */
const SWITCHES = "ping queue WebSocket";

/** Checks options and fills in the defaults. Throws a `TypeError` that names what is wrong. */
export function resolveOptions(given: TokenSocketOptions): ResolvedOptions {
  const options = fill(given, OPTIONS);
  for (const name of ["backoff", "queue"] as const) {
    if (options[name]) options[name] = fill(options[name] as object, OPTIONS[name][0] as object);
  }
  const { tokenPath, socketPrefix, debug, logger } = options as unknown as {
    tokenPath: string;
    socketPrefix: string;
    debug: boolean;
    logger: Logger;
  };
  const port = `${options.port}`;
  demand(!port || (/^[1-9]\d*$/.test(port) && +port < 65_536), "port", "1 to 65535");
  checkAuthentication(options.authentication);
  if (typeof options.headers !== "function") checkHeaders(options.headers ?? {});
  const base = baseUrl(given);
  options.tokenUrl = below(base, tokenPath);
  options.socketUrl = below(base, socketPrefix);
  if (!debug) options.logger = { error: logger.error.bind(logger), debug() {} };
  return options as unknown as ResolvedOptions;
}

/**
 * Checks options against those that are known, each with its default or as in `OPTIONS`, and fills in
 * the defaults. Throws a `TypeError` that names what is wrong.
 */
export function fill(given: object, known: object): Record<string, unknown> {
  demand(isObject(given), "options", "object");
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(known, name)) throw new TypeError(`No option ${name}`);
  }
  const filled: Record<string, unknown> = {};
  for (const [name, entry] of Object.entries(known)) {
    const [normal, types = typeof normal] = [entry].flat() as [unknown, (string | RegExp)?];
    const value = (given as Record<string, unknown>)[name] ?? normal;
    const isFit =
      value === normal ||
      (typeof types === "string" ? types.includes(typeof value) : types.test(`${typeof value} ${value}`)) ||
      (value === false && SWITCHES.includes(name));
    // a server says itself what a window may be
    demand(isFit && (name === "window" || !isNoAmount(value)), name, `${types}`);
    filled[name] = value;
  }
  return filled;
}

/** Throws a `TypeError` that names what was given, and says what it must be, unless it is that. */
export function demand(isFit: boolean, name: string, what: string): asserts isFit {
  if (!isFit) throw new TypeError(`${name} must be: ${what}`);
}

/** Says whether a value is a number that can be neither a time nor a count, as `Infinity` can. */
function isNoAmount(value: unknown): boolean {
  return typeof value === "number" && !(value >= 0);
}

/** Throws a `TypeError` for authentication data that JSON would lose, such as a form or a promise. */
export function checkAuthentication(data: unknown): void {
  demand(typeof data === "function" || isRecord(data ?? {}), "authentication", "plain object");
  // throws where there is no JSON of it
  JSON.stringify(data);
}

/** Throws a `TypeError` for headers that cannot be sent. */
export function checkHeaders(headers: unknown): void {
  demand(isRecord(headers), "headers", "plain object");
  // throws for a wrong one, and names it
  new Headers(headers as HeadersData);
}

/** The headers that are given, or that the function given gives. */
export async function headersOf({ headers }: ResolvedOptions): Promise<HeadersData | undefined> {
  const given = typeof headers === "function" ? await headers() : headers;
  checkHeaders(given ?? {});
  return given ?? undefined;
}

/** Says whether a value is an object whose fields are all that it has. */
function isRecord(value: unknown): boolean {
  return {}.toString.call(value) === "[object Object]";
}

/** The server's URL, without a slash at the end. */
export function baseUrl(
  { host, port, secure }: Pick<TokenSocketOptions, "host" | "port" | "secure">,
  page = (globalThis as { location?: { readonly protocol: string; readonly host: string } }).location,
): string {
  const place = host || page?.host || undefined;
  demand(place !== undefined, "host", "given");
  const [rest, scheme = page?.protocol] = place.split("://").reverse();
  const isSecure = secure ?? /^(http|ws)s:?$/.test(`${scheme}`);
  const url = new URL(`http${isSecure ? "s" : ""}://${rest}`);
  if (port) url.port = `${port}`;
  return url.origin + url.pathname.replace(/\/+$/, "");
}

/** A path below where the server is, also where the slash at its beginning is missing. */
function below(base: string, path: string): string {
  return base + (path.startsWith("/") ? path : `/${path}`);
}
