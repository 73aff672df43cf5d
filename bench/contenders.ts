import type { Dialect } from "./load/dialects.js";
import type { FramingName } from "./load/framing.js";

/** What not every contender has. */
export type Feature = "route" | "filter" | "calls" | "presence" | "reach" | "history";

export interface ContenderDefinition {
  readonly name: string;
  readonly title: string;
  /** The file in contenders/ that is its server. */
  readonly script: string;
  readonly store: "redis" | "memory";
  readonly framing: FramingName;
  readonly dialect: Dialect;
  readonly features: readonly Feature[];
  /** The scenarios that it takes part in; absent for all. */
  readonly scenarios?: readonly string[];
  /** Whose ratio to it is reported. */
  readonly isOurs: boolean;
}

const OURS = {
  script: "this-library.ts",
  dialect: "token 4",
  features: ["route", "filter", "calls", "presence", "reach", "history"],
  isOurs: true,
} as const;

export const CONTENDERS: readonly ContenderDefinition[] = [
  {
    ...OURS,
    name: "sockjs-memory",
    title: "this library, SockJS, embedded store",
    store: "memory",
    framing: "sockjs",
  },
  {
    ...OURS,
    name: "ws-memory",
    title: "this library, plain WebSocket, embedded store",
    store: "memory",
    framing: "plain",
  },
  { ...OURS, name: "sockjs-redis", title: "this library, SockJS, Redis", store: "redis", framing: "sockjs" },
  {
    ...OURS,
    name: "ws-redis",
    title: "this library, plain WebSocket, Redis",
    store: "redis",
    framing: "plain",
  },
  {
    name: "socket.io",
    title: "Socket.IO, Redis adapter",
    script: "socket-io.ts",
    store: "redis",
    framing: "socket.io",
    dialect: "socket.io",
    features: ["calls"],
    isOurs: false,
  },
  {
    name: "version-2",
    title: "node-token-sockjs 2.1.11, redis 3",
    script: "version-2.ts",
    store: "redis",
    framing: "sockjs",
    dialect: "token 3",
    features: ["route", "filter", "calls"],
    isOurs: false,
  },
  {
    name: "bare-ws",
    title: "bare ws, Redis, no features",
    script: "ws.ts",
    store: "redis",
    framing: "plain",
    dialect: "bare",
    features: ["calls"],
    isOurs: false,
  },
  {
    name: "bare-sockjs",
    title: "bare sockjs, Redis, no features",
    script: "sockjs.ts",
    store: "redis",
    framing: "sockjs",
    dialect: "bare",
    features: ["calls"],
    isOurs: false,
  },
  {
    name: "express",
    title: "Express over keep-alive HTTP",
    script: "express.ts",
    store: "memory",
    framing: "http",
    dialect: "http",
    features: ["route"],
    scenarios: ["rpc"],
    isOurs: false,
  },
];
