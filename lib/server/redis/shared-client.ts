import type { ClientDriver, ClientEvents } from "./client-driver.js";
import { OfflineQueue } from "./offline-queue.js";
import { isUnknownScript, type Script } from "./script.js";
import { Subscriptions } from "./subscriptions.js";

/** Listens to a client's errors, for one owner. */
interface ErrorListener {
  readonly owner: object;
  readonly listener: (error: unknown) => void;
}

/** After how long subscriptions are tried again that could not be got back, in milliseconds. */
const RETRY_DELAY = 1_000;

const sharedClients = new WeakMap<object, SharedClient>();

/**
 * The state that all adapters of one client share: one listener for each of its events, one table of
 * subscriptions, one place to wait for its first connection. It listens as long as it has an owner.
 */
export class SharedClient {
  readonly driver: ClientDriver;
  readonly subscriptions: Subscriptions;
  readonly #offlineQueue = new OfflineQueue();
  readonly #owners = new Set<object>();
  readonly #errorListeners = new Set<ErrorListener>();
  readonly #returnListeners = new Map<object, () => void>();
  /** The scripts that Redis has been given by the present connection. */
  readonly #scripts = new Set<Script>();
  #hasBeenReady = false;
  /** Counts connections, so that what belongs to an earlier one is known as such. */
  #connection = 0;
  #isInForce = false;
  #retry: NodeJS.Timeout | undefined;

  private constructor(createDriver: (events: ClientEvents) => ClientDriver) {
    this.driver = createDriver({
      ready: () => this.#onReady(),
      lost: () => this.#forgetConnection(),
      ended: (error) => this.#onEnd(error),
      failed: (error) => this.#onError(error),
      message: (channel, payload) => this.subscriptions.deliver(channel, payload),
    });
    this.subscriptions = new Subscriptions({
      subscribe: (channels) => this.driver.subscribe(channels),
      unsubscribe: (channels) => this.driver.unsubscribe(channels),
      report: (error) => this.#onError(error),
    });
  }

  /** The one shared client of a client object. */
  static of(client: object, createDriver: (events: ClientEvents) => ClientDriver): SharedClient {
    let shared = sharedClients.get(client);
    if (!shared) {
      shared = new SharedClient(createDriver);
      sharedClients.set(client, shared);
    }
    return shared;
  }

  /** Adds an owner; the first one makes it listen to the client. */
  acquire(owner: object): void {
    this.#owners.add(owner);
    if (this.#owners.size > 1) return;
    this.#offlineQueue.reset();
    this.#hasBeenReady = false;
    this.subscriptions.pause();
    this.driver.attach();
    const state = this.driver.state();
    if (state === "ready") this.#onReady();
    if (state === "ended") this.#onEnd(undefined);
  }

  /** Forgets an owner and all that is its own; with the last one it listens to the client no more. */
  release(owner: object, reason: Error): void {
    if (!this.#owners.delete(owner)) return;
    if (this.#owners.size === 0) {
      this.driver.detach();
      this.#forgetConnection();
    }
    this.#offlineQueue.leave(owner, reason);
    this.subscriptions.release(owner);
    this.#returnListeners.delete(owner);
    for (const entry of this.#errorListeners) {
      if (entry.owner === owner) this.#errorListeners.delete(entry);
    }
  }

  /** Whether the client has been connected to Redis since there is an owner. */
  get hasBeenReady(): boolean {
    return this.#hasBeenReady;
  }

  /** Whether the client can serve commands just now, and its subscriptions are in force. */
  get isReady(): boolean {
    return this.#isInForce && this.driver.state() === "ready";
  }

  /** Resolves when the client can serve commands; rejects when it has ended before that. */
  ready(owner: object): Promise<void> {
    return this.#offlineQueue.ready(owner);
  }

  /** Gives a command to the client, when the client has been ready once. */
  run<T>(owner: object, command: () => Promise<T>): Promise<T> {
    return this.#offlineQueue.run(owner, command);
  }

  /**
   * Runs a script. The first time on a connection it goes by its text, which Redis keeps, so that what comes meanwhile stays
   * behind it; then by its hash.
   */
  async runScript(
    owner: object,
    script: Script,
    keys: readonly string[],
    args: readonly string[],
  ): Promise<string[]> {
    return this.run(owner, async () => {
      const connection = this.#connection;
      if (this.#scripts.has(script)) {
        try {
          return await this.driver.evaluateKnown(script.sha, keys, args);
        } catch (error) {
          if (!isUnknownScript(error)) throw error;
          this.#scripts.delete(script);
        }
      }
      const answer = await this.driver.evaluate(script.text, keys, args);
      if (connection === this.#connection) this.#scripts.add(script);
      return answer;
    });
  }

  /** Listens to errors of the client, and of listeners that throw; gives the function that ends it. */
  onError(owner: object, listener: (error: unknown) => void): () => void {
    const entry = { owner, listener };
    this.#errorListeners.add(entry);
    return () => {
      this.#errorListeners.delete(entry);
    };
  }

  /** Calls a function, one for each owner, whenever the client is back and its subscriptions are in force. */
  onReturn(owner: object, listener: () => void): void {
    this.#returnListeners.set(owner, listener);
  }

  #onReady(): void {
    this.#offlineQueue.open();
    this.subscriptions.resume();
    this.#forgetConnection();
    // at first there is nothing to get back
    if (this.#hasBeenReady) void this.#restore(this.#connection);
    else this.#isInForce = true;
    this.#hasBeenReady = true;
  }

  #forgetConnection(): void {
    this.#connection++;
    this.#isInForce = false;
    this.#scripts.clear();
    clearTimeout(this.#retry);
  }

  /** Has the subscriptions in force again, and then says that the client is back. */
  async #restore(connection: number): Promise<void> {
    try {
      await this.subscriptions.restore();
    } catch (error) {
      // what was lost with its connection is for the next one
      if (connection !== this.#connection) return;
      this.#onError(error);
      this.#retry = setTimeout(() => void this.#restore(connection), RETRY_DELAY);
      this.#retry.unref();
      return;
    }
    if (connection !== this.#connection) return;
    this.#isInForce = true;
    for (const listener of [...this.#returnListeners.values()]) listener();
  }

  #onEnd(error: unknown): void {
    this.#forgetConnection();
    this.#offlineQueue.end(new Error("The Redis client has ended before it was ready", { cause: error }));
    // what waits for a connection gets the client's own error instead
    this.subscriptions.resume();
  }

  #onError(error: unknown): void {
    for (const { listener } of [...this.#errorListeners]) {
      try {
        listener(error);
      } catch {
        // it was the last place to report to, and the client must not suffer
      }
    }
  }
}
