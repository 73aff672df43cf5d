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

/** Each option of a call and its type; the defaults are those of the client. */
const OPTIONS: Readonly<Record<keyof RequestOptions, readonly [normal: undefined, type: string]>> = {
  timeout: [undefined, "number"],
  signal: [undefined, "object"],
  queue: [undefined, "boolean"],
  window: [undefined, "number"],
};

/** Checks the options of a call. Throws a `TypeError` that names what is wrong. */
export function checkRequestOptions(given: RequestOptions): RequestOptions {
  const options = fill(given, OPTIONS) as RequestOptions;
  const { signal } = options;
  // of whatever make
  demand(!signal || "aborted" in signal, "signal", "AbortSignal");
  return options;
}

/** A request but for its id. */
interface Request extends Partial<StreamLimits> {
  readonly rpc: string;
  /** The other fields as JSON, with a comma at the end. */
  readonly fields: string;
  /** The channel that is joined or left. */
  readonly channel?: string | undefined;
  /** Called when it is given up after it was sent, so that it may still be carried out. */
  readonly onGivenUp?: (() => void) | undefined;
}

/** The client's requests: those that await an answer, and those that wait for a connection. */
export class Requests {
  readonly #callTimeout: number;
  readonly #calls = new PendingCalls();
  #queue: Queue<Request> | undefined;
  /** The requests that were sent on the present link, by id. */
  readonly #sent = new Map<string, Request>();
  /** The streams that calls were answered with. */
  readonly streams = new IncomingStreams((rpc, fields) => this.tell(rpc, fields));
  #link: Link | undefined;
  #protocol: unknown;
  /** Bytes that a message may have; NaN where the server does not say. */
  #messageBytes = Infinity;
  #isOpen = false;
  /** Set when the link is to be left, to be called when what was sent on it is answered. */
  #leave: (() => void) | undefined;
  /** The reason why there is no connection, if it is known. */
  #lost: unknown;
  /** The reason why no more requests can be made. */
  #closed: Error | undefined;

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

  /** Makes a request, or lets it wait for a connection. `json` is its `req`. */
  request(
    rpc: string,
    json: string,
    options: RequestOptions = {},
    channel?: string,
    onGivenUp?: () => void,
  ): Promise<unknown> {
    const { timeout = this.#callTimeout, signal, queue = true, window = 128 } = options;
    const request: Request = { rpc, fields: `"req":${json},`, channel, onGivenUp, window, signal };
    return this.#add({ timeout, signal }, (id) => {
      if (this.#closed) throw this.#closed;
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
    channel?: string,
    signal?: AbortSignal,
    onGivenUp?: () => void,
  ): Promise<unknown> {
    return this.#add({ timeout, signal }, (id) => this.#send(id, { rpc, fields, channel, onGivenUp }));
  }

  /** Makes a request that nobody awaits an answer to; `fields` are those of its `req`. */
  tell(rpc: string, fields: string): void {
    this.#link?.send(`{"rpc":"${rpc}","req":{${fields}}}`);
  }

  /** Says whether a request was sent that awaits its answer. */
  awaits(id: unknown): boolean {
    return this.#sent.has(id as string);
  }

  /** Takes a link into use; what waits goes on waiting. */
  connect(link: Link): void {
    this.#link = link;
    this.#protocol = undefined;
  }

  /** Notes what the server says of itself; whatever is not protocol 4 is version 3. */
  speak({ protocol, messageBytes }: JsonObject): void {
    this.#protocol = protocol;
    this.#messageBytes = Number(messageBytes);
  }

  /** Throws for a message that is so long that the server would close the connection. */
  check(text: string): void {
    // most need not be counted
    const bytes = text.length * 3 > this.#messageBytes ? byteLength(text) : 0;
    // a server of version 3 does not say how many it takes
    if (!(bytes > this.#messageBytes)) return;
    const most = `the ${this.#messageBytes} that the server takes (its limits.messageBytes)`;
    throw new CallError(`${bytes} bytes are more than ${most}`, "too_large");
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
    this.#closed = reason;
    this.#queue?.drain();
    this.#calls.rejectAll(() => reason);
  }

  /** Allows requests to wait again. */
  reopen(): void {
    this.#closed = undefined;
  }

  /** Takes a reply; says whether anything has awaited it. */
  settle(id: string, value?: unknown, error?: Error, isStream?: boolean): boolean {
    const request = this.#sent.get(id);
    if (!request) return false;
    this.#sent.delete(id);
    if (isStream) {
      const stream = this.streams.open(id, request);
      // the call may have been given up in this very turn
      if (!this.#calls.resolve(id, stream)) stream.end();
      return true;
    }
    return error ? this.#calls.reject(id, error) : this.#calls.resolve(id, value);
  }

  /** Takes the word that a channel was joined or left, which is all that a server of version 3 answers with. */
  acknowledge(rpc: string, channel: string, id: unknown): void {
    if (this.#protocol === PROTOCOL) return;
    for (const [sent, request] of this.#sent) {
      if (request.rpc !== rpc || request.channel !== channel || (id !== undefined && id !== sent)) continue;
      this.settle(sent);
      return;
    }
  }

  #add(
    limits: { timeout: number; signal?: AbortSignal | undefined },
    start: (id: string) => void,
  ): Promise<unknown> {
    let id = "";
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
      if (request && this.#protocol === PROTOCOL) this.tell("_cancel", `"uuid":"${id}"`);
      request?.onGivenUp?.();
      this.#leaveIfDone();
    };
    answer.then(forget, forget);
    return answer;
  }

  #leaveIfDone(): void {
    if (this.#sent.size === 0) this.#leave?.();
  }

  #send(id: string, request: Request): void {
    if (!this.#link) throw new DisconnectedError();
    const text = encode(id, request);
    this.check(text);
    this.#sent.set(id, request);
    this.#link.send(text);
    // a server of version 3 does not say that it has published
    if (this.#protocol !== PROTOCOL && (request.rpc === "_publish" || request.rpc === "_broadcast")) {
      this.settle(id);
    }
  }
}

function encode(id: string, { rpc, fields }: Request): string {
  return `{"rpc":${JSON.stringify(`${rpc}`)},${fields}"uuid":"${id}"}`;
}
