import { expect } from "chai";
import { CONTENDERS } from "../../bench/contenders.js";
import { run } from "../../bench/run.js";
import { SCALES, SCENARIOS } from "../../bench/scenarios.js";

describe("the benchmark", () => {
  for (const contender of CONTENDERS) {
    it(`measures ${contender.title} in each scenario`, async function () {
      this.timeout(180_000);
      const { cases, failures } = await run({
        contenders: [contender],
        scenarios: SCENARIOS,
        scale: SCALES.smoke,
      });
      expect(failures).to.deep.equal([]);
      const measured = new Set(cases.map(({ scenario }) => scenario));
      expect([...measured]).to.deep.equal(SCENARIOS.map(({ name }) => name));
      for (const { name, rounds } of cases) {
        const [figures = {}] = rounds[contender.name] ?? [];
        for (const [metric, value] of Object.entries(figures)) {
          expect(Number.isFinite(value), `${metric} of ${name}: ${value}`).to.equal(true);
        }
      }
    });
  }
});
