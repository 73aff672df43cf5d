/** What a process that runs tests is told to do: the tests of a file, with a mutant or without one. */
export interface Order {
  readonly file: string;
  readonly mutant?: string;
  /** The full titles of the tests to run, with the time that each may take, in milliseconds; all of the file by default. */
  readonly tests?: Readonly<Record<string, number>>;
}

/** A test that has run without a mutant. */
export interface TestRun {
  readonly title: string;
  /** In milliseconds. */
  readonly duration: number;
  readonly passed: boolean;
  /** The mutants whose code has run meanwhile, as ranges of their numbers. */
  readonly mutants: string;
}

/** What came of an order. */
export interface Result {
  readonly outcome: "passed" | "failed" | "timedOut";
  /** The test or hook that has failed first. */
  readonly failed?: string;
  readonly error?: string;
  /** Whether the process is as it was before: tests that run in it next say something about their own mutant. */
  readonly isClean: boolean;
  /** Of a run without a mutant. */
  readonly coverage?: {
    /** Of the whole file, hooks included, in milliseconds. */
    readonly duration: number;
    readonly tests: readonly TestRun[];
    /** The mutants whose code runs where modules are loaded. */
    readonly loading: string;
    /** The mutants whose code runs in hooks, or after the test that has begun it. */
    readonly between: string;
  };
}
