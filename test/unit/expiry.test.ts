import { expect } from "chai";
import sinon from "sinon";
import {
  compareClocks,
  Expiring,
  expiring,
  expiryOfRequest,
  expiryOfSession,
  onExpired,
  timeLeft,
  toTime,
} from "../../lib/server/auth/expiry.js";

const DAY = 86_400_000;

describe("the end of an identity", () => {
  let clock: sinon.SinonFakeTimers;

  beforeEach(() => {
    clock = sinon.useFakeTimers({ now: 1000, toFake: ["setTimeout", "clearTimeout", "Date"] });
  });
  afterEach(() => clock.restore());

  it("comes with the grace and up to a fifth of that more, however far away it is", () => {
    for (const life of [0, 5000, 60 * DAY]) {
      const act = sinon.spy();
      onExpired(Date.now() + life, 1000, act);
      clock.tick(life + 999);
      expect(act.callCount, String(life)).to.equal(0);
      clock.tick(202);
      expect(act.callCount, String(life)).to.equal(1);
      expect(clock.countTimers()).to.equal(0);
    }
  });

  it("does not come for all at once", () => {
    const act = sinon.spy();
    for (let i = 0; i < 1000; i++) onExpired(Date.now(), 1000, act);
    clock.tick(1100);
    expect(act.callCount).to.be.within(300, 700);
    clock.tick(101);
    expect(act.callCount).to.equal(1000);
  });

  it("does not come any more once it is taken back, also between the parts of a long wait", () => {
    const act = sinon.spy();
    const cancel = onExpired(Date.now() + DAY, 1000, act);
    clock.tick(DAY / 2);
    expect(clock.countTimers()).to.equal(1);
    cancel();
    expect(clock.countTimers()).to.equal(0);
    clock.tick(DAY);
    expect(act.called).to.equal(false);
  });

  it("comes as soon as the clocks are compared where the wall clock has gone on without the timers", () => {
    const [acts, later] = [sinon.spy(), sinon.spy()];
    onExpired(Date.now() + DAY, 0, acts);
    const cancel = onExpired(Date.now() + 3 * DAY, 0, later);
    // a machine that was suspended
    clock.setSystemTime(Date.now() + DAY);
    compareClocks();
    expect([acts.callCount, later.callCount, clock.countTimers()]).to.deep.equal([1, 0, 1]);
    cancel();
    compareClocks();
    expect([later.callCount, clock.countTimers()]).to.deep.equal([0, 0]);
  });

  describe("with clocks that are compared", () => {
    let act: sinon.SinonSpy;
    let setTimer: sinon.SinonSpy;
    const cancels: (() => void)[] = [];

    beforeEach(() => {
      clock.restore();
      clock = sinon.useFakeTimers({
        now: DAY,
        toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date", "performance"],
      });
      clock.tick(60_000);
      act = sinon.spy();
      cancels.push(
        onExpired(Date.now() + DAY, 0, act),
        onExpired(Date.now() + 9 * DAY, 0, () => {}),
      );
      setTimer = sinon.spy(globalThis, "setTimeout");
    });
    afterEach(() => {
      for (const cancel of cancels.splice(0)) cancel();
      expect(clock.countTimers()).to.equal(0);
      sinon.restore();
    });

    it("comes within a second of the machine's waking up", () => {
      // the other one is taken back
      cancels.pop()?.();
      clock.setSystemTime(Date.now() + DAY);
      clock.tick(1000);
      expect(act.callCount).to.equal(1);
    });

    it("is not looked at as long as they go on together, and else once", () => {
      compareClocks();
      clock.tick(5000);
      compareClocks();
      clock.setSystemTime(Date.now() + 249);
      compareClocks();
      expect(setTimer.callCount).to.equal(0);
      clock.setSystemTime(Date.now() + 1);
      compareClocks();
      compareClocks();
      // one timer for each end
      expect(setTimer.callCount).to.equal(2);
      expect(act.callCount).to.equal(0);
    });

    it("is not looked at by later ones for a step that came before there was any", () => {
      for (const cancel of cancels.splice(0)) cancel();
      clock.setSystemTime(Date.now() + DAY);
      cancels.push(onExpired(Date.now() + DAY, 0, act));
      setTimer.resetHistory();
      clock.tick(1000);
      expect(setTimer.callCount).to.equal(0);
      clock.setSystemTime(Date.now() + DAY);
      clock.tick(1000);
      expect(act.callCount).to.equal(1);
    });
  });

  it("comes in time where the wall clock is set back", () => {
    clock.restore();
    clock = sinon.useFakeTimers({ now: DAY, toFake: ["setTimeout", "clearTimeout", "Date", "performance"] });
    const act = sinon.spy();
    onExpired(Date.now() + 10_000, 0, act);
    clock.tick(5000);
    clock.setSystemTime(1000);
    compareClocks();
    clock.tick(4999);
    expect(act.callCount).to.equal(0);
    clock.tick(2);
    expect(act.callCount).to.equal(1);
    expect(clock.countTimers()).to.equal(0);
  });

  it("goes with the identity that it is given for", () => {
    const identity = { name: "alice" };
    const given = expiring(identity, 5);
    expect(given).to.deep.include({ auth: identity, expiresAt: 5 });
    expect(given).to.be.instanceOf(Expiring);
    expect({ auth: identity, expiresAt: 5 }).not.to.be.instanceOf(Expiring);
  });

  it("is a number or a date", () => {
    expect([toTime(undefined), toTime(null), toTime(5), toTime(new Date(7))]).to.deep.equal([
      undefined,
      undefined,
      5,
      7,
    ]);
    for (const value of ["5", Number.NaN, Infinity, new Date(Number.NaN), {}, true]) {
      expect(() => toTime(value), String(value)).to.throw(TypeError, "expiresAt");
    }
  });

  it("may be said by a session that has one", () => {
    expect(toTime({ cookie: { maxAge: 500 } })).to.equal(1500);
    expect(toTime({ cookie: { expires: false } })).to.equal(undefined);
    for (const value of [{ cookie: null }, { cookie: "a" }]) {
      expect(() => toTime(value), JSON.stringify(value)).to.throw(TypeError, "a session of express-session");
    }
  });

  it("is that of the request's session, of cookie-session the latest that it can be", () => {
    const sessionOptions = { maxAge: 500 };
    expect(expiryOfRequest({ session: { cookie: { maxAge: 700 } }, sessionOptions })).to.equal(1700);
    expect(expiryOfRequest({ session: {}, sessionOptions })).to.equal(1500);
    expect(expiryOfRequest({ session: {}, sessionOptions: { expires: new Date(5000) } })).to.equal(5000);
    for (const none of [{}, { maxAge: 0 }, { maxAge: null }, { expires: null }, undefined]) {
      expect(expiryOfRequest({ session: {}, sessionOptions: none })).to.equal(undefined);
    }
    expect(expiryOfRequest({})).to.equal(undefined);
  });

  it("is that of the session's cookie, if it has one", () => {
    expect(expiryOfSession({ cookie: { expires: new Date(5000), maxAge: 1 } })).to.equal(5000);
    expect(expiryOfSession({ cookie: { maxAge: 500 } })).to.equal(1500);
    const without = [undefined, null, {}, { cookie: null }, { cookie: "a" }, { cookie: { expires: null } }];
    const wrong = [
      { cookie: { expires: false, maxAge: null } },
      { cookie: { expires: new Date(Number.NaN) } },
    ];
    for (const session of [...without, ...wrong]) expect(expiryOfSession(session)).to.equal(undefined);
  });

  it("is as far away as the session's cookie lasts where each response begins that anew, and else as it says", () => {
    const cookie = { expires: new Date(5000), originalMaxAge: 500 };
    const touch = () => {};
    expect(expiryOfSession({ cookie, touch })).to.equal(1500);
    expect(expiryOfSession({ cookie })).to.equal(5000);
    expect(expiryOfSession({ cookie: { ...cookie, originalMaxAge: null }, touch })).to.equal(5000);
  });

  it("is told in whole milliseconds that a timer can wait for", () => {
    expect([timeLeft(1000.5), timeLeft(500), timeLeft(1000 + 100 * DAY)]).to.deep.equal([1, 0, 2 ** 31 - 1]);
  });
});
