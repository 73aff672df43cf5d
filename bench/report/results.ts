import { CONTENDERS, type ContenderDefinition } from "../contenders.js";
import type { Figures } from "../session.js";

export interface CaseResult {
  readonly scenario: string;
  readonly title: string;
  readonly unit: string;
  readonly name: string;
  /** By contender, one for each round in which it was measured. */
  readonly rounds: Record<string, Rounds>;
}

/** What one contender's rounds gave; nothing where one failed. */
type Rounds = (Figures | undefined)[];

export interface Failure {
  readonly scenario: string;
  readonly contender: string;
  readonly round: number;
  readonly message: string;
}

export interface Results {
  readonly date: string;
  readonly command: string;
  readonly machine: string;
  /** Of the minute before. */
  readonly loadAverage: number;
  readonly versions: Record<string, string>;
  readonly seconds: number;
  readonly cases: readonly CaseResult[];
  readonly failures: readonly Failure[];
}

export interface Metric {
  readonly name: string;
  readonly title: string;
  readonly isBetter: "more" | "less";
  readonly digits: number;
}

/** What is shown; the first that a case has is the one that it is about. */
export const METRICS: readonly Metric[] = [
  { name: "rate", title: "a second", isBetter: "more", digits: 0 },
  { name: "p50", title: "p50, ms", isBetter: "less", digits: 2 },
  { name: "p99", title: "p99, ms", isBetter: "less", digits: 2 },
  { name: "p999", title: "p99.9, ms", isBetter: "less", digits: 2 },
  { name: "took", title: "until all have all, ms", isBetter: "less", digits: 0 },
  { name: "rss", title: "RSS, KiB", isBetter: "less", digits: 1 },
  { name: "heap", title: "heap, KiB", isBetter: "less", digits: 1 },
  { name: "kept", title: "of the rate when all read", isBetter: "more", digits: 2 },
  { name: "growth", title: "RSS grown, MiB", isBetter: "less", digits: 1 },
  { name: "commands", title: "Redis commands a second", isBetter: "less", digits: 1 },
  { name: "longest", title: "longest turn, ms", isBetter: "less", digits: 0 },
  { name: "redisCommands", title: "Redis commands", isBetter: "less", digits: 0 },
  { name: "redisMemory", title: "in Redis, KiB", isBetter: "less", digits: 1 },
  { name: "redisCpu", title: "Redis' CPU, µs", isBetter: "less", digits: 2 },
  { name: "cpu", title: "CPU, µs", isBetter: "less", digits: 2 },
];

/** A number with its spread over the rounds. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export function metricsOf({ rounds }: CaseResult): Metric[] {
  const all = Object.values(rounds).flat();
  return METRICS.filter(({ name }) => all.some((figures) => figures?.[name] !== undefined));
}

export function spreadOf({ rounds }: CaseResult, contender: string, metric: string): Spread | undefined {
  return spread((rounds[contender] ?? []).flatMap((figures) => figures?.[metric] ?? []));
}

/** How many times as good as a peer in the same round it was: above 1 is better. */
export function advantage(
  { rounds }: CaseResult,
  contender: string,
  peer: string,
  metric: Metric,
): Spread | undefined {
  return byRound(rounds[contender], rounds[peer], metric);
}

/** How many times as good the figures of one were as those of another in the same round. */
export function byRound(
  ones: Rounds | undefined,
  others: Rounds | undefined,
  { name, isBetter }: Metric,
): Spread | undefined {
  const ratios = (ones ?? []).flatMap((figures, round) => {
    const [mine, theirs] = [figures?.[name], others?.[round]?.[name]];
    if (mine === undefined || theirs === undefined || mine <= 0 || theirs <= 0) return [];
    return isBetter === "more" ? mine / theirs : theirs / mine;
  });
  return spread(ratios);
}

/** Those with whom ours are compared: the heading, and the contender's name. */
export const PEERS: readonly (readonly [title: string, of: (ours: ContenderDefinition) => string])[] = [
  ["÷ Socket.IO", () => "socket.io"],
  ["÷ version 2", () => "version-2"],
  ["÷ bare", ({ framing }) => (framing === "sockjs" ? "bare-sockjs" : "bare-ws")],
  ["÷ Express", () => "express"],
];

/** The contenders that were measured in a case. */
export function contendersOf({ rounds }: CaseResult): ContenderDefinition[] {
  return CONTENDERS.filter(({ name }) => rounds[name]?.some((figures) => figures !== undefined));
}

/** A ratio, and between what it was. */
export function ratioText({ median, least, most }: Spread): string {
  const between = least === most ? "" : ` (${least.toFixed(2)}–${most.toFixed(2)})`;
  return `${median.toFixed(2)}${between}`;
}

/** Nothing of no values. */
export function spread(values: readonly number[]): Spread | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const [least, most] = [sorted[0], sorted.at(-1)];
  const half = Math.floor(sorted.length / 2);
  const [upper, lower] = [sorted[half], sorted[sorted.length % 2 === 0 ? half - 1 : half]];
  if (least === undefined || most === undefined || upper === undefined || lower === undefined)
    return undefined;
  return { median: (upper + lower) / 2, least, most };
}
