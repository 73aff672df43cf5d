import type { Position } from "../../shared/position.js";
import type { Protocol } from "../../shared/protocol.js";
import type { IdentityUsage } from "../limits/identity-usage.js";
import type { Droppable } from "../transport/send-queue.js";
import type { Socket } from "../transport/socket.js";
import { KeyedQueue } from "./keyed-queue.js";

/** A client's connection, as channels need it. */
export interface Subscriber<Auth = unknown> {
  readonly socket: Socket<Auth>;
  /** The version of the protocol that the client asked for. */
  readonly protocol: Protocol;
  readonly closed: boolean;
  /** The channels that it has joined, as the application sees them; written by `Memberships`. */
  readonly channels: Record<string, true>;
  /** Further state of its channels, from its first join or leave on; written by `Memberships`. */
  membership: Membership | undefined;
  /** The usage that it shares with the other connections of its identity, if any. */
  readonly usage: IdentityUsage | undefined;
  /** Whether it has closed because its client's session has ended or was ended: it is not to be waited for. */
  readonly isDismissed: boolean;
  /** Whether the client has asked for the positions of messages, and for what it has missed. */
  readonly wantsHistory: boolean;
  /** Takes the position that the client has said it knows of a channel to which the server joins it. */
  takePosition(channel: string): Position | undefined;
  /** Sends a frame; `droppable` says how it may be dropped while it waits. */
  send(frame: string, droppable?: Droppable): void;
  /** Resolves when the client has taken most of what was sent; undefined where it has. */
  whenDrained(): Promise<void> | undefined;
}

/** The channels of one connection; see `Memberships`. */
export class Membership {
  /** The number of channels that it has joined. */
  joined = 0;
  /** The number of channels that its client is about to join. */
  reserved = 0;
  /** Those that the server has joined it to, which are not for the guards to revoke. */
  granted: Set<string> | undefined;
  /** The times, in milliseconds since 1970, before which it gets nothing of a channel's past. */
  from: Map<string, number> | undefined;
  /** Its joins and leaves, one after another in each channel. */
  readonly queue = new KeyedQueue();
}

/** A join that is under way. */
export interface PendingJoin<S> {
  readonly subscriber: S;
  readonly channel: string;
  /** Whether guards decide on it; otherwise Redis is asked to subscribe. */
  readonly isGuarded: boolean;
  /** Whether the channel was emptied, or the connection put out of it, meanwhile: then the guards have to decide again. */
  isOverruled: boolean;
}

/**
 * The memberships of this server: which connections are in which channels, by their client's or the server's doing, and which are about to
 * be. It is kept in both directions, so that leaving costs what the connection has and not what the server has. No I/O.
 */
export class Memberships<S extends Subscriber> {
  readonly #channels = new Map<string, Set<S>>();
  readonly #pending = new Map<string, Set<PendingJoin<S>>>();
  readonly #channelsPerSocket: number;

  constructor(channelsPerSocket: number) {
    this.#channelsPerSocket = channelsPerSocket;
  }

  /** The names of all channels with a member. */
  channels(): string[] {
    return [...this.#channels.keys()];
  }

  /** A channel's members, as they are now. */
  members(channel: string): ReadonlySet<S> {
    return this.#channels.get(channel) ?? NOBODY;
  }

  has(subscriber: S, channel: string): boolean {
    return subscriber.channels[channel] === true;
  }

  /** Says whether a client has joined a channel itself, and the server has not joined it as well. */
  hasRequested(subscriber: S, channel: string): boolean {
    return this.has(subscriber, channel) && !this.#of(subscriber).granted?.has(channel);
  }

  /** Adds a connection by its client's request or by the server's doing, which prevails where it is both. */
  add(subscriber: S, channel: string, isRequested: boolean): void {
    const membership = this.#of(subscriber);
    if (!this.has(subscriber, channel)) {
      const members = this.#channels.get(channel);
      if (members) members.add(subscriber);
      else this.#channels.set(channel, new Set([subscriber]));
      subscriber.channels[channel] = true;
      membership.joined++;
      count(subscriber, 1);
    }
    if (isRequested || membership.granted?.has(channel)) return;
    membership.granted ??= new Set();
    membership.granted.add(channel);
    count(subscriber, -1);
  }

  /** Says before which time a connection gets nothing of a channel's past; undefined for no bound. */
  setFrom(subscriber: S, channel: string, time: number | undefined): void {
    const membership = this.#of(subscriber);
    if (time === undefined) {
      membership.from?.delete(channel);
      return;
    }
    membership.from ??= new Map();
    membership.from.set(channel, time);
  }

  remove(subscriber: S, channel: string): void {
    const membership = this.#of(subscriber);
    membership.from?.delete(channel);
    const members = this.#channels.get(channel);
    // Stryker disable next-line OptionalChaining: the channel of a member has members
    members?.delete(subscriber);
    // Stryker disable next-line OptionalChaining: as before
    if (members?.size === 0) this.#channels.delete(channel);
    delete subscriber.channels[channel];
    membership.joined--;
    if (!membership.granted?.delete(channel)) count(subscriber, -1);
  }

  /** Reserves a place in one channel more for a client; says whether it may have one. */
  reserve(subscriber: S): boolean {
    const membership = this.#of(subscriber);
    const isFull = membership.joined + membership.reserved >= this.#channelsPerSocket;
    if (isFull || subscriber.usage?.hasRoom === false) return false;
    membership.reserved++;
    count(subscriber, 1);
    return true;
  }

  /** Ends a reservation; a client that has joined counts by itself. */
  release(subscriber: S): void {
    this.#of(subscriber).reserved--;
    count(subscriber, -1);
  }

  /** Runs a join or a leave after those of the same connection and channel that came before; gives what it gives. */
  run<T>(subscriber: S, channel: string, task: () => T | Promise<T>): T | Promise<T> {
    return this.#of(subscriber).queue.run(channel, task);
  }

  /** Notes that a join is under way, until `endJoin` is called. */
  beginJoin(subscriber: S, channel: string, isGuarded: boolean): PendingJoin<S> {
    const join: PendingJoin<S> = { subscriber, channel, isGuarded, isOverruled: false };
    const joins = this.#pending.get(channel);
    if (joins) joins.add(join);
    else this.#pending.set(channel, new Set([join]));
    return join;
  }

  endJoin(join: PendingJoin<S>): void {
    const joins = this.#pending.get(join.channel);
    // Stryker disable next-line OptionalChaining: a join that is under way is among those of its channel
    joins?.delete(join);
    // Stryker disable next-line OptionalChaining,ConditionalExpression: as before, and what is empty only takes memory
    if (joins?.size === 0) this.#pending.delete(join.channel);
  }

  /** Has the guards decide again on the joins of a channel, or on those of one connection. */
  overrule(channel: string, subscriber?: S): void {
    for (const join of this.#pending.get(channel) ?? []) {
      if (subscriber === undefined || join.subscriber === subscriber) join.isOverruled = true;
    }
  }

  /** The members of a channel, and those on whose joins nobody decides any more. */
  membersToBe(channel: string): S[] {
    const joins = [...(this.#pending.get(channel) ?? [])].filter(({ isGuarded }) => !isGuarded);
    return [...this.members(channel), ...joins.map(({ subscriber }) => subscriber)];
  }

  #of(subscriber: S): Membership {
    subscriber.membership ??= new Membership();
    return subscriber.membership;
  }
}

/** Counts a channel of a client's own doing towards those of its identity. */
function count({ usage }: Subscriber, channels: number): void {
  if (usage) usage.channels += channels;
}

const NOBODY: ReadonlySet<never> = new Set();
