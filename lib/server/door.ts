import { EventEmitter } from "node:events";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Server as SecureServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Express, Request } from "express";
import { LONGEST_TIMER } from "../shared/pending-calls.js";
import { readBody } from "./body.js";
import { Counts } from "./counts.js";
import { expressRequest } from "./door-request.js";
import { type HttpRefusal, refuseRequest, refuseUpgrade } from "./http-refusal.js";
import type { ResolvedOptions } from "./options.js";
import type { Origins } from "./origins.js";
import type { Reporter } from "./reporter.js";
import type { SockJSConnection, SockJSOptions, SockJSServer } from "./socket.js";
import { keyOf } from "./sockjs.js";
import { SockJSPaths, type Target } from "./sockjs-paths.js";

import { type Verdict, verdictOf } from "./verification.js";

/** A server of Node.js, with TLS or without. */
export type HttpServer = Server | SecureServer;

/** A connection that may come, or is there. */
interface Guest {
  readonly ip: string;
  /** What `verifyConnection` has handed on. */
  data: unknown;
  /** `verifying`: the application decides; `entering`: SockJS has the request; `inside`: there is a connection. */
  state: "verifying" | "entering" | "inside" | "gone";
  isAuthenticated: boolean;
}

/** What the door needs of the server that it belongs to. */
export interface DoorParts {
  readonly app: Express;
  readonly origins: Origins;
  readonly options: Pick<ResolvedOptions<unknown>, "prefix" | "limits" | "authTimeout" | "verifyConnection">;
  readonly reporter: Reporter;
}

/** A request or an upgrade, and what can be done with it. */
interface Visitor {
  readonly req: Request;
  readonly target: Target;
  readonly isUpgrade: boolean;
  /** Lets SockJS serve it. */
  pass(): void;
  /** Calls back when it has been answered, or the client has gone. */
  onEnd(listener: () => void): void;
  refuse(refusal: HttpRefusal): void;
}

/** How many of the largest messages fit into what may carry several. */
const MESSAGES_PER_UNIT = 16;

/** Bytes of a body that SockJS does not use. */
const UNUSED_BODY = 4096;

/** Characters of an IP in the log. */
const LONGEST_IP = 100;

/** That of RFC 6455 (section 4.1). */
const WEBSOCKET_VERSION = "13";

const MALFORMED: HttpRefusal = { status: 400, reason: "Malformed path" };
const NOT_FOUND: HttpRefusal = { status: 404, reason: "Not found" };
const NO_SESSION: HttpRefusal = { status: 404, reason: "Session not found" };
const OUTDATED: HttpRefusal = { status: 400, reason: "Not a WebSocket of RFC 6455" };
const FORBIDDEN: HttpRefusal = { status: 403, reason: "Forbidden origin" };
const BUSY: HttpRefusal = { status: 409, reason: "The session is being opened" };
const TOO_MANY: HttpRefusal = { status: 429, reason: "Too many connections", retryAfter: 5 };
const FULL: HttpRefusal = { status: 503, reason: "Too many unauthenticated connections", retryAfter: 5 };
const FAILED: HttpRefusal = { status: 500, reason: "Internal error" };
const LATE: HttpRefusal = { status: 503, reason: "Not verified in time", retryAfter: 5 };
const CLOSED: HttpRefusal = { status: 503, reason: "Server shutting down" };

/** Stands before SockJS: what comes under the prefix, over HTTP or as an upgrade, has to get past it. */
export class Door {
  readonly #parts: DoorParts;
  readonly #paths: SockJSPaths;
  /** By the ids of SockJS's sessions, until SockJS forgets them, and by the TCP connections of WebSockets. */
  readonly #guests = new Map<string | object, Guest>();
  readonly #guestsByConnection = new WeakMap<object, Guest>();
  readonly #perIp: Counts;
  /** By TCP connections: a response that waits there behind another one is not told of the end. */
  readonly #waiting = new WeakMap<Socket, Set<() => void>>();
  #unauthenticated = 0;
  #isClosed = false;

  constructor(parts: DoorParts) {
    this.#parts = parts;
    this.#perIp = new Counts(parts.options.limits.connectionsPerIp);
    this.#paths = new SockJSPaths(parts.options.prefix);
  }

  /** Bytes of what may carry several messages: a POST body, a WebSocket frame. */
  get #unitBytes(): number {
    return MESSAGES_PER_UNIT * this.#parts.options.limits.messageBytes;
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
          req: this.#expressRequest(req),
          target,
          isUpgrade: false,
          pass: () => this.#passBody(target, req, res, () => sockjs.emit("request", req, res)),
          onEnd: (listener) => this.#onEnd(req.socket, res, listener),
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
        socket.on("error", ignore);
        const target = this.#paths.target(req.url ?? "");
        if (!target) return false;
        endWithAnswer(socket);
        this.#meet({
          req: this.#expressRequest(req),
          target,
          isUpgrade: true,
          pass: () => {
            this.#guardReader(socket);
            sockjs.emit("upgrade", req, socket, head);
          },
          onEnd: (listener) => socket.on("close", listener),
          refuse: (refusal) => refuseUpgrade(socket, refusal),
        });
        return true;
      },
      (_req, socket) => {
        endWithAnswer(socket);
        refuseUpgrade(socket, NOT_FOUND);
      },
    );
  }

  /** Takes note of what SockJS has made of a request, and gives what `verifyConnection` has handed on. */
  claim(connection: SockJSConnection): unknown {
    const key = keyOf(connection);
    const guest = key === undefined ? undefined : this.#guests.get(key);
    if (key === undefined || !guest) return undefined;
    guest.state = "inside";
    this.#guestsByConnection.set(connection, guest);
    if (typeof key === "string") connection.once("close", () => this.#release(key, guest));
    return guest.data;
  }

  /** Takes note of a connection that has an identity. */
  authenticated(connection: object): void {
    const guest = this.#guestsByConnection.get(connection);
    if (!guest || guest.isAuthenticated || guest.state === "gone") return;
    guest.isAuthenticated = true;
    this.#unauthenticated--;
  }

  /** Lets nobody in any more. Sessions that are in may fetch what they have not got, such as why they were closed. */
  close(): void {
    this.#isClosed = true;
  }

  #expressRequest(req: IncomingMessage): Request {
    const { app, options } = this.#parts;
    return expressRequest(app, req, options.verifyConnection !== undefined);
  }

  #meet(visitor: Visitor): void {
    const refusal = this.#refusalOf(visitor);
    if (refusal) return this.#refuse(visitor, refusal);
    const { req, target } = visitor;
    if (target.kind === "receive") this.#admit(visitor, target.session);
    else if (target.kind === "websocket" && visitor.isUpgrade) this.#admit(visitor, req.socket);
    else visitor.pass();
  }

  /** Lets in who opens a connection, if there is room and the application agrees. */
  #admit(visitor: Visitor, key: string | object): void {
    const known = this.#guests.get(key);
    // a second request that went on after the end of the first one would open a connection without a guest
    if (known) return known.state === "inside" ? visitor.pass() : this.#refuse(visitor, BUSY);
    const { ip = "" } = visitor.req;
    const refusal = this.#noRoomFor(ip);
    if (refusal) return this.#refuse(visitor, refusal);
    const guest: Guest = { ip, data: undefined, state: "verifying", isAuthenticated: false };
    this.#guests.set(key, guest);
    this.#perIp.add(ip);
    this.#unauthenticated++;
    this.#releaseAtEnd(visitor.onEnd, key, guest);
    const enter = (verdict: Verdict) => {
      if (guest.state === "gone") return;
      if ("status" in verdict || this.#isClosed) {
        this.#release(key, guest);
        return this.#refuse(visitor, "status" in verdict ? verdict : CLOSED);
      }
      guest.data = verdict.data;
      guest.state = "entering";
      visitor.pass();
    };
    const verdict = this.#verify(visitor.req);
    if (verdict instanceof Promise) void verdict.then(enter);
    else enter(verdict);
  }

  /** Keeps nothing else of the request: that of a WebSocket ends with it. */
  #releaseAtEnd(onEnd: Visitor["onEnd"], key: string | object, guest: Guest): void {
    onEnd(() => {
      // a session of an HTTP transport goes on after the request that has opened it
      if (typeof key !== "string" || guest.state !== "inside") this.#release(key, guest);
    });
  }

  /** Calls back once when a response has ended, or its TCP connection has. */
  #onEnd(socket: Socket, res: ServerResponse, listener: () => void): void {
    let waiting = this.#waiting.get(socket);
    if (!waiting) {
      const listeners = new Set<() => void>();
      waiting = listeners;
      this.#waiting.set(socket, listeners);
      socket.once("close", () => {
        for (const end of listeners) end();
      });
    }
    const end = () => {
      if (waiting.delete(end)) listener();
    };
    waiting.add(end);
    res.once("close", end);
  }

  #noRoomFor(ip: string): HttpRefusal | undefined {
    if (!this.#perIp.hasRoom(ip)) return TOO_MANY;
    if (this.#unauthenticated >= this.#parts.options.limits.unauthenticatedConnections) return FULL;
    return undefined;
  }

  #release(key: string | object, guest: Guest): void {
    if (guest.state === "gone") return;
    guest.state = "gone";
    this.#guests.delete(key);
    if (!guest.isAuthenticated) this.#unauthenticated--;
    this.#perIp.delete(guest.ip);
  }

  #verify(req: Request): Verdict | Promise<Verdict> {
    const { verifyConnection, authTimeout } = this.#parts.options;
    if (!verifyConnection) return { data: undefined };
    const failed = (error: unknown): Verdict => {
      this.#parts.reporter.error("verifyConnection failed", error);
      return FAILED;
    };
    try {
      const answer = verifyConnection(req);
      if (!(answer instanceof Promise)) return verdictOf(answer);
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<Verdict>((resolve) => {
        timer = setTimeout(() => resolve(LATE), Math.min(authTimeout, LONGEST_TIMER)).unref();
      });
      return Promise.race([answer.then(verdictOf, failed), late]).finally(() => clearTimeout(timer));
    } catch (error) {
      return failed(error);
    }
  }

  #refusalOf({ req, target, isUpgrade }: Visitor): HttpRefusal | undefined {
    if (target.kind === "malformed") return MALFORMED;
    // SockJS would serve some of its HTTP transports on an upgrade's socket
    if (isUpgrade && target.kind !== "websocket") return NOT_FOUND;
    // it would serve older drafts, too, which open when the client pleases, without a time limit until then
    if (isUpgrade && req.get("sec-websocket-version") !== WEBSOCKET_VERSION) return OUTDATED;
    if (this.#isClosed && !("session" in target && this.#guests.has(target.session))) return CLOSED;
    if (target.kind === "send" && !this.#guests.has(target.session)) return NO_SESSION;
    if (this.#parts.origins.of(req, isUpgrade) === "refused") return FORBIDDEN;
    return undefined;
  }

  /**
   * Reads the body, and hands all of it over at once: SockJS would read it without a bound, and copy what it has for
   * each piece that comes.
   */
  #passBody(target: Target, req: IncomingMessage, res: ServerResponse, pass: () => void): void {
    if (req.method !== "POST") {
      // SockJS reads no other: behind what nobody reads it would not be seen that the client is gone
      req.resume();
      return pass();
    }
    const { bodyTimeout } = this.#parts.options.limits;
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

  /**
   * SockJS pipes an upgrade's socket to its WebSocket, whose reader throws at some of what a client may send, out of
   * the socket's events: that ends the connection, and not the process.
   */
  #guardReader(socket: Duplex): void {
    const { pipe } = socket;
    socket.pipe = <Destination extends NodeJS.WritableStream>(
      destination: Destination,
      ...options: [{ end?: boolean }?]
    ): Destination => {
      socket.pipe = pipe;
      this.#guardWrite(destination, socket);
      openByOneWrite(destination, socket);
      return Reflect.apply(pipe, socket, [destination, ...options]) as Destination;
    };
  }

  #guardWrite(reader: NodeJS.WritableStream, socket: Duplex): void {
    const { write } = reader;
    reader.write = (...chunk: unknown[]) => {
      // what the client has sent may end the connection at once, and with it what is kept back
      socket.uncork();
      try {
        return Reflect.apply(write, reader, chunk);
      } catch (error) {
        this.#parts.reporter.error("a WebSocket's bytes could not be read", error);
        socket.destroy();
        return true;
      }
    };
  }

  #refuse({ req, refuse }: Visitor, refusal: HttpRefusal): void {
    this.#report(req.ip, refusal);
    refuse(refusal);
  }

  #report(ip: string | undefined, { status, reason }: HttpRefusal): void {
    // not the path: it may hold a session's id; and what a proxy passes on as the IP may be any text of the client's
    const name = JSON.stringify(ip?.slice(0, LONGEST_IP) ?? "nobody");
    this.#parts.reporter.debug(() => `a request of ${name} was refused: ${status} ${reason}`);
  }
}

/**
 * Whoever has been answered for the last time need not stay until the other side agrees: what it has sent and nobody
 * reads would hide that it does.
 */
function endWithAnswer(socket: Duplex): void {
  socket.on("finish", destroy);
}

function destroy(this: Duplex): void {
  this.destroy();
}

/**
 * SockJS opens its session by a frame of its own as soon as its WebSocket has accepted an upgrade: one write to the TCP
 * connection takes both. A refusal is not kept back, since the connection is destroyed after it at once.
 */
function openByOneWrite(webSocket: NodeJS.WritableStream, socket: Duplex): void {
  webSocket.once("data", (answer: Buffer) => {
    if (answer.toString("latin1", 0, ACCEPTANCE.length) !== ACCEPTANCE) return;
    socket.cork();
    process.nextTick(uncork, socket);
  });
}

const ACCEPTANCE = "HTTP/1.1 101 ";

function uncork(socket: Duplex): void {
  socket.uncork();
}

function ignore(): void {}

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
