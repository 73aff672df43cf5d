import { useEffect, useMemo, useSyncExternalStore } from "react";
import type { HistoryMessage, Loss, MessageInfo } from "../client/history.js";
import { parsePosition } from "../shared/position.js";
import { useChannel } from "./channel.js";
import { type AnySocket, useProvided } from "./context.js";
import { Store } from "./store.js";

/** Options of `useHistory`. They count when the component is mounted. */
export interface UseHistoryOptions {
  /** The number of messages that are read at first, and by each `loadOlder()`. Default 50. */
  last?: number | undefined;
  /** The number of messages that are kept, beside those that `loadOlder()` has read; the oldest go first. Default 1000. */
  limit?: number | undefined;
}

/** The result of `useHistory`. */
export interface UseHistory<Message = unknown> {
  /** The messages, the oldest first, each once. */
  readonly messages: readonly HistoryMessage<Message>[];
  /** Reads older messages. A rejection that nobody looks at is no unhandled one. */
  readonly loadOlder: () => Promise<void>;
  /** Whether there are older messages to read. */
  readonly hasOlder: boolean;
  /** Whether new messages come. False while the connection is lost. */
  readonly isLive: boolean;
  /** The last loss, if messages are missing between those that are there. */
  readonly lost: Loss | undefined;
  /** The reason why there is no history or no new message, if the server has refused it or it has failed. */
  readonly error: Error | undefined;
}

type State = Pick<UseHistory, "messages" | "hasOlder" | "lost" | "error">;

const EMPTY: State = { messages: [], hasOlder: false, lost: undefined, error: undefined };

/** A channel's messages as one list: the last ones, those that come while the component is mounted, and older ones. */
export function useHistory<Message = unknown>(
  name: string | null | undefined,
  { last = 50, limit = 1000 }: UseHistoryOptions = {},
): UseHistory<Message> {
  const { socket, version } = useProvided();
  // biome-ignore lint/correctness/useExhaustiveDependencies: another user begins anew, other numbers do not
  const store = useMemo(() => new HistoryStore(socket, name, last, limit), [socket, version, name]);
  const state = useSyncExternalStore(store.subscribe, store.get, () => EMPTY);
  const { isJoined, error } = useChannel(name, ignore);
  useEffect(() => {
    if (isJoined) store.load();
  }, [isJoined, store]);
  const messages = state.messages as readonly HistoryMessage<Message>[];
  return { ...state, messages, loadOlder: store.loadOlder, isLive: isJoined, error: error ?? state.error };
}

function ignore(): void {}

/** The messages of one channel that one component shows. */
class HistoryStore extends Store<State> {
  readonly #socket: AnySocket | null;
  readonly #name: string;
  readonly #last: number;
  readonly #known = new Set<string>();
  #most: number;
  #life = new AbortController();
  /** The position before which there are older messages. */
  #before: string | undefined;
  #isLoaded = false;
  #loading: Promise<void> | undefined;

  constructor(socket: AnySocket | null, name: string | null | undefined, last: number, limit: number) {
    super(EMPTY);
    this.#socket = name ? socket : null;
    this.#name = name ?? "";
    this.#last = last;
    this.#most = limit;
  }

  /** Reads the newest messages, unless that has been done. */
  load(): void {
    if (!this.#isLoaded) this.#read().catch(() => {});
  }

  readonly loadOlder = (): Promise<void> => {
    if (!this.#before) return Promise.resolve();
    const answer = this.#read(this.#before);
    answer.catch(() => {});
    return answer;
  };

  protected start(): void {
    this.#socket?.on("message", this.#onMessage).on("lost", this.#onLost);
  }

  protected stop(): void {
    this.#socket?.off("message", this.#onMessage).off("lost", this.#onLost);
    this.#life.abort(new Error("The component was unmounted"));
    this.#life = new AbortController();
    // what comes while it is not looked at is missing
    this.#known.clear();
    this.#before = undefined;
    this.#isLoaded = false;
    this.#loading = undefined;
    this.set(EMPTY);
  }

  readonly #onMessage = (channel: string, message: unknown, info?: MessageInfo): void => {
    if (channel !== this.#name || !info) return;
    const messages = this.#with([{ message, at: info.at, time: info.time }]);
    const tooMany = messages.length - this.#most;
    for (const { at } of messages.splice(0, Math.max(0, tooMany))) this.#known.delete(at);
    if (tooMany > 0) this.#before = messages[0]?.at;
    this.set({ ...this.get(), messages, hasOlder: this.#before !== undefined });
  };

  readonly #onLost = (channel: string, lost: Loss): void => {
    if (channel === this.#name) this.set({ ...this.get(), lost });
  };

  /** Reads the newest messages, or those before a position; one request at a time. */
  #read(before?: string): Promise<void> {
    const loading = this.#loading ?? this.#request(before);
    const done = () => {
      if (this.#loading === loading) this.#loading = undefined;
    };
    if (!this.#loading) loading.then(done, done);
    this.#loading = loading;
    return loading;
  }

  async #request(before: string | undefined): Promise<void> {
    const { signal } = this.#life;
    try {
      const page = await this.#socket?.history(this.#name, { last: this.#last, before, signal });
      if (!page || signal.aborted) return;
      this.#isLoaded = true;
      this.#before = page.more && (page.before ?? page.messages[0]?.at);
      const messages = this.#with(page.messages);
      // what was asked for stays
      if (before) this.#most += page.messages.length;
      this.set({ ...this.get(), messages, hasOlder: this.#before !== undefined, error: undefined });
    } catch (error) {
      if (!signal.aborted) this.set({ ...this.get(), error: error as Error });
      throw error;
    }
  }

  /** The messages and further ones, each once and in order, as far as their positions tell. */
  #with(further: readonly HistoryMessage[]): HistoryMessage[] {
    const messages = [...this.get().messages];
    for (const one of further) {
      if (this.#known.has(one.at)) continue;
      this.#known.add(one.at);
      let index = messages.length;
      while (index > 0 && isBefore(one, messages[index - 1])) index--;
      messages.splice(index, 0, one);
    }
    return messages;
  }
}

function isBefore(one: HistoryMessage, other: HistoryMessage | undefined): boolean {
  const [position, otherPosition] = [parsePosition(one.at), parsePosition(other?.at)];
  if (!position || !otherPosition || position.epoch !== otherPosition.epoch) return false;
  return position.offset < otherPosition.offset;
}
