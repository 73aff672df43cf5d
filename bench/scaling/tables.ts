import { table } from "../report/markdown.js";
import { type Constants, constantOf, costsOf } from "./constants.js";
import {
  type Costs,
  clusterBound,
  type Deployment,
  largest,
  MOST_BUSY,
  MOST_HEAP,
  messageFlows,
  messageRate,
  ONE,
  publishCapacity,
  type Redis,
  redisFlows,
  serverFlows,
  serversReached,
  signsOfLife,
  smallest,
  utilisation,
  WORKLOADS,
  type Workload,
} from "./model.js";

/** Sockets on each server where all are in one channel. */
export const SOCKETS_EACH = 10_000;

const MILLION = 1_000_000;

/** What the servers' cores may spend on clients that come back while the rest goes on. */
const SPARE = 0.2;

/** For how long `drain()` sends clients away by default, in seconds. */
const DRAIN = 20;

/** More servers than anybody has. */
const MANY = 1_000_000;

/** Two digits, since nobody knows more. */
export function about(value: number): string {
  if (value === 0) return "0";
  return Number(value.toPrecision(2)).toLocaleString("en", { maximumFractionDigits: 10 });
}

function whole(value: number): string {
  return value.toLocaleString("en");
}

export function percent(part: number): string {
  if (part > 0 && part < 0.0005) return "< 0.1 %";
  return `${(part * 100).toFixed(part < 0.1 ? 1 : 0)} %`;
}

/** A rate, and what bounds it. */
interface Capacity {
  readonly value: number;
  readonly by: "servers" | "Redis" | "memory";
}

function show({ value, by }: Capacity): string {
  return by === "servers" ? about(value) : `${about(value)} (${by})`;
}

/** Each question of what servers carry, with the answer for so many and one Redis. */
function questions(
  constants: Constants,
  costs: Costs,
): [string, (servers: number, redis: Redis) => Capacity][] {
  const heap = constantOf(constants, "heap") * 1024;
  const burst = { ...costs, delivery: constantOf(constants, "burstDelivery", "delivery") };
  const rooms = { ...WORKLOADS.chat, perSocket: 0, fixed: 1 };
  const own = { ...WORKLOADS.notifications, perSocket: 0, fixed: 1 };
  const pick = (ofServers: number, ofRedis: number): Capacity =>
    ofRedis < ofServers ? { value: ofRedis, by: "Redis" } : { value: ofServers, by: "servers" };
  const messages =
    (workload: Workload, costsOfIt: Costs, socketsEach: number, each: number) =>
    (servers: number, redis: Redis) => {
      const deployment = { sockets: socketsEach * servers, servers, redis };
      const ofServers = MOST_BUSY / utilisation(messageFlows(workload, deployment, costsOfIt));
      const ofRedis = MOST_BUSY / utilisation(redisFlows(workload, deployment, costsOfIt));
      const perMessage = each * (socketsEach > 0 ? servers : 1);
      return pick(ofServers * perMessage, ofRedis * perMessage);
    };
  const calls = (cost: number) => (servers: number) => pick((servers * MOST_BUSY * 1e6) / cost, Infinity);
  return [
    [
      "Idle sockets",
      (servers) => {
        const ofCores = (MOST_BUSY * 1e6) / (signsOfLife(1) * costs.call);
        const ofMemory = MOST_HEAP / heap;
        return ofMemory < ofCores
          ? { value: servers * ofMemory, by: "memory" }
          : { value: servers * ofCores, by: "servers" };
      },
    ],
    [
      "Deliveries a second, all sockets in one channel",
      messages(WORKLOADS.ticker, costs, SOCKETS_EACH, SOCKETS_EACH),
    ],
    ["Likewise, published ten at once", messages(WORKLOADS.ticker, burst, SOCKETS_EACH, SOCKETS_EACH)],
    ["Deliveries a second in rooms of ten, clients publish", messages(rooms, costs, 0, rooms.members)],
    ["Private messages a second, a service publishes", messages(own, costs, 0, 1)],
    ["Calls a second, one at a time on each socket", calls(costs.call)],
    ["Calls a second, twenty at a time", calls(constantOf(constants, "manyCalls", "call"))],
    [
      "Logins a second",
      (servers, { kind, nodes }) => {
        const ofRedis = costs.token + costs.subscribe / (kind === "sharded" ? nodes : 1);
        return pick((servers * MOST_BUSY * 1e6) / costs.login, (MOST_BUSY * 1e6) / ofRedis);
      },
    ],
  ];
}

export function answers(constants: Constants): string {
  const costs = costsOf(constants);
  const columns: [string, number, Redis][] = [
    ["One server", 1, ONE],
    ["Ten", 10, ONE],
    ["A thousand", 1000, ONE],
    ["A thousand, with sharded pub/sub on ten nodes \\*", 1000, { kind: "sharded", nodes: 10 }],
  ];
  const rows = questions(constants, costs).map(([question, answer]) => [
    question,
    ...columns.map(([, servers, redis]) => show(answer(servers, redis))),
  ]);
  return table(["What they carry", ...columns.map(([name]) => name)], rows);
}

/** Where Redis ends. */
export function redisEnds(constants: Constants): string {
  const costs = costsOf(constants);
  const columns: [string, Redis][] = [
    ["one instance", ONE],
    ...[3, 10, 30].map((nodes): [string, Redis] => [`classic, ${nodes} nodes`, { kind: "cluster", nodes }]),
    ...[3, 10, 30].map((nodes): [string, Redis] => [
      `sharded \\*, ${nodes} nodes`,
      { kind: "sharded", nodes },
    ]),
  ];
  const rows = [1, 10, 100, 1000].map((copies) => [
    about(copies),
    ...columns.map(([, redis]) => about(publishCapacity(copies, redis, costs))),
  ]);
  const bound = `However many nodes a classic cluster has, it does not pass on more than ${about(clusterBound(costs))} messages a second.`;
  return `${table(["Servers that get each message", ...columns.map(([name]) => name)], rows)}\n\n${bound}`;
}

/** How many servers carry so many sockets. */
export function serversFor(workload: Workload, sockets: number, costs: Costs, heap: number): number {
  const suffice = (servers: number) => {
    const deployment = { sockets, servers, redis: ONE };
    const isInMemory = (sockets / servers) * heap <= MOST_HEAP;
    return isInMemory && utilisation(serverFlows(workload, deployment, costs)) <= MOST_BUSY;
  };
  return smallest(MANY, suffice) ?? Number.NaN;
}

/** How many nodes of a cluster do; undefined where no number does. */
function nodesFor(kind: "cluster" | "sharded", workload: Workload, deployment: Deployment, costs: Costs) {
  return smallest(1000, (nodes) => {
    const redis = nodes === 1 ? ONE : { kind, nodes };
    return utilisation(redisFlows(workload, { ...deployment, redis }, costs)) <= MOST_BUSY;
  });
}

/** What a million sockets with a workload cost. */
function costOfMillion(workload: Workload, constants: Constants) {
  const costs = costsOf(constants);
  const of = (name: string) => constantOf(constants, name);
  const servers = serversFor(workload, MILLION, costs, of("heap") * 1024);
  const deployment = { sockets: MILLION, servers, redis: ONE };
  const [messages, reached] = [messageRate(workload, MILLION), serversReached(workload, servers).mean];
  const members = Math.min(workload.members, MILLION);
  const nodes = (kind: "cluster" | "sharded") => nodesFor(kind, workload, deployment, costs);
  const [each, login] = [MILLION / servers, costs.login / 1e6];
  return {
    servers,
    messages,
    deliveries: messages * members,
    gibibytes: (MILLION * of("rss") * 1024) / 2 ** 30,
    redis: utilisation(redisFlows(workload, deployment, costs)),
    classicNodes: nodes("cluster"),
    shards: nodes("sharded"),
    subscriptions: ((MILLION / members) * reached * of("subscribed")) / 2 ** 20,
    fromRedis: (messages * reached * of("copyBytes")) / 1e6,
    toClients: (messages * members * of("frameBytes")) / 1e6,
    socketsEach: each,
    /** Seconds until all have logged in, with nothing else done, and the same of Redis. */
    outage: each * login,
    outageOfRedis: (MILLION * (costs.token + costs.subscribe)) / 1e6,
    /** The part of the others' cores that the clients of one server take while it is drained. */
    drain: (each * login) / Math.max(1, servers - 1) / DRAIN,
    atOnce: Math.max(1, Math.floor((SPARE * servers * DRAIN) / (each * login))),
    minutes: (MILLION * login) / (SPARE * servers) / 60,
  };
}

export function million(constants: Constants): string {
  const rows = Object.values(WORKLOADS).map((workload: Workload) => {
    const cost = costOfMillion(workload, constants);
    return [
      workload.title,
      about(cost.messages),
      about(cost.deliveries),
      whole(cost.servers),
      about(cost.gibibytes),
      percent(cost.redis),
      cost.classicNodes === undefined ? "none do" : whole(cost.classicNodes),
      cost.shards === undefined ? "none do" : whole(cost.shards),
      about(cost.subscriptions),
      about(cost.fromRedis),
      about(cost.toClients),
    ];
  });
  return table(
    [
      "Workload",
      "messages a second",
      "deliveries a second",
      "servers, of one core",
      "resident memory of sockets, GiB",
      "one Redis is busy",
      "nodes that do, classic",
      "sharded \\*",
      "subscriptions in Redis, MiB",
      "from Redis, MB/s",
      "to clients, MB/s",
    ],
    rows,
  );
}

/** How long it takes until all are back. */
export function reconnect(constants: Constants): string {
  const rows = Object.values(WORKLOADS).map((workload: Workload) => {
    const cost = costOfMillion(workload, constants);
    return [
      workload.title,
      whole(cost.servers),
      about(cost.socketsEach),
      about(cost.outage),
      about(cost.outageOfRedis),
      percent(cost.drain),
      whole(cost.atOnce),
      about(cost.minutes),
    ];
  });
  return table(
    [
      "Workload",
      "servers",
      "sockets on each",
      "all at once: servers, s",
      "all at once: Redis, s",
      "one restarts: the others' cores",
      "may restart at a time",
      "all in turn, min",
    ],
    rows,
  );
}

/** The answers to what is not about numbers of servers. */
export function inShort(constants: Constants): string {
  const costs = costsOf(constants);
  const passesOn = (redis: Redis) => {
    const [one, ten, thousand] = [1, 10, 1000].map((copies) => about(publishCapacity(copies, redis, costs)));
    return `${one} messages a second to one server each, ${ten} to ten, ${thousand} to a thousand`;
  };
  const rows = [
    ["One Redis", passesOn(ONE)],
    ["A classic cluster", `${about(clusterBound(costs))} messages a second at most, however many nodes`],
    ["Sharded pub/sub on ten nodes, many channels \\*", passesOn({ kind: "sharded", nodes: 10 })],
    ...Object.values(WORKLOADS).map((workload: Workload) => {
      const { servers, gibibytes, redis, outage, minutes } = costOfMillion(workload, constants);
      return [
        `A million sockets. ${workload.title}`,
        `${whole(servers)} cores, ${about(gibibytes)} GiB, and ${percent(redis)} of one Redis. Back ${about(outage)} s after an outage; a deploy in turns takes ${about(minutes)} min`,
      ];
    }),
  ];
  return `| | |\n|---|---|\n${rows.map(([what, answer]) => `| ${what} | ${answer} |`).join("\n")}`;
}

/**
 * What one question to other servers costs, and their answers to the asker: to all servers, as `disconnect()` and `refresh()`
 * are, and to the one that has a user.
 */
export function commands(constants: Constants): string {
  const costs = costsOf(constants);
  const burstCopy = constantOf(constants, "burstCopy");
  const rows = [1, 10, 100, 1000].map((servers) => {
    const redis = (copy: number) => ((servers + 1) * costs.publish + 2 * servers * copy) / 1000;
    return [
      whole(servers),
      whole(2 * servers),
      `${about(redis(burstCopy))} to ${about(redis(costs.copy))}`,
      `${about((servers * costs.message) / 1000)} to ${about((servers * (costs.turn + costs.message)) / 1000)}`,
    ];
  });
  return table(["Servers that are asked", "copies", "Redis, ms", "the asker, ms"], rows);
}

/** What the model stands on. */
export function constantsTable(constants: Constants): string {
  const all = Object.values(constants);
  const runs = [...new Set(all.map(({ measured }) => JSON.stringify(measured)))];
  const letter = (index: number) => String.fromCharCode(65 + index);
  const rows = all.map(({ title, value, unit, from, measured }) => [
    title,
    value.toLocaleString("en", { maximumSignificantDigits: 4 }),
    unit,
    from,
    letter(runs.indexOf(JSON.stringify(measured))),
  ]);
  const where = runs.map((run, index) => {
    const { date, machine, loadAverage, versions } = JSON.parse(run);
    return `${letter(index)}: ${date}, on ${machine}, load average ${loadAverage.toFixed(1)} before; ${versions}.`;
  });
  const aligned = table(["What", "", "", "Measured by", "Run"], rows);
  return `${aligned}\n\n${where.join("  \n")}`;
}

/** The number of sockets up to which the servers and Redis keep up. */
export function saturation(
  workload: Workload,
  deployment: Omit<Deployment, "sockets">,
  costs: Costs,
): number {
  return largest(1e9, (sockets) => {
    const whole = { ...deployment, sockets };
    return (
      utilisation(serverFlows(workload, whole, costs)) < 1 &&
      utilisation(redisFlows(workload, whole, costs)) < 1
    );
  });
}
