import { EventEmitter } from "node:events";
import type { Server } from "node:http";

type Event = "request" | "upgrade";

/** Tells of requests and upgrades before anybody takes them: what is the token server's own reaches no listener. */
export function overhear(http: Server): EventEmitter {
  const overheard = new EventEmitter();
  wrap(http, (event, args) => {
    overheard.emit(event, ...args);
    return false;
  });
  return overheard;
}

/** Takes all events of a kind from whoever would get them. */
export function divert(http: Server, diverted: Event, listener: (...args: never[]) => void): void {
  wrap(http, (event, args) => {
    if (event === diverted) Reflect.apply(listener, undefined, args);
    return event === diverted;
  });
}

function wrap(http: Server, takes: (event: Event, args: unknown[]) => boolean): void {
  const { emit } = http;
  http.emit = (event: string, ...args: unknown[]) => {
    if ((event === "request" || event === "upgrade") && takes(event, args)) return true;
    return Reflect.apply(emit, http, [event, ...args]);
  };
}
