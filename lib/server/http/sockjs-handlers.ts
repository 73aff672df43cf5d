import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Reporter } from "../log/reporter.js";
import type { SockJSOptions, SockJSServer } from "../transport/socket.js";
import type { HttpServer } from "./interception.js";

/** SockJS's own default, in milliseconds. */
const HEARTBEAT_DELAY = 25_000;

/** The beginning of the URL of the script that SockJS's iframe page loads by default. */
const FOREIGN_SCRIPT = "https://cdn.jsdelivr.net/npm/sockjs-client@";

/** The replacement of a session's id in a logged path: who knows the id can speak for the session. */
const SESSION = /(\/[^/.\s]+\/)[^/.\s]+(?=\/(?:xhr|jsonp|eventsource|htmlfile|websocket))/g;

/** SockJS's handlers for requests, which serve what they are given and listen to no HTTP server. */
export class SockJSHandlers {
  readonly #emitter = new EventEmitter();
  readonly #options: SockJSOptions;
  /** Whether the page for iframes may be served: not where it would load a script of another host. */
  readonly hasIframe: boolean;

  /**
   * `options` are those of `installHandlers`, beside the SockJS server's own. `scriptPath` is where the application serves
   * SockJS's client, if it does: by default SockJS has its page for iframes load it from another host, without a check.
   */
  constructor(
    server: SockJSServer,
    options: SockJSOptions & { readonly prefix: string },
    scriptPath: string | undefined,
    reporter: Reporter,
  ) {
    this.#options = { ...optionsOf(server), ...options };
    const isForeign = String(this.#options.sockjs_url ?? FOREIGN_SCRIPT).startsWith(FOREIGN_SCRIPT);
    this.hasIframe = !isForeign || scriptPath !== undefined;
    const script = isForeign &&
      scriptPath !== undefined && { sockjs_url: relativeTo(options.prefix, scriptPath) };
    const log = (severity: string, line: string) => {
      const text = `SockJS: ${line.replace(SESSION, "$1…")}`;
      if (severity === "error") reporter.warn(text);
      else reporter.debug(() => text);
    };
    server.installHandlers(this.#emitter as HttpServer, { log, ...options, ...script });
  }

  /** Whether there are to be WebSockets. */
  get hasWebSockets(): boolean {
    return this.#options.websocket !== false;
  }

  /** The interval of a session's heartbeats, in milliseconds. */
  get heartbeatDelay(): number {
    const { heartbeat_delay: delay } = this.#options;
    return typeof delay === "number" && delay > 0 ? delay : HEARTBEAT_DELAY;
  }

  serve(req: IncomingMessage, res: ServerResponse): void {
    this.#emitter.emit("request", req, res);
  }
}

/** The options of `installHandlers` that `attach` is given, with the prefix. Throws a `TypeError` for those that it may not be given. */
export function handlerOptions(
  given: SockJSOptions,
  prefix: string,
): SockJSOptions & { readonly prefix: string } {
  if (typeof given !== "object" || Array.isArray(given)) {
    throw new TypeError("sockjsOptions must be an object of SockJS's options");
  }
  if (given.prefix !== undefined && given.prefix !== prefix) {
    throw new TypeError("sockjsOptions.prefix must be absent: it is that of options.prefix");
  }
  if (given.faye_server_options !== undefined) {
    throw new TypeError(
      "sockjsOptions.faye_server_options must be absent: WebSockets are those of ws, see options.webSocket",
    );
  }
  return { ...given, prefix };
}

/** A path as seen from a page right below a prefix; proxies may have put more before both. */
function relativeTo(prefix: string, path: string): string {
  const levels = prefix.split("/").length - 1;
  return `${"../".repeat(levels)}${path.slice(1)}`;
}

/** A SockJS server's own options. */
function optionsOf(server: SockJSServer): SockJSOptions {
  return (server as { readonly options?: SockJSOptions }).options ?? {};
}
