import fc from "fast-check";
import { type Action, anyText, anything, FrameMaker, type Tokens } from "./frames.js";

/** What a frame says of its payload's length. */
type Length = "right" | "16 bits" | "64 bits" | { readonly lie: number };

/** A frame of WebSocket (RFC 6455, section 5.2), which need not be a right one. */
export interface WebSocketFrame {
  readonly fin: boolean;
  readonly rsv: number;
  readonly opcode: number;
  readonly mask: number | undefined;
  readonly length: Length;
  readonly payload: Payload;
  /** How often it is sent, as far as all of it stays within `LARGEST_FLOOD`. */
  readonly times: number;
}

/** Bytes of a frame that is sent again and again. */
const LARGEST_FLOOD = 262_144;

type Payload =
  | { readonly type: "messages"; readonly framing: "SockJS" | "none"; readonly actions: readonly Action[] }
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "bytes"; readonly bytes: Uint8Array };

const TEXT = 1;

const payloads: fc.Arbitrary<Payload> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("messages" as const),
      framing: fc.constantFrom("SockJS" as const, "none" as const),
      actions: fc.array(anything, { minLength: 1, maxLength: 4 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("text" as const), text: anyText }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant("text" as const),
      text: fc.constantFrom("", ...Object.getOwnPropertyNames(Object.prototype)),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant("bytes" as const), bytes: fc.uint8Array({ maxLength: 300 }) }),
  },
);

/** Right ones, and those with something wrong. */
export const webSocketFrames: fc.Arbitrary<WebSocketFrame> = fc.record({
  fin: fc.oneof({ weight: 6, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
  rsv: fc.oneof({ weight: 12, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(7) }),
  opcode: fc.oneof(
    { weight: 8, arbitrary: fc.constant(TEXT) },
    { weight: 3, arbitrary: fc.constantFrom(0, 2, 8, 9, 10) },
    { weight: 1, arbitrary: fc.nat(15) },
  ),
  mask: fc.oneof(
    { weight: 12, arbitrary: fc.nat(0xffffffff) },
    { weight: 1, arbitrary: fc.constant(undefined) },
  ),
  length: fc.oneof(
    { weight: 10, arbitrary: fc.constant<Length>("right") },
    { weight: 2, arbitrary: fc.constantFrom<Length>("16 bits", "64 bits") },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom(0, 1, 125, 126, 65_535, 65_536, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 63)
        .map((lie): Length => ({ lie })),
    },
  ),
  payload: payloads,
  times: fc.oneof(
    { weight: 24, arbitrary: fc.constant(1) },
    { weight: 1, arbitrary: fc.constantFrom(2, 70, 200, 3000, 40_000) },
  ),
});

/** A frame as bytes. */
export function encodeWebSocketFrame(frame: WebSocketFrame, tokens: Tokens): Buffer {
  const bytes = frameOf(frame, bytesOf(frame.payload, tokens));
  const most = Math.max(1, Math.floor(LARGEST_FLOOD / bytes.length));
  return Buffer.concat(Array.from({ length: Math.min(frame.times, most) }, () => bytes));
}

/** A text as a client sends it, masked by zero. */
export function encodeText(text: string): Buffer {
  return frameOf({ fin: true, rsv: 0, opcode: TEXT, mask: 0, length: "right" }, Buffer.from(text));
}

function frameOf(
  { fin, rsv, opcode, mask, length }: Omit<WebSocketFrame, "payload" | "times">,
  payload: Buffer,
): Buffer {
  const first = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  const said = typeof length === "object" ? length.lie : payload.length;
  const form = length === "64 bits" || said > 0xffff ? 127 : length === "16 bits" || said > 125 ? 126 : said;
  const head = Buffer.alloc(2 + (form === 127 ? 8 : form === 126 ? 2 : 0));
  head[0] = first;
  head[1] = (mask === undefined ? 0 : 0x80) | form;
  if (form === 127) head.writeBigUInt64BE(BigInt(said), 2);
  else if (form === 126) head.writeUInt16BE(said, 2);
  if (mask === undefined) return Buffer.concat([head, payload]);
  const key = Buffer.alloc(4);
  key.writeUInt32BE(mask);
  const masked = payload.map((byte, index) => byte ^ (key[index % 4] ?? 0));
  return Buffer.concat([head, key, masked]);
}

function bytesOf(payload: Payload, tokens: Tokens): Buffer {
  if (payload.type === "text") return Buffer.from(payload.text);
  if (payload.type === "bytes") return Buffer.from(payload.bytes);
  const parts = new FrameMaker(tokens).parts(payload.actions);
  return Buffer.from(payload.framing === "SockJS" ? JSON.stringify(parts) : String(parts[0]));
}
