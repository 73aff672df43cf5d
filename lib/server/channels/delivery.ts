import { isThenable } from "../../shared/answer.js";
import { encodeKept, encodeLost, encodeMessage } from "../../shared/frame-encoders.js";
import { formatPosition } from "../../shared/position.js";
import { encodeJson } from "../../shared/protocol.js";
import type { Filter } from "../events/message-types.js";
import type { Loss } from "../history/loss.js";
import type { Reporter } from "../log/reporter.js";
import type { Entry } from "../redis/history-log.js";
import type { Droppable } from "../transport/send-queue.js";
import type { Subscriber } from "./membership.js";
import type { SlowReaders } from "./slow-readers.js";

/** The parts of the server that the delivery of messages needs. */
export interface DeliveryParts<Auth> {
  readonly filter: Filter<Auth> | undefined;
  readonly slowReaders: SlowReaders;
  readonly reporter: Reporter;
  /** Called when a socket is told that messages are lost. */
  readonly onLost: (connection: Subscriber<Auth>, channel: string, loss: Loss) => void;
}

/** A message of a channel with history, as its readers get it; encoded at most once for all who get the same. */
class EncodedEntry {
  readonly channel: string;
  readonly entry: Entry;
  readonly droppable: Droppable | undefined;
  #plain: string | undefined;
  #kept: string | undefined;

  constructor(channel: string, entry: Entry, droppable: Droppable | undefined) {
    this.channel = channel;
    this.entry = entry;
    this.droppable = droppable;
  }

  get plain(): string {
    this.#plain ??= encodeMessage(this.channel, this.entry.json);
    return this.#plain;
  }

  /** The same with its position. */
  get kept(): string {
    const { json, position, time } = this.entry;
    this.#kept ??= encodeKept(this.channel, json, formatPosition(position), time);
    return this.#kept;
  }
}

/** The delivery of messages to sockets of this server, through the filter where there is one. */
export class Delivery<Auth> {
  readonly #parts: DeliveryParts<Auth>;

  constructor(parts: DeliveryParts<Auth>) {
    this.#parts = parts;
  }

  /**
   * Sends a message, as JSON, to all members of a channel but one with the given `sid`. Without a filter it is encoded once for
   * all of them.
   */
  deliver(members: ReadonlySet<Subscriber<Auth>>, channel: string, json: string, except?: string): void {
    const { filter, slowReaders } = this.#parts;
    if (members.size === 0) return;
    if (filter) {
      for (const member of members) {
        if (!isLeftOut(member, except)) this.#deliverFiltered(filter, member, channel, json);
      }
      return;
    }
    const frame = encodeMessage(channel, json);
    const droppable = slowReaders.droppable(channel, json);
    for (const member of members) if (!isLeftOut(member, except)) member.send(frame, droppable);
  }

  /**
   * Sends a message of a channel with history to its members, but for those that are behind: with its position to those who
   * have asked for that.
   */
  deliverKept(
    members: ReadonlySet<Subscriber<Auth>>,
    behind: ReadonlyMap<object, unknown>,
    channel: string,
    entry: Entry,
  ): void {
    const encoded = this.#encode(channel, entry);
    for (const member of members) {
      // Stryker disable next-line ConditionalExpression: it is only quicker
      if (behind.size === 0 || !behind.has(member)) this.#deliverEntry(member, encoded);
    }
  }

  /** Sends such a message to one socket; says whether it was sent. */
  deliverKeptTo(subscriber: Subscriber<Auth>, channel: string, entry: Entry): boolean {
    return this.#deliverEntry(subscriber, this.#encode(channel, entry));
  }

  #encode(channel: string, entry: Entry): EncodedEntry {
    const { filter, slowReaders } = this.#parts;
    // with a filter each reader has its own
    return new EncodedEntry(channel, entry, filter ? undefined : slowReaders.droppable(channel, entry.json));
  }

  #deliverEntry(subscriber: Subscriber<Auth>, encoded: EncodedEntry): boolean {
    const { channel, entry, droppable } = encoded;
    const { filter } = this.#parts;
    const from = subscriber.membership?.from?.get(channel) ?? 0;
    if (entry.time < from || isLeftOut(subscriber, entry.except)) return false;
    if (filter) return this.#deliverFiltered(filter, subscriber, channel, entry.json, entry);
    if (subscriber.wantsHistory) {
      subscriber.send(encoded.kept, droppable && this.#told(droppable, subscriber, channel, entry));
    } else {
      subscriber.send(encoded.plain, droppable);
    }
    return true;
  }

  /** Sends a message to one socket; says whether it was sent. */
  deliverTo(subscriber: Subscriber<Auth>, channel: string, json: string): boolean {
    const { filter, slowReaders } = this.#parts;
    if (filter) return this.#deliverFiltered(filter, subscriber, channel, json);
    subscriber.send(encodeMessage(channel, json), slowReaders.droppable(channel, json));
    return true;
  }

  #deliverFiltered(
    filter: Filter<Auth>,
    subscriber: Subscriber<Auth>,
    channel: string,
    json: string,
    entry?: Entry,
  ): boolean {
    const { slowReaders } = this.#parts;
    const sent = this.#filtered(filter, subscriber, channel, json);
    if (sent === undefined) return false;
    const frame =
      entry && subscriber.wantsHistory
        ? encodeKept(channel, sent, formatPosition(entry.position), entry.time)
        : encodeMessage(channel, sent);
    const droppable = slowReaders.droppable(channel, sent);
    subscriber.send(frame, entry ? this.#told(droppable, subscriber, channel, entry) : droppable);
    return true;
  }

  /** Has a socket told where a message is dropped that has a position, if it has asked for positions. */
  #told(
    droppable: Droppable | undefined,
    subscriber: Subscriber<Auth>,
    channel: string,
    { position }: Entry,
  ): Droppable | undefined {
    if (!droppable || !subscriber.wantsHistory) return droppable;
    const tell = (messages: number) => {
      const loss: Loss = { messages, reason: "slow" };
      this.#parts.onLost(subscriber, channel, loss);
      return encodeLost(channel, loss, formatPosition(position));
    };
    return { ...droppable, loss: { group: channel, tell } };
  }

  /** Gives what one socket may have of a message, as JSON; undefined for nothing. */
  filtered(subscriber: Subscriber<Auth>, channel: string, json: string): string | undefined {
    const { filter } = this.#parts;
    return filter ? this.#filtered(filter, subscriber, channel, json) : json;
  }

  #filtered(
    filter: Filter<Auth>,
    subscriber: Subscriber<Auth>,
    channel: string,
    json: string,
  ): string | undefined {
    try {
      const filtered: unknown = filter(subscriber.socket, channel, JSON.parse(json));
      if (!filtered) return undefined;
      if (isThenable(filtered)) {
        Promise.resolve(filtered).catch(() => {});
        throw new TypeError("the filter must be synchronous; it returned a promise");
      }
      return encodeJson(filtered);
    } catch (error) {
      this.#parts.reporter.error(`the filter failed for a message on ${JSON.stringify(channel)}`, error);
      return undefined;
    }
  }
}

/** Whether a message is not for a socket, by the `sid` of the one that it is not for. */
function isLeftOut({ socket }: Subscriber, except: string | undefined): boolean {
  // Stryker disable next-line ConditionalExpression: it is only quicker, since each socket has a sid
  return except !== undefined && socket.sid === except;
}
