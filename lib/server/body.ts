import type { IncomingMessage } from "node:http";
import { LONGEST_TIMER } from "../shared/pending-calls.js";
import type { HttpRefusal } from "./http-refusal.js";

const TOO_LARGE: HttpRefusal = { status: 413, reason: "Body too large" };
const TOO_SLOW: HttpRefusal = { status: 408, reason: "Body too slow" };

/** The room that a body gets at first, in bytes: what it says of its length may be a lie. */
const FIRST_ROOM = 1024;

/**
 * Reads a request's body of at most `bound` bytes within `time` milliseconds, or gives the refusal. It is not called
 * back where the client goes away before.
 */
export function readBody(
  req: IncomingMessage,
  bound: number,
  time: number,
  done: (body: Buffer | HttpRefusal) => void,
): void {
  if (Number(req.headers["content-length"] ?? 0) > bound) return done(TOO_LARGE);
  // one piece of memory, which doubles: many small ones would take many times what they hold
  let room = Buffer.alloc(0);
  let length = 0;
  const onData = (chunk: Buffer) => {
    const before = length;
    length += chunk.length;
    if (length > bound) return settle(TOO_LARGE);
    if (length > room.length) {
      const larger = Buffer.allocUnsafe(Math.min(bound, Math.max(length, 2 * room.length, FIRST_ROOM)));
      room.copy(larger, 0, 0, before);
      room = larger;
    }
    chunk.copy(room, before);
  };
  const onEnd = () => settle(room.subarray(0, length));
  let isSettled = false;
  const forget = () => {
    isSettled = true;
    clearTimeout(timer);
    req.off("data", onData).off("end", onEnd).off("close", forget).off("error", forget);
  };
  const settle = (result: Buffer | HttpRefusal) => {
    if (isSettled) return;
    forget();
    if ("status" in result) req.pause();
    done(result);
  };
  // where the event loop was blocked, what has come of it is read first
  const timer = setTimeout(() => setImmediate(() => settle(TOO_SLOW)), Math.min(time, LONGEST_TIMER));
  req.on("data", onData).on("end", onEnd).on("close", forget).on("error", forget);
}
