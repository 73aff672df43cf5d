import type { Position } from "../../shared/position.js";
import type { Entry, HistoryBounds, LogPage } from "../redis/history-log.js";

/**
 * - `trimmed`: the channel has had more messages since than its history keeps
 * - `expired`: the messages were older than they are kept
 * - `reset`: Redis has forgotten the channel, and its history has begun anew
 * - `diverged`: Redis has gone back, to an older copy of its data, and has gone on from there
 * - `limit`: there were more messages than one recovery may bring
 * - `slow`: the client has read too slowly
 */
export type LossReason = "trimmed" | "expired" | "reset" | "diverged" | "limit" | "slow";

/** Messages that a reader does not get. */
export interface Loss {
  /** Their number; null where it is not known. */
  readonly messages: number | null;
  readonly reason: LossReason;
}

/** A reader's way from a position on. */
export type Verdict = { readonly isComplete: true } | { readonly isComplete: false; readonly loss: Loss };

const COMPLETE: Verdict = { isComplete: true };

/** Judges what a reader has lost who is at a position, by the messages from that position's offset on. */
export function judge(page: LogPage, since: Position, bounds: HistoryBounds): Verdict {
  const { at, entries } = page;
  if (since.epoch !== at.epoch) return lost(null, "reset");
  if (since.offset > at.offset) return lost(null, "diverged");
  if (since.offset === at.offset) return since.tag === at.tag ? COMPLETE : lost(null, "diverged");
  const [first] = entries;
  if (first?.position.offset === since.offset && first.position.tag !== since.tag)
    return lost(null, "diverged");
  if (first?.position.offset === since.offset + 1 && first.before !== since.tag)
    return lost(null, "diverged");
  const firstLeft = entries.find(
    (entry) => entry.position.offset > since.offset && isAlive(entry, page.now, bounds),
  );
  // those that follow in the log may be beyond the page: then nothing that is alive has been read yet
  const end = firstLeft?.position.offset ?? (entries.at(-1)?.position.offset ?? at.offset) + 1;
  const messages = end - 1 - since.offset;
  return messages > 0 ? lost(messages, reasonOf(page, since, bounds)) : COMPLETE;
}

/** Says whether a message is kept still. */
export function isAlive({ time }: Entry, now: number, { ttl }: HistoryBounds): boolean {
  return time + ttl > now;
}

/** Adds what was lost further on to what was lost before. */
export function addLoss(before: Loss | undefined, more: Loss | undefined): Loss | undefined {
  if (!before || !more) return before ?? more;
  const isKnown = before.messages !== null && more.messages !== null;
  return {
    messages: isKnown ? Number(before.messages) + Number(more.messages) : null,
    reason: before.reason,
  };
}

/** A history that is not full has lost messages by their age alone. */
function reasonOf(page: LogPage, since: Position, bounds: HistoryBounds): LossReason {
  const [first] = page.entries.filter(({ position }) => position.offset > since.offset);
  const hasExpired = first !== undefined && !isAlive(first, page.now, bounds);
  return hasExpired || page.length < bounds.size ? "expired" : "trimmed";
}

function lost(messages: number | null, reason: LossReason): Verdict {
  return { isComplete: false, loss: { messages, reason } };
}
