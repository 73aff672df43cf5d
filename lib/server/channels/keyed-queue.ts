type Task<T> = () => T | Promise<T>;

/**
 * Runs tasks one after another for each key, and tasks for all keys between those before and after them. A
 * task that nothing is waiting for runs at once. What a task gives or throws is its caller's alone.
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

  /** Runs a task after those of its key; gives what it gives, at once where it does. */
  run<T>(key: string, task: Task<T>): T | Promise<T> {
    const before = this.#tails?.get(key) ?? this.#barrier;
    const running = before ? before.then(task) : task();
    if (!(running instanceof Promise)) return running;
    const tail = this.#follow(running, () => {
      if (this.#tails?.get(key) === tail) this.#tails.delete(key);
      // Stryker disable next-line ConditionalExpression: what is empty only takes memory
      if (this.#tails?.size === 0) this.#tails = undefined;
    });
    this.#tails ??= new Map();
    this.#tails.set(key, tail);
    return running;
  }

  /** Runs a task after those of all keys, likewise. */
  runAll<T>(task: Task<T>): T | Promise<T> {
    const before = [...(this.#tails?.values() ?? [])];
    if (this.#barrier) before.push(this.#barrier);
    const running = before.length > 0 ? Promise.all(before).then(task) : task();
    if (!(running instanceof Promise)) return running;
    const tail = this.#follow(running, () => {
      if (this.#barrier === tail) this.#barrier = undefined;
    });
    this.#tails = undefined;
    this.#barrier = tail;
    return running;
  }

  /** Counts a task until its end, however it ends; gives that end. */
  #follow(running: Promise<unknown>, onEnd: () => void): Promise<void> {
    this.#waiting++;
    const end = () => {
      this.#waiting--;
      onEnd();
    };
    return running.then(end, end);
  }
}
