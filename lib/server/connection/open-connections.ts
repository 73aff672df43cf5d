import { DisconnectedError } from "../../shared/call-errors.js";
import { CLOSE } from "../../shared/close-codes.js";
import type { CallOptions } from "../../shared/pending-calls.js";
import type { Notices } from "../events/notices.js";
import type { AnySocket, PendingSocket } from "../transport/socket.js";
import type { Transport } from "../transport/transport.js";
import { Connection } from "./connection.js";
import type { ConnectionParts } from "./connection-parts.js";
import { drain } from "./drain.js";

export interface OpenConnectionsParts<Auth> {
  /** The parts that all connections share. */
  readonly shared: Omit<ConnectionParts<Auth>, "onClosed">;
  readonly notices: Notices<Auth>;
}

/** The open connections of a server. */
export class OpenConnections<Auth> {
  readonly #parts: ConnectionParts<Auth>;
  readonly #notices: Notices<Auth>;
  readonly #bySocket = new Map<object, Connection<Auth>>();
  #isDraining = false;

  constructor({ shared, notices }: OpenConnectionsParts<Auth>) {
    this.#notices = notices;
    this.#parts = { ...shared, onClosed: (socket) => this.#forget(socket) };
  }

  get size(): number {
    return this.#bySocket.size;
  }

  sockets(): AnySocket<Auth>[] {
    return [...this.#bySocket.values()].map(({ socket }) => socket);
  }

  /** Takes a client that has connected. */
  accept(transport: Transport): void {
    if (this.#isDraining) return transport.close(CLOSE.shutdown);
    const connection = new Connection<Auth>(transport, this.#parts);
    this.#bySocket.set(connection.socket, connection);
    this.#parts.reporter.debug(() => `${connection.socket.sid} has connected`);
    this.#notices.notify("connection", connection.socket);
  }

  /** The connection of a socket; undefined where it has closed, has not authenticated, or is not of this server. */
  identified(socket: PendingSocket): Connection<Auth> | undefined {
    const connection = this.#bySocket.get(socket);
    return connection?.identified ? connection : undefined;
  }

  /** Calls a function of a socket's client; as `Connection#call` otherwise. */
  async call(socket: PendingSocket, command: string, args: unknown, options: CallOptions): Promise<unknown> {
    checkCall(command, options);
    const connection = this.#bySocket.get(socket);
    if (!connection) throw new DisconnectedError();
    return connection.call(command, args, options);
  }

  /** Sets how long a connection may be without an identity, those that are open as well; undefined: no limit. */
  limitUnauthenticated(time: number | undefined): void {
    this.#parts.authenticationDeadlines.limit(time);
  }

  /** Takes no more, and ends those that are open within a number of milliseconds, as `drain` does. */
  drain(time: number): Promise<void> {
    this.#isDraining = true;
    return drain([...this.#bySocket.values()], time);
  }

  /** Closes all at once. */
  close(): void {
    this.limitUnauthenticated(undefined);
    for (const connection of [...this.#bySocket.values()]) connection.close(CLOSE.shutdown);
  }

  #forget(socket: AnySocket<Auth>): void {
    this.#bySocket.delete(socket);
    this.#parts.reporter.debug(() => `${socket.sid} has closed`);
    this.#notices.notify("disconnect", socket);
  }
}

/** Throws a `TypeError` for a call that cannot be made. */
function checkCall(command: unknown, { timeout, signal }: CallOptions): void {
  if (typeof command !== "string" || command === "") throw new TypeError("command must be a function's path");
  if (timeout !== undefined && !(typeof timeout === "number" && timeout > 0)) {
    throw new TypeError("timeout must be a positive number of milliseconds");
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError("signal must be an AbortSignal");
  }
}
