import { useCallback, useMemo, useSyncExternalStore } from "react";
import type { Loss } from "../client/history.js";
import { type AnySocket, useTokenSocket } from "./context.js";
import { rethrow, useNewest } from "./newest.js";
import { Store } from "./store.js";

/** The state of a subscription. */
export interface ChannelStatus {
  /** Whether messages come. False while the connection is lost. */
  readonly isJoined: boolean;
  /** The reason why no messages come, if the server has refused the channel or joining it has failed. */
  readonly error: Error | undefined;
}

/** Options of `useChannel`. */
export interface UseChannelOptions {
  /** A position: the messages after it come first, when the channel is joined. */
  since?: string | null | undefined;
  /** Without `since`: the number of messages from before that come first. */
  last?: number | undefined;
  /** Called where messages of the channel are lost. */
  onLost?: ((loss: Loss) => unknown) | undefined;
}

const NOT_JOINED: ChannelStatus = { isJoined: false, error: undefined };

/** The channels that components of each client have joined, by name. */
const channels = new WeakMap<AnySocket, Map<string, ChannelStore>>();

/**
 * Hands each message of a channel to the newest `onMessage` while the component is mounted. Without a name it does
 * nothing. All components share one subscription, which ends with the last of them; what one asks for by `since` or `last` is
 * for it alone, and counts when the channel is joined: another value later changes nothing.
 */
export function useChannel<Message = unknown>(
  name: string | null | undefined,
  onMessage: (message: Message) => unknown,
  options: UseChannelOptions = {},
): ChannelStatus {
  const socket = useTokenSocket();
  const newest = useNewest({ onMessage, options });
  const hearsLosses = options.onLost !== undefined;
  // a component that begins in the past reads by a loop of its own
  const hasOwn = !!(options.since || options.last);
  // biome-ignore lint/correctness/useExhaustiveDependencies: only what is there at first counts
  const own = useMemo(
    () => (socket && name && hasOwn ? new ChannelStore(socket, name, () => {}, options) : undefined),
    [socket, name, hasOwn],
  );
  const subscribe = useCallback(
    (onChange: () => void) => {
      if (!socket || !name) return () => {};
      const onLost = (channel: string, loss: Loss) => {
        if (channel === name) newest.current.options.onLost?.(loss);
      };
      if (hearsLosses) socket.on("lost", onLost);
      const onMessage = (message: unknown) => newest.current.onMessage(message as Message);
      const leave = own ? read(own, onMessage, onChange) : join(socket, name, onMessage, onChange);
      return () => {
        if (hearsLosses) socket.off("lost", onLost);
        leave();
      };
    },
    [socket, name, own, hearsLosses, newest],
  );
  const store = () => own ?? (socket && name ? channels.get(socket)?.get(name) : undefined);
  return useSyncExternalStore(
    subscribe,
    () => store()?.get() ?? NOT_JOINED,
    () => NOT_JOINED,
  );
}

function join(
  socket: AnySocket,
  name: string,
  onMessage: (message: unknown) => unknown,
  onChange: () => void,
): () => void {
  const joined = channels.get(socket) ?? new Map<string, ChannelStore>();
  channels.set(socket, joined);
  const channel = joined.get(name) ?? new ChannelStore(socket, name, () => joined.delete(name));
  joined.set(name, channel);
  return read(channel, onMessage, onChange);
}

function read(
  channel: ChannelStore,
  onMessage: (message: unknown) => unknown,
  onChange: () => void,
): () => void {
  channel.handlers.add(onMessage);
  const leave = channel.subscribe(onChange);
  return () => {
    channel.handlers.delete(onMessage);
    leave();
  };
}

/** One reader of a channel, for all components that want its messages from now on, or for one that begins in the past. */
class ChannelStore extends Store<ChannelStatus> {
  readonly handlers = new Set<(message: unknown) => unknown>();
  readonly #socket: AnySocket;
  readonly #name: string;
  readonly #forget: () => void;
  #version: number;
  readonly #given: UseChannelOptions;
  /** Where the next reading begins. */
  #beginning: UseChannelOptions;
  /** Undefined where none come any more. */
  #messages: AsyncIterableIterator<unknown, undefined> | undefined;

  constructor(socket: AnySocket, name: string, forget: () => void, beginning: UseChannelOptions = {}) {
    super(NOT_JOINED);
    this.#given = beginning;
    this.#beginning = beginning;
    this.#socket = socket;
    this.#version = socket.identityVersion;
    this.#name = name;
    this.#forget = forget;
  }

  protected start(): void {
    this.#socket
      .on("identity", this.#onIdentity)
      .on("state", this.#onState)
      .on("subscribed", this.#onJoined)
      .on("unsubscribed", this.#onLeft);
    void this.#read();
  }

  protected stop(): void {
    this.#socket
      .off("identity", this.#onIdentity)
      .off("state", this.#onState)
      .off("subscribed", this.#onJoined)
      .off("unsubscribed", this.#onLeft);
    this.#letGo();
    this.#forget();
  }

  #letGo(): void {
    const messages = this.#messages;
    const at = this.#socket.position(this.#name);
    // a page that is shown again goes on from where it was hidden
    if (messages && at && this.#isOwn) this.#beginning = { since: at };
    this.#messages = undefined;
    void messages?.return?.();
  }

  readonly #onIdentity = (): void => {
    const { identityVersion, state } = this.#socket;
    // a connection that is closed for good has ended the subscription, and says why
    if (identityVersion === this.#version || state === "closed") return;
    this.#version = identityVersion;
    // neither what has come already nor a refusal is for another user
    this.#letGo();
    this.#beginning = this.#given;
    this.set(NOT_JOINED);
    if (state === "open") void this.#read();
  };

  readonly #onState = (): void => {
    // what was refused, or was left when the connection was closed for good, may come now
    if (this.#socket.state === "open" && !this.#messages) void this.#read();
    else this.#show(this.get().error);
  };

  readonly #onJoined = (channel: string): void => {
    if (channel !== this.#name) return;
    // it was left elsewhere, and joined again
    if (this.#messages) this.#show();
    else void this.#read();
  };

  readonly #onLeft = (channel: string, error: Error | undefined): void => {
    if (channel === this.#name) this.#show(error);
  };

  async #read(): Promise<void> {
    // what comes is handed over at once, so that nothing waits long
    const { since, last } = this.#beginning;
    let messages: AsyncIterableIterator<unknown, undefined>;
    try {
      messages = this.#socket.channel(this.#name, { limit: Infinity, since, last });
    } catch (error) {
      // what is asked for is wrong
      return this.#show(error as Error);
    }
    this.#messages = messages;
    this.#show();
    let failure: unknown;
    try {
      for await (const message of messages) {
        // one may be on its way when the stream is let go of
        if (this.#messages === messages) this.#deliver(message);
      }
    } catch (error) {
      failure = error;
    }
    // it was let go of
    if (this.#messages !== messages) return;
    this.#messages = undefined;
    // what has come is not asked for again, once it has begun
    if (!failure && this.#isOwn) this.#beginning = {};
    // it may have been joined again before this loop has heard that it was left
    if (!failure && this.#isJoined) return this.#read();
    this.#show(failure as Error | undefined);
  }

  get #isOwn(): boolean {
    return !!(this.#given.since || this.#given.last);
  }

  get #isJoined(): boolean {
    return this.#socket.state === "open" && this.#socket.channels().includes(this.#name);
  }

  #deliver(message: unknown): void {
    for (const handle of [...this.handlers]) {
      try {
        handle(message);
      } catch (error) {
        rethrow(error);
      }
    }
  }

  #show(error?: Error): void {
    const isJoined = this.#isJoined;
    const last = this.get();
    if (last.isJoined !== isJoined || last.error !== error) this.set({ isJoined, error });
  }
}
