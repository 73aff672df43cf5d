/** What all clients have got, and what they lack. */
export interface Tally {
  /** The messages that all clients together should have got. */
  readonly due: number;
  /** Those that they have got, each counted once. */
  readonly delivered: number;
  /** Deliveries of what the client had got already. */
  readonly twice: number;
  /** Deliveries for the first time, behind a later message. */
  readonly disordered: number;
  /** Those of which the client was told that they are lost. */
  readonly reported: number;
  /** Missing, and the client was not told. */
  readonly silent: number;
  /** Cuts during which something was published. */
  readonly cuts: number;
  /** For each cut that its client has caught up with: milliseconds from the mending of its line. Ascending. */
  readonly catchUps: readonly number[];
}

/** A cut that a client has not caught up with yet. */
interface Outage {
  readonly mendedAt: number;
  readonly missing: Set<number>;
}

/** What one client has got of messages that are numbered from 0 on. */
export class Ledger {
  readonly #got = new Set<number>();
  readonly #catchUps: number[] = [];
  #outages: Outage[] = [];
  #cuts = 0;
  #highest = -1;
  #twice = 0;
  #disordered = 0;
  #reported = 0;
  /** Messages with lower numbers may be missing; the client was told so, without a number. */
  #doubtedBelow = 0;

  receive(number: number, at: number): void {
    if (this.#got.has(number)) {
      this.#twice++;
      return;
    }
    this.#got.add(number);
    if (number < this.#highest) this.#disordered++;
    this.#highest = Math.max(this.#highest, number);
    this.#outages = this.#outages.filter(({ mendedAt, missing }) => {
      missing.delete(number);
      if (missing.size > 0) return true;
      this.#catchUps.push(at - mendedAt);
      return false;
    });
  }

  /** The client is told that so many messages are lost, or some of the first `published`. */
  report(messages: number | null, published: number): void {
    if (messages === null) this.#doubtedBelow = published;
    else this.#reported += messages;
  }

  /** The client's line is mended, which was cut when `from` messages were published; now there are `published`. */
  mend(from: number, published: number, at: number): void {
    const missing = new Set<number>();
    for (let number = from; number < published; number++) if (!this.#got.has(number)) missing.add(number);
    if (missing.size === 0) return;
    this.#cuts++;
    this.#outages.push({ mendedAt: at, missing });
  }

  hasAll(published: number): boolean {
    return this.#got.size >= published;
  }

  tally(published: number): Tally {
    let missing = 0;
    let doubted = 0;
    for (let number = 0; number < published; number++) {
      if (this.#got.has(number)) continue;
      missing++;
      if (number < this.#doubtedBelow) doubted++;
    }
    const reported = Math.max(this.#reported, doubted);
    return {
      due: published,
      delivered: published - missing,
      twice: this.#twice,
      disordered: this.#disordered,
      reported,
      silent: Math.max(0, missing - reported),
      cuts: this.#cuts,
      catchUps: this.#catchUps,
    };
  }
}

/** The tallies of all clients together. */
export function total(tallies: readonly Tally[]): Tally {
  const sum = (of: (tally: Tally) => number) => tallies.reduce((all, tally) => all + of(tally), 0);
  return {
    due: sum(({ due }) => due),
    delivered: sum(({ delivered }) => delivered),
    twice: sum(({ twice }) => twice),
    disordered: sum(({ disordered }) => disordered),
    reported: sum(({ reported }) => reported),
    silent: sum(({ silent }) => silent),
    cuts: sum(({ cuts }) => cuts),
    catchUps: tallies.flatMap(({ catchUps }) => catchUps).sort((a, b) => a - b),
  };
}
