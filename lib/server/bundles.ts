import { encodeFrames, type Framing } from "./websocket-frames.js";

/** What has messages for its client. */
export interface Sender {
  /** Sends what waits. */
  flush(): unknown;
}

/**
 * The messages that a socket is sent in one turn of the event loop, in order. Most sockets of a channel are sent the
 * same, and share a bundle, so that it is encoded once.
 */
export class Bundle {
  /** In characters, all messages together. */
  readonly length: number;
  readonly #before: Bundle | undefined;
  readonly #last: string;
  /** What this one became when a message was added, most recently. */
  #next: Bundle | undefined;
  #plain: Buffer | undefined;
  #sockjs: Buffer | undefined;

  constructor(message: string, before?: Bundle) {
    this.#before = before;
    this.#last = message;
    this.length = (before?.length ?? 0) + message.length;
  }

  /** Says whether it has this message only. */
  is(message: string): boolean {
    return this.#before === undefined && this.#last === message;
  }

  /** Gives the bundle that has one message more. */
  with(message: string): Bundle {
    if (!this.#next || this.#next.#last !== message) this.#next = new Bundle(message, this);
    return this.#next;
  }

  get messages(): readonly string[] {
    const messages = [];
    for (let bundle: Bundle | undefined = this; bundle; bundle = bundle.#before) messages.push(bundle.#last);
    return messages.reverse();
  }

  /** The bytes of the WebSocket frames that carry it. */
  encoded(framing: Framing): Buffer {
    if (framing === "plain") {
      this.#plain ??= encodeFrames(this.messages, framing);
      return this.#plain;
    }
    this.#sockjs ??= encodeFrames(this.messages, framing);
    return this.#sockjs;
  }
}

/** What the sockets of a server send in one turn of the event loop: each in one go, at its end. */
export class Bundles {
  /** Told what somebody has thrown who was to send. */
  readonly onError: (error: unknown) => void;
  #senders: Sender[] = [];
  #first: Bundle | undefined;

  constructor(onError: (error: unknown) => void) {
    this.onError = onError;
  }

  /** Begins a bundle; its sender is asked to send it in this turn. */
  begin(sender: Sender, message: string): Bundle {
    if (this.#senders.push(sender) === 1) process.nextTick(this.#end);
    if (!this.#first?.is(message)) this.#first = new Bundle(message);
    return this.#first;
  }

  readonly #end = (): void => {
    const senders = this.#senders;
    this.#senders = [];
    this.#first = undefined;
    for (const sender of senders) {
      try {
        sender.flush();
      } catch (error) {
        this.onError(error);
      }
    }
  };
}
