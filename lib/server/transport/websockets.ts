import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type ServerOptions, WebSocketServer } from "ws";
import type { PendingConnection } from "../limits/pending-connections.js";
import type { UnfinishedBytes } from "../limits/unfinished-bytes.js";
import { Heartbeats } from "./heartbeats.js";
import { FAREWELL } from "./transport.js";
import { type WebSocketParts, WebSocketTransport } from "./websocket.js";
import type { WebSocketConnection } from "./websocket-connection.js";
import type { Framing } from "./websocket-frames.js";
import type { WriteBatcher } from "./write-batcher.js";

/**
 * Options of the WebSockets that `attach` opens, as the `WebSocketServer` of `ws` takes them. Its others are the server's
 * own to set.
 */
export interface WebSocketOptions {
  /**
   * Compression of messages (RFC 7692), as `ws` takes it: `true`, or its options. Default `false`. It costs up to 300 KB of
   * memory and a few times the CPU for each socket that agrees on it, and each of its messages is encoded and compressed by
   * itself instead of once for all readers. Worth it for large texts on slow lines.
   */
  perMessageDeflate?: boolean | object | undefined;
  /**
   * Chooses one of the subprotocols that a client offers, or none by `false`. Default: none.
   */
  handleProtocols?: ((protocols: Set<string>, req: IncomingMessage) => string | false) | undefined;
}

/** The needs of the WebSockets of one HTTP server. */
export interface WebSocketsParts {
  readonly prefix: string;
  /** Bytes of a frame, which may carry several messages. */
  readonly frameBytes: number;
  readonly options: WebSocketOptions;
  /** The interval of the heartbeats of SockJS's sessions, in milliseconds. */
  readonly sessionHeartbeat: number;
  /** Those of plain WebSockets; absent where they are off. */
  readonly heartbeats: Heartbeats | undefined;
  readonly writeBatcher: WriteBatcher;
  readonly unfinishedBytes: UnfinishedBytes;
  /** Tells of a connection. */
  readonly onConnection: (connection: WebSocketConnection) => void;
  readonly onError: (context: string, error: unknown) => void;
}

/** Frames of one message: each costs more than its bytes. */
const MOST_FRAGMENTS = 128;

/** Pieces of one frame, as they come from the network, cost more than their bytes, too: so many of any size, and more where they are at least so long. */
const MOST_PIECES = 4096;
const LEAST_PIECE = 256;

/** Bounds that `ws` has, beside that on a frame's bytes. */
function boundsOf(frameBytes: number): object {
  return {
    maxFragments: MOST_FRAGMENTS,
    maxBufferedChunks: MOST_PIECES + Math.ceil(frameBytes / LEAST_PIECE),
    closeTimeout: FAREWELL,
  };
}

/** Opens the WebSockets of an HTTP server. */
export class WebSockets {
  readonly #server: WebSocketServer;
  readonly #parts: WebSocketsParts;
  readonly #shared: { readonly [F in Framing]: WebSocketParts };

  constructor(parts: WebSocketsParts) {
    this.#parts = parts;
    const { prefix, writeBatcher, unfinishedBytes, frameBytes, onError } = parts;
    const shared = { prefix, writeBatcher, unfinishedBytes, bytesAfterClose: frameBytes, onError };
    const sessionHeartbeats = new Heartbeats(parts.sessionHeartbeat);
    this.#shared = {
      plain: { ...shared, framing: "plain", heartbeats: parts.heartbeats },
      sockjs: { ...shared, framing: "sockjs", heartbeats: sessionHeartbeats },
    };
    this.#server = new WebSocketServer({
      // as SockJS does; `ws` would choose the first that the client offers
      handleProtocols: () => false,
      ...boundsOf(frameBytes),
      ...(parts.options as ServerOptions),
      maxPayload: frameBytes,
      noServer: true,
      clientTracking: false,
    });
  }

  /** Opens a WebSocket by the request for it, whose TCP connection is its own from then on. */
  open(req: IncomingMessage, tcp: Duplex, head: Buffer, framing: Framing, pending: PendingConnection): void {
    // one write takes the answer and the first frame of a session
    tcp.cork();
    this.#server.handleUpgrade(req, tcp, head, (webSocket) => {
      pending.state = "inside";
      const transport = new WebSocketTransport(webSocket, tcp, req, pending, this.#shared[framing]);
      tcp.uncork();
      try {
        this.#parts.onConnection(transport.socket);
      } catch (error) {
        this.#parts.onError('a listener for "connection" of the SockJS server failed', error);
        transport.end();
      }
    });
  }
}
