import { isStandardSchema, type StandardSchema } from "../../shared/standard-schema.js";
import type { Socket } from "../transport/socket.js";

/** The presence of a channel; see `TokenSocketServerOptions.presence`. */
export interface ChannelPresence<Auth = Record<string, unknown>> {
  /**
   * Gives what all observers are shown of a member: an object, as JSON at most `limits.presenceBytes`. Called at once when one
   * of its sockets joins or gets a new identity; the newest counts. Where it throws, or gives anything else, null is shown, and
   * the error is reported. Default none: null.
   */
  info?: PresenceInfo<Auth> | null | undefined;
  /** A schema of the states that members set. Default none: any JSON of at most `limits.presenceBytes`. */
  state?: StandardSchema | null | undefined;
  /**
   * Milliseconds for which a member stays that has lost its line, or whose server has gone. Default 15,000. With a lower one
   * observers see who just reloads a page leave and join, with a higher one they see for longer who is not there any more.
   */
  grace?: number | null | undefined;
  /**
   * Members of one channel at most. Default 1000. Further identities may be in the channel, and observe, but are not in the
   * list before there is a place. Redis has a few hundred bytes for each member, and so has each server with an observer.
   */
  limit?: number | null | undefined;
  /** `"all"`: observers see each member. `"count"`: they are told how many there are, and no more. Default `"all"`. */
  events?: "all" | "count" | null | undefined;
}

/** Gives what is shown of a member; see {@link ChannelPresence.info}. */
export type PresenceInfo<Auth> = {
  bivariant(auth: Auth, socket: Socket<Auth>): object | null | undefined;
}["bivariant"];

/** The presence of a channel with its defaults. */
export interface ResolvedPresence {
  readonly info: PresenceInfo<unknown> | undefined;
  readonly state: StandardSchema | undefined;
  readonly grace: number;
  readonly limit: number;
  readonly isCount: boolean;
}

export const EXPECTED_PRESENCE = "{ info?, state?, grace?, limit?, events? }";

/** Members of a channel at most, and the longest grace in milliseconds: a day. */
const MOST_MEMBERS = 100_000;
const LONGEST_GRACE = 86_400_000;

const MUST: Readonly<
  Record<string, { readonly must: string; readonly accepts: (value: unknown) => boolean }>
> = {
  info: { must: "must be a function", accepts: (value) => typeof value === "function" },
  state: { must: "must be a schema (Standard Schema)", accepts: isStandardSchema },
  grace: {
    must: "must be a whole number of milliseconds, 0 to 86,400,000, a day",
    accepts: (value) => isCount(value, 0, LONGEST_GRACE),
  },
  limit: {
    must: "must be a positive whole number of members, 100,000 at most",
    accepts: (value) => isCount(value, 1, MOST_MEMBERS),
  },
  events: { must: 'must be "all" or "count"', accepts: (value) => value === "all" || value === "count" },
};

/** Says whether a value is the presence of a channel. */
export function isChannelPresence(value: unknown): value is ChannelPresence {
  return isObject(value) && wrongPresenceField(value) === undefined;
}

/** Says which field of a channel's presence is wrong, and what it must be; undefined where none is. */
export function wrongPresenceField(
  value: unknown,
): { readonly name: string; readonly must: string } | undefined {
  if (!isObject(value)) return undefined;
  for (const [name, field] of Object.entries(value)) {
    const rule = Object.hasOwn(MUST, name) ? MUST[name] : undefined;
    if (!rule) return { name, must: "must not be there: it takes info, state, grace, limit and events" };
    if (field !== undefined && field !== null && !rule.accepts(field)) return { name, must: rule.must };
  }
  return undefined;
}

/** Fills in the defaults. */
export function resolvePresence(given: ChannelPresence<never>): ResolvedPresence {
  const { info, state, grace, limit, events } = given as ChannelPresence<unknown>;
  return {
    info: info ?? undefined,
    state: state ?? undefined,
    grace: grace ?? 15_000,
    limit: limit ?? 1000,
    isCount: events === "count",
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown, least: number, most: number): boolean {
  return Number.isInteger(value) && Number(value) >= least && Number(value) <= most;
}
