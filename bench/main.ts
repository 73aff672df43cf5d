/** Compares this library with its peers; see docs/performance.md. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { leaveTheCoreOfServers } from "./children.js";
import { CONTENDERS } from "./contenders.js";
import { replaceMarked } from "./report/marked.js";
import { plot } from "./report/plot.js";
import type { CaseResult, Results } from "./report/results.js";
import { markdown, textTable } from "./report/table.js";
import { type Outcome, run } from "./run.js";
import { QUICK, SCALES, SCENARIOS } from "./scenarios.js";
import { machine, versions } from "./versions.js";

const ROOT = join(import.meta.dirname, "..");
const DOCUMENT = join(ROOT, "docs/performance.md");
const PLOT = join(ROOT, "docs/performance.svg");

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string", multiple: true, default: [] },
    rounds: { type: "string" },
    out: { type: "string", default: "bench.json" },
    add: { type: "boolean", default: false },
    plot: { type: "string" },
    docs: { type: "boolean", default: false },
    profile: { type: "string" },
  },
});

const known = [...SCENARIOS, ...CONTENDERS].map(({ name }) => name);
const only = values.only.flatMap((names) => names.split(","));
for (const name of only) {
  if (!known.includes(name)) throw new Error(`--only takes ${known.join(", ")}; not ${name}`);
}
const chosen = <Named extends { name: string }>(all: readonly Named[]) => {
  const named = all.filter(({ name }) => only.includes(name));
  return named.length > 0 ? named : undefined;
};
const scenarios = chosen(SCENARIOS) ?? SCENARIOS.filter(({ name }) => !values.quick || QUICK.includes(name));
const contenders = chosen(CONTENDERS) ?? CONTENDERS;
const base = values.quick ? SCALES.quick : SCALES.full;
const scale = {
  ...base,
  rounds: Number(values.rounds ?? base.rounds),
  longRounds: Number(values.rounds ?? base.longRounds),
};

if (values.profile) mkdirSync(values.profile, { recursive: true });
leaveTheCoreOfServers();
const [loadAverage = 0] = loadavg();
const start = performance.now();
const seconds = () => Math.round((performance.now() - start) / 1000);
const before = earlier();
const plotFile = values.plot ?? (values.docs ? PLOT : values.out.replace(/(\.json)?$/, ".svg"));

const { failures } = await run({
  contenders,
  scenarios,
  scale,
  profileFolder: values.profile && resolve(values.profile),
  onProgress: (line) => console.log(`${String(seconds()).padStart(4)} s  ${line}`),
  onResults: (results, all) => {
    for (const result of results) console.log(`\n${textTable(result)}`);
    save(all);
  },
});
for (const { scenario, contender, round, message } of failures) {
  console.error(`FAILED: ${contender} in ${scenario}, round ${round}: ${message}`);
}
console.log(`${seconds()} s; ${values.out}, ${plotFile}`);
process.exitCode = failures.length > 0 ? 1 : 0;

/** What an earlier run has measured of other scenarios. */
function earlier(): Pick<Results, "cases" | "failures"> {
  if (!values.add) return { cases: [], failures: [] };
  const all: Results = JSON.parse(readFileSync(values.out, "utf8"));
  const isOther = ({ scenario }: { scenario: string }) => !scenarios.some(({ name }) => name === scenario);
  return { cases: all.cases.filter(isOther), failures: all.failures.filter(isOther) };
}

function save({ cases, failures, redisVersion }: Outcome): void {
  const results: Results = {
    date: new Date().toISOString().slice(0, 10),
    command: ["npm run bench", ...process.argv.slice(2)].join(" "),
    machine: machine(),
    loadAverage,
    versions: versions(redisVersion),
    seconds: seconds(),
    cases: [...before.cases, ...cases].sort((a, b) => place(a) - place(b)),
    failures: [...before.failures, ...failures],
  };
  writeFileSync(values.out, `${JSON.stringify(results, undefined, 1)}\n`);
  writeFileSync(plotFile, plot(results));
  if (values.docs) document(results);
}

function document(results: Results): void {
  const list = Object.entries(results.versions).map(([name, version]) => `${name} ${version}`);
  const heading = `${results.date}, on ${results.machine}, load average ${loadAverage.toFixed(1)} before. ${list.join(", ")}.`;
  const text = readFileSync(DOCUMENT, "utf8");
  writeFileSync(DOCUMENT, replaceMarked(text, "newest run", `${heading}\n\n${markdown(results)}`));
}

function place(result: CaseResult): number {
  return SCENARIOS.findIndex(({ name }) => name === result.scenario);
}
