/** Changes `lib` in small ways, one at a time, and looks whether the tests notice. See docs/testing.md. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { replaceMarked } from "../../bench/report/marked.js";
import { choose, costOf, isStatic, type Step, stepsFor, within } from "./choice.js";
import { CoverageCache, type TestFile, toTestFile } from "./coverage.js";
import type { Mutant } from "./mutant.js";
import { plantMutants } from "./mutants.js";
import { countsOf, equivalentTable, scoreTable, survivorLines, type Verdict } from "./report.js";
import { filesOf } from "./repository.js";
import { TestProcess } from "./test-process.js";

const ROOT = join(import.meta.dirname, "../..");
const DOCUMENT = join(ROOT, "docs/testing.md");
const TESTS = /^test\/(unit|client|integration)\/.*\.test\.ts$/;
/** How long the tests of a file may take without a mutant, in milliseconds. */
const WITHOUT_MUTANT = 600_000;
/** How long a test may take with a mutant, in milliseconds, and as a multiple of what it takes without. */
const [LEAST, TIMES] = [4_000, 6];
/** How long a process gets to start and to load the tests, in milliseconds. */
const START = 20_000;
/** How often the progress is told, in milliseconds. */
const INTERVAL = 15_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sample: { type: "string" },
    seed: { type: "string", default: "1" },
    jobs: { type: "string", default: "2" },
    minutes: { type: "string", default: "Infinity" },
    seconds: { type: "string", default: "30" },
    json: { type: "string", default: "mutate.json" },
    docs: { type: "boolean", default: false },
  },
});
if (positionals.length === 0) {
  console.error("Say which files or folders: npm run mutate -- lib/server/auth, or lib --sample 300");
  process.exit(1);
}
const [seed, jobs, minutes, seconds] = [values.seed, values.jobs, values.minutes, values.seconds].map(
  Number,
) as [number, number, number, number];

const tree = mkdtempSync(join(tmpdir(), "mutate-"));
const processes = Array.from({ length: jobs }, () => new TestProcess(tree));
// the processes end with this one
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
process.once("exit", () => rmSync(tree, { recursive: true, force: true }));
await main();
await Promise.all(processes.map((one) => one.end()));

async function main(): Promise<void> {
  const mutants = await plantMutants(ROOT, tree);
  const sample = values.sample === undefined ? undefined : Number(values.sample);
  const chosen = choose(mutants, positionals, { sample, seed });
  console.log(`${chosen.length} mutants, of ${mutants.length} in lib`);
  const files = chosen.length > 0 ? await coverageOf(mutants) : [];
  const verdicts = await tryAll(chosen, files);

  const equivalent = mutants.filter((mutant) => mutant.equivalent !== undefined);
  const counts = countsOf(verdicts, equivalent);
  const notRun = counts.at(-1)?.notRun ?? 0;
  console.log(`\n${survivorLines(verdicts).join("\n")}\n\n${scoreTable(counts)}`);
  if (notRun > 0) console.log(`The time was over before ${notRun} mutants.`);
  writeFileSync(values.json, JSON.stringify({ arguments: process.argv.slice(2), counts, verdicts }, null, 2));
  if (!values.docs) return;
  const day = new Date().toISOString().slice(0, 10);
  const tried = `${chosen.length - notRun} mutants${sample === undefined ? "" : ` chosen at random with seed ${seed}`}`;
  const head = `${positionals.map((name) => `\`${name}\``).join(", ")} on ${day}: ${tried}, of ${mutants.length} in \`lib\`.`;
  const written = replaceMarked(
    replaceMarked(readFileSync(DOCUMENT, "utf8"), "newest run", `${head}\n\n${scoreTable(counts)}`),
    "equivalent mutants",
    equivalentTable(equivalent),
  );
  writeFileSync(DOCUMENT, written);
}

/** Finds out which mutants each test runs, where that is not known from an earlier run. */
async function coverageOf(mutants: readonly Mutant[]): Promise<TestFile[]> {
  const cache = new CoverageCache(ROOT, join(ROOT, "node_modules/.cache/mutate"));
  const byId = new Map(mutants.map((mutant) => [mutant.id, mutant]));
  const known: TestFile[] = [];
  const unknown: string[] = [];
  for (const file of filesOf(ROOT).filter((name) => TESTS.test(name))) {
    const found = cache.get(file);
    if (found) known.push(found);
    else unknown.push(file);
  }
  if (unknown.length > 0) console.log(`${unknown.length} files of tests run without a mutant`);
  let done = 0;
  const timer = setInterval(() => console.log(`${done} of ${unknown.length} files of tests`), INTERVAL);
  await share(unknown, async (file, one) => {
    const result = await one.run({ file }, WITHOUT_MUTANT);
    const found = toTestFile(file, result, byId);
    done++;
    if (result.outcome !== "passed") {
      console.warn(`${file}: without a mutant, ${result.failed} ${result.outcome}: ${result.error}`);
    }
    if (!found) return;
    if (result.outcome === "passed") cache.set(found);
    known.push(found);
  });
  clearInterval(timer);
  return known;
}

async function tryAll(chosen: readonly Mutant[], files: readonly TestFile[]): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  // by the file of the mutant, the files of tests that have noticed mutants, with how many
  const kills = new Map<string, Map<string, number>>();
  const start = Date.now();
  const end = start + minutes * 60_000;
  const timer = setInterval(
    () => console.log(progress(verdicts, chosen.length, Date.now() - start)),
    INTERVAL,
  );
  await share(chosen, async (mutant, one) => {
    const killsHere = kills.get(mutant.file) ?? new Map<string, number>();
    kills.set(mutant.file, killsHere);
    const verdict: Verdict =
      Date.now() > end ? { mutant, status: "notRun" } : await tryOne(mutant, files, killsHere, one);
    verdicts.push(verdict);
  });
  clearInterval(timer);
  return verdicts;
}

/** Runs the tests that run a mutant's code, until one fails or their time is over. */
async function tryOne(
  mutant: Mutant,
  files: readonly TestFile[],
  kills: Map<string, number>,
  one: TestProcess,
): Promise<Verdict> {
  const steps = stepsFor(mutant, files, kills);
  if (steps.length === 0) {
    return { mutant, status: isStatic(mutant, files) ? "static" : "notCovered" };
  }
  const taken = within(seconds * 1000, steps);
  for (const step of taken) {
    const { file, tests } = step;
    const limits = Object.fromEntries(
      Object.entries(tests).map(([title, duration]) => [title, Math.max(LEAST, TIMES * duration)]),
    );
    const order = { file, mutant: String(mutant.id), tests: limits };
    const { outcome, failed } = await one.run(order, START + TIMES * costOf(step));
    if (outcome === "passed") continue;
    kills.set(file, (kills.get(file) ?? 0) + 1);
    return { mutant, status: outcome === "failed" ? "killed" : "timedOut", by: `${file}: ${failed ?? ""}` };
  }
  const left = testsIn(steps) - testsIn(taken);
  return { mutant, status: "survived", ...(left > 0 ? { left } : {}) };
}

function testsIn(steps: readonly Step[]): number {
  return steps.reduce((sum, { tests }) => sum + Object.keys(tests).length, 0);
}

/** Hands out items to the processes, one after the other. */
async function share<Item>(items: readonly Item[], work: (item: Item, one: TestProcess) => Promise<void>) {
  const left = items.values();
  await Promise.all(
    processes.map(async (one) => {
      for (const item of left) await work(item, one);
    }),
  );
}

function progress(verdicts: readonly Verdict[], of: number, took: number): string {
  const noticed = verdicts.filter(({ status }) => status === "killed" || status === "timedOut").length;
  const left = Math.round(((took / Math.max(1, verdicts.length)) * (of - verdicts.length)) / 60_000);
  return `${verdicts.length} of ${of} mutants, ${noticed} noticed, ${left} min left`;
}
