/** A process that runs files of tests as it is told, in the copy of the repository whose `lib` has all mutants in it. */
import { Worker } from "node:worker_threads";
import Mocha from "mocha";
import { mochaHooks } from "../../test/support/hooks.js";
import type { Order, Result, TestRun } from "./messages.js";
import { toRanges } from "./ranges.js";

/** What instrumented code looks at. */
const switches: {
  activeMutant?: string;
  currentTestId?: string;
  mutantCoverage: { static: Record<string, number>; perTest: Record<string, Record<string, number>> };
} = { mutantCoverage: { static: {}, perTest: {} } };
Object.assign(globalThis, { __stryker__: switches });

/** Where a process that a test starts finds the mutant. */
const VARIABLE = "__STRYKER_ACTIVE_MUTANT__";
/** The name under which what runs between tests is counted. */
const BETWEEN = "between tests";
/** How long what failed tests have opened gets to go away, in milliseconds. */
const PATIENCE = 1_000;

/** Ends this process once the one that started it is gone, also where a mutant has it go round in circles. */
const WATCHDOG = `
  const parent = process.ppid;
  setInterval(() => process.ppid === parent || process.kill(process.pid, "SIGKILL"), 1000);
`;
new Worker(WATCHDOG, { eval: true, execArgv: [] }).unref();

const suites = new Map<string, Mocha>();
let limits: Readonly<Record<string, number>> = {};
let hasFailed = false;

const rootHooks = {
  beforeAll: [mochaHooks.beforeAll],
  beforeEach(this: Mocha.Context) {
    const test = this.currentTest;
    if (!test) return;
    switches.currentTestId = test.fullTitle();
    const limit = limits[test.fullTitle()];
    if (limit) test.timeout(limit);
  },
  afterEach() {
    switches.currentTestId = BETWEEN;
  },
  async afterAll(this: Mocha.Context) {
    // what a failed test leaves behind need not be waited for
    if (!hasFailed) await (mochaHooks.afterAll as Mocha.AsyncFunc).call(this);
  },
} as Mocha.RootHookObject;

/** The tests of a file: a module is loaded once, so they are kept and run again. No mutant is active meanwhile. */
async function suiteOf(file: string): Promise<Mocha> {
  const known = suites.get(file);
  if (known) return known;
  switches.currentTestId = "";
  const mocha = new Mocha({ timeout: 60_000, rootHooks, reporter: Mocha.reporters.Base });
  mocha.cleanReferencesAfterRun(false);
  mocha.addFile(file);
  await mocha.loadFilesAsync();
  suites.set(file, mocha);
  return mocha;
}

function setMutant(mutant: string | undefined): void {
  if (mutant === undefined) {
    delete switches.activeMutant;
    delete process.env[VARIABLE];
  } else {
    switches.activeMutant = mutant;
    process.env[VARIABLE] = mutant;
  }
}

async function run({ file, mutant, tests }: Order): Promise<Result> {
  const mocha = await suiteOf(file);
  mocha.grep(tests ? anyOf(Object.keys(tests)) : /(?:)/);
  limits = tests ?? {};
  hasFailed = false;
  const { mutantCoverage } = switches;
  mutantCoverage.perTest = {};
  switches.currentTestId = BETWEEN;
  setMutant(mutant);
  const runs: TestRun[] = [];
  let first: { title: string; error: Error & { code?: unknown } } | undefined;
  const start = Date.now();
  await new Promise<void>((resolve) => {
    const runner = mocha.run(() => {
      runner.dispose();
      resolve();
    });
    runner.on("fail", (test, error) => {
      hasFailed = true;
      first ??= { title: test.fullTitle(), error };
      if (mutant !== undefined) runner.abort();
    });
    runner.on("test end", (test) => {
      const title = test.fullTitle();
      const mutants = rangesOf(mutantCoverage.perTest[title]);
      delete mutantCoverage.perTest[title];
      if (mutant === undefined) {
        runs.push({ title, duration: test.duration ?? 0, passed: test.isPassed(), mutants });
      }
    });
  });
  setMutant(undefined);
  const coverage = {
    duration: Date.now() - start,
    tests: runs,
    loading: rangesOf(mutantCoverage.static),
    between: rangesOf(mutantCoverage.perTest[BETWEEN]),
  };
  if (!first) return { outcome: "passed", isClean: true, ...(mutant === undefined ? { coverage } : {}) };
  const outcome = first.error.code === "ERR_MOCHA_TIMEOUT" ? "timedOut" : "failed";
  const failure = { failed: first.title, error: String(first.error.message) };
  if (mutant === undefined) return { outcome, ...failure, isClean: false, coverage };
  return { outcome, ...failure, isClean: await isCleanAfter(file, first.title, tests) };
}

/** Whether nothing is left of what failed, and what failed passes without the mutant. */
async function isCleanAfter(file: string, title: string, tests: Order["tests"] = {}): Promise<boolean> {
  process.removeAllListeners("unhandledRejection");
  const end = Date.now() + PATIENCE;
  while (process.getActiveResourcesInfo().some((resource) => !/^(Pipe|TTY)Wrap$/.test(resource))) {
    if (Date.now() > end) return false;
    await new Promise((resolve) => setImmediate(resolve));
  }
  // a hook fails before each test
  const [one = title] = title in tests ? [title] : Object.keys(tests);
  return (await run({ file, tests: { [one]: tests[one] ?? 0 } })).outcome === "passed";
}

function rangesOf(counts: Record<string, number> = {}): string {
  // numbers as keys come in ascending order
  return toRanges(Object.keys(counts).map(Number));
}

function anyOf(titles: readonly string[]): RegExp {
  const escaped = titles.map((title) => title.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  return new RegExp(`^(?:${escaped.join("|")})$`);
}

process.on("message", async (order: Order) => {
  process.send?.(await run(order));
});
// it runs in a group of processes of its own, which a signal to the main process does not reach
process.on("disconnect", () => process.exit());
