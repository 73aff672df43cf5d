import { expect } from "chai";
import sinon from "sinon";
import * as arrivals from "../../lib/server/http/arrivals.js";
import { CLOCK_SKEW, steadyNow, toSteady, toWall } from "../../lib/server/limits/clock.js";

const HOUR = 3_600_000;

/** What a busy machine may take between two looks at a clock, in milliseconds. */
const SLACK = 2000;

describe("the steady clock", () => {
  const now = Date.now;
  /** Sets the wall clock; it goes on from there. */
  const step = (by: number) => sinon.stub(Date, "now").callsFake(() => now() + by);

  afterEach(() => sinon.restore());

  it("is the wall clock as long as nobody sets that", () => {
    expect(steadyNow()).to.be.within(Date.now() - SLACK, Date.now() + SLACK);
    expect(Number.isInteger(steadyNow())).to.equal(true);
  });

  it("is exactly the wall clock, whatever the two clocks differ by in their coarseness", () => {
    for (const by of [-20, 20]) {
      // both stand still, since a busy machine may run this later than it was read
      const at = performance.now();
      const steady = sinon.stub(performance, "now").returns(at);
      const wall = Math.round(steadyNow()) + by;
      const stub = sinon.stub(Date, "now").returns(wall);
      expect(steadyNow()).to.equal(wall);
      stub.restore();
      steady.restore();
    }
  });

  for (const by of [-HOUR, HOUR]) {
    it(`goes on as before when the wall clock is set by ${by} ms`, () => {
      const before = steadyNow();
      step(by);
      expect(steadyNow() - before).to.be.within(-SLACK, SLACK);
      // what other servers tell by their clocks is of the same age as before
      expect(toSteady(Date.now() - 5000)).to.be.within(
        steadyNow() - 5000 - SLACK,
        steadyNow() - 5000 + SLACK,
      );
      expect(toWall(steadyNow() - 5000)).to.be.within(Date.now() - 5000 - SLACK, Date.now() - 5000 + SLACK);
    });
  }

  it("believes other clocks up to the difference that clocks may have", () => {
    expect(toSteady(Date.now() + CLOCK_SKEW - 1000)).to.be.above(steadyNow() + CLOCK_SKEW - 1500);
    expect(toSteady(Date.now() + CLOCK_SKEW + 1000)).to.be.at.most(steadyNow() + 1);
    expect(toSteady(Number.MAX_VALUE)).to.be.at.most(steadyNow() + 1);
  });

  it("believes another clock to the last millisecond of that difference", () => {
    const steady = sinon.stub(performance, "now").returns(0);
    const began = steadyNow();
    const wall = sinon.stub(Date, "now").returns(began);
    expect(toSteady(began + CLOCK_SKEW)).to.equal(began + CLOCK_SKEW);
    expect(toSteady(began + CLOCK_SKEW + 1)).to.equal(began);
    wall.restore();
    steady.restore();
  });

  it("tells when a request has arrived, by its first note", () => {
    const req = {} as never;
    expect(arrivals.of(req)).to.equal(undefined);
    arrivals.note(req);
    const arrived = arrivals.of(req);
    expect(arrived).to.be.within(steadyNow() - 1000, steadyNow());
    const clock = sinon.useFakeTimers({ now: Date.now() + 1000, toFake: ["Date", "performance"] });
    arrivals.note(req);
    expect(arrivals.of(req)).to.equal(arrived);
    clock.restore();
  });
});
