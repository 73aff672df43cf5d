import { expect } from "chai";
import { ChannelSubscriptions } from "../../lib/server/channels/channel-subscriptions.js";
import { PubSub, type PubSubParts } from "../../lib/server/channels/pubsub.js";
import type { Limits } from "../../lib/server/limits/limits.js";
import { Reporter } from "../../lib/server/log/reporter.js";
import type { Broker } from "../../lib/server/redis/broker.js";
import { reported } from "../support/condition.js";

/** What was logged, a line each. */
let log: string[];
let errors: [message: string, context: string][];

/** A Redis that fails at `UNSUBSCRIBE`. */
function partsOf() {
  log = [];
  errors = [];
  const write = (line: string) => log.push(line);
  const reporter = new Reporter(
    { error: write, warn: write, info: write, debug: write },
    true,
    ({ message }, context) => {
      errors.push([message, context]);
      return true;
    },
  );
  const subscriber = {
    subscribe: async () => {},
    unsubscribe: async (channel: string) => {
      throw new Error(`${channel}: away`);
    },
  } as unknown as Broker;
  return { subscriber, histories: undefined, channelPrefix: "p:", reporter };
}

describe("The subscriptions of a server whose Redis fails at their end", () => {
  it("are reported where a channel's last socket has left", async () => {
    const subscriptions = new ChannelSubscriptions(partsOf(), () => {});
    await subscriptions.acquire("room");
    subscriptions.release("room");
    await reported();
    await reported();
    expect(errors).to.deep.equal([["p:room: away", 'unsubscribing from "room" failed']]);
  });

  it("are logged, and no more, where it is shut down", async () => {
    const parts = partsOf();
    const subscriptions = new ChannelSubscriptions(parts, () => {});
    await subscriptions.acquire("room");
    await subscriptions.close();
    const limits = { channelsPerSocket: 1 } as Limits;
    await new PubSub({ ...parts, limits } as unknown as PubSubParts<unknown>).close();
    await reported();
    expect(errors).to.deep.equal([]);
    expect(log).to.deep.equal(
      ["room", "___all___", "___sync___"].map(
        (channel) => `node-token-sockjs: unsubscribing at shutdown failed: Error: p:${channel}: away`,
      ),
    );
  });
});
