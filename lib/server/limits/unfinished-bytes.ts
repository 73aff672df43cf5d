/**
 * Bounds what strangers have begun to send and not finished, all together. Past the bound whoever goes on with more than
 * an equal share has to go, so that those who send little are not kept out, and at most twice the bound is kept.
 */
export class UnfinishedBytes {
  readonly #limit: number;
  #total = 0;
  #holders = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Takes note that somebody's bytes have become `after` instead of `before`; returns whether that is too much. */
  change(before: number, after: number): boolean {
    this.#total += after - before;
    this.#holders += Number(after > 0) - Number(before > 0);
    return after > before && this.#total > this.#limit && after > this.#limit / this.#holders;
  }
}
