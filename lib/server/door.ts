import { EventEmitter } from "node:events";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Server as SecureServer } from "node:https";
import type { Duplex } from "node:stream";
import type { Express, Request } from "express";
import { readBody } from "./body.js";
import { expressRequest } from "./door-request.js";
import type { Limits } from "./options.js";
import type { Origins } from "./origins.js";
import { type Refusal, refuseRequest, refuseUpgrade } from "./refusal.js";
import type { Reporter } from "./reporter.js";
import type { SockJSConnection, SockJSOptions, SockJSServer } from "./socket.js";
import { sessionOf } from "./sockjs.js";
import { SockJSPaths, type Target } from "./sockjs-paths.js";

/** A server of Node.js, with TLS or without. */
export type HttpServer = Server | SecureServer;

/** What the door needs of the server that it belongs to. */
export interface DoorParts {
  readonly app: Express;
  readonly origins: Origins;
  readonly limits: Limits;
  readonly prefix: string;
  readonly reporter: Reporter;
}

/** A request or an upgrade, and what can be done with it. */
interface Visitor {
  readonly req: Request;
  readonly target: Target;
  readonly isUpgrade: boolean;
  /** Lets SockJS serve it. */
  pass(): void;
  refuse(refusal: Refusal): void;
}

/** How many of the largest messages fit into what may carry several. */
const MESSAGES_PER_UNIT = 16;

/** Bytes of a body that SockJS does not use. */
const UNUSED_BODY = 4096;

const MALFORMED: Refusal = { status: 400, reason: "Malformed path" };
const NOT_FOUND: Refusal = { status: 404, reason: "Not found" };
const NO_SESSION: Refusal = { status: 404, reason: "Session not found" };
const FORBIDDEN: Refusal = { status: 403, reason: "Forbidden origin" };
const CLOSED: Refusal = { status: 503, reason: "Server shutting down" };

/** Stands before SockJS: what comes under the prefix, over HTTP or as an upgrade, has to get past it. */
export class Door {
  readonly #parts: DoorParts;
  readonly #paths: SockJSPaths;
  /** The sessions of SockJS's HTTP transports that were let in, by their ids, until SockJS forgets them. */
  readonly #sessions = new Set<string>();
  #isClosed = false;

  constructor(parts: DoorParts) {
    this.#parts = parts;
    this.#paths = new SockJSPaths(parts.prefix);
  }

  /** Bytes of what may carry several messages: a POST body, a WebSocket frame. */
  get #unitBytes(): number {
    return MESSAGES_PER_UNIT * this.#parts.limits.messageBytes;
  }

  /** Installs a SockJS server's handlers on an HTTP server, behind this door. */
  attach(httpServer: HttpServer, socketServer: SockJSServer, options: SockJSOptions): void {
    // on an emitter that nobody else has, SockJS serves what it is given and nothing else
    const sockjs = new EventEmitter();
    const { faye_server_options: given } = { ...optionsOf(socketServer), ...options };
    const faye_server_options = { maxLength: this.#unitBytes, ...(given as object | null) };
    socketServer.installHandlers(sockjs as HttpServer, { ...options, faye_server_options });
    overshadow(
      httpServer,
      "request",
      (req: IncomingMessage, res: ServerResponse) => {
        const target = this.#paths.target(req.url ?? "");
        if (!target) return false;
        this.#meet({
          req: expressRequest(this.#parts.app, req),
          target,
          isUpgrade: false,
          pass: () => this.#passBody(target, req, res, () => sockjs.emit("request", req, res)),
          refuse: (refusal) => refuseRequest(res, refusal),
        });
        return true;
      },
      (_req, res) => refuseRequest(res, NOT_FOUND),
    );
    overshadow(
      httpServer,
      "upgrade",
      (req: IncomingMessage, socket: Duplex, head: Buffer) => {
        // Node.js has taken its own listener off, and a reset would end the process
        socket.on("error", () => {});
        const target = this.#paths.target(req.url ?? "");
        if (!target) return false;
        // whoever has been answered for the last time need not stay until the other side agrees
        socket.once("finish", () => socket.destroy());
        this.#meet({
          req: expressRequest(this.#parts.app, req),
          target,
          isUpgrade: true,
          pass: () => sockjs.emit("upgrade", req, socket, head),
          refuse: (refusal) => refuseUpgrade(socket, refusal),
        });
        return true;
      },
      (_req, socket) => refuseUpgrade(socket, NOT_FOUND),
    );
  }

  /** Takes note of what SockJS has made of a request. */
  claim(connection: SockJSConnection): void {
    const session = sessionOf(connection);
    if (session === undefined) return;
    this.#sessions.add(session);
    connection.once("close", () => this.#sessions.delete(session));
  }

  /** Lets nobody in any more. Sessions that are in may fetch what they have not got, such as why they were closed. */
  close(): void {
    this.#isClosed = true;
  }

  #meet(visitor: Visitor): void {
    const refusal = this.#refusalOf(visitor);
    if (refusal) this.#refuse(visitor, refusal);
    else visitor.pass();
  }

  #refusalOf({ req, target, isUpgrade }: Visitor): Refusal | undefined {
    if (target.kind === "malformed") return MALFORMED;
    // SockJS would serve some of its HTTP transports on an upgrade's socket
    if (isUpgrade && target.kind !== "websocket") return NOT_FOUND;
    if (this.#isClosed && !("session" in target && this.#sessions.has(target.session))) return CLOSED;
    if (target.kind === "send" && !this.#sessions.has(target.session)) return NO_SESSION;
    if (this.#parts.origins.of(req, isUpgrade) === "refused") return FORBIDDEN;
    return undefined;
  }

  /**
   * Reads the body, and hands all of it over at once: SockJS would read it without a bound, and copy what it has for
   * each piece that comes.
   */
  #passBody(target: Target, req: IncomingMessage, res: ServerResponse, pass: () => void): void {
    if (req.method !== "POST") return pass();
    const { bodyTimeout } = this.#parts.limits;
    const bound = target.kind === "send" ? this.#unitBytes : UNUSED_BODY;
    readBody(req, bound, bodyTimeout, (body) => {
      if ("status" in body) {
        this.#report(req.socket.remoteAddress, body);
        return refuseRequest(res, body);
      }
      pass();
      // what SockJS has put there by now; the stream itself has ended
      if (body.length > 0) req.emit("data", body);
      req.emit("end");
    });
  }

  #refuse({ req, refuse }: Visitor, refusal: Refusal): void {
    this.#report(req.ip, refusal);
    refuse(refusal);
  }

  #report(ip: string | undefined, { status, reason }: Refusal): void {
    // not the path: it may hold a session's id
    this.#parts.reporter.debug(() => `a request of ${ip} was refused: ${status} ${reason}`);
  }
}

/** A SockJS server's own options. */
function optionsOf(server: SockJSServer): SockJSOptions {
  return (server as { options?: SockJSOptions }).options ?? {};
}

/** Puts a listener before those that are there, which get what it does not take; `orphaned` gets it without any. */
function overshadow<Args extends unknown[]>(
  emitter: EventEmitter,
  event: string,
  takes: (...args: Args) => boolean,
  orphaned: (...args: Args) => void,
): void {
  const others = emitter.rawListeners(event);
  emitter.removeAllListeners(event);
  emitter.on(event, (...args) => {
    if (takes(...(args as Args))) return;
    for (const listener of others) Reflect.apply(listener, emitter, args);
    if (others.length === 0 && emitter.listenerCount(event) === 1) orphaned(...(args as Args));
  });
}
