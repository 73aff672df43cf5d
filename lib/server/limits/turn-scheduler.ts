/**
 * Shares the turns of the event loop among those who have much to send: so many steps in each, in the order in which they are
 * asked for. One who never has to wait would keep all else waiting.
 */
export class TurnScheduler {
  readonly #steps: number;
  #left: number;
  readonly #waiting: (() => void)[] = [];

  /** `steps` is the number of steps in one turn. */
  constructor(steps: number) {
    this.#steps = steps;
    this.#left = steps;
  }

  /** Resolves when a step may be taken; nothing is to be waited for where one may be at once. */
  take(): Promise<void> | undefined {
    if (this.#left > 0) {
      this.#left--;
      return undefined;
    }
    return new Promise((resolve) => {
      if (this.#waiting.push(resolve) === 1) setImmediate(this.#onTurn);
    });
  }

  readonly #onTurn = (): void => {
    const next = this.#waiting.splice(0, this.#steps);
    this.#left = this.#steps - next.length;
    for (const resolve of next) resolve();
    if (this.#waiting.length > 0) setImmediate(this.#onTurn);
  };
}
