import type { CloseReason } from "../../shared/close-codes.js";
import type { PendingSocket } from "./socket.js";

/** The part of a server's connection that its transport reports to. */
export interface TransportListener {
  /** Takes a message of the client, which may be no string; `knownBytes` is its length, where that is known. Never throws. */
  receive(message: unknown, knownBytes?: number): void;
  /** Counts frames that carry no message of their own: control frames, fragments, empty ones. */
  countFrames(frames: number): void;
  /** Called at the end of the connection; possibly again. `isForGood` where the client has said that it does not come back. */
  ended(isForGood?: boolean): void;
  /** Ends the connection of a client that takes nothing, or gives no sign of life, any more. */
  terminate(reason: CloseReason): void;
}

/** The way to one client: all that the server needs of a WebSocket or of SockJS. */
export interface Transport {
  /** The connection as the application knows it. */
  readonly socket: PendingSocket;
  /** The bytes that were sent and that the client has not taken yet, as far as that can be known. */
  readonly backlog: number;
  /** Whether a server has taken it. */
  readonly isTaken: boolean;
  /** Begins to report to a server, which takes it. */
  listen(listener: TransportListener): void;
  /** Sends a message together with others of this turn of the event loop. */
  write(frame: string): void;
  /** Sends what waits for the end of the turn; returns whether anything did. */
  flush(): boolean;
  /** Tells that the client is authenticated: it is a stranger no more. */
  authenticated(): void;
  /** Closes the connection with a farewell, which the client has a few seconds to answer. */
  close(reason: CloseReason): void;
  /** Closes the connection of a client that takes nothing any more, and so takes no farewell either. */
  terminate(reason: CloseReason): void;
}

/** By it a connection that an application holds leads to its transport. */
export const TRANSPORT: unique symbol = Symbol("transport");

/** The time that a client has to answer a farewell, in milliseconds; then its TCP connection is destroyed. */
export const FAREWELL = 5000;

/** The WebSocket's states, which SockJS's connections have as well. */
export const READY_STATE = { open: 1, closing: 2, closed: 3 } as const;
