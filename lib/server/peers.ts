import { v4 as uuid } from "uuid";
import { isObject, type JsonObject } from "../shared/protocol.js";
import type { Connection } from "./connection.js";
import { inTime } from "./in-time.js";
import type { PubSub } from "./pubsub.js";
import type { Redis } from "./redis/redis.js";
import type { Reporter } from "./reporter.js";
import { MOST_REVOCATIONS, REVOCATION_LIFE, type Revocation, type Revocations } from "./revocations.js";
import { isCloseReason, isSelected, parseSelection, type Selection } from "./selectors.js";

/** What a server needs to speak with the others on the same Redis. */
export interface PeersParts<Auth> {
  readonly publisher: Redis;
  readonly pubsub: PubSub<Auth>;
  /** The key in Redis of the revocations of late. */
  readonly key: string;
  /** How long Redis may take, in milliseconds. */
  readonly redisTimeout: number;
  readonly revocations: Revocations;
  readonly connections: () => Iterable<Connection<Auth>>;
  readonly reporter: Reporter;
}

/** What the other servers have answered so far. */
interface Asked {
  sockets: number;
  /** How many connections to Redis have answered in full; several servers may share one. */
  answered: number;
  /** To how many connections the question has gone; not known until Redis says so. */
  expected: number;
  done(): void;
}

/** How long the others may take to answer, in milliseconds. Some may be too old to answer at all. */
const ANSWER_PATIENCE = 1_000;

/** By how much the clocks of two servers may differ, in milliseconds, when a revocation comes too late to tell. */
const CLOCK_SKEW = 5_000;

/** When a server tries again to read what it has missed, in milliseconds. */
const RETRY_AFTER = 2_000;

/** Sums of fractions are not exact. */
const ALMOST = 1e-6;

/** Finds sockets on all servers that share a Redis: closes them, or asks them for a new identity. */
export class Peers<Auth> {
  readonly #parts: PeersParts<Auth>;
  /** By it a server knows what it has said itself. */
  readonly #origin = uuid();
  readonly #asked = new Map<string, Asked>();
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(parts: PeersParts<Auth>) {
    this.#parts = parts;
  }

  /**
   * Closes sockets, here at once and then on the other servers, also those that are away from Redis as soon as they are
   * back. Resolves with how many were closed, as far as the others have answered; rejects where Redis has not taken it.
   */
  async disconnect(selection: Selection, code: number, reason: string): Promise<number> {
    const { revocations, publisher, key } = this.#parts;
    const revocation = { id: uuid(), selection, code, reason, at: Date.now() };
    revocations.add(revocation);
    const here = this.#close(revocation, Infinity);
    const isDone = selection.by === "sid" && here > 0;
    if (isDone || !this.#parts.pubsub.enabled) return here;
    const { id, at } = revocation;
    const data = { ...selection, code, reason, at };
    const json = JSON.stringify({ command: "disconnect", data, id, origin: this.#origin });
    // first there, so that a server finds it that subscribes again too late to hear of it
    const recorded = publisher.append(key, json, MOST_REVOCATIONS, REVOCATION_LIFE);
    recorded.catch(() => {});
    return here + (await this.#ask(id, json, recorded));
  }

  /** Asks sockets for a new identity; resolves with how many, likewise. */
  async refresh(selection: Selection): Promise<number> {
    const here = this.#refresh(selection);
    if (!this.#parts.pubsub.enabled || (selection.by === "sid" && here > 0)) return here;
    const id = uuid();
    const json = JSON.stringify({ command: "refresh", data: selection, id, origin: this.#origin });
    return here + (await this.#ask(id, json));
  }

  /** Takes a command that some server has sent; one that it does not know is of a newer server. */
  receive(message: JsonObject): void {
    const { command, data, id, origin } = message;
    if (typeof id !== "string" || !isObject(data)) return;
    const isOwn = origin === this.#origin;
    if (command === "answer") return isOwn ? undefined : this.#count(id, data.sockets, data.sharing);
    if (command !== "disconnect" && command !== "refresh") {
      return this.#parts.reporter.debug(() => "a newer server has sent a command that is unknown here");
    }
    if (isOwn) return this.#count(id, 0, this.#parts.pubsub.sharing);
    const selection = parseSelection(data);
    if (!selection) return;
    const sockets = command === "refresh" ? this.#refresh(selection) : this.#closeNew(message, Infinity);
    const answer = { sockets, sharing: this.#parts.pubsub.sharing };
    this.#parts.pubsub
      .tell(JSON.stringify({ command: "answer", data: answer, id, origin: this.#origin }))
      .catch((error: unknown) => {
        if (!this.#closed) this.#parts.reporter.error("answering another server failed", error);
      });
  }

  /** Reads what was revoked while this server could not hear of it. */
  catchUp(): void {
    clearTimeout(this.#retry);
    if (this.#closed) return;
    this.#parts.publisher.list(this.#parts.key).then(
      (revoked) => {
        if (!this.#closed) for (const json of revoked) this.#closeNew(parse(json), CLOCK_SKEW);
      },
      (error: unknown) => {
        if (this.#closed) return;
        this.#parts.reporter.error("reading what was revoked meanwhile failed", error);
        this.#retry = setTimeout(() => this.catchUp(), RETRY_AFTER);
        this.#retry.unref();
      },
    );
  }

  /** Waits for nobody any more. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    for (const asked of this.#asked.values()) asked.done();
  }

  async #ask(id: string, json: string, recorded?: Promise<void>): Promise<number> {
    const { pubsub, redisTimeout } = this.#parts;
    let timer: NodeJS.Timeout | undefined;
    let done = () => {};
    const answered = new Promise<void>((resolve) => {
      done = resolve;
    });
    const asked: Asked = { sockets: 0, answered: 0, expected: Infinity, done };
    this.#asked.set(id, asked);
    try {
      const [expected] = await inTime(redisTimeout, Promise.all([pubsub.tell(json), recorded]));
      asked.expected = expected;
      if (asked.answered < expected - ALMOST && !this.#closed) {
        timer = setTimeout(done, ANSWER_PATIENCE);
        await answered;
      }
      return asked.sockets;
    } finally {
      clearTimeout(timer);
      this.#asked.delete(id);
    }
  }

  #count(id: string, sockets: unknown, sharing: unknown): void {
    const asked = this.#asked.get(id);
    if (!asked || !Number.isSafeInteger(sockets) || !Number.isSafeInteger(sharing)) return;
    asked.sockets += Math.max(0, Number(sockets));
    asked.answered += 1 / Math.max(1, Number(sharing));
    if (asked.answered >= asked.expected - ALMOST) asked.done();
  }

  #refresh(selection: Selection): number {
    return this.#each(selection, (connection) => connection.identified && connection.refresh());
  }

  /** Carries a revocation out, unless that has been done. */
  #closeNew(message: JsonObject, skew: number): number {
    const revocation = parseRevocation(message);
    return revocation && this.#parts.revocations.add(revocation) ? this.#close(revocation, skew) : 0;
  }

  #close({ selection, code, reason, at }: Revocation, skew: number): number {
    return this.#each(selection, (connection) => {
      if (connection.knownSince > at + skew) return false;
      connection.close({ code, reason, reconnect: true });
      return true;
    });
  }

  /** Gives how many have done it. */
  #each(selection: Selection, act: (connection: Connection<Auth>) => boolean): number {
    const selected = [...this.#parts.connections()].filter(({ marks }) => isSelected(marks, selection));
    return selected.filter(act).length;
  }
}

function parse(json: string): JsonObject {
  try {
    const value: unknown = JSON.parse(json);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

function parseRevocation({ command, data, id }: JsonObject): Revocation | undefined {
  if (command !== "disconnect" || typeof id !== "string" || !isObject(data)) return undefined;
  const selection = parseSelection(data);
  if (!selection || !isCloseReason(data) || typeof data.at !== "number") return undefined;
  return { id, selection, code: data.code, reason: data.reason, at: data.at };
}
