import type { Trial } from "./trial.js";

/**
 * The operations of Redis that the server needs, by any client. An adapter holds no protocol of ours.
 * Commands that are given before the client is connected wait for it; the adapter neither connects nor closes it, but for a
 * client that connects by itself at its first command (`lazyConnect` of ioredis).
 * Once the client has been connected, its own queue and its own errors apply.
 */
export interface Redis {
  /** Whether the client can serve commands just now, and its subscriptions are in force. */
  readonly isReady: boolean;
  /** Resolves when the client can serve commands; rejects when it has ended before that. */
  ready(): Promise<void>;
  /** `PING`; settles when Redis has answered. */
  ping(): Promise<void>;
  /** `SET key value PX ttl`, `ttl` in milliseconds. */
  set(key: string, value: string, ttl: number): Promise<void>;
  /** `GETDEL key`: the value, given to one caller only, or null. */
  take(key: string): Promise<string | null>;
  /** Appends to a list of the newest `count` values, which is gone `ttl` milliseconds after the last one. */
  append(key: string, value: string, count: number, ttl: number): Promise<void>;
  /** `LREM key -1 value`: takes the newest such value out of a list. */
  remove(key: string, value: string): Promise<void>;
  /** `LRANGE key 0 -1`: what was appended, in order. */
  list(key: string): Promise<string[]>;
  /**
   * `PUBLISH channel payload`; resolves when Redis has taken it, with the number of connections that it has gone to.
   * Calls keep their order.
   */
  publish(channel: string, payload: string): Promise<number>;
  /**
   * `SUBSCRIBE channel`, resolved when Redis has confirmed; the listener is called for no message before
   * that. Several subscribers may share a client: the command goes out for the first one of a channel only.
   * When it fails, the listener is forgotten.
   */
  subscribe(channel: string, listener: PayloadListener): Promise<void>;
  /**
   * Takes one listener away, which from this call on is not called any more; `UNSUBSCRIBE channel` goes out
   * for the last one. Resolves when Redis has confirmed, which while Redis is away may take as long as that.
   */
  unsubscribe(channel: string, listener: PayloadListener): Promise<void>;
  /** The number of listeners of a channel by the one connection that they share. */
  listeners(channel: string): number;
  /**
   * Calls a function whenever the client was away and its subscriptions are in force again: what was published
   * meanwhile is lost.
   */
  onReturn(listener: () => void): void;
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

/** Called for each message, in order. What it throws is reported as an error. */
export type PayloadListener = (payload: string, channel: string) => void;
