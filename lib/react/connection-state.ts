import { useCallback, useSyncExternalStore } from "react";
import type { State } from "../client/connection/connection.js";
import { type AnySocket, useTokenSocket } from "./context.js";

/** The state of a connection. */
export interface ConnectionState {
  readonly state: State;
  /** The reason why it is not open, if it was lost or has failed. */
  readonly reason: Error | undefined;
}

/** The state that is shown where there is no client, and by a server. */
const INITIAL: ConnectionState = { state: "connecting", reason: undefined };

/** The last state that was seen of each client; React wants the same object as long as nothing has changed. */
const seen = new WeakMap<AnySocket, ConnectionState>();

/** The state of the connection. */
export function useConnectionState(): ConnectionState {
  const socket = useTokenSocket();
  const subscribe = useCallback(
    (onChange: () => void) => {
      socket?.on("state", onChange);
      return () => {
        socket?.off("state", onChange);
      };
    },
    [socket],
  );
  const read = () => (socket ? stateOf(socket) : INITIAL);
  return useSyncExternalStore(subscribe, read, () => INITIAL);
}

function stateOf(socket: AnySocket): ConnectionState {
  const { state, reason } = socket;
  const last = seen.get(socket);
  if (last?.state === state && last.reason === reason) return last;
  const now = { state, reason };
  seen.set(socket, now);
  return now;
}
