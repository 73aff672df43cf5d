import { expect } from "chai";
import fc from "fast-check";
import { type Handler, type Invocation, invoke } from "../../lib/shared/answer.js";
import type { Outcome } from "../../lib/shared/errors.js";

interface Asked {
  readonly settled: Outcome[];
  readonly late: Outcome[];
}

/** Asks a function that gets `(1, 2, callback, 3)`. */
function askWith(fn: unknown, options: Partial<Invocation> = {}): Asked {
  const settled: Outcome[] = [];
  const late: Outcome[] = [];
  invoke(
    { fn: fn as Handler, self: undefined, args: [1, 2, undefined, 3], position: 2, ...options },
    (outcome) => settled.push(outcome),
    (outcome) => late.push(outcome),
  );
  return { settled, late };
}

/** Lets every promise that is settled already run its handlers. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

const result = (value: unknown): Outcome => ({ status: "result", value });
const error = (value: unknown): Outcome => ({ status: "error", error: value });
const failure = (value: unknown): Outcome => ({ status: "failure", error: value });

type Done = (...args: unknown[]) => void;

/** Gives a function that declares so many parameters and hands all of its arguments on. */
function ofLength(length: number, fn: (...args: unknown[]) => unknown): (...args: unknown[]) => unknown {
  return Object.defineProperty((...args: unknown[]) => fn(...args), "length", { value: length });
}

/** A promise of another library's. */
function withThen(then: PropertyDescriptor): object {
  // biome-ignore lint/suspicious/noThenProperty: this is what it is about
  return Object.defineProperty({}, "then", then);
}

describe("an invocation", () => {
  describe("the arguments", () => {
    for (const length of [0, 1, 2, 3, 4]) {
      it(`are the same for a function that declares ${length}`, () => {
        let given: unknown[] = [];
        askWith(
          ofLength(length, (...args) => {
            given = args;
          }),
        );
        expect(given).to.have.lengthOf(4);
        expect([given[0], given[1], given[3]]).to.deep.equal([1, 2, 3]);
        expect(given[2]).to.be.a("function");
      });
    }

    it("come with the object that holds the function", () => {
      const self = { value: 7 };
      const fn = function (this: typeof self) {
        return this.value;
      };
      expect(askWith(fn, { self }).settled).to.deep.equal([result(7)]);
    });
  });

  describe("a function that declares the callback", () => {
    it("answers by it, at once or later", async () => {
      expect(askWith((_a: unknown, _b: unknown, done: Done) => done(null, "yes")).settled).to.deep.equal([
        result("yes"),
      ]);
      const later = askWith((_a: unknown, _b: unknown, done: Done) => {
        setImmediate(() => done(undefined, "yes"));
      });
      expect(later.settled).to.deep.equal([]);
      await turn();
      await turn();
      expect(later.settled).to.deep.equal([result("yes")]);
    });

    it("does not answer by what it returns", async () => {
      for (const returned of [1, undefined, Promise.resolve(1), Promise.resolve()]) {
        const { settled, late } = askWith((_a: unknown, _b: unknown, _done: Done) => returned);
        await turn();
        expect(settled).to.deep.equal([]);
        expect(late).to.deep.equal([]);
      }
    });

    it("fails by a throw, and by a promise that is rejected", async () => {
      const cause = new Error("no");
      const thrown = askWith((_a: unknown, _b: unknown, _done: Done) => {
        throw cause;
      });
      expect(thrown.settled).to.deep.equal([failure(cause)]);
      const rejected = askWith(async (_a: unknown, _b: unknown, _done: Done) => {
        throw cause;
      });
      await turn();
      expect(rejected.settled).to.deep.equal([failure(cause)]);
    });

    it("answers with nothing, an error, or false", () => {
      const answers: readonly (readonly [unknown[], Outcome])[] = [
        [[], result(undefined)],
        [[null], result(undefined)],
        [[undefined, 0], result(0)],
        [[null, false], result(false)],
        [[false], result(false)],
        [[false, "value"], result("value")],
        [["no"], error("no")],
        [["no", "value"], error("no")],
        [[0], error(0)],
        [[""], error("")],
        [[{ code: 1 }], error({ code: 1 })],
      ];
      for (const [given, outcome] of answers) {
        const { settled } = askWith((_a: unknown, _b: unknown, done: Done) => done(...given));
        expect(settled, JSON.stringify(given)).to.deep.equal([outcome]);
      }
    });
  });

  for (const length of [1, 2]) {
    describe(`a function that declares ${length} of its parameters`, () => {
      it("answers by what it returns, also where that is undefined", async () => {
        for (const value of ["yes", undefined, null, false, 0]) {
          expect(askWith(ofLength(length, () => value)).settled).to.deep.equal([result(value)]);
          const promised = askWith(ofLength(length, async () => value));
          expect(promised.settled).to.deep.equal([]);
          await turn();
          expect(promised.settled).to.deep.equal([result(value)]);
        }
      });

      it("fails by a throw, and by a promise that is rejected", async () => {
        const thrown = askWith(
          ofLength(length, () => {
            throw "no";
          }),
        );
        expect(thrown.settled).to.deep.equal([failure("no")]);
        const rejected = askWith(ofLength(length, () => Promise.reject("no")));
        await turn();
        expect(rejected.settled).to.deep.equal([failure("no")]);
      });

      it("may call the callback all the same: the first answer counts, and the other one is late", () => {
        const { settled, late } = askWith(
          ofLength(length, (...args) => {
            (args[2] as Done)(null, "first");
            return "second";
          }),
        );
        expect(settled).to.deep.equal([result("first")]);
        expect(late).to.deep.equal([result("second")]);
      });
    });
  }

  describe("a function that declares none", () => {
    it("answers by the callback", () => {
      expect(askWith((...args: unknown[]) => (args[2] as Done)(null, "yes")).settled).to.deep.equal([
        result("yes"),
      ]);
    });

    it("answers by a result other than undefined", async () => {
      for (const value of ["yes", null, false, 0, ""]) {
        expect(askWith((..._args: unknown[]) => value).settled).to.deep.equal([result(value)]);
        const promised = askWith(async (..._args: unknown[]) => value);
        await turn();
        expect(promised.settled).to.deep.equal([result(value)]);
      }
    });

    it("does not answer by undefined, since the callback may still come", async () => {
      for (const returned of [undefined, Promise.resolve()]) {
        let done: Done = () => {};
        const { settled, late } = askWith((...args: unknown[]) => {
          done = args[2] as Done;
          return returned;
        });
        await turn();
        expect(settled).to.deep.equal([]);
        done(null, "yes");
        expect(settled).to.deep.equal([result("yes")]);
        expect(late).to.deep.equal([]);
      }
    });

    it("answers by a promise of nothing where that means something", async () => {
      const promised = askWith(async () => {}, { nothingAnswers: true });
      await turn();
      expect(promised.settled).to.deep.equal([result(undefined)]);
      const returned = askWith(() => {}, { nothingAnswers: true });
      await turn();
      expect(returned.settled).to.deep.equal([]);
    });

    it("does not answer a second time by a promise of nothing", async () => {
      const { settled, late } = askWith(
        async (...args: unknown[]) => {
          (args[2] as Done)(null, "yes");
        },
        { nothingAnswers: true },
      );
      await turn();
      expect(settled).to.deep.equal([result("yes")]);
      expect(late).to.deep.equal([]);
    });
  });

  it("takes the number of declared parameters that it is told", () => {
    const wrapper = (...args: unknown[]) => (args[2] as Done)(null, "by callback");
    expect(askWith(() => "by value", { declared: 3 }).settled).to.deep.equal([]);
    expect(askWith(wrapper, { declared: 3 }).settled).to.deep.equal([result("by callback")]);
  });

  it("takes whatever has a then for a promise", async () => {
    const { settled } = askWith((_a: unknown) => withThen({ value: (resolve: Done) => resolve("yes") }));
    await turn();
    expect(settled).to.deep.equal([result("yes")]);
  });

  it("fails by a then that throws, be it a method or a getter", async () => {
    const refuse = () => {
      throw "no";
    };
    for (const then of [{ value: refuse }, { get: refuse }]) {
      const { settled } = askWith((_a: unknown) => withThen(then));
      await turn();
      expect(settled).to.deep.equal([failure("no")]);
    }
  });

  it("reports what comes after the first answer: answers, errors, throws and rejections", async () => {
    const answered = askWith((_a: unknown, _b: unknown, done: Done) => {
      done(null, 1);
      done(null, 2);
      done("three");
      throw "four";
    });
    expect(answered.settled).to.deep.equal([result(1)]);
    expect(answered.late).to.deep.equal([result(2), error("three"), failure("four")]);

    const rejected = askWith(async (_a: unknown, _b: unknown, done: Done) => {
      done("one");
      throw "two";
    });
    await turn();
    expect(rejected.settled).to.deep.equal([error("one")]);
    expect(rejected.late).to.deep.equal([failure("two")]);
  });

  it("settles at most once, and loses no answer, whatever a function does", async () => {
    const act = fc.oneof(
      fc.record({
        kind: fc.constant("call" as const),
        error: fc.constantFrom(null, "no"),
        later: fc.boolean(),
      }),
    );
    const end = fc.constantFrom("value", "undefined", "throw", "promise", "rejection");
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 4 }),
        fc.array(act, { maxLength: 4 }),
        end,
        async (length, acts, how) => {
          const { settled, late } = askWith(
            ofLength(length, (...args) => {
              const done = args[2] as Done;
              for (const { error: given, later } of acts) {
                if (later) queueMicrotask(() => done(given, "called"));
                else done(given, "called");
              }
              if (how === "throw") throw "thrown";
              if (how === "promise") return Promise.resolve("returned");
              if (how === "rejection") return Promise.reject("thrown");
              return how === "value" ? "returned" : undefined;
            }),
          );
          await turn();
          const byValue = how === "value" || how === "promise" || (how === "undefined" && length > 0);
          const returns = how === "throw" || how === "rejection" || (byValue && length <= 2);
          // a function that declares none may return undefined after its answer
          const answers = acts.length + (returns ? 1 : 0);
          expect(settled.length).to.equal(Math.min(1, answers));
          // a plain return of undefined after an answer by the callback is no second answer
          const silent =
            how === "undefined" && settled.length > 0 && acts.some(({ later }) => !later) && returns;
          expect(late.length).to.equal(Math.max(0, answers - 1 - (silent ? 1 : 0)));
        },
      ),
      { numRuns: 300 },
    );
  });
});
