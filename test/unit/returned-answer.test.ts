import { expect } from "chai";
import { answeringByEither } from "../../lib/server/rpc/returned-answer.js";
import { type Handler, invoke } from "../../lib/shared/answer.js";
import type { Outcome } from "../../lib/shared/errors.js";

type Done = (...args: unknown[]) => void;

/** Lets every promise that is settled already run its handlers. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

const result = (value: unknown): Outcome => ({ status: "result", value });

interface Asked {
  readonly settled: Outcome[];
  readonly late: Outcome[];
  silences: number;
}

/** Asks a function that gets `(1, 2, callback, 3)`. */
function askEither(fn: Handler): Asked {
  const asked: Asked = { settled: [], late: [], silences: 0 };
  const either = answeringByEither(fn, () => void asked.silences++);
  invoke(
    { fn: either, declared: 0, self: undefined, args: [1, 2, undefined, 3], position: 2 },
    (outcome) => asked.settled.push(outcome),
    (outcome) => asked.late.push(outcome),
  );
  return asked;
}

describe("A function that declares the callback and may answer by what it returns, too", () => {
  const askWith = (fn: (done: Done) => unknown) =>
    askEither((_a: unknown, _b: unknown, done: Done, _c: unknown) => fn(done));

  it("answers by a value, and by a promise of one", async () => {
    for (const value of ["yes", null, false, 0, "", [1], { a: 1 }, Object.create(null)]) {
      expect(askWith(() => value).settled).to.deep.equal([result(value)]);
      const promised = askWith(async () => value);
      await turn();
      expect(promised.settled).to.deep.equal([result(value)]);
    }
  });

  it("answers by an object of a class where a promise gives it, and otherwise not", async () => {
    const date = new Date(0);
    const promised = askWith(async () => date);
    await turn();
    expect(promised.settled).to.deep.equal([result(date)]);
    for (const begin of [
      (done: Done) => setImmediate(done, null, "yes"),
      (done: Done) => {
        setImmediate(done, null, "yes");
        return done;
      },
    ]) {
      const { settled, late } = askWith(begin);
      await turn();
      await turn();
      expect(settled).to.deep.equal([result("yes")]);
      expect(late).to.deep.equal([]);
    }
  });

  it("does not answer by nothing, since the callback may still come", async () => {
    for (const returned of [undefined, Promise.resolve()]) {
      let done: Done = () => {};
      const asked = askWith((callback) => {
        done = callback;
        return returned;
      });
      await turn();
      expect(asked.settled).to.deep.equal([]);
      done(null, "yes");
      expect(asked.settled).to.deep.equal([result("yes")]);
      expect(asked.late).to.deep.equal([]);
      expect(asked.silences).to.equal(returned ? 1 : 0);
    }
  });

  it("answers once: what it returns after its callback is no second answer, apart from a stream", async () => {
    async function* items() {}
    const stream = items();
    for (const [end, late] of [
      [() => "late", []],
      [async () => "late", []],
      [async () => {}, []],
      [() => stream, [result(stream)]],
      [async () => stream, [result(stream)]],
    ] as const) {
      const asked = askWith((done) => {
        done(null, "yes");
        return end();
      });
      await turn();
      expect(asked).to.deep.equal({ settled: [result("yes")], late, silences: 0 });
    }
  });

  it("fails by a throw, by a promise that is rejected, and by what cannot be looked at", async () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    const cause = new Error("no");
    for (const fn of [
      () => proxy,
      () => {
        throw cause;
      },
      () => Promise.reject(cause),
    ]) {
      const { settled } = askWith(fn);
      await turn();
      expect(settled.map(({ status }) => status)).to.deep.equal(["failure"]);
    }
  });
});

describe("A function that declares no parameters", () => {
  it("answers by whatever it returns, also by an object of a class", async () => {
    const date = new Date(0);
    expect(askEither(() => date).settled).to.deep.equal([result(date)]);
  });

  it("is told of where its promise ends without an answer, and only there", async () => {
    for (const [fn, silences] of [
      [async () => {}, 1],
      [() => {}, 0],
      [async () => 1, 0],
      [async (...args: unknown[]) => (args[2] as Done)(null, 1), 0],
    ] as const) {
      const asked = askEither(fn as Handler);
      await turn();
      expect(asked.silences, String(fn)).to.equal(silences);
    }
  });
});
