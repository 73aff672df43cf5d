import { TimeoutError } from "../../shared/call-errors.js";
import type { ClusterAnswer, SocketInfo } from "../api/audience.js";
import type { AnswerPart } from "./answers.js";

/** The outcome of a question to several servers. */
export interface Outcome {
  readonly answers: readonly ClusterAnswer<unknown>[];
  readonly missing: readonly string[];
  /** The number of sockets that servers have counted without naming them, as older ones do. */
  readonly count: number;
  readonly found: readonly SocketInfo[];
  /** Whether some server has more sockets than it has told. */
  readonly isMore: boolean;
}

/** Sums of fractions are not exact. */
const ALMOST = 1e-6;

/**
 * A question to several servers, and their answers so far. Each server that gets it sends a receipt at once, which says which
 * sockets are still to answer: so one that is silent is told from one whose sockets are slow.
 */
export class Inquiry {
  readonly #answers: ClusterAnswer<unknown>[] = [];
  readonly #found: SocketInfo[] = [];
  #count = 0;
  #isMore = false;
  readonly #heard = new Set<string>();
  /** The sockets that are still to answer, and their servers. */
  readonly #waiting = new Map<string, string>();
  /** The number of connections to Redis whose servers have all sent a receipt; several servers may share one. */
  #receipts = 0;
  /** To how many connections the question has gone; not known until Redis says so. */
  #expected = Infinity;
  /** The servers to be heard of, once the registry was asked; then it does not matter how many connections there are. */
  #required: ReadonlySet<string> | undefined;
  /** Whether no receipt is waited for any more. */
  #isClosed = false;
  /** Whether nobody is waited for any more. */
  #isStopped = false;
  readonly #onChange: () => void;

  /** `onChange` is called whenever something has come. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** Whether as many servers have got the question as have sent a receipt. */
  get isComplete(): boolean {
    // Stryker disable next-line EqualityOperator: no sum is off by exactly so much
    return this.#receipts >= this.#expected - ALMOST;
  }

  get isAnswered(): boolean {
    return this.#isStopped || (this.#isReceived && this.#waiting.size === 0);
  }

  get #isReceived(): boolean {
    if (this.#isClosed || this.isComplete) return true;
    return this.#required !== undefined && [...this.#required].every((id) => this.#heard.has(id));
  }

  hasHeard(server: string): boolean {
    return this.#heard.has(server);
  }

  expect(connections: number): void {
    this.#expected = connections;
    this.#onChange();
  }

  require(servers: ReadonlySet<string>): void {
    this.#required = servers;
    this.#onChange();
  }

  /** Waits for no more receipts. */
  closeReceipts(): void {
    this.#isClosed = true;
    this.#onChange();
  }

  /** Waits for nobody any more. */
  stop(): void {
    this.#isStopped = true;
    this.#onChange();
  }

  /** Counts the receipt of a server that shares its connection with as many. */
  receive(sharing: number): void {
    this.#receipts += 1 / Math.max(1, sharing);
    this.#onChange();
  }

  /** Takes a part of a server's answer; an empty one may be of a server that has nothing to do with the question. */
  add(server: string, { waits = [], answers = [], count = 0, found = [], isMore = false }: AnswerPart): void {
    this.#heard.add(server);
    for (const sid of waits) this.#waiting.set(sid, server);
    for (const answer of answers) {
      this.#waiting.delete(answer.sid);
      this.#answers.push({ ...answer, server });
    }
    for (const socket of found) this.#found.push({ ...socket, server });
    this.#count += count;
    this.#isMore ||= isMore;
    this.#onChange();
  }

  /** Gives what has come; sockets that have not answered have a `TimeoutError` after so many milliseconds. */
  end(timeout: number, missing: readonly string[]): Outcome {
    const late = [...this.#waiting].map(([sid, server]) => ({
      sid,
      server,
      error: new TimeoutError(timeout),
    }));
    return {
      answers: [...this.#answers, ...late],
      missing,
      count: this.#count,
      found: this.#found,
      isMore: this.#isMore,
    };
  }
}
