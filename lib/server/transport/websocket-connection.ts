import type { IncomingMessage } from "node:http";
import { Stream } from "node:stream";
import { v4 as uuid } from "uuid";
import type { PendingSocket } from "./socket.js";
import { READY_STATE, TRANSPORT } from "./transport.js";
import type { Framing } from "./websocket-frames.js";

/** The operations that a connection leaves to its transport. */
export interface ConnectionTransport {
  readonly readyState: number;
  /** The server's side of the TCP connection; undefined once that is gone. */
  readonly address: object | undefined;
  /** Writes a message by itself, in order with what the server sends; returns whether the connection is open. */
  writeByHand(message: string): boolean;
  /** Closes the connection; returns whether it was open. Throws where it cannot be closed so. */
  end(code?: number, reason?: string): boolean;
}

/** The headers that SockJS tells the application of. */
const HEADERS = [
  "referer",
  "x-client-ip",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-cluster-client-ip",
  "via",
  "x-real-ip",
  "x-forwarded-proto",
  "x-ssl",
  "dnt",
  "host",
  "user-agent",
  "accept-language",
] as const;

/** A WebSocket as the application knows it: like a connection of SockJS (`sockjs` 0.3), with the same names. */
export class WebSocketConnection extends Stream implements PendingSocket {
  readonly [TRANSPORT]: ConnectionTransport;
  readonly sid: string = newId();
  readonly created: number = Date.now();
  readonly channels: Record<string, true> = Object.create(null);
  readonly data: unknown;
  readonly prefix: string;
  readonly url: string;
  readonly pathname: string;
  readonly protocol: "websocket" | "websocket-raw";
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;

  /** `data` is what `verifyConnection` has handed on. */
  constructor(
    transport: ConnectionTransport,
    req: IncomingMessage,
    { framing, prefix }: { readonly framing: Framing; readonly prefix: string },
    data: unknown,
  ) {
    super();
    this[TRANSPORT] = transport;
    this.data = data;
    this.prefix = prefix;
    this.url = req.url ?? "";
    const query = this.url.indexOf("?");
    this.pathname = query === -1 ? this.url : this.url.slice(0, query);
    this.protocol = framing === "plain" ? "websocket-raw" : "websocket";
    this.headers = headersOf(req);
    const { remoteAddress, remotePort } = req.socket;
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
  }

  /** The connection's id; SockJS has one of its own, too. */
  get id(): string {
    return this.sid;
  }

  /** The server's side of the TCP connection, while that is there. */
  get address(): object | undefined {
    return this[TRANSPORT].address;
  }

  get readyState(): number {
    return this[TRANSPORT].readyState;
  }

  get readable(): boolean {
    return this.readyState === READY_STATE.open;
  }

  get writable(): boolean {
    return this.readyState === READY_STATE.open;
  }

  write(message: string): boolean {
    return this[TRANSPORT].writeByHand(String(message));
  }

  close(code?: number, reason?: string): boolean {
    return this[TRANSPORT].end(code, reason);
  }

  /** Writes a last message and closes. */
  end(message?: string): null {
    if (message) this.write(message);
    this.close();
    return null;
  }

  /** Closes; unlike SockJS's it leaves the listeners, by which connections are counted. */
  destroy(): void {
    this.end();
  }

  destroySoon(): void {
    this.destroy();
  }

  override toString(): string {
    return `<SockJSConnection ${this.id}>`;
  }
}

function headersOf({ headers }: IncomingMessage): Record<string, string | undefined> {
  const chosen: Record<string, string | undefined> = {};
  for (const name of HEADERS) {
    const value = headers[name];
    if (typeof value === "string" && value !== "") chosen[name] = value;
  }
  return chosen;
}

/** A uuid. What is put together, as uuid does it, takes ten times the memory until it is copied. */
export function newId(): string {
  return Buffer.from(uuid()).toString("latin1");
}
