/** What is kept of a channel's messages; see `TokenSocketServerOptions.history`. */
export interface ChannelHistory {
  /** The number of messages that are kept. */
  size: number;
  /** Milliseconds for which each message is kept. */
  ttl: number;
  /**
   * Milliseconds for which is known, after the last message or the last look, how far the channel had come: a client that
   * was away for longer is told of a `reset`. Five minutes at most for a channel that has had no message yet. At least
   * `ttl`, and 90,000: it has to outlast the looks of servers, of which there is one in 30 s. Default 86,400,000, a day, or `ttl` where that is longer.
   */
  positionTtl?: number | null | undefined;
}

/** Messages in a history at most, and the longest life of one, in milliseconds: a hundred years. */
const MOST_MESSAGES = 1_000_000;
const LONGEST = 3_155_760_000_000;

/** The shortest `positionTtl`, in milliseconds: a position that expires between two looks is a `reset` for those who are there. */
const SHORTEST_POSITION_TTL = 90_000;

export const EXPECTED_HISTORY = "{ size, ttl, positionTtl? }, each a positive whole number";

/** Says whether a value is what may be kept of a channel. */
export function isChannelHistory(value: unknown): value is ChannelHistory {
  return isObject(value) && wrongField(value) === undefined;
}

/** Says which field of what is to be kept of a channel is wrong, and what it must be; undefined where none is. */
export function wrongField(value: unknown): { readonly name: string; readonly must: string } | undefined {
  if (!isObject(value)) return undefined;
  const { size, ttl, positionTtl, ...others } = value;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined)
    return { name: unknown, must: "must not be there: it takes size, ttl and positionTtl" };
  if (!isCount(size, MOST_MESSAGES)) {
    return { name: "size", must: "must be a positive whole number of messages, 1,000,000 at most" };
  }
  const milliseconds = "must be a positive whole number of milliseconds, a hundred years at most";
  if (!isCount(ttl, LONGEST)) return { name: "ttl", must: milliseconds };
  if (positionTtl === undefined || positionTtl === null) return undefined;
  if (!isCount(positionTtl, LONGEST)) return { name: "positionTtl", must: milliseconds };
  if (Number(positionTtl) < Number(ttl)) return { name: "positionTtl", must: "must not be less than ttl" };
  return Number(positionTtl) < SHORTEST_POSITION_TTL
    ? { name: "positionTtl", must: "must not be less than 90,000 ms" }
    : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown, most: number): boolean {
  return Number.isInteger(value) && Number(value) > 0 && Number(value) <= most;
}
