// The types of presence.

import type { Emitter } from "./emitter.js";

/** A member of a channel: an identity, however many sockets of it are in the channel. */
export interface Member<Info = unknown, State = unknown> {
  /** The key of the identity. */
  readonly id: string;
  /** What the server says of the member. */
  readonly info: Info;
  /** What the member says of itself by `set`; null before. */
  readonly state: State | null;
  /** When the member has come, in milliseconds, by the clock of Redis. */
  readonly since: number;
  /** The number of its sockets in the channel, on all servers, as the member was told last; its change alone is not told. */
  readonly sockets: number;
}

/** The events of a `Presence`, and what their listeners get. */
export interface PresenceEvents<Info = unknown, State = unknown> {
  /** A member has come. */
  join: [member: Member<Info, State>];
  /** A member has left. */
  leave: [member: Member<Info, State>];
  /** A member has changed. */
  update: [member: Member<Info, State>];
  /** The list is whole: for the first time, or again, behind the events of what has changed meanwhile. */
  sync: [];
  /** `members`, `count`, `me` or `isSynced` has changed; once for all that came at once. */
  change: [];
  /** Nothing comes any more: the server does not allow it, or the client is closed for good. */
  end: [error: Error];
}

/** The members of one channel, kept up to date until `end()`. */
export interface Presence<Info = unknown, State = unknown, Input = State>
  extends Pick<
    Emitter<PresenceEvents<Info, State>>,
    "on" | "once" | "off" | "addListener" | "removeListener" | "removeAllListeners"
  > {
  /** The members as far as they are known; another array after each change. Empty where the server tells numbers alone. */
  readonly members: readonly Member<Info, State>[];
  /** The number of members. */
  readonly count: number;
  /** The client's own id among the members; undefined before the first list. */
  readonly me: string | undefined;
  /** Whether the list is whole and kept up to date. False while the connection is lost; the members stay. */
  readonly isSynced: boolean;
  /** The reason why nothing comes any more, if it has ended. */
  readonly error: Error | undefined;
  /** Waits until the list is whole, and is done at once where it is. Rejects where the server does not allow it. */
  ready(): Promise<void>;
  /**
   * Sets the client's own state, which others see in its member. Without a connection it is sent when the list is whole again,
   * unless a newer one was set meanwhile. Resolves when the server has it, or a newer one takes its place.
   */
  set(state: Input): Promise<void>;
  /** Ends it; the last one of a channel tells the server. Being a member is a matter of the channel, and stays. */
  end(): void;
}
