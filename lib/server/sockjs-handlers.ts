import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { HttpServer } from "./http-interception.js";
import type { Reporter } from "./reporter.js";
import type { SockJSOptions, SockJSServer } from "./socket.js";

/** SockJS's own default, in milliseconds. */
const HEARTBEAT_DELAY = 25_000;

/** What stands for a session's id in a path: whoever knows that can speak for the session. */
const SESSION = /(\/[^/.\s]+\/)[^/.\s]+(?=\/(?:xhr|jsonp|eventsource|htmlfile|websocket))/g;

/** SockJS's handlers for requests, which serve what they are given and listen to no HTTP server. */
export class SockJSHandlers {
  readonly #emitter = new EventEmitter();
  readonly #options: SockJSOptions;

  /** `options` are those of `installHandlers`, beside the SockJS server's own. */
  constructor(server: SockJSServer, options: SockJSOptions, reporter: Reporter) {
    this.#options = { ...optionsOf(server), ...options };
    const log = (severity: string, line: string) => {
      const text = `SockJS: ${line.replace(SESSION, "$1…")}`;
      if (severity === "error") reporter.warn(text);
      else reporter.debug(() => text);
    };
    server.installHandlers(this.#emitter as HttpServer, { log, ...options });
  }

  /** Whether there are to be WebSockets. */
  get hasWebSockets(): boolean {
    return this.#options.websocket !== false;
  }

  /** How often a session says that it is there, in milliseconds. */
  get heartbeatDelay(): number {
    const { heartbeat_delay: delay } = this.#options;
    return typeof delay === "number" && delay > 0 ? delay : HEARTBEAT_DELAY;
  }

  serve(req: IncomingMessage, res: ServerResponse): void {
    this.#emitter.emit("request", req, res);
  }
}

/** A SockJS server's own options. */
function optionsOf(server: SockJSServer): SockJSOptions {
  return (server as { readonly options?: SockJSOptions }).options ?? {};
}
