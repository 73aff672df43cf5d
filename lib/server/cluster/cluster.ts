import { v4 as uuid } from "uuid";
import { isObject, type JsonObject } from "../../shared/protocol.js";
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
import { type Asker, parse } from "./asker.js";
import { Evictions } from "./evictions.js";
import type { IdentityChannels } from "./identity-channels.js";
import type { Outcome } from "./inquiry.js";
import { type Action, encodeRequest, parseRequest } from "./requests.js";
import type { Responder } from "./responder.js";
import { parseTarget, type SocketTarget } from "./target.js";

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
  readonly asker: Asker;
  readonly responder: Responder<Auth>;
  readonly identityChannels: IdentityChannels;
  readonly reporter: Reporter;
}

/** A question's time limit, in milliseconds, and a signal that ends it. */
export interface QuestionOptions {
  readonly timeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The time that other servers may take to answer, in milliseconds. Some may be too old to answer at all. */
const ANSWER_PATIENCE = 1_000;

/** The kinds of selections, each with a list of its own in Redis. */
const KINDS: readonly Selection["by"][] = ["identity", "sessionId", "sid"];

/** The time after which a server tries again to read what it has missed, in milliseconds. */
const RETRY_DELAY = 2_000;

/**
 * The servers that share a Redis: one closes sockets of all of them, asks them for a new identity, or lets them leave a
 * channel, wherever these are.
 */
export class Cluster<Auth> {
  readonly #parts: ClusterParts<Auth>;
  /** By it a server knows what it has said itself. */
  readonly #origin: string;
  readonly #evictions: Evictions;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(parts: ClusterParts<Auth>) {
    this.#parts = parts;
    const { publisher, pubsub, limits } = parts;
    this.#origin = parts.asker.id;
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
   * with those that were closed, as far as the others have answered; rejects where Redis has not taken it.
   */
  async disconnect(selection: Selection, code: number, reason: string, hasEnded = false): Promise<Outcome> {
    const id = uuid();
    const before = this.#parts.revocations.of(selection);
    const isFinal = hasEnded || before?.isFinal === true;
    const data = { ...selection, code, reason, at: Date.now(), ...(isFinal && { final: true }) };
    const json = this.#encode("disconnect", id, data);
    const revocation = { id, selection, code, reason, at: steadyNow(), isFinal, entry: json };
    this.#parts.revocations.add(revocation);
    const here = this.#close(revocation, Infinity);
    const isDone = selection.by === "sid" && here.length > 0;
    if (isDone || !this.#parts.pubsub.enabled) return this.#outcome(here);
    // first there, so that a server finds it that subscribes again too late to hear of it
    const recorded = this.#record(selection.by, json, before?.entry);
    recorded.catch(() => {});
    try {
      return await this.#ask(id, json, here, recorded);
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

  /** Asks sockets for a new identity, likewise; resolves with those. Tokens that are on their way count as asked for. */
  async refresh(selection: Selection): Promise<Outcome> {
    const { pubsub, publisher, refreshes } = this.#parts;
    const id = uuid();
    refreshes.add({ id, selection, at: steadyNow() });
    const here = this.#refresh(selection);
    if (!pubsub.enabled || (selection.by === "sid" && here.length > 0)) return this.#outcome(here);
    const json = this.#encode("refresh", id, { ...selection, at: Date.now() });
    const recorded = publisher.append(this.#refreshesKey, json, MOST_REVOCATIONS, REVOCATION_LIFE);
    recorded.catch(() => {});
    return this.#ask(id, json, here, recorded);
  }

  /**
   * Has something done with the sockets of a target, by the servers that have them: those of an identity are asked by its own
   * channel, and all others by that which all hear. Rejects where Redis has not taken the request, and where it is aborted.
   */
  async reach(target: SocketTarget, action: Action, options: QuestionOptions = {}): Promise<Outcome> {
    const { asker, responder, identityChannels, pubsub, limits, index } = this.#parts;
    const { timeout = ANSWER_PATIENCE, signal } = options;
    const id = uuid();
    const json = encodeRequest({ id, answerTo: this.#origin, target, action });
    const isHere = target.by === "sid" && index.select(target).length > 0;
    if (pubsub.enabled && !isHere) await inTime(limits.redisTimeout, asker.started);
    const isOfIdentity = target.by === "identity";
    const send = () => {
      if (isHere) return Promise.resolve(0);
      return isOfIdentity ? identityChannels.publish(target.value, json) : pubsub.broadcastCommand(json);
    };
    const probe = isOfIdentity ? () => pubsub.broadcastCommand(this.#encode("who", id, {})) : undefined;
    return asker.ask({ id, send, probe, timeout, signal }, (tell) =>
      responder.carryOut(target, action, tell),
    );
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
    const { asker, pubsub, reporter } = this.#parts;
    const isOwn = origin === this.#origin;
    const answerTo = typeof message.answerTo === "string" ? message.answerTo : undefined;
    switch (command) {
      case "to":
        return this.receiveRequest(message, pubsub.sharing);
      case "who":
        return isOwn || answerTo === undefined ? undefined : asker.show(answerTo, id);
      case "answer":
        return isOwn ? undefined : this.#count(id, data);
      case "disconnect":
      case "refresh":
        return isOwn ? asker.echo(id, pubsub.sharing) : this.#carryOut(message, id, data, answerTo);
      default:
        reporter.debug(() => "a newer server has sent a command that is unknown here");
    }
  }

  /** Takes a request of some server, which came by a channel that so many servers hear by the same connection as this one. */
  receiveRequest(message: JsonObject, sharing: number): void {
    const { asker, responder, limits, reporter } = this.#parts;
    const request = parseRequest(message, limits);
    if (!request) return reporter.debug(() => "a newer server has sent a request that is unknown here");
    const { id, answerTo, target, action } = request;
    if (answerTo === this.#origin) return asker.echo(id, sharing);
    let isFirst = true;
    responder.carryOut(target, action, (part) => {
      asker.answer(answerTo, id, part, isFirst ? sharing : undefined);
      isFirst = false;
    });
  }

  /** Takes what has come by the channel of an identity. */
  receiveByIdentity(json: string): void {
    const message = parse(json);
    const target = isObject(message.data) ? parseTarget(message.data) : undefined;
    if (target?.by !== "identity") return;
    this.receiveRequest(message, this.#parts.identityChannels.sharing(target.value));
  }

  /** Carries out what another server has told, and answers it; one that names no server to answer to is an older one. */
  #carryOut(message: JsonObject, id: string, data: JsonObject, answerTo: string | undefined): void {
    const { asker, pubsub, reporter } = this.#parts;
    if (!parseSelection(data)) return;
    const sids =
      message.command === "refresh"
        ? this.#refreshOnce(justTold(parseRefresh(message)))
        : this.#closeHeard(justTold(parseRevocation(message)));
    const { sharing } = pubsub;
    if (answerTo !== undefined) return asker.answer(answerTo, id, { answers: sids.map(done) }, sharing);
    pubsub
      .broadcastCommand(
        JSON.stringify({
          command: "answer",
          data: { sockets: sids.length, sharing },
          id,
          origin: this.#origin,
        }),
      )
      .catch((error: unknown) => {
        if (!this.#closed) reporter.error("answering another server failed", error);
      });
  }

  /** Reads what was revoked, and who was to be asked, while this server could not hear of it. */
  catchUp(): void {
    clearTimeout(this.#retry);
    if (this.#closed) return;
    const { publisher } = this.#parts;
    const revoked = Promise.all(KINDS.map((by) => publisher.list(this.#keyOf(by))));
    Promise.all([revoked, publisher.list(this.#refreshesKey), publisher.list(this.#evictionsKey)]).then(
      ([lists, refreshes, evictions]) => {
        if (this.#closed) return;
        for (const json of lists.flat()) this.#closeMissed(parse(json));
        for (const json of refreshes) this.#refreshOnce(parseRefresh(parse(json)));
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
    this.#parts.asker.close();
    this.#evictions.close();
  }

  /** Tells all servers something; `recorded` has to be done, too. */
  #ask(id: string, json: string, here: readonly string[], recorded: Promise<void>): Promise<Outcome> {
    const { pubsub, asker } = this.#parts;
    const send = async () => {
      const [expected] = await Promise.all([pubsub.broadcastCommand(json), recorded]);
      return expected;
    };
    return asker.ask({ id, send, timeout: ANSWER_PATIENCE }, (tell) => tell({ answers: here.map(done) }));
  }

  /** A command to all servers. Older ones answer by the channel that all hear. */
  #encode(command: string, id: string, data: object): string {
    const { answerTo } = this.#parts.asker;
    return JSON.stringify({ command, data, id, origin: this.#origin, answerTo });
  }

  #outcome(sids: readonly string[]): Outcome {
    const answers = sids.map((sid) => ({ ...done(sid), server: this.#origin }));
    return { answers, missing: [], count: 0, found: [], isMore: false };
  }

  /** Counts the answer of an older server. */
  #count(id: string, { sockets, sharing }: JsonObject): void {
    if (!Number.isSafeInteger(sockets) || !Number.isSafeInteger(sharing)) return;
    this.#parts.asker.count(id, Math.max(0, Number(sockets)), Number(sharing));
  }

  #refresh(selection: Selection): string[] {
    return this.#each(selection, (connection) => connection.identified && connection.refresh());
  }

  /** Carries a refresh out that another server has told, unless that has been done. */
  #refreshOnce(refresh: SelectionCommand | undefined): string[] {
    return refresh && this.#parts.refreshes.add(refresh) ? this.#refresh(refresh.selection) : [];
  }

  /** Carries a revocation out that another server has just told, unless that has been done. */
  #closeHeard(revocation: Revocation | undefined): string[] {
    return revocation && this.#parts.revocations.add(revocation) ? this.#close(revocation, Infinity) : [];
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

  #close({ selection, code, reason, at, isFinal }: Revocation, skew: number): string[] {
    return this.#each(selection, (connection) => {
      // without an identity it is known by its `sid` alone, which is never new
      const knownSince = connection.identity?.issuedAt ?? Number.NEGATIVE_INFINITY;
      const isMeant = isFinal || knownSince <= at + skew;
      if (isMeant) connection.close({ code, reason, reconnect: true });
      return isMeant;
    });
  }

  /** Gives the `sid` of each that has done it. */
  #each(selection: Selection, act: (connection: Connection<Auth>) => boolean): string[] {
    return this.#parts.index
      .select(selection)
      .filter(act)
      .map(({ sid }) => sid);
  }
}

/** The answer of a socket that has done what was asked. */
function done(sid: string): { readonly sid: string; readonly value: true } {
  return { sid, value: true };
}

/** Gives a command that has just come: one that seems to be old is of a server whose clock is wrong, and of now. */
function justTold<Command extends SelectionCommand>(command: Command | undefined): Command | undefined {
  const now = steadyNow();
  return command && now - command.at > ON_ITS_WAY ? { ...command, at: now } : command;
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
