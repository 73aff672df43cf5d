/** What clients lose whose connections are cut again and again; see docs/performance.md. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { compile, leaveTheCoreOfServers } from "./children.js";
import { JITTER_CONTENDERS } from "./jitter/contenders.js";
import { jitterPlot } from "./jitter/plot.js";
import { FULL_JITTER, ROWS, runJitter } from "./jitter/run.js";
import { type JitterResult, jitterMarkdown, jitterText } from "./jitter/table.js";
import { replaceMarked } from "./report/marked.js";
import { machine, versions } from "./versions.js";

const DOCS = join(import.meta.dirname, "../docs");
const DOCUMENT = join(DOCS, "performance.md");

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true, default: [] },
    clients: { type: "string", default: String(FULL_JITTER.clients) },
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: String(FULL_JITTER.seed) },
    out: { type: "string", default: "jitter.json" },
    add: { type: "boolean", default: false },
    docs: { type: "boolean", default: false },
  },
});

const known = [...ROWS, ...JITTER_CONTENDERS.map(({ name }) => name)];
const only = values.only.flatMap((names) => names.split(","));
for (const name of only) {
  if (!known.includes(name)) throw new Error(`--only takes ${known.join(", ")}; not ${name}`);
}
const chosen = <Item>(all: readonly Item[], nameOf: (item: Item) => string) => {
  const named = all.filter((item) => only.includes(nameOf(item)));
  return named.length > 0 ? named : all;
};
const scale = {
  ...FULL_JITTER,
  clients: Number(values.clients),
  messages: Math.round((Number(values.seconds) * 1000) / FULL_JITTER.every),
  seed: Number(values.seed),
};

leaveTheCoreOfServers();
await compile();
const start = performance.now();
const [loadAverage = 0] = loadavg();
let results = earlier();
for (const row of chosen(ROWS, (name) => name)) {
  for (const contender of chosen(JITTER_CONTENDERS, ({ name }) => name)) {
    const tally = await runJitter(contender, row, scale, (line) => {
      const seconds = Math.round((performance.now() - start) / 1000);
      console.log(`${String(seconds).padStart(4)} s  ${row}, ${contender.name}: ${line}`);
    });
    results = ordered([...results, { row, contender: contender.name, tally }]);
    console.log(`\n${jitterText(results.filter((result) => result.row === row))}\n`);
    writeFileSync(values.out, `${JSON.stringify({ scale, results }, undefined, 1)}\n`);
  }
}
if (values.docs) document();

/** What an earlier run has measured. */
function earlier(): readonly JitterResult[] {
  if (!values.add || !existsSync(values.out)) return [];
  const all: { results: JitterResult[] } = JSON.parse(readFileSync(values.out, "utf8"));
  return all.results;
}

/** The newest result of each contender in each row, in the order of the table. */
function ordered(all: readonly JitterResult[]): JitterResult[] {
  return ROWS.flatMap((row) =>
    JITTER_CONTENDERS.flatMap(
      ({ name }) => all.findLast((result) => result.row === row && result.contender === name) ?? [],
    ),
  );
}

function document(): void {
  const of = versions("");
  const names = ["node-token-sockjs", "Node.js", "socket.io", "@socket.io/redis-streams-adapter"];
  const list = names.map((name) => `${name} ${of[name]}`).join(", ");
  const heading = `${new Date().toISOString().slice(0, 10)}, on ${machine()}, load average ${loadAverage.toFixed(1)} before. ${list}. ${scale.clients} clients, ${scale.messages} messages each.`;
  const text = readFileSync(DOCUMENT, "utf8");
  const content = `${heading}\n\n${jitterMarkdown(results)}`;
  writeFileSync(join(DOCS, "jitter.svg"), jitterPlot(results));
  writeFileSync(DOCUMENT, replaceMarked(text, "newest jitter test", content));
}
