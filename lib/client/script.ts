// The entry of the script for pages without a bundler: it gives them `TokenSocket` as a global.
// The server has SockJS beside it, which is loaded when it is needed.

import "./presence.js";
import { TokenSocket } from "./token-socket.js";
import { browserLoaders, setLoaders } from "./transport/loaders.js";
import type { SocketConstructor } from "./transport/socket-constructor.js";

/** The globals that the script needs of a page, or of a worker, which has no document. */
interface Scope {
  TokenSocket?: typeof TokenSocket;
  SockJS?: SocketConstructor;
  readonly document?: {
    readonly currentScript: Partial<Script> | null;
    readonly head: { append(element: Script): void };
    querySelector(selector: string): Partial<Script> | null;
    createElement(name: "script"): Script;
  };
}

interface Script {
  src: string;
  nonce: string;
  onload: () => void;
  onerror: () => void;
}

const scope = globalThis as unknown as Scope;
const { document } = scope;
// a module does not know its script, and an inline script has no source; a page's scripts have one nonce
const current = document?.currentScript;
const nonce = (current ?? document?.querySelector("script[nonce]"))?.nonce ?? "";

scope.TokenSocket = TokenSocket;

setLoaders(
  browserLoaders(async ({ tokenUrl }) => {
    const url = new URL("sockjs.js", current?.src || tokenUrl).href;
    await (document ? loadScript(document, url) : import(url));
    return scope.SockJS as SocketConstructor;
  }),
);

function loadScript(page: NonNullable<Scope["document"]>, url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const script = page.createElement("script");
    script.src = url;
    // a content security policy may ask for it
    script.nonce = nonce;
    script.onload = resolve;
    script.onerror = () => reject(new Error("No SockJS"));
    page.head.append(script);
  });
}
