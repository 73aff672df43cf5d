import { Counts } from "./counts.js";
import type { IdentityRate, IdentityRates } from "./identity-rate.js";
import type { Limits } from "./options.js";

/** What the connections of one identity use of this server together. */
export class IdentityUsage {
  readonly key: string;
  /** How many frames they may send; absent where that is not limited. */
  readonly rate: IdentityRate | undefined;
  /** How many channels they have joined by their own doing, or are about to. */
  channels = 0;
  readonly #channelLimit: number;

  constructor(key: string, channelLimit: number, rate: IdentityRate | undefined) {
    this.key = key;
    this.#channelLimit = channelLimit;
    this.rate = rate;
  }

  /** Whether one of them may join one channel more. */
  get hasRoom(): boolean {
    return this.channels < this.#channelLimit;
  }
}

/** What each identity uses, as long as it has a connection. */
export class IdentityUsages {
  readonly #limits: Limits;
  readonly #rates: IdentityRates | undefined;
  readonly #connections: Counts;
  readonly #usages = new Map<string, IdentityUsage>();

  constructor(limits: Limits, rates: IdentityRates | undefined) {
    this.#limits = limits;
    this.#rates = rates;
    this.#connections = new Counts(limits.connectionsPerIdentity);
  }

  /** Counts one connection more of an identity; undefined where it has as many as it may. */
  enter(key: string): IdentityUsage | undefined {
    if (!this.#connections.add(key)) return undefined;
    let usage = this.#usages.get(key);
    if (!usage) {
      usage = new IdentityUsage(key, this.#limits.channelsPerIdentity, this.#rates?.of(key));
      this.#usages.set(key, usage);
    }
    return usage;
  }

  /** Takes back an `enter`. */
  leave(usage: IdentityUsage): void {
    this.#connections.delete(usage.key);
    if (this.#connections.has(usage.key)) return;
    this.#usages.delete(usage.key);
    usage.rate?.close();
  }
}
