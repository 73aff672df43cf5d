import type { Histories } from "../history/histories.js";
import type { Reporter } from "../log/reporter.js";
import type { Broker, PayloadListener } from "../redis/broker.js";

/** The parts of the server that subscriptions need. */
export interface ChannelSubscriptionsParts {
  /** Absent where pub/sub is off. */
  readonly subscriber: Broker | undefined;
  /** Absent where no channel has a history. */
  readonly histories: Histories | undefined;
  readonly channelPrefix: string;
  readonly reporter: Reporter;
}

/** The subscription to a channel that sockets of this server have joined, or are about to. */
interface Subscription {
  /** The number of sockets that it serves. */
  users: number;
  /** Resolves when Redis confirms it; absent once it has. */
  confirmed: Promise<void> | undefined;
}

/** The subscriptions that sockets share: the first one to join a channel subscribes in Redis, the last to leave unsubscribes. */
export class ChannelSubscriptions {
  readonly #parts: ChannelSubscriptionsParts;
  readonly #listener: PayloadListener;
  readonly #byChannel = new Map<string, Subscription>();

  /** `listener` is that of all channels, of which there may be a hundred thousand. */
  constructor(parts: ChannelSubscriptionsParts, listener: PayloadListener) {
    this.#parts = parts;
    this.#listener = listener;
  }

  /** Adds a user; resolves when Redis has confirmed the subscription, undefined where it has. One that fails has no users. */
  acquire(channel: string): Promise<void> | undefined {
    const known = this.#byChannel.get(channel);
    if (known) {
      known.users++;
      return known.confirmed;
    }
    const asked = this.#subscribe(channel);
    const subscription: Subscription = { users: 1, confirmed: undefined };
    this.#byChannel.set(channel, subscription);
    subscription.confirmed = asked?.then(
      () => {
        subscription.confirmed = undefined;
      },
      (error: unknown) => {
        // the next one tries again
        if (this.#byChannel.get(channel) === subscription) {
          this.#byChannel.delete(channel);
          this.#parts.histories?.close(channel);
        }
        throw error;
      },
    );
    return subscription.confirmed;
  }

  /** Removes a user. */
  release(channel: string): void {
    const { reporter } = this.#parts;
    const subscription = this.#byChannel.get(channel);
    if (!subscription || --subscription.users > 0) return;
    this.#byChannel.delete(channel);
    this.#parts.histories?.close(channel);
    this.#unsubscribe(channel)?.catch((error: unknown) =>
      reporter.error(`unsubscribing from ${JSON.stringify(channel)} failed`, error),
    );
  }

  /** Ends all subscriptions; resolves when Redis has confirmed. */
  async close(): Promise<void> {
    const { reporter } = this.#parts;
    const channels = [...this.#byChannel.keys()];
    this.#byChannel.clear();
    await Promise.all(
      channels.map((channel) =>
        this.#unsubscribe(channel)?.catch((error: unknown) =>
          reporter.debug(() => `unsubscribing at shutdown failed: ${error}`),
        ),
      ),
    );
  }

  /** A channel's position is learned after it, so that what was published in the meantime does not wait for the next message. */
  #subscribe(channel: string): Promise<void> | undefined {
    const { subscriber, channelPrefix, histories } = this.#parts;
    const live = subscriber && histories?.open(channel);
    const subscribed = subscriber?.subscribe(channelPrefix + channel, this.#listener);
    return live && subscribed ? subscribed.then(() => live.open()) : subscribed;
  }

  #unsubscribe(channel: string): Promise<void> | undefined {
    const { subscriber, channelPrefix } = this.#parts;
    return subscriber?.unsubscribe(channelPrefix + channel, this.#listener);
  }
}
