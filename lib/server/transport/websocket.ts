import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocket } from "ws";
import { CLOSE, type CloseReason } from "../../shared/close-codes.js";
import type { PendingConnection } from "../limits/pending-connections.js";
import type { UnfinishedBytes } from "../limits/unfinished-bytes.js";
import type { Beating, Heartbeats } from "./heartbeats.js";
import { IncomingFrames, isOneMessage } from "./incoming-frames.js";
import { closeFrame, parseFrame, readSimple } from "./sockjs-framing.js";
import { READY_STATE, TRANSPORT, type Transport, type TransportListener } from "./transport.js";
import { type ConnectionTransport, WebSocketConnection } from "./websocket-connection.js";
import { encodeFrames, type Framing, frameTexts, Message } from "./websocket-frames.js";
import type { WriteBatch, WriteBatcher } from "./write-batcher.js";

/** The part of a server that its WebSockets of one framing share. */
export interface WebSocketParts {
  readonly framing: Framing;
  readonly prefix: string;
  readonly writeBatcher: WriteBatcher;
  /** Absent where they are off. */
  readonly heartbeats: Heartbeats | undefined;
  readonly unfinishedBytes: UnfinishedBytes;
  /** The bytes that a client may still send once it has been told to go. */
  readonly bytesAfterClose: number;
  /** Told what a listener of the application has thrown. */
  readonly onError: (context: string, error: unknown) => void;
}

/** The frames that open SockJS's session, and that say from time to time that it is there. */
const OPEN_FRAME = encodeFrames([new Message("o")], "plain");
const HEARTBEAT_FRAME = encodeFrames([new Message("h")], "plain");

/** The close code and reason of an end without a cause, as SockJS has them. */
const NORMAL_CODE = 1000;
const NORMAL_REASON = "Normal closure";

/** The close code and reason for a message that is no JSON, as SockJS has them. */
const BROKEN_FRAMING = { code: 3000, reason: "Broken framing." } as const;

/** The transport over a WebSocket of `ws`, plain or in SockJS's framing. */
export class WebSocketTransport implements Transport, ConnectionTransport, Beating {
  readonly socket: WebSocketConnection;
  readonly #parts: WebSocketParts;
  readonly #pending: PendingConnection;
  // both are let go of at the end, since the application may keep the connection for long
  #webSocket: WebSocket | undefined;
  #tcp: Duplex | undefined;
  #listener: TransportListener | undefined;
  #state: number = READY_STATE.open;
  /** The messages that are sent at the end of this turn of the event loop. */
  #batch: WriteBatch | undefined;
  /** The frames that have begun to come; absent between two messages. */
  #frames: IncomingFrames | undefined;
  /** The bytes of them that count as a stranger's. */
  #unfinished = 0;
  /** The bytes that came after the end. */
  #late = 0;
  /** The bytes that the client had taken when that was last looked at. */
  #taken = 0;
  #isStranger = true;
  /** Whether frames go by `ws`, which compresses them. */
  readonly #isCompressed: boolean;
  /** Whether nothing is read, since the client takes nothing. */
  #isPaused = false;
  /** Whether the client has sent anything since that was last looked at. */
  #hasSpoken = false;

  /** Opens a connection for the application over a WebSocket that has just been accepted. */
  constructor(
    webSocket: WebSocket,
    tcp: Duplex,
    req: IncomingMessage,
    pending: PendingConnection,
    parts: WebSocketParts,
  ) {
    this.#parts = parts;
    this.#pending = pending;
    this.#webSocket = webSocket;
    this.#tcp = tcp;
    this.#isCompressed = webSocket.extensions !== "";
    this.socket = new WebSocketConnection(this, req, parts, pending.data);
    setTransport(webSocket, this);
    setTransport(tcp, this);
    webSocket.on("message", WebSocketTransport.#onMessage);
    webSocket.on("error", WebSocketTransport.#onError);
    webSocket.on("close", WebSocketTransport.#onClose);
    // before the reader of the WebSocket, which takes the masks off in place
    tcp.prependListener("data", WebSocketTransport.#onBytes);
    if (parts.framing === "sockjs") this.#say("o", OPEN_FRAME);
    parts.heartbeats?.add(this);
  }

  get isTaken(): boolean {
    return this.#listener !== undefined;
  }

  listen(listener: TransportListener): void {
    this.#listener = listener;
  }

  get readyState(): number {
    return this.#state;
  }

  get address(): object | undefined {
    return (this.#tcp as Partial<Socket> | undefined)?.address?.();
  }

  get backlog(): number {
    const unsent = this.#isCompressed ? this.#webSocket?.bufferedAmount : this.#tcp?.writableLength;
    return (this.#batch?.length ?? 0) + (unsent ?? 0);
  }

  write(frame: string): void {
    this.#batch = this.#parts.writeBatcher.add(this, this.#batch, frame);
    if (this.#batch.isFull) this.flush();
  }

  flush(): boolean {
    const batch = this.#batch;
    if (!batch) return false;
    this.#batch = undefined;
    // an application may have put something around it, through which each message goes
    if (this.socket.write !== WebSocketConnection.prototype.write) this.#writeEach(batch.messages);
    else if (this.#isCompressed) this.#sendTexts(batch.texts(this.#parts.framing));
    else this.#writeBytes(batch.written(this.#parts.framing));
    return true;
  }

  #writeEach(messages: readonly string[]): void {
    for (const message of messages) {
      try {
        this.socket.write(message);
      } catch (error) {
        // neither the other messages nor the close that they come before are to suffer
        this.#parts.onError("a socket could not be written to", error);
      }
    }
  }

  writeByHand(message: string): boolean {
    this.flush();
    if (!this.#isOpen) return false;
    const { framing } = this.#parts;
    const messages = [new Message(message)];
    if (this.#isCompressed) this.#sendTexts(frameTexts(messages, framing));
    else this.#writeBytes(encodeFrames(messages, framing));
    return true;
  }

  /** Whether frames may be written. The client may have closed although nobody has been told yet. */
  get #isOpen(): boolean {
    // Stryker disable next-line OptionalChaining: it is there until its end has been told
    return this.#state === READY_STATE.open && this.#webSocket?.readyState === WebSocket.OPEN;
  }

  /**
   * Writes ready-made frames between those of `ws`, which writes each of its own in one go as well. A text has one character
   * for each byte.
   */
  #writeBytes(bytes: Buffer | string): void {
    // Stryker disable next-line OptionalChaining: what is open has its TCP connection
    if (this.#isOpen && this.#tcp?.write(bytes, "latin1") === false) this.#pause();
  }

  #sendTexts(texts: readonly string[]): void {
    if (!this.#isOpen) return;
    // Stryker disable next-line OptionalChaining: what is open has its WebSocket
    for (const text of texts) this.#webSocket?.send(text);
    // Stryker disable next-line OptionalChaining: and its TCP connection
    if (this.#tcp?.writableNeedDrain) this.#pause();
  }

  /** Says something of SockJS's own, which is a frame that is ready. */
  #say(text: string, frame: Buffer): void {
    if (this.#isCompressed) this.#sendTexts([text]);
    else this.#writeBytes(frame);
  }

  /** Reads no more of a client that takes nothing, until it does. */
  #pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    // Stryker disable next-line OptionalChaining: what is written to is open
    this.#webSocket?.pause();
    // Stryker disable next-line OptionalChaining: what is written to is open
    this.#tcp?.once("drain", WebSocketTransport.#onDrain);
  }

  #resume(): void {
    this.#isPaused = false;
    this.#webSocket?.resume();
  }

  authenticated(): void {
    this.#isStranger = false;
    this.#hold(0);
    this.#pending.authenticated();
  }

  showsLife(): boolean {
    const tcp = this.#tcp as Partial<Socket> | undefined;
    const taken = (tcp?.bytesWritten ?? 0) - (tcp?.writableLength ?? 0);
    // what it sends is not read while it takes too little; that it takes something is as good
    const shows = this.#hasSpoken || (this.#isPaused && taken > this.#taken);
    this.#hasSpoken = false;
    this.#taken = taken;
    return shows;
  }

  askForLife(): boolean {
    if (!this.#isOpen) return false;
    if (this.#parts.framing === "sockjs") this.#say("h", HEARTBEAT_FRAME);
    // Stryker disable next-line OptionalChaining: what is open has its WebSocket
    this.#webSocket?.ping();
    return true;
  }

  vanish(): void {
    if (this.#listener) this.#listener.terminate(CLOSE.vanished);
    else this.end(CLOSE.vanished.code, CLOSE.vanished.reason);
  }

  close({ code, reason }: CloseReason): void {
    // by way of what an application may have put around it
    this.socket.close(code, reason);
  }

  terminate(reason: CloseReason): void {
    // what it has not taken, and does not, goes with its TCP connection, after the time for a farewell
    this.close(reason);
  }

  end(code = NORMAL_CODE, reason = NORMAL_REASON): boolean {
    if (this.#state !== READY_STATE.open) return false;
    this.flush();
    const webSocket = this.#webSocket;
    // Stryker disable next-line OptionalChaining: what has not ended has its WebSocket
    if (this.#parts.framing === "plain") webSocket?.close(code, reason);
    else {
      this.#sendTexts([closeFrame(code, reason)]);
      // Stryker disable next-line OptionalChaining: as before
      webSocket?.close(NORMAL_CODE, NORMAL_REASON);
    }
    // its answer is to be read
    this.#resume();
    this.#leave();
    // as soon as SockJS tells of it
    if (this.#parts.framing === "sockjs") this.#tellEnd();
    return true;
  }

  static readonly #onMessage = function (this: WebSocket, data: Buffer, isBinary: boolean): void {
    transportOf(this).#read(data, isBinary);
  };

  #read(data: Buffer, isBinary: boolean): void {
    if (!this.#isOpen) return;
    // bytes are no frame of SockJS, and no message either
    if (isBinary) return this.#deliver(data, data.length);
    if (this.#parts.framing === "plain") return this.#deliver(data.toString(), data.length);
    const simple = readSimple(data);
    if (simple !== undefined) return this.#deliver(simple, simple.length);
    const messages = parseFrame(data.toString());
    if (!messages) {
      // Stryker disable next-line OptionalChaining: what is open has its WebSocket
      this.#webSocket?.close(BROKEN_FRAMING.code, BROKEN_FRAMING.reason);
      return this.#leave();
    }
    if (messages.length === 0) this.#listener?.countFrames(1);
    for (const message of messages) this.#deliver(message);
  }

  /** Hands a message to the server and to the application's own listeners. */
  #deliver(message: unknown, knownBytes?: number): void {
    // one before it may have ended the connection
    if (!this.#isOpen) return;
    this.#emit("data", message);
    this.#listener?.receive(message, knownBytes);
  }

  static readonly #onBytes = function (this: Duplex, chunk: Buffer): void {
    transportOf(this).#follow(chunk);
  };

  /** Takes note of what comes, before it is read. */
  #follow(chunk: Buffer): void {
    this.#hasSpoken = true;
    if (!this.#isOpen) return this.#followLate(chunk.length);
    // Stryker disable next-line ConditionalExpression: it is only quicker, for nearly all that comes
    if (!this.#frames && isOneMessage(chunk)) return;
    this.#frames ??= new IncomingFrames();
    const frames = this.#frames;
    const overhead = frames.read(chunk);
    this.#hold(frames.unfinished);
    // Stryker disable next-line ConditionalExpression: between two messages they are as new, and only take memory
    if (!frames.isUnderWay) this.#frames = undefined;
    // once its reader has seen it, too
    // Stryker disable next-line ConditionalExpression: what has ended otherwise has been told so
    if (frames.closes) process.nextTick(WebSocketTransport.#leaveIfClosed, this, frames.closeCode);
    if (overhead > 0) this.#listener?.countFrames(overhead);
  }

  /** A client that was told to go may still send what was under way, and no more. */
  #followLate(bytes: number): void {
    this.#late += bytes;
    if (this.#late > this.#parts.bytesAfterClose) this.#tcp?.destroy();
  }

  /** Takes note of a stranger's bytes that wait for their end. */
  #hold(bytes: number): void {
    const before = this.#unfinished;
    const after = this.#isStranger ? bytes : 0;
    this.#unfinished = after;
    if (!this.#parts.unfinishedBytes.change(before, after)) return;
    this.close(CLOSE.messageTooLarge);
    // the bytes go with the TCP connection
    // Stryker disable next-line OptionalChaining: what is open has its TCP connection
    (this.#tcp as Partial<Socket> | undefined)?.destroySoon?.();
  }

  static #leaveIfClosed(transport: WebSocketTransport, code: number | undefined): void {
    if (transport.#isOpen) return;
    // sockjs-client gives what code it likes, also when it comes back
    transport.#leave(code === NORMAL_CODE && transport.#parts.framing === "plain");
  }

  static readonly #onDrain = function (this: Duplex): void {
    transportOf(this).#resume();
  };

  /** The client has broken the protocol, or its TCP connection was reset; `ws` closes. */
  static readonly #onError = function (this: WebSocket): void {
    transportOf(this).#leave();
  };

  static readonly #onClose = function (this: WebSocket): void {
    const transport = transportOf(this);
    transport.#leave();
    transport.#tellEnd();
  };

  /** Ends the connection for the server. The client may still be there, and has the time for a farewell. */
  #leave(isForGood = false): void {
    if (this.#state !== READY_STATE.open) return;
    this.#state = READY_STATE.closing;
    this.#parts.heartbeats?.delete(this);
    this.#listener?.ended(isForGood);
  }

  /** Tells the application of the end, once. */
  #tellEnd(): void {
    // Stryker disable next-line OptionalChaining: it is let go of here
    if (this.#webSocket?.readyState === WebSocket.CLOSED) this.#letGo();
    if (this.#state === READY_STATE.closed) return;
    this.#state = READY_STATE.closed;
    this.#emit("end");
    this.#emit("close");
  }

  /** Lets go of a TCP connection that is gone. */
  #letGo(): void {
    this.#webSocket = undefined;
    this.#tcp = undefined;
    this.#frames = undefined;
    this.#hold(0);
    this.#pending.leave();
  }

  #emit(...event: [name: "end" | "close"] | [name: "data", message: unknown]): void {
    const [name, message] = event;
    try {
      if (name === "data") this.socket.emit(name, message);
      else this.socket.emit(name);
    } catch (error) {
      this.#parts.onError(`a listener for "${name}" of a connection failed`, error);
    }
  }
}

/** By it `ws` and TCP connections lead to their transport, so that thousands of them share their listeners. */
interface Carrier {
  [TRANSPORT]: WebSocketTransport;
}

function setTransport(carrier: object, transport: WebSocketTransport): void {
  (carrier as Carrier)[TRANSPORT] = transport;
}

function transportOf(carrier: object): WebSocketTransport {
  return (carrier as Carrier)[TRANSPORT];
}
