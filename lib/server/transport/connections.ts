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

const shared = new WeakMap<SockJSServer, SharedSockJSServer>();

/**
 * Listens to a SockJS server's new connections until the function that it returns is called. Where several
 * listen to one SockJS server, each gets the connections of its own prefix, and the first one where that is the same; a
 * single one gets all.
 */
export function onConnection(server: SockJSServer, parts: ConnectionsParts): () => void {
  const known = shared.get(server) ?? new SharedSockJSServer(server);
  shared.set(server, known);
  known.add(parts);
  return () => known.delete(parts);
}

/** A SockJS server and those who share it, by one listener: Node.js warns of a leak where an emitter has more than ten. */
class SharedSockJSServer {
  readonly #server: SockJSServer;
  readonly #owners = new Set<ConnectionsParts>();
  /** Whether there has been more than one owner at a time. */
  #isShared = false;

  constructor(server: SockJSServer) {
    this.#server = server;
  }

  add(parts: ConnectionsParts): void {
    this.#owners.add(parts);
    if (this.#owners.size > 1) this.#isShared = true;
    // the application may have taken off all listeners meanwhile
    this.#server.removeListener("connection", this.#onConnection);
    this.#server.on("connection", this.#onConnection);
  }

  delete(parts: ConnectionsParts): void {
    this.#owners.delete(parts);
    if (this.#owners.size === 0) this.#server.removeListener("connection", this.#onConnection);
  }

  readonly #onConnection = (connection: SockJSConnection | null): void => {
    // SockJS gives null for a connection that has closed within the turn in which it opened
    if (!connection) return;
    const known = (connection as { readonly [TRANSPORT]?: Transport })[TRANSPORT];
    if (known?.isTaken) return;
    const owner = [...this.#owners].find(({ prefix }) => !this.#isShared || connection.prefix === prefix);
    owner?.accept(known ?? sockjsTransport(connection, owner));
  };
}

function sockjsTransport(connection: SockJSConnection, parts: ConnectionsParts): SockJSTransport {
  const place = parts.claim(connection);
  if (!place) parts.onUnattached();
  return new SockJSTransport(connection, place, parts);
}

/** Throws a `TypeError` for what is no SockJS server. */
export function checkSocketServer(server: unknown): void {
  const { on, installHandlers } = (server ?? {}) as Record<string, unknown>;
  if (typeof on !== "function" || typeof installHandlers !== "function") {
    throw new TypeError("socketServer must be a SockJS server, as sockjs.createServer() makes it");
  }
}
