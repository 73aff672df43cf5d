import type { IncomingMessage } from "node:http";
import { steadyNow } from "../limits/clock.js";

const times = new WeakMap<IncomingMessage, number>();

/** Notes when a request has arrived; the first note counts. */
export function note(req: IncomingMessage): void {
  if (!times.has(req)) times.set(req, steadyNow());
}

/** The time at which a request arrived, by the steady clock; undefined if nobody noted it. */
export function of(req: IncomingMessage): number | undefined {
  return times.get(req);
}
