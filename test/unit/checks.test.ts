import { expect } from "chai";
import sinon from "sinon";
import { Checks } from "../../lib/server/history/checks.js";

describe("The checks of channels", () => {
  let clock: sinon.SinonFakeTimers;

  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
  });
  afterEach(() => {
    expect(clock.countTimers()).to.equal(0);
    clock.restore();
  });

  it("come each 30 s for each channel, as long as it is there", () => {
    const checks = new Checks();
    const [one, other] = [
      { check: sinon.fake.resolves(undefined) },
      { check: sinon.fake.resolves(undefined) },
    ];
    checks.add(one);
    clock.tick(10_000);
    checks.add(other);
    clock.tick(19_000);
    expect([one.check.callCount, other.check.callCount]).to.deep.equal([0, 0]);
    clock.tick(2_000);
    expect([one.check.callCount, other.check.callCount]).to.deep.equal([1, 0]);
    clock.tick(30_000);
    expect([one.check.callCount, other.check.callCount]).to.deep.equal([2, 1]);
    checks.delete(one);
    clock.tick(30_000);
    expect([one.check.callCount, other.check.callCount]).to.deep.equal([2, 2]);
    checks.delete(other);
  });

  it("come at once for all where they are asked for", async () => {
    const checks = new Checks();
    const all = Array.from({ length: 100 }, () => ({ check: sinon.fake.resolves(undefined) }));
    for (const channel of all) checks.add(channel);
    await checks.all();
    for (const channel of all) {
      expect(channel.check.callCount).to.equal(1);
      checks.delete(channel);
    }
  });

  it("come for none that goes while they come for all", async () => {
    const checks = new Checks();
    const others = Array.from({ length: 99 }, () => ({ check: sinon.fake.resolves(undefined) }));
    const last = { check: sinon.fake.resolves(undefined) };
    const all = [...others, last];
    for (const channel of all) checks.add(channel);
    const checking = checks.all();
    checks.delete(last);
    await checking;
    expect(all.map(({ check }) => check.callCount)).to.deep.equal([...others.map(() => 1), 0]);
    for (const channel of others) checks.delete(channel);
  });
});
