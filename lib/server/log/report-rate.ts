/** Reports of one kind, and of all kinds, that are told in a second. */
const MOST_OF_A_KIND = 100;
const MOST_OF_ALL = 1000;

/** The time for which reports are counted together, in milliseconds. */
const WINDOW = 1000;

/**
 * Lets so many reports pass each second, and counts the others: an `error` listener that fails by itself, and so is told of
 * its own failure, would keep the event loop busy for good.
 */
export class ReportRate {
  readonly #tellWithheld: (kind: string | undefined, times: number) => void;
  readonly #kinds = new Map<string, { told: number; withheld: number }>();
  /** The number of withheld reports of further kinds. */
  #others = 0;
  #told = 0;
  #timer: NodeJS.Timeout | undefined;

  /**
   * `tellWithheld` is called at the end of a second for each kind of which some were not told; without a kind for all
   * those of which none was.
   */
  constructor(tellWithheld: (kind: string | undefined, times: number) => void) {
    this.#tellWithheld = tellWithheld;
  }

  /** Counts a report; returns whether it is to be told. */
  admits(kind: string): boolean {
    this.#timer ??= setTimeout(() => this.#end(), WINDOW).unref();
    let counts = this.#kinds.get(kind);
    if (!counts) {
      // kinds without number may take no memory without bound either
      if (this.#kinds.size >= MOST_OF_ALL) {
        this.#others++;
        return false;
      }
      counts = { told: 0, withheld: 0 };
      this.#kinds.set(kind, counts);
    }
    const isTold = counts.told < MOST_OF_A_KIND && this.#told < MOST_OF_ALL;
    if (isTold) {
      counts.told++;
      this.#told++;
    } else counts.withheld++;
    return isTold;
  }

  #end(): void {
    const kinds = [...this.#kinds];
    const others = this.#others;
    this.#kinds.clear();
    this.#others = 0;
    this.#told = 0;
    this.#timer = undefined;
    for (const [kind, { withheld }] of kinds) if (withheld > 0) this.#tellWithheld(kind, withheld);
    if (others > 0) this.#tellWithheld(undefined, others);
  }
}
