// The entry of the script for pages without a bundler: it gives them `TokenSocket` as a global.
// The server has SockJS beside it, which is loaded when it is needed.

import { loadSockJSBy } from "./sockjs-loader.js";
import { TokenSocket } from "./token-socket.js";
import type { SocketConstructor } from "./transport.js";

/** What the script needs of a page. */
interface Page {
  TokenSocket?: typeof TokenSocket;
  SockJS?: SocketConstructor;
  readonly document: {
    readonly currentScript: { readonly src: string } | null;
    readonly head: { append(element: object): void };
    createElement(name: "script"): { src: string; onload: () => void; onerror: () => void };
  };
}

const page = globalThis as unknown as Page;
const { document } = page;
const base = document.currentScript?.src;

page.TokenSocket = TokenSocket;

if (base !== undefined) {
  loadSockJSBy(
    () =>
      new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = new URL("sockjs.js", base).href;
        script.onload = () => resolve(page.SockJS as SocketConstructor);
        script.onerror = () => reject(new Error("SockJS is not there"));
        document.head.append(script);
      }),
  );
}
