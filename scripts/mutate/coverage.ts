import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { transformSync } from "esbuild";
import type { Result } from "./messages.js";
import type { Mutant } from "./mutant.js";
import { numbersIn, toRanges } from "./ranges.js";
import { filesOf } from "./repository.js";

/** Of each file of `lib`, the numbers of mutants, as ranges: `0-12,15`. */
export type Covered = Readonly<Record<string, string>>;

/** What is known of a file of tests after a run without mutants. */
export interface TestFile {
  readonly file: string;
  /** Of its hooks, in milliseconds. */
  readonly overhead: number;
  readonly tests: readonly TimedTest[];
  /** By modules that are loaded. */
  readonly loading: Covered;
  /** By hooks, or after the test that has begun it. */
  readonly between: Covered;
}

export interface TimedTest {
  readonly title: string;
  /** In milliseconds. */
  readonly duration: number;
  readonly covered: Covered;
}

/** What a run without mutants says of a file; what fails even so can say nothing of mutants, and is left out. */
export function toTestFile(
  file: string,
  { coverage }: Result,
  mutants: ReadonlyMap<number, Mutant>,
): TestFile | undefined {
  if (!coverage) return undefined;
  const covered = (ids: string) => {
    const byFile: Record<string, number[]> = {};
    for (const id of numbersIn(ids)) {
      const mutant = mutants.get(id);
      if (!mutant) continue;
      byFile[mutant.file] ??= [];
      byFile[mutant.file]?.push(mutant.number);
    }
    return Object.fromEntries(Object.entries(byFile).map(([name, numbers]) => [name, toRanges(numbers)]));
  };
  const took = coverage.tests.reduce((sum, { duration }) => sum + duration, 0);
  return {
    file,
    overhead: Math.max(0, coverage.duration - took),
    tests: coverage.tests
      .filter(({ passed }) => passed)
      .map(({ title, duration, mutants: ids }) => ({ title, duration, covered: covered(ids) })),
    loading: covered(coverage.loading),
    between: covered(coverage.between),
  };
}

/** What has been found out about files of tests, for as long as neither they nor the code that they run change. */
export class CoverageCache {
  readonly #root: string;
  readonly #folder: string;
  readonly #support: string;
  readonly #hashes = new Map<string, string>();

  constructor(root: string, folder: string) {
    this.#root = root;
    this.#folder = folder;
    const support = filesOf(root).filter((file) =>
      /^(test\/.*(?<!\.test)\.ts|package-lock\.json)$/.test(file),
    );
    this.#support = hashOf(support.map((file) => this.#hash(file)).join());
  }

  get(file: string): TestFile | undefined {
    try {
      const { key, found } = JSON.parse(readFileSync(this.#path(file), "utf8")) as {
        key: string;
        found: TestFile;
      };
      return key === this.#key(found) ? found : undefined;
    } catch {
      return undefined;
    }
  }

  set(found: TestFile): void {
    const path = this.#path(found.file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, JSON.stringify({ key: this.#key(found), found }));
  }

  #path(file: string): string {
    return join(this.#folder, `${file}.json`);
  }

  #key({ file, tests, between }: TestFile): string {
    // what is loaded may have been loaded by another file of tests in the same process
    const sources = new Set([between, ...tests.map(({ covered }) => covered)].flatMap(Object.keys));
    return hashOf([this.#support, ...[file, ...sources].sort().map((name) => this.#hash(name))].join());
  }

  /** Of the code alone: comments may change, such as those that mark equivalent mutants. */
  #hash(file: string): string {
    const known = this.#hashes.get(file);
    if (known) return known;
    const text = readFileSync(join(this.#root, file), "utf8");
    const hash = hashOf(file.endsWith(".ts") ? transformSync(text, { loader: "ts" }).code : text);
    this.#hashes.set(file, hash);
    return hash;
  }
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
