import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Express, Request } from "express";
import { within } from "../limits/in-time.js";
import type { Limits } from "../limits/limits.js";
import { type NoPlace, type PendingConnection, PendingConnections } from "../limits/pending-connections.js";
import type { UnfinishedBytes } from "../limits/unfinished-bytes.js";
import type { Reporter } from "../log/reporter.js";
import type { Heartbeats } from "../transport/heartbeats.js";
import type { SockJSConnection, SockJSOptions, SockJSServer } from "../transport/socket.js";
import { type WebSocketOptions, WebSockets } from "../transport/websockets.js";
import type { WriteBatcher } from "../transport/write-batcher.js";
import { readBody } from "./body.js";
import { watchClient } from "./client-watch.js";
import { expressRequest } from "./handshake-request.js";
import { checkHttpServer, type HttpServer, intercept } from "./interception.js";
import type { Origins } from "./origins.js";
import { type HttpRefusal, refuseRequest, refuseUpgrade } from "./refusal.js";
import { handlerOptions, SockJSHandlers } from "./sockjs-handlers.js";
import { SockJSPaths, type Target } from "./sockjs-paths.js";
import { type VerificationResult, type VerifyFunction, verificationResultOf } from "./verify-connection.js";

/** The parts of the server that the handshake needs. */
export interface HandshakesParts {
  readonly app: Express;
  readonly socketServer: SockJSServer;
  readonly origins: Origins;
  readonly options: {
    readonly prefix: string;
    readonly limits: Limits;
    readonly authTimeout: number;
    readonly verifyConnection: VerifyFunction | undefined;
    readonly webSocket: WebSocketOptions;
  };
  readonly unfinishedBytes: UnfinishedBytes;
  readonly writeBatcher: WriteBatcher;
  /** Absent where they are off. */
  readonly heartbeats: Heartbeats | undefined;
  readonly reporter: Reporter;
}

/** A request or an upgrade, and what can be done with it. */
interface HandshakeRequest {
  readonly req: Request;
  readonly target: Target;
  readonly isUpgrade: boolean;
  /** Serves it; where it opens a connection, that one has this place. */
  serve(place?: PendingConnection): void;
  /** Calls back when it has been answered, or the client has gone. */
  onEnd(listener: () => void): void;
  /** Has an end of the client noticed while it waits; gives the function by which it goes on, unless the client has gone. */
  watch(): (goOn: () => void) => void;
  refuse(refusal: HttpRefusal): void;
}

const NO_PLACE: Readonly<Record<NoPlace, HttpRefusal>> = {
  "address full": { status: 429, reason: "Too many connections", retryAfter: 5 },
  "server full": { status: 503, reason: "Too many unauthenticated connections", retryAfter: 5 },
};

/** The number of messages of the largest size that fit into one body or frame. */
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
const OUTDATED: HttpRefusal = {
  status: 400,
  reason: "Not a WebSocket of RFC 6455",
  headers: { "Sec-WebSocket-Version": WEBSOCKET_VERSION },
};
const NO_GET: HttpRefusal = { status: 405, reason: "Method not allowed", headers: { Allow: "GET" } };
const FORBIDDEN_ORIGIN: HttpRefusal = { status: 403, reason: "Forbidden origin" };
const BUSY: HttpRefusal = { status: 409, reason: "The session is being opened" };
const FAILED: HttpRefusal = { status: 500, reason: "Internal error" };
const TIMED_OUT: HttpRefusal = { status: 503, reason: "Not verified in time", retryAfter: 5 };
const CLOSED: HttpRefusal = { status: 503, reason: "Server shutting down" };

/** Stands before SockJS: what comes under the prefix, over HTTP or as an upgrade, has to get past it. */
export class Handshakes {
  readonly #parts: HandshakesParts;
  readonly #paths: SockJSPaths;
  readonly #pending: PendingConnections;
  /** The sessions of SockJS's HTTP transports, until SockJS forgets them. */
  readonly #sessions = new Map<string, PendingConnection>();
  /** By TCP connections: a response that waits there behind another one is not told of the end. */
  readonly #waiting = new WeakMap<Socket, Set<() => void>>();
  #isPaused = false;
  #isClosed = false;

  constructor(parts: HandshakesParts) {
    this.#parts = parts;
    const { limits, prefix } = parts.options;
    this.#pending = new PendingConnections(limits);
    this.#paths = new SockJSPaths(prefix);
  }

  get #isEnding(): boolean {
    return this.#isPaused || this.#isClosed;
  }

  /** Bytes of what may carry several messages: a POST body, a WebSocket frame. */
  get #unitBytes(): number {
    return MESSAGES_PER_UNIT * this.#parts.options.limits.messageBytes;
  }

  /**
   * Serves the SockJS server's clients on an HTTP server, and decides on each of their requests: WebSockets by `ws`, and the rest by SockJS. Throws a
   * `TypeError` for what is no HTTP server, or for options that SockJS may not be given.
   */
  attach(httpServer: HttpServer, sockjsOptions: SockJSOptions, scriptPath: string | undefined): void {
    const { socketServer, unfinishedBytes, writeBatcher, heartbeats, reporter } = this.#parts;
    const { prefix, webSocket } = this.#parts.options;
    checkHttpServer(httpServer);
    const options = handlerOptions(sockjsOptions, prefix);
    const handlers = new SockJSHandlers(socketServer, options, scriptPath, reporter);
    const webSockets = handlers.hasWebSockets
      ? new WebSockets({
          prefix,
          frameBytes: this.#unitBytes,
          options: webSocket,
          sessionHeartbeat: handlers.heartbeatDelay,
          heartbeats,
          writeBatcher,
          unfinishedBytes,
          onConnection: (connection) => socketServer.emit("connection", connection),
          onError: (context, error) => reporter.error(context, error),
        })
      : undefined;
    const takesFromAnother = intercept(httpServer, {
      prefix,
      owner: this,
      isClosed: () => this.#isClosed,
      target: (req) => this.#targetOf(req),
      request: (target, req, res) =>
        this.#guarded(
          () => this.#takeRequest(handlers, target, req, res),
          (refusal) => refuseRequest(res, refusal),
        ),
      upgrade: (target, req, socket, head) =>
        this.#guarded(
          () => this.#takeUpgrade(webSockets, target, req, socket, head),
          (refusal) => refuseUpgrade(socket, refusal),
        ),
    });
    if (takesFromAnother) {
      reporter.warn(
        `another token server with the prefix ${JSON.stringify(prefix)} is attached to the same HTTP server, and gets no more clients: give each a prefix of its own, or shut the other one down first`,
      );
    }
  }

  /** Whatever a function of the application does, a stranger's request ends with an answer. */
  #guarded(take: () => void, refuse: (refusal: HttpRefusal) => void): void {
    try {
      take();
    } catch (error) {
      this.#parts.reporter.error("a request for a connection could not be served", error);
      refuse(FAILED);
    }
  }

  #takeRequest(handlers: SockJSHandlers, target: Target, req: IncomingMessage, res: ServerResponse): void {
    this.#meet({
      req: this.#expressRequest(req),
      target,
      isUpgrade: false,
      serve: () => {
        if (target.kind === "iframe" && !handlers.hasIframe) return refuseRequest(res, NOT_FOUND);
        this.#passBody(target, req, res, () => handlers.serve(req, res));
      },
      onEnd: (listener) => this.#onEnd(req.socket, res, listener),
      // Node.js does
      watch: () => (goOn) => goOn(),
      refuse: (refusal) => refuseRequest(res, refusal),
    });
  }

  #takeUpgrade(
    webSockets: WebSockets | undefined,
    target: Target,
    req: IncomingMessage,
    socket: Duplex,
    head: Buffer,
  ): void {
    const refuse = (refusal: HttpRefusal) => refuseUpgrade(socket, refusal);
    let end: (() => void) | undefined;
    this.#meet({
      req: this.#expressRequest(req),
      target,
      isUpgrade: true,
      serve: (place) => {
        if (!webSockets || !place || target.kind !== "websocket") return refuse(NOT_FOUND);
        webSockets.open(req, socket, head, target.framing, place);
        // the connection gives its place back by itself; what it does not need it need not keep
        // Stryker disable next-line ConditionalExpression: what it keeps only takes memory
        if (end && place.state === "inside") socket.off("close", end);
      },
      onEnd: (listener) => {
        end = listener;
        socket.on("close", end);
      },
      watch: () => watchClient(socket),
      refuse,
    });
  }

  /** Tells what a request asks for; undefined if its path is not below the prefix. Its URL may have the absolute form (RFC 9112, section 3.2.2). */
  #targetOf(req: IncomingMessage): Target | undefined {
    // Stryker disable next-line StringLiteral: what comes to a server has a URL
    const given = req.url ?? "";
    // Stryker disable next-line ConditionalExpression: it is only quicker, for nearly all that come
    const url = given.startsWith("/") ? given : given.replace(AUTHORITY, "");
    const target = this.#paths.target(url);
    if (target) req.url = url;
    return target;
  }

  /** Gives the place of a connection that SockJS has made of a request. */
  claim(connection: SockJSConnection): PendingConnection | undefined {
    const target = this.#paths.target(connection.url);
    if (target?.kind !== "receive") return undefined;
    const { session } = target;
    const place = this.#sessions.get(session);
    if (!place) return undefined;
    place.state = "inside";
    connection.once("close", () => this.#release(place, session));
    return place;
  }

  /**
   * Lets nobody in for the time being. Requests of sessions that it does not know are refused like new ones, with a status at
   * which proxies ask another server, which may be the one that has let the session in.
   */
  pause(): void {
    this.#isPaused = true;
  }

  /** Lets nobody in any more. Sessions that are in may fetch what they have not got, such as why they were closed. */
  close(): void {
    this.#isClosed = true;
  }

  #expressRequest(req: IncomingMessage): Request {
    const { app, options } = this.#parts;
    // Stryker disable next-line ConditionalExpression: what is no stream is only quicker
    return expressRequest(app, req, options.verifyConnection !== undefined);
  }

  #meet(request: HandshakeRequest): void {
    const refusal = this.#refusalOf(request);
    if (refusal) return this.#refuse(request, refusal);
    const { target, isUpgrade } = request;
    if (target.kind === "receive") this.#admit(request, target.session);
    else if (isUpgrade) this.#admit(request, undefined);
    else request.serve();
  }

  /** Lets in who opens a connection, if there is room and the application agrees. A WebSocket has no session. */
  #admit(request: HandshakeRequest, session: string | undefined): void {
    // Stryker disable next-line ConditionalExpression: nobody has no session
    const known = session === undefined ? undefined : this.#sessions.get(session);
    // a second request that went on after the end of the first one would open a connection without a place
    if (known) return known.state === "inside" ? request.serve() : this.#refuse(request, BUSY);
    const place = this.#pending.open(request.req.ip);
    if (typeof place === "string") return this.#refuse(request, NO_PLACE[place]);
    if (session !== undefined) this.#sessions.set(session, place);
    const enter = (verdict: VerificationResult) => {
      if (place.state === "gone") return;
      if ("status" in verdict || this.#isEnding) {
        this.#release(place, session);
        return this.#refuse(request, "status" in verdict ? verdict : CLOSED);
      }
      place.data = verdict.data;
      place.state = "entering";
      this.#guarded(
        () => request.serve(place),
        (refusal) => request.refuse(refusal),
      );
    };
    const verdict = this.#verify(request.req);
    if (!(verdict instanceof Promise)) {
      enter(verdict);
      // a connection that is open by now gives its place back by itself
      // Stryker disable next-line ConditionalExpression: as before
      if (place.state === "entering") this.#releaseAtEnd(request.onEnd, place, session);
      return;
    }
    this.#releaseAtEnd(request.onEnd, place, session);
    const goOn = request.watch();
    void verdict.then((decided) => goOn(() => enter(decided)));
  }

  /** Keeps nothing else of the request: that of a WebSocket ends with it. */
  #releaseAtEnd(
    onEnd: HandshakeRequest["onEnd"],
    place: PendingConnection,
    session: string | undefined,
  ): void {
    onEnd(() => {
      // a connection goes on after the request that has opened it
      if (place.state !== "inside") this.#release(place, session);
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

  #release(place: PendingConnection, session: string | undefined): void {
    if (session !== undefined && this.#sessions.get(session) === place) this.#sessions.delete(session);
    place.leave();
  }

  #verify(req: Request): VerificationResult | Promise<VerificationResult> {
    const { verifyConnection, authTimeout } = this.#parts.options;
    if (!verifyConnection) return { data: undefined };
    const failed = (error: unknown): VerificationResult => {
      this.#parts.reporter.error("verifyConnection failed", error);
      return FAILED;
    };
    try {
      const answer = verifyConnection(req);
      if (!(answer instanceof Promise)) return verificationResultOf(answer);
      return within(authTimeout, answer.then(verificationResultOf).catch(failed), () => TIMED_OUT);
    } catch (error) {
      return failed(error);
    }
  }

  #refusalOf({ req, target, isUpgrade }: HandshakeRequest): HttpRefusal | undefined {
    if (target.kind === "malformed") return MALFORMED;
    if (isUpgrade && target.kind !== "websocket") return NOT_FOUND;
    if (isUpgrade && req.method !== "GET") return NO_GET;
    if (isUpgrade && req.get("sec-websocket-version") !== WEBSOCKET_VERSION) return OUTDATED;
    if (this.#isEnding && !("session" in target && this.#sessions.has(target.session))) return CLOSED;
    if (target.kind === "send" && !this.#sessions.has(target.session)) return NO_SESSION;
    if (this.#parts.origins.of(req, isUpgrade) === "refused") return FORBIDDEN_ORIGIN;
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
    const { unfinishedBytes, options } = this.#parts;
    const isSend = target.kind === "send";
    const isStranger = !(isSend && this.#sessions.get(target.session)?.isAuthenticated);
    const bounds = {
      bytes: isSend ? this.#unitBytes : UNUSED_BODY,
      time: options.limits.bodyTimeout,
      all: isStranger ? unfinishedBytes : undefined,
    };
    readBody(req, bounds, (body) => {
      if ("status" in body) {
        this.#report(req.socket.remoteAddress, body);
        return refuseRequest(res, body);
      }
      pass();
      // to what SockJS has put there by now, to which an empty piece adds nothing; the stream itself has ended
      req.emit("data", body);
      req.emit("end");
    });
  }

  #refuse({ req, refuse }: HandshakeRequest, refusal: HttpRefusal): void {
    this.#report(req.ip, refusal);
    refuse(refusal);
  }

  #report(ip: string | undefined, { status, reason }: HttpRefusal): void {
    // not the path: it may hold a session's id; and what a proxy passes on as the IP may be any text of the client's
    const name = JSON.stringify(ip?.slice(0, LONGEST_IP) ?? "nobody");
    this.#parts.reporter.debug(() => `a request of ${name} was refused: ${status} ${reason}`);
  }
}

/** The part before the path in a URL of the absolute form. */
const AUTHORITY = /^https?:\/\/[^/?#]*/i;
