import { DisconnectedError } from "../../shared/call-errors.js";
import {
  encodeLost,
  encodeRecovered,
  encodeSubscribed,
  encodeUnsubscribed,
  type JoinRequest,
} from "../../shared/frame-encoders.js";
import { formatPosition, type Position } from "../../shared/position.js";
import {
  ALL_CHANNEL,
  encodeJson,
  isChannelName,
  isObject,
  isReservedChannel,
  type JsonObject,
  type Start,
  SYNC_CHANNEL,
} from "../../shared/protocol.js";
import { UNAVAILABLE } from "../../shared/refusals.js";
import { compareClocks } from "../auth/expiry.js";
import type { Histories } from "../history/histories.js";
import type { HistoryReader } from "../history/log-reader.js";
import type { Loss } from "../history/loss.js";
import { PAGES, type Recovered, recover } from "../history/recovery.js";
import type { Limits } from "../limits/limits.js";
import { TurnScheduler } from "../limits/turn-scheduler.js";
import type { Broker } from "../redis/broker.js";
import { type Entry, type Kept, parseEnvelope } from "../redis/history-log.js";
import { ChannelSubscriptions, type ChannelSubscriptionsParts } from "./channel-subscriptions.js";
import { Delivery, type DeliveryParts } from "./delivery.js";
import { Exceptions } from "./exceptions.js";
import { Memberships, type Subscriber } from "./membership.js";

/** The parts of the server that pub/sub needs. */
export interface PubSubParts<Auth> extends ChannelSubscriptionsParts, DeliveryParts<Auth> {
  readonly publisher: Broker;
  /** Absent where no channel has a history. */
  readonly histories: Histories | undefined;
  readonly limits: Limits;
  /** Called after a socket has joined or left a channel. */
  readonly onMembership: (
    event: "subscribed" | "unsubscribed",
    connection: Subscriber<Auth>,
    channel: string,
  ) => void;
  /** Called after a socket has recovered messages. */
  readonly onRecovered: (connection: Subscriber<Auth>, channel: string, messages: number) => void;
  /** Called for a command between servers. */
  readonly onCommand: (message: JsonObject) => void;
  /** Called when what servers tell each other is heard, for the first time or again. */
  readonly onHearing: () => void;
}

/** What a client wants that joins a channel with history. */
export interface Wish {
  readonly start?: Start | undefined;
  /** The time, in milliseconds since 1970, before which it gets nothing of the past. */
  readonly from?: number | undefined;
  /** Called when it has recovered, before what comes live. */
  readonly onDone?: (recovered: Recovered) => void;
}

/** A join that is done. */
export interface Recovery {
  /**
   * Absent where nothing is recovered. Resolves when it is, with false where the socket has left or begun anew meanwhile;
   * rejects where Redis cannot be read.
   */
  readonly done: Promise<boolean> | undefined;
}

const NO_WISH: Wish = {};

const NOBODY_BEHIND: ReadonlyMap<object, unknown> = new Map();

/** Carries messages between Redis and the sockets of this server. */
export class PubSub<Auth> {
  readonly #parts: PubSubParts<Auth>;
  /** The sockets and their channels; joining and leaving go through the methods below. */
  readonly memberships: Memberships<Subscriber<Auth>>;
  readonly #subscriptions: ChannelSubscriptions;
  readonly #delivery: Delivery<Auth>;
  readonly #exceptions = new Exceptions();
  /** The turns that recoveries share. */
  readonly #turns = new TurnScheduler(PAGES);
  #closed = false;

  constructor(parts: PubSubParts<Auth>) {
    this.#parts = parts;
    this.memberships = new Memberships(parts.limits.channelsPerSocket);
    this.#subscriptions = new ChannelSubscriptions(parts, this.#onPayload);
    this.#delivery = new Delivery(parts);
  }

  /** Whether there is a client for subscriptions. */
  get enabled(): boolean {
    return this.#parts.subscriber !== undefined;
  }

  /** Whether any channel has a history. */
  get hasHistory(): boolean {
    return this.#parts.histories !== undefined && this.enabled;
  }

  /** Subscribes to what servers tell each other; does nothing where pub/sub is off. */
  async start(): Promise<void> {
    const { subscriber } = this.#parts;
    if (!subscriber) return;
    await subscriber.ready();
    await Promise.all([
      subscriber.subscribe(this.#redisChannel(ALL_CHANNEL), this.#onBroadcast),
      subscriber.subscribe(this.#redisChannel(SYNC_CHANNEL), this.#onSync),
    ]);
    subscriber.onReturn(this.#parts.onHearing);
    this.#parts.onHearing();
  }

  /** The number of servers that hear commands by the same connection as this one. */
  get sharing(): number {
    return this.#parts.subscriber?.listeners(this.#redisChannel(SYNC_CHANNEL)) ?? 0;
  }

  /** Tells all servers something; resolves with the number of connections that it has gone to. */
  broadcastCommand(json: string): Promise<number> {
    return this.#parts.publisher.publish(this.#redisChannel(SYNC_CHANNEL), json);
  }

  /** The names of the channels that sockets of this server have joined. */
  channels(): string[] {
    return this.memberships.channels();
  }

  /** This server's sockets in a channel. */
  members(channel: string): ReadonlySet<Subscriber<Auth>> {
    return this.memberships.members(channel);
  }

  /** Publishes; resolves when Redis has taken the message. `data` is checked and encoded at once. */
  publish(channel: string, data: unknown, id?: string, except?: string): Promise<Kept | undefined> {
    return this.publishJson(channel, encodeJson(data), id, except);
  }

  /**
   * Publishes a message that is encoded, for all but the socket of this server whose `sid` is given; resolves with what has
   * become of it where its channel has a history.
   */
  publishJson(channel: string, json: string, id?: string, except?: string): Promise<Kept | undefined> {
    return (
      this.#parts.histories?.publish(channel, json, id, except) ?? this.#publishPlain(channel, json, except)
    );
  }

  async #publishPlain(channel: string, json: string, except: string | undefined): Promise<undefined> {
    const forget = except === undefined ? undefined : this.#exceptions.add(channel, json, except);
    try {
      await this.#parts.publisher.publish(this.#redisChannel(channel), json);
    } catch (error) {
      forget?.();
      throw error;
    }
  }

  /** Publishes on every channel that a socket of some server has joined. */
  async broadcast(data: unknown): Promise<void> {
    await this.publish(ALL_CHANNEL, data);
  }

  /**
   * Lets a socket join; resolves when Redis has confirmed and the client has been told, with the recovery of what it has
   * missed where it recovers anything. A channel that is in force already is joined at once.
   */
  join(
    connection: Subscriber<Auth>,
    channel: string,
    request?: JoinRequest,
    wish = NO_WISH,
  ): Recovery | Promise<Recovery> {
    return this.#inOrder(connection, channel, () => {
      const isNew = !this.memberships.has(connection, channel);
      const acquiring = isNew ? this.#acquire(channel) : undefined;
      if (!acquiring) return this.#enter(connection, channel, request, wish, isNew);
      return this.#enterAcquired(acquiring, connection, channel, request, wish);
    });
  }

  async #enterAcquired(
    acquiring: Promise<void>,
    connection: Subscriber<Auth>,
    channel: string,
    request: JoinRequest | undefined,
    wish: Wish,
  ): Promise<Recovery> {
    const join = this.memberships.beginJoin(connection, channel, false);
    try {
      await acquiring;
    } finally {
      this.memberships.endJoin(join);
    }
    if (!connection.closed && !this.#closed) return this.#enter(connection, channel, request, wish, true);
    this.#subscriptions.release(channel);
    throw new DisconnectedError();
  }

  #enter(
    connection: Subscriber<Auth>,
    channel: string,
    request: JoinRequest | undefined,
    wish: Wish,
    isNew: boolean,
  ): Recovery {
    this.memberships.add(connection, channel, request !== undefined);
    const isBounded = this.memberships.hasRequested(connection, channel);
    this.memberships.setFrom(connection, channel, isBounded ? wish.from : undefined);
    connection.send(encodeSubscribed(channel, request));
    // before anybody else may publish
    const done = request && this.#recover(connection, channel, wish);
    // a later join of the server's is no return
    const since = connection.takePosition(channel);
    if (!request && isNew) this.#recoverGranted(connection, channel, since);
    if (isNew) this.#parts.onMembership("subscribed", connection, channel);
    return { done };
  }

  /** Begins to bring a socket up to where a channel is, where it has asked for that. */
  #recover(
    connection: Subscriber<Auth>,
    channel: string,
    { start, onDone }: Wish,
  ): Promise<boolean> | undefined {
    const { histories, limits } = this.#parts;
    const live = histories?.live(channel);
    if (!live || !start || !connection.wantsHistory) return undefined;
    return recover(live, connection, start, this.#turns, limits.recoverMessages, {
      send: (entry) => this.#delivery.deliverKeptTo(connection, channel, entry),
      lose: (loss, at) => this.#tellLoss([connection], channel, loss, at),
      done: (recovered) => {
        onDone?.(recovered);
        if (recovered.recovered > 0) this.#parts.onRecovered(connection, channel, recovered.recovered);
      },
    });
  }

  #tellLoss(members: Iterable<Subscriber<Auth>>, channel: string, loss: Loss, at: Position): void {
    const frame = encodeLost(channel, loss, formatPosition(at));
    for (const member of members) {
      member.send(frame);
      this.#parts.onLost(member, channel, loss);
    }
  }

  /** Likewise, where the server has joined it to the channel: from the position on that its client has told. */
  #recoverGranted(connection: Subscriber<Auth>, channel: string, since: Position | undefined): void {
    const tell = (recovered: object) => connection.send(encodeRecovered(channel, recovered));
    this.#recover(connection, channel, { start: since ? { since } : "now", onDone: tell })?.catch(
      (error: unknown) => {
        this.#parts.reporter.outage("the history of a channel could not be read", error);
        tell({ recovered: 0, error: { ...UNAVAILABLE } });
      },
    );
  }

  /** Lets a socket leave, and tells the client, also where it had not joined. */
  async leave(connection: Subscriber<Auth>, channel: string): Promise<void> {
    await this.#inOrder(connection, channel, () => {
      const joined = this.memberships.has(connection, channel);
      if (joined) this.#remove(connection, channel);
      connection.send(encodeUnsubscribed(channel));
      if (joined) this.#parts.onMembership("unsubscribed", connection, channel);
    });
  }

  /** Lets a socket leave; a join on which guards decide is decided anew. */
  expel(connection: Subscriber<Auth>, channel: string): Promise<void> {
    this.memberships.overrule(channel, connection);
    return this.leave(connection, channel);
  }

  /** Lets a socket leave a channel that its client has joined itself, and tells the client why. */
  async revoke(connection: Subscriber<Auth>, channel: string, error: unknown): Promise<void> {
    await this.#inOrder(connection, channel, () => {
      if (!this.memberships.hasRequested(connection, channel)) return;
      this.#remove(connection, channel);
      connection.send(encodeUnsubscribed(channel, connection.protocol, error));
      this.#parts.onMembership("unsubscribed", connection, channel);
    });
  }

  /** Forgets a socket that has closed. */
  leaveAll(connection: Subscriber<Auth>): void {
    for (const channel of Object.keys(connection.channels)) {
      this.#remove(connection, channel);
      this.#parts.onMembership("unsubscribed", connection, channel);
    }
  }

  /** Sends a message to one socket, through the filter; says whether it was sent. Throws for what is no JSON. */
  send(connection: Subscriber<Auth>, channel: string, message: unknown): boolean {
    return !connection.closed && this.#delivery.deliverTo(connection, channel, encodeJson(message));
  }

  /** Ends all subscriptions; resolves when Redis has confirmed. */
  async close(): Promise<void> {
    this.#closed = true;
    const { subscriber, reporter, histories } = this.#parts;
    histories?.shutdown();
    if (!subscriber) return;
    const servers = [
      [ALL_CHANNEL, this.#onBroadcast],
      [SYNC_CHANNEL, this.#onSync],
    ] as const;
    await Promise.all([
      this.#subscriptions.close(),
      ...servers.map(([channel, listener]) =>
        subscriber
          .unsubscribe(this.#redisChannel(channel), listener)
          .catch((error: unknown) => reporter.debug(() => `unsubscribing at shutdown failed: ${error}`)),
      ),
    ]);
  }

  #redisChannel(channel: string): string {
    return this.#parts.channelPrefix + channel;
  }

  /** Joins and leaves of one socket and channel happen in the order in which they were asked for. */
  #inOrder<T>(connection: Subscriber<Auth>, channel: string, act: () => T | Promise<T>): T | Promise<T> {
    return this.memberships.run(connection, channel, () => {
      if (connection.closed) throw new DisconnectedError();
      return act();
    });
  }

  #remove(connection: Subscriber<Auth>, channel: string): void {
    this.memberships.remove(connection, channel);
    this.#parts.histories?.live(channel)?.behind.delete(connection);
    this.#subscriptions.release(channel);
  }

  #acquire(channel: string): Promise<void> | undefined {
    if (!this.enabled) throw pubSubIsOff();
    return this.#subscriptions.acquire(channel);
  }

  /** Lets the sockets of this server leave a channel. */
  async emptyHere(channel: string): Promise<void> {
    this.memberships.overrule(channel);
    // a leave comes after the join that waits
    const members = this.memberships.membersToBe(channel);
    await Promise.allSettled(members.map((connection) => this.leave(connection, channel)));
  }

  #deliver(channel: string, json: string, except?: string): void {
    compareClocks();
    this.#delivery.deliver(this.memberships.members(channel), channel, json, except);
  }

  /** Delivers a message of a channel with history to its members that are not behind. */
  deliverKept(channel: string, entry: Entry): void {
    compareClocks();
    const behind = this.#parts.histories?.live(channel)?.behind ?? NOBODY_BEHIND;
    this.#delivery.deliverKept(this.memberships.members(channel), behind, channel, entry);
  }

  /** Tells the members of a channel that have asked for positions that messages are lost; those that are behind find out. */
  lose(channel: string, loss: Loss, at: Position): void {
    const behind = this.#parts.histories?.live(channel)?.behind ?? NOBODY_BEHIND;
    const isTold = (member: Subscriber<Auth>) => member.wantsHistory && !behind.has(member);
    this.#tellLoss([...this.memberships.members(channel)].filter(isTold), channel, loss, at);
  }

  /** Gives what one socket may have of a message, as JSON; undefined for nothing. */
  filtered(connection: Subscriber<Auth>, channel: string, json: string): string | undefined {
    return this.#delivery.filtered(connection, channel, json);
  }

  /** Gives the reader of a channel's history; undefined where there is none. */
  reader(channel: string): HistoryReader | undefined {
    const { histories } = this.#parts;
    return histories?.live(channel) ?? histories?.reader(channel);
  }

  /** The listener of all channels, of which there may be a hundred thousand. */
  readonly #onPayload = (payload: string, redisChannel: string): void => {
    const channel = redisChannel.slice(this.#parts.channelPrefix.length);
    const kept = parseEnvelope(payload);
    const live = kept && this.#parts.histories?.live(channel);
    if (live) live.receive(kept);
    else if (kept) this.#deliver(channel, kept.json, kept.except);
    else this.#deliver(channel, toJson(payload), this.#exceptions.take(channel, payload));
  };

  readonly #onBroadcast = (payload: string): void => {
    const json = toJson(payload);
    for (const channel of this.memberships.channels()) this.#deliver(channel, json);
  };

  readonly #onSync = (payload: string): void => {
    const message = parseSync(payload);
    if (message) return this.#parts.onCommand(message);
    this.#parts.reporter.error("pub/sub", malformedCommand());
  };
}

/** The error of a request where there is no client for subscriptions. */
export function pubSubIsOff(): Error {
  return new Error("Pub/sub is off: the server has no pubsubClient");
}

/** Throws a `TypeError` unless a channel's name may be used by the server's own methods. */
export function checkChannel(channel: unknown, limits: Limits): asserts channel is string {
  if (!isChannelName(channel, limits)) {
    throw new TypeError(
      `channel must be a well-formed string of 1 to ${limits.channelNameLength} characters (limits.channelNameLength)`,
    );
  }
  if (isReservedChannel(channel)) throw new TypeError(`The channel ${JSON.stringify(channel)} is reserved`);
}

/** A payload is JSON, or plain text from a service that does not speak it. */
function toJson(payload: string): string {
  try {
    JSON.parse(payload);
    return payload;
  } catch {
    return JSON.stringify(payload);
  }
}

/** Names what is wrong with a command of another server. */
export function malformedCommand(): Error {
  return new Error("A command from another server is malformed");
}

/** A command by its name; servers that are newer may have others. */
function parseSync(payload: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(payload);
    return isObject(value) && typeof value.command === "string" ? value : undefined;
  } catch {
    return undefined;
  }
}
