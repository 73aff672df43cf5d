import { encodePresenceEnd } from "../../shared/frame-encoders.js";
import { FORBIDDEN } from "../../shared/refusals.js";
import { Checks } from "../history/checks.js";
import { inTime } from "../limits/in-time.js";
import type { Limits } from "../limits/limits.js";
import type { Reporter } from "../log/reporter.js";
import type { Broker } from "../redis/broker.js";
import { memberNames, readAllMembers } from "../redis/member-list.js";
import type { Redis } from "../redis/redis.js";
import type { Socket } from "../transport/socket.js";
import { ChannelEntries } from "./channel-entries.js";
import type { Written } from "./entry.js";
import { LeftBehind, type ServerRegistry } from "./left-behind.js";
import { type ListPage, LiveMembers, type Observer } from "./live-members.js";
import { type PresenceList, type PresenceMember, toMember } from "./member.js";
import type { ResolvedPresence } from "./presence-option.js";
import type { PresenceTimes } from "./presence-times.js";

/** The parts of the server that presence needs. */
export interface PresenceParts {
  readonly redis: Redis;
  /** Absent where pub/sub is off. */
  readonly subscriber: Broker | undefined;
  readonly channelPrefix: string;
  readonly registry: ServerRegistry;
  readonly limits: Limits;
  readonly times: PresenceTimes;
  /** The presence of a channel; undefined for none. */
  readonly optionOf: (channel: string) => ResolvedPresence | undefined;
  /** Whether any channel has a presence. */
  readonly isOn: boolean;
  /** Whether a guard decides who may observe. */
  readonly isGuarded: () => boolean;
  readonly reporter: Reporter;
  /** Tells the application of a change that this server has made. */
  readonly notify: (event: "joined" | "left" | "updated", channel: string, member: PresenceMember) => void;
}

/** A connection, as presence needs it. */
export interface PresenceClient extends Observer {
  readonly socket: Socket<unknown>;
  readonly closed: boolean;
  /** The usage that it shares with the other connections of its identity, whose key it has. */
  readonly usage: { readonly key: string } | undefined;
  /** The channels that it has joined. */
  readonly channels: Readonly<Record<string, true>>;
}

/** The part of the send buffer that one frame may take. */
const SHARE = 1 / 4;

/** What is shown where nothing is. */
const NOTHING = "null";

/** The members of channels: those of this server's sockets, and those whom its sockets observe. */
export class Presence {
  readonly #parts: PresenceParts;
  readonly #entries = new Map<string, ChannelEntries>();
  readonly #lists = new Map<string, LiveMembers>();
  /** The channels that each client observes. */
  readonly #observed = new Map<PresenceClient, Set<string>>();
  readonly #checks = new Checks();
  readonly #leftBehind: LeftBehind;
  /** Until when other servers may not have written their members again, by `performance.now()`. */
  #unsettledUntil = 0;
  #isClosed = false;

  constructor(parts: PresenceParts) {
    this.#parts = parts;
    const { redis, channelPrefix, registry, reporter, isOn } = parts;
    this.#leftBehind = new LeftBehind({
      redis,
      channelPrefix,
      registry,
      takeOver: (channel, dead, ids) => this.#takeOver(channel, dead, ids),
      onError: (error) =>
        reporter.outage("the members of a server that is gone could not be taken over", error),
    });
    if (!isOn) return;
    registry.onDead((id) => void this.#leftBehind.takeOver(id));
    registry.onReturn(() => this.refill());
  }

  /** Says whether any channel has a presence. */
  get isOn(): boolean {
    return this.#parts.isOn && this.#parts.subscriber !== undefined;
  }

  /** Says whether a channel has a presence. */
  has(channel: string): boolean {
    return this.isOn && this.#parts.optionOf(channel) !== undefined;
  }

  /** Takes note that a socket has joined a channel. */
  join(client: PresenceClient, channel: string): void {
    const option = this.isOn ? this.#parts.optionOf(channel) : undefined;
    if (option && client.usage)
      this.#entriesOf(channel, option).add(client.usage.key, this.#infoOf(option, client));
  }

  /** Takes note that a socket has left a channel; `isLost` where it has lost its line, or its server is going. */
  leave(client: PresenceClient, channel: string, isLost: boolean): void {
    if (client.usage) this.#entries.get(channel)?.remove(client.usage.key, isLost);
    // without a guard, being in the channel was what it took
    if (this.#parts.isGuarded() || !this.unobserve(client, channel)) return;
    client.send(encodePresenceEnd(channel, FORBIDDEN));
  }

  /** Shows anew what the application shows of a client, whose identity may be another one. */
  renew(client: PresenceClient): void {
    if (!this.isOn || !client.usage) return;
    for (const channel of Object.keys(client.channels)) {
      const option = this.#parts.optionOf(channel);
      if (option) this.#entries.get(channel)?.renew(client.usage.key, this.#infoOf(option, client));
    }
  }

  /** Sets the state of a client; resolves when Redis has it, with undefined where it is no member. */
  async set(client: PresenceClient, channel: string, state: string): Promise<Written | undefined> {
    const written = client.usage && this.#entries.get(channel)?.set(client.usage.key, state);
    return written && inTime(this.#parts.limits.redisTimeout, written);
  }

  /**
   * Lets a client observe a channel; gives the first page to `answer`, which says whether it may, before anything further is
   * sent, unless the client has closed. Rejects where Redis does not tell.
   */
  async observe(client: PresenceClient, channel: string, answer: (page: ListPage) => boolean): Promise<void> {
    const list = this.#listOf(channel);
    if (!list) return;
    // it stays while somebody waits for it
    list.waiting++;
    try {
      await inTime(this.#parts.limits.redisTimeout, this.#prepare(list, client, channel));
      if (client.closed || this.#isClosed) return;
      if (!answer(list.page())) return;
      list.observers.add(client);
      const observed = this.#observed.get(client);
      if (observed) observed.add(channel);
      else this.#observed.set(client, new Set([channel]));
    } finally {
      list.waiting--;
      this.#closeUnobserved(channel, list);
    }
  }

  /** Gives the page after a place to a client that observes; undefined where it does not. */
  page(client: PresenceClient, channel: string, after: number): ListPage | undefined {
    return this.observes(client, channel) ? this.#lists.get(channel)?.page(after) : undefined;
  }

  observes(client: PresenceClient, channel: string): boolean {
    return this.#observed.get(client)?.has(channel) ?? false;
  }

  /** The channels that a client observes. */
  observedBy(client: PresenceClient): string[] {
    return [...(this.#observed.get(client) ?? [])];
  }

  /** Lets a client observe a channel no more; says whether it has. */
  unobserve(client: PresenceClient, channel: string): boolean {
    const observed = this.#observed.get(client);
    if (!observed?.delete(channel)) return false;
    if (observed.size === 0) this.#observed.delete(client);
    const list = this.#lists.get(channel);
    list?.observers.delete(client);
    if (list) this.#closeUnobserved(channel, list);
    return true;
  }

  /** Forgets a client that has closed. */
  forget(client: PresenceClient): void {
    for (const channel of this.observedBy(client)) this.unobserve(client, channel);
  }

  /** Reads a channel's members, for the application. */
  async read(channel: string): Promise<PresenceList> {
    const { redis, channelPrefix, limits } = this.#parts;
    if (!this.has(channel)) {
      throw new Error(`The channel ${JSON.stringify(channel)} has no presence: see the option presence`);
    }
    await inTime(limits.redisTimeout, this.#entries.get(channel)?.flushed() ?? Promise.resolve());
    const names = memberNames(channelPrefix, channel);
    const { members } = await readAllMembers((cursor) =>
      inTime(limits.redisTimeout, redis.readMembers(names, cursor)),
    );
    return { count: members.size, members: [...members.values()].map(toMember) };
  }

  /** Writes the members of this server again, and looks what was missed: Redis was away, or was emptied. */
  refill(): void {
    if (this.#isClosed) return;
    for (const entries of this.#entries.values()) entries.refill();
    void this.#checks.all();
  }

  /** Writes who is waited for from now on, and then nothing more; resolves when Redis has taken that. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#leftBehind.close();
    for (const [channel, list] of this.#lists) this.#closeList(channel, list);
    this.#observed.clear();
    await Promise.all([...this.#entries.values()].map((entries) => entries.close()));
  }

  async #prepare(list: LiveMembers, client: PresenceClient, channel: string): Promise<void> {
    await list.open();
    const written = client.usage && (await this.#entries.get(channel)?.written(client.usage.key));
    if (written) await list.caughtUp(written.at);
  }

  #listOf(channel: string): LiveMembers | undefined {
    const { redis, subscriber, channelPrefix, limits, times, optionOf, reporter } = this.#parts;
    const option = optionOf(channel);
    if (!option || !subscriber) return undefined;
    const known = this.#lists.get(channel);
    if (known) return known;
    const names = memberNames(channelPrefix, channel);
    const list = new LiveMembers({
      channel,
      isCount: option.isCount,
      times,
      frameBytes: Math.floor(limits.bufferedBytes * SHARE),
      subscribe: (listener) => subscriber.subscribe(names.channel, listener),
      unsubscribe: (listener) => subscriber.unsubscribe(names.channel, listener),
      read: (cursor) => redis.readMembers(names, cursor),
      onError: (error) => {
        if (!this.#isClosed) reporter.outage("the members of a channel could not be read", error);
      },
    });
    this.#lists.set(channel, list);
    this.#checks.add(list);
    return list;
  }

  #closeUnobserved(channel: string, list: LiveMembers): void {
    if (list.observers.size === 0 && list.waiting === 0) this.#closeList(channel, list);
  }

  #closeList(channel: string, list: LiveMembers): void {
    if (this.#lists.get(channel) !== list) return;
    this.#lists.delete(channel);
    this.#checks.delete(list);
    list.close();
  }

  #entriesOf(channel: string, option: ResolvedPresence): ChannelEntries {
    const known = this.#entries.get(channel);
    if (known) return known;
    const { redis, channelPrefix, registry, times, reporter, notify } = this.#parts;
    const entries: ChannelEntries = new ChannelEntries({
      channel,
      names: memberNames(channelPrefix, channel),
      option,
      server: registry.id,
      times,
      change: (names, batch) => redis.changeMembers(channelPrefix, names, batch),
      notify: (event, record) => {
        if (!this.#isClosed || event === "left") notify(event, channel, toMember(record));
      },
      leastGrace: () => Math.max(0, Math.ceil(this.#unsettledUntil - performance.now())),
      onEmptied: () => {
        this.#unsettledUntil = performance.now() + times.settle;
        this.refill();
      },
      onFull: () =>
        reporter.outage(
          "presence",
          new Error(
            `The channel ${JSON.stringify(channel)} has as many members as its presence may have (limit)`,
          ),
        ),
      onError: (error) => {
        if (!this.#isClosed) reporter.outage("the members of a channel could not be written", error);
      },
      onGone: () => {
        if (this.#entries.get(channel) === entries && entries.isEmpty) this.#entries.delete(channel);
      },
    });
    this.#entries.set(channel, entries);
    return entries;
  }

  async #takeOver(
    channel: string,
    dead: { readonly server: string; readonly at: number },
    ids: readonly string[],
  ): Promise<void> {
    // one that had a presence may have none by now: then it has nobody to tell, and nothing to wait for
    const option = this.#parts.optionOf(channel) ?? GONE;
    if (!this.#isClosed) await this.#entriesOf(channel, option).takeOver(dead, ids);
  }

  /** What is shown of a client, as JSON. */
  #infoOf({ info }: ResolvedPresence, { socket }: PresenceClient): string {
    if (!info) return NOTHING;
    const { reporter, limits } = this.#parts;
    try {
      const json = toJson(info(socket.auth, socket));
      const bytes = Buffer.byteLength(json);
      if (bytes <= limits.presenceBytes) return json;
      throw new Error(`It has ${bytes} bytes, and may have ${limits.presenceBytes} (limits.presenceBytes)`);
    } catch (error) {
      reporter.error("presence: info failed", error);
      return NOTHING;
    }
  }
}

/** The presence of a channel that has none any more. */
const GONE: ResolvedPresence = { info: undefined, state: undefined, grace: 0, limit: 1, isCount: false };

/** Encodes what `info` gives. Throws a `TypeError` for what is no object. */
function toJson(value: unknown): string {
  if (value === undefined || value === null) return NOTHING;
  const json = typeof value === "object" && !(value instanceof Promise) ? JSON.stringify(value) : undefined;
  if (json?.startsWith("{")) return json;
  throw new TypeError("It must give an object, at once");
}
