import { NoTransportError } from "../errors.js";
import type { ResolvedOptions } from "../options.js";
import type { SocketConstructor } from "./socket-constructor.js";

/** The ways to get a constructor where neither an option nor a global gives it. */
export interface Loaders {
  webSocket(): Promise<SocketConstructor>;
  sockJS(options: ResolvedOptions): Promise<SocketConstructor>;
}

/** The loaders, which each entry of the client sets: Node.js has packages, pages and bundles have scripts. */
export let loaders: Loaders;

export function setLoaders(given: Loaders): void {
  loaders = given;
}

/** The loaders of browsers, to which the browser itself gives WebSocket. */
export function browserLoaders(sockJS: Loaders["sockJS"]): Loaders {
  return {
    async webSocket() {
      throw new NoTransportError("No WebSocket");
    },
    async sockJS(options) {
      // a service worker has none
      if ("XMLHttpRequest" in globalThis) return sockJS(options);
      throw new NoTransportError("No XMLHttpRequest");
    },
  };
}
