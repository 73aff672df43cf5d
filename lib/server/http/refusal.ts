import { type ServerResponse, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";

/** A refusal of a request or an upgrade: its status, and its reason. */
export interface HttpRefusal {
  readonly status: number;
  /** Goes to the client, as text. */
  readonly reason: string;
  /** The time after which the client should ask again, in seconds. */
  readonly retryAfter?: number;
  /** Headers that go with the status. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Answers a request, and ends its connection: what it may still send is not waited for. */
export function refuseRequest(res: ServerResponse, refusal: HttpRefusal): void {
  if (res.headersSent || res.destroyed) return;
  // the answer may have to wait behind another one: behind a body that nobody reads the client's end would not be seen
  res.req.resume();
  res.writeHead(refusal.status, headersOf(refusal));
  res.end(refusal.reason);
}

/**
 * Answers an upgrade. Its socket is Node.js's no more, so that the answer is written by hand, and ends the TCP connection: what
 * the client has sent and nobody reads would hide that it is gone.
 */
export function refuseUpgrade(socket: Duplex, refusal: HttpRefusal): void {
  // Node.js has taken its own listener off, and a reset would end the process
  socket.on("error", ignore);
  if (!socket.writable) return void socket.destroy();
  socket.on("finish", () => socket.destroy());
  const head = Object.entries(headersOf(refusal)).map(([name, value]) => `${name}: ${value}`);
  const status = `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status] ?? "Refused"}`;
  socket.end([status, ...head, "", refusal.reason].join("\r\n"));
}

function ignore(): void {}

function headersOf({ reason, retryAfter, headers }: HttpRefusal): Record<string, string> {
  return {
    "Cache-Control": "no-store",
    Connection: "close",
    "Content-Length": String(Buffer.byteLength(reason)),
    "Content-Type": "text/plain; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    ...headers,
    ...(retryAfter !== undefined && { "Retry-After": String(retryAfter) }),
  };
}
