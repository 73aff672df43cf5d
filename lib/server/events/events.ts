import { EventEmitter } from "node:events";
import type { Callback } from "../../shared/answer.js";
import type { LossReason } from "../history/loss.js";
import type { PresenceMember } from "../presence/member.js";
import type { AnySocket, PendingSocket, Socket } from "../transport/socket.js";
import type { PublishedMessage, PublishRequest } from "./message-types.js";

/**
 * The guards, which decide on what a client asks for. Each gets `(socket, request, callback)` and answers by the
 * callback or by what it returns, as RPC functions do. An error or a falsy answer refuses; all must allow;
 * without a guard all is allowed.
 */
export interface GuardEvents<Auth, Messages = unknown> {
  /** Before an RPC function or route is looked up. */
  rpc: [socket: Socket<Auth>, request: { readonly rpc: string; req: unknown }, callback: Callback];
  /**
   * Before a client joins a channel, also when it comes back. The answer `{ from }`, a Date or milliseconds since 1970, allows
   * it, and keeps from it what the channel's history has of before.
   */
  subscribe: [socket: Socket<Auth>, request: { readonly channel: string }, callback: Callback];
  /** Before a client leaves a channel. */
  unsubscribe: [socket: Socket<Auth>, request: { readonly channel: string }, callback: Callback];
  /** Before a client publishes. What a guard puts into `data` is what is published. */
  publish: [socket: Socket<Auth>, request: PublishRequest<Messages>, callback: Callback];
  /** Before a client broadcasts. What a guard puts into `data` is what is broadcast. */
  broadcast: [socket: Socket<Auth>, request: { data: unknown }, callback: Callback];
  /**
   * Before a client reads a channel's history back. The answer may be `{ from }`, as for `subscribe`. Without such a guard a
   * client has to be in the channel, and what `subscribe` has answered holds.
   */
  history: [socket: Socket<Auth>, request: { readonly channel: string }, callback: Callback];
  /**
   * Before a client observes a channel's members, and again when its rights may have become others. Without such a guard a client
   * has to be in the channel. Who is a member is not for it to decide: that is who is in the channel.
   */
  presence: [socket: Socket<Auth>, request: { readonly channel: string }, callback: Callback];
}

/** Each event of the server with its listeners' arguments. */
export interface ServerEvents<Auth, Messages = unknown> extends GuardEvents<Auth, Messages> {
  /**
   * Before a client is told that it is in. Unlike the other guards it accepts by an answer of nothing:
   * `callback()`, or a promise of `undefined`. Other falsy answers refuse.
   */
  authentication: [socket: Socket<Auth>, auth: Auth, callback: Callback];

  /** A connection has opened; it has not authenticated yet. */
  connection: [socket: PendingSocket];
  /** A connection has authenticated, for the first time or with a new identity. */
  authenticated: [socket: Socket<Auth>];
  /** A connection has closed, from either side. One that had not authenticated has no `auth`. */
  disconnect: [socket: AnySocket<Auth>];
  /** A socket has joined a channel, by its own or the server's doing. */
  subscribed: [socket: Socket<Auth>, request: { readonly channel: string }];
  /** A socket has left a channel, by its own or the server's doing or because it has closed. */
  unsubscribed: [socket: Socket<Auth>, request: { readonly channel: string }];
  /** Redis has taken what a client published. */
  published: [socket: Socket<Auth>, request: PublishedMessage<Messages>];
  /** Redis has taken what a client broadcast. */
  broadcasted: [socket: Socket<Auth>, request: { readonly data: unknown }];
  /** A socket that came into a channel has got messages that it had missed; how many. */
  recovered: [socket: Socket<Auth>, recovery: { readonly channel: string; readonly messages: number }];
  /** Messages of a channel are lost to a socket that has asked for positions; null where it is not known how many. */
  lost: [
    socket: Socket<Auth>,
    loss: { readonly channel: string; readonly messages: number | null; readonly reason: LossReason },
  ];
  /**
   * An identity has become a member of a channel with presence. It and the two below are raised once for all servers, on the one
   * whose command has made the change, which for `left` may be any; not at all where that one ends just then.
   */
  joined: [channel: string, member: PresenceMember];
  /** A member has left: on purpose, or as it has not come back in time. */
  left: [channel: string, member: PresenceMember];
  /** A member has another `info` or `state`. */
  updated: [channel: string, member: PresenceMember];
  /** The token route and the subscriptions serve. */
  ready: [];
  /**
   * Something has failed that no caller was there to be told of: a Redis client's error, a guard or a listener that threw,
   * an answer that came too late. `context` says in words what it was. Without a listener it is logged, never
   * thrown.
   */
  error: [error: Error, context: string];
}

/** The events whose listeners answer nothing. */
export type NoticeEvent = Exclude<
  keyof ServerEvents<unknown>,
  keyof GuardEvents<unknown> | "authentication" | "error"
>;

/** The answer that a guard may return: anything but `undefined`. */
export type GuardAnswer = NonNullable<unknown> | null;

/** A listener for an event, or for any of several. */
type Listener<Args> = Args extends readonly unknown[] ? (...args: Args) => unknown : never;

/**
 * The type of a listener, beside {@link Listener}: a guard that does not declare the callback has to return its answer.
 * One that declares it may return what it likes.
 */
type Answers<Event, L> = Event extends keyof GuardEvents<unknown>
  ? L extends (...args: infer Args) => infer Returned
    ? Args extends readonly [] | readonly [unknown] | readonly [unknown, unknown]
      ? IsNothing<Awaited<Returned>> extends true
        ? (...args: Args) => Returned extends PromiseLike<unknown> ? PromiseLike<GuardAnswer> : GuardAnswer
        : unknown
      : unknown
    : unknown
  : unknown;

type IsNothing<T> = [T] extends [never] ? false : [Exclude<T, void>] extends [never] ? true : false;

/** An event emitter whose events, and what their listeners return, are known. */
export interface ServerEmitter<Auth, Messages> extends EventEmitter {
  on<Event extends keyof ServerEvents<Auth>, L extends Listener<ServerEvents<Auth, Messages>[Event]>>(
    event: Event,
    listener: L & Answers<Event, L>,
  ): this;
  once<Event extends keyof ServerEvents<Auth>, L extends Listener<ServerEvents<Auth, Messages>[Event]>>(
    event: Event,
    listener: L & Answers<Event, L>,
  ): this;
  addListener<
    Event extends keyof ServerEvents<Auth>,
    L extends Listener<ServerEvents<Auth, Messages>[Event]>,
  >(event: Event, listener: L & Answers<Event, L>): this;
  prependListener<
    Event extends keyof ServerEvents<Auth>,
    L extends Listener<ServerEvents<Auth, Messages>[Event]>,
  >(event: Event, listener: L & Answers<Event, L>): this;
  prependOnceListener<
    Event extends keyof ServerEvents<Auth>,
    L extends Listener<ServerEvents<Auth, Messages>[Event]>,
  >(event: Event, listener: L & Answers<Event, L>): this;
  off<Event extends keyof ServerEvents<Auth>>(
    event: Event,
    listener: Listener<ServerEvents<Auth, Messages>[Event]>,
  ): this;
  removeListener<Event extends keyof ServerEvents<Auth>>(
    event: Event,
    listener: Listener<ServerEvents<Auth, Messages>[Event]>,
  ): this;
  removeAllListeners(event?: keyof ServerEvents<Auth>): this;
  listenerCount(event: keyof ServerEvents<Auth>, listener?: (...args: never[]) => unknown): number;
}

export const ServerEmitter = EventEmitter as unknown as new <Auth, Messages>() => ServerEmitter<
  Auth,
  Messages
>;
