import { goalRows } from "./goals.js";
import { table } from "./markdown.js";
import {
  advantage,
  type CaseResult,
  contendersOf,
  type Metric,
  metricsOf,
  PEERS,
  type Results,
  ratioText,
  type Spread,
  spreadOf,
} from "./results.js";

/** The heading of each column, and a row for each contender. */
function rowsOf(result: CaseResult): string[][] {
  const metrics = metricsOf(result);
  const [main] = metrics;
  const cpu = metrics.find(({ name }) => name === "cpu");
  const contenders = contendersOf(result);
  // not each of them has all cases
  const peers = PEERS.filter(([, nameOf]) =>
    contenders.some((ours) => ours.isOurs && contenders.some(({ name }) => name === nameOf(ours))),
  );
  const head = ["", ...metrics.map(({ title }) => title), "server busy", ...peers.map(([title]) => title)];
  const rows = contenders.map((contender) => {
    const figures = metrics.map(({ name, digits }) => show(spreadOf(result, contender.name, name), digits));
    const busy = spreadOf(result, contender.name, "busy");
    const ratios = peers.map(([, nameOf]) =>
      contender.isOurs && main ? compare(result, contender.name, nameOf(contender), main, cpu) : "",
    );
    return [contender.title, ...figures, busy ? `${Math.round(busy.median * 100)} %` : "", ...ratios];
  });
  return [head, ...rows];
}

function compare(
  result: CaseResult,
  contender: string,
  peer: string,
  main: Metric,
  cpu: Metric | undefined,
): string {
  const ratio = advantage(result, contender, peer, main);
  if (!ratio) return "";
  const ofCpu = cpu && cpu !== main ? advantage(result, contender, peer, cpu) : undefined;
  return `${ratioText(ratio)}${ofCpu ? `, CPU ${ofCpu.median.toFixed(2)}` : ""}`;
}

function show(spread: Spread | undefined, digits: number): string {
  if (!spread) return "";
  const { median } = spread;
  return median.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

const headingOf = ({ title, name, unit }: CaseResult) => `${title}: ${name} (unit: ${unit})`;

/** For a terminal. */
export function textTable(result: CaseResult): string {
  const rows = rowsOf(result);
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? "").length)),
  );
  const lines = rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join("  "),
  );
  return `${headingOf(result)}\n${lines.join("\n")}\n`;
}

/** For docs/performance.md. */
export function markdown(results: Results): string {
  const { cases, failures } = results;
  const parts: string[] = [];
  const [head = [], ...goals] = goalRows(results);
  if (goals.length > 0) parts.push("### In short", table(head, goals, 2));
  let scenario = "";
  for (const result of cases) {
    if (result.scenario !== scenario) {
      scenario = result.scenario;
      parts.push(`### ${result.title}`, `The unit is one ${result.unit}.`);
    }
    const [columns = [], ...rows] = rowsOf(result);
    parts.push(`**${capital(result.name)}**`, table(columns, rows));
  }
  if (failures.length > 0) {
    const lines = failures.map(
      ({ scenario: name, contender, round, message }) =>
        `- ${contender} in ${name}, round ${round}: ${message}`,
    );
    parts.push("### What failed", lines.join("\n"));
  }
  return parts.join("\n\n");
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
