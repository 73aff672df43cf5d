import { expect } from "chai";
import sinon from "sinon";
import { memoryRedis } from "../../lib/memory.js";
import { IdentityRate, IdentityRates } from "../../lib/server/limits/identity-rate.js";
import { Reporter } from "../../lib/server/log/reporter.js";
import type { RedisClient } from "../../lib/server/redis/adapt.js";

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

  it("leaves to other servers what one does not use", async () => {
    const [, busy] = open(100, 2);
    expect(await countFrames(busy ? [busy] : [])).to.equal(95);
  });

  describe("with grants of ten", () => {
    /** Answers each question when told to. */
    const ask = sinon.stub();
    let answers: ((grant: { amount: number; wait: number }) => void)[];
    let rate: IdentityRate;

    const answer = async (amount: number, wait = 0) => {
      answers.shift()?.({ amount, wait });
      await Promise.resolve();
    };
    const taken = () => {
      let frames = 0;
      while (rate.take(1)) frames++;
      return frames;
    };

    beforeEach(async () => {
      answers = [];
      ask.reset();
      ask.callsFake(() => new Promise((resolve) => answers.push(resolve)));
      rate = new IdentityRate(ask);
      rates.push(rate);
      await answer(10);
    });

    it("asks for more when half of the last one is used, and only once", () => {
      for (let frame = 0; frame < 4; frame++) rate.take(1);
      expect(ask.callCount).to.equal(1);
      rate.take(1);
      expect(ask.callCount).to.equal(2);
      expect(taken()).to.equal(5);
      expect(ask.callCount).to.equal(2);
    });

    it("lets what is charged in any case be paid by what is granted next", async () => {
      rate.charge(4);
      expect([ask.callCount, rate.hasMore]).to.deep.equal([1, true]);
      rate.charge(9);
      expect([ask.callCount, rate.hasMore]).to.deep.equal([2, false]);
      expect(taken()).to.equal(0);
      await answer(10);
      expect(taken()).to.equal(7);
    });

    it("asks for more when half of the last one is charged, and has one more while one is left", () => {
      rate.charge(5);
      expect(ask.callCount).to.equal(2);
      rate.charge(4);
      expect([rate.hasMore, rate.take(1), rate.hasMore]).to.deep.equal([true, true, false]);
    });

    it("lets what is given back be taken again", () => {
      expect(taken()).to.equal(10);
      rate.giveBack(2);
      expect(rate.hasMore).to.equal(true);
      expect(taken()).to.equal(2);
    });

    it("calls those that wait as far as there is more, in order, and none that has gone", async () => {
      expect(taken()).to.equal(10);
      const called: string[] = [];
      const wait = (name: string) =>
        rate.onRefill(() => {
          called.push(name);
          rate.take(1);
        });
      wait("first");
      const leave = wait("gone");
      for (const name of ["second", "third"]) wait(name);
      leave();
      await answer(2);
      expect(called).to.deep.equal(["first", "second"]);
      await answer(10);
      expect(called).to.deep.equal(["first", "second", "third"]);
      expect(taken()).to.equal(9);
    });

    it("asks again after the time that it is told to wait, where somebody waits", async () => {
      expect(taken()).to.equal(10);
      rate.onRefill(() => {});
      await answer(0, 500);
      clock.tick(499);
      expect(ask.callCount).to.equal(2);
      clock.tick(1);
      expect(ask.callCount).to.equal(3);
    });

    it("asks nothing when nobody waits, until somebody sends", async () => {
      expect(taken()).to.equal(10);
      await answer(0, 500);
      clock.tick(500);
      expect(ask.callCount).to.equal(2);
      rate.take(1);
      expect(ask.callCount).to.equal(3);
    });

    it("asks no more once it is closed, and calls nobody", async () => {
      const called = sinon.spy();
      expect(taken()).to.equal(10);
      rate.onRefill(called);
      rate.close();
      await answer(10, 500);
      expect(clock.countTimers()).to.equal(0);
      taken();
      expect([ask.callCount, called.callCount]).to.deep.equal([2, 0]);
    });

    it("leaves no timer behind when it is closed while it waits", async () => {
      expect(taken()).to.equal(10);
      await answer(0, 500);
      expect(clock.countTimers()).to.equal(1);
      rate.close();
      expect(clock.countTimers()).to.equal(0);
    });
  });

  it("is counted on each server alone for five seconds where Redis fails, which is told", async () => {
    let asked = 0;
    const client = {
      get isReady() {
        asked++;
        return false;
      },
    } as unknown as RedisClient;
    const logger = { error() {}, warn() {}, info() {} };
    const told: string[] = [];
    const reporter = new Reporter(logger, false, (_error, context) => told.push(context) > 0);
    const identityRates = new IdentityRates({ client, keyPrefix: "frames", perSecond: 40, reporter });
    const performanceNow = sinon.stub(performance, "now").returns(1000);
    try {
      rates.push(identityRates.of("alice"));
      expect(await countFrames(rates)).to.equal(40);
      const before = asked;
      performanceNow.returns(5999);
      rates.push(identityRates.of("bob"));
      expect(await countFrames(rates.slice(1))).to.equal(40);
      expect(asked).to.equal(before);
      performanceNow.returns(6000);
      rates.push(identityRates.of("carol"));
      expect(await countFrames(rates.slice(2))).to.equal(40);
      expect(asked).to.be.above(before);
      expect(told[0]).to.equal("what identities send is counted on this server alone");
    } finally {
      performanceNow.restore();
    }
  });
});
