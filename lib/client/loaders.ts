import type { ResolvedOptions } from "./options.js";
import type { SocketConstructor } from "./transport.js";

/** The ways to get a constructor where neither an option nor a global gives it. */
export interface Loaders {
  webSocket(): Promise<SocketConstructor>;
  sockJS(options: ResolvedOptions): Promise<SocketConstructor>;
}

/** What each entry of the client sets: Node.js has packages, pages and bundles have scripts. */
export let loaders: Loaders;

export function setLoaders(given: Loaders): void {
  loaders = given;
}
