import { attempt, type ClientState } from "./client-driver.js";

/** A command that has been given before the client could serve it. */
interface Waiting {
  readonly owner: object;
  start(): void;
  reject(error: unknown): void;
}

/** A queue of commands that wait for a client's first connection. Afterwards they go straight to the client. */
export class OfflineQueue {
  #state: ClientState = "waiting";
  #error: unknown;
  readonly #waiting = new Set<Waiting>();

  /** Gives a command to the client, now or when it is ready. Commands keep their order. */
  run<T>(owner: object, command: () => Promise<T>): Promise<T> {
    if (this.#state !== "waiting") return attempt(command);
    return new Promise((resolve, reject) => {
      this.#waiting.add({ owner, start: () => resolve(attempt(command)), reject });
    });
  }

  /** Resolves when the client has been ready; rejects when it has ended before that. */
  async ready(owner: object): Promise<void> {
    if (this.#state === "ended") throw this.#error;
    await this.run(owner, async () => {});
  }

  /** Starts what waits: the client is ready. */
  open(): void {
    // the state comes last: a command that is given meanwhile stays behind those that have waited
    for (const waiting of this.#waiting) {
      this.#waiting.delete(waiting);
      waiting.start();
    }
    this.#state = "ready";
  }

  /** Rejects what waits: the client has ended. One that was ready before stays so, and has errors of its own. */
  end(error: unknown): void {
    if (this.#state !== "waiting") return;
    this.#state = "ended";
    this.#error = error;
    for (const waiting of this.#waiting) waiting.reject(error);
    this.#waiting.clear();
  }

  /** Forgets what was known of the client. */
  reset(): void {
    this.#state = "waiting";
  }

  /** Rejects what one owner has waiting. */
  leave(owner: object, error: unknown): void {
    for (const waiting of this.#waiting) {
      if (waiting.owner !== owner) continue;
      this.#waiting.delete(waiting);
      waiting.reject(error);
    }
  }
}
