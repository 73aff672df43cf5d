import type { Protocol } from "../../shared/protocol.js";
import type { Droppable } from "../transport/send-queue.js";
import type { Socket } from "../transport/socket.js";
import type { Member } from "./hub.js";
import type { KeyedQueue } from "./keyed-queue.js";

/** A client's connection, as pub/sub needs it. */
export interface Subscriber<Auth> extends Member {
  readonly socket: Socket<Auth>;
  /** The version of the protocol that the client asked for. */
  readonly protocol: Protocol;
  readonly closed: boolean;
  /** Its joins and leaves, one after the other in each channel. */
  readonly memberships: KeyedQueue;
  /** Sends a frame; `droppable` says how it may be dropped while it waits. */
  send(frame: string, droppable?: Droppable): void;
  /** Says whether the client itself has joined a channel. */
  hasRequested(channel: string): boolean;
  /** Notes that it has joined a channel, by its own request or by the server. */
  enter(channel: string, isRequested: boolean): void;
  /** Notes that the server, too, wants it in a channel. */
  grant(channel: string): void;
  /** Notes that it has left a channel. */
  leaveChannel(channel: string): void;
}
