import { Buffer } from "node:buffer";

/** The way in which messages become WebSocket frames: one each, or all in one as SockJS has it. */
export type Framing = "plain" | "sockjs";

/** The first byte of an unmasked text frame that is whole (RFC 6455, section 5.2). */
const TEXT = 0x81;

/** The lengths that a frame's second byte can say by itself, and in the two bytes after it. */
const SHORT = 125;
const MIDDLE = 0xffff;
const HAS_TWO_BYTES = 126;
const HAS_EIGHT_BYTES = 127;

/**
 * The characters that SockJS escapes beyond JSON, since some clients' transports change or lose them
 * (https://sockjs.github.io/sockjs-protocol/sockjs-protocol-0.3.3.html, "Unicode").
 */
const ESCAPED = /[\ud800-\udfff\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff]/g;

/** A message that may go to many sockets, among different others. */
export class Message {
  readonly text: string;
  #isAscii: boolean | undefined;
  #quoted: string | undefined;

  constructor(text: string) {
    this.text = text;
  }

  /** Whether a frame of this framing has a byte for each of its characters. */
  isAsciiIn(framing: Framing): boolean {
    // what is escaped is so
    return this.#hasAsciiText || (framing === "sockjs" && isAscii(this.quoted));
  }

  get #hasAsciiText(): boolean {
    this.#isAscii ??= isAscii(this.text);
    return this.#isAscii;
  }

  /** As it stands in SockJS's frames. */
  get quoted(): string {
    this.#quoted ??= this.#quote();
    return this.#quoted;
  }

  #quote(): string {
    const json = JSON.stringify(this.text);
    // most are, and to look for what is escaped takes longer
    // Stryker disable next-line ConditionalExpression: of these none is escaped
    if (this.#hasAsciiText) return json;
    // each of them has four digits
    return json.replace(ESCAPED, (character) => `\\u${character.charCodeAt(0).toString(16)}`);
  }
}

/** Gives the texts of the frames that carry messages. */
export function frameTexts(messages: readonly Message[], framing: Framing): string[] {
  if (framing === "plain") return messages.map(({ text }) => text);
  // without a list in between, since most are alone
  const all = messages.reduce((before, { quoted }) => (before === "" ? quoted : `${before},${quoted}`), "");
  return [`a[${all}]`];
}

/** Gives the bytes of the frames that carry messages, one after another. */
export function encodeFrames(messages: readonly Message[], framing: Framing): Buffer {
  const texts = frameTexts(messages, framing);
  const [only] = texts;
  // most are alone
  return texts.length === 1 && only !== undefined ? encodeText(only) : Buffer.concat(texts.map(encodeText));
}

/**
 * Gives the same bytes as a text of Latin-1, one character for each; undefined where the messages have more than ASCII. Such
 * a text costs less to write than bytes that are made for one write.
 */
export function latinFrames(messages: readonly Message[], framing: Framing): string | undefined {
  for (const message of messages) if (!message.isAsciiIn(framing)) return undefined;
  let frames = "";
  for (const text of frameTexts(messages, framing)) {
    if (text.length > MIDDLE) return undefined;
    frames += latinHead(text.length) + text;
  }
  return frames;
}

function isAscii(text: string): boolean {
  return Buffer.byteLength(text) === text.length;
}

function latinHead(length: number): string {
  if (length <= SHORT) return String.fromCharCode(TEXT, length);
  return String.fromCharCode(TEXT, HAS_TWO_BYTES, length >> 8, length & 0xff);
}

function encodeText(text: string): Buffer {
  const length = Buffer.byteLength(text);
  const bytes = Buffer.allocUnsafe(headLength(length) + length);
  bytes.write(text, writeHead(bytes, 0, length));
  return bytes;
}

function headLength(length: number): number {
  if (length <= SHORT) return 2;
  return length <= MIDDLE ? 4 : 10;
}

/** Gives the offset behind it. */
function writeHead(bytes: Buffer, offset: number, length: number): number {
  bytes[offset] = TEXT;
  if (length <= SHORT) {
    bytes[offset + 1] = length;
    return offset + 2;
  }
  if (length <= MIDDLE) {
    bytes[offset + 1] = HAS_TWO_BYTES;
    return bytes.writeUInt16BE(length, offset + 2);
  }
  bytes[offset + 1] = HAS_EIGHT_BYTES;
  return bytes.writeBigUInt64BE(BigInt(length), offset + 2);
}
