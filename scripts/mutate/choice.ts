import { basename } from "node:path";
import { Random } from "../../bench/scaling/random.js";
import type { TestFile } from "./coverage.js";
import type { Mutant } from "./mutant.js";
import { isInRanges } from "./ranges.js";

/** Tests of one file that are run with a mutant. */
export interface Step {
  readonly file: string;
  /** The full titles, with the time of each, in milliseconds. */
  readonly tests: Readonly<Record<string, number>>;
  /** Of the file's hooks, in milliseconds. */
  readonly overhead: number;
}

/** The expected time, in milliseconds. */
export function costOf({ tests, overhead }: Step): number {
  return Object.values(tests).reduce((sum, duration) => sum + duration, overhead);
}

/** Mutants of the files that are named, or of those in folders that are named; of them, a sample where one is wanted. */
export function choose(
  mutants: readonly Mutant[],
  names: readonly string[],
  { sample, seed }: { sample?: number | undefined; seed: number },
): Mutant[] {
  const isNamed = ({ file }: Mutant) =>
    names.some((name) => file === name || file.startsWith(name.replace(/\/*$/, "/")));
  const chosen = mutants.filter((mutant) => isNamed(mutant) && mutant.equivalent === undefined);
  if (sample === undefined) return chosen;
  const random = new Random(seed);
  for (let index = chosen.length - 1; index > 0; index--) {
    const other = random.below(index + 1);
    [chosen[index], chosen[other]] = [chosen[other] as Mutant, chosen[index] as Mutant];
  }
  return chosen.slice(0, sample);
}

/** Whether modules that are loaded run a mutant's code, and no test does: a switch that is set later changes nothing. */
export function isStatic(mutant: Mutant, files: readonly TestFile[]): boolean {
  return files.some(({ loading }) => isInRanges(mutant.number, loading[mutant.file] ?? ""));
}

/**
 * The tests that run a mutant's code, cheapest file first; files that have noticed other mutants of the same file count as
 * cheaper, and so does a file with the same name.
 */
export function stepsFor(
  mutant: Mutant,
  files: readonly TestFile[],
  kills: ReadonlyMap<string, number> = new Map(),
): Step[] {
  const has = (covered: TestFile["between"]) => isInRanges(mutant.number, covered[mutant.file] ?? "");
  const steps = files.flatMap(({ file, overhead, tests, between }) => {
    const isEverywhere = has(between);
    const chosen = tests.filter(({ covered }) => isEverywhere || has(covered));
    if (chosen.length === 0) return [];
    const isNamesake = basename(file, ".test.ts") === basename(mutant.file, ".ts");
    const merit = 1 + (kills.get(file) ?? 0) + (isNamesake ? 10 : 0);
    const step: Step = {
      file,
      tests: Object.fromEntries(chosen.map(({ title, duration }) => [title, duration])),
      overhead,
    };
    return [{ step, rank: costOf(step) / merit }];
  });
  return steps.sort((one, other) => one.rank - other.rank).map(({ step }) => step);
}

/** As many tests, from the first file on and the cheapest of a file first, as fit into a time in milliseconds; one in any case. */
export function within(budget: number, steps: readonly Step[]): Step[] {
  let left = budget;
  let isFirst = true;
  return steps.flatMap((step) => {
    let cost = step.overhead;
    const fitting = Object.entries(step.tests)
      .sort(([, one], [, other]) => one - other)
      .filter(([, duration], index) => {
        cost += duration;
        return cost <= left || (isFirst && index === 0);
      });
    isFirst = false;
    if (fitting.length === 0) return [];
    const taken = { ...step, tests: Object.fromEntries(fitting) };
    left -= costOf(taken);
    return [taken];
  });
}
