import type { EventEmitter } from "node:events";
import { callGuarded, watchPromise } from "../../shared/promises.js";
import type { Reporter } from "../log/reporter.js";
import type { NoticeEvent, ServerEvents } from "./events.js";

/** The events whose listeners answer nothing: they are told, and what they throw or reject with is reported. */
export class Notices<Auth> {
  readonly #emitter: EventEmitter;
  readonly #reporter: Reporter;

  constructor(emitter: EventEmitter, reporter: Reporter) {
    this.#emitter = emitter;
    this.#reporter = reporter;
  }

  /** Calls the listeners of an event. */
  notify<E extends NoticeEvent>(event: E, ...args: ServerEvents<Auth>[E]): void {
    for (const listener of this.#emitter.rawListeners(event)) {
      callGuarded(
        () => Reflect.apply(listener, this.#emitter, args),
        (error) => this.#reporter.error(`a listener for "${event}" failed`, error),
      );
    }
  }

  /** Calls the listeners of errors, and says whether there are any. Throws what they throw. */
  error(error: Error, context: string): boolean {
    const listeners = this.#emitter.rawListeners("error");
    for (const listener of listeners) {
      const returned: unknown = Reflect.apply(listener, this.#emitter, [error, context]);
      watchPromise(returned, () => this.#reporter.warn('an "error" listener has rejected'));
    }
    return listeners.length > 0;
  }

  /** Says whether the application listens to an event. */
  hears(event: NoticeEvent): boolean {
    return this.#emitter.listenerCount(event) > 0;
  }
}
