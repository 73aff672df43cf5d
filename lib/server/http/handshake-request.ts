import { IncomingMessage } from "node:http";
import type { Express, Request } from "express";

/**
 * A request as Express sees it, with `ip`, `protocol`, `get` and the rest, `trust proxy` respected, though it never
 * gets to Express. It is a copy, since SockJS writes into the request, and has no body, which SockJS reads. Where
 * nobody but this library sees it, it need be no stream, which is half of the cost.
 */
export function expressRequest(app: Express, req: IncomingMessage, isStream: boolean): Request {
  if (!isStream) return copy(req, Object.create(app.request) as Request);
  const stream = new IncomingMessage(req.socket) as Request;
  stream.push(null);
  return Object.setPrototypeOf(copy(req, stream), app.request) as Request;
}

/** Field by field: `Object.assign` takes ten times as long. */
function copy(from: IncomingMessage, to: Request): Request {
  to.socket = from.socket;
  // Stryker disable next-line StringLiteral: what comes to a server has a URL
  to.url = from.url ?? "";
  to.originalUrl = to.url;
  to.baseUrl = "";
  // Stryker disable next-line StringLiteral: and a method
  to.method = from.method ?? "";
  to.headers = from.headers;
  to.rawHeaders = from.rawHeaders;
  to.httpVersion = from.httpVersion;
  to.httpVersionMajor = from.httpVersionMajor;
  to.httpVersionMinor = from.httpVersionMinor;
  to.complete = true;
  return to;
}
