import { errorForWire, failureForWire, type Outcome } from "../../shared/errors.js";
import {
  ALL_CHANNEL,
  type AskedPart,
  type ClientFrame,
  encodeJson,
  isReservedChannel,
  PROTOCOL,
  type RequestHead,
  type SubscribeFrame,
} from "../../shared/protocol.js";
import {
  BUSY,
  FORBIDDEN,
  INTERNAL_ERROR,
  INVALID_REQUEST,
  NO_HISTORY,
  PUBSUB_OFF,
  TOO_MANY_CHANNELS,
  UNAVAILABLE,
} from "../../shared/refusals.js";
import type { ChannelSchemas } from "../channels/channel-schemas.js";
import { KeyedQueue } from "../channels/keyed-queue.js";
import type { PendingJoin, Subscriber } from "../channels/membership.js";
import type { PubSub, Recovery, Wish } from "../channels/pubsub.js";
import type { GuardEvents, ServerEvents } from "../events/events.js";
import { type GuardResult, type Guards, MOST_DECISIONS } from "../events/guards.js";
import { Review } from "../events/reviews.js";
import type { Recovered } from "../history/recovery.js";
import type { Limits } from "../limits/limits.js";
import type { Reporter } from "../log/reporter.js";
import type { Kept } from "../redis/history-log.js";
import type { ChannelClient } from "./channel-client.js";
import { historyAnswer } from "./history-answer.js";
import { type PresenceRequest, type PresenceRequestParts, PresenceRequests } from "./presence-requests.js";

/** The parts of the server that channel requests need. */
export interface ChannelRequestParts<Auth> extends PresenceRequestParts<Auth> {
  readonly exposeErrors: boolean;
  readonly limits: Limits;
  readonly guards: Guards;
  readonly channelSchemas: ChannelSchemas;
  readonly pubsub: PubSub<Auth>;
  readonly reporter: Reporter;
  /** Tells the application of something that has happened. */
  readonly notify: <E extends "published" | "broadcasted">(event: E, ...args: ServerEvents<Auth>[E]) => void;
  /** Says whether the application listens to such an event. */
  readonly hears: (event: "published" | "broadcasted") => boolean;
}

type UnsubscribeFrame = Extract<ClientFrame, { type: "unsubscribe" }>;
type PublishFrame = Extract<ClientFrame, { type: "publish" }>;
type BroadcastFrame = Extract<ClientFrame, { type: "broadcast" }>;

/** A request to read a channel's history back. */
export interface HistoryRequest {
  readonly type: "history";
  readonly head: RequestHead;
  readonly channel: string;
  readonly part: AskedPart;
}

/** A frame by which a client joins or leaves channels, publishes, or reads back. */
export type ChannelFrame =
  | SubscribeFrame
  | UnsubscribeFrame
  | PublishFrame
  | BroadcastFrame
  | HistoryRequest
  | PresenceRequest;

/** The channel requests of one client: in order for each channel, within a bound, and as far as the guards allow them. */
export class ChannelRequests<Auth> {
  readonly #client: ChannelClient<Auth>;
  readonly #parts: ChannelRequestParts<Auth>;
  readonly #queue = new KeyedQueue();
  /** The bytes of the requests that wait for guards or Redis. */
  #bytes = 0;
  /** The number of messages that Redis has been given and has not taken yet. */
  #publishing = 0;
  /** The recoveries that are under way, by channel: the next join of that channel waits for its end. */
  #recoveries: Map<string, Promise<void>> | undefined;
  #review: Review<string> | undefined;
  #presence: PresenceRequests<Auth> | undefined;

  constructor(client: ChannelClient<Auth>, parts: ChannelRequestParts<Auth>) {
    this.#client = client;
    this.#parts = parts;
  }

  /** Takes a request on, whose text has so many bytes, or answers it with an error. */
  add(frame: ChannelFrame, bytes: number): void {
    const { head } = frame;
    const isBroadcast = frame.type === "broadcast";
    if (!isBroadcast && isReservedChannel(frame.channel)) return this.#client.refuse(head, FORBIDDEN);
    if (!this.#parts.pubsub.enabled) return this.#client.refuse(head, PUBSUB_OFF);
    if (this.#client.wantsHistory && isWrong(frame)) return this.#client.refuse(head, INVALID_REQUEST);
    if (this.#isFull(bytes)) return this.#client.refuse(head, BUSY);
    this.#bytes += bytes;
    const serve = () => this.#serve(frame, bytes);
    if (isBroadcast) this.#queue.runAll(serve);
    else this.#queue.run(frame.channel, serve);
  }

  /** Resolves when the requests that have come so far are decided. */
  decided(): Promise<void> {
    return new Promise((resolve) => this.#queue.runAll(resolve));
  }

  /** Asks the guards again about all channels that the client has joined itself, and revokes those that they refuse. */
  review(): void {
    this.#reviewChannels(Object.keys(this.#client.channels));
    this.#presence?.review();
  }

  /** Forgets the reviews that wait. */
  close(): void {
    this.#review?.clear();
    this.#presence?.close();
  }

  #isFull(bytes: number): boolean {
    const { framesWaiting, bytesWaiting } = this.#parts.limits;
    const count = this.#queue.waiting + this.#publishing + (this.#recoveries?.size ?? 0);
    return count >= framesWaiting || (count > 0 && this.#bytes + bytes > bytesWaiting);
  }

  /** Serves a request, whose data is not needed any more after that. Never throws or rejects. */
  #serve(frame: ChannelFrame, bytes: number): void | Promise<void> {
    try {
      const serving = this.#handle(frame);
      if (serving) return this.#awaitServed(serving, frame.head, bytes);
    } catch (error) {
      this.#failed(frame.head, error);
    }
    this.#bytes -= bytes;
  }

  async #awaitServed(serving: Promise<void>, head: RequestHead, bytes: number): Promise<void> {
    try {
      await serving;
    } catch (error) {
      this.#failed(head, error);
    }
    this.#bytes -= bytes;
  }

  #failed(head: RequestHead, error: unknown): void {
    this.#parts.reporter.error("a channel request could not be served", error);
    this.#client.refuse(head, INTERNAL_ERROR);
  }

  #handle(frame: ChannelFrame): void | Promise<void> {
    switch (frame.type) {
      case "subscribe":
        // without a guard nobody can overrule it
        if (!this.#parts.guards.has("subscribe")) return this.#join(frame, undefined);
        return this.#onSubscribe(frame);
      case "unsubscribe":
        return this.#onUnsubscribe(frame);
      case "publish":
        return this.#onPublish(frame);
      case "broadcast":
        return this.#onBroadcast(frame);
      case "history":
        return this.#onHistory(frame);
      case "presence":
        this.#presence ??= new PresenceRequests(this.#client, this.#parts, (head, channel, allowed) =>
          this.#decide("presence", () => ({ channel }), head, allowed),
        );
        return this.#presence.handle(frame);
    }
  }

  #onSubscribe(frame: SubscribeFrame): void | Promise<void> {
    const { memberships } = this.#parts.pubsub;
    const { head, channel } = frame;
    const join = memberships.beginJoin(this.#client, channel, true);
    const joining = this.#decide(
      "subscribe",
      () => ({ channel }),
      head,
      (_request, from) => this.#join(frame, from),
      join,
    );
    const end = () => memberships.endJoin(join);
    if (joining) return joining.finally(end);
    end();
  }

  #onUnsubscribe({ head, channel }: UnsubscribeFrame): void | Promise<void> {
    const { pubsub } = this.#parts;
    return this.#decide(
      "unsubscribe",
      () => ({ channel }),
      head,
      () =>
        this.#answer(
          head,
          pubsub.leave(this.#client, channel).then(() => undefined),
        ),
    );
  }

  #onPublish(frame: PublishFrame): void | Promise<void> {
    const { pubsub } = this.#parts;
    if (frame.again && this.#client.wantsHistory && !pubsub.reader(frame.channel)) {
      return this.#client.refuse(frame.head, NO_HISTORY);
    }
    const checked = this.#parts.channelSchemas.check(frame.channel, frame.data);
    return checked instanceof Promise
      ? checked.then((outcome) => this.#onChecked(frame, outcome))
      : this.#onChecked(frame, checked);
  }

  /** Publishes what the channel's schema has made of a message. */
  #onChecked({ head, channel, id, echo }: PublishFrame, checked: Outcome): void | Promise<void> {
    const { pubsub, exposeErrors, reporter } = this.#parts;
    if (this.#client.closed) return;
    if (checked.status === "error") return this.#client.refuse(head, errorForWire(checked.error));
    if (checked.status === "failure") {
      reporter.error(`the schema of ${JSON.stringify(channel)} failed`, checked.error);
      return this.#client.refuse(head, failureForWire(checked.error, exposeErrors));
    }
    const makeRequest = () => ({ channel, data: checked.value });
    const isLeftOut = echo === false && this.#client.protocol === PROTOCOL;
    const except = isLeftOut ? this.#client.socket.sid : undefined;
    return this.#decide("publish", makeRequest, head, (request) =>
      this.#publish(head, "published", request, (json) =>
        pubsub.publishJson(channel, json, (this.#client.wantsHistory && id) || undefined, except),
      ),
    );
  }

  #onBroadcast({ head, data }: BroadcastFrame): void | Promise<void> {
    const { pubsub } = this.#parts;
    const makeRequest = () => ({ data });
    return this.#decide("broadcast", makeRequest, head, (request) =>
      this.#publish(head, "broadcasted", request, (json) => pubsub.publishJson(ALL_CHANNEL, json)),
    );
  }

  /**
   * Goes on when the guards allow it; at once where there are none. They are asked again where the rights may have become
   * others while they decided.
   */
  #decide<E extends "subscribe" | "unsubscribe" | "publish" | "broadcast" | "history" | "presence">(
    event: E,
    makeRequest: () => GuardEvents<Auth>[E][1],
    head: RequestHead,
    allowed: (request: GuardEvents<Auth>[E][1], from: number | undefined) => void | Promise<void>,
    join: PendingJoin<Subscriber<Auth>> | undefined = undefined,
    times = 1,
  ): void | Promise<void> {
    const client = this.#client;
    const request = makeRequest();
    const { rights } = client;
    if (join) join.isOverruled = false;
    const goOn = (verdict: GuardResult): void | Promise<void> => {
      if (client.closed) return;
      if (!verdict.allowed) return client.refuse(head, verdict.error);
      if (client.rights === rights && !join?.isOverruled) return allowed(request, verdict.from);
      if (times === MOST_DECISIONS) return client.refuse(head, BUSY);
      return this.#decide(event, makeRequest, head, allowed, join, times + 1);
    };
    const verdict = this.#parts.guards.decide(event, client.socket, request);
    return verdict instanceof Promise ? verdict.then(goOn) : goOn(verdict);
  }

  /** Reads back, in the channel that the client is in, or where a guard says so. */
  #onHistory({ head, channel, part }: HistoryRequest): void | Promise<void> {
    const { guards, limits, pubsub } = this.#parts;
    const client = this.#client;
    const reader = pubsub.reader(channel);
    if (!reader) return client.refuse(head, NO_HISTORY);
    const read = async (from: number | undefined) => {
      try {
        client.answer(head, await historyAnswer({ client, channel, part, from, reader, pubsub, limits }));
      } catch (error) {
        this.#unavailable(head, error);
      }
    };
    if (guards.has("history"))
      return this.#decide(
        "history",
        () => ({ channel }),
        head,
        (_, from) => read(from),
      );
    if (!pubsub.memberships.has(client, channel)) return client.refuse(head, FORBIDDEN);
    return read(client.membership?.from?.get(channel));
  }

  #join(frame: SubscribeFrame, from: number | undefined): void | Promise<void> {
    const recovering = this.#recoveries?.get(frame.channel);
    return recovering ? recovering.then(() => this.#enter(frame, from)) : this.#enter(frame, from);
  }

  #enter(frame: SubscribeFrame, from: number | undefined): void | Promise<void> {
    const { memberships } = this.#parts.pubsub;
    const client = this.#client;
    const { head, channel } = frame;
    if (client.closed) return;
    const isNew = !memberships.has(client, channel);
    if (isNew && !memberships.reserve(client)) return client.refuse(head, TOO_MANY_CHANNELS);
    const { rights } = client;
    try {
      const joining = this.#parts.pubsub.join(client, channel, frame, this.#wishOf(frame, from));
      if (joining instanceof Promise) return this.#awaitJoin(joining, frame, isNew, rights);
      this.#joined(frame, joining);
    } catch (error) {
      this.#unavailable(head, error);
    }
    this.#entered(channel, isNew, rights);
  }

  #wishOf({ head, start }: SubscribeFrame, from: number | undefined): Wish | undefined {
    if (start === undefined || start === "invalid") return from === undefined ? undefined : { from };
    const onDone = (recovered: Recovered) => this.#client.answer(head, JSON.stringify(recovered));
    return { start, from, onDone };
  }

  async #awaitJoin(
    joining: Promise<Recovery>,
    frame: SubscribeFrame,
    isNew: boolean,
    rights: number,
  ): Promise<void> {
    const joined = await joining.catch((error: unknown) => this.#unavailable(frame.head, error));
    if (joined) this.#joined(frame, joined);
    this.#entered(frame.channel, isNew, rights);
  }

  #joined({ head, channel }: SubscribeFrame, { done }: Recovery): void {
    if (done) this.#awaitRecovery(head, channel, done);
    else this.#client.acknowledge(head);
  }

  #entered(channel: string, isNew: boolean, rights: number): void {
    const client = this.#client;
    if (isNew) this.#parts.pubsub.memberships.release(client);
    // its right may have been lost while Redis was asked
    if (client.rights !== rights) this.#reviewChannels([channel]);
  }

  /**
   * Hands a message to Redis, and keeps nothing of it but its text until Redis has taken it. What comes next need not wait,
   * since the Redis client keeps the order.
   */
  #publish(
    head: RequestHead,
    event: "published" | "broadcasted",
    { data, ...rest }: { readonly channel?: string; readonly data: unknown },
    publish: (json: string) => Promise<Kept | undefined>,
  ): void {
    const { hears, notify, reporter } = this.#parts;
    let json: string;
    try {
      json = encodeJson(data);
    } catch (error) {
      reporter.error("a publish guard has left a message that is no JSON", error);
      return this.#client.refuse(head, INTERNAL_ERROR);
    }
    this.#publishing++;
    this.#bytes += json.length;
    const published = publish(json).then((kept) => {
      if (!kept?.isRepeated && hears(event))
        notify(event, this.#client.socket, { ...rest, data: JSON.parse(json) } as never);
      return kept;
    });
    void this.#answer(head, published).then(() => {
      this.#publishing--;
      this.#bytes -= json.length;
    });
  }

  /** Counts a recovery, which nothing waits for, until its end. */
  #awaitRecovery(head: RequestHead, channel: string, recovering: Promise<boolean>): void {
    const answered = recovering.then(
      (isDone) => {
        if (!isDone && !this.#client.closed) this.#client.refuse(head, FORBIDDEN);
      },
      (error: unknown) => this.#unavailable(head, error),
    );
    const end = answered.then(() => {
      this.#recoveries?.delete(channel);
    });
    this.#recoveries ??= new Map();
    this.#recoveries.set(channel, end);
  }

  /** Acknowledges a request when Redis has carried it out, or tells the client that it has not. */
  async #answer(head: RequestHead, done: Promise<Kept | undefined>): Promise<void> {
    let kept: Kept | undefined;
    try {
      kept = await done;
    } catch (error) {
      return this.#unavailable(head, error);
    }
    if (kept && this.#client.wantsHistory) this.#client.answer(head, JSON.stringify({ at: kept.at }));
    else this.#client.acknowledge(head);
  }

  #unavailable(head: RequestHead, error: unknown): void {
    if (this.#client.closed) return;
    this.#parts.reporter.error("Redis has not carried out what a client asked for", error);
    this.#client.refuse(head, UNAVAILABLE);
  }

  #reviewChannels(channels: readonly string[]): void {
    const { memberships } = this.#parts.pubsub;
    // Stryker disable next-line MethodExpression: what it has not asked for is passed over below, too
    const requested = channels.filter((channel) => memberships.hasRequested(this.#client, channel));
    if (requested.length === 0) return;
    this.#review ??= new Review((channel) =>
      // a client that reads slowly must not put it off by joins that wait for a recovery
      this.#recoveries?.has(channel)
        ? this.#reviewChannel(channel)
        : new Promise((resolve) =>
            this.#queue.run(channel, () => this.#reviewChannel(channel).then(resolve)),
          ),
    );
    this.#review.add(requested);
  }

  async #reviewChannel(channel: string): Promise<void> {
    const { guards, pubsub, reporter } = this.#parts;
    const client = this.#client;
    if (client.closed || !pubsub.memberships.hasRequested(client, channel)) return;
    const verdict = await guards.decide("subscribe", client.socket, { channel });
    if (client.closed) return;
    if (verdict.allowed) {
      if (pubsub.memberships.hasRequested(client, channel)) {
        pubsub.memberships.setFrom(client, channel, verdict.from);
      }
      return;
    }
    reporter.debug(() => `${client.socket.sid} may not stay in ${JSON.stringify(channel)}`);
    // that it has closed in the meantime is all that can go wrong
    await pubsub.revoke(client, channel, verdict.error).catch(() => {});
  }
}

/** Says whether what a frame says of history has a wrong form. */
function isWrong(frame: ChannelFrame): boolean {
  return (
    (frame.type === "subscribe" && frame.start === "invalid") ||
    (frame.type === "publish" && frame.id === null)
  );
}
