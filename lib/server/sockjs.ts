import { v4 as uuid } from "uuid";
import type { CloseReason } from "../shared/close-codes.js";
import type { PendingSocket, SockJSConnection, SockJSServer } from "./socket.js";

/** The SockJS servers that somebody listens to, and whether there has been more than one. */
const sharing = new WeakMap<SockJSServer, { isShared: boolean }>();

/**
 * Listens to a SockJS server's new connections until the function that it returns is called. Where several
 * listen to one SockJS server, each gets the connections of its own prefix; a single one gets all.
 */
export function onConnection(
  server: SockJSServer,
  prefix: string,
  accept: (connection: SockJSConnection) => void,
): () => void {
  const known = sharing.get(server);
  const state = known ?? { isShared: false };
  if (known) known.isShared = true;
  else sharing.set(server, state);
  const listener = (connection: SockJSConnection | null) => {
    // SockJS gives null for a connection that has closed within the turn in which it opened
    if (connection && (!state.isShared || connection.prefix === prefix)) accept(connection);
  };
  server.on("connection", listener);
  return () => {
    if (!state.isShared) sharing.delete(server);
    server.removeListener("connection", listener);
  };
}

/**
 * What a connection can be told by where its requests are seen: the id of its session, which is in their paths, or for
 * a WebSocket, which has none, its TCP connection.
 */
export function keyOf(connection: SockJSConnection): string | object | undefined {
  const { _session } = connection as { _session?: { session_id?: string; recv?: { connection?: object } } };
  return _session?.session_id ?? _session?.recv?.connection;
}

/** A SockJS connection through the small interface that the rest needs. */
export class SockJSTransport {
  readonly socket: PendingSocket;
  readonly #connection: SockJSConnection;

  /** `data` is what the application knows of the connection already. */
  constructor(connection: SockJSConnection, data?: unknown) {
    this.#connection = connection;
    this.socket = Object.assign(connection, {
      sid: uuid(),
      created: Date.now(),
      data,
      channels: Object.create(null) as Record<string, true>,
    });
  }

  /** Hands over what the client sends, which may be no string, and tells of the end. */
  listen(onMessage: (message: unknown) => void, onClose: () => void): void {
    // SockJS fails when a connection is closed within this event while its message holds further frames
    this.#connection.on("data", (message: unknown) => queueMicrotask(() => onMessage(message)));
    this.#connection.on("close", () => queueMicrotask(onClose));
    // the application may close a socket, too, and SockJS tells of that as late as the client's next poll
    const { close } = this.#connection;
    this.#connection.close = (...reason) => {
      const isClosing = Reflect.apply(close, this.#connection, reason);
      if (isClosing) onClose();
      return isClosing;
    };
  }

  write(frame: string): void {
    this.#connection.write(frame);
  }

  close({ code, reason }: CloseReason): void {
    this.#connection.close(code, reason);
  }
}
