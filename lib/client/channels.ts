import { onAbort } from "../shared/abort.js";
import { startTimer } from "../shared/times.js";
import type { RequestOptions, Requests } from "./calls/requests.js";
import { Stream } from "./calls/stream.js";
import { DisconnectedError, isLost, isPassing, QueueError, RemoteError } from "./errors.js";
import { within } from "./time-limit.js";

/** Hears of joins and leaves. */
export interface ChannelListener {
  onJoined(channel: string): void;
  /** `error` says why, where the server does not let the client stay, or in again. */
  onLeft(channel: string, error?: Error): void;
}

/** The number of channels that are joined at once after a reconnect; servers bound what waits there, and say so. */
const AT_ONCE = 500;

/** A join under way. */
interface Join {
  readonly channel: string;
  isWanted: boolean;
}

/** The channels that the client has joined, and what reads them. */
export class Channels {
  readonly #requests: Requests;
  readonly #listener: ChannelListener;
  readonly #joined = new Set<string>();
  /** Those that the application, or the server, has joined itself; streams do not leave them. */
  readonly #held = new Set<string>();
  readonly #streams = new Map<string, Set<Stream>>();
  /** Leaves under way, of streams that have ended. */
  readonly #leaving = new Map<string, Promise<void>>();
  /** Joins under way. They are made again on the next connection, unless the channel was left meanwhile. */
  readonly #joining = new Set<Join>();
  /** Those under way by which the client comes back; they fire where the channel is left meanwhile. */
  readonly #rejoining = new Map<string, AbortController>();

  constructor(requests: Requests, listener: ChannelListener) {
    this.#requests = requests;
    this.#listener = listener;
  }

  names(): string[] {
    return [...this.#joined];
  }

  /** Joins a channel for good. */
  async subscribe(channel: string, options?: RequestOptions): Promise<void> {
    // at once, so that a stream that ends meanwhile does not leave it
    this.#held.add(channel);
    try {
      await this.#join(channel, options);
      // an earlier leave may have been answered, or an earlier join given up, meanwhile
      if (this.#joined.has(channel)) this.#held.add(channel);
    } catch (error) {
      if (!this.#joined.has(channel)) this.#held.delete(channel);
      throw error;
    }
  }

  /** Leaves a channel; its streams end. */
  async unsubscribe(channel: string, options?: RequestOptions): Promise<void> {
    for (const join of this.#joining) if (join.channel === channel) join.isWanted = false;
    // without a connection there is no subscription; the request still goes after a join that waits
    if (!this.#requests.isOpen) {
      this.left(channel);
      this.#rejoining.get(channel)?.abort();
    }
    try {
      await this.#requests.request("_unsubscribe", JSON.stringify({ channel }), options, channel);
    } catch (error) {
      if (!(error instanceof DisconnectedError || error instanceof QueueError)) throw error;
      this.left(channel);
    }
  }

  /**
   * A channel's messages. The channel is joined when the first message is asked for, and left at the end of the
   * stream, unless something else has joined it as well.
   */
  stream(channel: string, limit: number): Stream {
    const stream: Stream = new Stream(limit, {
      start: () => this.#attach(channel, stream),
      stop: () => this.#detach(channel, stream),
    });
    return stream;
  }

  /** The server says that the channel was joined. */
  joined(channel: string): void {
    if (this.#joined.has(channel)) return;
    this.#joined.add(channel);
    this.#listener.onJoined(channel);
  }

  /** The server says that the channel was left, does not let the client stay, or does not let it in again. */
  left(channel: string, error?: Error): void {
    this.#held.delete(channel);
    if (!this.#joined.delete(channel)) return;
    this.#listener.onLeft(channel, error);
    this.#endStreams(channel, error);
  }

  /** Hands a message to the channel's readers. */
  message(channel: string, message: unknown): void {
    for (const stream of this.#streams.get(channel) ?? []) stream.push(message);
  }

  /**
   * Joins all channels again, on a new connection. Resolves when each is answered for, or when `timeout` has passed; what
   * takes longer is joined meanwhile, until `signal` fires.
   */
  async restore(timeout: number, signal: AbortSignal): Promise<void> {
    const waiting = this.names();
    let unanswered = waiting.length;
    if (unanswered === 0) return;
    let stop: (() => void) | undefined;
    const all = new Promise<void>((resolve) => {
      const work = async () => {
        for (let channel = waiting.shift(); channel !== undefined; channel = waiting.shift()) {
          const wait = this.#joined.has(channel) ? await this.#rejoin(channel) : 0;
          if (signal.aborted) return;
          if (wait > 0) {
            // the others that run now are as many as the server takes
            waiting.push(channel);
            stop ??= startTimer(wait, start);
            return;
          }
          if (--unanswered === 0) resolve();
        }
      };
      const start = () => {
        stop = undefined;
        for (let i = Math.min(waiting.length, AT_ONCE); i > 0; i--) void work();
      };
      start();
    });
    onAbort(signal, () => stop?.());
    await within(timeout, "", signal, () => all).catch(() => {});
  }

  /** Forgets all channels; their streams end, with an error where there is one. */
  close(error?: Error): void {
    this.#joined.clear();
    this.#held.clear();
    for (const channel of [...this.#streams.keys()]) this.#endStreams(channel, error);
  }

  async #attach(channel: string, stream: Stream): Promise<void> {
    // the answer to a leave that is under way would end the stream
    await this.#leaving.get(channel);
    if (stream.isEnded) return;
    const streams = this.#streams.get(channel) ?? new Set();
    if (streams.size === 0 && this.#joined.has(channel)) this.#held.add(channel);
    this.#streams.set(channel, streams.add(stream));
    if (!this.#joined.has(channel)) await this.#join(channel);
  }

  #detach(channel: string, stream: Stream): void {
    const streams = this.#streams.get(channel);
    if (!streams?.delete(stream) || streams.size > 0) return;
    this.#streams.delete(channel);
    if (this.#held.has(channel)) return;
    const forget = () => {
      this.#leaving.delete(channel);
    };
    this.#leaving.set(channel, this.unsubscribe(channel).then(forget, forget));
  }

  #endStreams(channel: string, error: Error | undefined): void {
    const streams = this.#streams.get(channel) ?? [];
    // they are not to leave the channel once more
    this.#streams.delete(channel);
    for (const stream of streams) stream.end(error);
  }

  async #join(channel: string, options?: RequestOptions): Promise<void> {
    const join: Join = { channel, isWanted: true };
    this.#joining.add(join);
    try {
      for (;;) {
        try {
          const json = JSON.stringify({ channel });
          await this.#requests.request("_subscribe", json, options, channel, () => this.#undo(join));
          return;
        } catch (error) {
          // joining twice does no harm, so this may be tried again
          if (!isLost(error) || !join.isWanted) throw error;
        }
      }
    } finally {
      this.#joining.delete(join);
    }
  }

  /** Joins a channel again; gives how long to wait before the next attempt where the server cannot do it now, else 0. */
  async #rejoin(channel: string): Promise<number> {
    const left = new AbortController();
    this.#rejoining.set(channel, left);
    const fields = `"req":${JSON.stringify({ channel })},`;
    const undo = () => this.#leave(channel);
    try {
      await this.#requests.urgent("_subscribe", fields, Infinity, channel, left.signal, undo);
    } catch (error) {
      if (!(error instanceof RemoteError)) return 0;
      if (isPassing(error)) return (1 + Math.random()) * (error.retryAfter ?? 1000);
      this.left(channel, error);
    } finally {
      this.#rejoining.delete(channel);
    }
    return 0;
  }

  /** Leaves a channel whose join was given up, since the server may still join it; unless something else wants it. */
  #undo(given: Join): void {
    const { channel } = given;
    const isWanted = [...this.#joining].some((join) => join !== given && join.channel === channel);
    if (!isWanted && !this.#joined.has(channel)) this.#leave(channel);
  }

  #leave(channel: string): void {
    this.#requests.tell("_unsubscribe", `"channel":${JSON.stringify(channel)}`);
  }
}
