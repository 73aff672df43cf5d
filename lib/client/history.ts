import type { RequestOptions } from "./calls/requests.js";
import type { Stream } from "./calls/stream.js";
import type { Link } from "./transport/transport.js";

/**
 * The reason why messages of a channel were lost:
 *
 * - `trimmed`, `expired`: the history does not reach back so far
 * - `limit`: more messages were missed than the server recovers
 * - `slow`: the client has read too slowly, and the server has dropped them
 * - `reset`: the history has begun anew, or is kept no more
 * - `diverged`: the history has lost its newest messages, as by a failover, and has gone on without them
 */
export type LossReason = "trimmed" | "expired" | "reset" | "diverged" | "limit" | "slow";

/** Messages of a channel that the client does not get. */
export interface Loss {
  /** The number of messages; null where nobody can know it. */
  readonly messages: number | null;
  readonly reason: LossReason;
}

/** What belongs to a message of a channel with a history. */
export interface MessageInfo {
  /** The message's position: `since` with it brings what came after. */
  readonly at: string;
  /** The time at which it was published, in milliseconds, by the clock of Redis. */
  readonly time: number;
  /** Whether it was missed, or asked for, and comes out of the history. */
  readonly recovered: boolean;
}

/** A message of a channel's history. */
export interface HistoryMessage<Message = unknown> {
  readonly message: Message;
  readonly at: string;
  readonly time: number;
}

/** A part of a channel's history, the oldest message first. */
export interface HistoryPage<Message = unknown> {
  readonly messages: HistoryMessage<Message>[];
  /** The position of the channel's newest message. */
  readonly at: string;
  /** True where there are older messages; they are before `before`. */
  readonly more?: true | undefined;
  readonly before?: string | undefined;
  /** Present where messages are missing. */
  readonly lost?: Loss | undefined;
}

/** The messages to begin with: those after the position `since`, or without one the `last` ones. */
export interface Beginning {
  /** A position up to which the messages are known. */
  since?: string | null | undefined;
  /** The number of messages, where there is no `since`. */
  last?: number | undefined;
}

/** Options of `subscribe`. */
export interface SubscribeOptions extends RequestOptions, Beginning {}

/** Options of `history`. */
export interface HistoryOptions extends RequestOptions {
  /** The position before which to read. Default: the end. */
  before?: string | null | undefined;
  /** The number of messages. Default: as many as the server gives at once. */
  last?: number | undefined;
}

/** Options of `channel`. */
export interface ChannelOptions extends Beginning {
  /** Messages that may wait to be read. Default 1000. */
  limit?: number | undefined;
  /** What follows where messages were lost: the loop goes on, or it ends with a `LostError`. Default `"continue"`. */
  onLost?: "continue" | "throw" | undefined;
}

/** A position: the epoch of a history, the number of a message in it, and the message's tag. The empty text is none. */
const POSITION = /^string ([\w-]{1,64}\.\d{1,16}\.[\w-]{1,64})?$/;

const COUNT = /^number [1-9]\d*$/;

/** The options of `subscribe` that calls do not have, those of `history`, and those of `channel`; see `fill`. */
export const BEGINNING = { since: [undefined, POSITION], last: [undefined, COUNT] };
export const HISTORY_OPTIONS = { before: BEGINNING.since, last: BEGINNING.last };
export const CHANNEL_OPTIONS = {
  ...BEGINNING,
  limit: [1000],
  onLost: ["continue", /^string (continue|throw)$/],
};

/** Options of `channel` with their defaults filled in. */
export interface ResolvedChannelOptions extends Beginning {
  readonly limit: number;
  readonly onLost: "continue" | "throw";
}

/** The number of messages of a channel that are known again. */
export const REMEMBERED = 1000;

/** A reader of a channel by a loop, and its options; where it begins is gone when it has what it has asked for. */
export interface Reader extends ResolvedChannelOptions {
  readonly stream: Stream;
}

/** The progress of the client in a channel that it has joined. */
export interface Progress {
  /** The position up to which the messages have come; empty where none is known. */
  since: string;
  /** The number of messages that are asked for, until they are there. */
  last?: number | undefined;
  /** The positions of the newest messages that have come. */
  readonly known: Set<string>;
  /** The number of messages that have come in the recovery under way; NaN where none is. */
  caught: number;
  /** The reader that the messages under way are for, as far as they are older than the position. */
  asker?: Reader | undefined;
  /** The error of a recovery that has failed, so that messages are missing behind the position. */
  failure?: unknown;
  /** The last link on which the server has joined the channel by itself. */
  joinedOn?: Link | undefined;
}
