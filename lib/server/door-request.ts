import { IncomingMessage } from "node:http";
import type { Express, Request } from "express";

/**
 * A request as Express sees it, with `ip`, `protocol`, `get` and the rest, `trust proxy` respected, though it never
 * gets to Express. It is a copy without a body: SockJS reads that, and writes into the request.
 */
export function expressRequest(app: Express, req: IncomingMessage): Request {
  const { url, method, headers, rawHeaders, httpVersion, httpVersionMajor, httpVersionMinor } = req;
  const copy = Object.assign(new IncomingMessage(req.socket), {
    ...{ url, method, headers, rawHeaders, httpVersion, httpVersionMajor, httpVersionMinor },
    originalUrl: url,
    baseUrl: "",
    complete: true,
  });
  copy.push(null);
  return Object.setPrototypeOf(copy, app.request) as Request;
}
