import fc from "fast-check";

/** Another one for each run; the environment may name that of a failure, to run it again. */
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);

/** The seed of models whose runs take long: the same in each run of the suite, which is to say what a change has done. */
export const MODEL_SEED = Number(process.env.FUZZ_SEED ?? 4);

/** How long one property may take, in milliseconds, so that a busy machine gets to the first case, too. */
const PATIENCE = 4000;

/** How properties are checked in the tests. */
export const SETTINGS = {
  seed: SEED,
  numRuns: 100,
  interruptAfterTimeLimit: PATIENCE,
  includeErrorInReport: true,
};

/**
 * Checks that what is given holds, case after case. A case that goes on when the time is over ends before this does, since it
 * would get into the way of the next property.
 */
export async function checkAll<Given>(
  given: fc.Arbitrary<Given>,
  holds: (given: Given) => Promise<void>,
): Promise<void> {
  let last: Promise<void> = Promise.resolve();
  const property = fc.asyncProperty(given, (value) => {
    last = holds(value);
    return last;
  });
  await fc.assert(property, SETTINGS).catch(async (error: unknown) => {
    await last.catch(() => {});
    throw error;
  });
  await last;
}

/** Says how to run a failure again: what takes the process down fails a test without a word of the seed. */
export function printSeed(this: Mocha.Context): void {
  print(this, SEED);
}

/** The same of a model. */
export function printModelSeed(this: Mocha.Context): void {
  print(this, MODEL_SEED);
}

function print({ currentTest }: Mocha.Context, seed: number): void {
  if (currentTest?.state === "failed") console.error(`    FUZZ_SEED=${seed} runs this again`);
}
