import { isThenable } from "../../shared/answer.js";
import { encodeJson, encodeMessage } from "../../shared/protocol.js";
import type { Filter } from "../events/message-types.js";
import type { Reporter } from "../log/reporter.js";
import type { Subscriber } from "./membership.js";
import type { SlowReaders } from "./slow-readers.js";

/** The parts of the server that the delivery of messages needs. */
export interface DeliveryParts<Auth> {
  readonly filter: Filter<Auth> | undefined;
  readonly slowReaders: SlowReaders;
  readonly reporter: Reporter;
}

/** The delivery of messages to sockets of this server, through the filter where there is one. */
export class Delivery<Auth> {
  readonly #parts: DeliveryParts<Auth>;

  constructor(parts: DeliveryParts<Auth>) {
    this.#parts = parts;
  }

  /** Sends a message, as JSON, to all members of a channel. Without a filter it is encoded once for all of them. */
  deliver(members: ReadonlySet<Subscriber<Auth>>, channel: string, json: string): void {
    const { filter, slowReaders } = this.#parts;
    if (members.size === 0) return;
    if (filter) {
      for (const member of members) this.#deliverFiltered(filter, member, channel, json);
      return;
    }
    const frame = encodeMessage(channel, json);
    const droppable = slowReaders.droppable(channel, json);
    for (const member of members) member.send(frame, droppable);
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
  ): boolean {
    const { reporter, slowReaders } = this.#parts;
    try {
      const filtered: unknown = filter(subscriber.socket, channel, JSON.parse(json));
      if (!filtered) return false;
      if (isThenable(filtered)) {
        Promise.resolve(filtered).catch(() => {});
        throw new TypeError("the filter must be synchronous; it returned a promise");
      }
      const sent = encodeJson(filtered);
      subscriber.send(encodeMessage(channel, sent), slowReaders.droppable(channel, sent));
      return true;
    } catch (error) {
      reporter.error(`the filter failed for a message on ${JSON.stringify(channel)}`, error);
      return false;
    }
  }
}
