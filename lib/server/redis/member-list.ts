import { randomBytes } from "node:crypto";
import { partitionOf } from "./history-log.js";
import { pairsOf } from "./script.js";

/** The names in Redis that belong to a channel's members. */
export interface MemberNames {
  /** The reserved channel on which changes are published. */
  readonly channel: string;
  /** The key of the hash of members. */
  readonly members: string;
  /** The partition of the channel. */
  readonly partition: number;
}

/** A member as Redis has it. */
export interface MemberRecord {
  readonly id: string;
  /** The part that the application shows, and the state that its client has set, as JSON. */
  readonly info: string;
  readonly state: string;
  /** When the state was set, 0 for never, and since when it is a member, in milliseconds since 1970, by the clock of Redis. */
  readonly stateAt: number;
  readonly since: number;
  /** The number of its sockets on all servers. */
  readonly sockets: number;
}

/** A change that a server has to make. `entry` is what the set of a server's entries has for the member; see `entryOf`. */
export type MemberChange =
  | {
      /** The member has so many sockets here, at least one. */
      readonly type: "put";
      readonly id: string;
      readonly sockets: number;
      readonly info: string;
      /** Absent where it is to stay what it is. */
      readonly state?: string | undefined;
    }
  | {
      /** As `put`, for a member that Redis should have: what is known of it counts where Redis has forgotten it. */
      readonly type: "refill";
      readonly id: string;
      readonly sockets: number;
      readonly info: string;
      readonly state: string;
      readonly stateAt: number;
      readonly since: number;
      /** Milliseconds for which it stays where it has no socket. */
      readonly grace: number;
    }
  /** The member has no socket here any more, and stays for so many milliseconds where it has none elsewhere. */
  | { readonly type: "drop"; readonly id: string; readonly grace: number }
  /** The member leaves where its time is over. */
  | { readonly type: "due"; readonly id: string }
  /** Likewise `drop` for another server, which was dead at a time, unless it has written the entry since. */
  | { readonly type: "dead"; readonly id: string; readonly grace: number };

/** A server's changes to one channel, made in one step. */
export interface MemberBatch {
  readonly server: string;
  /** The server whose entries `dead` is about, and a time of Redis at which it was dead. */
  readonly dead?: { readonly server: string; readonly at: number } | undefined;
  readonly channel: string;
  /** The most members that the channel may have. */
  readonly limit: number;
  /** Whether the number of members alone is published. */
  readonly isCount: boolean;
  readonly changes: readonly MemberChange[];
}

/**
 * What has become of a change:
 * - `joined`: it was no member before; `updated`: its info or state is another one; `there`: it is a member as before
 * - `left`: it is no member any more; `grace`: it stays for `wait` milliseconds
 * - `full`: the channel has as many members as it may have; `gone`: there was nothing to change
 */
export type MemberOutcome =
  | { readonly type: "joined" | "updated" | "there" | "left"; readonly member: MemberRecord }
  | { readonly type: "grace"; readonly member: MemberRecord; readonly wait: number }
  | { readonly type: "full" | "gone" };

/** The outcome of a batch, one for each of its changes. */
export interface MemberOutcomes {
  readonly before: ListVersion;
  readonly after: ListVersion;
  readonly outcomes: readonly MemberOutcome[];
}

/** The version of a channel's list, which rises by one with each change that is published. With another epoch it begins anew. */
export interface ListVersion {
  /** Empty where there is no list. */
  readonly epoch: string;
  readonly version: number;
}

/** A part of a channel's members. */
export interface MemberPage {
  readonly at: ListVersion;
  /** The number of all members. */
  readonly count: number;
  readonly members: readonly MemberRecord[];
  /** Where it goes on; undefined at the end. */
  readonly next: string | undefined;
}

/** All members of a channel, with the version and the number of the first page. */
export interface MemberRecords {
  readonly at: ListVersion;
  readonly count: number;
  readonly members: ReadonlyMap<string, MemberRecord>;
}

/** Reads all pages of a channel's members. What changes after the first one may be in the others or not. */
export async function readAllMembers(read: (cursor: string) => Promise<MemberPage>): Promise<MemberRecords> {
  const { at, count, members: first, next } = await read("0");
  const members = new Map(first.map((record) => [record.id, record]));
  for (let cursor = next; cursor !== undefined; ) {
    const page = await read(cursor);
    for (const record of page.members) members.set(record.id, record);
    cursor = page.next;
  }
  return { at, count, members };
}

/** A change as it is published. */
export interface PublishedChange {
  readonly at: ListVersion;
  readonly count: number;
  readonly joined: readonly MemberRecord[];
  /** Those whom a server has written again, since Redis had forgotten them or had them otherwise. */
  readonly refilled: readonly MemberRecord[];
  readonly updated: readonly MemberRecord[];
  readonly left: readonly string[];
  /** The numbers of sockets that are others, of members that are there as before. */
  readonly sockets: readonly (readonly [id: string, sockets: number])[];
}

/** Members in one answer of Redis, about. */
export const PAGE = 500;

/** Milliseconds for which the version of a list without members is known. */
export const VERSION_LIFE = 600_000;

/** Gives the names of a channel's members; they are in one slot of a cluster, with the entries of servers there. */
export function memberNames(channelPrefix: string, channel: string): MemberNames {
  const partition = partitionOf(channel);
  return {
    channel: `${channelPrefix}___presence:${channel}___`,
    members: `token-sockjs:${channelPrefix}{${partition}}members:${channel}`,
    partition,
  };
}

/** Gives the key of the entries that a server has in a partition: of its members, and of those whom it lets leave. */
export function entriesKey(channelPrefix: string, partition: number, server: string): string {
  return `token-sockjs:${channelPrefix}{${partition}}entries:${server}`;
}

/** Encodes an entry of a server. An encoded id holds no colon. */
export function entryOf(id: string, channel: string): string {
  return `${encodeURIComponent(id)}:${channel}`;
}

/** Parses an entry; undefined for what is none. */
export function parseEntry(entry: string): { readonly id: string; readonly channel: string } | undefined {
  const colon = entry.indexOf(":");
  if (colon < 0) return undefined;
  try {
    return { id: decodeURIComponent(entry.slice(0, colon)), channel: entry.slice(colon + 1) };
  } catch {
    return undefined;
  }
}

/** A name for a list's new life. */
export function newListEpoch(): string {
  return randomBytes(6).toString("base64url");
}

/** The keys and the arguments of `CHANGE`. */
export function changeArguments(channelPrefix: string, names: MemberNames, batch: MemberBatch) {
  const { server, dead, channel, limit, isCount, changes } = batch;
  const servers = dead ? [server, dead.server] : [server];
  const keys = [names.members, ...servers.map((id) => entriesKey(channelPrefix, names.partition, id))];
  const ops = changes.map((change) => encodeChange(change, entryOf(change.id, channel)));
  const head = [server, names.channel, limit, isCount ? 1 : 0, newListEpoch(), VERSION_LIFE];
  return { keys, args: [...head, JSON.stringify(ops), dead?.server ?? "", dead?.at ?? 0].map(String) };
}

function encodeChange(change: MemberChange, k: string): object {
  const { type: o, id } = change;
  switch (change.type) {
    // Stryker disable next-line ConditionalExpression: what it has not is not in its JSON either
    case "put":
      return { o, id, k, n: change.sockets, i: change.info, s: change.state };
    case "refill": {
      const { sockets: n, info: i, state: s, stateAt: u, since: t, grace: g } = change;
      return { o, id, k, n, i, s, u, t, g };
    }
    case "drop":
    case "dead":
      return { o, id, k, g: change.grace };
    case "due":
      return { o, id, k };
  }
}

/** Parses the answer of `CHANGE`. */
export function parseOutcomes([
  epochBefore = "",
  before,
  epoch = "",
  version,
  ...rest
]: readonly string[]): MemberOutcomes {
  return {
    before: { epoch: epochBefore, version: Number(before) },
    after: { epoch, version: Number(version) },
    outcomes: pairsOf(rest).map(([type, detail]) => parseOutcome(type, detail)),
  };
}

function parseOutcome(type: string, detail: string): MemberOutcome {
  switch (type) {
    case "joined":
    case "updated":
    case "there":
    case "left":
      return { type, member: toRecord(JSON.parse(detail)) };
    case "grace": {
      const member = JSON.parse(detail) as Shown & { readonly w: number };
      return { type, member: toRecord(member), wait: member.w };
    }
    case "full":
    case "gone":
      return { type };
    default:
      throw malformed();
  }
}

/** Parses the answer of `READ_MEMBERS`. */
export function parseMemberPage([epoch = "", version, count, next, ...rest]: readonly string[]): MemberPage {
  const members = pairsOf(rest).map(([id, json]): MemberRecord => {
    const { i: info, s, u, t, e } = JSON.parse(json) as Stored;
    const n = Object.values(e).reduce((sum, sockets) => sum + sockets, 0);
    return toRecord({ id, i: info, s, u, t, n });
  });
  return {
    at: { epoch, version: Number(version) },
    count: Number(count),
    members,
    next: next === "0" ? undefined : next,
  };
}

/** Parses a change as it is published; undefined for what is none. */
export function parsePublishedChange(payload: string): PublishedChange | undefined {
  try {
    const { e, v, c, j = [], r = [], u = [], l = [], s = [] } = JSON.parse(payload) as Published;
    return {
      at: { epoch: String(e), version: Number(v) },
      count: Number(c),
      joined: j.map(toRecord),
      refilled: r.map(toRecord),
      updated: u.map(toRecord),
      left: l.map(String),
      sockets: s,
    };
  } catch {
    return undefined;
  }
}

/** Encodes a change as the script publishes it. */
export function encodePublishedChange(change: PublishedChange, isCount: boolean): string {
  const { at, count, joined, refilled, updated, left, sockets } = change;
  const head = { e: at.epoch, v: at.version, c: count };
  if (isCount) return JSON.stringify(head);
  const [j, r, u] = [joined, refilled, updated].map((members) => members.map(toShown));
  return JSON.stringify({ ...head, j, r, u, l: left, s: sockets });
}

/** A member in the hash. */
interface Stored {
  readonly i: string;
  readonly s: string;
  readonly u: number;
  readonly t: number;
  readonly e: Readonly<Record<string, number>>;
}

/** A member as the scripts show it. */
interface Shown extends Omit<Stored, "e"> {
  readonly id: string;
  readonly n: number;
}

interface Published {
  readonly e: unknown;
  readonly v: unknown;
  readonly c: unknown;
  readonly j?: readonly Shown[];
  readonly r?: readonly Shown[];
  readonly u?: readonly Shown[];
  readonly l?: readonly unknown[];
  readonly s?: readonly (readonly [string, number])[];
}

function toRecord({ id, i, s, u, t, n }: Shown): MemberRecord {
  if (typeof i !== "string" || typeof s !== "string") throw malformed();
  return { id: String(id), info: i, state: s, stateAt: Number(u), since: Number(t), sockets: Number(n) };
}

function toShown({ id, info: i, state: s, stateAt: u, since: t, sockets: n }: MemberRecord): Shown {
  return { id, i, s, u, t, n };
}

function malformed(): Error {
  return new Error("Redis holds something else where a channel's members should be");
}
