import type { Express, Request } from "express";
import { hostOf } from "../http/origins.js";
import type { SockJSConnection } from "../transport/socket.js";

/** The host and the addresses of a request, as Express has them, `trust proxy` respected. */
export interface RequestAddress {
  readonly host: string;
  readonly ip: string;
  readonly ips: readonly string[];
}

/** Those of the request that opened a connection. SockJS keeps the headers that this needs. */
export function addressOf(app: Express, { remoteAddress, headers }: SockJSConnection): RequestAddress {
  const socket = { remoteAddress };
  const request = Object.create(app.request, {
    headers: { value: headers },
    socket: { value: socket },
    connection: { value: socket },
  }) as Request;
  const { ip = "", ips } = request;
  return { host: hostOf(request), ip, ips };
}
