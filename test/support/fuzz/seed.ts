/** Another one for each run; the environment may name that of a failure, to run it again. */
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);

/** How long one property may take, in milliseconds, so that a busy machine gets to the first case, too. */
const PATIENCE = 4000;

/** How properties are checked in the tests. */
export const SETTINGS = {
  seed: SEED,
  numRuns: 100,
  interruptAfterTimeLimit: PATIENCE,
  includeErrorInReport: true,
};

/** Says how to run a failure again: what takes the process down fails a test without a word of the seed. */
export function printSeed(this: Mocha.Context): void {
  if (this.currentTest?.state === "failed") console.error(`    FUZZ_SEED=${SEED} runs this again`);
}
