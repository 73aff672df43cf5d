import { expect } from "chai";
import { ChannelSubscriptions } from "../../lib/server/channels/channel-subscriptions.js";
import { PubSub, type PubSubParts } from "../../lib/server/channels/pubsub.js";
import type { Histories } from "../../lib/server/history/histories.js";
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

describe("The subscription to a channel", () => {
  /** How Redis answers each `SUBSCRIBE`, in order. */
  let answers: { readonly resolve: () => void; readonly reject: (error: Error) => void }[];
  let closed: string[];

  const open = () => {
    answers = [];
    closed = [];
    const subscriber = {
      subscribe: () => new Promise<void>((resolve, reject) => answers.push({ resolve, reject })),
      unsubscribe: async () => {},
    } as unknown as Broker;
    const histories = { open: () => undefined, close: (channel: string) => closed.push(channel) };
    return new ChannelSubscriptions(
      { ...partsOf(), subscriber, histories: histories as unknown as Histories },
      () => {},
    );
  };
  const outcomeOf = async (promise: Promise<void> | undefined) => {
    const [outcome] = await Promise.allSettled([promise]);
    return outcome?.status;
  };

  it("is waited for until it is confirmed, and serves all who come later at once", async () => {
    const subscriptions = open();
    const waiting = [subscriptions.acquire("room"), subscriptions.acquire("room")];
    expect(waiting[1]).to.be.instanceOf(Promise);
    answers[0]?.resolve();
    await Promise.all(waiting);
    expect(subscriptions.acquire("room")).to.equal(undefined);
    for (let users = 0; users < 2; users++) subscriptions.release("room");
    expect([answers.length, closed]).to.deep.equal([1, []]);
    subscriptions.release("room");
    expect(closed).to.deep.equal(["room"]);
  });

  it("is tried again by the next one where it has failed", async () => {
    const subscriptions = open();
    const failing = subscriptions.acquire("room");
    answers[0]?.reject(new Error("away"));
    expect(await outcomeOf(failing)).to.equal("rejected");
    expect(closed).to.deep.equal(["room"]);
    const again = subscriptions.acquire("room");
    answers[1]?.resolve();
    expect(await outcomeOf(again)).to.equal("fulfilled");
    expect(subscriptions.acquire("room")).to.equal(undefined);
  });

  it("stays where an older one fails", async () => {
    const subscriptions = open();
    const failing = subscriptions.acquire("room");
    subscriptions.release("room");
    const again = subscriptions.acquire("room");
    closed = [];
    answers[0]?.reject(new Error("away"));
    answers[1]?.resolve();
    expect(await Promise.all([failing, again].map(outcomeOf))).to.deep.equal(["rejected", "fulfilled"]);
    expect([subscriptions.acquire("room"), answers.length, closed]).to.deep.equal([undefined, 2, []]);
  });

  it("is none where there is no client for subscriptions", async () => {
    const subscriptions = new ChannelSubscriptions({ ...partsOf(), subscriber: undefined }, () => {});
    expect(subscriptions.acquire("room")).to.equal(undefined);
    subscriptions.release("room");
    subscriptions.acquire("room");
    await subscriptions.close();
    expect([errors, log]).to.deep.equal([[], []]);
  });
});
