import { createContext, createElement, type ReactElement, type ReactNode, useContext } from "react";
import type { TokenSocket } from "../client/token-socket.js";

/** A client whose types are not known here. */
export type AnySocket = TokenSocket;

/** Undefined: there is no provider. Null: there is one without a client, as on a server that renders. */
const SocketContext = createContext<AnySocket | null | undefined>(undefined);

/** A client of whatever types. */
type SomeSocket = Pick<TokenSocket, "state" | "reason" | "channels" | "reauthenticate" | "end">;

/** What `TokenSocketProvider` is given. */
export interface TokenSocketProviderProps<Socket = SomeSocket> {
  /** The client. Without one, as on a server that renders, the hooks do nothing. */
  socket: Socket | null | undefined;
  children?: ReactNode;
}

/** Gives a client to the hooks below. It neither makes the client nor ends it. */
export function TokenSocketProvider({ socket, children }: TokenSocketProviderProps): ReactElement {
  return createElement(SocketContext.Provider, { value: (socket ?? null) as AnySocket | null }, children);
}

/** The client of the provider above; null where that has none. */
export function useTokenSocket(): TokenSocket | null {
  const socket = useContext(SocketContext);
  if (socket === undefined) throw new Error("There is no TokenSocketProvider around this component");
  return socket;
}
