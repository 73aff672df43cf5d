import { randomUUID } from "node:crypto";
import type { HttpSocket } from "./http.js";
import { frame, type RawSocket } from "./socket.js";

export type FramingName = "plain" | "sockjs" | "socket.io" | "http";

/** What lies between messages and a WebSocket's frames, or an HTTP connection's requests. */
export interface Framing {
  /** Where the WebSocket is asked for, or requests go. */
  path(): string;
  /** The frame that carries one message of ASCII. */
  wrap(message: string): string;
  /** Whether the payload of a frame carries messages; what else it is for is seen to. */
  carries(socket: RawSocket | HttpSocket, buffer: Buffer, start: number, end: number): boolean;
  /** The messages in the payload of a frame. */
  unwrap(payload: string): string[];
  /** Whether this payload is the first that the server has to send. */
  isWelcome(payload: string): boolean;
  readonly hasWelcome: boolean;
}

const code = (character: string) => character.charCodeAt(0);
const [ARRAY, CLOSED, MESSAGE, PING] = [code("a"), code("c"), code("4"), code("2")];
const PONG = frame("3");

export const FRAMINGS: Readonly<Record<FramingName, Framing>> = {
  plain: {
    path: () => "/sockets/websocket",
    wrap: (message) => frame(message),
    carries: () => true,
    unwrap: (payload) => [payload],
    hasWelcome: false,
    isWelcome: () => false,
  },
  sockjs: {
    path: () => `/sockets/000/${randomUUID()}/websocket`,
    wrap: (message) => frame(JSON.stringify([message])),
    carries: (socket, buffer, start, end) => {
      if (buffer[start] === CLOSED) socket.onLost(new Error(buffer.toString("latin1", start, end)));
      return buffer[start] === ARRAY;
    },
    unwrap: (payload) => JSON.parse(payload.slice(1)),
    hasWelcome: true,
    isWelcome: (payload) => payload === "o",
  },
  "socket.io": {
    path: () => "/socket.io/?EIO=4&transport=websocket",
    wrap: (message) => frame(message),
    carries: (socket, buffer, start) => {
      if (buffer[start] === PING) socket.write(PONG);
      return buffer[start] === MESSAGE;
    },
    unwrap: (payload) => [payload],
    hasWelcome: true,
    isWelcome: (payload) => payload.startsWith("0"),
  },
  http: {
    path: () => "/route",
    wrap: (message) => message,
    carries: () => true,
    unwrap: (payload) => [payload],
    hasWelcome: false,
    isWelcome: () => false,
  },
};
