import { EventEmitter } from "node:events";
import { createRequire } from "node:module";
import { expect } from "chai";
import fc from "fast-check";
import type { WebSocketDriver } from "../../lib/server/sockjs-session.js";
import { readFast } from "../../lib/server/websocket-reader.js";
import { printSeed, SETTINGS } from "../support/fuzz/seed.js";

/** The driver that SockJS's WebSocket has. */
type Driver = WebSocketDriver &
  EventEmitter & {
    io: EventEmitter & { write(chunk: Buffer): boolean };
    start(): boolean;
    frame(data: string, type: string, code: number): boolean;
  };

const requireOfSockJS = createRequire(createRequire(import.meta.url).resolve("faye-websocket"));
const { http } = requireOfSockJS("websocket-driver") as { http(request: object, options: object): Driver };

const LONGEST = 70_000;

/** All that happens when the bytes come in these pieces. */
function happenings(chunks: readonly Buffer[], isFast: boolean, closesAt?: string): unknown[] {
  const request = Object.assign(new EventEmitter(), {
    method: "GET",
    url: "/",
    headers: {
      host: "a",
      connection: "upgrade",
      upgrade: "websocket",
      "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
      "sec-websocket-version": "13",
    },
    connection: {},
  });
  const driver = http(request, { maxLength: LONGEST });
  const seen: unknown[] = [];
  driver.start();
  driver.io.on("data", (bytes: Buffer) => seen.push(["wrote", bytes.toString("hex")]));
  driver.on("message", ({ data }: { data: string | Buffer }) => {
    seen.push(["message", typeof data === "string" ? data : [...data]]);
    if (data === closesAt) driver.frame("bye", "close", 1000);
  });
  driver.on("ping", () => seen.push(["ping"]));
  driver.on("pong", () => seen.push(["pong"]));
  driver.on("close", ({ code, reason }: { code: number; reason: string }) =>
    seen.push(["close", code, reason]),
  );
  driver.on("error", ({ message }: Error) => seen.push(["error", message]));
  if (isFast) readFast(driver);
  // the reader may change what it is given
  for (const chunk of chunks) driver.io.write(Buffer.from(chunk));
  return seen;
}

interface FrameParts {
  readonly first: number;
  readonly payload: Buffer;
  readonly isMasked?: boolean;
}

function frame({ first, payload, isMasked = true }: FrameParts): Buffer {
  const mask = isMasked ? Buffer.from([1, 0x80, 0xff, 7]) : Buffer.alloc(0);
  const flag = isMasked ? 0x80 : 0;
  const { length } = payload;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  head[0] = first;
  head[1] = flag | (length < 126 ? length : length < 65_536 ? 126 : 127);
  if (head.length === 4) head.writeUInt16BE(length, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2);
  const masked = payload.map((byte, index) => byte ^ (mask[index & 3] ?? 0));
  return Buffer.concat([head, mask, masked]);
}

const text = (value: string) => frame({ first: 0x81, payload: Buffer.from(value) });

const payloads = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.string({ unit: "grapheme", maxLength: 200 }).map((value) => Buffer.from(value)),
  },
  fc.uint8Array({ maxLength: 130 }).map((bytes) => Buffer.from(bytes)),
  fc.constantFrom(0, 125, 126, 127, 65_535, 65_536, LONGEST + 1).map((length) => Buffer.alloc(length, "x")),
);
const frames = fc
  .record({
    first: fc.oneof(
      { weight: 8, arbitrary: fc.constant(0x81) },
      fc.constantFrom(0x01, 0x80, 0x82, 0x88, 0x89, 0x8a, 0xc1, 0x83),
    ),
    payload: payloads,
    isMasked: fc.boolean().map((isNot) => !isNot),
  })
  .map(frame);
const streams = fc
  .tuple(fc.array(frames, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 12 }))
  .map(([list, cuts]) => {
    const bytes = Buffer.concat(list);
    const ends = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
    return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
  });

describe("the fast reader of a WebSocket", () => {
  afterEach(printSeed);

  it("sees what the WebSocket's own reader sees, in whatever pieces it comes", () => {
    fc.assert(
      fc.property(streams, (chunks) => {
        expect(happenings(chunks, true)).to.deep.equal(happenings(chunks, false));
      }),
      { ...SETTINGS, numRuns: 1000 },
    );
  });

  it("reads whole texts by itself, several of a piece too", () => {
    const values = ["", "a", "é€😀", "x".repeat(125), "x".repeat(126), "x".repeat(65_535)];
    const seen: string[] = [];
    const driver = {
      readyState: 1,
      _stage: 0,
      _reader: { _queueSize: 0 },
      _maxLength: LONGEST,
      io: { pause: () => {}, listenerCount: () => 1 },
      parse(_chunk: Buffer): void {
        expect.fail("it has asked for help");
      },
      emit: (_event: "message", { data }: { data: string }) => seen.push(data),
    };
    readFast(driver);
    driver.parse(Buffer.concat(values.map(text)));
    expect(seen).to.deep.equal(values);
  });

  it("leaves the rest to the other reader when a text makes somebody close", () => {
    const chunks = [Buffer.concat(["a", "close", "b"].map(text))];
    const fast = happenings(chunks, true, "close");
    expect(fast).to.deep.equal(happenings(chunks, false, "close"));
    expect(fast.map((happening) => (happening as unknown[])[0])).to.include("wrote");
  });
});
