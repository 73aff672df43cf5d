import fc from "fast-check";
import { MODEL_SEED, printModelSeed, SETTINGS } from "../support/fuzz/seed.js";
import { KINDS, type Kind, NAMES, World } from "../support/history-model/world.js";
import { canStartRedis, type RedisServer, startRedis } from "../support/redis-server.js";

/** How long new runs are begun, in milliseconds; more are for looking for faults by hand. */
const BUDGET = Number(process.env.HISTORY_MODEL_MS ?? 8000);

const kind = fc.constantFrom(...(Object.keys(KINDS) as Kind[]));
const server = fc.constantFrom(0, 1);
const client = fc.nat(NAMES.length - 1);
const few = fc.integer({ min: 1, max: 3 });

/** A step: the method of the world, and its arguments. */
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(fc.constant("publish" as const), kind, server, fc.integer({ min: 1, max: 9 })),
  },
  { weight: 2, arbitrary: fc.tuple(fc.constant("publishBy" as const), kind, client, few, fc.boolean()) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("publishOnce" as const), kind, server, fc.boolean()) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("cut" as const), client) },
  { weight: 3, arbitrary: fc.tuple(fc.constant("mend" as const), client) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("moveClient" as const), client, server) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("cutSubscriber" as const), server) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("sever" as const), server) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("mendSubscriber" as const), server) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("replace" as const), server, fc.boolean()) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("save" as const)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("restore" as const)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("flush" as const)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("deletePosition" as const), kind) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("deleteLog" as const), kind) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("expire" as const), kind, few) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("join" as const), kind, client) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("leave" as const), kind, client) },
  { weight: 5, arbitrary: fc.tuple(fc.constant("settle" as const)) },
);

type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

async function run(world: World, [name, ...args]: Step): Promise<void> {
  await (world[name] as (...args: unknown[]) => Promise<void> | void).apply(world, args);
}

/** Steps one after the other, or a few messages published while a step is taken that does not touch what Redis has. */
const steps = fc.array(
  fc.record({ step, beside: fc.option(fc.tuple(kind, server, few), { nil: undefined, freq: 2 }) }),
  { minLength: 1, maxLength: 25, size: "max" },
);

const ALONE = new Set([
  "save",
  "restore",
  "flush",
  "deletePosition",
  "deleteLog",
  "expire",
  "settle",
  "join",
]);

if (canStartRedis) {
  describe("whatever becomes of clients, servers and histories, in any order", () => {
    let redis: RedisServer;
    let world: World;
    let isBroken = false;

    before(async () => {
      redis = await startRedis({ own: true });
      world = await World.start(redis);
    });

    after(async () => {
      await world?.stop();
      await redis?.stop();
    });

    afterEach(printModelSeed);

    it("has each message delivered once, and in order, or told as lost", async function () {
      this.timeout(BUDGET + 120_000);
      const end = Date.now() + BUDGET;
      let runs = 0;
      await fc.assert(
        fc.asyncProperty(steps, async (taken) => {
          if (Date.now() > end && !isBroken) return;
          if (isBroken) {
            await world.stop();
            world = await World.start(redis);
          }
          isBroken = true;
          runs++;
          await world.begin();
          for (const { step, beside } of taken) {
            await Promise.all([run(world, step), beside && !ALONE.has(step[0]) && world.publish(...beside)]);
          }
          await world.end();
          isBroken = false;
        }),
        {
          ...SETTINGS,
          seed: MODEL_SEED,
          numRuns: Math.ceil(BUDGET / 50),
          interruptAfterTimeLimit: BUDGET + 60_000,
        },
      );
      if (process.env.HISTORY_MODEL_MS) console.log(`      ${runs} runs`);
    });
  });
}
