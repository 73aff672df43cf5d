import type { SocketConstructor } from "./transport.js";

/** Loads SockJS when it is needed; a page without a bundler has another way than the package. */
let load = async (): Promise<SocketConstructor> => (await import("sockjs-client")).default;

export function loadSockJS(): Promise<SocketConstructor> {
  return load();
}

/** Replaces the way in which SockJS is loaded. */
export function loadSockJSBy(loader: () => Promise<SocketConstructor>): void {
  load = loader;
}
