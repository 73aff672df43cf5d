import type { Results } from "../../bench/report/results.js";

/** What a run of the benchmark gives that has measured nothing. */
export const NOTHING_MEASURED: Results = {
  date: "2026-01-01",
  command: "npm run bench",
  machine: "one",
  loadAverage: 0,
  versions: {},
  seconds: 1,
  cases: [],
  failures: [],
};
