import type { RequestHead } from "../../shared/protocol.js";
import type { Subscriber } from "../channels/membership.js";

/** The connection that channel requests come from. */
export interface ChannelClient<Auth> extends Subscriber<Auth> {
  /** A number that changes when the client's rights may have become others: then the guards are asked again. */
  readonly rights: number;
  refuse(head: RequestHead, error: unknown): void;
  /** Tells a client that asked for it that a request is done. */
  acknowledge(head: RequestHead): void;
  /** Answers a request of a client that has asked for history with a value, as JSON. */
  answer(head: RequestHead, json: string): void;
}
