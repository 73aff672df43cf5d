import { dirname } from "node:path";
import { table } from "../../bench/report/markdown.js";
import type { Mutant } from "./mutant.js";

/**
 * What came of a mutant:
 * - `killed`: a test has failed; `timedOut`: it has not ended in time
 * - `survived`: no test has failed; `notCovered`: no test runs its code
 * - `static`: its code runs where modules are loaded, where it cannot be switched
 * - `notRun`: the time was over
 */
export type Status = "killed" | "timedOut" | "survived" | "notCovered" | "static" | "notRun";

export interface Verdict {
  readonly mutant: Mutant;
  readonly status: Status;
  /** The test that has noticed it. */
  readonly by?: string;
  /** The number of tests that run its code, but did not fit into its time. */
  readonly left?: number;
}

export interface Counts extends Readonly<Record<Status, number>> {
  readonly folder: string;
  readonly equivalent: number;
  /** The share of mutants that tests have noticed, in percent, of all that tests could have noticed. */
  readonly score: number | undefined;
}

/** Counts by folder, in the order of their names, and in all. */
export function countsOf(verdicts: readonly Verdict[], equivalent: readonly Mutant[]): Counts[] {
  const folders = [...new Set(verdicts.map(({ mutant }) => dirname(mutant.file)))].sort();
  return [...folders, "all"].map((folder) => {
    const isHere = ({ file }: Mutant) => folder === "all" || dirname(file) === folder;
    const here = verdicts.filter(({ mutant }) => isHere(mutant));
    const count = (status: Status) => here.filter((verdict) => verdict.status === status).length;
    const [killed, timedOut, survived, notCovered] = (
      ["killed", "timedOut", "survived", "notCovered"] as const
    ).map(count) as [number, number, number, number];
    const noticeable = killed + timedOut + survived + notCovered;
    return {
      folder,
      killed,
      timedOut,
      survived,
      notCovered,
      static: count("static"),
      notRun: count("notRun"),
      equivalent: equivalent.filter(isHere).length,
      score: noticeable === 0 ? undefined : Math.round((100 * (killed + timedOut)) / noticeable),
    };
  });
}

export function scoreTable(counts: readonly Counts[]): string {
  const head = ["Folder", "Killed", "Timed out", "Survived", "Not covered", "Static", "Equivalent", "Score"];
  const rows = counts.map((row) => [
    row.folder === "all" ? "All" : `\`${row.folder}\``,
    ...[row.killed, row.timedOut, row.survived, row.notCovered, row.static, row.equivalent].map(String),
    row.score === undefined ? "" : `${row.score} %`,
  ]);
  return table(head, rows);
}

/** Each mutant that no test has noticed, as its place and its change. */
export function survivorLines(verdicts: readonly Verdict[]): string[] {
  return verdicts
    .filter(({ status }) => status === "survived" || status === "notCovered")
    .toSorted((one, other) => one.mutant.id - other.mutant.id)
    .map(({ mutant, status, left }) => {
      const { file, line, original, replacement, mutator } = mutant;
      const notes = [
        mutator,
        ...(status === "survived" ? [] : ["not covered"]),
        ...(left ? [`${left} tests left`] : []),
      ];
      return `${file}:${line}  ${inShort(original)}  →  ${inShort(replacement)}  (${notes.join(", ")})`;
    });
}

/** The mutants that comments in the code call equivalent: where, how many, and why. */
export function equivalentTable(mutants: readonly Mutant[]): string {
  const counts = new Map<string, number>();
  for (const { file, equivalent } of mutants) {
    if (equivalent === undefined) continue;
    const place = `\`${file}\` | ${equivalent}`;
    counts.set(place, (counts.get(place) ?? 0) + 1);
  }
  return table(
    ["File", "Reason", "Mutants"],
    [...counts].map(([place, count]) => [place, String(count)]),
    2,
  );
}

function inShort(text: string): string {
  const line = text.replace(/\s+/g, " ");
  return line.length > 100 ? `${line.slice(0, 97)}…` : line;
}
