import { useCallback, useEffect, useMemo, useSyncExternalStore } from "react";
import type { RequestOptions } from "../client/calls/requests.js";
import { DisconnectedError } from "../client/errors.js";
import { onAbort } from "../shared/abort.js";
import { type AnySocket, useProvided } from "./context.js";
import { keyOf } from "./input.js";
import { useNewest } from "./newest.js";
import { Store } from "./store.js";

/** The state of the newest call. */
export interface CallState<Result = unknown> {
  /** The last result that there was. */
  readonly data: Result | undefined;
  /** The error of the newest call, if it has failed. */
  readonly error: Error | undefined;
  /** Whether the newest call is under way. */
  readonly isPending: boolean;
}

/** The result of `useCall`. */
export interface UseCall<
  Args extends unknown[] = [input?: unknown, options?: RequestOptions | null],
  Result = unknown,
> extends CallState<Result> {
  /** Makes a call. A rejection that nobody looks at is no unhandled one. */
  readonly call: (...args: Args) => Promise<Result>;
  /** Forgets result and error, and does not wait for the call that is under way. */
  readonly reset: () => void;
}

/** The result of `useResult`. */
export interface UseResult<Data = unknown> extends CallState<Data> {
  /** Makes the call once more; the data stays until the answer comes. */
  readonly refetch: () => Promise<Data>;
}

/** Options of `useResult`. */
export interface ResultOptions extends Omit<RequestOptions, "signal" | "window"> {
  /** Default true. With false nothing is called. */
  enabled?: boolean | undefined;
  /** Whether to call again when the connection is back, since much may have happened. Default true. */
  refetchOnReconnect?: boolean | undefined;
}

type State = CallState<unknown>;

const IDLE: State = { data: undefined, error: undefined, isPending: false };
const PENDING: State = { data: undefined, error: undefined, isPending: true };

/** Calls a function of the server when it is told to, and shows what has become of the newest call. */
export function useCall<Result = unknown>(
  path: string,
): UseCall<[input?: unknown, options?: RequestOptions | null], Result> {
  const { socket, version } = useProvided();
  const store = useMemo(() => new CallStore(socket, version, path), [socket, version, path]);
  const state = useSyncExternalStore(store.subscribe, store.get, store.get);
  return { ...(state as CallState<Result>), call: store.call as () => Promise<Result>, reset: store.reset };
}

/**
 * Calls a function of the server when the component is mounted or shown again, whenever the input is another one as
 * JSON, when the client becomes another user, and when the connection is back.
 */
export function useResult<Data = unknown>(
  path: string,
  input?: unknown,
  { enabled = true, refetchOnReconnect = true, ...options }: ResultOptions = {},
): UseResult<Data> {
  const { socket, version } = useProvided();
  const key = keyOf(input);
  const wanted = useNewest({ input, options, refetchOnReconnect });
  // biome-ignore lint/correctness/useExhaustiveDependencies: another input begins anew
  const store = useMemo(
    () => new CallStore(socket, version, path, enabled),
    [socket, version, path, key, enabled],
  );
  const state = useSyncExternalStore(store.subscribe, store.get, store.get) as CallState<Data>;
  const refetch = useCallback(
    () => store.call(wanted.current.input, wanted.current.options) as Promise<Data>,
    [store, wanted],
  );
  useEffect(() => {
    if (!socket || !enabled) return;
    // StrictMode comes here twice; a page that was hidden has missed what was to make it call again
    if (!store.hasCalled) void refetch();
    const onState = () => {
      if (socket.state !== "open" || store.isCalling || !wanted.current.refetchOnReconnect) return;
      void refetch();
    };
    socket.on("state", onState);
    return () => {
      socket.off("state", onState);
    };
  }, [socket, enabled, store, refetch, wanted]);
  return { ...state, refetch };
}

/** The calls of one component as one identity, and what has become of the newest. */
class CallStore extends Store<State> {
  readonly #socket: AnySocket | null;
  readonly #version: number;
  readonly #path: string;
  readonly #isExpected: boolean;
  readonly #running = new Set<AbortController>();
  #newest: AbortController | undefined;

  /** `isExpected`: the first call comes by itself, so that it counts as under way before it is. */
  constructor(socket: AnySocket | null, version: number, path: string, isExpected = false) {
    super(isExpected ? PENDING : IDLE);
    this.#socket = socket;
    this.#version = version;
    this.#path = path;
    this.#isExpected = isExpected;
  }

  /** Whether a call has been made, and was not given up. */
  get hasCalled(): boolean {
    return this.#newest !== undefined;
  }

  get isCalling(): boolean {
    return this.#newest !== undefined && this.#running.has(this.#newest);
  }

  readonly call = (input?: unknown, options?: RequestOptions | null): Promise<unknown> => {
    const life = new AbortController();
    const forget = onAbort(options?.signal, () => life.abort(options?.signal?.reason));
    this.#running.add(life);
    this.#newest = life;
    this.set({ ...this.get(), error: undefined, isPending: true });
    const settle = (outcome: Partial<State>) => {
      forget();
      this.#running.delete(life);
      // an older call has nothing to say any more
      if (this.#newest === life) this.set({ ...this.get(), ...outcome, isPending: false });
    };
    const answer = this.#ask(input, { ...options, signal: life.signal });
    answer.then(
      (data) => settle({ data }),
      (error: Error) => settle({ error }),
    );
    return answer;
  };

  readonly reset = (): void => {
    this.#newest = undefined;
    this.set(IDLE);
  };

  protected start(): void {
    this.#socket?.on("identity", this.#onIdentity);
  }

  protected stop(): void {
    this.#socket?.off("identity", this.#onIdentity);
    if (this.isCalling && !this.#isExpected) this.set({ ...this.get(), isPending: false });
    this.#giveUp("The component was unmounted");
  }

  /** Cancels calls that wait for a connection, which must not go out as another user's; the component has another store in a moment. */
  readonly #onIdentity = (): void => {
    if (this.#socket?.identityVersion !== this.#version) this.#giveUp("The client has become another user");
  };

  #giveUp(why: string): void {
    this.#newest = undefined;
    for (const life of this.#running) life.abort(new Error(why));
  }

  #ask(input: unknown, options: RequestOptions): Promise<unknown> {
    return this.#socket
      ? this.#socket.rpc(this.#path, input, options)
      : Promise.reject(new DisconnectedError());
  }
}
