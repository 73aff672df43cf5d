import { expect } from "chai";
import { choose, isStatic, stepsFor, within } from "../../scripts/mutate/choice.js";
import type { TestFile } from "../../scripts/mutate/coverage.js";
import { type Mutant, textAt } from "../../scripts/mutate/mutant.js";
import { isInRanges, numbersIn, toRanges } from "../../scripts/mutate/ranges.js";
import { countsOf, equivalentTable, scoreTable, survivorLines } from "../../scripts/mutate/report.js";

function mutant(id: number, file = "lib/server/auth/expiry.ts", more: Partial<Mutant> = {}): Mutant {
  return {
    id,
    file,
    number: id,
    line: 10 + id,
    mutator: "BooleanLiteral",
    original: "true",
    replacement: "false",
    ...more,
  };
}

/** A file of tests whose tests, by title, take a time and run mutants of one file. */
function testFile(
  name: string,
  tests: Record<string, [duration: number, covered: string]>,
  more: Partial<TestFile> = {},
): TestFile {
  return {
    file: `test/unit/${name}.test.ts`,
    overhead: 0,
    tests: Object.entries(tests).map(([title, [duration, covered]]) => ({
      title,
      duration,
      covered: { "lib/server/auth/expiry.ts": covered },
    })),
    loading: {},
    between: {},
    ...more,
  };
}

const HERE = (covered: string) => ({ "lib/server/auth/expiry.ts": covered });

describe("npm run mutate", () => {
  describe("chooses mutants", () => {
    const all = [
      mutant(0, "lib/server/auth/expiry.ts"),
      mutant(1, "lib/server/auth/logout.ts"),
      mutant(2, "lib/server/auth/logout.ts", { equivalent: "for a reason" }),
      mutant(3, "lib/server/authors.ts"),
      mutant(4, "lib/client/emitter.ts"),
    ];
    const idsOf = (mutants: readonly Mutant[]) => mutants.map(({ id }) => id);

    it("of files and folders that are named, without equivalent ones", () => {
      expect(idsOf(choose(all, ["lib/server/auth"], { seed: 1 }))).to.deep.equal([0, 1]);
      expect(idsOf(choose(all, ["lib/server/auth/"], { seed: 1 }))).to.deep.equal([0, 1]);
      expect(
        idsOf(choose(all, ["lib/client/emitter.ts", "lib/server/authors.ts"], { seed: 1 })),
      ).to.deep.equal([3, 4]);
    });

    it("as a sample that is the same for the same seed, and has no mutant twice", () => {
      const many = Array.from({ length: 100 }, (_, id) => mutant(id));
      const sample = (seed: number) => idsOf(choose(many, ["lib"], { sample: 30, seed }));
      expect(new Set(sample(1))).to.have.property("size", 30);
      expect(sample(1)).to.deep.equal(sample(1)).and.not.to.deep.equal(sample(2));
    });
  });

  describe("runs with a mutant", () => {
    it("the tests that run its code, and all of a file whose hooks do", () => {
      const files = [
        testFile("one", { runs: [5, "0-2"], "does not": [1, "3"] }),
        testFile("two", { some: [1, ""], other: [1, ""] }, { between: HERE("1") }),
        testFile("three", { elsewhere: [1, "0"] }),
      ];
      const steps = stepsFor(mutant(1), files);
      expect(steps.map(({ tests }) => Object.keys(tests))).to.deep.equal([["some", "other"], ["runs"]]);
    });

    it("the cheapest file first, and before it those that noticed others, or have its file's name", () => {
      const files = [
        testFile("slow", { a: [100, "1"] }),
        testFile("cheap", { b: [20, "1"] }),
        testFile("expiry", { c: [150, "1"] }),
      ];
      const order = (kills?: Map<string, number>) =>
        stepsFor(mutant(1), files, kills).map(({ file }) => file.replace(/^test\/unit\/|\.test\.ts$/g, ""));
      expect(order()).to.deep.equal(["expiry", "cheap", "slow"]);
      expect(order(new Map([["test/unit/slow.test.ts", 30]]))).to.deep.equal(["slow", "expiry", "cheap"]);
    });

    it("as many tests as fit into its time, and one in any case", () => {
      const steps = [
        { file: "a", tests: { long: 100, short: 10 }, overhead: 20 },
        { file: "b", tests: { longer: 200 }, overhead: 0 },
        { file: "c", tests: { brief: 5 }, overhead: 1 },
      ];
      expect(within(50, steps).map(({ tests }) => tests)).to.deep.equal([{ short: 10 }, { brief: 5 }]);
      expect(within(1000, steps).map(({ tests }) => tests)).to.deep.equal([
        { long: 100, short: 10 },
        { longer: 200 },
        { brief: 5 },
      ]);
      expect(within(1, steps).map(({ tests }) => tests)).to.deep.equal([{ short: 10 }]);
    });

    it("none where its code runs only as modules are loaded", () => {
      const files = [testFile("one", { a: [1, "0"] }, { loading: HERE("3") })];
      expect(stepsFor(mutant(3), files)).to.deep.equal([]);
      expect(isStatic(mutant(3), files)).to.equal(true);
      expect(isStatic(mutant(4), files)).to.equal(false);
    });
  });

  it("keeps numbers of mutants as ranges", () => {
    const numbers = [0, 1, 2, 5, 7, 8];
    expect(toRanges(numbers)).to.equal("0-2,5,7-8");
    expect(numbersIn("0-2,5,7-8")).to.deep.equal(numbers);
    expect(numbersIn(toRanges([]))).to.deep.equal([]);
    const found = Array.from({ length: 10 }, (_, number) => number).filter((number) =>
      isInRanges(number, "0-2,5,7-8"),
    );
    expect(found).to.deep.equal(numbers);
    expect(isInRanges(0, "")).to.equal(false);
  });

  it("finds the text of a mutant, also over several lines", () => {
    const text = "if (a) {\n  b();\n}\n";
    expect(textAt(text, { start: { line: 0, column: 4 }, end: { line: 0, column: 5 } })).to.equal("a");
    expect(textAt(text, { start: { line: 0, column: 7 }, end: { line: 2, column: 1 } })).to.equal(
      "{\n  b();\n}",
    );
  });

  describe("reports", () => {
    const other = mutant(5, "lib/client/emitter.ts", { original: "{\n  a();\n}", replacement: "{}" });
    const verdicts = [
      { mutant: other, status: "notCovered" },
      { mutant: mutant(0), status: "killed" },
      { mutant: mutant(1), status: "timedOut" },
      { mutant: mutant(2), status: "survived", left: 7 },
      { mutant: mutant(3), status: "static" },
      { mutant: mutant(4), status: "notRun" },
    ] as const;
    const equivalent = [
      mutant(6, "lib/server/auth/expiry.ts", { equivalent: "a reason" }),
      mutant(7, "lib/server/auth/expiry.ts", { equivalent: "a reason" }),
    ];

    it("counts by folder, with the share that was noticed of what could be", () => {
      const counts = countsOf(verdicts, equivalent);
      expect(counts.map(({ folder, score }) => [folder, score])).to.deep.equal([
        ["lib/client", 0],
        ["lib/server/auth", 67],
        ["all", 50],
      ]);
      expect(counts[1]).to.include({
        killed: 1,
        timedOut: 1,
        survived: 1,
        notCovered: 0,
        static: 1,
        notRun: 1,
      });
      expect(scoreTable(counts).split("\n").slice(2)).to.deep.equal([
        "| `lib/client` | 0 | 0 | 0 | 1 | 0 | 0 | 0 % |",
        "| `lib/server/auth` | 1 | 1 | 1 | 0 | 1 | 2 | 67 % |",
        "| All | 1 | 1 | 1 | 1 | 1 | 2 | 50 % |",
      ]);
    });

    it("has no score where nothing could be noticed", () => {
      const counts = countsOf([{ mutant: mutant(3), status: "static" }], []);
      expect(scoreTable(counts)).to.include("| All | 0 | 0 | 0 | 0 | 1 | 0 |  |");
    });

    it("each mutant that was not noticed, with its place and its change", () => {
      expect(survivorLines(verdicts)).to.deep.equal([
        "lib/server/auth/expiry.ts:12  true  →  false  (BooleanLiteral, 7 tests left)",
        "lib/client/emitter.ts:15  { a(); }  →  {}  (BooleanLiteral, not covered)",
      ]);
    });

    it("equivalent mutants with their reasons", () => {
      expect(
        equivalentTable([...equivalent, mutant(8)])
          .split("\n")
          .slice(2),
      ).to.deep.equal(["| `lib/server/auth/expiry.ts` | a reason | 2 |"]);
    });
  });
});
