import { expect } from "chai";
import type { Subscriber } from "../../lib/server/channels/membership.js";
import { PubSub, type PubSubParts } from "../../lib/server/channels/pubsub.js";
import type { Limits } from "../../lib/server/limits/limits.js";
import { Reporter } from "../../lib/server/log/reporter.js";
import type { Broker } from "../../lib/server/redis/broker.js";
import { reported } from "../support/condition.js";

describe("a socket that the server joins to a channel whose history cannot be read", () => {
  it("is told so once, and is in the channel", async () => {
    const errors: unknown[] = [];
    const reporter = new Reporter({ error() {}, warn() {}, info() {} }, false, ({ message }, context) => {
      errors.push([context, message]);
      return true;
    });
    const live = {
      behind: new Map(),
      open: async () => {},
      position: async () => {
        throw new Error("away");
      },
    };
    const pubsub = new PubSub<unknown>({
      subscriber: { subscribe: async () => {} } as unknown as Broker,
      histories: { open: () => live, live: () => live },
      channelPrefix: "p:",
      reporter,
      limits: { channelsPerSocket: 1, recoverMessages: 10 } as Limits,
      onMembership: () => {},
    } as unknown as PubSubParts<unknown>);
    const frames: string[] = [];
    const member = {
      closed: false,
      channels: {},
      wantsHistory: true,
      takePosition: () => undefined,
      send: (frame: string) => frames.push(frame),
    } as unknown as Subscriber<unknown>;
    expect(await pubsub.join(member, "room")).to.deep.equal({ done: undefined });
    await reported();
    await reported();
    const error = { message: "Service unavailable", code: "unavailable", retryAfter: 5000 };
    expect(frames.map((frame) => JSON.parse(frame))).to.deep.equal([
      { internal: true, command: "subscribe", data: { channel: "room" } },
      { channel: "room", recovered: 0, error },
    ]);
    expect(errors).to.deep.equal([["the history of a channel could not be read", "away"]]);
    expect([pubsub.channels(), live.behind.size]).to.deep.equal([["room"], 0]);
  });
});
