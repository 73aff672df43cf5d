import type { MemberRecord } from "../redis/member-list.js";

/** A member of a channel: an identity that has sockets there, on whichever servers, or had some a moment ago. */
export interface PresenceMember<Info = unknown, State = unknown> {
  /** The identity's key, as the option `identify` gives it. */
  readonly id: string;
  /** The part that the option's `info` shows; null without. */
  readonly info: Info;
  /** The state that the member's client has set last; null before. */
  readonly state: State;
  /** Since when it is a member, in milliseconds since 1970, by the clock of Redis. */
  readonly since: number;
  /** The number of its sockets in the channel, on all servers; 0 while it is waited for. */
  readonly sockets: number;
}

/** A channel's members. */
export interface PresenceList<Info = unknown, State = unknown> {
  readonly count: number;
  readonly members: readonly PresenceMember<Info, State>[];
}

/** A member as the application gets it. */
export function toMember({ id, info, state, since, sockets }: MemberRecord): PresenceMember {
  return { id, info: JSON.parse(info), state: JSON.parse(state), since, sockets };
}

/** A member as clients get it, as JSON. */
export function encodeMember({ id, info, state, since, sockets }: MemberRecord): string {
  return `{"id":${JSON.stringify(id)},"info":${info},"state":${state},"since":${since},"sockets":${sockets}}`;
}
