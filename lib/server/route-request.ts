import { IncomingMessage } from "node:http";
import type { Request } from "express";
import { guarded, type RouteConnection } from "./route-connection.js";
import type { Socket } from "./socket.js";

/** A call of a route. */
export interface RouteCall<Auth = Record<string, unknown>> {
  /** The dotted path that was called. */
  readonly path: string;
  /** Any JSON value. */
  readonly data: unknown;
  readonly socket: Socket<Auth>;
  readonly auth: Auth;
}

/** What proxies say of a request; the token request has settled all that. */
const PROXY_HEADER = /^(?:x-forwarded-.*|forwarded|x-real-ip|x-client-ip|x-cluster-client-ip|x-ssl|via)$/;

/**
 * Makes the Express request of a call. It is a `POST` whose body has been read and parsed already, so that
 * body parsers pass straight on.
 */
export function makeRequest<Auth>(
  call: RouteCall<Auth>,
  prototype: object,
  connection: RouteConnection,
  report: (error: unknown) => void,
): Request {
  const { data, socket, auth } = call;
  const url = urlOf(call.path);
  const message = new IncomingMessage(connection.asSocket());
  message.complete = true;
  message.push(null);
  message.readable = false;

  const fields = isObject(data) ? data : {};
  const emit = message.emit.bind(message);
  const headers = headersOf(socket);
  // assigned before the prototype is set, so that its accessors of these names do not come in between
  Object.assign(message, {
    _body: true,
    _socket: socket,
    baseUrl: "",
    body: data,
    cookies: {},
    emit: (event: string, ...args: unknown[]) => guarded(() => emit(event, ...args), report),
    headers,
    httpVersion: "1.1",
    httpVersionMajor: 1,
    httpVersionMinor: 1,
    ip: socket.ip,
    ips: [...socket.ips],
    method: "POST",
    originalUrl: url,
    params: copyOf(fields),
    protocol: "ws",
    query: copyOf(fields),
    rawHeaders: Object.entries(headers).flat(),
    session: auth,
    signedCookies: {},
    url,
    user: auth,
  });
  return Object.setPrototypeOf(message, prototype) as Request;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** As a URL's path: what is special in a URL is encoded, so that nothing of it reads as a query. */
function urlOf(path: string): string {
  return `/${encodeURI(path.toWellFormed().replaceAll(".", "/")).replace(/[?#]/g, encodeURIComponent)}`;
}

function headersOf(socket: Socket<unknown>): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(socket.headers)) {
    if (typeof value === "string" && !PROXY_HEADER.test(name)) headers[name] = value;
  }
  headers.host = socket.host;
  headers["content-type"] = "application/json";
  // `req.is` wants to see that there is a body; its length in bytes is not known
  headers["transfer-encoding"] = "chunked";
  return headers;
}

/** A copy, as a query and parameters are objects of their own; no `__proto__`, which none of them has in Express. */
function copyOf(fields: Record<string, unknown>): Record<string, unknown> {
  const { ["__proto__"]: _, ...copy } = fields;
  return copy;
}
