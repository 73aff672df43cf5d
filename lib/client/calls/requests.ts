import { PendingCalls } from "../../shared/pending-calls.js";
import { type JsonObject, PROTOCOL } from "../../shared/protocol.js";
import { CallError, DisconnectedError, QueueError } from "../errors.js";
import { demand, fill, type ResolvedOptions } from "../options.js";
import type { Link } from "../transport/transport.js";
import { IncomingStreams, type StreamLimits } from "./incoming-streams.js";
import { byteLength, Queue } from "./queue.js";

/** Options of one call. */
export interface RequestOptions {
  /** Milliseconds, the wait for a connection included. Default: the option `callTimeout`. `Infinity`: no limit. */
  timeout?: number | undefined;
  /** Gives the call up when it fires; a call that has been sent may still be carried out. */
  signal?: AbortSignal | undefined;
  /** Whether the call may wait for a connection. Default true; false fails at once where there is none. */
  queue?: boolean | undefined;
  /** Items of a stream that may be on their way or wait to be read. Default 128. */
  window?: number | undefined;
}

/** Options of a publish. */
export interface PublishOptions extends RequestOptions {
  /** Whether the client gets the message itself, where it is in the channel. Default true; it needs a server of protocol 4. */
  echo?: boolean | undefined;
}

export const PUBLISH_OPTIONS = { echo: [true] };

/** Each option of a call and its type; the defaults are those of the client. */
const OPTIONS: Readonly<Record<keyof RequestOptions, readonly [normal: undefined, type: string]>> = {
  timeout: [undefined, "number"],
  signal: [undefined, "object"],
  queue: [undefined, "boolean"],
  window: [undefined, "number"],
};

/** Checks the options of a call, and `further` ones. Throws a `TypeError` that names what is wrong. */
export function checkRequestOptions<Options extends RequestOptions>(
  given: Options,
  further?: object,
): Options {
  const options = fill(given, { ...OPTIONS, ...further }) as Options;
  const { signal } = options;
  // of whatever make
  demand(!signal || "aborted" in signal, "signal", "AbortSignal");
  return options;
}

/** Further parts of a request. */
export interface RequestParts {
  /** The channel that is joined or left. */
  readonly channel?: string | undefined;
  /** Called when it is given up after it was sent, so that it may still be carried out. */
  readonly onGivenUp?: (() => void) | undefined;
  /**
   * Called when it is sent, with whether the server keeps histories. Gives further fields of its `req`, as JSON with a comma in
   * front; what it throws rejects the request.
   */
  readonly extra?: ((keepsHistory: boolean) => string | undefined) | undefined;
  /** Called when the server says that it has joined the channel. */
  readonly onJoined?: (() => void) | undefined;
  /** Called with what the reply says at once, before the next frame is looked at. */
  readonly onReply?: ((value: unknown, error: Error | undefined) => void) | undefined;
}

/** A request but for its id. */
interface Request extends Partial<StreamLimits>, RequestParts {
  readonly rpc: string;
  /** The other fields as JSON, with a comma at the end. */
  readonly fields: string;
}

/** The client's requests: those that await an answer, and those that wait for a connection. */
export class Requests {
  readonly #callTimeout: number;
  readonly #calls = new PendingCalls();
  #queue: Queue<Request> | undefined;
  /** The requests that were sent on the present link, by id. */
  readonly #sent = new Map<number, Request>();
  /** The streams that calls were answered with. */
  readonly streams = new IncomingStreams((rpc, fields) => this.tell(rpc, fields));
  #link: Link | undefined;
  /** What the server of the link says of itself. */
  #server: JsonObject = {};
  #isOpen = false;
  /** Set when the link is to be left, to be called when what was sent on it is answered. */
  #leave: (() => void) | undefined;
  /** The reason why there is no connection, if it is known. */
  #lost: unknown;
  /** The reason why no more requests can be made. */
  closed: Error | undefined;

  constructor({ callTimeout, queue }: Pick<ResolvedOptions, "callTimeout" | "queue">) {
    this.#callTimeout = callTimeout;
    if (queue)
      this.#queue = new Queue(queue, (id) =>
        this.#calls.reject(id, new QueueError("queue_expired", this.#lost)),
      );
  }

  /** Whether the link is in use. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  get link(): Link | undefined {
    return this.#link;
  }

  /** Makes a request, or lets it wait for a connection. `json` is its `req`. */
  request(rpc: string, json: string, options: RequestOptions = {}, parts?: RequestParts): Promise<unknown> {
    const { timeout = this.#callTimeout, signal, queue = true, window = 128 } = options;
    const request: Request = { rpc, fields: `"req":${json},`, ...parts, window, signal };
    return this.#add({ timeout, signal }, (id) => {
      if (this.closed) throw this.closed;
      if (this.#isOpen && !this.#leave) return this.#send(id, request);
      if (!queue || !this.#queue) throw new DisconnectedError();
      this.#queue.add(id, encode(id, request), request);
    });
  }

  /** Makes a request before all that waits, as connecting needs it; `fields` are JSON with a comma at the end. */
  urgent(
    rpc: string,
    fields: string,
    timeout: number,
    signal?: AbortSignal,
    parts?: RequestParts,
  ): Promise<unknown> {
    return this.#add({ timeout, signal }, (id) => this.#send(id, { rpc, fields, ...parts }));
  }

  /** Makes a request that nobody awaits an answer to; `fields` are those of its `req`. */
  tell(rpc: string, fields: string): void {
    this.#link?.send(`{"rpc":"${rpc}","req":{${fields}}}`);
  }

  /** Takes a link into use; what waits goes on waiting. */
  connect(link: Link): void {
    this.#link = link;
    this.#server = {};
  }

  /** Notes what the server says of itself; whatever is not protocol 4 is version 3. */
  speak(server: JsonObject): void {
    this.#server = server;
  }

  /** Throws for a message that is so long that the server would close the connection. */
  check(text: string): void {
    // a server of version 3 does not say how many bytes it takes
    const most = Number(this.#server.messageBytes);
    // most need not be counted
    const bytes = text.length * 3 > most ? byteLength(text) : 0;
    if (bytes > most) {
      throw new CallError(`${bytes} bytes exceed limits.messageBytes, ${most}`, "too_large");
    }
  }

  /** Sends what has waited, and from now on all requests at once. */
  open(): void {
    this.#isOpen = true;
    this.#lost = undefined;
    for (const [id, request] of this.#queue?.drain() ?? []) {
      try {
        this.#send(id, request);
      } catch (error) {
        this.#calls.reject(id, error as Error);
      }
    }
  }

  /** Lets further requests wait, and calls `leave` when what was sent is answered. */
  leave(leave: () => void): void {
    this.#leave = leave;
    this.#leaveIfDone();
  }

  /** Gives up what was sent on a link that is lost; the rest goes on waiting. */
  disconnect(cause: unknown): void {
    this.#lost = cause;
    this.#link = undefined;
    this.#isOpen = false;
    this.#leave = undefined;
    for (const id of [...this.#sent.keys()])
      this.#calls.reject(id, new DisconnectedError(true, undefined, cause));
    this.#sent.clear();
    this.streams.disconnect(cause);
  }

  /** Gives up what waits, too. */
  close(reason: Error): void {
    this.closed = reason;
    this.#queue?.drain();
    this.#calls.rejectAll(() => reason);
  }

  /** Allows requests to wait again. */
  reopen(): void {
    this.closed = undefined;
  }

  /** Takes a reply; says whether anything has awaited it. */
  settle(id: number, value?: unknown, error?: Error, isStream?: boolean): boolean {
    const request = this.#sent.get(id);
    if (!request) return false;
    this.#sent.delete(id);
    if (isStream) {
      const stream = this.streams.open(id, request);
      // the call may have been given up in this very turn
      if (!this.#calls.resolve(id, stream)) stream.end();
      return true;
    }
    request.onReply?.(value, error);
    return error ? this.#calls.reject(id, error) : this.#calls.resolve(id, value);
  }

  /** Takes the word that a channel was joined or left, which is all that a server of version 3 answers with. */
  acknowledge(rpc: string, channel: string, id: unknown): void {
    // a join that was given up is none
    this.#sent.get(id as number)?.onJoined?.();
    if (this.#server.protocol === PROTOCOL) return;
    for (const [sent, request] of this.#sent) {
      if (request.rpc !== rpc || request.channel !== channel || (id !== undefined && id !== sent)) continue;
      this.settle(sent);
      return;
    }
  }

  #add(
    limits: { timeout: number; signal?: AbortSignal | undefined },
    start: (id: number) => void,
  ): Promise<unknown> {
    let id = 0;
    // what was not sent has waited for a connection
    const causeOfTimeout = () => (this.#sent.has(id) ? undefined : (this.#lost ?? new DisconnectedError()));
    const answer = this.#calls.add({ ...limits, causeOfTimeout }, (given) => {
      id = given;
      start(id);
    });
    const forget = () => {
      this.#queue?.delete(id);
      // one that still counts as sent has taken too long or was aborted, so that nobody waits for it any more
      const request = this.#sent.get(id);
      this.#sent.delete(id);
      if (request && this.#server.protocol === PROTOCOL) this.tell("_cancel", `"uuid":${id}`);
      request?.onGivenUp?.();
      this.#leaveIfDone();
    };
    answer.then(forget, forget);
    return answer;
  }

  #leaveIfDone(): void {
    if (this.#sent.size === 0) this.#leave?.();
  }

  #send(id: number, request: Request): void {
    if (!this.#link) throw new DisconnectedError();
    const text = encode(id, request, request.extra?.(this.#server.history === true));
    this.check(text);
    this.#sent.set(id, request);
    this.#link.send(text);
    // a server of version 3 does not say that it has published
    if (this.#server.protocol !== PROTOCOL && (request.rpc === "_publish" || request.rpc === "_broadcast")) {
      this.settle(id);
    }
  }
}

function encode(id: number, { rpc, fields }: Request, more?: string | undefined): string {
  // in front of the brace and the comma at the end
  const all = more ? `${fields.slice(0, -2)}${more}},` : fields;
  return `{"rpc":${JSON.stringify(`${rpc}`)},${all}"uuid":${id}}`;
}
