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
  /** The length of what SockJS keeps. */
  #unsent = 0;

  /** `data` is what the application knows of the connection already. */
  constructor(connection: SockJSConnection, data?: unknown) {
    this.#connection = connection;
    this.socket = Object.assign(connection, {
      sid: uuid(),
      created: Date.now(),
      data,
      channels: Object.create(null) as Record<string, true>,
      // SockJS's own takes all listeners off, also those by which connections are counted
      destroy: () => connection.end(),
    });
  }

  /** Hands over what the client sends, which may be no string, and tells of the end. */
  listen(onMessage: (message: unknown) => void, onClose: () => void): void {
    // SockJS fails when a connection is closed within this event while its message holds further frames
    let coming: unknown[] = [];
    this.#connection.on("data", (message: unknown) => {
      // one task for all of them: the smallest come by the hundred thousand
      if (coming.push(message) > 1) return;
      queueMicrotask(() => {
        const messages = coming;
        coming = [];
        for (const one of messages) onMessage(one);
      });
    });
    const cutOff = this.#cutOff();
    this.#connection.on("close", () => {
      cutOff();
      queueMicrotask(onClose);
    });
    // the application may close a socket, too, and SockJS tells of that as late as the client's next poll
    const { close } = this.#connection;
    this.#connection.close = (...reason) => {
      const isClosing = Reflect.apply(close, this.#connection, reason);
      if (isClosing) {
        cutOff();
        onClose();
      }
      return isClosing;
    };
  }

  /**
   * Gives the function that ends a WebSocket's TCP connection a while after the farewell. A client may never answer that,
   * and SockJS would wait for it, at last without an end; other transports are ended by HTTP.
   */
  #cutOff(): () => void {
    const socket = WEBSOCKETS.has(this.#connection.protocol) ? socketOf(this.#connection) : undefined;
    let isDue = false;
    return () => {
      if (isDue) return;
      isDue = true;
      destroySoon(socket);
    };
  }

  write(frame: string): void {
    this.#connection.write(frame);
    // SockJS keeps what a client has not fetched yet
    const unsent = sessionOf(this.#connection)?.send_buffer?.length ?? 0;
    this.#unsent = unsent === 0 ? 0 : this.#unsent + frame.length;
  }

  /** Bytes that the client has not taken yet, as far as SockJS lets them be known: kept by it, and in its TCP socket. */
  get backlog(): number {
    if (sessionOf(this.#connection)?.send_buffer?.length === 0) this.#unsent = 0;
    return this.#unsent + (socketOf(this.#connection)?.writableLength ?? 0);
  }

  close({ code, reason }: CloseReason): void {
    this.#connection.close(code, reason);
  }

  /** Whether SockJS leaves it to others to notice that the client has gone without a word. */
  get isUnwatched(): boolean {
    return this.#connection.protocol === "websocket-raw" || STREAMING.has(this.#connection.protocol);
  }

  /**
   * Asks the client for a sign of life; says whether `alive` is going to be called for one. A streaming client gets the
   * end of its response instead, as SockJS does it from time to time: it has to ask for another one, or SockJS closes
   * the connection.
   */
  askForLife(alive: () => void): boolean {
    const session = sessionOf(this.#connection);
    if (this.#connection.protocol === "websocket-raw") return session?.ws?.ping?.("", alive) === true;
    session?.recv?.didClose?.();
    return false;
  }

  /** Closes a connection whose client takes nothing any more, and so does not take the farewell either. */
  abandon(reason: CloseReason): void {
    const socket = socketOf(this.#connection);
    this.close(reason);
    // that of a WebSocket ends in any case
    if (!WEBSOCKETS.has(this.#connection.protocol)) destroySoon(socket);
  }
}

/** How long a client gets to learn why it is closed, and to answer, in milliseconds. */
const FAREWELL = 5000;

/** Destroys a TCP connection after the time for a farewell, unless it has ended by then. */
function destroySoon(socket: TcpSocket | null | undefined): void {
  if (!socket || socket.destroyed) return;
  const timer = setTimeout(() => socket.destroy?.(), FAREWELL).unref();
  socket.once?.("close", () => clearTimeout(timer));
}

const WEBSOCKETS = new Set(["websocket", "websocket-raw"]);

/** The transports over which SockJS writes one long response. */
const STREAMING = new Set(["xhr-streaming", "eventsource", "htmlfile"]);

/** The part of a TCP socket that is needed here. */
interface TcpSocket {
  readonly writableLength?: number;
  readonly destroyed?: boolean;
  destroy?(): void;
  once?(event: "close", listener: () => void): unknown;
}

/** The part of SockJS's own session (0.3) that tells what waits for the client; another version may lack any of it. */
interface Session {
  readonly send_buffer?: readonly string[];
  readonly recv?: {
    readonly connection?: TcpSocket | null;
    readonly response?: { readonly socket?: TcpSocket | null } | null;
    didClose?(): void;
  } | null;
  readonly ws?: { ping?(message: string, onPong: () => void): boolean } | null;
}

function sessionOf(connection: SockJSConnection): Session | undefined {
  return (connection as { readonly _session?: Session })._session;
}

/** The socket to which the session writes just now; there is none between two polls. */
function socketOf(connection: SockJSConnection): TcpSocket | null | undefined {
  const receiver = sessionOf(connection)?.recv;
  return receiver?.connection ?? receiver?.response?.socket;
}
