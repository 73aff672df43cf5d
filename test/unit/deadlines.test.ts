import { expect } from "chai";
import sinon from "sinon";
import { checkTime, Deadlines } from "../../lib/server/limits/deadlines.js";

describe("a time limit", () => {
  /** Runs a test in one turn, so that its clock counts no timer of anybody else. */
  const onClock = (test: (clock: sinon.SinonFakeTimers) => void) => () => {
    const clock = sinon.useFakeTimers({
      toFake: ["setTimeout", "clearTimeout", "setImmediate", "clearImmediate", "performance"],
    });
    try {
      test(clock);
    } finally {
      clock.restore();
    }
  };

  const candidate = () => ({ expire: sinon.spy() });

  it(
    "expires each connection after its time, with one timer for all",
    onClock((clock) => {
      const unauthenticated = new Deadlines(1000);
      const [first, second] = [candidate(), candidate()];
      unauthenticated.add(first);
      clock.tick(400);
      unauthenticated.add(second);
      expect(clock.countTimers()).to.equal(1);
      clock.tick(600);
      expect([first.expire.callCount, second.expire.callCount]).to.deep.equal([1, 0]);
      clock.tick(399);
      expect(second.expire.callCount).to.equal(0);
      clock.tick(1);
      expect([first.expire.callCount, second.expire.callCount]).to.deep.equal([1, 1]);
      expect(clock.countTimers()).to.equal(0);
    }),
  );

  it(
    "leaves those alone that have authenticated, and no timer behind",
    onClock((clock) => {
      const unauthenticated = new Deadlines(1000);
      const one = candidate();
      unauthenticated.add(one);
      unauthenticated.delete(one);
      expect(clock.countTimers()).to.equal(0);
      clock.tick(2000);
      expect(one.expire.called).to.equal(false);
    }),
  );

  it(
    "applies a new limit to those that wait already, and none where there is none",
    onClock((clock) => {
      const unauthenticated = new Deadlines(1000);
      const one = candidate();
      unauthenticated.add(one);
      clock.tick(500);
      unauthenticated.limit(undefined);
      expect(clock.countTimers()).to.equal(0);
      unauthenticated.limit(700);
      clock.tick(199);
      expect(one.expire.called).to.equal(false);
      clock.tick(1);
      expect(one.expire.callCount).to.equal(1);
    }),
  );

  it(
    "keeps one timer where the limit is set by whoever hears of an end",
    onClock((clock) => {
      const unauthenticated = new Deadlines(1000);
      const [one, other] = [{ expire: sinon.spy(() => unauthenticated.limit(2000)) }, candidate()];
      unauthenticated.add(one);
      unauthenticated.add(other);
      clock.tick(1000);
      expect(clock.countTimers()).to.equal(1);
      expect(other.expire.called).to.equal(false);
      unauthenticated.limit(undefined);
      expect(clock.countTimers()).to.equal(0);
    }),
  );

  it(
    "of which the event loop was kept is over only for what has not come by then",
    onClock((clock) => {
      const unauthenticated = new Deadlines(1000);
      const [inTime, late, later] = [candidate(), candidate(), candidate()];
      unauthenticated.add(inTime);
      unauthenticated.add(late);
      // the timer is late, and what has come meanwhile is read before anything ends
      clock.setTimeout(() => {
        expect(late.expire.called).to.equal(false);
        unauthenticated.delete(inTime);
        unauthenticated.add(later);
        expect(clock.countTimers()).to.equal(1);
      }, 1001);
      clock.jump(1500);
      clock.runToLast();
      expect([inTime.expire.callCount, late.expire.callCount]).to.deep.equal([0, 1]);
      clock.runToLast();
      expect(later.expire.callCount).to.equal(1);
      expect(clock.countTimers()).to.equal(0);
    }),
  );

  it(
    "goes on for others when one is done with",
    onClock((clock) => {
      const unauthenticated = new Deadlines(1000);
      const [one, other] = [candidate(), candidate()];
      unauthenticated.add(one);
      unauthenticated.add(other);
      unauthenticated.delete(one);
      clock.tick(1000);
      expect([one.expire.callCount, other.expire.callCount]).to.deep.equal([0, 1]);
    }),
  );

  it(
    "waits longer than a timer can",
    onClock((clock) => {
      const unauthenticated = new Deadlines(5e9);
      const one = candidate();
      unauthenticated.add(one);
      clock.tick(5e9 - 1);
      expect(one.expire.called).to.equal(false);
      clock.tick(1);
      expect(one.expire.callCount).to.equal(1);
    }),
  );

  it(
    "that is lifted by whoever hears of an end lets all others be",
    onClock((clock) => {
      const unauthenticated = new Deadlines(1000);
      const [one, other] = [{ expire: sinon.spy(() => unauthenticated.limit(undefined)) }, candidate()];
      unauthenticated.add(one);
      unauthenticated.add(other);
      clock.tick(5000);
      expect([one.expire.callCount, other.expire.callCount]).to.deep.equal([1, 0]);
    }),
  );

  it("for a promise gives what comes in time, and rejects with what comes too late", async () => {
    const clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    try {
      const calls = new Deadlines(1000);
      const late = sinon.stub().returns(new Error("too late"));
      const messageOf = (promise: Promise<unknown>) => promise.catch((error: Error) => error.message);
      expect(await calls.within(Promise.resolve("result"), late)).to.equal("result");
      const error = new Error("refused");
      expect(await messageOf(calls.within(Promise.reject(error), late))).to.equal("refused");
      sinon.assert.notCalled(late);
      const waiting = messageOf(calls.within(new Promise(() => {}), late));
      clock.tick(1000);
      expect(await waiting).to.equal("too late");
      // whoever had an answer is not waited for any more
      sinon.assert.calledOnce(late);
    } finally {
      clock.restore();
    }
  });

  it("is a positive number of milliseconds", () => {
    for (const time of [0.5, 1, 1e12]) checkTime("ms", time);
    for (const time of [0, -1, Number.NaN, Infinity, "1", [1], 1n, undefined, null]) {
      expect(() => checkTime("ms", time), String(time))
        .to.throw(TypeError)
        .with.property("message", "ms must be a positive number of milliseconds");
    }
  });
});
