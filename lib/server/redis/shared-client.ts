import type { ClientDriver, ClientEvents } from "./client-driver.js";
import { Subscriptions } from "./subscriptions.js";
import { WaitingRoom } from "./waiting-room.js";

/** Listens to a client's errors, for one owner. */
interface ErrorListener {
  readonly owner: object;
  readonly listener: (error: unknown) => void;
}

const sharedClients = new WeakMap<object, SharedClient>();

/**
 * What all adapters of one client have in common: one listener for each of its events, one table of
 * subscriptions, one place to wait for its first connection. It listens as long as it has an owner.
 */
export class SharedClient {
  readonly driver: ClientDriver;
  readonly subscriptions: Subscriptions;
  readonly #waitingRoom = new WaitingRoom();
  readonly #owners = new Set<object>();
  readonly #errorListeners = new Set<ErrorListener>();
  readonly #returnListeners = new Map<object, () => void>();
  #hasBeenReady = false;

  private constructor(createDriver: (events: ClientEvents) => ClientDriver) {
    this.driver = createDriver({
      ready: () => this.#onReady(),
      ended: (error) => this.#onEnd(error),
      failed: (error) => this.#onError(error),
      message: (channel, payload) => this.subscriptions.deliver(channel, payload),
    });
    this.subscriptions = new Subscriptions({
      subscribe: (channel) => this.driver.subscribe(channel),
      unsubscribe: (channel) => this.driver.unsubscribe(channel),
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
    this.#waitingRoom.reset();
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
    if (this.#owners.size === 0) this.driver.detach();
    this.#waitingRoom.leave(owner, reason);
    this.subscriptions.release(owner);
    this.#returnListeners.delete(owner);
    for (const entry of this.#errorListeners) {
      if (entry.owner === owner) this.#errorListeners.delete(entry);
    }
  }

  /** Resolves when the client can serve commands; rejects when it has ended before that. */
  ready(owner: object): Promise<void> {
    return this.#waitingRoom.ready(owner);
  }

  /** Gives a command to the client, when the client has been ready once. */
  run<T>(owner: object, command: () => Promise<T>): Promise<T> {
    return this.#waitingRoom.run(owner, command);
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
    this.#waitingRoom.open();
    this.subscriptions.resume();
    if (this.#hasBeenReady) void this.#tellOfReturn();
    this.#hasBeenReady = true;
  }

  async #tellOfReturn(): Promise<void> {
    await this.subscriptions.restored();
    for (const listener of [...this.#returnListeners.values()]) listener();
  }

  #onEnd(error: unknown): void {
    this.#waitingRoom.end(new Error("The Redis client has ended before it was ready", { cause: error }));
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
