/** Collects payloads; resolves when there are as many as wanted. */
export class Inbox {
  readonly payloads: string[] = [];
  #waiting: { count: number; resolve: () => void }[] = [];

  readonly listener = (payload: string): void => {
    this.payloads.push(payload);
    for (const { count, resolve } of this.#waiting) if (this.payloads.length >= count) resolve();
  };

  until(count: number): Promise<void> {
    if (this.payloads.length >= count) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ count, resolve }));
  }
}
