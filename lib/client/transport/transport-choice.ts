/** A transport: plain WebSocket, or SockJS with its fallbacks. */
export type TransportName = "websocket" | "sockjs";

/** The number of failures in a row after which another transport than the one that has worked is tried, too. */
const PATIENCE = 3;

/**
 * The choice of a transport: one after the other until one has worked, then that one. If it is not the best, the best is
 * tried again on later connections, ever more seldom, since it may have failed just once.
 */
export class TransportChoice {
  readonly #best: TransportName;
  #order: readonly TransportName[];
  #hasWorked = false;
  #failures = 0;
  /** Connections by a fallback until the best transport is tried again, and the next such number. */
  #rest = 0;
  #nextRest = 1;
  /** Whether the best one has failed since a transport has worked. */
  #hasBestFailed = false;

  constructor(available: readonly TransportName[]) {
    // without any, none ever works
    this.#best = available[0] as TransportName;
    this.#order = available;
  }

  /** The transports of an attempt, the first one first. */
  candidates(): readonly TransportName[] {
    if (!this.#hasWorked || this.#failures >= PATIENCE) return this.#order;
    const last = this.#order.slice(0, 1);
    const isDue = this.#rest === 0 && !this.#hasBestFailed;
    return isDue && !last.includes(this.#best) ? [this.#best, ...last] : last;
  }

  worked(name: TransportName): void {
    if (name === this.#best) this.#nextRest = 1;
    else if (this.#hasBestFailed) {
      this.#rest = this.#nextRest;
      this.#nextRest *= 2;
    } else if (this.#rest > 0) this.#rest--;
    this.#hasBestFailed = false;
    this.#order = [name, ...this.#order.filter((other) => other !== name)];
    this.#hasWorked = true;
    this.#failures = 0;
  }

  /** Notes that a transport has not opened. */
  failed(name: TransportName): void {
    if (name === this.#best) this.#hasBestFailed = true;
    if (name === this.#order[0]) this.#failures++;
  }

  /** Notes that a transport has opened but lets nothing pass. */
  stuck(name: TransportName): void {
    this.failed(name);
    if (this.candidates().length > 1) this.#order = [...this.#order.filter((other) => other !== name), name];
  }
}
