import { useMemo, useSyncExternalStore } from "react";
import type { RequestOptions } from "../client/calls/requests.js";
import { type AnySocket, useProvided } from "./context.js";
import { keyOf } from "./input.js";
import { rethrow, useNewest } from "./newest.js";
import { Store } from "./store.js";

/** The state of a stream. */
export interface StreamState<Item = unknown> {
  /** The last item. Undefined where `onItem` takes the items. */
  readonly last: Item | undefined;
  /** Whether items may come. */
  readonly isRunning: boolean;
  /** Whether the server has ended it. */
  readonly isDone: boolean;
  /** The error, if it has failed. */
  readonly error: Error | undefined;
}

/** Options of a stream. */
export interface StreamOptions<Item = unknown> extends Pick<RequestOptions, "timeout" | "queue" | "window"> {
  /** Takes each item. The next one is read when what it returns is done. */
  onItem?: ((item: Item) => unknown) | undefined;
  /** Default true. With false nothing is read. */
  enabled?: boolean | undefined;
  /** Whether to begin anew, where the stream has failed, when the connection is back. Default true. */
  restart?: boolean | undefined;
}

type State = StreamState<unknown>;

const IDLE: State = { last: undefined, isRunning: false, isDone: false, error: undefined };
const RUNNING: State = { ...IDLE, isRunning: true };

/**
 * Reads the stream that a function of the server answers with, while the component is mounted. It begins anew
 * whenever the input is another one as JSON, and after the connection was lost.
 */
export function useStream<Item = unknown>(
  path: string,
  input?: unknown,
  options: StreamOptions<Item> = {},
): StreamState<Item> {
  const { socket, version } = useProvided();
  const { enabled = true } = options;
  const key = keyOf(input);
  const newest = useNewest({ input, options: options as StreamOptions });
  // biome-ignore lint/correctness/useExhaustiveDependencies: another input begins anew
  const store = useMemo(
    () => new StreamStore(socket, version, path, enabled, () => newest.current),
    [socket, version, path, key, enabled, newest],
  );
  return useSyncExternalStore(store.subscribe, store.get, store.get) as StreamState<Item>;
}

interface Wanted {
  readonly input: unknown;
  readonly options: StreamOptions;
}

/** One reader of a stream, as one identity. */
class StreamStore extends Store<State> {
  readonly #socket: AnySocket | null;
  readonly #version: number;
  readonly #path: string;
  readonly #isEnabled: boolean;
  readonly #wanted: () => Wanted;
  #life: AbortController | undefined;
  #forget: () => unknown = () => {};

  constructor(
    socket: AnySocket | null,
    version: number,
    path: string,
    isEnabled: boolean,
    wanted: () => Wanted,
  ) {
    super(isEnabled ? RUNNING : IDLE);
    this.#socket = socket;
    this.#version = version;
    this.#path = path;
    this.#isEnabled = isEnabled;
    this.#wanted = wanted;
  }

  protected start(): void {
    const socket = this.#socket;
    if (!socket || !this.#isEnabled) return;
    const onState = () => {
      const { restart = true } = this.#wanted().options;
      if (socket.state === "open" && this.get().error && restart) void this.#read(socket);
    };
    // the component has another store in a moment, but what has come already would be handed over
    const onIdentity = () => {
      if (socket.identityVersion !== this.#version) this.stop();
    };
    socket.on("state", onState).on("identity", onIdentity);
    this.#forget = () => socket.off("state", onState).off("identity", onIdentity);
    void this.#read(socket);
  }

  protected stop(): void {
    this.#forget();
    this.#forget = () => {};
    this.#life?.abort(new Error("The component was unmounted"));
  }

  async #read(socket: AnySocket): Promise<void> {
    const life = new AbortController();
    this.#life = life;
    const { input, options } = this.#wanted();
    const { timeout, queue, window } = options;
    this.#show(life, RUNNING);
    try {
      const items = socket.rpc(this.#path, input, { timeout, queue, window, signal: life.signal });
      for await (const item of items) {
        if (life.signal.aborted) return;
        await this.#hand(item, life);
      }
      this.#show(life, { isRunning: false, isDone: true });
    } catch (error) {
      this.#show(life, { isRunning: false, error: error as Error });
    }
  }

  /** Hands an item over; resolves when the next one may come. */
  async #hand(item: unknown, life: AbortController): Promise<void> {
    const { onItem } = this.#wanted().options;
    if (!onItem) return this.#show(life, { last: item });
    try {
      await onItem(item);
    } catch (error) {
      rethrow(error);
    }
  }

  #show(life: AbortController, change: Partial<State>): void {
    if (!life.signal.aborted) this.set({ ...this.get(), ...change });
  }
}
