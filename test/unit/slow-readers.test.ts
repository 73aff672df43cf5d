import { expect } from "chai";
import { ByChannel } from "../../lib/server/channels/by-channel.js";
import {
  isSlowReaderPolicy,
  type SlowReaderPolicy,
  SlowReaders,
} from "../../lib/server/channels/slow-readers.js";
import { Reporter } from "../../lib/server/log/reporter.js";
import { reported } from "../support/condition.js";

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

describe("the policy for a slow reader's messages", () => {
  const policies: Record<string, SlowReaderPolicy> = {
    all: "close",
    log: "dropOldest",
    failing: {
      latest: () => {
        throw new Error("no key");
      },
    },
    late: { latest: () => Promise.reject(new Error("nobody handles it")) },
  };
  const logger = { error() {}, warn() {}, info() {} };
  let onError = (_error: Error, _context: string) => {};
  const reporter = new Reporter(logger, false, (error, context) => {
    onError(error, context);
    return true;
  });
  const droppable = (channel: string) =>
    new SlowReaders(new ByChannel(policies), reporter).droppable(channel, "1");

  it("drops none where there is none, or where it is to close", () => {
    expect([droppable("other"), droppable("all")]).to.deep.equal([undefined, undefined]);
  });

  it("drops the oldest, of which none replaces another", async () => {
    const errors: Error[] = [];
    onError = (error) => errors.push(error);
    expect(droppable("log")).to.deep.equal({ key: undefined });
    await reported();
    expect(errors).to.deep.equal([]);
  });

  for (const [channel, text] of [
    ["failing", "no key"],
    ["late", "latest must be synchronous; it returned a promise"],
  ] as const) {
    it(`drops the oldest where a key is ${channel}, which is reported`, async () => {
      const error = new Promise<[message: string, context: string]>((resolve) => {
        onError = ({ message }, context) => resolve([message, context]);
      });
      expect(droppable(channel)).to.deep.equal({ key: undefined });
      expect(await error).to.deep.equal([text, `the key of a message on "${channel}" could not be told`]);
    });
  }

  it("is one of four", () => {
    for (const policy of [...Object.values(policies), "latest"]) {
      expect(isSlowReaderPolicy(policy)).to.equal(true);
    }
    for (const other of ["", "oldest", undefined, null, 1, () => 1, {}, { latest: "key" }, []]) {
      expect(isSlowReaderPolicy(other), String(other)).to.equal(false);
    }
  });
});
