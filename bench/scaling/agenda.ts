interface Event {
  readonly at: number;
  /** Of two at the same time the earlier made one comes first. */
  readonly number: number;
  readonly act: () => void;
}

/** What is going to happen, carried out in the order of time (a binary heap). */
export class Agenda {
  readonly #heap: Event[] = [];
  #made = 0;
  #now = 0;

  get now(): number {
    return this.#now;
  }

  add(at: number, act: () => void): void {
    const heap = this.#heap;
    const event = { at: Math.max(at, this.#now), number: this.#made++, act };
    let place = heap.push(event) - 1;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = heap[above];
      if (!parent || isBefore(parent, event)) break;
      heap[place] = parent;
      place = above;
    }
    heap[place] = event;
  }

  /** Carries all out that happens up to a time. */
  run(until: number): void {
    for (let first = this.#heap[0]; first && first.at <= until; first = this.#heap[0]) {
      this.#removeFirst();
      this.#now = first.at;
      first.act();
    }
    this.#now = until;
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (!last || heap.length === 0) return;
    let place = 0;
    for (;;) {
      let below = 2 * place + 1;
      let child = heap[below];
      const other = heap[below + 1];
      if (child && other && isBefore(other, child)) {
        below++;
        child = other;
      }
      if (!child || isBefore(last, child)) break;
      heap[place] = child;
      place = below;
    }
    heap[place] = last;
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.at < other.at || (one.at === other.at && one.number < other.number);
}
