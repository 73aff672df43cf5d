import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { replaceMarked } from "../../bench/report/marked.js";
import type { CaseResult, Results } from "../../bench/report/results.js";
import { Agenda } from "../../bench/scaling/agenda.js";
import { constantsOf, readKept } from "../../bench/scaling/constants.js";
import { Histogram } from "../../bench/scaling/histogram.js";
import {
  type Costs,
  clusterBound,
  largest,
  MOST_BUSY,
  meanTurn,
  meanWait,
  ONE,
  publishCapacity,
  type Redis,
  redisFlows,
  serverFlows,
  serversReached,
  smallest,
  utilisation,
  WORKLOADS,
  type Workload,
} from "../../bench/scaling/model.js";
import { Random } from "../../bench/scaling/random.js";
import { runAt, singleQueue } from "../../bench/scaling/runs.js";
import { type SimulationOptions, simulate } from "../../bench/scaling/simulation.js";
import {
  answers,
  commands,
  constantsTable,
  inShort,
  million,
  reconnect,
  redisEnds,
} from "../../bench/scaling/tables.js";
import { splitTurn } from "../../bench/scaling/turn.js";
import { NOTHING_MEASURED } from "../support/benchmark-results.js";

const ROOT = join(import.meta.dirname, "../..");

const COSTS: Costs = {
  turn: 0,
  message: 100,
  delivery: 20,
  call: 50,
  login: 2000,
  publish: 5,
  copy: 3,
  subscribe: 4,
  token: 20,
  shardPublish: 6,
  busSend: 8,
  busReceive: 7,
};

const CLUSTER: Redis = { kind: "cluster", nodes: 4 };
const SHARDED: Redis = { kind: "sharded", nodes: 4 };

const OPTIONS: SimulationOptions = {
  workload: WORKLOADS.chat,
  deployment: { sockets: 50_000, servers: 20, redis: ONE },
  costs: COSTS,
  seed: 7,
  messages: 3_000,
};

describe("the simulation of many servers", () => {
  it("comes to the same with the same seed, and to something else with another", () => {
    expect(simulate(OPTIONS)).to.deep.equal(simulate(OPTIONS));
    expect(simulate({ ...OPTIONS, seed: 8 })).not.to.deep.equal(simulate(OPTIONS));
  });

  for (const busy of [0.3, 0.6, 0.9]) {
    it(`lets jobs wait as long as the formula of M/D/1 says, where the queue is busy for ${busy} of the time`, () => {
      const service = 7;
      const textbook = (busy * service) / (2 * (1 - busy));
      expect(meanWait([{ rate: (busy / service) * 1e6, mean: service, square: service ** 2 }])).to.be.closeTo(
        textbook,
        1e-9,
      );
      expect(singleQueue(busy, service, 400_000, 1)).to.be.closeTo(textbook, textbook * 0.05);
    });
  }

  for (const redis of [ONE, CLUSTER, SHARDED]) {
    for (const workload of Object.values<Workload>(WORKLOADS)) {
      it(`keeps servers and Redis (${redis.kind}) as busy with ${workload.name} as the formulas say`, () => {
        const { result, server, redis: ofRedis } = runAt(0.7, workload, { servers: 20, redis }, COSTS, 1);
        expect(result.server.busy).to.be.closeTo(server, server * 0.05);
        expect(result.redis.busy).to.be.closeTo(ofRedis, ofRedis * 0.1);
      });
    }
  }

  it("lets jobs on a server and in Redis wait as long as Pollaczek and Khinchine say", () => {
    const deployment = { sockets: 100_000, servers: 20, redis: ONE };
    const { server, redis } = simulate({ ...OPTIONS, deployment, messages: 40_000 });
    const onServer = meanWait(serverFlows(WORKLOADS.chat, deployment, COSTS));
    const inRedis = meanWait(redisFlows(WORKLOADS.chat, deployment, COSTS));
    expect(server.wait).to.be.closeTo(onServer, onServer * 0.1);
    expect(redis.wait).to.be.closeTo(inRedis, inRedis * 0.1);
  });

  it("has turns of its loops become the longer, and take the less by themselves, the more there is to do", () => {
    const costs = { ...COSTS, turn: 80 };
    const at = (part: number) => runAt(part, WORKLOADS.chat, { servers: 10, redis: ONE }, costs, 1, 20_000);
    const [quiet, busy] = [at(0.2), at(0.95)];
    expect(quiet.result.server.awake).to.be.greaterThan(1.3 * quiet.server);
    expect(busy.result.server.awake).to.be.closeTo(1, 0.01);
    const expected = meanTurn(80, serverFlows(WORKLOADS.chat, busy.deployment, costs));
    expect(expected).to.be.closeTo(80 / (1 - busy.server), 1e-6);
    expect(busy.result.server.turn).to.be.closeTo(expected, expected * 0.15);
  });

  it("takes longer with each socket more", () => {
    const delays = [0.3, 0.6, 0.8, 0.9, 0.97].map((part) => {
      const { result } = runAt(part, WORKLOADS.chat, { servers: 20, redis: ONE }, COSTS, 1);
      return result;
    });
    for (const [index, { delay, server }] of delays.entries()) {
      const before = delays[index - 1];
      if (!before) continue;
      expect(delay.p99).to.be.greaterThan(before.delay.p99);
      expect(server.wait).to.be.greaterThan(before.server.wait);
      expect(delay.p999).to.be.at.least(delay.p99);
    }
  });

  it("takes longer where as many messages come in bursts", () => {
    const [singly, inBursts] = [1, 10].map((burst) => simulate({ ...OPTIONS, burst }));
    expect(inBursts?.delay.p99).to.be.greaterThan(singly?.delay.p99 ?? Number.NaN);
    expect(inBursts?.server.busy).to.be.closeTo(singly?.server.busy ?? Number.NaN, 0.05);
  });

  it("has one channel wait at its shard as it would at one Redis", () => {
    const workload = { ...WORKLOADS.ticker, fixed: 2_600 };
    const [one, sharded] = [ONE, SHARDED].map((redis) => {
      const deployment = { sockets: 100, servers: 100, redis };
      return simulate({ ...OPTIONS, workload, deployment, messages: 5_000 }).redis;
    });
    expect(one?.busy).to.be.closeTo(0.8, 0.05);
    expect(sharded?.wait).to.be.closeTo(one?.wait ?? Number.NaN, (one?.wait ?? Number.NaN) * 0.15);
  });

  it("takes as long as the work itself where nobody else is there", () => {
    const workload = { ...WORKLOADS.notifications, perSocket: 0, fixed: 1 };
    const deployment = { sockets: 1, servers: 1, redis: ONE };
    const { delay, deliveries } = simulate({
      ...OPTIONS,
      workload,
      deployment,
      arrivals: "even",
      messages: 100,
    });
    const { publish, copy, message, delivery } = COSTS;
    expect(delay.p50).to.be.closeTo(publish + copy + message + delivery, 1);
    expect(deliveries).to.be.within(89, 91);
  });

  it("carries events out in the order of time", () => {
    const [agenda, random] = [new Agenda(), new Random(3)];
    const times: number[] = [];
    for (let count = 0; count < 500; count++) {
      agenda.add(random.below(100), () => times.push(agenda.now));
    }
    agenda.run(49);
    expect(times.every((time) => time <= 49)).to.equal(true);
    agenda.run(100);
    expect(times).to.have.length(500);
    expect(times).to.deep.equal([...times].sort((a, b) => a - b));
  });

  it("knows quantiles to a hundredth", () => {
    const histogram = new Histogram();
    for (let value = 1; value <= 1000; value++) histogram.add(value);
    histogram.add(5000, 10);
    expect(histogram.quantile(0.5)).to.be.closeTo(505, 5.05);
    expect(histogram.quantile(0.999)).to.be.closeTo(5000, 50);
    expect(new Histogram().quantile(0.5)).to.equal(0);
  });
});

describe("the model of many servers", () => {
  it("knows how many servers the members of a channel are on", () => {
    expect(serversReached(WORKLOADS.notifications, 50).mean).to.be.closeTo(1, 1e-9);
    expect(serversReached(WORKLOADS.notifications, 50).variance).to.be.closeTo(0, 1e-9);
    expect(serversReached(WORKLOADS.ticker, 50)).to.deep.equal({ mean: 50, variance: 0 });
    expect(serversReached(WORKLOADS.chat, 1).mean).to.equal(1);
    // two members on two servers: on one or on both, each half of the time
    const { mean, variance } = serversReached({ ...WORKLOADS.chat, members: 2 }, 2);
    expect(mean).to.be.closeTo(1.5, 1e-9);
    expect(variance).to.be.closeTo(0.25, 1e-9);
  });

  it("knows what a message is to a server that may have none, one or both of its members", () => {
    const workload = { ...WORKLOADS.notifications, members: 2, perSocket: 0, fixed: 8 };
    const [flow] = serverFlows(workload, { sockets: 0, servers: 2, redis: ONE }, COSTS);
    expect(flow?.rate).to.be.closeTo(6, 1e-9);
    expect(flow?.mean).to.be.closeTo((0.5 * 120 + 0.25 * 140) / 0.75, 1e-9);
    expect(flow?.square).to.be.closeTo((0.5 * 120 ** 2 + 0.25 * 140 ** 2) / 0.75, 1e-6);
  });

  it("has a classic cluster end where each node takes each message, and a sharded one grow", () => {
    const of = (kind: Redis["kind"], nodes: number) => publishCapacity(1, { kind, nodes }, COSTS);
    expect(of("one", 1)).to.be.closeTo((MOST_BUSY * 1e6) / 8, 1e-6);
    expect(of("cluster", 1000)).to.be.lessThan(of("one", 1));
    expect(of("cluster", 100_000)).to.be.closeTo(clusterBound(COSTS), clusterBound(COSTS) / 100);
    expect(of("sharded", 10)).to.be.closeTo(10 * of("sharded", 1), 1e-6);
  });

  it("has sharded pub/sub carry one channel no better with more nodes", () => {
    const of = (nodes: number) => {
      const deployment = { sockets: 1000, servers: 100, redis: { kind: "sharded", nodes } as const };
      return utilisation(redisFlows(WORKLOADS.ticker, deployment, COSTS));
    };
    expect(of(10)).to.equal(of(1));
  });

  it("finds the ends of ranges", () => {
    expect(largest(1000, (number) => number <= 37)).to.equal(37);
    expect(largest(1000, () => false)).to.equal(0);
    expect(smallest(1000, (number) => number >= 37)).to.equal(37);
    expect(smallest(1000, () => false)).to.equal(undefined);
  });
});

describe("the constants of the model", () => {
  const caseOf = (scenario: string, name: string, figures: Record<string, number>): CaseResult => ({
    scenario,
    title: "",
    unit: "",
    name,
    rounds: { "ws-redis": [figures], "socket.io": [{ cpu: 1 }] },
  });
  const results: Results = {
    ...NOTHING_MEASURED,
    cases: [
      caseOf("fan-out", "1,000 sockets, 100 B, singly", { cpu: 20 }),
      caseOf("fan-out", "1,000 sockets, 1 KB, singly", { cpu: 30 }),
      ...["50 messages at once", "1,000 messages at once", "50 messages at once, with a filter"].map(
        (how, index) =>
          caseOf("channels", `5,000 sockets, each in 5 of 1,000 channels, 100 B, ${how}`, {
            cpu: 21 + index,
          }),
      ),
      caseOf("latency", "1,000 sockets in 100 channels, 200 messages a second to 10 each", {
        cpu: 70,
        p50: 0.7,
        p99: 2,
      }),
      caseOf("memory", "10,000 sockets", { rss: 30, heap: 20 }),
    ],
  };

  it("are those of the case that they are named after, and absent where it was not measured", () => {
    const { constants } = constantsOf(results);
    expect(constants.heap).to.deep.include({ value: 20, unit: "KiB", from: "memory: 10,000 sockets" });
    expect(constants.delivery).to.deep.include({ value: 20, from: "fan-out: 1,000 sockets, 100 B, singly" });
    // ten deliveries cost 700 µs together, 200 of them by themselves
    expect(constants.quietTurn).to.include({ value: 500, unit: "µs" });
    expect(constants).not.to.have.any.keys("login", "burstDelivery");
  });

  it("leave the cases with messages of the same size to be compared with", () => {
    expect(constantsOf(results).cases).to.deep.equal([
      { name: "fan-out: 1,000 sockets, 100 B, singly", sockets: 1000, members: 1000, atOnce: 1, cpu: 20 },
      {
        name: "channels: 5,000 sockets, each in 5 of 1,000 channels, 100 B, 50 messages at once",
        sockets: 5000,
        members: 25,
        atOnce: 50,
        cpu: 21,
      },
      {
        name: "latency: 1,000 sockets in 100 channels, 200 messages a second to 10 each",
        sockets: 1000,
        members: 10,
        atOnce: 1,
        cpu: 70,
        paced: { perSecond: 200, p50: 0.7, p99: 2 },
      },
    ]);
  });

  it("tell a turn, a message and a delivery apart by how many come at once, and to how many", () => {
    const cost = (members: number, atOnce: number) => ({
      members,
      atOnce,
      cpu: 60 / atOnce + 9 + 16 * members,
    });
    const { turn, message, delivery } = splitTurn([cost(1, 1), cost(1, 50), cost(10, 1), cost(10, 50)]);
    expect(turn).to.be.closeTo(60, 1e-6);
    expect(message).to.be.closeTo(9, 1e-6);
    expect(delivery).to.be.closeTo(16, 1e-6);
  });

  it("are those that docs/scaling.md has its tables from", () => {
    const document = readFileSync(join(ROOT, "docs/scaling.md"), "utf8");
    const { constants } = readKept(join(ROOT, "bench/constants.json"));
    const tables = { answers, inShort, redisEnds, commands, million, reconnect, constantsTable };
    for (const [name, make] of Object.entries(tables)) {
      expect(document.includes(make(constants)), `${name}: npm run simulate -- --docs`).to.equal(true);
    }
  });
});

describe("the marked places of a document", () => {
  const text =
    "before\n<!-- run -->\nold\n<!-- end of run -->\nbetween\n<!-- run: b -->\n<!-- end of run: b -->\n";

  it("get new text, as it is, and nothing else changes", () => {
    expect(replaceMarked(text, "run", "new $& $1")).to.equal(text.replace("old\n", () => "\nnew $& $1\n\n"));
    expect(replaceMarked(text, "run: b", "new")).to.include(
      "between\n<!-- run: b -->\n\nnew\n\n<!-- end of run: b -->\n",
    );
  });

  it("are in the document that the benchmark writes", () => {
    const document = readFileSync(join(ROOT, "docs/performance.md"), "utf8");
    expect(replaceMarked(document, "newest run", "new")).to.match(
      /run -->\n\nnew\n\n<!-- end of newest run -->\n$/,
    );
  });

  it("have to be there", () => {
    expect(() => replaceMarked(text, "other", "new")).to.throw("no place for other");
    expect(() => replaceMarked("<!-- run -->\n", "run", "new")).to.throw("no place for run");
  });
});
