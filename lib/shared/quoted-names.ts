/** The number of names that are kept, and the characters of the longest: anybody may send others. */
const MOST_NAMES = 256;
const LONGEST_NAME = 128;

/** The JSON of names that come again and again, since looking one up takes less time than encoding it. */
export class QuotedNames {
  readonly #quoted = new Map<string, string>();

  get size(): number {
    return this.#quoted.size;
  }

  /** Gives a name as JSON. */
  quote(name: string): string {
    const known = this.#quoted.get(name);
    if (known !== undefined) return known;
    const quoted = JSON.stringify(name);
    if (name.length > LONGEST_NAME) return quoted;
    if (this.size === MOST_NAMES) this.#quoted.clear();
    this.#quoted.set(name, quoted);
    return quoted;
  }
}
