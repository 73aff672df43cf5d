type Task = () => void | Promise<void>;

/**
 * Runs tasks one after another for each key, and tasks for all keys between those before and after them. A
 * task that nothing is waiting for runs at once. Tasks must not throw or reject.
 */
export class KeyedQueue {
  /** Absent while there is none: most connections have long had their last one. */
  #tails: Map<string, Promise<void>> | undefined;
  /** The last task for all keys; what comes after it waits for it. */
  #barrier: Promise<void> | undefined;
  #waiting = 0;

  /** The number of tasks that are not done. */
  get waiting(): number {
    return this.#waiting;
  }

  run(key: string, task: Task): void {
    const running = this.#start(this.#tails?.get(key) ?? this.#barrier, task);
    if (!running) return;
    this.#tails ??= new Map();
    this.#tails.set(key, running);
    running.then(() => {
      if (this.#tails?.get(key) === running) this.#tails.delete(key);
      if (this.#tails?.size === 0) this.#tails = undefined;
    });
  }

  runAll(task: Task): void {
    const before = [...(this.#tails?.values() ?? [])];
    if (this.#barrier) before.push(this.#barrier);
    const running = this.#start(before.length > 0 ? Promise.all(before) : undefined, task);
    if (!running) return;
    this.#tails = undefined;
    this.#barrier = running;
    running.then(() => {
      if (this.#barrier === running) this.#barrier = undefined;
    });
  }

  /** Returns the task's end, or nothing where it has ended already. */
  #start(previous: Promise<unknown> | undefined, task: Task): Promise<void> | undefined {
    const running = previous ? previous.then(task) : task();
    if (!running) return undefined;
    this.#waiting++;
    return running.then(() => {
      this.#waiting--;
    });
  }
}
