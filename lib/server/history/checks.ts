/** The interval at which each channel is checked, and that of the looks whether one is due, in milliseconds. */
const INTERVAL = 30_000;
const LOOK = 1_000;

/** Channels that are checked at once, where all are. */
const AT_ONCE = 32;

/** A channel that can look whether something is missing. */
export interface Checked {
  /** Must not reject. */
  check(): Promise<void>;
}

/** Checks each channel at an interval, one after the other, and all of them when asked to. */
export class Checks {
  /** When each was last checked; the one that is due first comes first. */
  readonly #checked = new Map<Checked, number>();
  #timer: NodeJS.Timeout | undefined;

  add(channel: Checked): void {
    this.#checked.set(channel, performance.now());
    this.#timer ??= setInterval(() => this.#look(), LOOK).unref();
  }

  delete(channel: Checked): void {
    this.#checked.delete(channel);
    if (this.#checked.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Checks all, a few at a time. */
  async all(): Promise<void> {
    const waiting = [...this.#checked.keys()].values();
    const work = async () => {
      for (const channel of waiting) if (this.#checked.has(channel)) await channel.check();
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  #look(): void {
    const now = performance.now();
    for (const [channel, last] of this.#checked) {
      if (last + INTERVAL > now) return;
      this.#checked.delete(channel);
      this.#checked.set(channel, now);
      void channel.check();
    }
  }
}
