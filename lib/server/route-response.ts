import { ServerResponse } from "node:http";
import type { Request, Response } from "express";
import { guarded, type RouteConnection } from "./route-connection.js";
import type { RecordedResponse } from "./route-reply.js";

/** What becomes of a response; of the first two one is told, once. */
export interface ResponseObserver {
  ended(response: RecordedResponse): void;
  /** The body has become larger than it may. */
  tooLarge(): void;
  report(error: unknown): void;
}

/** Encodings whose strings stand for bytes. */
const BINARY = /^(?:hex|base64|base64url)$/i;

/**
 * Makes the Express response to a request. It is Node's own `ServerResponse`, with the rules and the events
 * that it has over HTTP; what is written to it is recorded on the way.
 */
export function makeResponse(
  req: Request,
  prototype: object,
  connection: RouteConnection,
  maxBytes: number,
  observer: ResponseObserver,
): Response {
  const bare = new ServerResponse(req);
  bare.useChunkedEncodingByDefault = false;
  bare.sendDate = false;
  const res = bare as Response;
  res.assignSocket(connection.asSocket());
  // after the last byte a server lets go of the request and of the response; both emit `close` then
  res.on("finish", () => {
    process.nextTick(() => {
      req.resume();
      connection.destroy();
    });
  });
  connection.on("timeout", () => {
    const heard = [req.emit("timeout", connection), res.emit("timeout", connection)];
    if (!heard.includes(true)) connection.destroy();
  });

  const { write, end, writeHead, emit } = prototype as Response;
  const recorder = new Recorder();
  const isOpen = () => !res.writableEnded && !connection.destroyed;
  const record = (chunk: unknown, encoding: unknown) => {
    recorder.add(chunk, encoding);
    if (recorder.size <= maxBytes) return;
    recorder.clear();
    observer.tooLarge();
    connection.destroy();
  };
  // properties of its own, since Express changes the prototype on the way through a mounted application
  Object.assign(res, {
    locals: Object.create(null),
    write: (...args: unknown[]) => {
      const open = isOpen();
      const result: unknown = Reflect.apply(write, res, args);
      if (open) record(args[0], args[1]);
      return result;
    },
    end: (...args: unknown[]) => {
      const open = isOpen();
      const result: unknown = Reflect.apply(end, res, args);
      if (open) {
        record(args[0], args[1]);
        observer.ended({
          statusCode: res.statusCode,
          statusMessage: res.statusMessage,
          headers: res.getHeaders(),
          bytes: recorder.bytes(),
          writtenAs: recorder.writtenAs,
        });
      }
      return result;
    },
    writeHead: (status: number, ...args: unknown[]) => {
      const headers = args.at(-1);
      const message = typeof args[0] === "string" ? [args[0]] : [];
      if (!res.headersSent && typeof headers === "object" && headers !== null) setHeaders(res, headers);
      return Reflect.apply(writeHead, res, [status, ...message]);
    },
    jsonp: (...args: unknown[]) => Reflect.apply(res.json, res, args),
    emit: (event: string, ...args: unknown[]) =>
      guarded(() => Reflect.apply(emit, res, [event, ...args]), observer.report),
  });
  req.res = res;
  return Object.setPrototypeOf(res, prototype) as Response;
}

/** Node keeps headers that are given to `writeHead` alone from `getHeaders`, so they are set one by one. */
function setHeaders(res: Response, headers: object): void {
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

  add(chunk: unknown, encoding: unknown): void {
    if (typeof chunk === "string") {
      const name = (typeof encoding === "string" ? encoding.toLowerCase() : "utf8") as BufferEncoding;
      this.#note(BINARY.test(name) ? false : name);
      this.#push(Buffer.from(chunk, name));
    } else if (chunk instanceof Uint8Array) {
      this.#note(false);
      this.#push(Buffer.from(chunk)); // a copy: its owner may use the memory again
    }
  }

  bytes(): Buffer {
    return Buffer.concat(this.#chunks);
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
