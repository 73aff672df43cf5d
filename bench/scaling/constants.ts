import { readFileSync, writeFileSync } from "node:fs";
import { type CaseResult, type Results, spreadOf } from "../report/results.js";
import type { Costs } from "./model.js";

/** What the model stands on: measured, never made up. */
export interface Constant {
  readonly value: number;
  readonly unit: string;
  /** What it is. */
  readonly title: string;
  /** By what it was measured: the scenario and the case of the benchmark, or what was done to Redis. */
  readonly from: string;
  /** When, and on what. */
  readonly measured: Measured;
}

export interface Measured {
  readonly date: string;
  readonly machine: string;
  /** Of the minute before. */
  readonly loadAverage: number;
  readonly versions: string;
}

export type Constants = Readonly<Record<string, Constant>>;

/** The contender whose figures are taken: what this package's client tries first, with Redis. */
export const CONTENDER = "ws-redis";

/** A case of the benchmark whose figures are compared with what the model says of it. */
export interface MeasuredCase {
  readonly name: string;
  readonly sockets: number;
  /** How many sockets get each message. */
  readonly members: number;
  /** How many messages are published at once. */
  readonly atOnce: number;
  /** The CPU time of one delivery, in microseconds. */
  readonly cpu: number;
  /** Messages a second, where they come at a fixed rate, and from publishing to receipt, in milliseconds. */
  readonly paced?: { readonly perSecond: number; readonly p50: number; readonly p99: number } | undefined;
}

/** What is kept between runs. */
export interface Kept {
  readonly constants: Constants;
  readonly cases: readonly MeasuredCase[];
}

export function readKept(file: string): Kept {
  return JSON.parse(readFileSync(file, "utf8"));
}

export function writeKept(file: string, kept: Kept): void {
  writeFileSync(file, `${JSON.stringify(kept, undefined, 2)}\n`);
}

/** One case of the benchmark, as far as it has been measured. */
interface Found {
  readonly result: CaseResult;
  readonly label: string;
  figure(metric: string): number | undefined;
}

/** The constants that a file of the benchmark has the figures for, and the cases to compare with. */
export function constantsOf(results: Results): Kept {
  const versions = ["node-token-sockjs", "Node.js", "Redis", "redis"].map(
    (name) => `${name} ${results.versions[name] ?? "unknown"}`,
  );
  const { date, machine, loadAverage } = results;
  const measured = { date, machine, loadAverage, versions: versions.join(", ") };
  const constants: Record<string, Constant> = {};
  const add = (name: string, title: string, unit: string, value: number | undefined, ...by: Found[]) => {
    if (value === undefined || !Number.isFinite(value)) return;
    const from = by.map(({ label }) => label).join("; ");
    constants[name] = { value: round(value), unit, title, from, measured };
  };

  const singly = find(results, "fan-out", /, 100 B, singly$/);
  const bursts = find(results, "fan-out", /, 100 B, bursts of ten$/);
  const latency = find(results, "latency", /./);
  const delivery = singly?.figure("cpu");
  if (singly) add("delivery", "a delivery to one socket", "µs", delivery, singly);
  if (bursts) add("burstDelivery", "a delivery in a burst of ten", "µs", bursts.figure("cpu"), bursts);
  if (singly && latency && delivery !== undefined) {
    const quiet = ((latency.figure("cpu") ?? Number.NaN) - delivery) * deliveriesOf(latency.result);
    add("quietTurn", "a turn and a message, on a server that is mostly idle", "µs", quiet, latency, singly);
  }
  for (const [name, title, scenario, pattern, metric, unit] of SIMPLE) {
    const found = find(results, scenario, pattern);
    if (found) add(name, title, unit, found.figure(metric), found);
  }
  return { constants, cases: casesOf(results) };
}

type Simple = readonly [
  name: string,
  title: string,
  scenario: string,
  pattern: RegExp,
  metric: string,
  unit: string,
];

const SIMPLE: readonly Simple[] = [
  [
    "call",
    "a call of a client, one at a time on each socket",
    "rpc",
    /^one function, .* 1 outstanding$/,
    "cpu",
    "µs",
  ],
  ["manyCalls", "a call, twenty at a time", "rpc", /^one function, .* 20 outstanding$/, "cpu", "µs"],
  ["login", "a login: token, connection, identity, three channels", "storm", /at once$/, "cpu", "µs"],
  ["rss", "resident memory of an idle socket in three channels", "memory", /./, "rss", "KiB"],
  ["heap", "of that, on the JavaScript heap", "memory", /./, "heap", "KiB"],
];

/** How many sockets get each message of a case, as its name tells. */
function deliveriesOf({ name }: CaseResult): number {
  const memberships = numberIn(name, /([\d,]+) sockets/) * numberIn(name, /each in ([\d,]+) of/, 1);
  return memberships / numberIn(name, /(?:in|of) ([\d,]+) channels/, 1);
}

function casesOf({ cases }: Results): MeasuredCase[] {
  return cases.flatMap((result) => {
    if (!COMPARED.test(`${result.scenario}: ${result.name}`)) return [];
    const { label, figure } = foundOf(result);
    const [cpu, p50, p99] = [figure("cpu"), figure("p50"), figure("p99")];
    if (cpu === undefined) return [];
    const isPaced = p50 !== undefined && p99 !== undefined;
    const perSecond = numberIn(result.name, /([\d,]+) messages a second/);
    return {
      name: label,
      sockets: numberIn(result.name, /([\d,]+) sockets/),
      members: deliveriesOf(result),
      atOnce: numberIn(result.name, /([\d,]+) messages at once/, 1),
      cpu,
      ...(isPaced ? { paced: { perSecond, p50, p99 } } : {}),
    };
  });
}

/** Cases with messages of 100 bytes, but those in which a socket gets many in a turn: their deliveries are another constant. */
const COMPARED =
  /^(?:latency: |channels: .* 100 B, 50 messages at once$|(?:large-)?fan-out: .* 100 B, singly$|growth: delivery, )/;

function find({ cases }: Results, scenario: string, pattern: RegExp): Found | undefined {
  const result = cases.find((each) => each.scenario === scenario && pattern.test(each.name));
  return result && foundOf(result);
}

function foundOf(result: CaseResult): Found {
  return {
    result,
    label: `${result.scenario}: ${result.name}`,
    figure: (metric) => spreadOf(result, CONTENDER, metric)?.median,
  };
}

function numberIn(text: string, pattern: RegExp, otherwise = Number.NaN): number {
  const found = pattern.exec(text)?.[1];
  return found === undefined ? otherwise : Number(found.replaceAll(",", ""));
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}

/** The first of some constants that is there. Throws where none is. */
export function constantOf(constants: Constants, ...names: string[]): number {
  for (const name of names) {
    const constant = constants[name];
    if (constant) return constant.value;
  }
  throw new Error(`There is no constant ${names.join(" or ")}: run the benchmark, or measure with --measure`);
}

/** The constants as the model takes them. Throws where one is missing. */
export function costsOf(constants: Constants): Costs {
  const of = (...names: string[]) => constantOf(constants, ...names);
  return {
    turn: of("turn"),
    message: of("message"),
    delivery: of("delivery"),
    call: of("call"),
    login: of("login"),
    publish: of("publish"),
    copy: of("copy"),
    subscribe: of("subscribe"),
    token: of("token"),
    shardPublish: of("shardPublish"),
    busSend: of("busSend"),
    busReceive: of("busReceive"),
  };
}
