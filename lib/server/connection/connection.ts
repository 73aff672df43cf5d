import { DisconnectedError, UnauthorizedError } from "../../shared/call-errors.js";
import { CLOSE, type CloseReason } from "../../shared/close-codes.js";
import {
  encodeErrorReply,
  encodeJsonReply,
  encodeReply,
  INVALID_MESSAGE_REPLY,
  LEAVE,
  REFRESH,
} from "../../shared/frame-encoders.js";
import type { CallOptions } from "../../shared/pending-calls.js";
import type { Position } from "../../shared/position.js";
import {
  type AuthFrame,
  type ClientFrame,
  PROTOCOL,
  type Protocol,
  parseClientFrame,
  type RequestHead,
} from "../../shared/protocol.js";
import { FORBIDDEN, INVALID_REQUEST, NOT_FOUND } from "../../shared/refusals.js";
import { compareClocks } from "../auth/expiry.js";
import type { Membership } from "../channels/membership.js";
import { FrameRate } from "../limits/frame-rate.js";
import type { IdentityUsage } from "../limits/identity-usage.js";
import { requestName } from "../log/request-name.js";
import { IncomingCalls } from "../rpc/incoming-calls.js";
import { OutgoingCalls } from "../rpc/outgoing-calls.js";
import { type Droppable, SendQueue, type SendQueueOwner } from "../transport/send-queue.js";
import type { Socket } from "../transport/socket.js";
import type { Transport, TransportListener } from "../transport/transport.js";
import { Agreement, type FurtherFrame } from "./agreement.js";
import { type AuthenticatingConnection, Authentication, type ConnectionIdentity } from "./authentication.js";
import type { ChannelClient } from "./channel-client.js";
import { type ChannelFrame, ChannelRequests } from "./channel-requests.js";
import type { ConnectionParts } from "./connection-parts.js";
import { isDismissal } from "./dismissal.js";
import { bytesOf, type FrameHandler, FrameQueue, mayHandle } from "./frame-queue.js";

/**
 * - `connecting`: the first frame has not come
 * - `authenticating`: a token is being redeemed, or guards decide on its identity; frames wait
 * - `open`: frames are served
 * - `closed`: nothing comes in or goes out any more
 */
type State = "connecting" | "authenticating" | "open" | "closed";

/** One client's connection: its state, and the part of it that handles each frame. */
export class Connection<Auth>
  implements
    TransportListener,
    SendQueueOwner,
    FrameHandler,
    AuthenticatingConnection<Auth>,
    ChannelClient<Auth>
{
  readonly #parts: ConnectionParts<Auth>;
  readonly #transport: Transport;
  /** Its channels, as the application sees them. They are kept here as well, since it might put others in their place. */
  readonly channels: Record<string, true>;
  membership: Membership | undefined;
  isDismissed = false;
  /** The id by which it is found, and taken out again, whatever the application puts in its place on the socket. */
  readonly sid: string;
  #state: State = "connecting";
  readonly #agreement = new Agreement();
  identity: ConnectionIdentity | undefined;
  readonly rate: FrameRate;
  /** The fields below are made when they are needed, so that an idle connection costs little. */
  #frames: FrameQueue | undefined;
  #calls: OutgoingCalls | undefined;
  #clientCalls: IncomingCalls<Auth> | undefined;
  #channelRequests: ChannelRequests<Auth> | undefined;
  readonly #sendQueue: SendQueue;
  /** Whether the client is to be asked for a new identity once it is known what it speaks. */
  #isOutdated = false;
  /** A number that changes when the client's rights may have become others: then the guards are asked again. */
  rights = 0;
  /** Whether the client was asked to go. */
  #isLeaving = false;

  constructor(transport: Transport, parts: ConnectionParts<Auth>) {
    this.#transport = transport;
    this.sid = transport.socket.sid;
    this.channels = transport.socket.channels as Record<string, true>;
    this.#parts = parts;
    const { limits, waitingSendQueues } = parts;
    this.#sendQueue = new SendQueue(transport, limits.bufferedBytes, waitingSendQueues, this);
    this.rate = new FrameRate(limits);
    new Authentication(this, parts).begin();
    transport.listen(this);
  }

  /** The connection as the application knows it, with an identity once a token has been redeemed. */
  get socket(): Socket<Auth> {
    return this.#transport.socket as Socket<Auth>;
  }

  /** The version of the protocol that the client asked for. */
  get protocol(): Protocol {
    return this.#agreement.protocol;
  }

  get wantsHistory(): boolean {
    return this.#agreement.wantsHistory;
  }

  takePosition(channel: string): Position | undefined {
    return this.#agreement.takePosition(channel);
  }

  get closed(): boolean {
    return this.#state === "closed";
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  get usage(): IdentityUsage | undefined {
    return this.identity?.usage;
  }

  /** Whether it has an identity, so that the application may use it. */
  get identified(): boolean {
    return this.identity !== undefined && !this.closed;
  }

  /** Sends a frame, which may be dropped where that is said; does nothing once closed. */
  send(frame: string, droppable?: Droppable): void {
    if (!this.closed) this.#sendQueue.send(frame, droppable);
  }

  /** Resolves when the client has taken most of what was sent; undefined where it has. */
  whenDrained(): Promise<void> | undefined {
    return this.#sendQueue.whenDrained();
  }

  /** Asks the guards again for all that the client does by itself, and ends what they refuse. */
  #reviewRights(): void {
    this.rights++;
    this.#channelRequests?.review();
    this.#clientCalls?.review();
  }

  /** Asks the client for a new identity, where it knows how, and the guards about its channels. */
  refresh(): true {
    if (this.protocol === PROTOCOL) this.send(REFRESH);
    else if (this.#state === "authenticating") this.#isOutdated = true;
    this.#reviewRights();
    return true;
  }

  /** Answers a request with an error. */
  refuse(head: RequestHead, error: unknown): void {
    // not the error: the application may have put anything there
    this.#parts.reporter.debug(() => `${this.socket.sid} was refused ${requestName(head)}`);
    this.send(encodeErrorReply(head, error, this.protocol));
  }

  /** Closes the connection and forgets all about it, at once. */
  close(reason: CloseReason, how: "close" | "terminate" = "close"): void {
    if (this.closed) return;
    this.#parts.reporter.debug(() => `${how} ${this.socket.sid}: ${reason.code} ${reason.reason}`);
    this.isDismissed = isDismissal(reason);
    this.#transport[how](reason);
    this.ended();
  }

  leave(isOverdue: boolean): void {
    const knowsHow = this.protocol === PROTOCOL;
    const isIdle = (this.#frames?.isEmpty ?? true) && (this.#clientCalls?.isIdle ?? true);
    // a client that is to go has its own calls answered first, but makes no more of them, and answers none of the server's
    const mayGo = !this.#calls?.size && (isIdle || (knowsHow && isOverdue));
    if (!mayGo || this.#isLeaving) return;
    if (!knowsHow) return this.close(CLOSE.shutdown);
    this.#isLeaving = true;
    this.send(LEAVE);
  }

  terminate(reason: CloseReason): void {
    this.close(reason, "terminate");
  }

  /** Called when the connection has not authenticated in time. */
  expire(): void {
    this.close(CLOSE.authenticationTimeout);
  }

  /** Calls the client's function. Rejects with a `CallError`, or with a `TypeError` for arguments that are no JSON. */
  async call(command: string, args: unknown, options: CallOptions): Promise<unknown> {
    if (this.closed) throw new DisconnectedError();
    if (!this.identity) throw new UnauthorizedError("The socket has not authenticated");
    this.#calls ??= new OutgoingCalls(this.#parts.limits.callsInFlight, (frame) => this.send(frame));
    return this.#calls.call(command, args, options);
  }

  countFrames(frames: number): void {
    if (this.closed) return;
    this.usage?.charge(frames);
    // they cannot wait, so the client owes for them, within a bound
    if (!this.rate.charge(frames, this.#parts.limits.framesWaiting)) this.close(CLOSE.tooManyFrames);
  }

  /** Takes a message of the client. Never throws: SockJS would pass it on to whoever serves the request. */
  receive(message: unknown, knownBytes?: number): void {
    try {
      compareClocks();
      if (this.closed) return;
      const { messageBytes } = this.#parts.limits;
      const bytes = knownBytes ?? bytesOf(message, messageBytes);
      if (bytes > messageBytes) return this.close(CLOSE.messageTooLarge);
      const frame = parseClientFrame(message, this.#parts.limits);
      if (this.#state === "connecting") return this.#begin(frame, bytes);
      const isAnswer = frame.type === "answer";
      // the application may be waiting for just this answer before it accepts the client
      // Stryker disable next-line BooleanLiteral: what need not wait is served from the queue as well
      const mayPass = isAnswer || (this.isOpen && (this.#frames?.isEmpty ?? true));
      if (mayPass && mayHandle(this, bytes)) return this.handle(frame, bytes);
      this.#frames ??= new FrameQueue(this, this.#parts);
      this.#frames.add(message, bytes, isAnswer);
    } catch (error) {
      this.#parts.reporter.error("a frame could not be served", error);
    }
  }

  /** Handles a first frame, which has to authenticate; a message that is no frame gets another chance. */
  #begin(frame: ClientFrame, bytes: number): void {
    if (frame.type === "auth") return this.#authenticate(frame);
    if (frame.type !== "invalidMessage") return this.#forbid(frame.head);
    if (!mayHandle(this, bytes)) return this.close(CLOSE.tooManyFrames);
    this.send(INVALID_MESSAGE_REPLY);
  }

  /** Handles a frame; `bytes` is the length of its text. */
  handle(frame: ClientFrame, bytes: number): void {
    switch (frame.type) {
      case "invalidMessage":
        return this.send(INVALID_MESSAGE_REPLY);
      case "invalidRequest":
        return this.refuse(frame.head, INVALID_REQUEST);
      case "auth":
        return this.#authenticate(frame);
      case "call":
      case "cancel":
      case "credit":
        this.#clientCalls ??= new IncomingCalls(this, this.#parts);
        return this.#clientCalls.handle(frame, bytes);
      case "ping":
        if (!this.#parts.ping) return this.refuse(frame.head, NOT_FOUND);
        return this.send(encodeReply(frame.head, { message: "pong" }));
      case "subscribe":
      case "unsubscribe":
      case "publish":
      case "broadcast":
        return this.#channel(frame, bytes);
      case "history":
      case "presence":
        return this.#onFurther(frame, bytes);
      case "answer":
        return this.#calls?.settle(frame.fid, frame.answer);
    }
  }

  #onFurther(frame: FurtherFrame, bytes: number): void {
    const meant = this.#agreement.understand(frame, this.#parts);
    if (!meant) return this.refuse(frame.head, INVALID_REQUEST);
    if (meant.type === "call") return this.handle(meant, bytes);
    this.#channel(meant, bytes);
  }

  #channel(frame: ChannelFrame, bytes: number): void {
    this.#channelRequests ??= new ChannelRequests(this, this.#parts);
    this.#channelRequests.add(frame, bytes);
  }

  #authenticate(frame: AuthFrame): void {
    const { head, token } = frame;
    if (token === undefined) return this.#forbid(head);
    if (!this.#parts.tokenVerifier.accepts(token)) return this.close(CLOSE.invalidToken);
    this.#state = "authenticating";
    this.#agreement.prepare(frame, this.#parts);
    this.#present(frame, token).catch((error: unknown) => {
      this.#parts.reporter.error("authentication failed", error);
      this.close(CLOSE.unavailable);
    });
  }

  async #present(frame: AuthFrame, token: string): Promise<void> {
    const isFirst = !this.identity;
    const authentication = new Authentication(this, this.#parts);
    const refusal = await authentication.present(token, frame.nonce);
    if (this.closed) return;
    if (refusal?.error !== undefined) this.refuse(frame.head, refusal.error);
    if (refusal?.close) return this.close(refusal.close);
    if (this.closed) return;
    this.#state = "open";
    if (!refusal) {
      this.#open(frame, authentication);
      if (!isFirst) this.#reviewRights();
    }
    this.#frames?.serve();
  }

  #open(frame: AuthFrame, { expiresIn, isOutdated: isConcerned }: Authentication<Auth>): void {
    this.#transport.authenticated();
    // Stryker disable next-line OptionalChaining: who is let in has one
    const identity = { auth: this.socket.auth, key: this.identity?.key, expiresIn };
    this.send(this.#agreement.accept(frame, identity, this.#parts));
    const isOutdated = this.#isOutdated || isConcerned;
    if (isOutdated && this.protocol === PROTOCOL) this.send(REFRESH);
    this.#isOutdated = false;
    this.#parts.reporter.debug(() => `${this.socket.sid} has authenticated`);
    this.#parts.notify("authenticated", this.socket);
  }

  requestsDecided(): Promise<void> {
    return this.#channelRequests?.decided() ?? Promise.resolve();
  }

  /** Tells a client that asked for it that a request is done. */
  acknowledge(head: RequestHead): void {
    if (this.protocol === PROTOCOL && head.uuid !== undefined) this.send(encodeReply(head, "success"));
  }

  answer(head: RequestHead, json: string): void {
    if (head.uuid !== undefined) this.send(encodeJsonReply(head, json));
  }

  #forbid(head: RequestHead): void {
    this.refuse(head, FORBIDDEN);
    this.close(CLOSE.forbidden);
  }

  /** Forgets all about a connection that has closed; `isForGood` says that nobody expects its client back. */
  ended(isForGood = false): void {
    if (this.closed) return;
    this.#state = "closed";
    this.isDismissed ||= isForGood;
    this.#frames?.close();
    this.#sendQueue.close();
    this.#channelRequests?.close();
    this.#calls?.close();
    this.#clientCalls?.end();
    this.#parts.pubsub.leaveAll(this);
    new Authentication(this, this.#parts).end();
    this.#parts.onClosed(this.socket);
  }
}
