import type { PendingConnection } from "../limits/pending-connections.js";
import type { SockJSConnection, SockJSServer } from "./socket.js";
import { type SockJSParts, SockJSTransport } from "./sockjs.js";
import { TRANSPORT, type Transport } from "./transport.js";

/** The connections that a server takes, as it hears of them by its SockJS server. */
export interface ConnectionsParts extends SockJSParts {
  /** The path that they come by, where several servers share one SockJS server. */
  readonly prefix: string;
  /** Gives the place of a connection of SockJS's own; undefined where there is no `attach`. */
  readonly claim: (connection: SockJSConnection) => PendingConnection | undefined;
  readonly accept: (transport: Transport) => void;
  /** Called for each connection that came by handlers which SockJS has installed itself. */
  readonly onUnattached: () => void;
}

/** The SockJS servers that somebody listens to, and whether there has been more than one. */
const sharing = new WeakMap<SockJSServer, { isShared: boolean }>();

/**
 * Listens to a SockJS server's new connections until the function that it returns is called. Where several
 * listen to one SockJS server, each gets the connections of its own prefix, and the first one where that is the same; a
 * single one gets all.
 */
export function onConnection(server: SockJSServer, parts: ConnectionsParts): () => void {
  const known = sharing.get(server);
  const state = known ?? { isShared: false };
  if (known) known.isShared = true;
  else sharing.set(server, state);
  const listener = (connection: SockJSConnection | null) => {
    // SockJS gives null for a connection that has closed within the turn in which it opened
    if (!connection || (state.isShared && connection.prefix !== parts.prefix)) return;
    const known = (connection as { readonly [TRANSPORT]?: Transport })[TRANSPORT];
    if (known?.isTaken) return;
    parts.accept(known ?? sockjsTransport(connection, parts));
  };
  server.on("connection", listener);
  return () => {
    if (!state.isShared) sharing.delete(server);
    server.removeListener("connection", listener);
  };
}

function sockjsTransport(connection: SockJSConnection, parts: ConnectionsParts): SockJSTransport {
  const place = parts.claim(connection);
  if (!place) parts.onUnattached();
  return new SockJSTransport(connection, place, parts);
}
