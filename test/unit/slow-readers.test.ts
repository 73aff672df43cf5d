import { expect } from "chai";
import { ByChannel } from "../../lib/server/channels/by-channel.js";
import { type SlowReaderPolicy, SlowReaders } from "../../lib/server/channels/slow-readers.js";
import { Reporter } from "../../lib/server/log/reporter.js";

describe("the key of a message that a newer one may replace", () => {
  const logger = { error() {}, warn() {}, info() {} };
  const reporter = new Reporter(logger, false, () => true);
  const keyOf = (policy: SlowReaderPolicy) => {
    const readers = new SlowReaders(new ByChannel({ a: policy, b: policy }), reporter);
    return (channel: string, message: unknown) => readers.droppable(channel, JSON.stringify(message))?.key;
  };

  it("is one of its channel, where the application gives the same for messages of two", () => {
    const key = keyOf({ latest: (message) => (message as { id: number }).id });
    expect(key("a", { id: 1, x: 1 })).to.equal(key("a", { id: 1, x: 2 }));
    expect(key("a", { id: 1 })).to.not.equal(key("a", { id: 2 }));
    expect(key("a", { id: 1 })).to.not.equal(key("b", { id: 1 }));
  });

  it("is the channel's where its newest message alone waits", () => {
    const key = keyOf("latest");
    expect(key("a", 1)).to.equal(key("a", 2));
    expect(key("a", 1)).to.not.equal(key("b", 1));
  });
});
