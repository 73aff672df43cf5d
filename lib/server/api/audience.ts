import type { CallOptions } from "../../shared/pending-calls.js";
import type { ClientCalls } from "../../shared/typed-calls.js";
import type { DisconnectOptions, Selector } from "../auth/selectors.js";
import type { Channel, Published } from "../events/message-types.js";

/** The sockets that `to()`, `count()` and `find()` concern: those of a selector, or all in a channel. */
export type Target = Selector | { readonly channel: string };

/** The answer of one socket, or of its server for it: a value, or the error that took its place. */
export type ClusterAnswer<T> =
  | { readonly sid: string; readonly server: string; readonly value: T; readonly error?: undefined }
  | { readonly sid: string; readonly server: string; readonly error: Error; readonly value?: undefined };

/** The answers of sockets on all servers, and the servers that have not answered. */
export interface ClusterAnswers<T> {
  readonly answers: readonly ClusterAnswer<T>[];
  /** The ids of servers that may have such sockets and were not heard of in time. */
  readonly missing: readonly string[];
}

/** The number of sockets on all servers, and the servers that have not answered. */
export interface SocketCount {
  readonly count: number;
  readonly missing: readonly string[];
}

/** A socket as `find()` gives it. */
export interface SocketInfo {
  readonly sid: string;
  /** The identity's key, by `identify`; undefined without that option. */
  readonly identity: string | undefined;
  /** The channels that it has joined. */
  readonly channels: readonly string[];
  /** The time of the connection, in milliseconds since 1970, by its server's clock. */
  readonly since: number;
  /** Express's `req.ip` of the request that it got its identity by. */
  readonly address: string;
  /** The id of its server. */
  readonly server: string;
}

/** A page of sockets on all servers, in order of their `sid`. */
export interface FoundSockets {
  readonly sockets: readonly SocketInfo[];
  /** The cursor of the next page; undefined on the last one. */
  readonly next: string | undefined;
  readonly missing: readonly string[];
}

/** Options of `find()`. */
export interface FindOptions {
  /** The most sockets of a page, 1 to 1000; default 100. */
  limit?: number | undefined;
  /** The `next` of the page before. */
  cursor?: string | undefined;
}

/**
 * The sockets of a target on all servers that have an identity. Its methods resolve with an answer for each, whichever servers
 * are silent; they reject where an argument is wrong (`TypeError`), and where Redis does not take the request.
 */
export interface Audience<Messages> {
  /** Not there at run time; see `ServerMethods`. */
  readonly "~types"?: { readonly [Name in keyof Messages]: Messages[Name] };

  /** Sends a message to each socket, through the filter, whether it has joined the channel or not; the value says whether. */
  send<Name extends Channel<Messages>>(
    channel: Name,
    message: Published<Messages, Name>,
  ): Promise<ClusterAnswers<boolean>>;

  /**
   * Calls a function of each client. A socket that does not answer within `timeout` has a `TimeoutError`. Rejects with an
   * `AbortedError` when `signal` fires.
   *
   * @param options `timeout`: finite, default 30,000 ms
   */
  rpc(command: string, args?: unknown, options?: CallOptions): Promise<ClusterAnswers<unknown>>;

  /** Lets each socket join a channel, without asking the guards. */
  subscribe(channel: Channel<Messages>): Promise<ClusterAnswers<true>>;

  /** Lets each socket leave a channel, without asking the guards. */
  unsubscribe(channel: Channel<Messages>): Promise<ClusterAnswers<true>>;

  /** As `refresh(selector)`, for a channel's sockets as well. */
  refresh(): Promise<ClusterAnswers<true>>;

  /** As `disconnect(selector)`. Those of a channel are closed, and nothing keeps them from joining it again. */
  disconnect(options?: DisconnectOptions | null): Promise<ClusterAnswers<true>>;

  /** The clients' functions as functions, with the types that `Actions` has; see `client(socket)`. */
  client<Actions>(): AudienceCalls<ClientCalls<Actions, CallOptions>>;
}

/** Calls of clients that each have many answers. */
export type AudienceCalls<Calls> = {
  readonly [Name in keyof Calls]: Calls[Name] extends (...args: infer Arguments) => Promise<infer Value>
    ? (...args: Arguments) => Promise<ClusterAnswers<Value>>
    : AudienceCalls<Calls[Name]>;
};
