import { table } from "../report/markdown.js";
import { Agenda } from "./agenda.js";
import { type Constants, constantOf, costsOf, type MeasuredCase } from "./constants.js";
import { EventLoop } from "./event-loop.js";
import {
  type Costs,
  type Deployment,
  meanTurn,
  meanWait,
  messageRate,
  ONE,
  type Redis,
  redisFlows,
  serverFlows,
  utilisation,
  WORKLOADS,
  type Workload,
} from "./model.js";
import { Random } from "./random.js";
import { type SimulationResult, simulate } from "./simulation.js";
import { about, percent, SOCKETS_EACH, saturation } from "./tables.js";

/** A simulation, beside what the formulas say. */
export interface Run {
  readonly workload: Workload;
  readonly deployment: Deployment;
  readonly result: SimulationResult;
  readonly server: number;
  readonly redis: number;
  /** How far from where something is busy all the time. */
  readonly part: number;
}

const THOUSAND = 1000;

/** What is simulated for the table: each at these parts of what saturates it. */
const PARTS = [0.3, 0.6, 0.8, 0.95];

const TABLE: readonly (readonly [Workload, servers: number, Redis])[] = [
  [WORKLOADS.chat, 1, ONE],
  [WORKLOADS.chat, 10, ONE],
  [WORKLOADS.chat, THOUSAND, ONE],
  [WORKLOADS.chat, THOUSAND, { kind: "cluster", nodes: 10 }],
  [WORKLOADS.chat, THOUSAND, { kind: "sharded", nodes: 10 }],
  [WORKLOADS.notifications, 10, ONE],
  [WORKLOADS.notifications, THOUSAND, ONE],
  [WORKLOADS.ticker, 10, ONE],
];

/** Messages in a simulation: of the ticker few, since each is thousands of deliveries. */
const MESSAGES = 4_000;
const TICKS = 40;

export function runAll(constants: Constants, seed: number): Run[] {
  const costs = costsOf(constants);
  return TABLE.flatMap(([workload, servers, redis]) =>
    PARTS.map((part) => runAt(part, workload, { servers, redis }, costs, seed)),
  );
}

/** Simulates a part of what saturates a deployment: so many sockets, or for the ticker so many messages a second. */
export function runAt(
  part: number,
  workload: Workload,
  where: Omit<Deployment, "sockets">,
  costs: Costs,
  seed: number,
  messages = MESSAGES,
): Run {
  const isTicker = workload.members === Number.POSITIVE_INFINITY;
  const sockets = isTicker
    ? SOCKETS_EACH * where.servers
    : Math.max(workload.members, Math.round(part * saturation(workload, where, costs)));
  const deployment = { ...where, sockets };
  const paced = isTicker ? { ...workload, fixed: part * mostTicks(workload, deployment, costs) } : workload;
  const result = simulate({
    workload: paced,
    deployment,
    costs,
    seed,
    messages: isTicker ? TICKS : messages,
    arrivals: isTicker ? "even" : "random",
  });
  return {
    workload: paced,
    deployment,
    result,
    part,
    server: utilisation(serverFlows(paced, deployment, costs)),
    redis: utilisation(redisFlows(paced, deployment, costs)),
  };
}

/** The messages a second at which the servers of a ticker are busy all the time; Redis is not, with them. */
function mostTicks(workload: Workload, deployment: Deployment, costs: Costs): number {
  const [without, one] = [0, 1].map((fixed) =>
    utilisation(serverFlows({ ...workload, fixed }, deployment, costs)),
  );
  return without === undefined || one === undefined ? Number.NaN : (1 - without) / (one - without);
}

const REDIS_NAMES = {
  one: () => "one",
  cluster: ({ nodes }: Redis) => `classic, ${nodes} nodes`,
  sharded: ({ nodes }: Redis) => `sharded \\*, ${nodes} nodes`,
};

const serversOf = (count: number) => `${about(count)} server${count === 1 ? "" : "s"}`;

const milliseconds = (value: number) => (value / 1000).toFixed(value < 10_000 ? 2 : 0);

export function runsTable(runs: readonly Run[]): string {
  const rows = runs.map(({ workload, deployment, result, server, redis }) => [
    `${workload.name}, ${serversOf(deployment.servers)}, Redis: ${REDIS_NAMES[deployment.redis.kind](deployment.redis)}`,
    about(deployment.sockets),
    about(messageRate(workload, deployment.sockets)),
    `${percent(server)}, ${percent(result.server.busy)}`,
    percent(result.server.awake),
    `${percent(redis)}, ${percent(result.redis.busy)}`,
    milliseconds(result.delay.p50),
    milliseconds(result.delay.p99),
    milliseconds(result.delay.p999),
  ]);
  const head = [
    "",
    "sockets",
    "messages a second",
    "a server is busy: formula, simulation",
    "with its turns",
    "Redis likewise",
    "p50, ms",
    "p99, ms",
    "p99.9, ms",
  ];
  return table(head, rows);
}

/** Where each of them saturates, by the formulas. */
export function saturationTable(constants: Constants): string {
  const costs = costsOf(constants);
  const rows = TABLE.map(([workload, servers, redis]) => {
    const where = { servers, redis };
    const isTicker = workload.members === Number.POSITIVE_INFINITY;
    const sockets = isTicker ? SOCKETS_EACH * servers : saturation(workload, where, costs);
    const deployment = { ...where, sockets };
    const paced = isTicker ? { ...workload, fixed: mostTicks(workload, deployment, costs) } : workload;
    const isRedis =
      utilisation(redisFlows(paced, deployment, costs)) > utilisation(serverFlows(paced, deployment, costs));
    return [
      paced.name,
      about(servers),
      REDIS_NAMES[redis.kind](redis),
      about(sockets),
      about(messageRate(paced, sockets)),
      isRedis ? "Redis" : "the servers",
    ];
  });
  return table(["", "servers", "Redis", "sockets", "messages a second", "what is busy then"], rows);
}

/** A single queue, as textbooks have it: jobs that come at random and all take as long (M/D/1). Gives the mean wait. */
export function singleQueue(busy: number, service: number, jobs: number, seed: number): number {
  const agenda = new Agenda();
  const [loop, random] = [new EventLoop(agenda, 0), new Random(seed)];
  const next = () => {
    agenda.add(agenda.now + random.wait(busy / service), () => {
      loop.take(service);
      next();
    });
  };
  next();
  agenda.run((jobs * service) / busy);
  return loop.waited / loop.jobs;
}

/** What is simulated for longer: Redis as a queue of its own, and servers whose loops hardly rest. */
const LONG: readonly (readonly [Workload, servers: number, busy: number])[] = [
  [WORKLOADS.notifications, THOUSAND, 0.6],
  [WORKLOADS.chat, THOUSAND, 0.8],
  [WORKLOADS.chat, 1, 0.9],
  [WORKLOADS.chat, 10, 0.9],
];
const LONG_MESSAGES = 30_000;

/** What is compared, what the formula or the measurement says, and what the model says. */
interface Check {
  readonly what: string;
  readonly expected: number;
  readonly got: number;
  readonly unit: string;
}

export function checks(
  constants: Constants,
  cases: readonly MeasuredCase[],
  runs: readonly Run[],
  seed: number,
): string {
  const costs = costsOf(constants);
  const worst = Math.max(
    ...runs.flatMap(({ result, server, redis }) => [
      Math.abs(result.server.busy / server - 1),
      Math.abs(result.redis.busy / redis - 1),
    ]),
  );
  const formulas: Check[] = [0.3, 0.6, 0.9].map((busy) => ({
    what: `mean wait of a single queue (M/D/1) that is busy for ${percent(busy)} of the time`,
    expected: meanWait([
      { rate: (busy / costs.publish) * 1e6, mean: costs.publish, square: costs.publish ** 2 },
    ]),
    got: singleQueue(busy, costs.publish, 200_000, seed),
    unit: "µs",
  }));
  for (const [workload, servers, busy] of LONG) {
    const at = runAt(busy, workload, { servers, redis: ONE }, costs, seed, LONG_MESSAGES);
    const how = `${workload.name}, ${serversOf(servers)}, ${about(at.deployment.sockets)} sockets`;
    if (at.redis > at.server) {
      const expected = meanWait(redisFlows(workload, at.deployment, costs));
      formulas.push({ what: `mean wait in Redis: ${how}`, expected, got: at.result.redis.wait, unit: "µs" });
    } else {
      const expected = meanTurn(costs.turn, serverFlows(workload, at.deployment, costs));
      formulas.push({
        what: `mean turn of a server: ${how}`,
        expected,
        got: at.result.server.turn,
        unit: "µs",
      });
    }
  }
  const rows = (checked: readonly Check[]) =>
    checked.map(({ what, expected, got, unit }) => [
      what,
      `${expected.toPrecision(3)} ${unit}`,
      `${got.toPrecision(3)} ${unit}`,
      `${got >= expected ? "+" : "−"}${percent(Math.abs(got / expected - 1))}`,
    ]);
  const ofFormulas = table(["Formula against simulation", "formula", "simulation", ""], rows(formulas));
  const all = `In the ${runs.length} simulations above, how busy servers and Redis are differs from the formulas by ${percent(worst)} at most.`;
  const measured = [...measuredChecks(constants, cases, seed), ...redisCheck(constants)];
  const ofMeasured = table(["Model against measurement", "measured", "model", ""], rows(measured));
  return `${all}\n\n${ofFormulas}\n\n${ofMeasured}`;
}

/** The benchmark's cases, those that the constants come from among them. */
function measuredChecks(constants: Constants, cases: readonly MeasuredCase[], seed: number): Check[] {
  return cases.flatMap(({ name, sockets, members, atOnce, cpu, paced }) => {
    if (!paced) {
      const { turn, message, delivery } = costsOf(constants);
      const what = `CPU time of a delivery, ${name}`;
      return [{ what, expected: cpu, got: delivery + (turn / atOnce + message) / members, unit: "µs" }];
    }
    const { delay } = simulatePaced(constants, sockets, members, paced.perSecond, seed);
    return [
      { what: `p50, ${name}`, expected: paced.p50, got: delay.p50 / 1000, unit: "ms" },
      { what: `p99, ${name}`, expected: paced.p99, got: delay.p99 / 1000, unit: "ms" },
    ];
  });
}

/** One server and one Redis that are mostly idle, and messages at even intervals, as the scenario `latency` has them. */
function simulatePaced(
  constants: Constants,
  sockets: number,
  members: number,
  perSecond: number,
  seed: number,
): SimulationResult {
  const costs = {
    ...costsOf(constants),
    turn: constantOf(constants, "quietTurn"),
    message: 0,
    publish: constantOf(constants, "publishAlone"),
  };
  const workload = { ...WORKLOADS.chat, members, perSocket: 0, fixed: perSecond, isByClients: false };
  const deployment = { sockets, servers: 1, redis: ONE };
  return simulate({ workload, deployment, costs, seed, messages: MESSAGES, arrivals: "even" });
}

/** Whether Redis' cost grows with the copies as the model has it. */
function redisCheck(constants: Constants): Check[] {
  const { publishToFew } = constants;
  const few = Number(/(\d+) servers/.exec(publishToFew?.title ?? "")?.[1]);
  if (!publishToFew || Number.isNaN(few)) return [];
  const got = constantOf(constants, "publishAlone") + few * constantOf(constants, "copy");
  return [
    {
      what: `CPU time in Redis of ${publishToFew.title.replace("the same", "a `PUBLISH`")}`,
      expected: publishToFew.value,
      got,
      unit: "µs",
    },
  ];
}
