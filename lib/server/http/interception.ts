import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Server as SecureServer } from "node:https";
import type { Duplex } from "node:stream";
import * as arrivals from "./arrivals.js";
import { watchClient } from "./client-watch.js";
import { refuseRequest, refuseUpgrade } from "./refusal.js";
import type { Target } from "./sockjs-paths.js";

/** An HTTP server of Node.js, with TLS or without. */
export type HttpServer = Server | SecureServer;

/** Throws a `TypeError` for what is no HTTP server. */
export function checkHttpServer(server: unknown): void {
  const { listen, rawListeners } = (server ?? {}) as Record<string, unknown>;
  if (typeof server !== "object" || typeof listen !== "function" || typeof rawListeners !== "function") {
    throw new TypeError(
      "httpServer must be an HTTP server, as createServer() of node:http or node:https makes it",
    );
  }
}

/** Whoever takes requests of an HTTP server before its listeners. */
export interface Interceptor {
  readonly prefix: string;
  /** The same object for all interceptors of one token server. */
  readonly owner: object;
  /** Whether it lets nobody in any more, so that another one may take its place. */
  isClosed(): boolean;
  /** Tells what a request asks for that is one of its own; undefined for another's. */
  target(req: IncomingMessage): Target | undefined;
  /** Takes a request that is one of its own. Never throws. */
  request(target: Target, req: IncomingMessage, res: ServerResponse): void;
  /** Takes the upgrade to a WebSocket that is one of its own. Never throws. */
  upgrade(target: Target, req: IncomingMessage, socket: Duplex, head: Buffer): void;
}

/** The newest response of each TCP connection. */
const responses = new WeakMap<Duplex, ServerResponse>();

/** The interceptors of each HTTP server, the newest first. */
const interceptions = new WeakMap<HttpServer, Interceptor[]>();

const NOT_FOUND = { status: 404, reason: "Not found" } as const;

/**
 * Lets an interceptor take its requests and upgrades before all listeners of an HTTP server, whenever these are added. They
 * stay as they are and never hear of what was taken; for that the server's own `emit` is the only place.
 *
 * Says whether it takes them from another owner's interceptor, of the same prefix, which is not closed.
 */
export function intercept(server: HttpServer, interceptor: Interceptor): boolean {
  const { prefix, owner } = interceptor;
  const known = interceptions.get(server);
  if (known) {
    const others = known.filter((one) => !one.isClosed() || one.prefix !== prefix);
    known.splice(0, known.length, interceptor, ...others);
    return others.some((one) => one.prefix === prefix && one.owner !== owner);
  }
  const interceptors = [interceptor];
  interceptions.set(server, interceptors);
  const { emit } = server;
  server.emit = (event: string | symbol, ...args: unknown[]): boolean => {
    if (event === "request") {
      const [req, res] = args as [IncomingMessage, ServerResponse];
      arrivals.note(req);
      responses.set(req.socket, res);
      const taken = takerOf(interceptors, req);
      if (taken) taken.taker.request(taken.target, req, res);
      else if (!Reflect.apply(emit, server, [event, req, res])) refuseRequest(res, NOT_FOUND);
      return true;
    }
    if (event === "upgrade") {
      const [req, socket, head] = args as [IncomingMessage, Duplex, Buffer];
      const taken = takerOf(interceptors, req);
      if (taken) {
        inTurn(socket, () => {
          if (offersWebSocket(req)) taken.taker.upgrade(taken.target, req, socket, head);
          else declineUpgrade(server, req, socket, head);
        });
        return true;
      }
    }
    return Reflect.apply(emit, server, [event, ...args]);
  };
  // without a listener Node.js takes no request for an upgrade
  server.on("upgrade", (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (server.listenerCount("upgrade") > 1) {
      // Node.js has taken its own listener off, and a reset would end the process
      socket.on("error", ignore);
      return;
    }
    inTurn(socket, () => {
      if (!offersWebSocket(req)) return declineUpgrade(server, req, socket, head);
      refuseUpgrade(socket, NOT_FOUND);
    });
  });
  return false;
}

/** Gives the first that takes a request, and what that asks for. */
function takerOf(
  interceptors: readonly Interceptor[],
  req: IncomingMessage,
): { readonly taker: Interceptor; readonly target: Target } | undefined {
  for (const taker of interceptors) {
    const target = taker.target(req);
    if (target) return { taker, target };
  }
  return undefined;
}

/**
 * Serves an upgrade when the requests before it on its TCP connection have been answered, as HTTP has it (RFC 9112, section
 * 9.3.2), though Node.js tells of it at once.
 */
function inTurn(socket: Duplex, serve: () => void): void {
  const before = responses.get(socket);
  if (!before || before.closed) return serve();
  const goOn = watchClient(socket);
  before.once("close", () => goOn(serve));
}

/** Says whether a request asks for a WebSocket. An offer by HTTP/1.0 is to be ignored (RFC 9110, section 7.8). */
function offersWebSocket({ headers, httpVersion }: IncomingMessage): boolean {
  // Stryker disable next-line OptionalChaining: what is told of as an upgrade names one
  return headers.upgrade?.toLowerCase() === "websocket" && httpVersion !== "1.0";
}

function ignore(): void {}

/** The headers that offer another protocol (RFC 9110, section 7.8; RFC 7540, section 3.2.1). */
const OFFER: readonly string[] = ["upgrade", "http2-settings"];

/**
 * Serves a request that offers a protocol which nobody speaks as the request that it is: a server may ignore an offer
 * (RFC 9110, section 7.8). Node.js has stopped reading its connection as HTTP, so that begins anew without the offer.
 */
function declineUpgrade(server: HttpServer, req: IncomingMessage, socket: Duplex, head: Buffer): void {
  const lines = [`${req.method} ${req.url} HTTP/${req.httpVersion}`];
  for (let i = 0; i < req.rawHeaders.length; i += 2) {
    const [name = "", value = ""] = req.rawHeaders.slice(i, i + 2);
    if (OFFER.includes(name.toLowerCase())) continue;
    lines.push(`${name}: ${name.toLowerCase() === "connection" ? withoutOffer(value) : value}`);
  }
  if (head.length > 0) socket.unshift(head);
  socket.unshift(Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"));
  server.emit("encrypted" in socket ? "secureConnection" : "connection", socket);
}

function withoutOffer(connection: string): string {
  const options = connection.split(",").map((option) => option.trim());
  return options.filter((option) => !OFFER.includes(option.toLowerCase())).join(", ") || "keep-alive";
}
