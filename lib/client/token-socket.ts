import { callable } from "../shared/callable.js";
import { encodeJson, type JsonObject } from "../shared/protocol.js";
import type { IfUnknown, ServerCalls } from "../shared/typed-calls.js";
import { type Actions, ActionTable } from "./calls/actions.js";
import type { PublishOptions, RequestOptions } from "./calls/requests.js";
import { checkRequestOptions, PUBLISH_OPTIONS, Requests } from "./calls/requests.js";
import { parseServerFrame } from "./calls/server-frames.js";
import { readable } from "./calls/stream.js";
import { Channels } from "./channels.js";
import type {
  Answer,
  AnyName,
  Arguments,
  Callback,
  Channel,
  Data,
  InfoOf,
  InputOf,
  Path,
  Published,
  Received,
  Result,
  Shown,
  StateOf,
  TokenSocketEvents,
} from "./client-types.js";
import { Connection, type State } from "./connection/connection.js";
import { Emitter } from "./emitter.js";
import { DisconnectedError, UnauthorizedError } from "./errors.js";
import {
  BEGINNING,
  CHANNEL_OPTIONS,
  type ChannelOptions,
  HISTORY_OPTIONS,
  type HistoryOptions,
  type HistoryPage,
  type ResolvedChannelOptions,
  type SubscribeOptions,
} from "./history.js";
import { fill, type Logger, resolveOptions, type TokenSocketOptions } from "./options.js";
import { makePresence, type Observations } from "./presence-slot.js";
import type { Presence } from "./presence-types.js";
import type { Link } from "./transport/transport.js";

/** The arguments of `state` listeners. */
type Change = TokenSocketEvents["state"];

/** Without a callback a method returns a promise. */
type CallbackOrOptions<Value, Options = RequestOptions> = Callback<Value> | Options | null | undefined;

/**
 * A connection to a server that comes back by itself. It connects as soon as it is made.
 *
 * `Server` is the type of the server's `socketController`, `Messages` that of its `channels`, `Identity` that of what its
 * `showIdentity` gives, `Members` that of its `presence`; they may come by a type-only import,
 * `new TokenSocket<typeof controller, typeof channels>()`.
 *
 * A promise that is rejected and that nobody looks at is no unhandled rejection; `debug` logs it.
 */
export class TokenSocket<
  Server = unknown,
  Messages = unknown,
  Identity = unknown,
  Members = unknown,
> extends Emitter<TokenSocketEvents<Identity>> {
  /** Not there at run time: so that a client of one server is none of another, but any is one without types. */
  declare readonly "~types"?: Readonly<{ server: Server; messages: Messages; members: Members }>;
  readonly #logger: Logger;
  readonly #actions: ActionTable;
  readonly #requests: Requests;
  readonly #channels: Channels;
  readonly #connection: Connection;
  readonly #observations: Observations = new Map();
  #hasBeenReady = false;
  #identity: unknown;
  #identityVersion = 0;
  /** All that the server has said of the identity, as JSON; undefined before it has said anything. */
  #known: string | undefined;
  /** Changes of the state that the listeners have not all heard of. */
  readonly #changes: Change[] = [];

  /** Throws a `TypeError` for options that are wrong. `actions` are functions that the server may call. */
  constructor(options?: TokenSocketOptions | null, actions?: Actions | null) {
    const resolved = resolveOptions(options ?? {});
    const { logger } = resolved;
    super(logger);
    this.#logger = logger;
    this.#actions = new ActionTable(logger);
    this.#requests = new Requests(resolved);
    this.#channels = new Channels(this.#requests, (...event) =>
      this.emit(...(event as ["subscribed", string])),
    );
    this.#connection = new Connection(resolved, this.#requests, {
      onMessage: (data, link) => this.#receive(data, link),
      restore: (signal) => this.#channels.restore(resolved.connectTimeout, signal),
      positions: () => this.#channels.positions(),
      onIdentity: (server) => this.#identify(server),
      onState: (...change) => this.#onState(...change),
    });
    if (actions) this.register(actions);
    this.#connection.begin();
  }

  /** Keeps Vue from putting the client behind a proxy, from where its private fields cannot be reached. */
  get __v_skip(): true {
    return true;
  }

  /** The state of the connection. */
  get state(): State {
    return this.#connection.state;
  }

  /** The reason why the connection is not open, if it was lost or has failed. */
  get reason(): Error | undefined {
    return this.#connection.reason;
  }

  /**
   * The client's identity, as far as the server shows it by its option `showIdentity`. It stays while the connection is lost,
   * and is undefined where the server refuses the client.
   */
  get identity(): Shown<Identity> {
    return this.#identity as Shown<Identity>;
  }

  /**
   * Counts how often the client has become another identity after its first, known or not: what was kept for an earlier
   * number is another user's.
   */
  get identityVersion(): number {
    return this.#identityVersion;
  }

  /** Waits until the connection is open, and is done at once where it is. An error means that it is closed for good. */
  ready(): Promise<void>;
  ready(callback: Callback<void>): void;
  ready(callback?: Callback<void>): Promise<void> | undefined {
    return this.#answer(this.#connection.opened(), callback);
  }

  /** Calls a function each time the connection is back. */
  onreconnect(callback: () => unknown): this {
    return this.on("reconnect", callback);
  }

  /** Calls a function for each message on a channel. */
  onmessage(callback: (...message: TokenSocketEvents["message"]) => unknown): this {
    return this.on("message", callback);
  }

  /** Adds functions that the server may call; one of a name that is there takes its place. */
  register(actions: Actions): this {
    this.#actions.register(actions);
    return this;
  }

  /**
   * The server's functions as functions: `socket.call.user.read({ id })` is `socket.rpc("user.read", { id })`. One
   * that is named `then` has to be called by `rpc`. In TypeScript it takes the type of the server.
   */
  readonly call = callable((path, [data, options]) =>
    this.rpc(path as AnyName<Server>, data, options as RequestOptions),
  ) as IfUnknown<Server, unknown, ServerCalls<Server, RequestOptions>>;

  /**
   * Calls a function of the server. Without `data` it gets an empty object. Where the function streams, the answer
   * is the stream, and `for await` takes it also without `await` before it.
   */
  rpc<Result = unknown>(
    name: AnyName<Server>,
    data?: unknown,
    options?: RequestOptions | null,
  ): Promise<Result> & AsyncIterable<unknown>;
  rpc<Result = unknown>(
    name: AnyName<Server>,
    data: unknown,
    callback: Callback<Result>,
    options?: RequestOptions | null,
  ): void;
  rpc<Name extends Path<Server>>(
    name: Name,
    data: Data<Server, Name>,
    callback: Callback<Result<Server, Name>>,
    options?: RequestOptions | null,
  ): void;
  rpc<Name extends Path<Server>>(name: Name, ...args: Arguments<Server, Name>): Answer<Server, Name>;
  rpc(
    name: string,
    data?: unknown,
    second?: CallbackOrOptions<never>,
    third?: RequestOptions | null,
  ): unknown {
    const answer = this.#run<unknown>(second as CallbackOrOptions<unknown>, third, async (options) => {
      const json = data === undefined ? "{}" : encodeJson(data);
      return this.#requests.request(name, json, options);
    });
    return answer && readable(answer);
  }

  /**
   * Joins a channel, and joins it again after each reconnect. Done when its messages come. Of a channel with a history it
   * first gets the messages after the position `since`, or the `last` ones.
   */
  subscribe(channel: Channel<Messages>, callback: Callback<void>, options?: SubscribeOptions | null): void;
  subscribe(channel: Channel<Messages>, options?: SubscribeOptions | null): Promise<void>;
  subscribe(
    channel: string,
    second?: CallbackOrOptions<void, SubscribeOptions>,
    third?: SubscribeOptions | null,
  ): Promise<void> | undefined {
    return this.#run(second, third, (options) => this.#channels.subscribe(channel, options), BEGINNING);
  }

  /**
   * The position up to which the messages of a joined channel have come, to be given as `since` later on; undefined where
   * the channel has no history, or is not joined.
   */
  position(channel: Channel<Messages>): string | undefined {
    return this.#channels.position(channel);
  }

  /** Reads a part of a channel's history: the newest messages, or those before a position. */
  history<Name extends Channel<Messages>>(
    channel: Name,
    callback: Callback<HistoryPage<Received<Messages, Name>>>,
    options?: HistoryOptions | null,
  ): void;
  history<Name extends Channel<Messages>>(
    channel: Name,
    options?: HistoryOptions | null,
  ): Promise<HistoryPage<Received<Messages, Name>>>;
  history(
    channel: string,
    second?: CallbackOrOptions<HistoryPage<never>, HistoryOptions>,
    third?: HistoryOptions | null,
  ): Promise<HistoryPage> | undefined {
    return this.#run<HistoryPage, HistoryOptions>(
      second as CallbackOrOptions<HistoryPage, HistoryOptions>,
      third,
      (options) => this.#channels.history(channel, options),
      HISTORY_OPTIONS,
    );
  }

  /** Leaves a channel. */
  unsubscribe(channel: Channel<Messages>, callback: Callback<void>, options?: RequestOptions | null): void;
  unsubscribe(channel: Channel<Messages>, options?: RequestOptions | null): Promise<void>;
  unsubscribe(
    channel: string,
    second?: CallbackOrOptions<void>,
    third?: RequestOptions | null,
  ): Promise<void> | undefined {
    return this.#run(second, third, (options) => this.#channels.unsubscribe(channel, options));
  }

  /** Publishes on a channel, for all but this client where `echo` is false. Done when Redis has the message; with a server of version 3, when it is sent. */
  publish<Name extends Channel<Messages>>(
    channel: Name,
    data: Published<Messages, Name>,
    callback: Callback<void>,
    options?: PublishOptions | null,
  ): void;
  publish<Name extends Channel<Messages>>(
    channel: Name,
    data: Published<Messages, Name>,
    options?: PublishOptions | null,
  ): Promise<void>;
  publish(
    channel: string,
    data: unknown,
    second?: CallbackOrOptions<void, PublishOptions>,
    third?: PublishOptions | null,
  ): Promise<void> | undefined {
    const publish = (options: PublishOptions) => this.#channels.publish(channel, encodeJson(data), options);
    return this.#run(second, third, publish, PUBLISH_OPTIONS);
  }

  /** Publishes on every channel that anybody has joined. Done as `publish` is. */
  broadcast(data: unknown, callback: Callback<void>, options?: RequestOptions | null): void;
  broadcast(data: unknown, options?: RequestOptions | null): Promise<void>;
  broadcast(
    data: unknown,
    second?: CallbackOrOptions<void>,
    third?: RequestOptions | null,
  ): Promise<void> | undefined {
    return this.#run(second, third, async (options) => {
      await this.#requests.request("_broadcast", `{"data":${encodeJson(data)}}`, options);
    });
  }

  /** The channels that the client has joined, or joins again as soon as the connection is back. */
  channels(): string[] {
    return this.#channels.names();
  }

  /**
   * A channel's messages for `for await`. Of a channel with a history it first gets the messages after the position `since`,
   * or the `last` ones. Throws a `TypeError` for options that are wrong.
   */
  channel<Name extends Channel<Messages>>(
    channel: Name,
    options?: ChannelOptions | null,
  ): AsyncIterableIterator<Received<Messages, Name>, undefined>;
  channel<Message>(
    channel: AnyName<Messages>,
    options?: ChannelOptions | null,
  ): AsyncIterableIterator<Message, undefined>;
  channel(channel: string, options?: ChannelOptions | null): AsyncIterableIterator<never, undefined> {
    const filled = fill(options ?? {}, CHANNEL_OPTIONS) as unknown as ResolvedChannelOptions;
    return this.#channels.stream(channel, filled) as AsyncIterableIterator<never, undefined>;
  }

  /**
   * Observes the members of a channel, until `end()`. Throws an `Error` in a bundle for browsers that does not import
   * `node-token-sockjs/client/presence` anywhere.
   */
  presence<Name extends Channel<Members>>(
    channel: Name,
  ): Presence<InfoOf<Members, Name>, StateOf<Members, Name>, InputOf<Members, Name>>;
  presence<Info, State>(channel: AnyName<Members>): Presence<Info, State>;
  presence(channel: string): Presence<never, never> {
    return makePresence(channel, this.#observations, this.#requests, this.#channels, this.#logger) as never;
  }

  /**
   * Gets a new identity after a login or a logout: a new token on the live connection, whose channels and calls
   * stay, or, where the server does not give it to another user, a new connection. Where there is none it connects at
   * once, also after the server has refused the user for good. Done when the client is in.
   */
  reauthenticate(): Promise<void>;
  reauthenticate(callback: Callback<void>): void;
  reauthenticate(callback?: Callback<void>): Promise<void> | undefined {
    const done = this.#connection.reauthenticate().then(() => {
      // a server that says nothing of it may have let in another one
      if (this.#known === "{}") this.#identify({}, true);
    });
    return this.#answer(done, callback);
  }

  /** Closes the connection for good. Calls that are under way are rejected. */
  end(): Promise<void>;
  end(callback: Callback<void>): void;
  end(callback?: Callback<void>): Promise<void> | undefined {
    return this.#answer(this.#connection.end(), callback);
  }

  /** Takes what the server says of the identity; `isOther`, where nothing is known, says that it may be another one. */
  #identify({ identity, identityHash }: JsonObject, isOther = false): void {
    const known = JSON.stringify({ identity, identityHash });
    if (known === this.#known && !isOther) return;
    const isFirst = this.#known === undefined;
    const previous = this.#identity;
    this.#known = known;
    this.#identity = identity;
    if (!isFirst) this.#identityVersion++;
    if (!isFirst || identity !== undefined)
      this.emit("identity", identity as Shown<Identity>, previous as Shown<Identity>);
  }

  /** `further` are options beside those of all calls. */
  #run<Value, Options extends RequestOptions = RequestOptions>(
    second: CallbackOrOptions<Value, Options>,
    third: Options | null | undefined,
    run: (options: Options) => Promise<Value>,
    further?: object,
  ): Promise<Value> | undefined {
    const hasCallback = typeof second === "function";
    const options = hasCallback ? third : second;
    const checked = async () => run(checkRequestOptions((options ?? {}) as Options, further));
    return this.#answer(checked(), hasCallback ? second : undefined);
  }

  #answer<Value>(
    answer: Promise<Value>,
    callback: Callback<Value> | null | undefined,
  ): Promise<Value> | undefined {
    if (callback) {
      answer
        .then((value) => callback(null, value), callback)
        .catch((error: unknown) => this.#logger.error("A callback failed", error));
      return undefined;
    }
    answer.catch((error: unknown) => this.#logger.debug("A call failed", error));
    return answer;
  }

  /** Takes what the server has sent. Never throws. */
  #receive(data: unknown, link: Link): void {
    const frame = parseServerFrame(data);
    switch (frame?.type) {
      case "reply":
        if (!this.#requests.settle(frame.id, frame.value, frame.error, frame.isStream)) this.#ignore(data);
        return;
      case "item":
        return this.#requests.streams.push(frame.id, frame.item);
      case "end":
        return this.#requests.streams.end(frame.id, frame.error);
      case "call":
        return this.#actions.call(frame.command, frame.args, (json) => {
          const text = `{"rpc":"_rpc","fid":${JSON.stringify(frame.fid)},"resp":${json}}`;
          this.#requests.check(text);
          link.send(text);
        });
      case "subscribe":
      case "unsubscribe":
        if (frame.type === "unsubscribe") this.#channels.left(frame.channel, frame.error);
        else if (frame.id === undefined) this.#channels.joined(frame.channel, {}, link);
        return this.#requests.acknowledge(`_${frame.type}`, frame.channel, frame.id);
      case "refresh":
        return this.#connection.refresh();
      case "leave":
        return this.#connection.leave();
      case "message":
        return this.#channels.message(frame.channel, frame.message, frame.at, frame.time);
      case "recovered":
        return this.#channels.progress(frame.channel, frame.frame);
      case "presence":
        return this.#observations.get(frame.channel)?.take(frame.frame, frame.error);
      case undefined:
        return this.#ignore(data);
    }
  }

  #ignore(data: unknown): void {
    this.#logger.debug("Unknown frame", data);
  }

  /** Tells the listeners; a change that one of them makes comes after all have heard of this one. */
  #onState(...change: Change): void {
    if (this.#changes.push(change) > 1) return;
    for (let next: Change | undefined = change; next; next = this.#changes[0]) {
      const [state, , reason] = next;
      if (state === "closed") this.#channels.close(reason instanceof DisconnectedError ? undefined : reason);
      // whoever it was, it is nobody now
      if (reason instanceof UnauthorizedError) this.#identify({}, true);
      for (const observation of this.#observations.values()) observation.connect();
      this.emit("state", ...next);
      // a listener may have ended it
      if (state === "open" && this.state === "open") {
        this.emit(this.#hasBeenReady ? "reconnect" : "ready");
        this.#hasBeenReady = true;
      }
      this.#changes.shift();
    }
  }
}
