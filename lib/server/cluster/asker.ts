import { onAbort } from "../../shared/abort.js";
import { AbortedError } from "../../shared/call-errors.js";
import { isObject, type JsonObject } from "../../shared/protocol.js";
import { startTimer } from "../../shared/times.js";
import { inTime } from "../limits/in-time.js";
import type { Reporter } from "../log/reporter.js";
import type { Broker } from "../redis/broker.js";
import type { ListedServer } from "../redis/server-list.js";
import { isAlive, type Registry } from "../registry/registry.js";
import { type AnswerPart, encodePart, parsePart } from "./answers.js";
import { Inquiry, type Outcome } from "./inquiry.js";

export interface AskerParts {
  readonly publisher: Broker;
  /** Absent where pub/sub is off. */
  readonly subscriber: Broker | undefined;
  readonly channelPrefix: string;
  readonly registry: Pick<Registry, "id" | "list" | "overdue">;
  /** The time that Redis may take to answer, in milliseconds. */
  readonly patience: number;
  readonly reporter: Reporter;
}

/** A question to other servers. */
export interface Question {
  readonly id: string;
  /** Sends it; resolves with the number of connections that it has gone to. */
  readonly send: () => Promise<number>;
  /** Asks all servers for a sign of life, where the question does not go to all; resolves when Redis has taken that. */
  readonly probe?: (() => Promise<unknown>) | undefined;
  /** Milliseconds that the answers may take. */
  readonly timeout: number;
  readonly signal?: AbortSignal | undefined;
}

/** The time that a server may take for its receipt, in milliseconds. Some may be too old to send one at all. */
const RECEIPT_PATIENCE = 1_000;

/** The time after which the asker looks which servers there are, and that where some were silent of late, in milliseconds. */
const LOOK_AFTER = 250;
const LOOK_SOON = 20;

/** The time for which a server that has died is named as missing while somebody still holds its connections, in milliseconds. */
const NAMED_FOR = 600_000;

/** Asks other servers, and gets their answers by a reserved channel of its own: what others are answered does not come here. */
export class Asker {
  readonly #parts: AskerParts;
  readonly #inquiries = new Map<string, Inquiry>();
  /** Servers that have sent no receipt, by their last write at that time: they are not waited for until they write again. */
  readonly #suspects = new Map<string, number>();
  /** Resolves when it hears answers. */
  readonly started: Promise<void>;
  /** Where it hears answers. */
  #hearing: Broker | undefined;
  #onStarted = () => {};

  constructor(parts: AskerParts) {
    this.#parts = parts;
    this.started = new Promise((resolve) => {
      this.#onStarted = resolve;
    });
  }

  /** Subscribes to the answers; does nothing where pub/sub is off. */
  async start(): Promise<void> {
    const { subscriber, registry } = this.#parts;
    if (!subscriber) return;
    await subscriber.subscribe(this.#channelOf(registry.id), this.#onPayload);
    this.#hearing = subscriber;
    this.#onStarted();
  }

  /** This server's id. */
  get id(): string {
    return this.#parts.registry.id;
  }

  /** The server to which others are to send their answers; undefined as long as it would not hear them. */
  get answerTo(): string | undefined {
    return this.#hearing ? this.#parts.registry.id : undefined;
  }

  /**
   * Asks a question. `own` gets the function that takes this server's own answers, before the others are asked. Resolves
   * with what has come in time, whoever is silent; rejects where Redis has not taken the question, and where it is aborted.
   */
  async ask(question: Question, own: (tell: (part: AnswerPart) => void) => void): Promise<Outcome> {
    const { id, timeout, signal } = question;
    const { registry, subscriber, patience } = this.#parts;
    if (signal?.aborted) throw new AbortedError(signal.reason);
    let changed = () => {};
    const inquiry = new Inquiry(() => changed());
    this.#inquiries.set(id, inquiry);
    const stops: (() => void)[] = [() => this.#inquiries.delete(id)];
    try {
      const ended = new Promise<void>((resolve, reject) => {
        changed = () => inquiry.isAnswered && resolve();
        // Stryker disable next-line OptionalChaining: without a signal nothing is aborted
        stops.push(onAbort(signal, () => reject(new AbortedError(signal?.reason))));
        stops.push(startTimer(timeout, resolve));
      });
      ended.catch(() => {});
      own((part) => inquiry.add(registry.id, part));
      if (!subscriber) inquiry.expect(0);
      else inquiry.expect(await inTime(patience, question.send()));
      const looking = this.#look(inquiry, question, stops);
      await ended;
      return inquiry.end(timeout, await this.#missing(inquiry, await looking()));
    } finally {
      for (const stop of stops) stop();
    }
  }

  /** Counts the receipt of a question of this server's own that has come back. */
  echo(id: string, sharing: number): void {
    this.#inquiries.get(id)?.receive(sharing);
  }

  /** Counts an answer of an older server, which tells neither who it is nor which sockets it has found. */
  count(id: string, sockets: number, sharing: number): void {
    const inquiry = this.#inquiries.get(id);
    if (!inquiry) return;
    // Stryker disable next-line StringLiteral: it is the id of no server, whatever it is
    inquiry.add("", { count: sockets });
    inquiry.receive(sharing);
  }

  /** Answers another server's question: with a receipt where it says how many servers share its connection. */
  answer(to: string, id: string, part: AnswerPart, sharing?: number): void {
    const { publisher, registry, reporter } = this.#parts;
    publisher
      .publish(this.#channelOf(to), encodePart({ id, server: registry.id, sharing }, part))
      .catch((error: unknown) => reporter.debug(() => `answering another server failed: ${error}`));
  }

  /** Gives another server a sign of life, which waits for the receipts of its question. */
  show(to: string, id: string): void {
    this.answer(to, id, {});
  }

  /** Waits for nobody any more. */
  close(): void {
    for (const inquiry of this.#inquiries.values()) inquiry.stop();
  }

  /** Unsubscribes; resolves when Redis has confirmed. */
  async end(): Promise<void> {
    await this.#hearing?.unsubscribe(this.#channelOf(this.id), this.#onPayload).catch(() => {});
  }

  /**
   * Looks which servers there are where not all receipts come at once, and waits for those that are not known to be silent.
   * Gives the function that resolves with the list, or with undefined where it was not needed.
   */
  #look(
    inquiry: Inquiry,
    { probe, timeout }: Question,
    stops: (() => void)[],
  ): () => Promise<readonly ListedServer[] | undefined> {
    let listing: Promise<readonly ListedServer[] | undefined> | undefined;
    // Stryker disable next-line ConditionalExpression,ArrowFunction: it spares two timers that would do nothing
    if (inquiry.isComplete) return async () => listing;
    const look = () => {
      if (inquiry.isComplete) return;
      listing = this.#list(inquiry, probe);
    };
    const after = this.#suspects.size > 0 ? LOOK_SOON : LOOK_AFTER;
    stops.push(startTimer(Math.min(after, timeout / 4), look));
    stops.push(startTimer(Math.min(RECEIPT_PATIENCE, timeout), () => inquiry.closeReceipts()));
    return async () => listing;
  }

  async #list(
    inquiry: Inquiry,
    probe: (() => Promise<unknown>) | undefined,
  ): Promise<readonly ListedServer[] | undefined> {
    const { registry, reporter } = this.#parts;
    try {
      const [listed] = await Promise.all([registry.list(), probe?.()]);
      const isTrusted = ({ id, at }: ListedServer) => this.#suspects.get(id) !== at;
      for (const id of this.#suspects.keys()) {
        if (!listed.some((server) => server.id === id && server.age < NAMED_FOR)) this.#suspects.delete(id);
      }
      const waitedFor = listed.filter((server) => isAlive(server) && isTrusted(server));
      inquiry.require(new Set(waitedFor.map(({ id }) => id)));
      return listed;
    } catch (error) {
      reporter.debug(() => `the servers could not be listed: ${error}`);
      return undefined;
    }
  }

  /** The servers that were not heard of and may have something to answer. */
  async #missing(inquiry: Inquiry, listed: readonly ListedServer[] | undefined): Promise<string[]> {
    const { registry } = this.#parts;
    const isSilent = (id: string) => id !== registry.id && !inquiry.hasHeard(id);
    if (!listed || inquiry.isComplete) return registry.overdue.filter(isSilent);
    // a connection of somebody who is dead for the registry still takes messages
    const silent = listed.filter((server) => isSilent(server.id) && server.at > 0 && server.age < NAMED_FOR);
    this.#suspects.clear();
    for (const { id, at } of silent) this.#suspects.set(id, at);
    return silent.map(({ id }) => id);
  }

  #channelOf(server: string): string {
    return `${this.#parts.channelPrefix}___server:${server}___`;
  }

  readonly #onPayload = (payload: string): void => {
    const message = parse(payload);
    const { id, server, sharing } = message;
    if (typeof id !== "string" || typeof server !== "string") return;
    this.#suspects.delete(server);
    const inquiry = this.#inquiries.get(id);
    if (!inquiry) return;
    inquiry.add(server, parsePart(message));
    if (typeof sharing === "number") inquiry.receive(sharing);
  };
}

/** Parses what another server has sent; an empty object for what is none. */
export function parse(json: string): JsonObject {
  try {
    const value: unknown = JSON.parse(json);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}
