import { expect } from "chai";
import sinon from "sinon";
import { HealthCheck } from "../../lib/server/redis/health-check.js";
import type { Redis } from "../../lib/server/redis/redis.js";

const INTERVAL = 2000;
const PATIENCE = 5000;

describe("The check whether Redis answers", () => {
  let clock: sinon.SinonFakeTimers;
  let check: HealthCheck;
  let redis: { isReady: boolean; ping(): Promise<void> };
  /** Those that Redis has not answered. */
  let asked: { answer(): void; refuse(): void }[];

  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
    asked = [];
    redis = {
      isReady: true,
      ping: () =>
        new Promise((resolve, reject) => {
          asked.push({ answer: resolve, refuse: () => reject(new Error("NOPERM")) });
        }),
    };
    check = new HealthCheck(redis as Redis, PATIENCE);
    check.start();
  });
  afterEach(() => {
    check.stop();
    clock.restore();
  });

  it("asks every two seconds, until it is stopped", async () => {
    await clock.tickAsync(INTERVAL - 1);
    expect([asked.length, check.isHealthy]).to.deep.equal([0, true]);
    for (let n = 0; n < 3; n++) {
      await clock.tickAsync(INTERVAL);
      asked.at(-1)?.answer();
    }
    expect([asked.length, check.isHealthy]).to.deep.equal([3, true]);
    check.stop();
    await clock.tickAsync(2 * INTERVAL);
    expect(asked).to.have.length(3);
  });

  it("finds that it does not where an answer takes longer than it may", async () => {
    await clock.tickAsync(INTERVAL + PATIENCE);
    expect([asked.length, check.isHealthy]).to.deep.equal([1, true]);
    clock.tick(1);
    expect(check.isHealthy).to.equal(false);
  });

  for (const way of ["answer", "refuse"] as const) {
    it(`asks again where an answer is late, and takes any later one for a sign of life: ${way}`, async () => {
      await clock.tickAsync(4 * INTERVAL);
      expect([asked.length, check.isHealthy]).to.deep.equal([2, false]);
      asked[1]?.[way]();
      await clock.tickAsync(0);
      expect(check.isHealthy).to.equal(true);
      await clock.tickAsync(INTERVAL);
      expect(asked).to.have.length(3);
    });
  }

  it("asks nothing of a client that is not connected, which is not healthy", async () => {
    redis.isReady = false;
    await clock.tickAsync(2 * INTERVAL);
    expect([asked.length, check.isHealthy]).to.deep.equal([0, false]);
    redis.isReady = true;
    expect(check.isHealthy).to.equal(true);
  });
});
