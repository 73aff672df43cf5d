import { expect } from "chai";
import sinon from "sinon";
import { IdentityChannels } from "../../lib/server/cluster/identity-channels.js";
import type { Reporter } from "../../lib/server/log/reporter.js";
import type { Broker } from "../../lib/server/redis/broker.js";

/** Lets every promise that is settled already run its handlers. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

const listener = () => {};

describe("The channel of an identity", () => {
  let sent: [command: string, channel: string][];
  /** What Redis answers a subscription with. */
  let answer: Promise<void>;
  let failure: Error | undefined;
  let outages: unknown[];
  let debugged: string[];
  let channels: IdentityChannels;

  const channelsOf = (hasPubSub: boolean) => {
    const send = (command: string) => async (channel: string, given: unknown) => {
      sent.push([command, channel]);
      expect(given).to.equal(listener);
      await answer;
      if (failure) throw failure;
    };
    const subscriber: Partial<Broker> = {
      subscribe: send("subscribe"),
      unsubscribe: send("unsubscribe"),
      listeners: (channel) => (sent.some(([, name]) => name === channel) ? 3 : 0),
    };
    const publisher: Partial<Broker> = {
      publish: async (channel, payload) => {
        sent.push([payload, channel]);
        return 2;
      },
    };
    const reporter = {
      outage: (context: string, error: unknown) => outages.push([context, error]),
      debug: (text: () => string) => debugged.push(text()),
    };
    return new IdentityChannels(
      {
        subscriber: hasPubSub ? (subscriber as Broker) : undefined,
        publisher: publisher as Broker,
        channelPrefix: "shop:",
        patience: 5000,
        reporter: reporter as unknown as Reporter,
      },
      listener,
    );
  };

  beforeEach(() => {
    [sent, answer, failure, outages, debugged] = [[], Promise.resolve(), undefined, [], []];
    channels = channelsOf(true);
  });
  afterEach(() => sinon.restore());

  const commands = () => sent.map(([command]) => command);

  it("is there from its first socket on this server to its last", async () => {
    await channels.enter("ann");
    expect(channels.enter("ann")).to.equal(undefined);
    await channels.enter("bob");
    expect(commands()).to.deep.equal(["subscribe", "subscribe"]);
    expect(sent[0]?.[1]).not.to.equal(sent[1]?.[1]);
    channels.leave("ann");
    expect(commands()).to.have.length(2);
    channels.leave("ann");
    channels.leave("ann");
    expect(sent.slice(2)).to.deep.equal([["unsubscribe", sent[0]?.[1]]]);
    await channels.enter("ann");
    expect(sent.slice(3)).to.deep.equal([["subscribe", sent[0]?.[1]]]);
  });

  it("hides the identity's key, and is the one by which others reach it", async () => {
    await channels.enter("ann@example.com");
    expect(await channels.publish("ann@example.com", "hello")).to.equal(2);
    const [[, subscribed] = [], [payload, published] = []] = sent;
    expect([payload, published]).to.deep.equal(["hello", subscribed]);
    expect(subscribed).to.match(/^shop:___identity:[\w-]{43}___$/);
    expect([channels.sharing("ann@example.com"), channels.sharing("bob")]).to.deep.equal([3, 0]);
  });

  it("is waited for by all sockets that come before Redis has confirmed it", async () => {
    let confirm = () => {};
    answer = new Promise((resolve) => {
      confirm = resolve;
    });
    const entering = [channels.enter("ann"), channels.enter("ann")];
    let entered = 0;
    for (const one of entering) void one?.then(() => entered++);
    await settled();
    expect([entered, commands()]).to.deep.equal([0, ["subscribe"]]);
    confirm();
    await settled();
    expect([entered, channels.enter("ann")]).to.deep.equal([2, undefined]);
  });

  it("keeps nobody out for longer than Redis may take", async () => {
    const clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    answer = new Promise(() => {});
    let isIn = false;
    void channels.enter("ann")?.then(() => {
      isIn = true;
    });
    await clock.tickAsync(4999);
    await settled();
    expect(isIn).to.equal(false);
    await clock.tickAsync(1);
    await settled();
    expect(isIn).to.equal(true);
  });

  it("is tried again with the next socket where Redis has refused it, which is reported", async () => {
    failure = new Error("NOPERM");
    await channels.enter("ann");
    expect(outages).to.deep.equal([["an identity cannot be reached by other servers", failure]]);
    failure = undefined;
    await channels.enter("ann");
    expect(commands()).to.deep.equal(["subscribe", "subscribe"]);
    expect(channels.enter("ann")).to.equal(undefined);
    for (let i = 0; i < 3; i++) channels.leave("ann");
    expect(commands()).to.deep.equal(["subscribe", "subscribe", "unsubscribe"]);
  });

  it("is not left where it was refused, and nobody fails where it cannot be left", async () => {
    failure = new Error("away");
    await channels.enter("ann");
    channels.leave("ann");
    expect(commands()).to.deep.equal(["subscribe"]);
    failure = undefined;
    await channels.enter("bob");
    failure = new Error("away");
    channels.leave("bob");
    await settled();
    expect(debugged).to.deep.equal(["leaving an identity's channel failed: Error: away"]);
  });

  it("is left when the server ends, whatever Redis says", async () => {
    for (const key of ["ann", "ann", "bob"]) await channels.enter(key);
    failure = new Error("away");
    await channels.close();
    expect(sent.slice(2)).to.deep.equal(sent.slice(0, 2).map(([, channel]) => ["unsubscribe", channel]));
    channels.leave("ann");
    expect(commands()).to.have.length(4);
  });

  it("is not there where pub/sub is off", async () => {
    const off = channelsOf(false);
    expect([off.enter("ann"), off.sharing("ann")]).to.deep.equal([undefined, 0]);
    off.leave("ann");
    await off.close();
    expect(sent).to.deep.equal([]);
  });
});
