/** The steps of the scale: a value is known to half a per cent. */
const STEP = Math.log(1.01);
/** What is shorter counts as this long. */
const LEAST = 0.1;

/** How long things take, with a weight each, on a scale of equal ratios. */
export class Histogram {
  readonly #weights = new Map<number, number>();
  #total = 0;

  add(value: number, weight = 1): void {
    const step = Math.round(Math.log(Math.max(LEAST, value) / LEAST) / STEP);
    this.#weights.set(step, (this.#weights.get(step) ?? 0) + weight);
    this.#total += weight;
  }

  /** The value that so large a part is not above; 0 where there is none. */
  quantile(part: number): number {
    let left = part * this.#total;
    for (const step of [...this.#weights.keys()].sort((a, b) => a - b)) {
      left -= this.#weights.get(step) ?? 0;
      if (left <= 0) return LEAST * Math.exp(step * STEP);
    }
    return 0;
  }
}
