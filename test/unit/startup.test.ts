import { expect } from "chai";
import sinon from "sinon";
import type { Reporter } from "../../lib/server/log/reporter.js";
import { Startup } from "../../lib/server/redis/startup.js";

const PATIENCE = 5000;
const FIRST_RETRY = 500;

describe("The start of a server", () => {
  let clock: sinon.SinonFakeTimers;
  let startup: Startup;
  let told: unknown[][];
  let outcome: string | undefined;

  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    told = [];
    outcome = undefined;
  });
  afterEach(() => {
    startup.stop();
    clock.restore();
  });

  const start = (...steps: (() => Promise<readonly unknown[]>)[]) => {
    startup = new Startup({
      steps,
      onReady: () => told.push(["ready", outcome]),
      reporter: {
        outage: (context: string, error: unknown) => told.push(["outage", context, error]),
        warn: (message: string) => told.push(["warning", message]),
      } as unknown as Reporter,
    });
    startup.ready.then(
      () => {
        outcome = "resolved";
      },
      (error: Error) => {
        outcome = error.message;
      },
    );
  };

  it("is over when all steps are taken, and says nothing then", async () => {
    let finish = (_errors: readonly unknown[]) => {};
    start(
      async () => [],
      () =>
        new Promise((resolve) => {
          finish = resolve;
        }),
    );
    await clock.tickAsync(PATIENCE - 1);
    expect([startup.isReady, outcome, told]).to.deep.equal([false, undefined, []]);
    finish([]);
    await startup.ready;
    await clock.tickAsync(2 * PATIENCE);
    expect([startup.isReady, outcome, told]).to.deep.equal([true, "resolved", [["ready", undefined]]]);
    // it is no end of the start any more
    startup.stop();
    await clock.tickAsync(0);
    expect([startup.isReady, outcome]).to.deep.equal([true, "resolved"]);
  });

  it("reports what has to be mended, and takes the step again until that is so", async () => {
    const error = new Error("NOPERM");
    const results = [[error], []];
    start(async () => results.shift() ?? []);
    await clock.tickAsync(FIRST_RETRY - 1);
    expect(told).to.deep.equal([["outage", "Redis cannot be used yet", error]]);
    await clock.tickAsync(1);
    expect([startup.isReady, told.at(-1)]).to.deep.equal([true, ["ready", undefined]]);
  });

  it("says once, after five seconds, that Redis cannot be used yet", async () => {
    start(() => new Promise(() => {}));
    await clock.tickAsync(PATIENCE - 1);
    expect(told).to.deep.equal([]);
    await clock.tickAsync(10 * PATIENCE);
    expect(told).to.have.length(1);
    expect(told[0]?.join()).to.match(/^warning,Redis cannot be used yet: is each client connected, /);
  });

  it("fails where the server is shut down before, and says nothing any more", async () => {
    start(async () => [new Error("away")]);
    await clock.tickAsync(0);
    startup.stop();
    await clock.tickAsync(10 * PATIENCE);
    expect([startup.isReady, outcome]).to.deep.equal([false, "The server was shut down before it was ready"]);
    expect(told.map(([what]) => what)).to.deep.equal(["outage"]);
  });
});
