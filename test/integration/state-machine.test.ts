import { expect } from "chai";
import fc from "fast-check";
import { type RedisServer, startRedis } from "../support/redis-server.js";
import { CHANNELS, CLIENTS, Model } from "../support/state-machine/model.js";
import { Real } from "../support/state-machine/reality.js";
import {
  Authenticate,
  type CallStep,
  ChangeMembership,
  Close,
  Connect,
  callStep,
  Publish,
  Renew,
  ToggleRedis,
  Trespass,
} from "../support/state-machine/steps.js";
import type { WireTransport } from "../support/wire-client.js";

/** Another one for each run; the environment may name that of a failure, to run it again. */
const SEED = Number(process.env.STATE_MACHINE_SEED ?? Date.now() % 2 ** 31);

/** How long new runs are begun, in milliseconds: less than ten seconds in all. One that has begun is not interrupted. */
const BUDGET = 7000;

const SETTINGS = {
  seed: SEED,
  numRuns: 100,
  // what hangs fails with its commands instead of the test's time limit
  timeout: 5000,
  // a failure is made smaller before it is told, but not for ever
  interruptAfterTimeLimit: 40_000,
};

/** Makes something as likely as two others. */
function twice<T>(value: T): [T, T] {
  return [value, value];
}

const index = fc.constantFrom(...CLIENTS);
const channel = fc.constantFrom(...CHANNELS);
const transport = fc.oneof(
  { weight: 1, arbitrary: fc.constant<WireTransport>("websocket") },
  // it is open after one request
  { weight: 4, arbitrary: fc.constant<WireTransport>("raw-websocket") },
);

/** Most of them are what others can be in the middle of. */
const steps = [
  ...twice(fc.tuple(index, transport).map(([n, by]) => new Connect(n, by))),
  ...twice(index.map((n) => new Authenticate(n))),
  ...twice(
    fc
      .tuple(
        fc.constantFrom("subscribe" as const, "subscribe" as const, "unsubscribe" as const),
        index,
        channel,
      )
      .map(([type, n, name]) => new ChangeMembership(type, n, name)),
  ),
  fc.tuple(index, channel).map(([n, name]) => new Publish(n, name)),
  fc
    .tuple(index, fc.constantFrom<CallStep>("call", "answer", "hold", "end", "cancel"))
    .map(([n, what]) => callStep(what, n)),
  fc
    .tuple(index, channel, fc.nat(9))
    .map(([n, name, kind]) => (kind === 0 ? new Trespass(n, name) : kind < 3 ? new Renew(n) : new Close(n))),
  fc.constant(new ToggleRedis()),
];

describe("whatever clients and Redis do, in any order", () => {
  let redis: RedisServer;
  let real: Real;
  let isBroken = false;

  async function replace(): Promise<void> {
    await real.stop();
    real = await Real.start(redis);
  }

  before(async () => {
    redis = await startRedis();
    real = await Real.start(redis);
  });

  after(async () => {
    await real?.stop();
    await redis?.stop();
  });

  afterEach(function () {
    if (this.currentTest?.state === "failed") console.error(`    STATE_MACHINE_SEED=${SEED} runs this again`);
  });

  it("leaves the server, the clients and Redis of one mind", async function () {
    // only a failure takes so long
    this.timeout(60_000);
    const commands = fc.commands<Model, Real, false>(steps, { maxCommands: 80, size: "max" });
    const end = Date.now() + BUDGET;
    await fc.assert(
      fc.asyncProperty(fc.subarray(CLIENTS), commands, async (isOpen, run) => {
        if (Date.now() > end && !isBroken) return;
        // what a fault has left in one server must not fail the smaller runs that are tried next
        if (isBroken) await replace();
        isBroken = true;
        await real.reset();
        const model = new Model();
        for (const index of isOpen) {
          await new Connect(index, "raw-websocket").run(model, real);
          await new Authenticate(index).run(model, real);
        }
        await fc.asyncModelRun(() => ({ model, real }), run);
        // what Redis has not said yet it says when it is back, and then nothing may have changed
        if (!model.isUp) await new ToggleRedis().run(model, real);
        for (const client of real.clients.values()) {
          client.read();
          expect(client.messages, "no message twice").to.deep.equal([...new Set(client.messages)]);
        }
        isBroken = false;
      }),
      SETTINGS,
    );
  });
});
