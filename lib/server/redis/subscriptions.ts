import type { PayloadListener } from "./broker.js";
import { ChannelCommand, isPartlyRefused, MOST_CHANNELS } from "./channel-command.js";
import { attempt } from "./client-driver.js";

/** The two commands that a table of subscriptions gives to Redis, and where it reports. */
export interface SubscriptionCommands {
  /** `SUBSCRIBE channel [channel ...]`; settles when Redis has answered. */
  subscribe(channels: readonly string[]): Promise<unknown>;
  /** `UNSUBSCRIBE channel [channel ...]`; settles when Redis has answered. */
  unsubscribe(channels: readonly string[]): Promise<unknown>;
  /** Told what a listener has thrown. */
  report(error: unknown): void;
}

/**
 * The state of a channel in Redis. In `subscribing` and `unsubscribing` a command is in flight, or about to be sent, and
 * none other is sent before its answer. `stale` is a subscription that nobody wants and that could not be ended.
 */
type ChannelState = "off" | "subscribing" | "on" | "unsubscribing" | "stale";

interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

interface Listener {
  readonly listener: PayloadListener;
  readonly owner: object;
}

/** An entry for a channel; there may be a hundred thousand of them, so that it has to be small. */
interface Channel {
  readonly name: string;
  state: ChannelState;
  /** As long as there is one, the channel is wanted. */
  listeners: readonly Listener[];
  /** Callbacks for when the channel is subscribed to, or left. */
  joining: Waiter[] | undefined;
  leaving: Waiter[] | undefined;
}

/**
 * The listeners of one client's channels. Joins and leaves may alternate as fast as they like: for each
 * channel the table has one command in flight at most, and goes on from its answer to what is wanted by then.
 */
export class Subscriptions {
  readonly #commands: SubscriptionCommands;
  readonly #subscribe: ChannelCommand;
  readonly #unsubscribe: ChannelCommand;
  readonly #channels = new Map<string, Channel>();
  #running = false;

  constructor(commands: SubscriptionCommands) {
    this.#commands = commands;
    this.#subscribe = new ChannelCommand((channels) => commands.subscribe(channels));
    this.#unsubscribe = new ChannelCommand((channels) => commands.unsubscribe(channels));
  }

  /** The number of channels that have listeners, or are yet to be left. */
  get size(): number {
    return this.#channels.size;
  }

  /**
   * Adds a listener; resolves when Redis has confirmed a `SUBSCRIBE` that is in force. The listener is not
   * called before that. Rejects, and forgets the listener, when the command fails. A subscription that is
   * taken back meanwhile resolves as well, at the latest with the answer to what is in flight.
   */
  subscribe(name: string, listener: PayloadListener, owner: object): Promise<void> {
    let channel = this.#channels.get(name);
    if (!channel) {
      channel = { name, state: "off", listeners: [], joining: undefined, leaving: undefined };
      this.#channels.set(name, channel);
    }
    // an array that grows has room for sixteen more
    channel.listeners = without(channel.listeners, listener).concat({ listener, owner });
    return this.#wait(channel, "joining");
  }

  /**
   * Takes a listener away, which is not called any more from now on. Resolves when Redis has confirmed the
   * `UNSUBSCRIBE`, or at once where others listen, or when a new listener has made it needless.
   */
  async unsubscribe(name: string, listener: PayloadListener): Promise<void> {
    const channel = this.#channels.get(name);
    if (!channel) return;
    const left = without(channel.listeners, listener);
    const isLast = channel.listeners.length > 0 && left.length === 0;
    channel.listeners = left;
    if (isLast) await this.#wait(channel, "leaving");
  }

  /** Takes all listeners of one owner away. */
  release(owner: object): void {
    for (const channel of this.#channels.values()) {
      channel.listeners = channel.listeners.filter((listener) => listener.owner !== owner);
      this.#advance(channel);
    }
  }

  /** Hands a message to the listeners of a channel. */
  deliver(name: string, payload: string): void {
    const channel = this.#channels.get(name);
    // before "on" a message is of an earlier subscription, or of one whose subscriber has not been told yet
    if (channel?.state !== "on") return;
    for (const listener of channel.listeners) {
      if (!channel.listeners.includes(listener)) continue;
      try {
        listener.listener(payload, name);
      } catch (error) {
        this.#commands.report(error);
      }
    }
  }

  /** Sends what is wanted but has not been sent, and tries again what has failed: the client is connected. */
  resume(): void {
    this.#running = true;
    for (const channel of this.#channels.values()) {
      if (channel.state === "stale" && channel.listeners.length === 0) this.#sendUnsubscribe(channel);
      else this.#advance(channel);
    }
  }

  /** The number of listeners of a channel. */
  listeners(name: string): number {
    return this.#channels.get(name)?.listeners.length ?? 0;
  }

  /**
   * Subscribes again, on a new connection, to what was in force on the last one; resolves when Redis has confirmed all,
   * and rejects when a command fails. Clients do the same by themselves, but ioredis says before that it is ready, and
   * forgets what it has not got back where the connection is lost again meanwhile.
   */
  async restore(): Promise<void> {
    const lost = [...this.#channels.values()].filter(isOn);
    // what nobody has wanted any more in the meantime stays away
    while (lost.length > 0) await this.#restoreTogether(lost.splice(0, MOST_CHANNELS).filter(isOn));
  }

  /** Sends nothing new until `resume`: there is no connection yet. */
  pause(): void {
    this.#running = false;
  }

  async #restoreTogether(channels: readonly Channel[]): Promise<void> {
    if (channels.length === 0) return;
    try {
      await attempt(() => this.#commands.subscribe(channels.map(({ name }) => name)));
    } catch (error) {
      if (!isPartlyRefused(channels, error)) throw error;
      await Promise.all(channels.filter(isOn).map((channel) => this.#restoreTogether([channel])));
    }
  }

  #wait(channel: Channel, waiters: "joining" | "leaving"): Promise<void> {
    return new Promise((resolve, reject) => {
      channel[waiters] ??= [];
      channel[waiters].push({ resolve, reject });
      this.#advance(channel);
    });
  }

  /** Goes one step from how a channel stands towards what is wanted. */
  #advance(channel: Channel): void {
    const { state } = channel;
    if (state === "subscribing" || state === "unsubscribing") return;
    const wanted = channel.listeners.length > 0;
    if (wanted && state !== "on") {
      this.#sendSubscribe(channel);
    } else if (!wanted && state === "on") {
      this.#sendUnsubscribe(channel);
    } else {
      if (state === "off") this.#channels.delete(channel.name);
      resolveAll(channel, "joining");
      resolveAll(channel, "leaving");
    }
  }

  #sendSubscribe(channel: Channel): void {
    if (!this.#running) return;
    const before = channel.state === "stale" ? "stale" : "off";
    channel.state = "subscribing";
    this.#subscribe.run(channel.name).then(
      () => {
        channel.state = "on";
        resolveAll(channel, "joining");
        this.#advance(channel);
      },
      (error: unknown) => {
        channel.listeners = [];
        rejectAll(channel, "joining", error);
        // the command may have failed here and yet reach Redis, for instance after a time limit of the client
        const undoing = attempt(() => this.#commands.unsubscribe([channel.name]));
        this.#awaitUnsubscribe(channel, undoing, before);
      },
    );
  }

  #sendUnsubscribe(channel: Channel): void {
    this.#awaitUnsubscribe(channel, this.#unsubscribe.run(channel.name), "stale");
  }

  #awaitUnsubscribe(channel: Channel, unsubscribing: Promise<unknown>, otherwise: "off" | "stale"): void {
    channel.state = "unsubscribing";
    unsubscribing.then(
      () => {
        channel.state = "off";
        resolveAll(channel, "leaving");
        this.#advance(channel);
      },
      (error: unknown) => {
        channel.state = otherwise;
        if (otherwise === "stale") rejectAll(channel, "leaving", error);
        this.#advance(channel);
      },
    );
  }
}

function isOn({ state }: Channel): boolean {
  return state === "on";
}

function without(listeners: readonly Listener[], listener: PayloadListener): readonly Listener[] {
  return listeners.filter((other) => other.listener !== listener);
}

function resolveAll(channel: Channel, waiters: "joining" | "leaving"): void {
  for (const waiter of takeAll(channel, waiters)) waiter.resolve();
}

function rejectAll(channel: Channel, waiters: "joining" | "leaving", error: unknown): void {
  for (const waiter of takeAll(channel, waiters)) waiter.reject(error);
}

function takeAll(channel: Channel, waiters: "joining" | "leaving"): readonly Waiter[] {
  const waiting = channel[waiters] ?? [];
  channel[waiters] = undefined;
  return waiting;
}
