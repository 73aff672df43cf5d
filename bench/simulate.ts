/** What servers and Redis carry, from measured constants; see docs/scaling.md. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { replaceMarked } from "./report/marked.js";
import { constantsOf, costsOf, type Kept, readKept, writeKept } from "./scaling/constants.js";
import { measureMessages } from "./scaling/message-costs.js";
import { ONE, type Redis, WORKLOADS } from "./scaling/model.js";
import { plot } from "./scaling/plot.js";
import { measureRedis } from "./scaling/redis-costs.js";
import { checks, runAll, runAt, runsTable, saturationTable } from "./scaling/runs.js";
import {
  answers,
  commands,
  constantsTable,
  inShort,
  million,
  reconnect,
  redisEnds,
} from "./scaling/tables.js";

const ROOT = join(import.meta.dirname, "..");
const DOCUMENT = join(ROOT, "docs/scaling.md");
const PLOT = join(ROOT, "docs/scaling.svg");

const { values } = parseArgs({
  options: {
    in: { type: "string" },
    measure: { type: "boolean", default: false },
    docs: { type: "boolean", default: false },
    constants: { type: "string", default: join(import.meta.dirname, "constants.json") },
    seed: { type: "string", default: "1" },
  },
});

const { constants, cases } = await bringUpToDate();
const seed = Number(values.seed);
const runs = runAll(constants, seed);
const parts = {
  answers: `${answers(constants)}\n\n${inShort(constants)}`,
  Redis: redisEnds(constants),
  commands: commands(constants),
  "a million": million(constants),
  reconnecting: reconnect(constants),
  saturation: saturationTable(constants),
  simulations: runsTable(runs),
  checks: checks(constants, cases, runs, seed),
  constants: constantsTable(constants),
};

if (values.docs) {
  const text = Object.entries(parts).reduce(
    (document, [name, content]) => replaceMarked(document, `newest run: ${name}`, content),
    readFileSync(DOCUMENT, "utf8"),
  );
  writeFileSync(DOCUMENT, text);
  writeFileSync(PLOT, draw());
} else {
  for (const [name, content] of Object.entries(parts)) console.log(`${name}\n\n${content}\n`);
}

/** The constants of last time, and in their place what has been measured since. */
async function bringUpToDate(): Promise<Kept> {
  const before: Kept = existsSync(values.constants)
    ? readKept(values.constants)
    : { constants: {}, cases: [] };
  if (values.in === undefined && !values.measure) return before;
  const measured = values.measure ? { ...(await measureMessages()), ...(await measureRedis()) } : {};
  const ofBenchmark =
    values.in === undefined ? before : constantsOf(JSON.parse(readFileSync(values.in, "utf8")));
  const kept = {
    constants: { ...before.constants, ...ofBenchmark.constants, ...measured },
    cases: [
      ...before.cases.filter(({ name }) => !ofBenchmark.cases.some((newer) => newer.name === name)),
      ...ofBenchmark.cases,
    ],
  };
  writeKept(values.constants, kept);
  return kept;
}

function draw(): string {
  const costs = costsOf(constants);
  const ten = { nodes: 10 };
  const series: [string, number, Redis][] = [
    ["one server", 1, ONE],
    ["ten servers, one Redis", 10, ONE],
    ["a thousand servers, one Redis", 1000, ONE],
    ["a thousand, classic cluster of ten", 1000, { kind: "cluster", ...ten }],
    ["a thousand, sharded over ten", 1000, { kind: "sharded", ...ten }],
  ];
  const steps = [0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98];
  return plot(
    "Chat: what 99 of 100 deliveries take at most, simulated, up to where something is busy all the time",
    series.map(([name, servers, redis]) => ({
      name,
      // near the end it takes long until things are as they stay
      runs: steps.map((part) =>
        runAt(part, WORKLOADS.chat, { servers, redis }, costs, seed, part < 0.8 ? 4_000 : 12_000),
      ),
    })),
  );
}
