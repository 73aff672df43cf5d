import { expect } from "chai";
import sinon from "sinon";
import { FrameRate } from "../../lib/server/frame-rate.js";

describe("the rate of frames", () => {
  let clock: sinon.SinonFakeTimers;

  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ["performance"] });
  });
  afterEach(() => clock.restore());

  /** How many of a hundred frames that come at once are let through. */
  const burst = (rate: FrameRate): number =>
    Array.from({ length: 100 }, () => rate.take()).filter(Boolean).length;

  it("lets through no more at once after a quiet time, however long it was", () => {
    const rate = new FrameRate({ framesPerSecond: 10, frameBurst: 5 });
    clock.tick(60_000);
    expect(burst(rate)).to.equal(5);
    clock.tick(200);
    expect(burst(rate)).to.equal(2);
    clock.tick(60_000);
    expect(burst(rate)).to.equal(5);
  });

  it("lets all through that come at once where it is endless", () => {
    expect(burst(new FrameRate({ framesPerSecond: Infinity, frameBurst: 1 }))).to.equal(100);
    expect(burst(new FrameRate({ framesPerSecond: 1, frameBurst: Infinity }))).to.equal(100);
  });
});
