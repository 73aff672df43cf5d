import {
  createContext,
  createElement,
  type ReactElement,
  type ReactNode,
  useCallback,
  useContext,
  useMemo,
  useSyncExternalStore,
} from "react";
import type { TokenSocket } from "../client/token-socket.js";

/** A client whose types are not known here. */
export type AnySocket = TokenSocket;

/** The value that hooks get from their provider. */
interface Provided {
  /** Null where there is no client, as on a server that renders. */
  readonly socket: AnySocket | null;
  /** The client's `identityVersion`: another one is for the hooks what another client is. */
  readonly version: number;
}

/** Undefined: there is no provider. */
const ProvidedContext = createContext<Provided | undefined>(undefined);
const IdentityContext = createContext<unknown>(undefined);

/** A client of whatever types. */
type SomeSocket = Pick<
  TokenSocket,
  "state" | "reason" | "identity" | "identityVersion" | "channels" | "reauthenticate" | "end"
>;

/** The props of `TokenSocketProvider`. */
export interface TokenSocketProviderProps<Socket = SomeSocket> {
  /** The client. Without one, as on a server that renders, the hooks do nothing. */
  socket: Socket | null | undefined;
  children?: ReactNode;
}

/** Gives a client to the hooks below. It neither makes the client nor ends it. */
export function TokenSocketProvider({ socket: given, children }: TokenSocketProviderProps): ReactElement {
  const socket = (given ?? null) as AnySocket | null;
  const subscribe = useCallback(
    (onChange: () => void) => {
      socket?.on("identity", onChange);
      return () => {
        socket?.off("identity", onChange);
      };
    },
    [socket],
  );
  // here for all of them, so that all change in one commit, hidden ones included, which hear of nothing themselves
  const readVersion = () => socket?.identityVersion ?? 0;
  const version = useSyncExternalStore(subscribe, readVersion, () => 0);
  const identity = useSyncExternalStore(
    subscribe,
    () => socket?.identity,
    () => undefined,
  );
  const provided = useMemo(() => ({ socket, version }), [socket, version]);
  const inner = createElement(IdentityContext.Provider, { value: identity }, children);
  return createElement(ProvidedContext.Provider, { value: provided }, inner);
}

/** The value of the nearest provider. */
export function useProvided(): Provided {
  const provided = useContext(ProvidedContext);
  if (provided === undefined) throw new Error("There is no TokenSocketProvider around this component");
  return provided;
}

/** The client of the provider above; null where that has none. */
export function useTokenSocket(): TokenSocket | null {
  return useProvided().socket;
}

/** The client's identity, as far as the server shows it; undefined if it does not, or if it is not known yet. */
export function useIdentity<Identity = unknown>(): Identity | undefined {
  useProvided();
  return useContext(IdentityContext) as Identity | undefined;
}
