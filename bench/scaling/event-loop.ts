import type { Agenda } from "./agenda.js";

interface Job {
  readonly came: number;
  readonly work: number;
  readonly begin: (at: number) => void;
}

/**
 * What does one job after the other, in the order in which they come: a server, or Redis. What has come while it was busy it takes
 * all at once, and each such turn costs something by itself. Where that is nothing, this is the queue of textbooks.
 */
export class EventLoop {
  readonly #agenda: Agenda;
  readonly #turn: number;
  #waiting: Job[] = [];
  #isBusy = false;
  jobs = 0;
  /** How long all jobs so far take together, without the turns; and how long these take with them. */
  work = 0;
  awake = 0;
  turns = 0;
  /** How long jobs have waited together until they were begun. */
  waited = 0;

  constructor(agenda: Agenda, turn: number) {
    this.#agenda = agenda;
    this.#turn = turn;
  }

  /** Takes a job that comes now; calls `begin`, as soon as that is known, with the time at which it is going to be begun. */
  take(work: number, begin: (at: number) => void = () => {}): void {
    this.#waiting.push({ came: this.#agenda.now, work, begin });
    if (!this.#isBusy) this.#next();
  }

  #next(): void {
    const jobs = this.#waiting;
    this.#isBusy = jobs.length > 0;
    if (!this.#isBusy) return;
    this.#waiting = [];
    const start = this.#agenda.now;
    let at = start + this.#turn;
    for (const { came, work, begin } of jobs) {
      begin(at);
      this.waited += at - came;
      this.work += work;
      at += work;
    }
    this.jobs += jobs.length;
    this.turns++;
    this.awake += at - start;
    this.#agenda.add(at, () => this.#next());
  }
}
