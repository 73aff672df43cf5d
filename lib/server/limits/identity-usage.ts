import { Counts } from "./counts.js";
import type { IdentityRate, IdentityRates } from "./identity-rate.js";
import type { Limits } from "./limits.js";

/** The usage of this server by all connections of one identity. */
export class IdentityUsage {
  readonly key: string;
  /** The rates of frames and bytes that they may send; absent where there is no limit. */
  readonly #frames: IdentityRate | undefined;
  readonly #bytes: IdentityRate | undefined;
  /** The number of channels that they have joined at their own request, or are about to join. */
  channels = 0;
  readonly #channelLimit: number;

  constructor(key: string, channelLimit: number, { frames, bytes }: IdentityUsageRates) {
    this.key = key;
    this.#channelLimit = channelLimit;
    this.#frames = frames?.of(key);
    this.#bytes = bytes?.of(key);
  }

  /** Takes what a frame of so many bytes costs, where they may send it. */
  take(bytes: number): boolean {
    if (this.#frames && !this.#frames.take(1)) return false;
    if (!this.#bytes || this.#bytes.take(bytes)) return true;
    this.#frames?.giveBack(1);
    return false;
  }

  /** Takes for frames in any case. */
  charge(frames: number): void {
    this.#frames?.charge(frames);
  }

  /** Calls a function once when they may send more; gives the function that takes that back. */
  onRefill(listener: () => void): () => void {
    const short = this.#frames?.hasMore === false ? this.#frames : this.#bytes;
    return short ? short.onRefill(listener) : () => {};
  }

  close(): void {
    this.#frames?.close();
    this.#bytes?.close();
  }

  /** Whether one of them may join one channel more. */
  get hasRoom(): boolean {
    return this.channels < this.#channelLimit;
  }
}

/** The rates of all identities; absent where they are not limited. */
export interface IdentityUsageRates {
  readonly frames: IdentityRates | undefined;
  readonly bytes: IdentityRates | undefined;
}

/** The usage of each identity that has a connection. */
export class IdentityUsages {
  readonly #limits: Limits;
  readonly #rates: IdentityUsageRates;
  readonly #connections: Counts;
  readonly #usages = new Map<string, IdentityUsage>();

  constructor(limits: Limits, rates: IdentityUsageRates) {
    this.#limits = limits;
    this.#rates = rates;
    this.#connections = new Counts(limits.connectionsPerIdentity);
  }

  /** Counts one connection more of an identity; undefined where it has as many as it may. */
  enter(key: string): IdentityUsage | undefined {
    if (!this.#connections.add(key)) return undefined;
    let usage = this.#usages.get(key);
    if (!usage) {
      usage = new IdentityUsage(key, this.#limits.channelsPerIdentity, this.#rates);
      this.#usages.set(key, usage);
    }
    return usage;
  }

  /** Takes back an `enter`. */
  leave(usage: IdentityUsage): void {
    this.#connections.delete(usage.key);
    if (this.#connections.has(usage.key)) return;
    this.#usages.delete(usage.key);
    usage.close();
  }
}
