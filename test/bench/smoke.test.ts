import { expect } from "chai";
import { CONTENDERS } from "../../bench/contenders.js";
import { GOALS, goalRows } from "../../bench/report/goals.js";
import type { CaseResult } from "../../bench/report/results.js";
import { textTable } from "../../bench/report/table.js";
import { run } from "../../bench/run.js";
import { SCALES, SCENARIOS } from "../../bench/scenarios.js";
import { NOTHING_MEASURED } from "../support/benchmark-results.js";

describe("the benchmark", () => {
  const all = new Map<string, CaseResult>();

  for (const contender of CONTENDERS) {
    it(`measures ${contender.title} in each of its scenarios`, async function () {
      this.timeout(180_000);
      const { cases, failures } = await run({
        contenders: [contender],
        scenarios: SCENARIOS,
        scale: SCALES.smoke,
      });
      expect(failures).to.deep.equal([]);
      const measured = new Set(cases.map(({ scenario }) => scenario));
      expect([...measured]).to.deep.equal(contender.scenarios ?? SCENARIOS.map(({ name }) => name));
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

  it("tells of each goal how far it is reached", () => {
    const [, ...rows] = goalRows({ ...NOTHING_MEASURED, cases: [...all.values()] });
    expect(rows.map(([what]) => what)).to.deep.equal(GOALS.map(({ what }) => what));
  });
});
