import type { EventEmitter } from "node:events";
import { CLOSE, type CloseReason } from "../../shared/close-codes.js";
import type { PendingConnection } from "../limits/pending-connections.js";
import type { Beating, Heartbeats } from "./heartbeats.js";
import type { PendingSocket, SockJSConnection } from "./socket.js";
import {
  endResponse,
  keepsMessages,
  type ResponseSocket,
  responseSocketOf,
  STREAMING,
} from "./sockjs-session.js";
import { FAREWELL, TRANSPORT, type Transport, type TransportListener } from "./transport.js";
import { newId } from "./websocket-connection.js";
import type { WriteBatch, WriteBatcher } from "./write-batcher.js";

/** The part of a server that its connections of SockJS share. */
export interface SockJSParts {
  readonly writeBatcher: WriteBatcher;
  /** Absent where they are off. */
  readonly heartbeats: Heartbeats | undefined;
  /** Told what a listener of the application has thrown. */
  readonly onError: (context: string, error: unknown) => void;
}

/**
 * The transport over a connection of SockJS's own: one of its HTTP transports, or, where its handlers were installed
 * without `attach`, its WebSocket. It goes by what SockJS offers in public, but for what waits for a client.
 */
export class SockJSTransport implements Transport, Beating {
  readonly socket: PendingSocket;
  readonly #connection: SockJSConnection;
  readonly #parts: SockJSParts;
  /** Absent where there is no `attach`. */
  readonly #pending: PendingConnection | undefined;
  #listener: TransportListener | undefined;
  // what SockJS has for it, or what an application has put around that
  readonly #write: SockJSConnection["write"];
  readonly #close: SockJSConnection["close"];
  readonly #emit: EventEmitter["emit"];
  /** Messages that have come and have not been handed over yet. */
  #coming: unknown[] | undefined;
  /** The messages that are sent at the end of this turn of the event loop. */
  #batch: WriteBatch | undefined;
  /** The length of what SockJS keeps. */
  #unsent = 0;

  constructor(connection: SockJSConnection, pending: PendingConnection | undefined, parts: SockJSParts) {
    this.#connection = connection;
    this.#pending = pending;
    this.#parts = parts;
    this.#write = connection.write;
    this.#close = connection.close;
    this.#emit = (connection as unknown as EventEmitter).emit;
    const own: OwnMethods = { [TRANSPORT]: this, write, close, destroy, emit };
    this.socket = Object.assign(connection, own, {
      sid: newId(),
      created: Date.now(),
      data: pending?.data,
      channels: Object.create(null) as Record<string, true>,
    });
    connection.on("data", onData);
    connection.on("close", onClose);
    // SockJS leaves it to others to notice that such a client has gone without a word
    if (STREAMING.has(connection.protocol)) parts.heartbeats?.add(this);
  }

  get isTaken(): boolean {
    return this.#listener !== undefined;
  }

  listen(listener: TransportListener): void {
    this.#listener = listener;
  }

  /** Takes what has come. SockJS fails when a connection is closed while its message holds further frames. */
  receive(message: unknown): void {
    // one task for all of them: the smallest come by the hundred thousand
    // Stryker disable next-line ConditionalExpression,BlockStatement: it is only quicker
    if (this.#coming) {
      this.#coming.push(message);
      return;
    }
    const messages = [message];
    this.#coming = messages;
    queueMicrotask(() => {
      this.#coming = undefined;
      for (const one of messages) this.#listener?.receive(one);
    });
  }

  /**
   * Tells each listener of an event. SockJS tells of its own from timers and from requests that have ended, where what a
   * listener throws would end the process, and keep the event from the listeners after it.
   */
  emit(event: string | symbol, args: unknown[]): boolean {
    const connection = this.#connection as unknown as EventEmitter;
    if (!TOLD_BY_SOCKJS.has(event)) return Reflect.apply(this.#emit, connection, [event, ...args]);
    const listeners = connection.rawListeners(event);
    for (const listener of listeners) {
      try {
        Reflect.apply(listener, connection, args);
      } catch (error) {
        this.#parts.onError(`a listener for "${String(event)}" of a connection failed`, error);
      }
    }
    return listeners.length > 0;
  }

  /** Called when SockJS has closed it. */
  ended(): void {
    this.#parts.heartbeats?.delete(this);
    queueMicrotask(() => this.#listener?.ended());
  }

  /** Closes it, as the application may, too; SockJS tells of that as late as the client's next poll. */
  end(...reason: Parameters<SockJSConnection["close"]>): boolean {
    this.flush();
    const isClosing = Reflect.apply(this.#close, this.#connection, reason);
    if (isClosing) {
      this.#parts.heartbeats?.delete(this);
      this.#listener?.ended();
    }
    return isClosing;
  }

  /** Writes what the application sends by itself, in order with the rest. */
  writeByHand(message: string): boolean {
    this.flush();
    return Reflect.apply(this.#write, this.#connection, [message]);
  }

  write(frame: string): void {
    this.#batch = this.#parts.writeBatcher.add(this, this.#batch, frame);
    if (this.#batch.isFull) this.flush();
  }

  flush(): boolean {
    const batch = this.#batch;
    if (!batch) return false;
    this.#batch = undefined;
    // an application may have put something around it, through which each message goes
    const isWrapped = this.#connection.write !== write;
    for (const message of batch.messages) {
      try {
        if (isWrapped) this.#connection.write(message);
        else Reflect.apply(this.#write, this.#connection, [message]);
      } catch (error) {
        // neither the other messages nor the close that they come before are to suffer
        this.#parts.writeBatcher.onError(error);
      }
    }
    this.#unsent += batch.length;
    return true;
  }

  get backlog(): number {
    if (this.#unsent > 0 && !keepsMessages(this.#connection)) this.#unsent = 0;
    const written = responseSocketOf(this.#connection)?.writableLength ?? 0;
    return (this.#batch?.length ?? 0) + this.#unsent + written;
  }

  authenticated(): void {
    this.#pending?.authenticated();
  }

  showsLife(): boolean {
    return true;
  }

  /** Has the client ask for another response, or SockJS closes the connection by itself. */
  askForLife(): boolean {
    endResponse(this.#connection);
    return false;
  }

  vanish(): void {
    this.#listener?.terminate(CLOSE.vanished);
  }

  close({ code, reason }: CloseReason): void {
    this.#connection.close(code, reason);
  }

  terminate(reason: CloseReason): void {
    const response = responseSocketOf(this.#connection);
    this.close(reason);
    destroyLater(response);
  }
}

/** Methods that a connection has in place of SockJS's; `this` is the connection. */
type OwnMethods = Pick<SockJSConnection, "write" | "close"> & {
  readonly [TRANSPORT]: SockJSTransport;
  destroy(): void;
  emit(event: string | symbol, ...args: unknown[]): boolean;
};

/** The events of a connection that SockJS emits. */
const TOLD_BY_SOCKJS: ReadonlySet<string | symbol> = new Set(["data", "end", "close"]);

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

function emit(this: unknown, event: string | symbol, ...args: unknown[]): boolean {
  return transportOf(this).emit(event, args);
}

/** SockJS's own takes all listeners off, also those by which connections are counted. */
function destroy(this: SockJSConnection): void {
  this.end();
}

function transportOf(connection: unknown): SockJSTransport {
  return (connection as OwnMethods)[TRANSPORT];
}

/** Destroys the TCP connection of a response after the time for a farewell, unless it has ended by then. */
function destroyLater(response: ResponseSocket | undefined): void {
  if (!response || response.destroyed) return;
  const timer = setTimeout(() => response.destroy?.(), FAREWELL).unref();
  response.once?.("close", () => clearTimeout(timer));
}
