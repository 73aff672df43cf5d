/** How a connection may be carried: plain WebSocket, or SockJS with its fallbacks. */
export type TransportName = "websocket" | "sockjs";

/** How often in a row the transport that has worked may fail before another one gets a chance, too. */
const PATIENCE = 3;

/** Which transport to try: one after the other until one has worked, then that one. */
export class TransportChoice {
  #order: readonly TransportName[];
  #hasWorked = false;
  #failures = 0;

  constructor(available: readonly TransportName[]) {
    this.#order = available;
  }

  /** What to try in an attempt, the first one first. */
  candidates(): readonly TransportName[] {
    const isSettled = this.#hasWorked && this.#failures < PATIENCE;
    return isSettled ? this.#order.slice(0, 1) : this.#order;
  }

  worked(name: TransportName): void {
    this.#order = [name, ...this.#order.filter((other) => other !== name)];
    this.#hasWorked = true;
    this.#failures = 0;
  }

  /** Notes that a transport has not opened. */
  failed(name: TransportName): void {
    if (name === this.#order[0]) this.#failures++;
  }

  /** Notes that a transport has opened but lets nothing pass. */
  stuck(name: TransportName): void {
    this.failed(name);
    if (this.candidates().length > 1) this.#order = [...this.#order.filter((other) => other !== name), name];
  }
}
