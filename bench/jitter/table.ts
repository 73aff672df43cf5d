import { table } from "../report/markdown.js";
import { JITTER_CONTENDERS } from "./contenders.js";
import type { Tally } from "./ledger.js";
import { ROWS, type Row } from "./run.js";

export interface JitterResult {
  readonly row: Row;
  /** Its name. */
  readonly contender: string;
  readonly tally: Tally;
}

const HEAD = [
  "",
  "delivered",
  "twice",
  "out of order",
  "silently lost",
  "reported as lost",
  "cuts caught up with",
  "p50, s",
  "p99, s",
];

export const TITLES: Readonly<Record<Row, string>> = {
  cuts: "Connections are cut",
  kill: "Connections are cut, and a server is killed",
};

/** What the tables call a contender. */
export function titleOf(contender: string): string {
  return JITTER_CONTENDERS.find(({ name }) => name === contender)?.title ?? contender;
}

function cells({ contender, tally }: JitterResult): string[] {
  const { due, delivered, twice, disordered, silent, reported, cuts, catchUps } = tally;
  return [
    titleOf(contender),
    percent(delivered, due),
    ...[twice, disordered, silent, reported].map((count) => count.toLocaleString("en")),
    `${percent(catchUps.length, cuts)} of ${cuts.toLocaleString("en")}`,
    ...[0.5, 0.99].map((part) => {
      const value = quantile(catchUps, part);
      return value === undefined ? "" : (value / 1000).toFixed(2);
    }),
  ];
}

/** For a terminal. */
export function jitterText(results: readonly JitterResult[]): string {
  const rows = [HEAD, ...results.map(cells)];
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join("  "),
    )
    .join("\n");
}

/** For the document. */
export function jitterMarkdown(results: readonly JitterResult[]): string {
  return ROWS.flatMap((row) => {
    const own = results.filter((result) => result.row === row);
    return own.length > 0 ? [`**${TITLES[row]}**`, table(HEAD, own.map(cells))] : [];
  }).join("\n\n");
}

/** Of all only where it is all: it is never rounded up to 100 %. */
export function percent(part: number, all: number): string {
  if (all === 0) return "";
  if (part === all) return "100 %";
  return `${(Math.floor((part / all) * 10_000) / 100).toFixed(2)} %`;
}

/** Of ascending values; nothing of none. */
function quantile(sorted: readonly number[], part: number): number | undefined {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
}
