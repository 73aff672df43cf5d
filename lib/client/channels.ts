import { randomText } from "./calls/random-text.js";
import { untilAnswered } from "./calls/repetition.js";
import type { PublishOptions, RequestOptions, RequestParts, Requests } from "./calls/requests.js";
import { Stream } from "./calls/stream.js";
import type { TokenSocketEvents } from "./client-types.js";
import { CallError, DisconnectedError, isPassing, LostError, QueueError, RemoteError } from "./errors.js";
import {
  type Beginning,
  type HistoryOptions,
  type HistoryPage,
  type Loss,
  type MessageInfo,
  type Progress,
  REMEMBERED,
  type Reader,
  type ResolvedChannelOptions,
  type SubscribeOptions,
} from "./history.js";
import { within } from "./time-limit.js";
import type { Link } from "./transport/transport.js";

/** An event of a channel, and what its listeners get. */
export type ChannelEvent = {
  [E in "subscribed" | "unsubscribed" | "message" | "recovered" | "lost"]: [
    event: E,
    ...args: TokenSocketEvents[E],
  ];
}["subscribed" | "unsubscribed" | "message" | "recovered" | "lost"];

/** The number of channels that are joined at once after a reconnect; servers bound what waits there, and say so. */
const AT_ONCE = 500;

/** Milliseconds for which a message may be sent again. */
const REPEATABLE_FOR = 240_000;

/** The number of positions that go with a token. */
const MOST_POSITIONS = 100;

/** What a server says of a client's progress. */
interface Said {
  readonly at?: string;
  readonly lost?: Loss;
  readonly recovered?: number;
  readonly error?: unknown;
}

/** A join under way. */
interface Join {
  readonly channel: string;
  isWanted: boolean;
}

/** The channels that the client has joined, and what reads them. */
export class Channels {
  readonly #requests: Requests;
  readonly #emit: (...event: ChannelEvent) => void;
  readonly #joined = new Map<string, Progress>();
  /** Those that the application, or the server, has joined itself; streams do not leave them. */
  readonly #held = new Set<string>();
  readonly #readers = new Map<string, Set<Reader>>();
  /** Leaves under way, of streams that have ended. */
  readonly #leaving = new Map<string, Promise<void>>();
  /** Joins under way. They are made again on the next connection, unless the channel was left meanwhile. */
  readonly #joining = new Set<Join>();
  /** Those under way by which the client comes back; they fire where the channel is left meanwhile. */
  readonly #rejoining = new Map<string, AbortController>();
  /** Channels that are still to be joined again on this connection. */
  #returning = new Set<string>();

  constructor(requests: Requests, emit: (...event: ChannelEvent) => void) {
    this.#requests = requests;
    this.#emit = emit;
  }

  names(): string[] {
    return [...this.#joined.keys()];
  }

  /** The position up to which a channel's messages have come; undefined where none is known. */
  position(channel: string): string | undefined {
    return this.#joined.get(channel)?.since || undefined;
  }

  /** Whether a channel is still to be joined again on this connection. */
  isRejoining(channel: string): boolean {
    return this.#returning.has(channel);
  }

  /** Joins a channel for good. */
  async subscribe(channel: string, options: SubscribeOptions = {}): Promise<void> {
    const wasHeld = this.#held.has(channel);
    // at once, so that a stream that ends meanwhile does not leave it
    this.#held.add(channel);
    try {
      await this.#join(channel, options, options);
      // an earlier leave may have been answered, or an earlier join given up, meanwhile
      if (this.#joined.has(channel)) this.#held.add(channel);
    } catch (error) {
      // another join that is under way may still hold it
      if (!wasHeld && !this.#joins(channel)[0]) this.#held.delete(channel);
      throw error;
    }
  }

  /** Leaves a channel; its streams end. */
  async unsubscribe(channel: string, options?: RequestOptions): Promise<void> {
    for (const join of this.#joins(channel)) join.isWanted = false;
    // without a connection there is no subscription; the request still goes after a join that waits
    if (!this.#requests.isOpen) {
      this.left(channel);
      this.#rejoining.get(channel)?.abort();
    }
    try {
      await this.#requests.request("_unsubscribe", JSON.stringify({ channel }), options, { channel });
    } catch (error) {
      if (!(error instanceof DisconnectedError || error instanceof QueueError)) throw error;
      this.left(channel);
    }
  }

  /**
   * A channel's messages. The channel is joined when the first message is asked for, and left at the end of the
   * stream, unless something else has joined it as well.
   */
  stream(channel: string, options: ResolvedChannelOptions): Stream {
    const stream = new Stream(options.limit, {
      start: () => this.#attach(channel, reader),
      stop: () => this.#detach(channel, reader),
    });
    const reader: Reader = { ...options, stream };
    return stream;
  }

  /** Reads a part of a channel's history. */
  history(channel: string, options: HistoryOptions): Promise<HistoryPage> {
    const { before, last } = options;
    const json = JSON.stringify({ channel, before, last });
    const extra = (keepsHistory: boolean): undefined => {
      if (!keepsHistory) throw new CallError("No history", "no_history");
    };
    const ask = () => this.#requests.request("_history", json, options, { extra });
    return untilAnswered(ask) as Promise<HistoryPage>;
  }

  /**
   * Publishes data, as JSON. On a channel with a history it counts once, and is sent again where its
   * connection was lost.
   */
  async publish(channel: string, data: string, options: PublishOptions): Promise<void> {
    const echo = options.echo === false ? ',"echo":false' : "";
    const json = `{"channel":${JSON.stringify(channel)},"data":${data}${echo}}`;
    const end = Date.now() + REPEATABLE_FOR;
    let id = "";
    const extra = (keepsHistory: boolean) => {
      const again = id && ',"again":true';
      // the server knows the id for five minutes
      if (again && !(keepsHistory && Date.now() < end)) throw new DisconnectedError();
      if (!keepsHistory) return "";
      id ||= randomText();
      return `,"id":"${id}"${again}`;
    };
    const reply = await untilAnswered(
      () => this.#requests.request("_publish", json, options, { extra }),
      // a channel that was joined and has no position has no history
      () => id && this.#joined.get(channel)?.since !== "",
    );
    const { known } = this.#joined.get(channel) ?? {};
    // after a reconnect the server takes the client for somebody else
    if (echo && known) remember(known, (reply as { at: string }).at);
  }

  /**
   * The server says that the channel was joined, by itself over `link` or by a request; what was missed comes now. Where it was
   * not joined already, the progress is in `beginning`, so that a request that is made again goes on from there.
   */
  joined(channel: string, beginning: Beginning = {}, link?: Link): Progress {
    let progress = this.#joined.get(channel);
    if (!progress) {
      progress = Object.assign(beginning, {
        since: beginning.since ?? "",
        known: new Set<string>(),
        caught: 0,
      });
      this.#joined.set(channel, progress);
      this.#emit("subscribed", channel);
    }
    progress.caught ||= 0;
    // what comes then is for all
    progress.asker = undefined;
    progress.joinedOn = link ?? progress.joinedOn;
    return progress;
  }

  /** The positions in the channels that the server joins by itself, by their names; undefined where there are none. */
  positions(): object | undefined {
    const entries: [string, string][] = [];
    for (const [channel, { since, joinedOn }] of this.#joined) {
      if (!since || !joinedOn) continue;
      // the frame is not to be too long for the server
      if (entries.length < MOST_POSITIONS) entries.push([channel, since]);
      else this.#lost(channel, { messages: null, reason: "limit" });
    }
    return entries[0] && Object.fromEntries(entries);
  }

  /** The server says that the channel was left, does not let the client stay, or does not let it in again. */
  left(channel: string, error?: Error): void {
    this.#held.delete(channel);
    if (!this.#joined.delete(channel)) return;
    this.#emit("unsubscribed", channel, error);
    this.#endStreams(channel, error);
  }

  /** Hands a message to the channel's readers, once. */
  message(channel: string, message: unknown, at: string | undefined, time: number): void {
    const progress = this.#joined.get(channel);
    const info: MessageInfo[] = [];
    if (at && progress) {
      progress.asker?.stream.push(message);
      if (!advance(progress, at, progress.known.has(at))) return;
      remember(progress.known, at);
      info.push({ at, time, recovered: progress.caught++ >= 0 });
    }
    for (const { stream, since, last } of this.#readers.get(channel) ?? []) {
      if (!at || !(since || last)) stream.push(message);
    }
    this.#emit("message", channel, message, ...(info as [MessageInfo?]));
  }

  /**
   * Takes what the server says of the client's progress in a channel: that messages are lost before the next one; or at the end
   * of a recovery, that it has all up to a position. A server that says none keeps no history, and so what was to come is lost;
   * one that says an error could not read it.
   */
  progress(channel: string, said: unknown, beginning?: Partial<Reader>): void {
    const progress = this.#joined.get(channel);
    const { at = "", lost, recovered, error } = { ...(said as Said) };
    if (!progress) return;
    const { asker, caught, since } = progress;
    const readers = asker && [asker];
    if (lost && recovered === undefined) {
      const isBefore = lost.messages !== null && isUpTo(at, since);
      return this.#lost(channel, lost, advance(progress, at, isBefore) ? undefined : readers);
    }
    progress.asker = undefined;
    // what a reader asks for is not what is missing; and the error of a join that was refused is none of a recovery
    if (!asker) progress.failure = caught >= 0 && error;
    if (error) return;
    const isGone = !at && (since || beginning?.since);
    // what was asked for has come; the progress may be in there
    Object.assign(beginning ?? {}, { since: undefined, last: undefined });
    Object.assign(progress, { since: (asker && since) || at, last: undefined, caught: Number.NaN });
    if (caught) this.#emit("recovered", channel, { messages: caught });
    if (isGone) this.#lost(channel, { messages: null, reason: "reset" }, readers);
  }

  /**
   * Joins all channels again, on a new connection. Resolves when each is answered for, or when `timeout` has passed; what
   * takes longer is joined meanwhile, until `signal` fires.
   */
  async restore(timeout: number, signal: AbortSignal): Promise<void> {
    const returning = new Set(this.names());
    this.#returning = returning;
    const waiting = this.names().values();
    const work = async () => {
      for (const channel of waiting) {
        for (let wait = 1; wait > 0 && this.#joined.has(channel) && !signal.aborted; ) {
          wait = await this.#rejoin(channel);
          if (wait) await within(wait, "", signal, () => new Promise(() => {})).catch(() => {});
        }
        returning.delete(channel);
      }
    };
    const all = async () => Promise.all(Array.from({ length: AT_ONCE }, work));
    await within(timeout, "", signal, all).catch(() => {});
  }

  /** Forgets all channels; their streams end, with an error where there is one. */
  close(error?: Error): void {
    this.#joined.clear();
    this.#held.clear();
    for (const channel of [...this.#readers.keys()]) this.#endStreams(channel, error);
  }

  #lost(channel: string, loss: Loss, readers: Iterable<Reader> = this.#readers.get(channel) ?? []): void {
    for (const { stream, onLost } of readers) if (onLost === "throw") stream.end(new LostError(loss));
    this.#emit("lost", channel, loss);
  }

  async #attach(channel: string, reader: Reader): Promise<void> {
    // the answer to a leave that is under way would end the stream
    await this.#leaving.get(channel);
    if (reader.stream.isEnded) return;
    const readers = this.#readers.get(channel) ?? new Set();
    if (readers.size === 0 && this.#joined.has(channel)) this.#held.add(channel);
    this.#readers.set(channel, readers.add(reader));
    if (reader.since || reader.last || !this.#joined.has(channel)) await this.#join(channel, {}, reader);
  }

  #detach(channel: string, reader: Reader): void {
    const readers = this.#readers.get(channel);
    if (!readers?.delete(reader) || readers.size > 0) return;
    this.#readers.delete(channel);
    if (this.#held.has(channel)) return;
    const forget = () => {
      this.#leaving.delete(channel);
    };
    this.#leaving.set(channel, this.unsubscribe(channel).then(forget, forget));
  }

  #endStreams(channel: string, error: Error | undefined): void {
    const readers = this.#readers.get(channel) ?? [];
    // they are not to leave the channel once more
    this.#readers.delete(channel);
    for (const { stream } of readers) stream.end(error);
  }

  async #join(
    channel: string,
    options: RequestOptions,
    beginning?: Beginning & Partial<Reader>,
  ): Promise<void> {
    const join: Join = { channel, isWanted: true };
    this.#joining.add(join);
    const json = JSON.stringify({ channel });
    // the server may still join it
    const onGivenUp = () => {
      this.#joining.delete(join);
      if (!this.#joins(channel)[0] && !this.#joined.has(channel)) this.#leave(channel);
    };
    const parts = this.#recovery(channel, onGivenUp, beginning);
    const ask = () => this.#requests.request("_subscribe", json, options, parts);
    try {
      await untilAnswered(ask, () => join.isWanted);
    } finally {
      this.#joining.delete(join);
    }
  }

  /** Joins a channel again; gives how long to wait before the next attempt where the server cannot do it now, else 0. */
  async #rejoin(channel: string): Promise<number> {
    const left = new AbortController();
    this.#rejoining.set(channel, left);
    const fields = `"req":${JSON.stringify({ channel })},`;
    const parts = this.#recovery(channel, () => this.#leave(channel));
    try {
      await this.#requests.urgent("_subscribe", fields, Infinity, left.signal, parts);
    } catch (error) {
      if (!(error instanceof RemoteError)) return 0;
      if (isPassing(error)) return (1 + Math.random()) * (error.retryAfter ?? 1000);
      // the server may have joined it again by itself
      if (this.#joined.get(channel)?.joinedOn !== this.#requests.link) this.left(channel, error);
    } finally {
      this.#rejoining.delete(channel);
    }
    return 0;
  }

  /**
   * The parts of a join by which what was missed comes: what follows `beginning`, or the progress of a client that comes back.
   * What a reader asks for is for it alone.
   */
  #recovery(channel: string, onGivenUp: () => void, beginning?: Beginning & Partial<Reader>): RequestParts {
    const asker = beginning?.stream && (beginning as Reader);
    return {
      channel,
      onGivenUp,
      extra: (keepsHistory) => {
        const progress = this.#joined.get(channel);
        // what could not be recovered is wanted first
        const { since, last }: Beginning = (progress?.failure ? asker : beginning) ?? progress ?? {};
        if (!keepsHistory) return "";
        return since || !last ? `,"since":"${since ?? ""}"` : `,"last":${last}`;
      },
      onJoined: () => {
        const progress = this.joined(channel, asker ? {} : beginning);
        progress.asker = asker;
        // what is missing comes now
        if (!asker) progress.failure = undefined;
      },
      onReply: (value, error) => this.progress(channel, error ? { error } : value, beginning),
    };
  }

  /** The joins of a channel that are under way. */
  #joins(channel: string): Join[] {
    return [...this.#joining].filter((join) => join.channel === channel);
  }

  #leave(channel: string): void {
    this.#requests.tell("_unsubscribe", `"channel":${JSON.stringify(channel)}`);
  }
}

/**
 * Moves a client on to a position, unless it is a known one, and its reader that has asked for more; says whether what is there
 * is new to the client. A history that went back gives a number again, but not with the same tag.
 */
function advance(progress: Progress, at: string, isKnown: boolean): boolean {
  const { asker, since, failure } = progress;
  if (asker) asker.since = at;
  if (isKnown || (asker && (!since || isUpTo(at, since)))) return false;
  // it does not pass over what could not be recovered
  if (!failure) progress.since = at;
  return true;
}

/** Says whether a position is no later than another one, as far as their numbers tell: those of two epochs do not. */
function isUpTo(at: string, other: string): boolean {
  const [epoch, number] = at.split(".");
  const [otherEpoch, otherNumber] = other.split(".");
  return epoch === otherEpoch && Number(number) <= Number(otherNumber);
}

/** Takes note of a position that the client is not to get again. */
function remember(known: Set<string>, at: string): void {
  const [oldest = ""] = known.add(at);
  if (known.size > REMEMBERED) known.delete(oldest);
}
