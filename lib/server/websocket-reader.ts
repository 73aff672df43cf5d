import { isUtf8 } from "node:buffer";
import { OPEN, type WebSocketDriver } from "./sockjs-session.js";

/** How a whole text frame begins (RFC 6455, section 5.2), and that the client has masked it. */
const TEXT = 0x81;
const MASKED = 0x80;

/** What stands for the length where two bytes hold it. Longer frames are not read here. */
const HAS_TWO_BYTES = 126;

const MASK = 4;

/**
 * Lets whole, short texts, which is what clients send, be read in a few steps. All else goes on to the WebSocket's own
 * reader: other frames, pieces of a message or of a frame, what breaks the protocol, and what comes behind any of it.
 */
export function readFast(driver: WebSocketDriver): void {
  driver.parse = parse;
}

/** Takes the place of the driver's own, which all drivers share. */
function parse(this: WebSocketDriver, chunk: Buffer): void {
  const rest = readTexts(this, chunk);
  const { parse: parseAll } = Object.getPrototypeOf(this) as WebSocketDriver;
  if (rest.length > 0) Reflect.apply(parseAll, this, [rest]);
}

/** Hands over the texts that a chunk begins with, and gives what is left of it. */
function readTexts(driver: WebSocketDriver, chunk: Buffer): Buffer {
  const isBetweenMessages =
    driver._stage === 0 && driver._reader?._queueSize === 0 && driver._message === undefined;
  if (!isBetweenMessages) return chunk;
  let offset = 0;
  // whoever is told of a text may close the connection
  while (driver.readyState === OPEN) {
    const frame = frameAt(chunk, offset);
    if (!frame || frame.end > chunk.length || frame.end - frame.start > driver._maxLength) break;
    unmask(chunk, frame);
    const text = chunk.subarray(frame.start, frame.end);
    if (!isUtf8(text)) {
      // masks it again
      unmask(chunk, frame);
      break;
    }
    offset = frame.end;
    driver.emit("message", { data: text.toString() });
  }
  return offset === 0 ? chunk : chunk.subarray(offset);
}

/** Where the payload of a frame begins and ends. */
interface Frame {
  readonly start: number;
  readonly end: number;
}

/** The text frame that begins here, as far as its head has come. */
function frameAt(chunk: Buffer, offset: number): Frame | undefined {
  const second = chunk[offset + 1];
  if (chunk[offset] !== TEXT || second === undefined || second < MASKED) return undefined;
  const length = second - MASKED;
  if (length < HAS_TWO_BYTES) {
    const start = offset + 2 + MASK;
    return { start, end: start + length };
  }
  if (length > HAS_TWO_BYTES || offset + 4 > chunk.length) return undefined;
  const start = offset + 4 + MASK;
  return { start, end: start + chunk.readUInt16BE(offset + 2) };
}

/** Takes the mask off, which stands before the payload, or puts it on again (section 5.3). */
function unmask(chunk: Buffer, { start, end }: Frame): void {
  for (let i = start; i < end; i++) {
    chunk[i] = (chunk[i] ?? 0) ^ (chunk[start - MASK + ((i - start) & 3)] ?? 0);
  }
}
