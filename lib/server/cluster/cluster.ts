import { v4 as uuid } from "uuid";
import { isObject, type JsonObject } from "../../shared/protocol.js";
import { startTimer } from "../../shared/times.js";
import {
  MOST_REVOCATIONS,
  ON_ITS_WAY,
  REVOCATION_LIFE,
  type Refreshes,
  type Revocation,
  type Revocations,
  type SelectionCommand,
} from "../auth/revocations.js";
import { isCloseReason, parseSelection, type Selection } from "../auth/selectors.js";
import { withoutSecret } from "../auth/token-store.js";
import { malformedCommand, type PubSub } from "../channels/pubsub.js";
import type { Connection } from "../connection/connection.js";
import type { ConnectionIndex } from "../connection/connection-index.js";
import { CLOCK_SKEW, steadyNow, toSteady } from "../limits/clock.js";
import { inTime } from "../limits/in-time.js";
import type { Limits } from "../limits/limits.js";
import type { Reporter } from "../log/reporter.js";
import type { Redis } from "../redis/redis.js";
import { Evictions } from "./evictions.js";

/** The parts of the server that the cluster needs. */
export interface ClusterParts<Auth> {
  readonly publisher: Redis;
  readonly pubsub: PubSub<Auth>;
  /** The beginning of the keys in Redis of the revocations of late. */
  readonly key: string;
  readonly limits: Limits;
  readonly revocations: Revocations;
  readonly refreshes: Refreshes;
  readonly index: ConnectionIndex<Connection<Auth>>;
  readonly reporter: Reporter;
}

/** A command to the other servers, and their answers so far. */
interface Asked {
  sockets: number;
  /** The number of connections to Redis that have answered in full; several servers may share one. */
  answered: number;
  /** To how many connections the command has gone; not known until Redis says so. */
  expected: number;
  done(): void;
}

/** The time that the others may take to answer, in milliseconds. Some may be too old to answer at all. */
const ANSWER_PATIENCE = 1_000;

/** The kinds of selections, each with a list of its own in Redis. */
const KINDS: readonly Selection["by"][] = ["identity", "sessionId", "sid"];

/** The time after which a server tries again to read what it has missed, in milliseconds. */
const RETRY_DELAY = 2_000;

/** Sums of fractions are not exact. */
const ALMOST = 1e-6;

/**
 * The servers that share a Redis: one closes sockets of all of them, asks them for a new identity, or lets them leave a
 * channel, wherever these are.
 */
export class Cluster<Auth> {
  readonly #parts: ClusterParts<Auth>;
  /** By it a server knows what it has said itself. */
  readonly #origin = uuid();
  readonly #asked = new Map<string, Asked>();
  readonly #evictions: Evictions;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(parts: ClusterParts<Auth>) {
    this.#parts = parts;
    const { publisher, pubsub, limits } = parts;
    this.#evictions = new Evictions({
      publisher,
      limits,
      key: this.#evictionsKey,
      broadcastCommand: (json) => pubsub.broadcastCommand(json),
      emptyHere: (channel) => pubsub.emptyHere(channel),
    });
  }

  /**
   * Closes sockets, here at once and then on the other servers, also those that are away from Redis as soon as they are
   * back. `hasEnded` says that it is a session's that has ended for good, so that later tokens are revoked, too. Resolves
   * with how many were closed, as far as the others have answered; rejects where Redis has not taken it.
   */
  async disconnect(selection: Selection, code: number, reason: string, hasEnded = false): Promise<number> {
    const id = uuid();
    const before = this.#parts.revocations.of(selection);
    const isFinal = hasEnded || before?.isFinal === true;
    const data = { ...selection, code, reason, at: Date.now(), ...(isFinal && { final: true }) };
    const json = JSON.stringify({ command: "disconnect", data, id, origin: this.#origin });
    const revocation = { id, selection, code, reason, at: steadyNow(), isFinal, entry: json };
    this.#parts.revocations.add(revocation);
    const here = this.#close(revocation, Infinity);
    const isDone = selection.by === "sid" && here > 0;
    if (isDone || !this.#parts.pubsub.enabled) return here;
    // first there, so that a server finds it that subscribes again too late to hear of it
    const recorded = this.#record(selection.by, json, before?.entry);
    recorded.catch(() => {});
    try {
      return here + (await this.#ask(id, json, recorded));
    } catch (error) {
      throw selection.by === "sessionId" ? withoutSecret(error, selection.value) : error;
    }
  }

  /** Puts a revocation into Redis, in place of an earlier one for the same selection. */
  async #record(by: Selection["by"], json: string, before: string | undefined): Promise<void> {
    const { publisher } = this.#parts;
    const key = this.#keyOf(by);
    await Promise.all([
      before !== undefined && publisher.remove(key, before),
      publisher.append(key, json, MOST_REVOCATIONS, REVOCATION_LIFE),
    ]);
  }

  /** Each kind has a list of its own, so that a flood of one pushes nothing out of another. */
  #keyOf(by: Selection["by"]): string {
    const { key } = this.#parts;
    // the list of version 4.0.0, which has all kinds in it
    return by === "identity" ? key : `${key}:${by}`;
  }

  /** Asks sockets for a new identity, likewise; resolves with how many. Tokens that are on their way count as asked for. */
  async refresh(selection: Selection): Promise<number> {
    const { pubsub, publisher, refreshes } = this.#parts;
    const id = uuid();
    refreshes.add({ id, selection, at: steadyNow() });
    const here = this.#refresh(selection);
    if (!pubsub.enabled || (selection.by === "sid" && here > 0)) return here;
    const data = { ...selection, at: Date.now() };
    const json = JSON.stringify({ command: "refresh", data, id, origin: this.#origin });
    const recorded = publisher.append(this.#refreshesKey, json, MOST_REVOCATIONS, REVOCATION_LIFE);
    recorded.catch(() => {});
    return here + (await this.#ask(id, json, recorded));
  }

  get #refreshesKey(): string {
    return `${this.#parts.key}:refreshes`;
  }

  get #evictionsKey(): string {
    return `${this.#parts.key}:evictions`;
  }

  /**
   * Lets all sockets of all servers leave a channel, those of servers that are away from Redis as soon as they are back.
   * Resolves when this server's have left.
   */
  unsubscribeAll(channel: string): Promise<void> {
    return this.#evictions.evict(channel);
  }

  /** Takes a command that some server has sent; one that it does not know is of a newer server. */
  receive(message: JsonObject): void {
    const { command, data, id, origin } = message;
    if (command === "unsubscribeAll") {
      if (!this.#evictions.receive(message)) this.#parts.reporter.error("pub/sub", malformedCommand());
      return;
    }
    if (typeof id !== "string" || !isObject(data)) return;
    const isOwn = origin === this.#origin;
    if (command === "answer") return isOwn ? undefined : this.#count(id, data.sockets, data.sharing);
    if (command !== "disconnect" && command !== "refresh") {
      return this.#parts.reporter.debug(() => "a newer server has sent a command that is unknown here");
    }
    if (isOwn) return this.#count(id, 0, this.#parts.pubsub.sharing);
    const selection = parseSelection(data);
    if (!selection) return;
    const sockets = command === "refresh" ? this.#refreshHeard(message) : this.#closeHeard(message);
    const answer = { sockets, sharing: this.#parts.pubsub.sharing };
    this.#parts.pubsub
      .broadcastCommand(JSON.stringify({ command: "answer", data: answer, id, origin: this.#origin }))
      .catch((error: unknown) => {
        if (!this.#closed) this.#parts.reporter.error("answering another server failed", error);
      });
  }

  /** Reads what was revoked, and who was to be asked, while this server could not hear of it. */
  catchUp(): void {
    clearTimeout(this.#retry);
    if (this.#closed) return;
    const { publisher } = this.#parts;
    const revoked = Promise.all(KINDS.map((by) => publisher.list(this.#keyOf(by))));
    const others = [this.#refreshesKey, this.#evictionsKey].map((key) => publisher.list(key));
    Promise.all([revoked, ...others]).then(
      ([lists, refreshes = [], evictions = []]) => {
        if (this.#closed) return;
        for (const json of lists.flat()) this.#closeMissed(parse(json));
        for (const json of refreshes) this.#refreshHeard(parse(json));
        this.#evictions.catchUp(evictions.map(parse));
      },
      (error: unknown) => {
        if (this.#closed) return;
        this.#parts.reporter.outage("reading what was revoked meanwhile failed", error);
        this.#retry = setTimeout(() => this.catchUp(), RETRY_DELAY);
        this.#retry.unref();
      },
    );
  }

  /** Waits for nobody any more. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    for (const asked of this.#asked.values()) asked.done();
    this.#evictions.close();
  }

  async #ask(id: string, json: string, recorded?: Promise<void>): Promise<number> {
    const { pubsub, limits } = this.#parts;
    let stopTimer = () => {};
    let done = () => {};
    const answered = new Promise<void>((resolve) => {
      done = resolve;
    });
    const asked: Asked = { sockets: 0, answered: 0, expected: Infinity, done };
    this.#asked.set(id, asked);
    try {
      const [expected] = await inTime(
        limits.redisTimeout,
        Promise.all([pubsub.broadcastCommand(json), recorded]),
      );
      asked.expected = expected;
      if (asked.answered < expected - ALMOST && !this.#closed) {
        stopTimer = startTimer(ANSWER_PATIENCE, done);
        await answered;
      }
      return asked.sockets;
    } finally {
      stopTimer();
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

  /** Carries a refresh out that another server has told, unless that has been done. */
  #refreshHeard(message: JsonObject): number {
    const refresh = parseRefresh(message);
    return refresh && this.#parts.refreshes.add(refresh) ? this.#refresh(refresh.selection) : 0;
  }

  /** Carries a revocation out that another server has just told, unless that has been done. */
  #closeHeard(message: JsonObject): number {
    const revocation = parseRevocation(message);
    if (!revocation) return 0;
    const now = steadyNow();
    // one that seems to be old is of a server whose clock is wrong
    const at = now - revocation.at > ON_ITS_WAY ? now : revocation.at;
    const heard = { ...revocation, at };
    return this.#parts.revocations.add(heard) ? this.#close(heard, Infinity) : 0;
  }

  /** Carries a revocation out that this server has not heard of, on sockets whose identity was not known by then. */
  #closeMissed(message: JsonObject): void {
    const { revocations } = this.#parts;
    const revocation = parseRevocation(message);
    if (!revocation) return;
    const known = revocations.of(revocation.selection);
    const isMore = revocation.isFinal && !known?.isFinal;
    if (known && known.at >= revocation.at && !isMore) return;
    if (revocations.add(revocation)) this.#close(revocation, CLOCK_SKEW);
  }

  #close({ selection, code, reason, at, isFinal }: Revocation, skew: number): number {
    return this.#each(selection, (connection) => {
      // without an identity it is known by its `sid` alone, which is never new
      const knownSince = connection.identity?.issuedAt ?? Number.NEGATIVE_INFINITY;
      if (!isFinal && knownSince > at + skew) return false;
      connection.close({ code, reason, reconnect: true });
      return true;
    });
  }

  /** Gives how many have done it. */
  #each(selection: Selection, act: (connection: Connection<Auth>) => boolean): number {
    return this.#parts.index.select(selection).filter(act).length;
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

/** One without a time is of version 4.0.0, and of just now. */
function parseRefresh({ command, data, id }: JsonObject): SelectionCommand | undefined {
  const selection = isObject(data) ? parseSelection(data) : undefined;
  if (command !== "refresh" || typeof id !== "string" || !isObject(data) || !selection) return undefined;
  const now = steadyNow();
  return { id, selection, at: typeof data.at === "number" ? Math.min(toSteady(data.at), now) : now };
}

function parseRevocation(message: JsonObject): Revocation | undefined {
  const { command, data, id } = message;
  if (command !== "disconnect" || typeof id !== "string" || !isObject(data)) return undefined;
  const selection = parseSelection(data);
  if (!selection || !isCloseReason(data) || typeof data.at !== "number") return undefined;
  const { code, reason, at, final } = data;
  return {
    id,
    selection,
    code,
    reason,
    at: toSteady(at),
    isFinal: final === true,
    entry: JSON.stringify(message),
  };
}
