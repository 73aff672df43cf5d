import type { IncomingMessage } from "node:http";
import { startTimer } from "../../shared/times.js";
import type { UnfinishedBytes } from "../limits/unfinished-bytes.js";
import type { HttpRefusal } from "./refusal.js";

const TOO_LARGE: HttpRefusal = { status: 413, reason: "Body too large" };
const TOO_SLOW: HttpRefusal = { status: 408, reason: "Body too slow" };

/** The refusal of a body that takes more than its share while strangers have too much under way. */
export const TOO_MUCH: HttpRefusal = { status: 503, reason: "Too many unfinished bodies", retryAfter: 5 };

/** The room that a body gets at first, in bytes: what it says of its length may be a lie. */
const FIRST_ROOM = 1024;

/** The bounds of a body. */
export interface BodyBounds {
  /** Bytes that it may have. */
  readonly bytes: number;
  /** Milliseconds in which it has to come. */
  readonly time: number;
  /** Counts it among those of strangers, until it is there; absent where it is of somebody known. */
  readonly all: UnfinishedBytes | undefined;
}

/** Reads a request's body, or gives the refusal. It is not called back where the client goes away before. */
export function readBody(
  req: IncomingMessage,
  bounds: BodyBounds,
  done: (body: Buffer | HttpRefusal) => void,
): void {
  const { bytes: bound, time, all } = bounds;
  if (Number(req.headers["content-length"] ?? 0) > bound) return done(TOO_LARGE);
  // one piece of memory, which doubles: many small ones would take many times what they hold
  let room = Buffer.alloc(0);
  let length = 0;
  /** Bytes that are counted. */
  let held = 0;
  const onData = (chunk: Buffer) => {
    const before = length;
    length += chunk.length;
    if (length > bound) return settle(TOO_LARGE);
    held = length;
    if (all?.change(before, held)) return settle(TOO_MUCH);
    // Stryker disable next-line EqualityOperator: it only makes room for what has some
    if (length > room.length) {
      const larger = Buffer.allocUnsafe(Math.min(bound, Math.max(length, 2 * room.length, FIRST_ROOM)));
      room.copy(larger, 0, 0, before);
      room = larger;
    }
    chunk.copy(room, before);
  };
  const onEnd = () => settle(room.subarray(0, length));
  const forget = () => {
    all?.change(held, 0);
    stopTimer();
    req.off("data", onData).off("end", onEnd).off("close", forget).off("error", forget);
  };
  const settle = (result: Buffer | HttpRefusal) => {
    forget();
    if ("status" in result) req.pause();
    done(result);
  };
  const stopTimer = startTimer(time, () => settle(TOO_SLOW));
  req.on("data", onData).on("end", onEnd).on("close", forget).on("error", forget);
}
