import { expect } from "chai";
import sinon from "sinon";
import { Retries } from "../../lib/server/redis/retries.js";
import { reported } from "../support/condition.js";

describe("A step before a server serves", () => {
  let clock: sinon.SinonFakeTimers;
  let told: string[];
  let retries: Retries;

  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    told = [];
    retries = new Retries((error) => told.push((error as Error).message));
  });
  afterEach(() => clock.restore());

  it("is taken again at intervals that grow until nothing is wrong, and each cause is reported", async () => {
    const causes = [
      [new Error("set"), new Error("getdel")],
      [new Error("set"), new Error("getdel")],
      [new Error("getdel")],
      [],
    ];
    const step = sinon.spy(async () => causes.shift() ?? []);
    let isDone = false;
    const done = retries.untilDone(step).then(() => {
      isDone = true;
    });
    await reported();
    for (const [interval, times] of [
      [500, 2],
      [1000, 3],
      [2000, 4],
    ] as const) {
      expect(isDone).to.equal(false);
      await clock.tickAsync(interval - 1);
      expect(step.callCount).to.equal(times - 1);
      await clock.tickAsync(1);
      expect(step.callCount).to.equal(times);
      await reported();
    }
    await done;
    expect(told).to.deep.equal(["set", "getdel", "set", "getdel", "getdel"]);
    expect(clock.countTimers()).to.be.at.most(1);
  });

  it("is taken every half minute in the end, also where it has failed", async () => {
    const step = sinon.spy(() => Promise.reject(new Error("no answer")));
    void retries.untilDone(step);
    await reported();
    await clock.tickAsync(500 + 1000 + 2000 + 4000 + 8000 + 16_000);
    const times = step.callCount;
    await clock.tickAsync(29_999);
    expect(step.callCount).to.equal(times);
    await clock.tickAsync(1);
    expect(step.callCount).to.equal(times + 1);
  });

  it("is not taken again, and nothing is told of it, after the server has been shut down", async () => {
    const failing = sinon.spy(async () => [new Error("first")]);
    void retries.untilDone(failing);
    await reported();
    let fail: (error: Error) => void = () => {};
    void retries.untilDone(
      () =>
        new Promise((_resolve, reject) => {
          fail = reject;
        }),
    );
    retries.stop();
    fail(new Error("second"));
    await reported();
    await clock.tickAsync(60_000);
    await reported();
    expect(failing.callCount).to.equal(1);
    expect(told).to.deep.equal(["first"]);
  });
});
