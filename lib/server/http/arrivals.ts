import type { IncomingMessage } from "node:http";
import { steadyNow } from "../limits/clock.js";

const times = new WeakMap<IncomingMessage, number>();

/** Notes when a request has arrived; the first note counts. */
export function note(req: IncomingMessage): void {
  if (!times.has(req)) times.set(req, steadyNow());
}

/** When a request has arrived, by the steady clock; undefined where nobody has noted it. */
export function of(req: IncomingMessage): number | undefined {
  return times.get(req);
}
