import { onAbort } from "../../shared/abort.js";
import { ConnectionError } from "../errors.js";
import { headersOf, type ResolvedOptions } from "../options.js";
import { within } from "../time-limit.js";
import { loaders } from "./loaders.js";
import type { SocketConstructor, SocketLike } from "./socket-constructor.js";
import type { TransportName } from "./transport-choice.js";

/** Hears of an open connection. */
export interface LinkListener {
  onMessage(data: unknown, link: Link): void;
  onClose(code: number, reason: string): void;
}

/** An open connection, whatever carries it. */
export interface Link {
  send(text: string): void;
  /**
   * Closes it, for good by the code 1000; `onClose` is not called any more. Resolves when the other side knows, or after a
   * while.
   */
  close(code?: number): Promise<void>;
}

/**
 * Characters of a session's id, of 5 bits each. Over HTTP it is all that a request needs to speak for the session, and
 * SockJS's own 8 could be found by one who tries long enough on a server with many.
 */
const SESSION_LENGTH = 26;

/** SockJS's own WebSocket is left out, since a plain one has been tried. */
const FALLBACKS = ["xhr-streaming", "eventsource", "xhr-polling"];

/** The time that the other side has to confirm a close, in milliseconds. */
const FAREWELL = 1000;

const globals = globalThis as {
  WebSocket?: SocketConstructor;
  SockJS?: SocketConstructor;
  location?: unknown;
};

/** The transports that may be used, in the order in which to try them. */
export function availableTransports({ WebSocket, sockjs }: ResolvedOptions): TransportName[] {
  return (["websocket", "sockjs"] as const).filter((name) =>
    name === "sockjs" ? sockjs : WebSocket !== false,
  );
}

/** Opens a connection. Rejects when it does not open in time, or when `signal` fires. */
export function openLink(
  name: TransportName,
  options: ResolvedOptions,
  signal: AbortSignal,
  listener: LinkListener,
): Promise<Link> {
  const time = name === "websocket" ? options.webSocketTimeout : options.connectTimeout;
  return within(time, name, signal, async (limit) => {
    const socket = await (name === "websocket" ? plainSocket(options) : sockjsSocket(options));
    return opened(socket, limit, listener);
  });
}

async function plainSocket(options: ResolvedOptions): Promise<SocketLike> {
  const { socketUrl, WebSocket: given } = options;
  const headers = await headersOf(options);
  // in Node.js the global one takes no headers
  const isFit = !headers || globals.location !== undefined;
  const Socket: SocketConstructor = given || (isFit && globals.WebSocket) || (await loaders.webSocket());
  const url = `${socketUrl.replace(/^http/, "ws")}/websocket`;
  return headers ? new Socket(url, [], { headers }) : new Socket(url);
}

async function sockjsSocket(resolved: ResolvedOptions): Promise<SocketLike> {
  const { socketUrl, sockjs, SockJS: given } = resolved;
  const Socket = given ?? globals.SockJS ?? (await loaders.sockJS(resolved));
  const options = { transports: FALLBACKS, sessionId: SESSION_LENGTH, ...(sockjs as object) };
  return new Socket(socketUrl, undefined, options);
}

function opened(socket: SocketLike, signal: AbortSignal, listener: LinkListener): Promise<Link> {
  return new Promise((resolve, reject) => {
    const fail = (code: number, message?: string, error?: unknown) => {
      discard(socket);
      // browsers do not say what it was
      reject(new ConnectionError(`Not opened${message ? `: ${message}` : ""}`, code, error));
    };
    // the WebSocket of Node.js 22 does not close after it
    socket.onerror = ({ message, error }: { message?: string; error?: unknown }) =>
      fail(1006, message, error);
    socket.onclose = ({ code }: { code: number }) => fail(code);
    socket.onopen = () => {
      forget();
      socket.onerror = ignore;
      let isClosed = false;
      const link: Link = {
        send: (text) => void socket.send(text),
        close: async (code) => (isClosed ? undefined : close(socket, code)),
      };
      socket.onmessage = ({ data }: { data: unknown }) => listener.onMessage(data, link);
      socket.onclose = ({ code, reason }: { code: number; reason: string }) => {
        isClosed = true;
        listener.onClose(code, reason);
      };
      resolve(link);
    };
    const forget = onAbort(signal, () => discard(socket));
  });
}

function close(socket: SocketLike, code?: number): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      discard(socket);
      resolve();
    };
    const timer = setTimeout(end, FAREWELL);
    socket.onmessage = ignore;
    socket.onclose = end;
    tryTo(() => socket.close(code));
  });
}

/** Lets go of a connection that is of no use any more. */
function discard(socket: SocketLike): void {
  socket.onopen = ignore;
  socket.onmessage = ignore;
  socket.onclose = ignore;
  socket.onerror = ignore;
  // SockJS fails to close what has not begun to open
  tryTo(() => (socket.terminate ? socket.terminate() : socket.close()));
}

function tryTo(act: () => unknown): void {
  try {
    act();
  } catch {}
}

function ignore(): void {}
