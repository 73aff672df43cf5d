import type { Broker } from "./broker.js";
import type { HistoryBounds, HistoryNames, Kept, LogPage, LogQuery, NewEntry } from "./history-log.js";
import type { MemberBatch, MemberNames, MemberOutcomes, MemberPage } from "./member-list.js";
import type { Beat, ListedServer, ServerNames, ServerTimes } from "./server-list.js";
import type { Trial } from "./trial.js";

/** Some entries of a server. */
export interface EntriesRead {
  /** The time of Redis, in milliseconds since 1970. */
  readonly now: number;
  readonly entries: readonly string[];
}

/**
 * The operations of Redis that the server needs, by any client. An adapter holds no protocol of ours.
 * Commands that are given before the client is connected wait for it; the adapter neither connects nor closes it, but for a
 * client that connects by itself at its first command (`lazyConnect` of ioredis).
 * Once the client has been connected, its own queue and its own errors apply.
 */
export interface Redis extends Broker {
  /** Whether the client can serve commands just now, and its subscriptions are in force. */
  readonly isReady: boolean;
  /** `PING`; settles when Redis has answered. */
  ping(): Promise<void>;
  /** `SET key value PX ttl`, `ttl` in milliseconds. */
  set(key: string, value: string, ttl: number): Promise<unknown>;
  /** `GETDEL key`: the value, given to one caller only, or null. */
  take(key: string): Promise<string | null>;
  /** Appends to a list of the newest `count` values, which is gone `ttl` milliseconds after the last one. */
  append(key: string, value: string, count: number, ttl: number): Promise<void>;
  /** `LREM key -1 value`: takes the newest such value out of a list. */
  remove(key: string, value: string): Promise<void>;
  /** `LRANGE key 0 -1`: what was appended, in order. */
  list(key: string): Promise<string[]>;
  /**
   * Publishes a message on a channel and keeps it in the channel's history, by a script: both or neither. Messages that are given
   * one right after the other for one channel share the script. What is given afterwards comes after them.
   */
  keep(names: HistoryNames, bounds: HistoryBounds, entry: NewEntry): Promise<Kept>;
  /** Reads a part of a channel's history, by a script. Where there is no history, one begins, which is empty. */
  read(names: HistoryNames, bounds: HistoryBounds, query: LogQuery): Promise<LogPage>;
  /** Takes note of a server, by a script and by the clock of Redis, and tells it of those that are overdue or dead. */
  beat(names: ServerNames, times: ServerTimes, id: string, json: string): Promise<Beat>;
  /** Lists the servers, by a script. */
  servers(names: ServerNames): Promise<ListedServer[]>;
  /** Forgets a server that is dead, by a script; resolves with whether it was there and dead. */
  forgetServer(names: ServerNames, times: ServerTimes, id: string): Promise<boolean>;
  /** Has a server count as dead, by a script. */
  endServer(names: ServerNames, id: string): Promise<void>;
  /** Makes changes to a channel's members and publishes them, by a script: all or none. */
  changeMembers(channelPrefix: string, names: MemberNames, batch: MemberBatch): Promise<MemberOutcomes>;
  /** Reads a part of a channel's members, from a cursor on; "0" is the beginning. One may come twice that changes meanwhile. */
  readMembers(names: MemberNames, cursor: string): Promise<MemberPage>;
  /** Reads the time of Redis, and at most so many entries that a server has written up to a time. */
  readEntries(key: string, until: number, count: number): Promise<EntriesRead>;
  /** Listens to the client's errors, and to what listeners throw, until the function that it returns is called. */
  onError(listener: (error: unknown) => void): () => void;
  /**
   * Carries trials out once the client is ready; resolves with the errors by which Redis has refused some, one for each
   * cause, and rejects where there was no answer. The embedded store refuses nothing.
   */
  rehearse(trials: readonly Trial[]): Promise<readonly Error[]>;
  /** `INFO memory`; empty where there is none. */
  info(): Promise<string>;
  /**
   * Takes away whatever the adapter still listens to on the client, which stays open. What it still has waiting
   * for a first connection is rejected, and so is every later command.
   */
  release(): void;
}
