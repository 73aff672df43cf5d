import { DisconnectedError } from "../../shared/call-errors.js";
import {
  ALL_CHANNEL,
  encodeJson,
  encodeSubscribed,
  encodeUnsubscribed,
  isChannelName,
  isObject,
  isReservedChannel,
  type JsonObject,
  type RequestHead,
  SYNC_CHANNEL,
} from "../../shared/protocol.js";
import { compareClocks } from "../auth/expiry.js";
import type { Histories } from "../history/histories.js";
import type { Limits } from "../limits/limits.js";
import type { Broker } from "../redis/broker.js";
import { type Kept, parseEnvelope } from "../redis/history-log.js";
import { ChannelSubscriptions, type ChannelSubscriptionsParts } from "./channel-subscriptions.js";
import { Delivery, type DeliveryParts } from "./delivery.js";
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
  /** Called for a command between servers. */
  readonly onCommand: (message: JsonObject) => void;
  /** Called when what servers tell each other is heard, for the first time or again. */
  readonly onHearing: () => void;
}

/** Carries messages between Redis and the sockets of this server. */
export class PubSub<Auth> {
  readonly #parts: PubSubParts<Auth>;
  /** The sockets and their channels; joining and leaving go through the methods below. */
  readonly memberships: Memberships<Subscriber<Auth>>;
  readonly #subscriptions: ChannelSubscriptions;
  readonly #delivery: Delivery<Auth>;
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
  publish(channel: string, data: unknown, id?: string): Promise<Kept | undefined> {
    return this.publishJson(channel, encodeJson(data), id);
  }

  /** Publishes a message that is encoded; resolves with what has become of it where its channel has a history. */
  publishJson(channel: string, json: string, id?: string): Promise<Kept | undefined> {
    const { histories, publisher } = this.#parts;
    return (
      histories?.publish(channel, json, id) ??
      publisher.publish(this.#redisChannel(channel), json).then(() => undefined)
    );
  }

  /** Publishes on every channel that a socket of some server has joined. */
  async broadcast(data: unknown): Promise<void> {
    await this.publish(ALL_CHANNEL, data);
  }

  /** Lets a socket join; resolves when Redis has confirmed and the client has been told. */
  join(
    connection: Subscriber<Auth>,
    channel: string,
    request?: RequestHead & { req: JsonObject },
  ): Promise<void> {
    return this.#inOrder(connection, channel, async () => {
      const isNew = !this.memberships.has(connection, channel);
      if (isNew) {
        await this.#acquireFor(connection, channel);
        if (connection.closed || this.#closed) {
          this.#subscriptions.release(channel);
          throw new DisconnectedError();
        }
      }
      this.memberships.add(connection, channel, request !== undefined);
      connection.send(encodeSubscribed(channel, request));
      if (isNew) this.#parts.onMembership("subscribed", connection, channel);
    });
  }

  /** Lets a socket leave, and tells the client, also where it had not joined. */
  leave(connection: Subscriber<Auth>, channel: string): Promise<void> {
    return this.#inOrder(connection, channel, () => {
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
  revoke(connection: Subscriber<Auth>, channel: string, error: unknown): Promise<void> {
    return this.#inOrder(connection, channel, () => {
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
    const { subscriber, reporter } = this.#parts;
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
  #inOrder(connection: Subscriber<Auth>, channel: string, act: () => void | Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.memberships.run(connection, channel, () => {
        if (connection.closed) return reject(new DisconnectedError());
        try {
          const acting = act();
          if (acting) return acting.then(resolve, reject);
          resolve();
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  #remove(connection: Subscriber<Auth>, channel: string): void {
    this.memberships.remove(connection, channel);
    this.#subscriptions.release(channel);
  }

  async #acquireFor(connection: Subscriber<Auth>, channel: string): Promise<void> {
    if (!this.enabled) throw pubSubIsOff();
    const join = this.memberships.beginJoin(connection, channel, false);
    try {
      await this.#subscriptions.acquire(channel);
    } finally {
      this.memberships.endJoin(join);
    }
  }

  /** Lets the sockets of this server leave a channel. */
  async emptyHere(channel: string): Promise<void> {
    this.memberships.overrule(channel);
    // a leave comes after the join that waits
    const members = this.memberships.membersToBe(channel);
    await Promise.allSettled(members.map((connection) => this.leave(connection, channel)));
  }

  #deliver(channel: string, json: string): void {
    compareClocks();
    this.#delivery.deliver(this.memberships.members(channel), channel, json);
  }

  /** The listener of all channels, of which there may be a hundred thousand. */
  readonly #onPayload = (payload: string, redisChannel: string): void => {
    const kept = parseEnvelope(payload);
    this.#deliver(redisChannel.slice(this.#parts.channelPrefix.length), kept?.json ?? toJson(payload));
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
