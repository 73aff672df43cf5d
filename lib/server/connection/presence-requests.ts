import { errorForWire, failureForWire } from "../../shared/errors.js";
import { encodePresenceEnd } from "../../shared/frame-encoders.js";
import { encodeJson, type PresenceQuery, type RequestHead } from "../../shared/protocol.js";
import {
  FORBIDDEN,
  INTERNAL_ERROR,
  INVALID_REQUEST,
  NO_PRESENCE,
  STATE_TOO_LONG,
  TOO_MANY_CHANNELS,
  TOO_MANY_MEMBERS,
  UNAVAILABLE,
} from "../../shared/refusals.js";
import type { ChannelSchemas } from "../channels/channel-schemas.js";
import type { PubSub } from "../channels/pubsub.js";
import type { Guards } from "../events/guards.js";
import { Review } from "../events/reviews.js";
import type { Limits } from "../limits/limits.js";
import type { Reporter } from "../log/reporter.js";
import type { ListPage } from "../presence/live-members.js";
import type { Presence } from "../presence/presence.js";
import type { ChannelClient } from "./channel-client.js";

/** The parts of the server that requests about members need. */
export interface PresenceRequestParts<Auth> {
  readonly presence: Presence;
  /** The schemas of the states that members set. */
  readonly stateSchemas: ChannelSchemas;
  readonly exposeErrors: boolean;
  readonly limits: Limits;
  readonly guards: Guards;
  readonly pubsub: PubSub<Auth>;
  readonly reporter: Reporter;
}

/** A request about a channel's members. */
export type PresenceRequest = { readonly type: "presence"; readonly head: RequestHead } & PresenceQuery;

/** Goes on when the guards of `presence` allow a request about a channel. */
type Decide = (
  head: RequestHead,
  channel: string,
  allowed: () => void | Promise<void>,
) => void | Promise<void>;

/** The requests of one client about channels' members. */
export class PresenceRequests<Auth> {
  readonly #client: ChannelClient<Auth>;
  readonly #parts: PresenceRequestParts<Auth>;
  readonly #decide: Decide;
  #review: Review<string> | undefined;
  /** The number of requests to observe that wait for Redis. */
  #waiting = 0;

  constructor(client: ChannelClient<Auth>, parts: PresenceRequestParts<Auth>, decide: Decide) {
    this.#client = client;
    this.#parts = parts;
    this.#decide = decide;
  }

  handle(request: PresenceRequest): void | Promise<void> {
    const { presence } = this.#parts;
    const client = this.#client;
    const { head, channel } = request;
    if (!presence.has(channel)) return client.refuse(head, NO_PRESENCE);
    switch (request.kind) {
      case "observe":
        return this.#onObserve(head, channel);
      case "page": {
        const page = presence.page(client, channel, request.after);
        return page ? client.answer(head, encodePage(page)) : client.refuse(head, INVALID_REQUEST);
      }
      case "set":
        return this.#onSet(head, channel, request.state);
      case "end":
        presence.unobserve(client, channel);
        return client.acknowledge(head);
    }
  }

  /** Asks the guards again about the channels that the client observes, and ends what they refuse. */
  review(): void {
    const { guards, presence } = this.#parts;
    const observed = presence.observedBy(this.#client);
    if (observed.length === 0 || !guards.has("presence")) return;
    this.#review ??= new Review((channel) => this.#reviewOne(channel));
    this.#review.add(observed);
  }

  /** Forgets what the client observes, and the reviews that wait. */
  close(): void {
    this.#review?.clear();
    this.#parts.presence.forget(this.#client);
  }

  #onObserve(head: RequestHead, channel: string): void | Promise<void> {
    if (this.#parts.guards.has("presence")) {
      return this.#decide(head, channel, () => this.#observe(head, channel));
    }
    if (!this.#mayObserve(channel)) return this.#client.refuse(head, FORBIDDEN);
    return this.#observe(head, channel);
  }

  /** Without a guard, being in the channel is what it takes. */
  #mayObserve(channel: string): boolean {
    const { guards, pubsub } = this.#parts;
    return guards.has("presence") || pubsub.memberships.has(this.#client, channel);
  }

  async #observe(head: RequestHead, channel: string): Promise<void> {
    const { presence, pubsub, limits } = this.#parts;
    const client = this.#client;
    const { rights } = client;
    // a guard may allow more channels than a client may be in, and each one costs a list and a subscription
    const isMore = !presence.observes(client, channel);
    if (isMore && presence.observedBy(client).length + this.#waiting >= limits.channelsPerSocket) {
      return client.refuse(head, TOO_MANY_CHANNELS);
    }
    const answer = (page: ListPage) => {
      const isAllowed = this.#mayObserve(channel);
      const me = pubsub.memberships.has(client, channel) ? client.usage?.key : undefined;
      if (isAllowed) client.answer(head, encodePage(page, me));
      else client.refuse(head, FORBIDDEN);
      return isAllowed;
    };
    this.#waiting++;
    try {
      await presence.observe(client, channel, answer);
    } catch (error) {
      return this.#unavailable(head, error);
    } finally {
      this.#waiting--;
    }
    // its right may have been lost while Redis was asked
    if (client.rights !== rights) this.review();
  }

  async #onSet(head: RequestHead, channel: string, state: unknown): Promise<void> {
    const { presence, stateSchemas, exposeErrors, limits, pubsub, reporter } = this.#parts;
    const client = this.#client;
    if (!pubsub.memberships.has(client, channel)) return client.refuse(head, FORBIDDEN);
    const checked = await stateSchemas.check(channel, state);
    if (client.closed) return;
    if (checked.status === "error") return client.refuse(head, errorForWire(checked.error));
    if (checked.status === "failure") {
      reporter.error(`the schema of states in ${JSON.stringify(channel)} failed`, checked.error);
      return client.refuse(head, failureForWire(checked.error, exposeErrors));
    }
    let json: string;
    try {
      json = encodeJson(checked.value);
    } catch (error) {
      reporter.error("the schema of a state has made what is no JSON", error);
      return client.refuse(head, INTERNAL_ERROR);
    }
    if (Buffer.byteLength(json) > limits.presenceBytes) return client.refuse(head, STATE_TOO_LONG);
    try {
      const written = await presence.set(client, channel, json);
      if (!written) client.refuse(head, FORBIDDEN);
      else if (written.isMember) client.acknowledge(head);
      else client.refuse(head, TOO_MANY_MEMBERS);
    } catch (error) {
      this.#unavailable(head, error);
    }
  }

  async #reviewOne(channel: string): Promise<void> {
    const { guards, presence } = this.#parts;
    const client = this.#client;
    if (client.closed || !presence.observes(client, channel)) return;
    const verdict = await guards.decide("presence", client.socket, { channel });
    if (verdict.allowed || client.closed || !presence.unobserve(client, channel)) return;
    client.send(encodePresenceEnd(channel, verdict.error));
  }

  #unavailable(head: RequestHead, error: unknown): void {
    if (this.#client.closed) return;
    this.#parts.reporter.error("Redis has not done what a client asked for", error);
    this.#client.refuse(head, UNAVAILABLE);
  }
}

function encodePage({ v, count, members, next }: ListPage, me?: string): string {
  const head = JSON.stringify({ v, count });
  const rest = JSON.stringify({ me, next });
  const list = members ? `,"members":[${members.join(",")}]` : "";
  return `${head.slice(0, -1)}${list}${rest === "{}" ? "}" : `,${rest.slice(1)}`}`;
}
