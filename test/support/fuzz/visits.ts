import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect } from "chai";
import fc from "fast-check";
import { type Action, anyJson, anyText, anything, FrameMaker, type Tokens } from "./frames.js";
import { encodeWebSocketFrame, type WebSocketFrame, webSocketFrames } from "./web-socket-frames.js";

/** How a request says where its body ends. */
type Framing = "length" | "chunks" | "short" | "long" | "both" | "none" | "wrong chunks";

type Body =
  | { readonly type: "none" }
  | { readonly type: "messages" | "form"; readonly actions: readonly Action[] }
  | { readonly type: "json"; readonly value: unknown }
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "size"; readonly size: number };

/** What is sent over one TCP connection, piece after piece: requests, an upgrade and what follows it, or bytes. */
type Part =
  | {
      readonly type: "request";
      readonly method: string;
      readonly target: string;
      readonly version: string;
      readonly headers: readonly (readonly [string, string])[];
      readonly framing: Framing;
      readonly body: Body;
    }
  | {
      readonly type: "upgrade";
      readonly method: string;
      readonly target: string;
      readonly headers: Readonly<Record<string, string | undefined>>;
      readonly frames: readonly WebSocketFrame[];
    }
  | { readonly type: "bytes"; readonly bytes: Uint8Array };

/** One TCP connection: what is sent, and how it ends. */
export interface Visit {
  readonly parts: readonly Part[];
  /** How much of it is sent, of 1. */
  readonly share: number;
  /** In how many writes. */
  readonly writes: number;
  /** `"half"`: the server is told that nothing more comes, and ends it. */
  readonly ends: "half" | "at once" | "reset";
}

const prefixes = fc.oneof(
  { weight: 12, arbitrary: fc.constant("/sockets") },
  { weight: 1, arbitrary: fc.constantFrom("//sockets", "/socketsx", "/SOCKETS", "http://other/sockets", "") },
);

const servers = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom("0", "000", "server") },
  {
    weight: 1,
    arbitrary: fc.constantFrom("", "a.b", "%00", "..", "__proto__", "é", "a b", "x".repeat(5000)),
  },
);

/** Few, so that sessions meet each other: polls come twice, and messages from others. */
const sessions = fc.oneof(
  { weight: 10, arbitrary: fc.constantFrom("one", "two", "three", "four") },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      "",
      "__proto__",
      "constructor",
      "toString",
      "%6fne",
      "a.b",
      "one;x",
      "\0",
      "ü",
    ),
  },
);

const transports = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.constantFrom(
      "xhr",
      "xhr_send",
      "xhr_send",
      "xhr_streaming",
      "eventsource",
      "htmlfile",
      "jsonp",
      "jsonp_send",
      "websocket",
    ),
  },
  { weight: 1, arbitrary: fc.constantFrom("", "XHR", "xhr_sendx", "constructor", "iframe.html", "info") },
);

const queries = fc.oneof(
  { weight: 3, arbitrary: fc.constant("") },
  { weight: 2, arbitrary: fc.constantFrom("?c=callback", "?callback=a.b", "?t=1") },
  {
    weight: 1,
    arbitrary: fc.constantFrom("?c=%22", "?c=<script>", "?c", "?c=a&c=b", "?c[x]=1", "?%", "?c=%E0%A4", "?#"),
  },
  { weight: 1, arbitrary: fc.constant(`?c=${"x".repeat(3000)}`) },
);

/** Where requests go: to what SockJS serves, to the token route, and elsewhere. */
const targets = fc.oneof(
  {
    weight: 12,
    arbitrary: fc
      .tuple(prefixes, servers, sessions, transports, queries)
      .map(
        ([prefix, server, session, transport, query]) =>
          `${prefix}/${server}/${session}/${transport}${query}`,
      ),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      "/sockets",
      "/sockets/",
      "/sockets/info",
      "/sockets/info?x",
      "/sockets/iframe.html",
      "/sockets/iframe-1.html",
      "/sockets/websocket",
      "/sockets/0/one",
      "/socket/token",
      "/socket/token?name[a]=b",
      "/socket/token?callback=a",
      "/socket/client.js",
      "/elsewhere",
      "*",
      "?",
    ),
  },
  { weight: 1, arbitrary: anyText.map((text) => `/sockets/0/${text.replace(/[\r\n ]/g, "")}/xhr`) },
);

const methods = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom("POST", "POST", "GET") },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      "OPTIONS",
      "HEAD",
      "PUT",
      "DELETE",
      "PATCH",
      "TRACE",
      "CONNECT",
      "get",
      "NONE",
      "",
    ),
  },
);

const headers = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.constantFrom<[string, string]>(
        ["Content-Type", "text/plain"],
        ["Content-Type", "application/x-www-form-urlencoded"],
        ["Content-Type", "application/json"],
        ["Content-Type", "text/plain; charset=utf-16"],
        ["Content-Type", ""],
        ["Content-Encoding", "gzip"],
        ["Connection", "close"],
        ["Connection", "keep-alive"],
        ["Connection", "Upgrade"],
        ["Upgrade", "h2c"],
        ["Upgrade", "websocket"],
        ["Expect", "100-continue"],
        ["Expect", "200-ok"],
        ["Origin", "https://evil.example"],
        ["Origin", "null"],
        ["Origin", "\u00ff"],
        ["Cookie", "JSESSIONID=dummy"],
        ["Cookie", "JSESSIONID=%; =; ;;"],
        ["Host", "another"],
        ["Host", ""],
        ["X-Forwarded-For", "1.2.3.4, , \u00ff"],
        ["Access-Control-Request-Headers", "\u00e4, x"],
        ["If-None-Match", "*"],
        ["Transfer-Encoding", "identity"],
        ["Referer", "http://["],
        ["User-Agent", "x".repeat(4000)],
        ["Accept-Language", ""],
      ),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(
        fc.constantFrom("X-Any", "Content-Length", "Transfer-Encoding", "X-Real-Ip"),
        anyText.map((text) => text.replace(/[\r\n]/g, "")),
      ),
    },
  ),
  { maxLength: 4 },
);

const actions = fc.array(anything, { minLength: 1, maxLength: 5 });

const bodies: fc.Arbitrary<Body> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ type: fc.constant("messages" as const), actions }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("form" as const), actions }) },
  { weight: 2, arbitrary: fc.constant<Body>({ type: "none" }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("json" as const), value: anyJson }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("text" as const), text: anyText }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant("size" as const), size: fc.constantFrom(4096, 4097, 70_000) }),
  },
);

const requests: fc.Arbitrary<Part> = fc.record({
  type: fc.constant("request" as const),
  method: methods,
  target: targets,
  version: fc.oneof(
    { weight: 12, arbitrary: fc.constant("HTTP/1.1") },
    { weight: 1, arbitrary: fc.constantFrom("HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "http/1.1", "") },
  ),
  headers,
  framing: fc.oneof(
    { weight: 8, arbitrary: fc.constant<Framing>("length") },
    { weight: 3, arbitrary: fc.constant<Framing>("chunks") },
    { weight: 1, arbitrary: fc.constantFrom<Framing>("short", "long", "both", "none", "wrong chunks") },
  ),
  body: bodies,
});

/** As SockJS's clients send them. */
const rightRequests: fc.Arbitrary<Part> = fc.record({
  type: fc.constant("request" as const),
  method: fc.constant("POST"),
  target: fc
    .tuple(fc.constantFrom("one", "two"), fc.constantFrom("xhr", "xhr_streaming", "xhr_send", "xhr_send"))
    .map(([session, transport]) => `/sockets/0/${session}/${transport}`),
  version: fc.constant("HTTP/1.1"),
  headers: fc.constant([]),
  framing: fc.constant<Framing>("length"),
  body: fc.record({ type: fc.constant("messages" as const), actions }),
});

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";

/** A header as it should be, and now and then another one or none. */
const header = (right: string, ...wrong: readonly (string | undefined)[]) =>
  fc.oneof(
    { weight: 10, arbitrary: fc.constant<string | undefined>(right) },
    { weight: 1, arbitrary: fc.constantFrom(undefined, "", "x", "\u00ff", ...wrong) },
  );

const upgrades: fc.Arbitrary<Part> = fc.record({
  type: fc.constant("upgrade" as const),
  method: fc.oneof(
    { weight: 12, arbitrary: fc.constant("GET") },
    { weight: 1, arbitrary: fc.constantFrom("POST", "HEAD") },
  ),
  target: fc.oneof(
    {
      weight: 8,
      arbitrary: fc
        .tuple(servers, sessions)
        .map(([server, session]) => `/sockets/${server}/${session}/websocket`),
    },
    { weight: 4, arbitrary: fc.constant("/sockets/websocket") },
    { weight: 1, arbitrary: targets },
  ),
  headers: fc.record({
    Connection: header("Upgrade", "keep-alive, upgrade", "close"),
    Upgrade: header("websocket", "WebSocket", "h2c", "websocket, h2c"),
    "Sec-WebSocket-Version": header("13", "8", "7", "0", "99", "13, 8"),
    "Sec-WebSocket-Key": header(KEY, "short", KEY + KEY),
    "Sec-WebSocket-Extensions": header("permessage-deflate", "a;b=c,", ";;;", '"', "permessage-deflate; x"),
    "Sec-WebSocket-Protocol": header("a, b", ",,"),
    // of drafts before the standard
    "Sec-WebSocket-Key1": fc.constantFrom(
      undefined,
      undefined,
      "4 @1  46546xW%0l 1 5",
      "9 99999999999",
      "1",
      "a b",
      "9".repeat(99),
    ),
    "Sec-WebSocket-Key2": fc.constantFrom(undefined, undefined, "12998 5 Y3 1  .P00", "9 99999999999", " "),
    Origin: fc.constantFrom(undefined, undefined, "https://evil.example", "null"),
    "Content-Length": fc.constantFrom(undefined, undefined, undefined, "5", "-1"),
  }),
  frames: fc.array(webSocketFrames, { maxLength: 8 }),
});

/** Arbitrary and nearly right ones. */
export const visits: fc.Arbitrary<Visit> = fc.record({
  parts: fc.array(
    fc.oneof(
      { weight: 6, arbitrary: requests },
      { weight: 4, arbitrary: rightRequests },
      { weight: 4, arbitrary: upgrades },
      {
        weight: 1,
        arbitrary: fc.record({
          type: fc.constant("bytes" as const),
          bytes: fc.uint8Array({ maxLength: 200 }),
        }),
      },
    ),
    { minLength: 1, maxLength: 4 },
  ),
  share: fc.oneof(
    { weight: 4, arbitrary: fc.constant(1) },
    { weight: 1, arbitrary: fc.double({ min: 0, max: 1, noNaN: true }) },
  ),
  writes: fc.constantFrom(1, 1, 2, 5),
  ends: fc.constantFrom("half" as const, "half" as const, "at once" as const, "reset" as const),
});

/**
 * Sends it all, and waits until the server has ended the connection, unless that is cut. Gives what came back; throws
 * where that is no HTTP.
 */
export async function pay(port: number, visit: Visit, tokens: Tokens): Promise<Buffer> {
  const bytes = Buffer.concat(visit.parts.map((part) => encode(part, tokens)));
  const sent = bytes.subarray(0, Math.ceil(bytes.length * visit.share));
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  // the server may well reset it
  socket.on("error", () => {});
  const closed = new Promise((resolve) => socket.once("close", resolve));
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  const size = Math.ceil(sent.length / visit.writes);
  for (let from = 0; from < sent.length; from += size) {
    await write(socket, sent.subarray(from, from + size));
  }
  if (visit.ends === "half") socket.end();
  else if (visit.ends === "reset") socket.resetAndDestroy();
  else socket.destroy();
  await closed;
  const answer = Buffer.concat(chunks);
  if (answer.length > 0) expect(answer.toString("latin1", 0, 9)).to.equal("HTTP/1.1 ");
  return answer;
}

/** How many requests and WebSocket frames it has. */
export function countInputs({ parts }: Visit): number {
  return parts.reduce((sum, part) => sum + 1 + (part.type === "upgrade" ? part.frames.length : 0), 0);
}

/** Writes so that the next write is a packet of its own; also where the server has ended the connection. */
function write(socket: Socket, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => socket.write(bytes, () => setImmediate(resolve)));
}

function encode(part: Part, tokens: Tokens): Buffer {
  if (part.type === "bytes") return Buffer.from(part.bytes);
  if (part.type === "upgrade") {
    const lines = Object.entries(part.headers).flatMap(([name, value]) =>
      value === undefined ? [] : `${name}: ${value}`,
    );
    const head = [`${part.method} ${part.target} HTTP/1.1`, "Host: localhost", ...lines, "", ""].join("\r\n");
    const frames = part.frames.map((frame) => encodeWebSocketFrame(frame, tokens));
    return Buffer.concat([Buffer.from(head, "latin1"), ...frames]);
  }
  const { method, target, version, headers: given, framing } = part;
  const { lines, body } = frameBody(framing, encodeBody(part.body, tokens));
  const names = given.map(([name, value]) => `${name}: ${value}`);
  const head = [`${method} ${target} ${version}`.trim(), "Host: localhost", ...names, ...lines, "", ""];
  return Buffer.concat([Buffer.from(head.join("\r\n"), "latin1"), body]);
}

function encodeBody(body: Body, tokens: Tokens): Buffer {
  switch (body.type) {
    case "none":
      return Buffer.alloc(0);
    case "json":
      return Buffer.from(JSON.stringify(body.value));
    case "text":
      return Buffer.from(body.text);
    case "size":
      return Buffer.alloc(body.size, "x");
    default: {
      const json = JSON.stringify(new FrameMaker(tokens).parts(body.actions));
      // lone surrogates have no place in a URL
      return Buffer.from(body.type === "form" ? `d=${encodeURIComponent(json.toWellFormed())}` : json);
    }
  }
}

/** Says in headers how long a body is, in one way or another. */
function frameBody(framing: Framing, body: Buffer): { lines: string[]; body: Buffer } {
  const length = (bytes: number) => `Content-Length: ${bytes}`;
  const chunked = "Transfer-Encoding: chunked";
  const chunk = Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from("\r\n")]);
  const chunks =
    body.length > 0 ? Buffer.concat([chunk, Buffer.from("0\r\n\r\n")]) : Buffer.from("0\r\n\r\n");
  switch (framing) {
    case "length":
      return { lines: [length(body.length)], body };
    case "short":
      return { lines: [length(Math.floor(body.length / 2))], body };
    case "long":
      return { lines: [length(body.length + 10)], body };
    case "none":
      return { lines: [], body };
    case "chunks":
      return { lines: [chunked], body: chunks };
    case "both":
      return { lines: [chunked, length(body.length)], body: chunks };
    case "wrong chunks":
      return { lines: [chunked], body: Buffer.concat([Buffer.from("zz\r\n"), body]) };
  }
}
