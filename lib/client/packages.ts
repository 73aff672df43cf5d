// What the client loads where it is no bundle for browsers: the packages `ws` and `sockjs-client`.

import { NoTransportError } from "./errors.js";
import { setLoaders } from "./transport/loaders.js";

// each import has a `try` of its own, so that bundlers for servers let the package be missing
setLoaders({
  async webSocket() {
    try {
      return (await import("ws")).WebSocket;
    } catch (error) {
      throw missing("ws", error);
    }
  },
  async sockJS() {
    try {
      return (await import("sockjs-client")).default;
    } catch (error) {
      throw missing("sockjs-client", error);
    }
  },
});

function missing(name: string, cause: unknown): NoTransportError {
  return new NoTransportError(`The client needs the package ${name} here, which cannot be loaded`, cause);
}
