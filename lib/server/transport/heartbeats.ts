import { DeadlineQueue } from "../limits/deadlines.js";

/** A connection whose other side may be gone without a word. */
export interface Beating {
  /** Whether the client has shown that it is there since this was last called. */
  showsLife(): boolean;
  /** Asks for a sign of life; returns whether one has to come, or else the client is gone. */
  askForLife(): boolean;
  /** Called when no sign of life has come in time. */
  vanish(): void;
}

/** The least and the most time that a sign of life may take, in milliseconds; between them as long as the interval. */
const LEAST_PATIENCE = 1000;
const MOST_PATIENCE = 10_000;

/** Asks connections for a sign of life from time to time; two timers serve them all. */
export class Heartbeats {
  readonly #quiet: DeadlineQueue<Beating>;
  readonly #asked: DeadlineQueue<Beating>;

  /** `interval` is in milliseconds. */
  constructor(interval: number) {
    this.#quiet = new DeadlineQueue(interval, (connection) => this.#ask(connection));
    const patience = Math.min(Math.max(interval, LEAST_PATIENCE), MOST_PATIENCE);
    this.#asked = new DeadlineQueue(patience, (connection) => this.#judge(connection));
  }

  /** Begins to look after a connection. */
  add(connection: Beating): void {
    this.#quiet.add(connection);
  }

  /** Looks after a connection no more. */
  delete(connection: Beating): void {
    this.#quiet.delete(connection);
    this.#asked.delete(connection);
  }

  #ask(connection: Beating): void {
    // whoever has answered since is asked anew, and the others are still waited for
    if (connection.showsLife()) this.#asked.delete(connection);
    this.#quiet.add(connection);
    const isExpected = connection.askForLife();
    // asking may have ended it
    if (isExpected && this.#quiet.has(connection) && !this.#asked.has(connection))
      this.#asked.add(connection);
  }

  /** Ends a connection that has shown no sign of life. */
  #judge(connection: Beating): void {
    if (connection.showsLife()) return;
    this.delete(connection);
    connection.vanish();
  }
}
