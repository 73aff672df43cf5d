/**
 * A value outside React that components show by `useSyncExternalStore`. What keeps it up to date runs while anybody
 * looks at it, and a moment longer: StrictMode, and a page that replaces another, let go and come back at once.
 */
export abstract class Store<Snapshot> {
  #snapshot: Snapshot;
  readonly #listeners = new Set<() => void>();
  #isRunning = false;
  #stopTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
  }

  readonly get = (): Snapshot => this.#snapshot;

  readonly subscribe = (listener: () => void): (() => void) => {
    clearTimeout(this.#stopTimer);
    this.#listeners.add(listener);
    if (!this.#isRunning) {
      this.#isRunning = true;
      this.start();
    }
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#stopTimer = setTimeout(() => this.#stop(), 0);
    };
  };

  protected set(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
    for (const listener of [...this.#listeners]) listener();
  }

  /** Called when the first one begins to look. */
  protected abstract start(): void;

  /** Called when nobody has looked for a moment. */
  protected abstract stop(): void;

  #stop(): void {
    this.#isRunning = false;
    this.stop();
  }
}
