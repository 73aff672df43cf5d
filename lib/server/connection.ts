import { CLOSE, type CloseReason } from "../shared/close-codes.js";
import {
  CallError,
  DisconnectedError,
  errorForWire,
  FUNCTION_NOT_FOUND,
  failureForWire,
  INTERNAL_ERROR,
  isRpcError,
  type Outcome,
  RemoteError,
  RpcError,
} from "../shared/errors.js";
import { type CallOptions, PendingCalls } from "../shared/pending-calls.js";
import {
  type ClientFrame,
  encodeAccepted,
  encodeCall,
  encodeErrorReply,
  encodeReply,
  INVALID_MESSAGE_REPLY,
  isReservedChannel,
  PROTOCOL,
  parseClientFrame,
  type RequestHead,
} from "../shared/protocol.js";
import type { Access, Verdict } from "./access.js";
import type { Dispatcher } from "./dispatcher.js";
import type { ServerEvents } from "./events.js";
import type { RunningRoute } from "./express-routes.js";
import { Lanes } from "./lanes.js";
import type { Limits } from "./options.js";
import type { PubSub } from "./pubsub.js";
import type { Reporter } from "./reporter.js";
import type { Identity, Socket } from "./socket.js";
import type { SockJSTransport } from "./sockjs.js";
import { isToken, type TokenStore } from "./token-store.js";

/** What a connection needs of the server that it belongs to. */
export interface ConnectionParts<Auth> {
  readonly ping: boolean;
  readonly exposeErrors: boolean;
  readonly limits: Limits;
  readonly tokens: TokenStore<Auth>;
  readonly access: Access;
  readonly dispatcher: Dispatcher<Auth>;
  readonly pubsub: PubSub<Auth>;
  readonly reporter: Reporter;
  /** Tells the application of something that has happened. */
  readonly notify: <E extends "authenticated" | "published" | "broadcasted">(
    event: E,
    ...args: ServerEvents<Auth>[E]
  ) => void;
  /** Called when a connection that is in presents another token. */
  readonly onAuthenticating: (connection: Connection<Auth>) => void;
  /** Called when a connection is in. */
  readonly onAuthenticated: (connection: Connection<Auth>) => void;
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
type ChannelFrame = Extract<ClientFrame, { type: "subscribe" | "unsubscribe" | "publish" }>;
type BroadcastFrame = Extract<ClientFrame, { type: "broadcast" }>;

/** A call of the client's that has not been answered yet. */
interface ClientCall {
  readonly uuid: string | number | undefined;
  isSettled: boolean;
  /** Absent while the listeners decide. */
  running: RunningRoute | undefined;
  settle(outcome: Outcome): void;
}

const CANCELLED: Outcome = {
  status: "error",
  error: new RpcError("The call was aborted", { code: "aborted" }),
};

/** One client's connection: its state, and what is done with each frame that it sends. */
export class Connection<Auth> {
  readonly #parts: ConnectionParts<Auth>;
  readonly #transport: SockJSTransport;
  #state: State = "connecting";
  #protocol: 3 | typeof PROTOCOL = 3;
  #identified = false;
  /** Frames that came while authenticating, and their bytes in sum. */
  #waiting: { readonly frame: ClientFrame; readonly bytes: number }[] = [];
  #waitingBytes = 0;
  /** Made when needed, so that an idle connection costs little. */
  #calls: PendingCalls | undefined;
  #clientCalls: Set<ClientCall> | undefined;
  #requests: Lanes | undefined;
  /** How many messages Redis has been given and has not taken yet. */
  #publishing = 0;
  #memberships: Lanes | undefined;

  constructor(transport: SockJSTransport, parts: ConnectionParts<Auth>) {
    this.#transport = transport;
    this.#parts = parts;
    transport.listen(
      (message) => this.receive(message),
      () => this.#end(),
    );
  }

  /** What the application knows the connection as. Its identity is there once a token has been redeemed. */
  get socket(): Socket<Auth> {
    return this.#transport.socket as Socket<Auth>;
  }

  get channels(): Record<string, true> {
    return this.#transport.socket.channels as Record<string, true>;
  }

  get closed(): boolean {
    return this.#state === "closed";
  }

  /** Whether a token has been redeemed, so that the application may use the connection. */
  get identified(): boolean {
    return this.#identified && !this.closed;
  }

  /** Joins and leaves, in order for each channel. */
  get memberships(): Lanes {
    this.#memberships ??= new Lanes();
    return this.#memberships;
  }

  /** Sends a frame; does nothing once closed. */
  send(frame: string): void {
    if (!this.closed) this.#transport.write(frame);
  }

  /** Closes the connection and forgets all about it, at once. */
  close(reason: CloseReason): void {
    if (this.closed) return;
    this.#parts.reporter.debug(() => `closing ${this.socket.sid}: ${reason.code} ${reason.reason}`);
    this.#transport.close(reason);
    this.#end();
  }

  /** Called when the connection has not authenticated in time. */
  expire(): void {
    this.close(CLOSE.authenticationTimeout);
  }

  /** Calls the client's function. Rejects with a `CallError`, or with a `TypeError` for arguments that are no JSON. */
  async call(command: string, args: unknown, options: CallOptions): Promise<unknown> {
    if (this.closed) throw new DisconnectedError();
    if (!this.#identified) throw new CallError("The socket has not authenticated", "unauthenticated");
    this.#calls ??= new PendingCalls();
    return this.#calls.add(options, (fid) => this.send(encodeCall(fid, command, args)));
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
    if (this.closed) return;
    const frame = parseClientFrame(message, this.#parts.limits);
    if (this.#state === "connecting") return this.#begin(frame);
    // the application may be waiting for just this answer before it accepts the client
    if (this.#state === "open" || frame.type === "answer") return this.#handle(frame);
    this.#wait(frame, typeof message === "string" ? Buffer.byteLength(message) : 0);
  }

  /** The first frame has to authenticate; what is no frame at all gets another chance. */
  #begin(frame: ClientFrame): void {
    if (frame.type === "auth" || frame.type === "invalidMessage") return this.#handle(frame);
    this.#forbid(frame.head);
  }

  #handle(frame: ClientFrame): void {
    switch (frame.type) {
      case "invalidMessage":
        return this.send(INVALID_MESSAGE_REPLY);
      case "invalidRequest":
        return this.#refuse(frame.head, "Invalid request");
      case "auth":
        if (frame.token === undefined) return this.#forbid(frame.head);
        this.#authenticate(frame).catch((error: unknown) => {
          this.#parts.reporter.error("authentication failed", error);
          this.close(CLOSE.unavailable);
        });
        return;
      case "call":
        return this.#call(frame);
      case "ping":
        if (!this.#parts.ping) return this.#refuse(frame.head, FUNCTION_NOT_FOUND);
        return this.send(encodeReply(frame.head, { message: "pong" }));
      case "subscribe":
      case "unsubscribe":
      case "publish":
        if (isReservedChannel(frame.channel)) return this.#refuse(frame.head, "Forbidden");
        if (this.#admits(frame.head)) this.#lanes.run(frame.channel, () => this.#onChannel(frame));
        return;
      case "broadcast":
        if (this.#admits(frame.head)) this.#lanes.runAll(() => this.#onBroadcast(frame));
        return;
      case "cancel":
        return this.#cancel(frame);
      case "answer":
        if (frame.answer.ok) this.#calls?.resolve(frame.fid, frame.answer.data);
        else this.#calls?.reject(frame.fid, new RemoteError(frame.answer.error));
        return;
    }
  }

  #wait(frame: ClientFrame, bytes: number): void {
    const { framesWaiting, bytesWaiting } = this.#parts.limits;
    this.#waitingBytes += bytes;
    if (this.#waiting.length >= framesWaiting || this.#waitingBytes > bytesWaiting) {
      return this.close(CLOSE.tooManyFrames);
    }
    this.#waiting.push({ frame, bytes });
  }

  async #authenticate({ head, token, protocol }: AuthFrame): Promise<void> {
    const { tokens, access, reporter } = this.#parts;
    const isFirst = !this.#identified;
    this.#state = "authenticating";
    if (!isFirst) this.#parts.onAuthenticating(this);
    if (!isToken(token)) return this.close(CLOSE.invalidToken);
    let identity: Identity<Auth> | undefined;
    try {
      identity = await tokens.redeem(token);
    } catch (error) {
      reporter.error("redeeming a token failed", error);
      return this.close(CLOSE.unavailable);
    }
    if (this.closed) return;
    if (!identity) {
      this.#refuse(head, "Token not found");
      return this.close(CLOSE.tokenNotFound);
    }
    // a first identity is there for the listeners to use; a further one replaces it only when they have accepted
    if (isFirst) this.#identify(identity);
    const verdict = await access.authenticate(this.socket, identity.auth);
    if (this.closed) return;
    if (!verdict.allowed) return this.close(CLOSE.forbidden);
    if (!isFirst) {
      // what the client asked for before it asked for this is decided under its old identity
      await new Promise<void>((resolve) => this.#lanes.runAll(resolve));
      if (this.closed) return;
      this.#identify(identity);
    }
    this.#open(head, protocol);
  }

  #identify({ auth, host, ip, ips }: Identity<Auth>): void {
    Object.assign(this.#transport.socket, { auth, host, ip, ips });
    this.#identified = true;
  }

  #open(head: RequestHead, protocol: 3 | typeof PROTOCOL): void {
    this.#state = "open";
    this.#protocol = protocol;
    this.send(encodeAccepted(head, protocol));
    this.#parts.reporter.debug(() => `${this.socket.sid} has authenticated`);
    this.#parts.onAuthenticated(this);
    this.#parts.notify("authenticated", this.socket);
    this.#serveWaiting();
  }

  #serveWaiting(): void {
    // one of them may be another `auth` frame, for which the rest goes on waiting
    while (this.#state === "open") {
      const next = this.#waiting.shift();
      if (!next) return;
      this.#waitingBytes -= next.bytes;
      this.#handle(next.frame);
    }
  }

  #call({ head, path, data }: CallFrame): void {
    this.#parts.reporter.debug(() => `${this.socket.sid} calls ${nameOf(head)}`);
    const { access, dispatcher } = this.#parts;
    const { socket } = this;
    const { auth } = socket;
    const request = { rpc: path, req: data };
    const call: ClientCall = {
      uuid: head.uuid,
      isSettled: false,
      running: undefined,
      settle: (outcome) => {
        if (call.isSettled) return;
        call.isSettled = true;
        this.#clientCalls?.delete(call);
        this.#settle(head, path, outcome);
      },
    };
    const proceed = (verdict: Verdict) => {
      if (this.closed || call.isSettled) return;
      if (!verdict.allowed) return call.settle({ status: "error", error: verdict.error });
      call.running = dispatcher.dispatch({ path, data: request.req, socket, auth }, call.settle);
    };
    const verdict = access.decide("rpc", socket, request);
    if (verdict instanceof Promise) void verdict.then(proceed);
    else proceed(verdict);
    if (call.isSettled) return;
    this.#clientCalls ??= new Set();
    this.#clientCalls.add(call);
  }

  /** Ends a call that the client does not wait for any more. Clients of version 3 know nothing of that. */
  #cancel(frame: CancelFrame): void {
    const { head, req, call: uuid } = frame;
    if (this.#protocol !== PROTOCOL) return this.#call({ type: "call", head, path: "_cancel", data: req });
    for (const call of this.#clientCalls ?? []) {
      if (call.uuid === undefined || call.uuid !== uuid) continue;
      call.settle(CANCELLED);
      call.running?.abort();
    }
    if (head.uuid !== undefined) this.send(encodeReply(head, "success"));
  }

  #settle(head: RequestHead, path: string, outcome: Outcome): void {
    const { reporter, exposeErrors } = this.#parts;
    if (outcome.status === "error") return this.#refuse(head, errorForWire(outcome.error));
    if (outcome.status === "failure") {
      if (!isRpcError(outcome.error)) {
        reporter.error(`${JSON.stringify(path)} failed`, outcome.error);
      }
      return this.#refuse(head, failureForWire(outcome.error, exposeErrors));
    }
    let frame: string;
    try {
      frame = encodeReply(head, outcome.value);
    } catch (error) {
      reporter.error(`the result of ${JSON.stringify(path)} is no JSON`, error);
      return this.#refuse(head, failureForWire(error, exposeErrors));
    }
    this.send(frame);
  }

  get #lanes(): Lanes {
    this.#requests ??= new Lanes();
    return this.#requests;
  }

  /** Whether a channel request can be taken on; it has been answered where not. */
  #admits(head: RequestHead): boolean {
    if (!this.#parts.pubsub.enabled) this.#refuse(head, "Pub/sub is off");
    else if (this.#lanes.waiting + this.#publishing >= this.#parts.limits.framesWaiting) {
      this.#refuse(head, "Too many requests");
    } else return true;
    return false;
  }

  #onChannel(frame: ChannelFrame): void | Promise<void> {
    const { access, pubsub } = this.#parts;
    const { type, head, channel } = frame;
    const request = type === "publish" ? { channel, data: frame.data } : { channel };
    return this.#decided(access.decide(type, this.socket, request), head, () => {
      switch (type) {
        case "subscribe":
          return this.#carryOut(head, pubsub.join(this, channel, { ...head, req: frame.req }));
        case "unsubscribe":
          return this.#carryOut(head, pubsub.leave(this, channel));
        case "publish":
          return this.#publish(
            head,
            () => pubsub.publish(channel, request.data),
            () => this.#parts.notify("published", this.socket, { channel, data: request.data }),
          );
      }
    });
  }

  #onBroadcast({ head, data }: BroadcastFrame): void | Promise<void> {
    const { access, pubsub } = this.#parts;
    const request = { data };
    return this.#decided(access.decide("broadcast", this.socket, request), head, () =>
      this.#publish(
        head,
        () => pubsub.broadcast(request.data),
        () => this.#parts.notify("broadcasted", this.socket, request),
      ),
    );
  }

  /** Goes on when the listeners allow it; at once where there are none. */
  #decided(
    verdict: Verdict | Promise<Verdict>,
    head: RequestHead,
    allowed: () => void | Promise<void>,
  ): void | Promise<void> {
    if (verdict instanceof Promise) return verdict.then((decided) => this.#decided(decided, head, allowed));
    if (this.closed) return;
    if (!verdict.allowed) return this.#refuse(head, verdict.error);
    return allowed();
  }

  /** Hands a message to Redis. What comes next need not wait: the Redis client keeps the order. */
  #publish(head: RequestHead, publish: () => Promise<void>, then: () => void): void {
    let publishing: Promise<void>;
    try {
      publishing = publish();
    } catch (error) {
      this.#parts.reporter.error("a publish listener has left a message that is no JSON", error);
      return this.#refuse(head, INTERNAL_ERROR);
    }
    this.#publishing++;
    void this.#carryOut(head, publishing.then(then)).then(() => {
      this.#publishing--;
    });
  }

  /** Acknowledges to a client that asked for it, or tells the client that it did not work. */
  async #carryOut(head: RequestHead, done: Promise<void>): Promise<void> {
    try {
      await done;
    } catch (error) {
      if (this.closed) return;
      this.#parts.reporter.error("Redis has not carried out what a client asked for", error);
      return this.#refuse(head, "Service unavailable");
    }
    if (this.#protocol === PROTOCOL && head.uuid !== undefined) this.send(encodeReply(head, "success"));
  }

  #refuse(head: RequestHead, error: unknown): void {
    // not the error: the application may have put anything there
    this.#parts.reporter.debug(() => `${this.socket.sid} was refused ${nameOf(head)}`);
    this.send(encodeErrorReply(head, error));
  }

  #forbid(head: RequestHead): void {
    this.#refuse(head, "Forbidden");
    this.close(CLOSE.forbidden);
  }

  #end(): void {
    if (this.closed) return;
    this.#state = "closed";
    this.#waiting = [];
    this.#calls?.rejectAll(() => new DisconnectedError(true));
    for (const { running } of this.#clientCalls ?? []) running?.abort();
    this.#parts.pubsub.leaveAll(this);
    this.#parts.onClosed(this);
  }
}

/** A request's name for the log; a client may send anything there, and as much as it likes. */
function nameOf({ rpc }: RequestHead): string {
  return typeof rpc === "string" ? JSON.stringify(rpc.slice(0, LONGEST_NAME)) : "a request without a name";
}

const LONGEST_NAME = 100;
