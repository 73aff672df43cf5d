import { v4 as uuid } from "uuid";
import type { CloseReason } from "../shared/close-codes.js";
import type { PendingSocket, SockJSConnection, SockJSServer } from "./socket.js";

/** Each SockJS server's routes: which prefix is whose. */
const routes = new WeakMap<SockJSServer, Map<(connection: SockJSConnection) => void, string>>();

/**
 * Listens to a SockJS server's new connections until the function that it returns is called. Where several
 * listen to one SockJS server, each gets the connections of its own prefix; a single one gets all.
 */
export function onConnection(
  server: SockJSServer,
  prefix: string,
  accept: (connection: SockJSConnection) => void,
): () => void {
  const listeners = routes.get(server) ?? new Map<(connection: SockJSConnection) => void, string>();
  routes.set(server, listeners);
  listeners.set(accept, prefix);
  const listener = (connection: SockJSConnection | null) => {
    // SockJS gives null for a connection that has closed within the turn in which it opened
    if (connection && (listeners.size === 1 || connection.prefix === prefix)) accept(connection);
  };
  server.on("connection", listener);
  return () => {
    listeners.delete(accept);
    server.removeListener("connection", listener);
  };
}

/** A SockJS connection through the small interface that the rest needs. */
export class SockJSTransport {
  readonly socket: PendingSocket;
  readonly #connection: SockJSConnection;

  constructor(connection: SockJSConnection) {
    this.#connection = connection;
    this.socket = Object.assign(connection, {
      sid: uuid(),
      created: Date.now(),
      channels: Object.create(null) as Record<string, true>,
    });
  }

  /** Hands over what the client sends, which may be no string, and tells of the end. */
  listen(onMessage: (message: unknown) => void, onClose: () => void): void {
    // SockJS fails when a connection is closed within this event while its message holds further frames
    this.#connection.on("data", (message: unknown) => queueMicrotask(() => onMessage(message)));
    this.#connection.on("close", () => queueMicrotask(onClose));
  }

  write(frame: string): void {
    this.#connection.write(frame);
  }

  close({ code, reason }: CloseReason): void {
    this.#connection.close(code, reason);
  }
}
