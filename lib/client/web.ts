// The client's entry for browsers, which bundlers take: it exports the same as the one for Node.js, and needs no other package.

import "./error-names.js";
import { makePresence, setPresence } from "./presence-slot.js";
import { browserLoaders, setLoaders } from "./transport/loaders.js";

export * from "./names.js";

setLoaders(browserLoaders(async () => (await import("./sockjs.js")).default));

if (!makePresence) {
  setPresence(() => {
    throw new Error('There is no presence here: import "node-token-sockjs/client/presence"');
  });
}
