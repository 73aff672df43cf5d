/**
 * SockJS's frames on a WebSocket, as its protocol has them
 * (https://sockjs.github.io/sockjs-protocol/sockjs-protocol-0.3.3.html, "WebSocket protocol").
 */

import { Buffer } from "node:buffer";

/** The lengths of frames that may be simple, in bytes: `[""]`, and where `JSON.parse` begins to make less work of them. */
const SHORTEST_SIMPLE = 4;
const LONGEST_SIMPLE = 256;

const QUOTE = 0x22;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;

/** The first and the last character of ASCII that is no control character. */
const FIRST_VISIBLE = 0x20;
const LAST_VISIBLE = 0x7e;

/** What is read of a simple frame, while that is read. */
const unescaped = Buffer.alloc(LONGEST_SIMPLE);

/**
 * Reads a frame that is simple, as most are: an array of one short text of ASCII, in which nothing but quotes and backslashes
 * is escaped. To parse it as JSON takes twice as long. Gives its message, or undefined where a frame is not so.
 */
export function readSimple(frame: Buffer): string | undefined {
  const end = frame.length - 2;
  if (frame.length < SHORTEST_SIMPLE || frame.length > LONGEST_SIMPLE) return undefined;
  if (frame[0] !== OPEN_BRACKET || frame[1] !== QUOTE) return undefined;
  if (frame[end] !== QUOTE || frame[end + 1] !== CLOSE_BRACKET) return undefined;
  let length = 0;
  for (let at = 2; at < end; at++) {
    let byte = frame[at] ?? 0;
    if (byte === BACKSLASH) {
      byte = frame[++at] ?? 0;
      if (at === end || (byte !== QUOTE && byte !== BACKSLASH)) return undefined;
    } else if (byte === QUOTE || byte < FIRST_VISIBLE || byte > LAST_VISIBLE) return undefined;
    unescaped[length++] = byte;
  }
  return unescaped.toString("latin1", 0, length);
}

/** Reads what a client has sent: its messages, which may be no strings; undefined for what is malformed. */
export function parseFrame(text: string): unknown[] | undefined {
  if (text === "") return [];
  try {
    const parsed: unknown = JSON.parse(text);
    return Array.isArray(parsed) ? parsed : [parsed];
  } catch {
    return undefined;
  }
}

/** The frame that ends a session. */
export function closeFrame(code: number, reason: string): string {
  return `c${JSON.stringify([code, reason])}`;
}
