import { expect } from "chai";
import sinon from "sinon";
import { memoryRedis } from "../../lib/memory.js";
import { type IdentityRate, IdentityRates } from "../../lib/server/limits/identity-rate.js";
import { Reporter } from "../../lib/server/log/reporter.js";

describe("the rate of an identity", () => {
  const rates: IdentityRate[] = [];
  let clock: sinon.SinonFakeTimers;

  beforeEach(() => {
    clock = sinon.useFakeTimers({ now: Date.now(), toFake: ["Date", "setTimeout", "clearTimeout"] });
  });
  afterEach(() => {
    for (const rate of rates.splice(0)) rate.close();
    clock.restore();
  });

  /** Those of several servers that share a store. */
  const open = (perSecond: number, servers = 1): IdentityRate[] => {
    const client = memoryRedis();
    const logger = { error() {}, warn() {}, info() {} };
    const reporter = new Reporter(logger, false, () => true);
    for (let server = 0; server < servers; server++) {
      rates.push(new IdentityRates({ client, keyPrefix: "frames", perSecond, reporter }).of("alice"));
    }
    return rates;
  };

  /** How many frames they let through in one second. */
  const countFrames = async (of: readonly IdentityRate[]): Promise<number> => {
    let frames = 0;
    // what one of them is granted comes after a few turns
    for (let turn = 0; turn < 500; turn++) {
      for (const rate of of) while (rate.take(1)) frames++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    return frames;
  };

  for (const perSecond of [1, 7, 20, 25, 39, 41, 105]) {
    it(`is ${perSecond} frames a second, on one server as on several`, async () => {
      expect(await countFrames(open(perSecond))).to.equal(perSecond);
      await clock.tickAsync(1001);
      expect(await countFrames(rates)).to.equal(perSecond);
      for (const rate of rates.splice(0)) rate.close();
      expect(await countFrames(open(perSecond, 3))).to.equal(perSecond);
      // what was asked for in vain is owed by nobody
      await clock.tickAsync(1001);
      expect(await countFrames(rates)).to.equal(perSecond);
    });
  }
});
