import type { Reporter } from "../log/reporter.js";
import { Retries, type Step } from "./retries.js";

/** The time after which a server that is not ready is warned of, in milliseconds. */
const READY_PATIENCE = 5_000;
const NOT_READY =
  "Redis cannot be used yet: is each client connected, `await client.connect()`, and can it reach Redis, with TLS if Redis speaks it and without if not? What Redis has refused, `error` events say";

export interface StartupParts {
  /** The steps before the server serves; each is tried until it succeeds. */
  readonly steps: readonly Step[];
  /** Called before `ready` resolves. */
  readonly onReady: () => void;
  readonly reporter: Reporter;
}

/** The start of a server: Redis is tried again and again until it can be used. */
export class Startup {
  /** Resolves when Redis can be used; rejects where the server is stopped before. */
  readonly ready: Promise<void>;
  readonly #retries: Retries;
  #isReady = false;
  #reject: (error: Error) => void = () => {};

  constructor({ steps, onReady, reporter }: StartupParts) {
    const retries = new Retries((error) => reporter.outage("Redis cannot be used yet", error));
    this.#retries = retries;
    this.ready = new Promise((resolve, reject) => {
      this.#reject = reject;
      // a client that has failed may yet be connected by its owner, and a server without broadcasts is none
      void Promise.all(steps.map((step) => retries.untilDone(step))).then(() => resolve());
    });
    const warning = setTimeout(() => reporter.warn(NOT_READY), READY_PATIENCE).unref();
    this.ready.then(
      () => {
        clearTimeout(warning);
        this.#isReady = true;
        onReady();
      },
      () => clearTimeout(warning),
    );
  }

  /** Whether Redis could be used once. */
  get isReady(): boolean {
    return this.#isReady;
  }

  stop(): void {
    this.#retries.stop();
    this.#reject(new Error("The server was shut down before it was ready"));
  }
}
