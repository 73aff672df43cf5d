import { type Open, openSocketIo, openTokenSocket } from "./clients.js";

export interface JitterContender {
  readonly name: string;
  readonly title: string;
  /** The file in contenders/ that is its server. */
  readonly script: string;
  /** Whether its clients get what they have missed. */
  readonly recovery: boolean;
  readonly open: Open;
}

export const JITTER_CONTENDERS: readonly JitterContender[] = [
  {
    name: "history",
    title: "this library, with a history",
    script: "this-library.ts",
    recovery: true,
    open: openTokenSocket,
  },
  {
    name: "no-history",
    title: "this library, without a history",
    script: "this-library.ts",
    recovery: false,
    open: openTokenSocket,
  },
  {
    name: "socket.io-recovery",
    title: "Socket.IO, connection state recovery, Redis streams adapter",
    script: "socket-io.ts",
    recovery: true,
    open: openSocketIo(true),
  },
  {
    name: "socket.io",
    title: "Socket.IO, Redis adapter",
    script: "socket-io.ts",
    recovery: false,
    open: openSocketIo(false),
  },
];
