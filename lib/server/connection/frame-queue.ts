import { Buffer } from "node:buffer";
import { CLOSE, type CloseReason } from "../../shared/close-codes.js";
import { type ClientFrame, parseClientFrame } from "../../shared/protocol.js";
import type { FrameRate } from "../limits/frame-rate.js";
import type { IdentityUsage } from "../limits/identity-usage.js";
import type { Limits } from "../limits/limits.js";
import type { Reporter } from "../log/reporter.js";

/** The parts of the server that a queue of frames needs. */
export interface FrameQueueParts {
  readonly limits: Limits;
  readonly reporter: Reporter;
}

/** The connection that handles the frames. */
export interface FrameHandler {
  /** Whether it handles all frames; otherwise answers alone. */
  readonly isOpen: boolean;
  /** The rate of the frames that its client sends. */
  readonly rate: FrameRate;
  /** The usage that it shares with the other connections of its identity, if any. */
  readonly usage: IdentityUsage | undefined;
  /** Handles a frame, whose text has so many bytes. */
  handle(frame: ClientFrame, bytes: number): void;
  close(reason: CloseReason): void;
}

/** A message that waits, as text, which takes less memory than its frame. */
interface WaitingMessage {
  /** Absent where the message was no text. */
  readonly text: string | undefined;
  readonly bytes: number;
  readonly isAnswer: boolean;
}

/**
 * A queue of the frames that a client sends while it authenticates, or faster than it may. They wait in order and within a
 * bound.
 */
export class FrameQueue {
  readonly #handler: FrameHandler;
  readonly #parts: FrameQueueParts;
  #waiting: WaitingMessage[] = [];
  #waitingBytes = 0;
  /** Ends the pause in which frames wait that came too fast; absent without one. */
  #endPause: (() => void) | undefined;

  constructor(handler: FrameHandler, parts: FrameQueueParts) {
    this.#handler = handler;
    this.#parts = parts;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** Lets a message wait, and closes the connection of a client for which too many do. */
  add(message: unknown, bytes: number, isAnswer: boolean): void {
    const { framesWaiting, bytesWaiting } = this.#parts.limits;
    // Stryker disable next-line ConditionalExpression: what is no text is no frame either, and only takes memory
    const text = typeof message === "string" ? message : undefined;
    this.#waitingBytes += bytes;
    if (this.#waiting.length >= framesWaiting || this.#waitingBytes > bytesWaiting) {
      return this.#handler.close(CLOSE.tooManyFrames);
    }
    this.#waiting.push({ text, bytes, isAnswer });
    this.serve();
  }

  /** Has the frames handled that need not wait any more. */
  serve(): void {
    if (this.#endPause) return;
    for (;;) {
      // one of them may be another `auth` frame, for which all but the answers go on waiting
      const index = this.#handler.isOpen ? 0 : this.#waiting.findIndex(({ isAnswer }) => isAnswer);
      const next = this.#waiting[index];
      if (!next) return;
      if (!mayHandle(this.#handler, next.bytes)) return this.#pause();
      this.#waiting.splice(index, 1);
      this.#waitingBytes -= next.bytes;
      this.#handler.handle(parseClientFrame(next.text, this.#parts.limits), next.bytes);
    }
  }

  /** Drops the frames that wait. */
  close(): void {
    this.#waiting = [];
    this.#endPause?.();
  }

  /** Waits until the client may send more. */
  #pause(): void {
    const resume = () => {
      this.#endPause = undefined;
      try {
        this.serve();
      } catch (error) {
        this.#parts.reporter.error("a frame could not be served", error);
      }
    };
    const { rate, usage } = this.#handler;
    const { wait } = rate;
    if (wait === 0 && usage) {
      this.#endPause = usage.onRefill(resume);
      return;
    }
    const timer = setTimeout(resume, wait);
    this.#endPause = () => clearTimeout(timer);
  }
}

/** Says whether a client and its identity may send a frame of so many bytes now; it counts then. */
export function mayHandle({ rate, usage }: Pick<FrameHandler, "rate" | "usage">, bytes: number): boolean {
  if (!rate.take(bytes)) return false;
  if (!usage || usage.take(bytes)) return true;
  rate.giveBack(bytes);
  return false;
}

/** The length of a message in bytes; more than `most` where it is longer than that. */
export function bytesOf(message: unknown, most: number): number {
  if (typeof message === "string") return Buffer.byteLength(message);
  if (message instanceof Uint8Array) return message.length;
  // a value of JSON that SockJS has read, which is none of the protocol's: about as long as its text was, at any depth
  let bytes = 0;
  const values = [message];
  while (values.length > 0 && bytes <= most) {
    const value = values.pop();
    bytes += typeof value === "string" ? Buffer.byteLength(value) + 2 : 2;
    if (typeof value !== "object" || value === null) continue;
    for (const [name, inner] of Object.entries(value)) {
      if (!Array.isArray(value)) values.push(name);
      values.push(inner);
    }
  }
  return bytes;
}
