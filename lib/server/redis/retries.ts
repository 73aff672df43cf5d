/** After how long a step is tried again, at first and at most, in milliseconds. */
const FIRST_RETRY = 500;
const LAST_RETRY = 30_000;

/** A step that a server takes before it serves; resolves with what has to be mended before it is taken again. */
export type Step = () => Promise<readonly unknown[]>;

/** Takes steps again until they succeed, at intervals that grow, and reports why they do not. */
export class Retries {
  readonly #report: (error: unknown) => void;
  readonly #timers = new Set<NodeJS.Timeout>();
  #isStopped = false;

  constructor(report: (error: unknown) => void) {
    this.#report = report;
  }

  /** Resolves when a step has been taken, which after `stop` is never. */
  untilDone(step: Step): Promise<void> {
    return new Promise((resolve) => void this.#take(step, FIRST_RETRY, resolve));
  }

  stop(): void {
    this.#isStopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
  }

  async #take(step: Step, retryAfter: number, done: () => void): Promise<void> {
    const errors = await step().catch((error: unknown) => [error]);
    if (this.#isStopped) return;
    if (errors.length === 0) return done();
    for (const error of errors) this.#report(error);
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      void this.#take(step, Math.min(2 * retryAfter, LAST_RETRY), done);
    }, retryAfter).unref();
    this.#timers.add(timer);
  }
}
