import { ServerResponse } from "node:http";
import type { Response } from "express";
import { type ErrorObserver, emitGuarded, type RouteConnection } from "./route-connection.js";
import type { RecordedResponse } from "./route-reply.js";
import type { RouteRequest } from "./route-request.js";

/** Callbacks for a response's end; of the first two one is called, once. */
export interface ResponseObserver extends ErrorObserver {
  ended(response: RecordedResponse): void;
  /** The body has become larger than it may. */
  tooLarge(): void;
}

/** Methods of a prototype that are called with this response. */
type Methods = Readonly<Record<"write" | "end" | "writeHead" | "emit", (...args: unknown[]) => unknown>>;

/** Encodings whose strings stand for bytes. */
const BINARY = /^(?:hex|base64|base64url)$/i;

/**
 * The Express response to a request, without Express's prototype. It is Node's own `ServerResponse`, with the rules
 * and the events that it has over HTTP; what is written to it is recorded on the way.
 */
export class RouteResponse extends ServerResponse {
  // properties of its own, since Express changes the prototype on the way through a mounted application
  override readonly emit: (event: string | symbol, ...args: unknown[]) => boolean;
  override readonly end: (...args: unknown[]) => this;
  readonly jsonp: (...args: unknown[]) => unknown;
  readonly locals: Record<string, unknown> = Object.create(null);
  override readonly write: (...args: unknown[]) => boolean;
  override readonly writeHead: (status: number, ...args: unknown[]) => this;
  // Node's own of these two write HTTP's text, which nobody reads here; a version that has others does just that
  readonly _storeHeader: (firstLine: string) => void;
  readonly _send: (data: unknown, encoding?: unknown, callback?: unknown) => boolean;
  declare _header: string;
  declare _headerSent: boolean;
  readonly #connection: RouteConnection;
  readonly #maxBytes: number;
  readonly #observer: ResponseObserver;
  readonly #recorder = new Recorder();

  constructor(
    req: RouteRequest,
    prototype: object,
    connection: RouteConnection,
    maxBytes: number,
    observer: ResponseObserver,
  ) {
    super(req);
    // Stryker disable next-line BooleanLiteral: Node's own _storeHeader reads it, which is replaced below
    this.useChunkedEncodingByDefault = false;
    // Stryker disable next-line BooleanLiteral: likewise
    this.sendDate = false;
    this.#connection = connection;
    this.#maxBytes = maxBytes;
    this.#observer = observer;
    const { write, end, writeHead, emit } = prototype as Methods;
    this.emit = (event, ...args) => {
      const heard = emitGuarded(this, emit, event, args, observer);
      if (event === "finish") process.nextTick(letGo, req, connection);
      return heard;
    };
    this.write = (...args) => {
      const isOpen = this.#isOpen;
      const result = write.apply(this, args);
      if (isOpen) this.#record(args[0], args[1], false);
      return result as boolean;
    };
    this.end = (...args) => {
      const isOpen = this.#isOpen;
      const result = end.apply(this, args);
      if (isOpen) {
        // Stryker disable next-line BooleanLiteral: a copy of the last chunk has the same bytes
        this.#record(args[0], args[1], true);
        const { statusCode, statusMessage } = this;
        const { bytes, writtenAs } = this.#recorder;
        observer.ended({ statusCode, statusMessage, headers: this.getHeaders(), bytes, writtenAs });
      }
      return result as this;
    };
    this._storeHeader = (firstLine) => {
      this._header = firstLine;
      // Stryker disable next-line BooleanLiteral: Node's own _send reads it, which is replaced below
      this._headerSent = false;
    };
    this._send = (_data, encoding, callback) => {
      if (connection.destroyed) return false;
      // before the response has ended, as a TCP connection throws it
      if (typeof encoding === "string") refuseUnknown(encoding);
      // Stryker disable next-line BooleanLiteral: Node's own _send reads it, which is replaced
      this._headerSent = true;
      connection.refresh();
      if (typeof callback === "function") process.nextTick(callGuarded, callback, observer);
      return true;
    };
    this.writeHead = (status, ...args) => {
      const headers = args.at(-1);
      if (!this.headersSent && typeof headers === "object" && headers !== null) setHeaders(this, headers);
      const [message] = args;
      return (
        typeof message === "string" ? writeHead.call(this, status, message) : writeHead.call(this, status)
      ) as this;
    };
    this.jsonp = (...args) => (this as unknown as Response).json(...(args as [unknown]));
    this.assignSocket(connection.asSocket());
    req.res = this;
  }

  get #isOpen(): boolean {
    return !this.writableEnded && !this.#connection.destroyed;
  }

  #record(chunk: unknown, encoding: unknown, isLast: boolean): void {
    const recorder = this.#recorder;
    recorder.add(chunk, encoding, isLast);
    if (recorder.size <= this.#maxBytes) return;
    recorder.clear();
    this.#observer.tooLarge();
    this.#connection.destroy();
  }
}

/** Calls a handler's callback, so that one that throws takes nothing else with it. */
function callGuarded(callback: () => void, observer: ErrorObserver): void {
  try {
    callback();
  } catch (error) {
    observer.report(error);
  }
}

/** After the last byte a server lets go of the request and of the response; both emit `close` then. */
function letGo(req: RouteRequest, connection: RouteConnection): void {
  req.resume();
  connection.destroy();
}

/** Throws Node's own error for an encoding that it does not know. */
function refuseUnknown(encoding: string): void {
  if (encoding !== "buffer" && !Buffer.isEncoding(encoding)) Buffer.from("", encoding as BufferEncoding);
}

/** Node keeps headers that are given to `writeHead` alone from `getHeaders`, so they are set one by one. */
function setHeaders(res: ServerResponse, headers: object): void {
  const names = new Set<string>();
  for (const [name, value] of headerEntries(headers)) {
    if (names.has(name.toLowerCase())) res.appendHeader(name, value as string);
    else res.setHeader(name, value as string);
    names.add(name.toLowerCase());
  }
}

/** Headers as an object, as pairs, or as names and values in turn. */
function headerEntries(headers: object): [name: string, value: unknown][] {
  if (!Array.isArray(headers)) return Object.entries(headers);
  if (Array.isArray(headers[0])) return headers.map(([name, value]) => [String(name), value]);
  const entries: [string, unknown][] = [];
  for (let n = 0; n + 1 < headers.length; n += 2) entries.push([String(headers[n]), headers[n + 1]]);
  return entries;
}

/** The bytes of a body, and whether they were written as text. */
class Recorder {
  size = 0;
  #chunks: Buffer[] = [];
  /** The encoding of every chunk so far; `false` once there are two, or bytes. */
  #encoding: BufferEncoding | false | undefined;

  get writtenAs(): BufferEncoding | undefined {
    return this.#encoding || undefined;
  }

  /** Its owner may use the memory of a chunk again, so that all but the last are copied. */
  add(chunk: unknown, encoding: unknown, isLast: boolean): void {
    if (typeof chunk === "string") {
      const name = (typeof encoding === "string" ? encoding.toLowerCase() : "utf8") as BufferEncoding;
      this.#note(BINARY.test(name) ? false : name);
      this.#push(Buffer.from(chunk, name));
    } else if (chunk instanceof Uint8Array) {
      this.#note(false);
      this.#push(isLast && Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk));
    }
  }

  get bytes(): Buffer {
    const [first] = this.#chunks;
    return first && this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks);
  }

  clear(): void {
    this.#chunks = [];
  }

  #note(encoding: BufferEncoding | false): void {
    if (this.#encoding === undefined || this.#encoding === encoding) this.#encoding = encoding;
    else this.#encoding = false;
  }

  #push(bytes: Buffer): void {
    this.size += bytes.length;
    this.#chunks.push(bytes);
  }
}
