import { expect } from "chai";
import sinon from "sinon";
import { FrameRate } from "../../lib/server/limits/frame-rate.js";

describe("the rate of frames", () => {
  let clock: sinon.SinonFakeTimers;

  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ["performance"] });
  });
  afterEach(() => clock.restore());

  /** How many of a hundred frames that come at once are let through. */
  const burst = (rate: FrameRate, bytes = 1): number =>
    Array.from({ length: 100 }, () => rate.take(bytes)).filter(Boolean).length;

  const ENDLESS = { framesPerSecond: Infinity, frameBurst: 1, bytesPerSecond: Infinity, byteBurst: 1 };

  it("lets through no more at once after a quiet time, however long it was", () => {
    const rate = new FrameRate({ ...ENDLESS, framesPerSecond: 10, frameBurst: 5 });
    clock.tick(60_000);
    expect(burst(rate)).to.equal(5);
    clock.tick(200);
    expect(burst(rate)).to.equal(2);
    clock.tick(60_000);
    expect(burst(rate)).to.equal(5);
  });

  it("lets all through that come at once where it is endless", () => {
    expect(burst(new FrameRate(ENDLESS))).to.equal(100);
    for (const [perSecond, most] of [
      ["framesPerSecond", "frameBurst"],
      ["bytesPerSecond", "byteBurst"],
    ]) {
      const limits = { ...ENDLESS, [perSecond as string]: 1, [most as string]: Infinity };
      expect(burst(new FrameRate(limits), 1000)).to.equal(100);
    }
  });

  it("lets a frame through that is larger than what is left, and the next one when that is paid", () => {
    const rate = new FrameRate({ ...ENDLESS, bytesPerSecond: 1000, byteBurst: 500 });
    expect(rate.take(2500)).to.equal(true);
    expect(rate.take(1)).to.equal(false);
    expect(rate.wait).to.equal(2001);
    clock.tick(1999);
    expect(rate.take(1)).to.equal(false);
    clock.tick(3);
    expect(burst(rate, 100)).to.equal(1);
    clock.tick(60_000);
    expect(burst(rate, 100)).to.equal(5);
  });

  it("lets what is owed be paid first, and says when more is owed than may be", () => {
    const rate = new FrameRate({ ...ENDLESS, framesPerSecond: 10, frameBurst: 5 });
    expect(rate.charge(7, 2)).to.equal(true);
    expect(rate.charge(1, 2)).to.equal(false);
    expect(rate.take(1)).to.equal(false);
    expect(rate.wait).to.equal(400);
    clock.tick(401);
    expect(burst(rate)).to.equal(1);
  });

  it("counts neither frames nor bytes of what is given back", () => {
    const rate = new FrameRate({ framesPerSecond: 1, frameBurst: 1, bytesPerSecond: 1, byteBurst: 100 });
    expect(rate.take(100)).to.equal(true);
    rate.giveBack(100);
    expect(rate.wait).to.equal(0);
    expect(rate.take(100)).to.equal(true);
  });
});
