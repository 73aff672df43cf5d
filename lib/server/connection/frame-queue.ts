import { CLOSE, type CloseReason } from "../../shared/close-codes.js";
import { type ClientFrame, parseClientFrame } from "../../shared/protocol.js";
import { FrameRate } from "../limits/frame-rate.js";
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
  /** The rates that it shares with other connections, if any. */
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
 * A queue of one client's frames. A frame is handled at once, unless it comes while the client authenticates or faster than
 * the client may send: then it waits, in order and within a bound.
 */
export class FrameQueue {
  readonly #handler: FrameHandler;
  readonly #parts: FrameQueueParts;
  readonly #rate: FrameRate;
  /** Absent while none waits, so that an idle connection costs little. */
  #waiting: WaitingMessage[] | undefined;
  #waitingBytes = 0;
  /** Ends the pause in which frames wait that came too fast; absent without one. */
  #endPause: (() => void) | undefined;

  constructor(handler: FrameHandler, parts: FrameQueueParts) {
    this.#handler = handler;
    this.#parts = parts;
    this.#rate = new FrameRate(parts.limits);
  }

  get isEmpty(): boolean {
    return this.#waiting === undefined;
  }

  /** Hands a frame to the connection, now or when its turn comes. `message` is what the frame was read from. */
  add(frame: ClientFrame, message: unknown, bytes: number): void {
    const isAnswer = frame.type === "answer";
    // the application may be waiting for just this answer before it accepts the client
    const mayPass = isAnswer || (this.#handler.isOpen && this.isEmpty);
    if (mayPass && this.admit(bytes)) return this.#handler.handle(frame, bytes);
    this.#wait({ text: typeof message === "string" ? message : undefined, bytes, isAnswer });
    this.serve();
  }

  /** Says whether the client and its identity may send a frame of so many bytes now; it counts then. */
  admit(bytes: number): boolean {
    const { usage } = this.#handler;
    if (!this.#rate.take(bytes)) return false;
    if (!usage || usage.take(bytes)) return true;
    this.#rate.giveBack(bytes);
    return false;
  }

  /** Counts frames without a message towards the rate. They cannot wait, so the client owes for them, within a bound. */
  charge(frames: number): void {
    this.#handler.usage?.charge(frames);
    if (!this.#rate.charge(frames, this.#parts.limits.framesWaiting)) {
      this.#handler.close(CLOSE.tooManyFrames);
    }
  }

  /** Has the frames handled that need not wait any more. */
  serve(): void {
    if (this.#endPause) return;
    while (this.#waiting) {
      // one of them may be another `auth` frame, for which all but the answers go on waiting
      const index = this.#handler.isOpen ? 0 : this.#waiting.findIndex(({ isAnswer }) => isAnswer);
      const next = this.#waiting[index];
      if (!next) return;
      if (!this.admit(next.bytes)) return this.#pause();
      this.#waiting.splice(index, 1);
      this.#waitingBytes -= next.bytes;
      if (this.#waiting.length === 0) this.#waiting = undefined;
      this.#handler.handle(parseClientFrame(next.text, this.#parts.limits), next.bytes);
    }
  }

  /** Drops the frames that wait. */
  close(): void {
    this.#waiting = undefined;
    this.#endPause?.();
  }

  #wait(message: WaitingMessage): void {
    const { framesWaiting, bytesWaiting } = this.#parts.limits;
    const count = this.#waiting?.length ?? 0;
    this.#waitingBytes += message.bytes;
    if (count >= framesWaiting || this.#waitingBytes > bytesWaiting) {
      return this.#handler.close(CLOSE.tooManyFrames);
    }
    this.#waiting ??= [];
    this.#waiting.push(message);
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
    const { wait } = this.#rate;
    const { usage } = this.#handler;
    if (wait === 0 && usage) {
      this.#endPause = usage.onRefill(resume);
      return;
    }
    const timer = setTimeout(resume, wait);
    this.#endPause = () => clearTimeout(timer);
  }
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
