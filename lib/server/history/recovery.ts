import { formatPosition, type Position, samePosition } from "../../shared/position.js";
import type { Start } from "../../shared/protocol.js";
import type { TurnScheduler } from "../limits/turn-scheduler.js";
import { type Entry, positionBefore } from "../redis/history-log.js";
import type { LiveChannel } from "./live-channel.js";
import type { HistoryPart } from "./log-reader.js";
import { addLoss, type Loss } from "./loss.js";

/** A member of a channel that recovers what it has missed. */
export interface RecoveringMember {
  readonly closed: boolean;
  /** Resolves when the client has taken most of what was sent; undefined where it has. */
  whenDrained(): Promise<void> | undefined;
}

/** What a member has recovered. */
export interface Recovered {
  readonly at: string;
  /** The number of messages that it was sent. */
  readonly recovered: number;
  /** The sum of what it was told as lost. */
  readonly lost?: Loss;
}

/** The number of pages that all members of a server may be sent in one turn of the event loop. */
export const PAGES = 4;

/** Messages, and bytes, that are sent before the client has to have taken most of them. */
const PAGE = { count: 100, bytes: 65_536 };

/** What a recovery tells its member. */
export interface RecoveryFrames {
  /** Sends a message; says whether it was sent. */
  send(entry: Entry): boolean;
  /**
   * Tells that messages are lost, before those that follow, and from which position it goes on: a member that is cut on the way
   * comes back from behind them, and would never hear of it.
   */
  lose(loss: Loss, at: Position): void;
  /** Called before what comes live, unless the member has left, or begun anew. */
  done(recovered: Recovered): void;
}

/**
 * Brings a member up to where its channel is, a page at a time as the client takes them and `turns` allows; from the end on it
 * gets what comes live, with nothing twice and nothing missing. Until then it is behind. Rejects where Redis cannot be read, and
 * then the member goes on live. Resolves with whether it was brought there.
 */
export async function recover(
  channel: LiveChannel,
  member: RecoveringMember,
  start: Start,
  turns: TurnScheduler,
  most: number,
  frames: RecoveryFrames,
): Promise<boolean> {
  const turn = {};
  channel.behind.set(member, turn);
  const isBehind = () => !member.closed && channel.behind.get(member) === turn;
  let recovered = 0;
  let lost: Loss | undefined;
  let gap: Loss | undefined;
  const tellGap = (at: Position) => {
    if (!gap) return;
    frames.lose(gap, at);
    lost = addLoss(lost, gap);
    gap = undefined;
  };
  const last = typeof start === "object" && "last" in start ? start.last : 0;
  const next = (cursor: Position | undefined): Promise<HistoryPart> =>
    cursor ? channel.after(cursor, { ...PAGE, most }) : channel.newest(last, PAGE);
  try {
    let cursor = start === "now" ? await channel.position() : "since" in start ? start.since : undefined;
    for (;;) {
      if (!isBehind()) return false;
      if (cursor && samePosition(cursor, channel.at)) break;
      // many come back at once, and a page in memory is there at once
      await turns.take();
      const part: HistoryPart = await next(cursor);
      if (!isBehind()) return false;
      const [first] = part.entries;
      gap = addLoss(gap, part.lost);
      // one loss may be found in several pages
      if (first || !part.hasMore) tellGap(first ? positionBefore(first) : part.at);
      for (const entry of part.entries) if (frames.send(entry)) recovered++;
      cursor = part.at;
      await member.whenDrained();
    }
    tellGap(cursor);
    frames.done({ at: formatPosition(cursor), recovered, ...(lost && { lost }) });
    return true;
  } finally {
    if (channel.behind.get(member) === turn) channel.behind.delete(member);
  }
}
