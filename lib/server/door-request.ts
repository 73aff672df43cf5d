import { IncomingMessage } from "node:http";
import type { Express, Request } from "express";

/**
 * A request as Express sees it, with `ip`, `protocol`, `get` and the rest, `trust proxy` respected, though it never
 * gets to Express. It is a copy, since SockJS writes into the request, and has no body, which SockJS reads. Where
 * nobody but this library sees it, it need be no stream, which is half of the cost.
 */
export function expressRequest(app: Express, req: IncomingMessage, isStream: boolean): Request {
  const { url, method, headers, rawHeaders, httpVersion, httpVersionMajor, httpVersionMinor } = req;
  const fields = {
    ...{ url, method, headers, rawHeaders, httpVersion, httpVersionMajor, httpVersionMinor },
    originalUrl: url,
    baseUrl: "",
    complete: true,
  };
  if (!isStream) return Object.assign(Object.create(app.request), { socket: req.socket }, fields) as Request;
  const copy = Object.assign(new IncomingMessage(req.socket), fields);
  copy.push(null);
  return Object.setPrototypeOf(copy, app.request) as Request;
}
