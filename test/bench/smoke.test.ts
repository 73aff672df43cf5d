import { expect } from "chai";
import { compile } from "../../bench/children.js";
import { CONTENDERS } from "../../bench/contenders.js";
import type { Open } from "../../bench/jitter/clients.js";
import { JITTER_CONTENDERS, type JitterContender } from "../../bench/jitter/contenders.js";
import { FULL_JITTER, ROWS, runJitter } from "../../bench/jitter/run.js";
import { GOALS, goalRows } from "../../bench/report/goals.js";
import type { CaseResult } from "../../bench/report/results.js";
import { textTable } from "../../bench/report/table.js";
import { run, takesPart } from "../../bench/run.js";
import { QUICK, SCALES, SCENARIOS } from "../../bench/scenarios.js";
import { NOTHING_MEASURED } from "../support/benchmark-results.js";

/**
 * What these are made of, the framing and the store, is in other contenders as well: a few scenarios are enough, and for the
 * embedded store those that ask for figures of Redis where there is one.
 */
const COMBINATIONS: Record<string, readonly string[]> = {
  "sockjs-redis": QUICK,
  "ws-memory": QUICK,
  "sockjs-memory": [...QUICK, "presence", "history"],
};

/** How fast one of many functions is called is a goal of this library with Redis. */
const ONE_FUNCTION = { ...SCALES.smoke, rpc: { ...SCALES.smoke.rpc, functions: [1] } };

describe("the benchmark", () => {
  const all = new Map<string, CaseResult>();

  for (const contender of CONTENDERS) {
    const names = COMBINATIONS[contender.name];
    it(`measures ${contender.title} in ${names ? names.join(", ") : "each of its scenarios"}`, async function () {
      this.timeout(180_000);
      const scenarios = SCENARIOS.filter(({ name }) => names?.includes(name) ?? true);
      const { cases, failures } = await run({
        contenders: [contender],
        scenarios,
        scale: contender.isOurs && contender.store === "redis" ? SCALES.smoke : ONE_FUNCTION,
      });
      expect(failures).to.deep.equal([]);
      const measured = new Set(cases.map(({ scenario }) => scenario));
      const own = scenarios.filter((scenario) => takesPart(contender, scenario));
      expect([...measured]).to.deep.equal(own.map(({ name }) => name));
      for (const result of cases) {
        const { scenario, name, rounds } = result;
        const key = `${scenario}: ${name}`;
        all.set(key, { ...result, rounds: { ...all.get(key)?.rounds, ...rounds } });
        const [figures = {}] = rounds[contender.name] ?? [];
        for (const [metric, value] of Object.entries(figures)) {
          expect(Number.isFinite(value), `${metric} of ${name}: ${value}`).to.equal(true);
        }
      }
    });
  }

  it("compares a call of an Express route with the same handler over HTTP", () => {
    const routes = [...all.values()].filter(({ name }) => name.startsWith("Express route, "));
    expect(routes.map(({ name }) => name)).to.deep.equal([
      "Express route, 2 sockets, 1 outstanding",
      "Express route, 2 sockets, 20 outstanding",
    ]);
    for (const route of routes) {
      const text = textTable(route);
      expect(text).to.match(/server busy +÷ version 2 +÷ Express\n/);
      expect(text).to.match(/\nthis library, plain WebSocket, Redis .* \d+\.\d\d, CPU \d+\.\d\d\n/);
      expect(text).to.match(/\nExpress over keep-alive HTTP +[\d,]+ /);
    }
  });

  it("measures what a history costs Redis, and those who come back", () => {
    const figuresOf = (name: RegExp) => {
      const found = [...all.values()].find(
        (result) => result.scenario === "history" && name.test(result.name),
      );
      return found?.rounds["ws-redis"]?.[0] ?? {};
    };
    expect(figuresOf(/^publish, .* with history$/).redisCpu).to.be.above(0);
    expect(figuresOf(/come back to 3 channels for 20 messages each$/).took).to.be.above(0);
    expect(figuresOf(/come back to 3 channels for 20 messages each$/).longest).to.be.above(0);
    // a subscription and the commands of a script for each channel at least
    expect(figuresOf(/come back to 3 channels for 20 messages each$/).redisCommands).to.be.above(3 * 2);
    // 100 messages of 100 bytes, and what is beside them
    expect(figuresOf(/^a channel with 100 messages/).redisMemory).to.be.within(10_000 / 1024, 40_000 / 1024);
  });

  it("tells of each goal how far it is reached", () => {
    const [, ...rows] = goalRows({ ...NOTHING_MEASURED, cases: [...all.values()] });
    expect(rows.map(([what]) => what)).to.deep.equal(GOALS.map(({ what }) => what));
  });
});

describe("the jitter test", () => {
  const scale = { ...FULL_JITTER, clients: 6, messages: 30, every: 100, cutEvery: 1000, cutFor: 200 };
  const brief = { ...scale, settle: 500 };

  before(async function () {
    this.timeout(60_000);
    await compile();
  });

  for (const { name, title } of JITTER_CONTENDERS) {
    const isOurs = name === "history";
    // the lines are cut in the row of the killed server as well
    for (const row of isOurs ? ROWS : (["kill"] as const)) {
      it(`counts what ${title} delivers in the row ${row}`, async function () {
        this.timeout(180_000);
        const tally = await runJitter(contenderOf(name), row, isOurs ? scale : brief);
        expect(tally.due).to.equal(scale.clients * scale.messages);
        expect(tally.delivered).to.be.within(1, tally.due);
        expect(tally.cuts).to.be.at.least(1);
        if (!isOurs) return;
        const { delivered, twice, disordered, silent, reported } = tally;
        expect({ delivered, twice, disordered, silent, reported }).to.deep.equal({
          delivered: tally.due,
          twice: 0,
          disordered: 0,
          silent: 0,
          reported: 0,
        });
      });
    }
  }

  it("notices a client that loses a message, gives one twice, or two in the wrong order", async function () {
    this.timeout(180_000);
    const honest = contenderOf("history");
    const numbersOf = new Map([
      [4, []],
      [8, [8, 8]],
      [12, [13]],
      [13, [12]],
    ]);
    const open: Open = (port, channel, { onNumber, onLost }) =>
      honest.open(port, channel, {
        onNumber: (number) => {
          for (const each of numbersOf.get(number) ?? [number]) onNumber(each);
        },
        onLost,
      });
    const { clients } = scale;
    const uncut = { ...scale, cutEvery: 1e9, settle: 5000 };
    const tally = await runJitter({ ...honest, open }, "cuts", uncut);
    const { due, delivered, twice, disordered, silent } = tally;
    expect({ delivered, twice, disordered, silent }).to.deep.equal({
      delivered: due - clients,
      twice: clients,
      disordered: clients,
      silent: clients,
    });
  });
});

function contenderOf(name: string): JitterContender {
  const contender = JITTER_CONTENDERS.find((each) => each.name === name);
  if (!contender) throw new Error(`No contender ${name}`);
  return contender;
}
