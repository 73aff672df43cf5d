/** Counts what there is of each key, up to a limit. */
export class Counts {
  readonly #limit: number;
  readonly #counts = new Map<string, number>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Says whether there is room for one more. */
  hasRoom(key: string): boolean {
    return this.#of(key) < this.#limit;
  }

  has(key: string): boolean {
    return this.#counts.has(key);
  }

  /** Counts one more; says whether there was room for it. */
  add(key: string): boolean {
    if (!this.hasRoom(key)) return false;
    this.#counts.set(key, this.#of(key) + 1);
    return true;
  }

  delete(key: string): void {
    const others = this.#of(key) - 1;
    if (others > 0) this.#counts.set(key, others);
    else this.#counts.delete(key);
  }

  #of(key: string): number {
    return this.#counts.get(key) ?? 0;
  }
}
