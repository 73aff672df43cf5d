import { CallError, DisconnectedError, remoteError, UnauthorizedError } from "../../shared/call-errors.js";
import { CLOSE, type CloseReason } from "../../shared/close-codes.js";
import { errorForWire, failureForWire, type Outcome } from "../../shared/errors.js";
import { type CallOptions, PendingCalls } from "../../shared/pending-calls.js";
import {
  ALL_CHANNEL,
  type AskedIdentity,
  type ClientFrame,
  encodeAccepted,
  encodeCall,
  encodeErrorReply,
  encodeJson,
  encodeReply,
  INVALID_MESSAGE_REPLY,
  isReservedChannel,
  type JsonObject,
  LEAVE,
  PROTOCOL,
  type Protocol,
  parseClientFrame,
  REFRESH,
  type RequestHead,
  type ShownIdentity,
} from "../../shared/protocol.js";
import {
  BUSY,
  FORBIDDEN,
  INTERNAL_ERROR,
  INVALID_REQUEST,
  NOT_FOUND,
  PUBSUB_OFF,
  TOO_MANY_CHANNELS,
  UNAVAILABLE,
} from "../../shared/refusals.js";
import { compareClocks } from "../auth/expiry.js";
import type { VerifiedIdentity } from "../auth/identities.js";
import type { ChannelSchemas } from "../channels/channel-schemas.js";
import { KeyedQueue } from "../channels/keyed-queue.js";
import type { Membership, PendingJoin, Subscriber } from "../channels/membership.js";
import type { PubSub } from "../channels/pubsub.js";
import type { GuardEvents, ServerEvents } from "../events/events.js";
import { MOST_DECISIONS, type Verdict } from "../events/guards.js";
import { Review } from "../events/reviews.js";
import type { IdentityUsage } from "../limits/identity-usage.js";
import { type CallParts, ClientCalls } from "../rpc/client-calls.js";
import {
  type Droppable,
  SendQueue,
  type SendQueueOwner,
  type WaitingSendQueues,
} from "../transport/send-queue.js";
import type { Socket } from "../transport/socket.js";
import type { Transport, TransportListener } from "../transport/transport.js";
import { Authentication, type AuthenticationParts } from "./authentication.js";
import { bytesOf, type FrameHandler, FrameQueue } from "./frame-queue.js";

/** What a connection needs of the server that it belongs to. */
export interface ConnectionParts<Auth> extends CallParts<Auth>, AuthenticationParts<Auth> {
  readonly ping: boolean;
  /** Gives what a client that asks is told of its identity; `key` is what `identify` calls that. */
  readonly show: (auth: Auth, key: string | undefined, asked: AskedIdentity) => ShownIdentity;
  readonly channelSchemas: ChannelSchemas;
  readonly waitingSendQueues: WaitingSendQueues;
  readonly pubsub: PubSub<Auth>;
  /** Tells the application of something that has happened. */
  readonly notify: <E extends "authenticated" | "published" | "broadcasted">(
    event: E,
    ...args: ServerEvents<Auth>[E]
  ) => void;
  /** Says whether the application listens to such an event. */
  readonly hears: (event: "published" | "broadcasted") => boolean;
  /** Called once, when the connection has closed. */
  readonly onClosed: (connection: Connection<Auth>) => void;
}

/**
 * - `connecting`: the first frame has not come
 * - `authenticating`: a token is being redeemed, or listeners decide on its identity; frames wait
 * - `open`: frames are served
 * - `closed`: nothing comes in or goes out any more
 */
type State = "connecting" | "authenticating" | "open" | "closed";

type AuthFrame = Extract<ClientFrame, { type: "auth" }>;
type CallFrame = Extract<ClientFrame, { type: "call" }>;
type CancelFrame = Extract<ClientFrame, { type: "cancel" }>;
type CreditFrame = Extract<ClientFrame, { type: "credit" }>;
type MembershipFrame = Extract<ClientFrame, { type: "subscribe" | "unsubscribe" }>;
type PublishFrame = Extract<ClientFrame, { type: "publish" }>;
type BroadcastFrame = Extract<ClientFrame, { type: "broadcast" }>;

/** One client's connection: its state, and what is done with each frame that it sends. */
export class Connection<Auth> implements TransportListener, SendQueueOwner, FrameHandler, Subscriber<Auth> {
  readonly #parts: ConnectionParts<Auth>;
  readonly #transport: Transport;
  /** As the application sees them, too, but may not replace them: they are what has to be left. */
  readonly channels: Record<string, true>;
  membership: Membership | undefined;
  /** The id by which it is found, and taken out again, whatever the application puts in its place on the socket. */
  readonly sid: string;
  #state: State = "connecting";
  #protocol: Protocol = 3;
  readonly #authentication: Authentication<Auth>;
  readonly #frames: FrameQueue;
  /** Made when needed, so that an idle connection costs little. */
  #calls: PendingCalls | undefined;
  #clientCalls: ClientCalls<Auth> | undefined;
  #requests: KeyedQueue | undefined;
  /** The bytes of the channel requests that wait for guards or Redis. */
  #requestBytes = 0;
  /** How many messages Redis has been given and has not taken yet. */
  #publishing = 0;
  readonly #sendQueue: SendQueue;
  #review: Review<string> | undefined;
  /** How often its rights may have become others. */
  #rights = 0;
  /** Whether the client is to be asked for a new identity once it is known what it speaks. */
  #isOutdated = false;
  /** Whether the client was asked to go. */
  #isLeaving = false;

  constructor(transport: Transport, parts: ConnectionParts<Auth>) {
    this.#transport = transport;
    this.sid = transport.socket.sid;
    this.channels = transport.socket.channels as Record<string, true>;
    this.#parts = parts;
    this.#sendQueue = new SendQueue(
      this.#transport,
      parts.limits.bufferedBytes,
      parts.waitingSendQueues,
      this,
    );
    this.#frames = new FrameQueue(this, parts);
    this.#authentication = new Authentication(this, parts);
    this.#authentication.begin();
    transport.listen(this);
  }

  /** What the application knows the connection as. Its identity is there once a token has been redeemed. */
  get socket(): Socket<Auth> {
    return this.#transport.socket as Socket<Auth>;
  }

  /** What it speaks. */
  get protocol(): Protocol {
    return this.#protocol;
  }

  get closed(): boolean {
    return this.#state === "closed";
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  get identity(): VerifiedIdentity<Auth> | undefined {
    return this.#authentication.identity;
  }

  get usage(): IdentityUsage | undefined {
    return this.#authentication.usage;
  }

  /** Whether it has an identity, so that the application may use it. */
  get identified(): boolean {
    return this.identity !== undefined && !this.closed;
  }

  /** Since when its identity is known, by the steady clock. Without one it is known by its `sid` alone, which is never new. */
  get knownSince(): number {
    return this.identity?.issuedAt ?? Number.NEGATIVE_INFINITY;
  }

  /** Another number when its rights may have become others: what was decided before has to be asked about again. */
  get rights(): number {
    return this.#rights;
  }

  /** Sends a frame, which may be dropped where that is said; does nothing once closed. */
  send(frame: string, droppable?: Droppable): void {
    if (!this.closed) this.#sendQueue.send(frame, droppable);
  }

  /** Resolves when the client has taken most of what was sent; nothing where it has. */
  whenDrained(): Promise<void> | undefined {
    return this.#sendQueue.whenDrained();
  }

  /** Asks the guards again for all that the client does by itself, and ends what they refuse. */
  #reviewRights(): void {
    this.#rights++;
    this.#reviewChannels(Object.keys(this.channels));
    this.#clientCalls?.review();
  }

  /** Asks the guards again for those of these channels that the client has joined by itself. */
  #reviewChannels(channels: readonly string[]): void {
    const { memberships } = this.#parts.pubsub;
    const requested = channels.filter((channel) => memberships.hasRequested(this, channel));
    if (requested.length === 0) return;
    this.#review ??= new Review(
      (channel) => new Promise((resolve) => this.#lanes.run(channel, () => this.#ask(channel).then(resolve))),
    );
    this.#review.add(requested);
  }

  /** Asks the client for a new identity, where it knows how, and the listeners about its channels. */
  refresh(): true {
    if (this.#protocol === PROTOCOL) this.send(REFRESH);
    else if (this.#state === "authenticating") this.#isOutdated = true;
    this.#reviewRights();
    return true;
  }

  async #ask(channel: string): Promise<void> {
    const { access, pubsub, reporter } = this.#parts;
    if (this.closed || !pubsub.memberships.hasRequested(this, channel)) return;
    const verdict = await access.decide("subscribe", this.socket, { channel });
    if (verdict.allowed || this.closed) return;
    reporter.debug(() => `${this.socket.sid} may not stay in ${JSON.stringify(channel)}`);
    // that it has closed in the meantime is all that can go wrong
    await pubsub.revoke(this, channel, verdict.error).catch(() => {});
  }

  /** Answers a request with an error. */
  refuse(head: RequestHead, error: unknown): void {
    // not the error: the application may have put anything there
    this.#parts.reporter.debug(() => `${this.socket.sid} was refused ${nameOf(head)}`);
    this.send(encodeErrorReply(head, error, this.#protocol));
  }

  /** Closes the connection and forgets all about it, at once. */
  close(reason: CloseReason): void {
    if (this.closed) return;
    this.#parts.reporter.debug(() => `closing ${this.socket.sid}: ${reason.code} ${reason.reason}`);
    this.#transport.close(reason);
    this.ended();
  }

  leave(isOverdue: boolean): void {
    const knowsHow = this.#protocol === PROTOCOL;
    const isIdle = this.#frames.isEmpty && (this.#clientCalls?.isIdle ?? true);
    // a client that is to go has its own calls answered first, but makes no more of them, and answers none of the server's
    const mayGo = !this.#calls?.size && (isIdle || (knowsHow && isOverdue));
    if (!mayGo || this.#isLeaving) return;
    if (!knowsHow) return this.close(CLOSE.shutdown);
    this.#isLeaving = true;
    this.send(LEAVE);
  }

  vanish(): void {
    this.#terminate(CLOSE.vanished);
  }

  overflow(): void {
    this.#terminate(CLOSE.tooSlow);
  }

  /** Closes the connection of a client that takes nothing any more. */
  #terminate(reason: CloseReason): void {
    if (this.closed) return;
    this.#parts.reporter.debug(() => `terminating ${this.socket.sid}: ${reason.code} ${reason.reason}`);
    this.#transport.terminate(reason);
    this.ended();
  }

  /** Called when the connection has not authenticated in time. */
  expire(): void {
    this.close(CLOSE.authenticationTimeout);
  }

  /** Calls the client's function. Rejects with a `CallError`, or with a `TypeError` for arguments that are no JSON. */
  async call(command: string, args: unknown, options: CallOptions): Promise<unknown> {
    if (this.closed) throw new DisconnectedError();
    if (!this.identity) throw new UnauthorizedError("The socket has not authenticated");
    this.#calls ??= new PendingCalls();
    if (this.#calls.size >= this.#parts.limits.callsInFlight) {
      throw new CallError("Too many calls of this client are under way", "busy");
    }
    return this.#calls.add(options, (fid) => this.send(encodeCall(fid, command, args)));
  }

  countFrames(frames: number): void {
    if (!this.closed) this.#frames.charge(frames);
  }

  /** Takes what the client sent. Never throws: SockJS would pass it on to whoever serves the request. */
  receive(message: unknown): void {
    try {
      this.#receive(message);
    } catch (error) {
      this.#parts.reporter.error("a frame could not be served", error);
    }
  }

  #receive(message: unknown): void {
    compareClocks();
    if (this.closed) return;
    const { messageBytes } = this.#parts.limits;
    const bytes = bytesOf(message, messageBytes);
    if (bytes > messageBytes) return this.close(CLOSE.messageTooLarge);
    const frame = parseClientFrame(message, this.#parts.limits);
    if (this.#state === "connecting") return this.#begin(frame, bytes);
    this.#frames.add(frame, message, bytes);
  }

  /** The first frame has to authenticate; what is no frame at all gets another chance. */
  #begin(frame: ClientFrame, bytes: number): void {
    if (frame.type === "auth") return this.handle(frame, 0);
    if (frame.type !== "invalidMessage") return this.#forbid(frame.head);
    if (!this.#frames.admit(bytes)) return this.close(CLOSE.tooManyFrames);
    this.handle(frame, 0);
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
        return this.#call(frame, bytes);
      case "ping":
        if (!this.#parts.ping) return this.refuse(frame.head, NOT_FOUND);
        return this.send(encodeReply(frame.head, { message: "pong" }));
      case "subscribe":
      case "unsubscribe":
      case "publish":
        if (isReservedChannel(frame.channel)) return this.refuse(frame.head, FORBIDDEN);
        if (!this.#admits(frame.head, bytes)) return;
        this.#requestBytes += bytes;
        return this.#lanes.run(frame.channel, () =>
          this.#carefully(frame.head, bytes, () => this.#onChannel(frame)),
        );
      case "broadcast":
        if (!this.#admits(frame.head, bytes)) return;
        this.#requestBytes += bytes;
        return this.#lanes.runAll(() => this.#carefully(frame.head, bytes, () => this.#onBroadcast(frame)));
      case "cancel":
        return this.#cancel(frame, bytes);
      case "credit":
        return this.#grant(frame, bytes);
      case "answer":
        if (frame.answer.ok) this.#calls?.resolve(frame.fid, frame.answer.data);
        else this.#calls?.reject(frame.fid, remoteError(frame.answer.error));
        return;
    }
  }

  /** Carries a channel request out, which needs its data no more after that. Never throws or rejects. */
  #carefully(head: RequestHead, bytes: number, carryOut: () => void | Promise<void>): void | Promise<void> {
    const failed = (error: unknown) => {
      this.#parts.reporter.error("a channel request could not be served", error);
      this.refuse(head, INTERNAL_ERROR);
    };
    const letGo = () => {
      this.#requestBytes -= bytes;
    };
    try {
      const done = carryOut();
      if (done) return done.catch(failed).then(letGo);
    } catch (error) {
      failed(error);
    }
    letGo();
  }

  #authenticate(frame: AuthFrame): void {
    const { head, token } = frame;
    if (token === undefined) return this.#forbid(head);
    if (!this.#authentication.accepts(token)) return this.close(CLOSE.invalidToken);
    this.#state = "authenticating";
    this.#present(frame, token).catch((error: unknown) => {
      this.#parts.reporter.error("authentication failed", error);
      this.close(CLOSE.unavailable);
    });
  }

  async #present(frame: AuthFrame, token: string): Promise<void> {
    const isFirst = !this.identity;
    const refusal = await this.#authentication.present(token, frame.nonce);
    if (this.closed) return;
    if (refusal?.error !== undefined) this.refuse(frame.head, refusal.error);
    if (refusal?.close) return this.close(refusal.close);
    if (this.closed) return;
    this.#state = "open";
    if (!refusal) {
      this.#open(frame);
      if (!isFirst) this.#reviewRights();
    }
    this.#frames.serve();
  }

  #open({ head, protocol, limits, identity: asked }: AuthFrame): void {
    this.#transport.authenticated();
    // what was asked for once stays, since streams may be open
    if (protocol === PROTOCOL) this.#protocol = PROTOCOL;
    const messageBytes = limits && this.#parts.limits.messageBytes;
    const isTold = asked !== undefined && protocol === PROTOCOL;
    const shown = isTold ? this.#parts.show(this.socket.auth, this.identity?.key, asked) : undefined;
    this.send(encodeAccepted(head, protocol, this.#authentication.expiresIn, messageBytes, shown));
    const isOutdated = this.#isOutdated || this.#authentication.isOutdated;
    if (isOutdated && this.#protocol === PROTOCOL) this.send(REFRESH);
    this.#isOutdated = false;
    this.#parts.reporter.debug(() => `${this.socket.sid} has authenticated`);
    this.#parts.notify("authenticated", this.socket);
  }

  /** Resolves when the channel requests that have come so far are decided. */
  requestsDecided(): Promise<void> {
    return new Promise((resolve) => this.#lanes.runAll(resolve));
  }

  #call({ head, path, data }: CallFrame, bytes: number): void {
    this.#parts.reporter.debug(() => `${this.socket.sid} calls ${nameOf(head)}`);
    this.#clientCalls ??= new ClientCalls(this, this.#parts);
    this.#clientCalls.begin(head, path, data, bytes);
  }

  /** Ends a call that the client does not wait for any more. Clients of version 3 know nothing of that. */
  #cancel({ head, req, call }: CancelFrame, bytes: number): void {
    if (this.#protocol !== PROTOCOL)
      return this.#call({ type: "call", head, path: "_cancel", data: req }, bytes);
    this.#clientCalls?.cancel(call);
    this.#acknowledge(head);
  }

  /** Sends further items of a stream. Clients of version 3 have none. */
  #grant({ head, req, call, items }: CreditFrame, bytes: number): void {
    if (this.#protocol !== PROTOCOL)
      return this.#call({ type: "call", head, path: "_credit", data: req }, bytes);
    if (items === undefined) {
      this.#clientCalls?.endStream(call, INVALID_REQUEST);
      return this.refuse(head, INVALID_REQUEST);
    }
    this.#clientCalls?.grant(call, items);
    this.#acknowledge(head);
  }

  /** Tells a client that asked for it that what it wants is done. */
  #acknowledge(head: RequestHead): void {
    if (this.#protocol === PROTOCOL && head.uuid !== undefined) this.send(encodeReply(head, "success"));
  }

  get #lanes(): KeyedQueue {
    this.#requests ??= new KeyedQueue();
    return this.#requests;
  }

  /** Whether a channel request can be taken on; it has been answered where not. */
  #admits(head: RequestHead, bytes: number): boolean {
    const { framesWaiting, bytesWaiting } = this.#parts.limits;
    const count = this.#lanes.waiting + this.#publishing;
    const isFull = count >= framesWaiting || (count > 0 && this.#requestBytes + bytes > bytesWaiting);
    if (!this.#parts.pubsub.enabled) this.refuse(head, PUBSUB_OFF);
    else if (isFull) this.refuse(head, BUSY);
    else return true;
    return false;
  }

  #onChannel(frame: MembershipFrame | PublishFrame): void | Promise<void> {
    if (frame.type !== "publish") return this.#onMembership(frame);
    const checked = this.#parts.channelSchemas.check(frame.channel, frame.data);
    return checked instanceof Promise
      ? checked.then((outcome) => this.#onPublish(frame, outcome))
      : this.#onPublish(frame, checked);
  }

  #onMembership({ type, head, channel, req }: MembershipFrame): void | Promise<void> {
    const { pubsub } = this.#parts;
    const makeRequest = () => ({ channel });
    if (type === "unsubscribe") {
      return this.#decide(type, makeRequest, head, () => this.#carryOut(head, pubsub.leave(this, channel)));
    }
    const join = pubsub.memberships.beginJoin(this, channel, true);
    const joining = this.#decide(type, makeRequest, head, () => this.#join(head, channel, req), join);
    const end = () => pubsub.memberships.endJoin(join);
    if (joining) return joining.finally(end);
    end();
  }

  async #join(head: RequestHead, channel: string, req: JsonObject): Promise<void> {
    const { pubsub } = this.#parts;
    const isNew = !pubsub.memberships.has(this, channel);
    if (isNew && !pubsub.memberships.reserve(this)) return this.refuse(head, TOO_MANY_CHANNELS);
    const { rights } = this;
    await this.#carryOut(head, pubsub.join(this, channel, { ...head, req }));
    if (isNew) pubsub.memberships.release(this);
    // its right may have been lost while Redis was asked
    if (!this.closed && this.rights !== rights) this.#reviewChannels([channel]);
  }

  /** Publishes what the channel's schema has made of a message. */
  #onPublish({ head, channel }: PublishFrame, checked: Outcome): void | Promise<void> {
    const { pubsub, exposeErrors, reporter } = this.#parts;
    if (this.closed) return;
    if (checked.status === "error") return this.refuse(head, errorForWire(checked.error));
    if (checked.status === "failure") {
      reporter.error(`the schema of ${JSON.stringify(channel)} failed`, checked.error);
      return this.refuse(head, failureForWire(checked.error, exposeErrors));
    }
    const ask = () => ({ channel, data: checked.value });
    return this.#decide("publish", ask, head, (request) =>
      this.#publish(head, "published", request, (json) => pubsub.publishJson(channel, json)),
    );
  }

  #onBroadcast({ head, data }: BroadcastFrame): void | Promise<void> {
    const { pubsub } = this.#parts;
    const ask = () => ({ data });
    return this.#decide("broadcast", ask, head, (request) =>
      this.#publish(head, "broadcasted", request, (json) => pubsub.publishJson(ALL_CHANNEL, json)),
    );
  }

  /**
   * Goes on when the guards allow it; at once where there are none. They are asked again where the rights may have become
   * others while they decided.
   */
  #decide<E extends "subscribe" | "unsubscribe" | "publish" | "broadcast">(
    event: E,
    makeRequest: () => GuardEvents<Auth>[E][1],
    head: RequestHead,
    allowed: (request: GuardEvents<Auth>[E][1]) => void | Promise<void>,
    join: PendingJoin<Subscriber<Auth>> | undefined = undefined,
    times = 1,
  ): void | Promise<void> {
    const request = makeRequest();
    const { rights } = this;
    if (join) join.isOverruled = false;
    const goOn = (verdict: Verdict): void | Promise<void> => {
      if (this.closed) return;
      if (!verdict.allowed) return this.refuse(head, verdict.error);
      if (this.rights === rights && !join?.isOverruled) return allowed(request);
      if (times === MOST_DECISIONS) return this.refuse(head, BUSY);
      return this.#decide(event, makeRequest, head, allowed, join, times + 1);
    };
    const verdict = this.#parts.access.decide(event, this.socket, request);
    return verdict instanceof Promise ? verdict.then(goOn) : goOn(verdict);
  }

  /**
   * Hands a message to Redis, and keeps nothing of it but its text until Redis has taken it. What comes next need not wait,
   * since the Redis client keeps the order.
   */
  #publish(
    head: RequestHead,
    event: "published" | "broadcasted",
    { data, ...rest }: { readonly channel?: string; readonly data: unknown },
    publish: (json: string) => Promise<void>,
  ): void {
    const { hears, notify, reporter } = this.#parts;
    let json: string;
    try {
      json = encodeJson(data);
    } catch (error) {
      reporter.error("a publish listener has left a message that is no JSON", error);
      return this.refuse(head, INTERNAL_ERROR);
    }
    this.#publishing++;
    this.#requestBytes += json.length;
    const published = publish(json).then(() => {
      if (hears(event)) notify(event, this.socket, { ...rest, data: JSON.parse(json) } as never);
    });
    void this.#carryOut(head, published).then(() => {
      this.#publishing--;
      this.#requestBytes -= json.length;
    });
  }

  /** Acknowledges to a client that asked for it, or tells the client that it did not work. */
  async #carryOut(head: RequestHead, done: Promise<void>): Promise<void> {
    try {
      await done;
    } catch (error) {
      if (this.closed) return;
      this.#parts.reporter.error("Redis has not carried out what a client asked for", error);
      return this.refuse(head, UNAVAILABLE);
    }
    this.#acknowledge(head);
  }

  #forbid(head: RequestHead): void {
    this.refuse(head, FORBIDDEN);
    this.close(CLOSE.forbidden);
  }

  /** Forgets all about a connection that has closed. */
  ended(): void {
    if (this.closed) return;
    this.#state = "closed";
    this.#frames.close();
    this.#sendQueue.close();
    this.#review?.clear();
    this.#calls?.rejectAll(() => new DisconnectedError(true));
    this.#clientCalls?.end();
    this.#parts.pubsub.leaveAll(this);
    this.#authentication.end();
    this.#parts.onClosed(this);
  }
}

/** A request's name for the log; a client may send anything there, and as much as it likes. */
function nameOf({ rpc }: RequestHead): string {
  return typeof rpc === "string" ? JSON.stringify(rpc.slice(0, LONGEST_NAME)) : "a request without a name";
}

const LONGEST_NAME = 100;
