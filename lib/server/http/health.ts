import type { RequestHandler } from "express";

/** A server's readiness, as a load balancer needs it. */
export interface Health {
  /** Whether it can take on clients: Redis is there, the subscriptions are in force, and it is not about to end. */
  readonly ready: boolean;
  /** Whether each Redis client is connected and Redis answers it; `subscriber` is null where pub/sub is off. */
  readonly redis: { readonly client: boolean; readonly subscriber: boolean | null };
  /** Open connections, unauthenticated ones among them. */
  readonly sockets: number;
  /** Whether `drain()` or `shutdown()` was called. */
  readonly draining: boolean;
  /** The id by which `servers()` lists it. */
  readonly id: string;
  /** The channels that its sockets have joined. */
  readonly channels: number;
  /** By how many milliseconds its event loop was late lately: how busy it is. */
  readonly eventLoopDelay: number;
  /** The number of servers that were alive when this one has looked last, at most 5 s ago where Redis is there. */
  readonly servers: number;
}

/** Answers 200 where a server is ready, and 503 where it is not, with its health as JSON. */
export function healthHandler(health: () => Health): RequestHandler {
  return (_req, res) => {
    const now = health();
    res
      .status(now.ready ? 200 : 503)
      .set("Cache-Control", "no-store")
      .json(now);
  };
}
