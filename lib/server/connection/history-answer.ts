import { formatPosition } from "../../shared/position.js";
import type { AskedPart } from "../../shared/protocol.js";
import type { Subscriber } from "../channels/membership.js";
import type { PubSub } from "../channels/pubsub.js";
import { DEFAULT_LAST } from "../history/histories.js";
import type { HistoryReader } from "../history/log-reader.js";
import type { Limits } from "../limits/limits.js";
import type { Entry } from "../redis/history-log.js";

/** The part of the send buffer that one answer may take. */
const SHARE = 1 / 4;

/** A client that reads back, and what it may read. */
export interface HistoryAnswerParts<Auth> {
  readonly client: Subscriber<Auth>;
  readonly channel: string;
  readonly part: AskedPart;
  /** The time, in milliseconds since 1970, before which it may read nothing. */
  readonly from: number | undefined;
  readonly reader: HistoryReader;
  readonly pubsub: PubSub<Auth>;
  readonly limits: Limits;
}

/** Reads a part of a channel's history for a client, through the filter; resolves with the answer as JSON. */
export async function historyAnswer<Auth>(parts: HistoryAnswerParts<Auth>): Promise<string> {
  const { client, channel, reader, pubsub, limits, from = Number.NEGATIVE_INFINITY } = parts;
  const { since, before, last = DEFAULT_LAST, limit = limits.recoverMessages } = parts.part;
  const count = Math.min(since ? limit : last, limits.recoverMessages);
  const bounds = { count, bytes: Math.floor(limits.bufferedBytes * SHARE) };
  const { entries, at, lost, hasMore } = await (since
    ? reader.after(since, bounds)
    : reader.before(before, bounds));
  const allowed = entries.filter(({ time }) => time >= from);
  const messages = allowed.flatMap((entry) => {
    const json = pubsub.filtered(client, channel, entry.json);
    return json === undefined ? [] : [encode(entry, json)];
  });
  // what came before those that it may not read is not for it either
  const more = hasMore && (since !== undefined || allowed.length === entries.length);
  const [first] = entries;
  const fields = {
    at: formatPosition(at),
    ...(lost && { lost }),
    ...(more && { more: true }),
    ...(more && !since && first && { before: formatPosition(first.position) }),
  };
  return `{"messages":[${messages.join(",")}],${JSON.stringify(fields).slice(1)}`;
}

function encode({ position, time }: Entry, json: string): string {
  return `{"message":${json},"at":"${formatPosition(position)}","time":${time}}`;
}
