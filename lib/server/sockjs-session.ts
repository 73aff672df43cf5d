import type { SockJSConnection } from "./socket.js";

/** The part of a TCP socket that is needed here. */
export interface TcpSocket {
  readonly writableLength?: number;
  readonly writable?: boolean;
  readonly destroyed?: boolean;
  write?(bytes: Buffer): boolean;
  destroy?(): void;
  once?(event: "close", listener: () => void): unknown;
}

/** The part of the driver of a WebSocket (`websocket-driver` 0.7, RFC 6455) that is needed here. */
export interface WebSocketDriver {
  readonly readyState: number;
  /** Where in a frame the reader is; at 0 between two. */
  readonly _stage: number;
  readonly _reader: { readonly _queueSize: number };
  /** The message of which some frames have come. */
  readonly _message?: unknown;
  readonly _maxLength: number;
  /** Piped to the TCP connection; paused from when that takes no more until it does. */
  readonly io: { pause(): void; listenerCount(event: "data"): number };
  parse(chunk: Buffer): void;
  emit(event: "message", message: { readonly data: string }): unknown;
}

/** The part of `faye-websocket` (0.11) that is needed here; another version may lack any of it. */
export interface FayeWebSocket {
  readonly readyState?: number;
  readonly version?: string;
  readonly _stream?: TcpSocket;
  readonly _driver?: Partial<WebSocketDriver> & {
    readonly _masking?: unknown;
    readonly _extensions?: { readonly _sessions?: readonly unknown[] | null };
  };
  ping?(message: string, onPong: () => void): boolean;
}

/** The part of SockJS's own session (0.3) that tells what waits for the client; another version may lack any of it. */
export interface Session {
  readonly readyState?: number;
  readonly session_id?: string;
  readonly send_buffer?: string[];
  readonly recv?: {
    readonly ws?: FayeWebSocket | null;
    readonly connection?: TcpSocket | null;
    readonly response?: { readonly socket?: TcpSocket | null } | null;
    didClose?(): void;
  } | null;
  /** That of a plain WebSocket. */
  readonly ws?: FayeWebSocket | null;
}

/** The state of a session, and of a WebSocket, that messages can be sent to. */
export const OPEN = 1;

export function sessionOf(connection: SockJSConnection): Session | undefined {
  return (connection as { readonly _session?: Session })._session;
}

/** The socket to which the session writes just now; there is none between two polls. */
export function socketOf(connection: SockJSConnection): TcpSocket | null | undefined {
  const receiver = sessionOf(connection)?.recv;
  return receiver?.connection ?? receiver?.response?.socket;
}

type WritableSocket = TcpSocket & Required<Pick<TcpSocket, "writable" | "write">>;

/** A WebSocket whose frames may be read and written without SockJS. */
export interface KnownWebSocket {
  readonly session: Session;
  readonly webSocket: FayeWebSocket;
  readonly driver: WebSocketDriver;
  readonly tcp: WritableSocket;
  /** Whether messages are frames, and not in frames of SockJS. */
  readonly isPlain: boolean;
}

/**
 * Looks at what SockJS and its WebSocket have inside. Gives nothing where that is not as expected, or where the client
 * and the WebSocket have agreed on extensions such as compression.
 */
export function knownWebSocket(connection: SockJSConnection): KnownWebSocket | undefined {
  const session = sessionOf(connection);
  const isPlain = connection.protocol === "websocket-raw";
  const webSocket = isPlain ? session?.ws : session?.recv?.ws;
  const tcp = session?.recv?.connection;
  const driver = webSocket?._driver;
  if (!session || !webSocket || !driver || !tcp || webSocket._stream !== tcp) return undefined;
  if (!isWritable(tcp)) return undefined;
  if (webSocket.version !== RFC_6455 || driver._masking || driver._extensions?._sessions?.length !== 0)
    return undefined;
  return isDriver(driver) ? { session, webSocket, driver, tcp, isPlain } : undefined;
}

/**
 * Lets go of the request that has opened a WebSocket, and of what its answer was made of: some 3 KB that the WebSocket's
 * driver needs for the handshake alone, and SockJS for what it might have had to refuse. What SockJS tells the application
 * of the request are copies.
 */
export function forgetHandshake({ webSocket, driver, tcp }: KnownWebSocket): void {
  if (driver.readyState !== OPEN) return;
  forget(driver, ["_request", "_headers", "_options", "_protocols"]);
  // functions that close over the request
  forget(webSocket, ["onopen"]);
  forget(tcp, ["writeHead", "setHeader"]);
}

/** Empties fields; another version may not have them. */
function forget(object: object, names: readonly string[]): void {
  for (const name of names) {
    if (Object.hasOwn(object, name)) Reflect.set(object, name, undefined);
  }
}

/** What the WebSocket of SockJS calls the protocol of RFC 6455. */
const RFC_6455 = "hybi-13";

function isWritable(tcp: TcpSocket): tcp is WritableSocket {
  return typeof tcp.writable === "boolean" && typeof tcp.write === "function";
}

function isDriver(driver: Partial<WebSocketDriver>): driver is WebSocketDriver {
  const { readyState, _stage, _reader, _maxLength, io, parse, emit } = driver;
  const numbers = [readyState, _stage, _reader?._queueSize, _maxLength];
  const isOfAll =
    typeof parse === "function" && parse === Reflect.get(Object.getPrototypeOf(driver), "parse");
  const functions = [emit, io?.pause];
  const isReady = numbers.every(Number.isInteger) && functions.every((one) => typeof one === "function");
  return isReady && isOfAll && io?.listenerCount("data") === 1;
}
