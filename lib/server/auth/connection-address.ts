import type { Express, Request } from "express";
import { hostOf } from "../http/origins.js";
import type { SockJSConnection } from "../transport/socket.js";

/** The host and the addresses of a request, as Express has them, `trust proxy` respected. */
export interface RequestAddress {
  readonly host: string;
  readonly ip: string;
  readonly ips: readonly string[];
}

/** Those of the request that opened a connection. */
export function addressOf(app: Express, connection: SockJSConnection): RequestAddress {
  const request = requestOf(app, connection);
  const { ip = "", ips } = request;
  return { host: hostOf(request), ip, ips };
}

/** The address of that request alone; "" where it has none, as over a unix socket. */
export function ipOf(app: Express, connection: SockJSConnection): string {
  return requestOf(app, connection).ip ?? "";
}

/** SockJS keeps the headers that this needs. */
function requestOf(app: Express, { remoteAddress, headers }: SockJSConnection): Request {
  const request = Object.create(app.request) as Request;
  request.headers = headers as Request["headers"];
  request.socket = { remoteAddress } as Request["socket"];
  return request;
}
