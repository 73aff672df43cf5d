import { useCallback, useEffect, useMemo, useSyncExternalStore } from "react";
import type { RequestOptions } from "../client/calls/requests.js";
import { DisconnectedError } from "../client/errors.js";
import { onAbort } from "../shared/abort.js";
import { type AnySocket, useTokenSocket } from "./context.js";
import { useNewest } from "./newest.js";
import { Store } from "./store.js";

/** What has become of the newest call. */
export interface CallState<Result = unknown> {
  /** The last result that there was. */
  readonly data: Result | undefined;
  /** Why the newest call has failed, if it has. */
  readonly error: Error | undefined;
  /** Whether the newest call is under way. */
  readonly isPending: boolean;
}

/** What `useCall` gives. */
export interface UseCall<
  Args extends unknown[] = [input?: unknown, options?: RequestOptions | null],
  Result = unknown,
> extends CallState<Result> {
  /** Makes a call. A rejection that nobody looks at is no unhandled one. */
  readonly call: (...args: Args) => Promise<Result>;
  /** Forgets result and error, and does not wait for the call that is under way. */
  readonly reset: () => void;
}

/** What `useResult` gives. */
export interface UseResult<Data = unknown> extends CallState<Data> {
  /** Makes the call once more; the data stays until the answer comes. */
  readonly refetch: () => Promise<Data>;
}

/** How `useResult` calls. */
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
  const socket = useTokenSocket();
  const store = useMemo(() => new CallStore(socket, path), [socket, path]);
  const state = useSyncExternalStore(store.subscribe, store.get, store.get);
  return { ...(state as CallState<Result>), call: store.call as () => Promise<Result>, reset: store.reset };
}

/**
 * Calls a function of the server when the component is mounted, whenever the input is another one as JSON, and when
 * the connection is back.
 */
export function useResult<Data = unknown>(
  path: string,
  input?: unknown,
  { enabled = true, refetchOnReconnect = true, ...options }: ResultOptions = {},
): UseResult<Data> {
  const socket = useTokenSocket();
  const json = JSON.stringify(input);
  const wanted = useNewest({ input, options, refetchOnReconnect });
  // biome-ignore lint/correctness/useExhaustiveDependencies: another input begins anew
  const store = useMemo(() => new CallStore(socket, path, enabled), [socket, path, json, enabled]);
  const state = useSyncExternalStore(store.subscribe, store.get, store.get) as CallState<Data>;
  const refetch = useCallback(
    () => store.call(wanted.current.input, wanted.current.options) as Promise<Data>,
    [store, wanted],
  );
  useEffect(() => {
    if (!socket || !enabled) return;
    // StrictMode comes here twice, and a hidden page once more
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

/** The calls of one component, and what has become of the newest. */
class CallStore extends Store<State> {
  readonly #socket: AnySocket | null;
  readonly #path: string;
  readonly #running = new Set<AbortController>();
  #newest: AbortController | undefined;

  /** `isExpected`: the first call comes by itself, so that it counts as under way before it is. */
  constructor(socket: AnySocket | null, path: string, isExpected = false) {
    super(isExpected ? PENDING : IDLE);
    this.#socket = socket;
    this.#path = path;
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

  protected start(): void {}

  protected stop(): void {
    if (this.isCalling) {
      this.#newest = undefined;
      this.set({ ...this.get(), isPending: false });
    }
    for (const life of this.#running) life.abort(new Error("The component was unmounted"));
  }

  #ask(input: unknown, options: RequestOptions): Promise<unknown> {
    return this.#socket
      ? this.#socket.rpc(this.#path, input, options)
      : Promise.reject(new DisconnectedError());
  }
}
