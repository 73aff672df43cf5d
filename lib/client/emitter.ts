import { demand, type Logger } from "./options.js";

/** Events by name, and the arguments that their listeners get. */
export type EventMap<Events> = Record<keyof Events, unknown[]>;

type Listener<Args extends unknown[]> = (...args: Args) => unknown;

interface Entry {
  /** Not of the events' type, so that an emitter of known events is one of unknown ones, too. */
  readonly event: PropertyKey;
  readonly listener: (...args: never[]) => unknown;
  readonly isOnce: boolean;
}

/** A small event emitter. What a listener throws or rejects with is logged and goes no further. */
export class Emitter<Events extends EventMap<Events>> {
  readonly #report: (error: unknown) => void;
  /** Each change makes a new array, so that it does not disturb an event that is under way. */
  #entries: readonly Entry[] = [];

  constructor(logger: Logger) {
    this.#report = (error) => logger.error("A listener failed", error);
  }

  on<E extends keyof Events>(event: E, listener: Listener<Events[E]>): this {
    return this.#add({ event, listener, isOnce: false });
  }

  once<E extends keyof Events>(event: E, listener: Listener<Events[E]>): this {
    return this.#add({ event, listener, isOnce: true });
  }

  /** Removes a listener; where it was added several times, the one added last. */
  off<E extends keyof Events>(event: E, listener: Listener<Events[E]>): this {
    return this.#remove(
      this.#entries.findLast((entry) => entry.event === event && entry.listener === listener),
    );
  }

  addListener<E extends keyof Events>(event: E, listener: Listener<Events[E]>): this {
    return this.on(event, listener);
  }

  removeListener<E extends keyof Events>(event: E, listener: Listener<Events[E]>): this {
    return this.off(event, listener);
  }

  /** Removes all listeners of one event, or of all. */
  removeAllListeners(event?: keyof Events): this {
    this.#entries = this.#entries.filter((entry) => event !== undefined && entry.event !== event);
    return this;
  }

  protected emit<E extends keyof Events>(event: E, ...args: Events[E]): void {
    for (const entry of this.#entries) {
      if (entry.event !== event) continue;
      if (entry.isOnce) this.#remove(entry);
      try {
        const returned = (entry.listener as Listener<Events[E]>)(...args);
        if (returned instanceof Promise) returned.catch(this.#report);
      } catch (error) {
        this.#report(error);
      }
    }
  }

  #add(entry: Entry): this {
    demand(typeof entry.listener === "function", "listener", "function");
    this.#entries = [...this.#entries, entry];
    return this;
  }

  #remove(entry: Entry | undefined): this {
    this.#entries = this.#entries.filter((other) => other !== entry);
    return this;
  }
}
