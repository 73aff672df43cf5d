import { formatPosition } from "../../shared/position.js";
import type { Entry } from "../redis/history-log.js";
import type { Loss } from "./loss.js";

/** A message of a channel's history. */
export interface KeptMessage<Message = unknown> {
  readonly message: Message;
  /** Its position, a text that means nothing by itself. */
  readonly at: string;
  /** When Redis has taken it, in milliseconds since 1970. */
  readonly time: number;
}

/** A part of a channel's history. */
export interface HistoryResult<Message = unknown> {
  /** The oldest first. */
  readonly messages: readonly KeptMessage<Message>[];
  /** With `since`, the position up to which they go; otherwise the channel's newest. */
  readonly at: string;
  /** What came after `since` and is there no more. */
  readonly lost?: Loss;
  /** True where there are more: after `at` with `since`, otherwise before the first one. */
  readonly more?: true;
}

/** The part of a channel's history that is wanted. */
export interface HistoryOptions {
  /** Only what came after this position, from the oldest on. */
  since?: string | undefined;
  /** Only what came before this position, from the newest on. */
  before?: string | undefined;
  /** The number of messages at most, without `since`. Default 100. */
  last?: number | undefined;
  /** The number of messages at most, with `since`. Default `limits.recoverMessages`. */
  limit?: number | undefined;
}

/** Options of a publish. */
export interface PublishOptions {
  /**
   * The publisher's own id of the message, of 1 to `limits.idLength` characters: on a channel with history, the same id within
   * five minutes gives the first message's position, and is not published again.
   */
  id?: string | undefined;
  /** A socket of this server that does not get the message, for instance the one that it comes from. */
  except?: { readonly sid: string } | undefined;
}

/** A message as the application gets it. */
export function toMessage({ position, time, json }: Entry): KeptMessage {
  return { message: JSON.parse(json), at: formatPosition(position), time };
}
