import { useEffect, useMemo, useSyncExternalStore } from "react";
import { AbortedError } from "../client/errors.js";
import type { Member, Presence } from "../client/presence.js";
import { useChannel } from "./channel.js";
import { type AnySocket, useProvided } from "./context.js";
import { Store } from "./store.js";
import "../client/presence.js";

/** Options of `usePresence`. */
export interface UsePresenceOptions {
  /**
   * Whether to join the channel, and so be a member of it. Default true. With false the members are observed alone, which takes
   * a guard of `presence` that allows it, or a channel that is joined otherwise.
   */
  join?: boolean | undefined;
}

/** The result of `usePresence`. */
export interface UsePresence<Info = unknown, State = unknown, Input = State> {
  /** The members as far as they are known; another array after each change. Empty where the server tells numbers alone. */
  readonly members: readonly Member<Info, State>[];
  /** The client's own id among the members; undefined before the first list. */
  readonly me: string | undefined;
  /** The number of members. */
  readonly count: number;
  /** Whether the list is whole and kept up to date. False while the connection is lost. */
  readonly isSynced: boolean;
  /** The reason why nothing comes, if the server has refused the channel or its members. */
  readonly error: Error | undefined;
  /** Sets the client's own state. A rejection that nobody looks at is no unhandled one. */
  readonly set: (state: Input) => Promise<void>;
}

type Shown = Omit<UsePresence, "set">;

const NOTHING: Shown = { members: [], me: undefined, count: 0, isSynced: false, error: undefined };

/** The members of a channel, and the client's own state among them, while the component is mounted. */
export function usePresence<Info = unknown, State = unknown>(
  name: string | null | undefined,
  { join = true }: UsePresenceOptions = {},
): UsePresence<Info, State> {
  const { socket, version } = useProvided();
  // biome-ignore lint/correctness/useExhaustiveDependencies: another user begins anew
  const store = useMemo(() => new PresenceStore(socket, name, !join), [socket, version, name, join]);
  const shown = useSyncExternalStore(store.subscribe, store.get, () => NOTHING);
  const { isJoined, error } = useChannel(join ? name : "", ignore);
  useEffect(() => {
    // who is not in the channel yet may not observe it
    if (isJoined) store.open();
  }, [isJoined, store]);
  const members = shown.members as readonly Member<Info, State>[];
  return { ...shown, members, error: error ?? shown.error, set: store.setState };
}

function ignore(): void {}

/** A state that waits for the beginning. */
interface Waiting {
  readonly state: unknown;
  resolve(set: Promise<void>): void;
}

/** The members of one channel that one component shows. */
class PresenceStore extends Store<Shown> {
  readonly #socket: AnySocket | null;
  readonly #name: string;
  readonly #isApart: boolean;
  #isRunning = false;
  #presence: Presence | undefined;
  /** Whether the list was whole, so that what is shown is no list of before. */
  #hasSynced = false;
  #waiting: Waiting[] = [];

  /** `isApart`: it begins by itself, whether the channel is joined or not. */
  constructor(socket: AnySocket | null, name: string | null | undefined, isApart: boolean) {
    super(NOTHING);
    this.#socket = name ? socket : null;
    this.#name = name ?? "";
    this.#isApart = isApart;
  }

  /** Begins, unless it has begun. */
  open(): void {
    if (!this.#isRunning || !this.#socket || this.#presence) return;
    const presence = this.#socket.presence(this.#name);
    this.#presence = presence;
    presence.on("change", this.#show).on("end", this.#onEnd);
    this.#show();
    for (const { state, resolve } of this.#waiting.splice(0)) resolve(presence.set(state));
  }

  readonly setState = (state: unknown): Promise<void> => {
    const set = this.#presence
      ? this.#presence.set(state)
      : new Promise<void>((resolve) => this.#waiting.push({ state, resolve }));
    set.catch(() => {});
    return set;
  };

  protected start(): void {
    this.#isRunning = true;
    if (!this.#isApart) return;
    this.#socket?.on("state", this.#onState);
    this.#onState();
  }

  protected stop(): void {
    this.#isRunning = false;
    if (this.#isApart) this.#socket?.off("state", this.#onState);
    this.#presence?.end();
    this.#forget();
    const gone = new AbortedError(new Error("The component was unmounted"));
    for (const { resolve } of this.#waiting.splice(0)) resolve(Promise.reject(gone));
    this.set(NOTHING);
  }

  readonly #onState = (): void => {
    // what was refused, or has ended when the connection was closed for good, may come now
    if (this.#socket?.state === "open") this.open();
  };

  readonly #onEnd = (error: Error): void => {
    this.#forget();
    this.set({ ...NOTHING, error });
  };

  #forget(): void {
    this.#presence = undefined;
    this.#hasSynced = false;
  }

  readonly #show = (): void => {
    if (!this.#presence) return;
    const { members, me, count, isSynced } = this.#presence;
    this.#hasSynced ||= isSynced;
    if (this.#hasSynced) this.set({ members, me, count, isSynced, error: undefined });
  };
}
