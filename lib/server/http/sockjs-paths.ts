import type { Framing } from "../transport/websocket-frames.js";

/** The target of a request below SockJS's prefix. */
export type Target =
  /** It opens a session of an HTTP transport, or is a further request of one for what the server sends. */
  | { readonly kind: "receive"; readonly session: string }
  /** It carries messages of a session. */
  | { readonly kind: "send"; readonly session: string }
  /** It opens a WebSocket. */
  | { readonly kind: "websocket"; readonly framing: Framing }
  /** It asks for the page by which SockJS's client goes round the same-origin policy of old browsers. */
  | { readonly kind: "iframe" }
  /** It is none of SockJS's, or asks about it: `/info`, for instance. */
  | { readonly kind: "other" }
  /** It has what may mean one thing here and another one to SockJS. */
  | { readonly kind: "malformed" };

/** The characters of a path that can be read in one way only; SockJS's clients send no others. */
const PLAIN = /^[\w/.~%+!$&()*,;=-]*$/;

const RECEIVING = ["xhr", "xhr_streaming", "eventsource", "htmlfile", "jsonp"];
const SENDING = ["xhr_send", "jsonp_send"];

/** Reads the paths of requests as SockJS does. */
export class SockJSPaths {
  /** SockJS's own expression, in which the prefix is one, too. */
  readonly #covered: RegExp;
  readonly #transport: RegExp;
  readonly #webSocket: RegExp;
  readonly #iframe: RegExp;

  constructor(prefix: string) {
    this.#covered = new RegExp(`^${prefix}([/].+|[/]?)$`);
    this.#transport = new RegExp(`^${prefix}/[^/.]+/(?<session>[^/.]+)/(?<transport>\\w+)/?$`);
    this.#webSocket = new RegExp(`^${prefix}(?<session>/[^/.]+/[^/.]+)?/websocket/?$`);
    this.#iframe = new RegExp(`^${prefix}/iframe[0-9-.a-z_]*.html/?$`);
  }

  /** Undefined for what SockJS leaves to others. */
  target(url: string): Target | undefined {
    if (!this.#covered.test(url)) return undefined;
    const [path = ""] = url.split("?", 1);
    if (!PLAIN.test(path)) return { kind: "malformed" };
    const webSocket = this.#webSocket.exec(path);
    if (webSocket) return { kind: "websocket", framing: webSocket.groups?.session ? "sockjs" : "plain" };
    if (this.#iframe.test(path)) return { kind: "iframe" };
    // Stryker disable next-line StringLiteral: any text that is no transport, and no property of objects, is of none
    const { session = "", transport = "" } = this.#transport.exec(path)?.groups ?? {};
    // SockJS keeps its sessions in a plain object, takes what that inherits for one, and never answers
    if (session in Object.prototype) return { kind: "malformed" };
    if (RECEIVING.includes(transport)) return { kind: "receive", session };
    if (SENDING.includes(transport)) return { kind: "send", session };
    return { kind: "other" };
  }
}
