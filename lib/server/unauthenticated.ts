interface Waiting {
  readonly created: number;
  /** Called when the connection has had its time. */
  expire(): void;
}

/** Closes connections that do not authenticate in time; one timer serves them all. */
export class Unauthenticated {
  /** In the order in which they connected, so the first one is the first to expire. */
  readonly #waiting = new Set<Waiting>();
  #limit: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(connection: Waiting): void {
    this.#waiting.add(connection);
    if (this.#timer === undefined) this.#schedule();
  }

  delete(connection: Waiting): void {
    this.#waiting.delete(connection);
    if (this.#waiting.size === 0) this.#stop();
  }

  /** Sets the time that each connection has from when it opened, in milliseconds; undefined: no limit. */
  limit(limit: number | undefined): void {
    this.#limit = limit;
    this.#stop();
    this.#schedule();
  }

  #schedule(): void {
    const [oldest] = this.#waiting;
    if (!oldest || this.#limit === undefined) return;
    const wait = Math.max(0, oldest.created + this.#limit - Date.now());
    this.#timer = setTimeout(() => this.#expire(), Math.min(wait, LONGEST_WAIT));
  }

  #expire(): void {
    this.#timer = undefined;
    if (this.#limit === undefined) return;
    const now = Date.now();
    for (const connection of this.#waiting) {
      if (connection.created + this.#limit > now) break;
      this.#waiting.delete(connection);
      connection.expire();
    }
    this.#schedule();
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** Longer waits are made of several; a Node.js timer holds at most 2^31 - 1 ms. */
const LONGEST_WAIT = 3_600_000;
