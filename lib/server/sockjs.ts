import { v4 as uuid } from "uuid";
import type { CloseReason } from "../shared/close-codes.js";
import type { Bundle, Bundles } from "./bundles.js";
import type { PendingSocket, SockJSConnection, SockJSServer } from "./socket.js";
import {
  forgetHandshake,
  type KnownWebSocket,
  knownWebSocket,
  sessionOf,
  socketOf,
  type TcpSocket,
} from "./sockjs-session.js";
import { writeBundle } from "./sockjs-writer.js";
import { readFast } from "./websocket-reader.js";

/** The SockJS servers that somebody listens to, and whether there has been more than one. */
const sharing = new WeakMap<SockJSServer, { isShared: boolean }>();

/**
 * Listens to a SockJS server's new connections until the function that it returns is called. Where several
 * listen to one SockJS server, each gets the connections of its own prefix, and the first one where that is the same; a
 * single one gets all.
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
    if (!connection || TRANSPORT in connection) return;
    if (!state.isShared || connection.prefix === prefix) accept(connection);
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
  const session = sessionOf(connection);
  return session?.session_id ?? session?.recv?.connection ?? undefined;
}

/** What is told of a connection. */
export interface SockJSListener {
  /** Takes what the client sends, which may be no string. */
  receive(message: unknown): void;
  /** Called at the end; also again. */
  ended(): void;
}

/** By it a connection finds its transport, so that thousands of them share the functions that they are given. */
const TRANSPORT = Symbol("transport");

/** A SockJS connection through the small interface that the rest needs. */
export class SockJSTransport {
  readonly socket: PendingSocket;
  readonly #connection: SockJSConnection;
  readonly #listener: SockJSListener;
  readonly #bundles: Bundles;
  #webSocket: KnownWebSocket | undefined;
  /** The TCP connection of a WebSocket. */
  #tcp: TcpSocket | undefined;
  /** What SockJS has for it, or what the application has put around that. */
  readonly #write: SockJSConnection["write"];
  readonly #close: SockJSConnection["close"];
  /** What has come and has not been handed over yet. */
  #coming: unknown[] | undefined;
  /** What is sent at the end of this turn of the event loop. */
  #bundle: Bundle | undefined;
  /** The length of what SockJS keeps. */
  #unsent = 0;
  readonly #isWrapped: boolean;

  /** `data` is what the application knows of the connection already. */
  constructor(connection: SockJSConnection, listener: SockJSListener, bundles: Bundles, data: unknown) {
    this.#connection = connection;
    this.#listener = listener;
    this.#bundles = bundles;
    this.#webSocket = knownWebSocket(connection);
    if (this.#webSocket) readFast(this.#webSocket.driver);
    this.#tcp = WEBSOCKETS.has(connection.protocol) ? (socketOf(connection) ?? undefined) : undefined;
    this.#isWrapped = Object.hasOwn(connection, "write");
    this.#write = connection.write;
    this.#close = connection.close;
    const own: OwnMethods = { [TRANSPORT]: this, write, close, destroy };
    this.socket = Object.assign(connection, own, {
      sid: newId(),
      created: Date.now(),
      data,
      channels: Object.create(null) as Record<string, true>,
    });
    connection.on("data", onData);
    connection.on("close", onClose);
  }

  /** Takes what has come. SockJS fails when a connection is closed while its message holds further frames. */
  receive(message: unknown): void {
    // one task for all of them: the smallest come by the hundred thousand
    if (this.#coming) {
      this.#coming.push(message);
      return;
    }
    this.#coming = [message];
    queueMicrotask(() => {
      const messages = this.#coming ?? [];
      this.#coming = undefined;
      for (const one of messages) this.#listener.receive(one);
    });
  }

  /** Called when SockJS has closed it. */
  ended(): void {
    this.#cutOff();
    queueMicrotask(() => this.#listener.ended());
  }

  /** Closes it, as the application may, too; SockJS tells of that as late as the client's next poll. */
  end(...reason: Parameters<SockJSConnection["close"]>): boolean {
    this.flush();
    const isClosing = Reflect.apply(this.#close, this.#connection, reason);
    if (isClosing) {
      this.#cutOff();
      this.#listener.ended();
    }
    return isClosing;
  }

  /** Writes what the application sends by itself, in order with the rest. */
  writeByHand(message: string): boolean {
    this.flush();
    return Reflect.apply(this.#write, this.#connection, [message]);
  }

  /**
   * Ends a WebSocket's TCP connection a while after the farewell. A client may never answer that, and SockJS would wait
   * for it, at last without an end; other transports are ended by HTTP.
   */
  #cutOff(): void {
    destroySoon(this.#tcp);
    // the application may keep the socket for long
    this.#tcp = undefined;
    this.#webSocket = undefined;
  }

  /** Sends a message at the end of this turn of the event loop, together with others. */
  write(frame: string): void {
    this.#bundle = this.#bundle ? this.#bundles.join(this.#bundle, frame) : this.#bundles.begin(this, frame);
    if (this.#bundle.length > LARGEST_BUNDLE) this.flush();
  }

  /** Sends what waits for the end of this turn; says whether there was anything. */
  flush(): boolean {
    const bundle = this.#bundle;
    if (!bundle) return false;
    this.#bundle = undefined;
    const isGone =
      this.#isWrapped || this.#connection.write !== write
        ? this.#writeEach(bundle)
        : writeBundle(bundle, this.#connection, this.#write, this.#webSocket);
    this.#unsent = isGone ? 0 : this.#unsent + bundle.length;
    return true;
  }

  /** Lets what the application has put around `write` have each message; says whether SockJS keeps nothing of them. */
  #writeEach(bundle: Bundle): boolean {
    for (const message of bundle.messages) {
      try {
        this.#connection.write(message);
      } catch (error) {
        // neither the other messages nor the close that they come before are to suffer
        this.#bundles.onError(error);
      }
    }
    return !sessionOf(this.#connection)?.send_buffer?.length;
  }

  /** Bytes that the client has not taken yet, as far as SockJS lets them be known: kept by it, and in its TCP socket. */
  get backlog(): number {
    if (this.#unsent > 0 && sessionOf(this.#connection)?.send_buffer?.length === 0) this.#unsent = 0;
    const tcp = this.#tcp ?? socketOf(this.#connection);
    return (this.#bundle?.length ?? 0) + this.#unsent + (tcp?.writableLength ?? 0);
  }

  close({ code, reason }: CloseReason): void {
    this.#connection.close(code, reason);
  }

  /** Lets go of what only the beginning of a connection needs. */
  settle(): void {
    if (this.#webSocket) forgetHandshake(this.#webSocket);
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

/** A uuid. What is put together, as uuid does it, takes ten times the memory until it is copied. */
function newId(): string {
  return Buffer.from(uuid()).toString("latin1");
}

/** What a connection has of its own in place of what SockJS gives to all; `this` is the connection. */
type OwnMethods = Pick<SockJSConnection, "write" | "close"> & {
  readonly [TRANSPORT]: SockJSTransport;
  destroy(): void;
};

function onData(this: unknown, message: unknown): void {
  transportOf(this).receive(message);
}

function onClose(this: unknown): void {
  transportOf(this).ended();
}

function write(this: unknown, message: string): boolean {
  return transportOf(this).writeByHand(message);
}

function close(this: unknown, ...reason: Parameters<SockJSConnection["close"]>): boolean {
  return transportOf(this).end(...reason);
}

/** SockJS's own takes all listeners off, also those by which connections are counted. */
function destroy(this: SockJSConnection): void {
  this.end();
}

function transportOf(connection: unknown): SockJSTransport {
  return (connection as OwnMethods)[TRANSPORT];
}

/** More characters than this do not wait for the end of a turn. */
const LARGEST_BUNDLE = 65_536;

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
