import { Deadlines } from "./deadlines.js";

/** A connection whose other side may be gone without a word. */
export interface Beating {
  /** Asks for a sign of life; says whether `alive` is going to be called for one. */
  askForLife(alive: () => void): boolean;
  /** Called when no sign of life has come in time. */
  vanish(): void;
}

/** How long a sign of life may take at least and at most, in milliseconds; between them as long as the interval. */
const LEAST_PATIENCE = 1000;
const MOST_PATIENCE = 10_000;

/** Asks connections for a sign of life from time to time; two timers serve them all. */
export class Heartbeats {
  readonly #quiet: Deadlines;
  readonly #asked: Deadlines;

  /** `interval` is in milliseconds. */
  constructor(interval: number) {
    this.#quiet = new Deadlines(interval);
    this.#asked = new Deadlines(Math.min(Math.max(interval, LEAST_PATIENCE), MOST_PATIENCE));
  }

  /** Begins with a connection; the function that it returns ends that. */
  begin(connection: Beating): () => void {
    let isOver = false;
    const asked = { expire: () => connection.vanish() };
    const quiet = {
      expire: () => {
        const isAsked = connection.askForLife(() => {
          this.#asked.delete(asked);
          if (!isOver) this.#quiet.add(quiet);
        });
        // asking may have ended it
        if (!isOver) (isAsked ? this.#asked : this.#quiet).add(isAsked ? asked : quiet);
      },
    };
    this.#quiet.add(quiet);
    return () => {
      isOver = true;
      this.#quiet.delete(quiet);
      this.#asked.delete(asked);
    };
  }
}
