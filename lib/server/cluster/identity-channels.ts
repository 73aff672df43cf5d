import { createHash } from "node:crypto";
import { within } from "../limits/in-time.js";
import type { Reporter } from "../log/reporter.js";
import type { Broker, PayloadListener } from "../redis/broker.js";

export interface IdentityChannelsParts {
  /** Absent where pub/sub is off. */
  readonly subscriber: Broker | undefined;
  readonly publisher: Broker;
  readonly channelPrefix: string;
  /** The time that a login waits for Redis, in milliseconds. */
  readonly patience: number;
  readonly reporter: Reporter;
}

/** The sockets of an identity on this server, and the subscription to its channel. */
interface Identity {
  users: number;
  /** Resolves when Redis has confirmed, or has not in time; absent once it has, and where it has refused. */
  confirmed: Promise<void> | undefined;
  isSubscribed: boolean;
}

/**
 * A reserved channel for each identity that has sockets on this server, by which the others reach it here: Redis knows who
 * listens, and forgets it with the connection of a server that dies.
 */
export class IdentityChannels {
  readonly #parts: IdentityChannelsParts;
  readonly #identities = new Map<string, Identity>();
  readonly #listener: PayloadListener;

  constructor(parts: IdentityChannelsParts, listener: PayloadListener) {
    this.#parts = parts;
    this.#listener = listener;
  }

  /**
   * Adds a socket of an identity. Where it is the first one, it resolves when the identity can be reached here; a Redis that
   * is away keeps nobody out.
   */
  enter(key: string): Promise<void> | undefined {
    const { subscriber } = this.#parts;
    if (!subscriber) return undefined;
    const identity = this.#identities.get(key) ?? { users: 0, confirmed: undefined, isSubscribed: false };
    identity.users++;
    this.#identities.set(key, identity);
    if (!identity.isSubscribed) this.#subscribe(subscriber, key, identity);
    return identity.confirmed;
  }

  /** Takes a socket of an identity away. */
  leave(key: string): void {
    const identity = this.#identities.get(key);
    if (!identity || --identity.users > 0) return;
    this.#identities.delete(key);
    if (!identity.isSubscribed) return;
    // Stryker disable next-line OptionalChaining: nobody enters where there is no subscriber
    this.#parts.subscriber
      ?.unsubscribe(this.#channelOf(key), this.#listener)
      .catch((error: unknown) =>
        this.#parts.reporter.debug(() => `leaving an identity's channel failed: ${error}`),
      );
  }

  /** Tells the servers that have sockets of an identity something; resolves with the number of connections to them. */
  publish(key: string, json: string): Promise<number> {
    return this.#parts.publisher.publish(this.#channelOf(key), json);
  }

  /** The number of servers that listen for an identity by the same connection as this one. */
  sharing(key: string): number {
    return this.#parts.subscriber?.listeners(this.#channelOf(key)) ?? 0;
  }

  /** Unsubscribes from all; resolves when Redis has confirmed. */
  async close(): Promise<void> {
    const keys = [...this.#identities.keys()];
    this.#identities.clear();
    await Promise.allSettled(
      // Stryker disable next-line OptionalChaining: as before
      keys.map((key) => this.#parts.subscriber?.unsubscribe(this.#channelOf(key), this.#listener)),
    );
  }

  #subscribe(subscriber: Broker, key: string, identity: Identity): void {
    const { patience, reporter } = this.#parts;
    identity.isSubscribed = true;
    const subscribing = subscriber.subscribe(this.#channelOf(key), this.#listener).then(
      () => {
        identity.confirmed = undefined;
      },
      (error: unknown) => {
        // the next socket tries again
        identity.isSubscribed = false;
        identity.confirmed = undefined;
        reporter.outage("an identity cannot be reached by other servers", error);
      },
    );
    identity.confirmed = within(patience, subscribing, () => {});
  }

  /** The key itself may be secret, and of any length. */
  #channelOf(key: string): string {
    const hash = createHash("sha256").update(key).digest("base64url");
    return `${this.#parts.channelPrefix}___identity:${hash}___`;
  }
}
