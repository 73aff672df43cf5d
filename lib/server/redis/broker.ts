/** A broker: carries messages on channels between servers. Redis and the embedded store are brokers. */
export interface Broker {
  /** Resolves when the broker can serve commands; rejects when it has ended before that. */
  ready(): Promise<void>;
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
}

/** Called for each message, in order. What it throws is reported as an error. */
export type PayloadListener = (payload: string, channel: string) => void;
