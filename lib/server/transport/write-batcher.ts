import { performance } from "node:perf_hooks";
import process from "node:process";
import { encodeFrames, type Framing, frameTexts, latinFrames, Message } from "./websocket-frames.js";

/** More characters than this do not wait for the end of a turn. */
const LARGEST_BUNDLE = 65_536;

/** A server is busy that has something to send again within so many milliseconds of its last writes. */
const BUSY_TIME = 0.1;

/** A connection that has messages for its client. */
export interface Sender {
  /** Sends what waits. */
  flush(): unknown;
}

/**
 * The messages that a socket is sent in one turn of the event loop, in order. Most sockets of a channel are sent the
 * same, and share a batch, so that it is encoded once.
 */
export class WriteBatch {
  /** In characters, all messages together. */
  readonly length: number;
  /** Whether several sockets are sent it. */
  isShared = false;
  readonly #before: WriteBatch | undefined;
  readonly #last: Message;
  /** The batch that this one became when a message was last added. */
  #next: WriteBatch | undefined;
  #plain: Buffer | undefined;
  #sockjs: Buffer | undefined;

  constructor(message: Message, before?: WriteBatch) {
    this.#before = before;
    this.#last = message;
    this.length = (before?.length ?? 0) + message.text.length;
  }

  /** Whether it is too large to wait for the end of the turn. */
  get isFull(): boolean {
    return this.length > LARGEST_BUNDLE;
  }

  /** Says whether this is its last message. */
  endsWith(message: Message): boolean {
    return this.#last === message;
  }

  /** Gives the batch that has one message more. */
  with(message: Message): WriteBatch {
    if (this.#next?.endsWith(message)) this.#next.isShared = true;
    else this.#next = new WriteBatch(message, this);
    return this.#next;
  }

  get messages(): readonly string[] {
    return this.#messages.map(({ text }) => text);
  }

  get #messages(): readonly Message[] {
    // most are alone
    // Stryker disable next-line ConditionalExpression: what follows gives the same
    if (!this.#before) return [this.#last];
    const messages = [];
    for (let batch: WriteBatch | undefined = this; batch; batch = batch.#before) messages.push(batch.#last);
    return messages.reverse();
  }

  /** The texts of the WebSocket frames that carry it. */
  texts(framing: Framing): string[] {
    return frameTexts(this.#messages, framing);
  }

  /** What is written to one socket: bytes, or a text of Latin-1 that stands for them. */
  written(framing: Framing): Buffer | string {
    const text = this.isShared ? undefined : latinFrames(this.#messages, framing);
    return text ?? this.encoded(framing);
  }

  /** The bytes of the WebSocket frames that carry it. */
  encoded(framing: Framing): Buffer {
    // Stryker disable next-line EqualityOperator: each of the two has a place of its own, whichever
    if (framing === "plain") {
      this.#plain ??= encodeFrames(this.#messages, framing);
      return this.#plain;
    }
    this.#sockjs ??= encodeFrames(this.#messages, framing);
    return this.#sockjs;
  }
}

/**
 * The writes of a server's sockets in one turn of the event loop: one write for each socket. While a server is busy, they all
 * wait for the end of the turn: one after another they cost less than between other work, and wake those who read them less often.
 */
export class WriteBatcher {
  /** Told what somebody has thrown who was to send. */
  readonly onError: (error: unknown) => void;
  #senders: Sender[] = [];
  /** The message that was sent last: it mostly goes to many sockets. */
  #message: Message | undefined;
  /** The batch with which the last socket began. */
  #first: WriteBatch | undefined;
  /** Whether somebody has been given more than one message. */
  #hasJoined = false;
  /** When the last writes were done. */
  #written = Number.NEGATIVE_INFINITY;

  constructor(onError: (error: unknown) => void) {
    this.onError = onError;
  }

  /** Gives the batch that has one message more, or begins one; its sender is asked to send it in this turn. */
  add(sender: Sender, batch: WriteBatch | undefined, message: string): WriteBatch {
    if (!batch) return this.#begin(sender, message);
    this.#hasJoined = true;
    return batch.with(this.#messageOf(message));
  }

  #begin(sender: Sender, message: string): WriteBatch {
    if (this.#senders.push(sender) === 1) this.#schedule();
    const first = this.#messageOf(message);
    if (this.#first?.endsWith(first)) this.#first.isShared = true;
    else this.#first = new WriteBatch(first);
    return this.#first;
  }

  #messageOf(text: string): Message {
    if (this.#message?.text !== text) this.#message = new Message(text);
    return this.#message;
  }

  #schedule(): void {
    if (performance.now() - this.#written < BUSY_TIME) setImmediate(this.#send);
    else process.nextTick(this.#sendAtOnce);
  }

  /** Where several messages have met, more may come before the turn is over. */
  readonly #sendAtOnce = (): void => {
    if (this.#hasJoined) setImmediate(this.#send);
    else this.#send();
  };

  readonly #send = (): void => {
    const senders = this.#senders;
    this.#senders = [];
    this.#first = undefined;
    this.#message = undefined;
    this.#hasJoined = false;
    for (const sender of senders) {
      try {
        sender.flush();
      } catch (error) {
        this.onError(error);
      }
    }
    this.#written = performance.now();
  };
}
