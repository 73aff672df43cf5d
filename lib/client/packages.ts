// What the client loads where it is no bundle for browsers: the packages `ws` and `sockjs-client`.

import { NoTransportError } from "./errors.js";
import { setLoaders } from "./loaders.js";

setLoaders({
  // caught at the very import, so that bundlers let the packages be missing
  webSocket: async () => (await import("ws").catch(missing("ws"))).WebSocket,
  sockJS: async () => (await import("sockjs-client").catch(missing("sockjs-client"))).default,
});

function missing(name: string): (cause: unknown) => never {
  return (cause) => {
    throw new NoTransportError(`The client needs the package ${name} here, which cannot be loaded`, cause);
  };
}
