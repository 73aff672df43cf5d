/**
 * The one place that looks inside another package. SockJS (0.3) does not say how much waits for a client of its HTTP
 * transports, without which `limits.bufferedBytes` could not be kept there, and cannot be asked to end a streaming
 * response, without which nobody would notice that such a client has gone without a word. Where a connection is not as
 * expected inside, nothing counts as waiting, and the response goes on.
 */

import type { SockJSConnection } from "./socket.js";

/** The part of a TCP connection that is needed here. */
export interface ResponseSocket {
  readonly writableLength?: number;
  readonly destroyed?: boolean;
  destroy?(): void;
  once?(event: "close", listener: () => void): unknown;
}

interface Session {
  readonly send_buffer?: readonly string[];
  readonly recv?: {
    readonly response?: { readonly socket?: ResponseSocket | null } | null;
    didClose?(): void;
  } | null;
}

/** The transports over which SockJS writes one long response. */
export const STREAMING: ReadonlySet<string> = new Set(["xhr-streaming", "eventsource", "htmlfile"]);

/** WebSockets are not looked into. */
const HTTP_TRANSPORTS: ReadonlySet<string> = new Set([...STREAMING, "xhr-polling", "jsonp-polling"]);

function sessionOf(connection: SockJSConnection): Session | undefined {
  if (!HTTP_TRANSPORTS.has(connection.protocol)) return undefined;
  return (connection as { readonly _session?: Session | null })._session ?? undefined;
}

/** Whether SockJS keeps messages for the client's next request. */
export function keepsMessages(connection: SockJSConnection): boolean {
  return Boolean(sessionOf(connection)?.send_buffer?.length);
}

/** The TCP connection that takes the client's response just now; there is none between two polls. */
export function responseSocketOf(connection: SockJSConnection): ResponseSocket | undefined {
  return sessionOf(connection)?.recv?.response?.socket ?? undefined;
}

/** Ends the response that a client reads, as SockJS does from time to time: the client has to ask for another one. */
export function endResponse(connection: SockJSConnection): void {
  sessionOf(connection)?.recv?.didClose?.();
}
