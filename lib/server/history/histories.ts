import { formatPosition, type Position, parsePosition } from "../../shared/position.js";
import type { Limits } from "../limits/limits.js";
import { type Entry, type HistoryBounds, historyNames, type Kept } from "../redis/history-log.js";
import type { Redis } from "../redis/redis.js";
import { Checks } from "./checks.js";
import type { ChannelHistory } from "./history-option.js";
import { type HistoryOptions, type HistoryResult, toMessage } from "./kept-message.js";
import { LiveChannel } from "./live-channel.js";
import { collect, type HistoryPart, LogReader } from "./log-reader.js";
import type { Loss } from "./loss.js";
import { Tails } from "./tail.js";

/** The parts of the server that histories need. */
export interface HistoriesParts {
  readonly redis: Redis;
  readonly channelPrefix: string;
  readonly limits: Limits;
  /** What is kept of a channel; undefined for nothing. */
  readonly optionOf: (channel: string) => ChannelHistory | undefined;
  /** Whether any channel has a history. */
  readonly areKept: boolean;
  /** Delivers a message to a channel's members that are not behind. */
  readonly deliver: (channel: string, entry: Entry) => void;
  /** Tells a channel's members that messages are lost, and from which position it goes on. */
  readonly lose: (channel: string, loss: Loss, at: Position) => void;
  /** Told why Redis could not be read. */
  readonly onError: (error: unknown) => void;
}

/** A day, in milliseconds. */
const DAY = 86_400_000;

/** The number of messages that are read where none is said. */
export const DEFAULT_LAST = 100;

/** Bytes of one answer of Redis. */
const READ_BYTES = 1_048_576;

/** The histories of the channels that have one. */
export class Histories {
  readonly #parts: HistoriesParts;
  readonly #live = new Map<string, LiveChannel>();
  readonly #tails: Tails;
  readonly #checks = new Checks();

  constructor(parts: HistoriesParts) {
    this.#parts = parts;
    this.#tails = new Tails(parts.limits.tailBytes);
  }

  /** Whether any channel has a history. */
  get areKept(): boolean {
    return this.#parts.areKept;
  }

  /** Says whether a channel has a history. */
  has(channel: string): boolean {
    return this.#parts.optionOf(channel) !== undefined;
  }

  /** Publishes and keeps a message of a channel; undefined where the channel has no history. */
  publish(channel: string, json: string, id?: string, except?: string): Promise<Kept> | undefined {
    const { optionOf, redis, channelPrefix } = this.#parts;
    const option = optionOf(channel);
    return option && redis.keep(historyNames(channelPrefix, channel), boundsOf(option), { json, id, except });
  }

  /** Gives the reader of a channel's history; undefined where there is none. */
  reader(channel: string): LogReader | undefined {
    const { optionOf, redis, channelPrefix } = this.#parts;
    const option = optionOf(channel);
    if (!option) return undefined;
    const [names, bounds] = [historyNames(channelPrefix, channel), boundsOf(option)];
    return new LogReader(bounds, (query) => redis.read(names, bounds, query));
  }

  /**
   * Begins to follow a channel that a socket of this server is about to join, which is to be opened when Redis has confirmed the
   * subscription; undefined where it has no history.
   */
  open(channel: string): LiveChannel | undefined {
    const reader = this.reader(channel);
    if (!reader) return undefined;
    const { limits, deliver, lose, onError } = this.#parts;
    const live = new LiveChannel({
      reader,
      tails: this.#tails,
      recoverMessages: limits.recoverMessages,
      patience: limits.redisTimeout,
      deliver: (entry) => deliver(channel, entry),
      lose: (loss, at) => lose(channel, loss, at),
      onError,
    });
    this.#live.set(channel, live);
    this.#checks.add(live);
    return live;
  }

  /** Forgets a channel that no socket of this server is in any more. */
  close(channel: string): void {
    const live = this.#live.get(channel);
    if (!live) return;
    this.#live.delete(channel);
    this.#checks.delete(live);
    live.close();
  }

  /** Gives a channel that sockets of this server have joined; undefined where it has no history. */
  live(channel: string): LiveChannel | undefined {
    return this.#live.get(channel);
  }

  /** Looks for what was published while this server could not hear of it. */
  catchUp(): void {
    void this.#checks.all();
  }

  /** Forgets all channels. */
  shutdown(): void {
    for (const channel of [...this.#live.keys()]) this.close(channel);
  }

  /** Reads a part of a channel's history, for the application. */
  async read(channel: string, options: HistoryOptions): Promise<HistoryResult> {
    const { since, before, count } = this.#parse(options);
    const reader = this.reader(channel);
    if (!reader) {
      throw new Error(`The channel ${JSON.stringify(channel)} keeps no history: see the option history`);
    }
    const part = since
      ? await collect(count, (most, last) =>
          reader.after(last?.at ?? since, { count: most, bytes: READ_BYTES }),
        )
      : await backwards(reader, before, count);
    const { entries, at, lost, hasMore } = part;
    return {
      messages: entries.map(toMessage),
      at: formatPosition(at),
      ...(lost && { lost }),
      ...(hasMore && { more: true }),
    };
  }

  #parse({ since, before, last, limit, ...others }: HistoryOptions) {
    const [unknown] = Object.keys(others);
    if (unknown !== undefined) throw new TypeError(`options.${unknown} is no option of history()`);
    if (since !== undefined && (before ?? last) !== undefined) {
      throw new TypeError("options.since goes with options.limit alone");
    }
    const { recoverMessages } = this.#parts.limits;
    return {
      since: positionOf("since", since),
      before: positionOf("before", before),
      count:
        since === undefined ? countOf("last", last, DEFAULT_LAST) : countOf("limit", limit, recoverMessages),
    };
  }
}

/** Reads the newest messages before a position, in several parts where they are long. */
async function backwards(
  reader: LogReader,
  before: Position | undefined,
  count: number,
): Promise<HistoryPart> {
  let all: HistoryPart | undefined;
  for (;;) {
    // Stryker disable next-line OptionalChaining: where there is more to read, there is a first one
    const first: Position | undefined = all?.entries[0]?.position ?? before;
    const part = await reader.before(first, { count: count - (all?.entries.length ?? 0), bytes: READ_BYTES });
    // the newest position is that of the first look
    all = all ? { ...all, entries: [...part.entries, ...all.entries], hasMore: part.hasMore } : part;
    if (!part.hasMore || all.entries.length >= count) return all;
  }
}

function boundsOf({ size, ttl, positionTtl }: ChannelHistory): HistoryBounds {
  return { size, ttl, positionTtl: positionTtl ?? Math.max(DAY, ttl) };
}

function positionOf(name: string, value: string | undefined): Position | undefined {
  if (value === undefined) return undefined;
  const position = parsePosition(value);
  if (!position) throw new TypeError(`options.${name} must be a position, as publish() and messages have it`);
  return position;
}

function countOf(name: string, value: number | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new TypeError(`options.${name} must be a positive whole number of messages`);
}
