import { IncomingMessage } from "node:http";
import type { Socket } from "../transport/socket.js";
import { type ErrorObserver, emitGuarded, type RouteConnection } from "./route-connection.js";

/** A call of a route. */
export interface RouteCall<Auth = Record<string, unknown>> {
  /** The dotted path that was called. */
  readonly path: string;
  /** Any JSON value. */
  readonly data: unknown;
  readonly socket: Socket<Auth>;
  readonly auth: Auth;
}

/** The headers, beside `x-forwarded-*`, by which proxies describe a request; the token request has settled all that. */
const PROXY_HEADERS = new Set([
  "forwarded",
  "x-real-ip",
  "x-client-ip",
  "x-cluster-client-ip",
  "x-ssl",
  "via",
]);

/** Paths of which nothing has to be encoded. */
const PLAIN_PATH = /^[\w.-]*$/;

const { emit } = IncomingMessage.prototype;

/**
 * The Express request of a call, without Express's prototype. It is a `POST` whose body has been read and parsed
 * already, so that body parsers pass straight on.
 */
export class RouteRequest extends IncomingMessage {
  // Fields are defined, not assigned, so that Express's accessors of these names do not come in between. Those that
  // are set later are here as well: requests of one shape are what keeps Node.js fast.
  readonly _body = true;
  readonly _socket: unknown;
  readonly baseUrl = "";
  readonly body: unknown;
  readonly cookies = {};
  override readonly emit: (event: string | symbol, ...args: unknown[]) => boolean;
  override readonly headers: Record<string, string>;
  override readonly httpVersion = "1.1";
  override readonly httpVersionMajor = 1;
  override readonly httpVersionMinor = 1;
  readonly ip: string;
  readonly ips: readonly string[];
  override readonly method = "POST";
  next: unknown;
  readonly originalUrl: string;
  readonly params: Record<string, unknown>;
  readonly protocol = "ws";
  readonly query: Record<string, unknown>;
  override readonly rawHeaders: string[];
  res: unknown;
  route: unknown;
  readonly session: unknown;
  readonly signedCookies = {};
  override readonly url: string;
  readonly user: unknown;

  constructor(
    { auth, data, path, socket }: RouteCall<unknown>,
    connection: RouteConnection,
    observer: ErrorObserver,
  ) {
    super(connection.asSocket());
    this.complete = true;
    this.push(null);
    this.readable = false;

    const fields = isObject(data) ? data : {};
    const url = urlOf(path);
    this.emit = (event, ...args) => emitGuarded(this, emit, event, args, observer);
    this._socket = socket;
    this.body = data;
    this.headers = headersOf(socket);
    this.ip = socket.ip;
    this.ips = [...socket.ips];
    this.originalUrl = url;
    this.params = copyOf(fields);
    this.query = copyOf(fields);
    this.rawHeaders = rawHeadersOf(this.headers);
    this.session = auth;
    this.url = url;
    this.user = auth;
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** As a URL's path: what is special in a URL is encoded, so that nothing of it reads as a query. */
function urlOf(path: string): string {
  const url = `/${path.replaceAll(".", "/")}`;
  if (PLAIN_PATH.test(path)) return url;
  return encodeURI(url.toWellFormed()).replace(/[?#]/g, encodeURIComponent);
}

function headersOf(socket: Socket<unknown>): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of Object.keys(socket.headers)) {
    const value = socket.headers[name];
    if (typeof value !== "string" || name.startsWith("x-forwarded-") || PROXY_HEADERS.has(name)) continue;
    headers[name] = value;
  }
  headers.host = socket.host;
  headers["content-type"] = "application/json";
  // `req.is` wants to see that there is a body; its length in bytes is not known
  headers["transfer-encoding"] = "chunked";
  return headers;
}

function rawHeadersOf(headers: Record<string, string>): string[] {
  const raw: string[] = [];
  for (const name of Object.keys(headers)) raw.push(name, String(headers[name]));
  return raw;
}

/** A copy, as a query and parameters are objects of their own; no `__proto__`, which none of them has in Express. */
function copyOf(fields: Record<string, unknown>): Record<string, unknown> {
  const copy = { ...fields };
  if (Object.hasOwn(copy, "__proto__")) Reflect.deleteProperty(copy, "__proto__");
  return copy;
}
