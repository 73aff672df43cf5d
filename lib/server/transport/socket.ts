import type { Server } from "node:http";

/** The part of a SockJS connection (`sockjs` 0.3) that applications and this library use. */
export interface SockJSConnection {
  readonly id: string;
  /** The address of the TCP connection's other side; undefined where it has none, as a unix socket. */
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly url: string;
  readonly pathname: string;
  readonly prefix: string;
  readonly protocol: string;
  readonly readyState: number;
  /** A fixed choice of the request's headers, as SockJS makes it. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  write(message: string): boolean;
  close(code?: number, reason?: string): boolean;
  /** Writes a last message and closes. */
  end(message?: string): unknown;
  on(event: "data", listener: (message: string) => void): unknown;
  on(event: "close", listener: () => void): unknown;
  once(event: "close", listener: () => void): unknown;
  removeListener(event: "data", listener: (message: string) => void): unknown;
  removeListener(event: "close", listener: () => void): unknown;
}

/** Options of a SockJS server's handlers, as `installHandlers` takes them. */
export type SockJSOptions = { readonly [name: string]: unknown };

/** A SockJS server, as `sockjs.createServer()` makes one. */
export interface SockJSServer {
  installHandlers(server: Server, options?: { [name: string]: unknown }): unknown;
  on(event: "connection", listener: (connection: SockJSConnection) => void): unknown;
  emit(event: "connection", connection: SockJSConnection): boolean;
  removeListener(event: "connection", listener: (connection: SockJSConnection) => void): unknown;
}

/** A connection that has not authenticated yet. */
export interface PendingSocket extends SockJSConnection {
  /** This library's id of the connection, a uuid. */
  readonly sid: string;
  /** The time of the connection, in milliseconds since 1970. */
  readonly created: number;
  /** The `data` of `verifyConnection`'s answer. */
  readonly data: unknown;
  /** Its keys are the channels that it has joined; without a prototype. */
  readonly channels: Readonly<Record<string, true>>;
}

/** An identity, and the address of the request that it was given to: the token request or, by `verifyToken`, the connection's. */
export interface Identity<Auth = Record<string, unknown>> {
  readonly auth: Auth;
  /** Express's `req.host` of that request: the host with its port, `trust proxy` respected. */
  readonly host: string;
  /** Express's `req.ip` of that request, `trust proxy` respected. */
  readonly ip: string;
  /** Express's `req.ips` of that request, `trust proxy` respected. */
  readonly ips: readonly string[];
}

/** A connection with an identity: a SockJS connection, decorated. */
export interface Socket<Auth = Record<string, unknown>> extends PendingSocket, Identity<Auth> {}

/** A connection that may have an identity or not. */
export type AnySocket<Auth = Record<string, unknown>> = PendingSocket & Partial<Identity<Auth>>;
