import { expect } from "chai";
import sinon from "sinon";
import type { Outcome } from "../../lib/shared/errors.js";
import { answerBy, callGuarded, watchPromise, whenSettled } from "../../lib/shared/promises.js";

/** Resolves behind what promises that have settled lead to. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

const error = new Error("broken");

/** A promise of somebody else's making: all that it has is `then`. */
const foreign = (outcome: { value: unknown } | { error: unknown }) => ({
  // biome-ignore lint/suspicious/noThenProperty: it is one on purpose
  then(resolve: (value: unknown) => void, reject: (error: unknown) => void) {
    if ("error" in outcome) reject(outcome.error);
    else resolve(outcome.value);
  },
});

/** What looks like a promise, and fails when it is looked at. */
const trap = () =>
  // biome-ignore lint/suspicious/noThenProperty: as before
  Object.defineProperty({}, "then", {
    get() {
      throw error;
    },
  });

describe("a function whose result nobody waits for", () => {
  for (const [name, act] of Object.entries<() => unknown>({
    "throws an error": () => {
      throw error;
    },
    "returns a promise that rejects": () => Promise.reject(error),
    "returns a promise of another make that rejects": () => foreign({ error }),
    "returns what fails when it is looked at": trap,
  })) {
    it(`has it told once where it ${name}`, async () => {
      const failed = sinon.spy();
      expect(callGuarded(act, failed)).to.equal(undefined);
      await settled();
      expect(failed.args).to.deep.equal([[error]]);
    });
  }

  it("has nothing told of any other result", async () => {
    const failed = sinon.spy();
    const results = [undefined, null, 0, "text", {}, Promise.resolve(error), foreign({ value: error })];
    for (const result of results) callGuarded(() => result, failed);
    await settled();
    expect(failed.callCount).to.equal(0);
  });

  it("may be watched after it was called", async () => {
    const failed = sinon.spy();
    for (const returned of [Promise.reject(error), foreign({ error }), trap(), error]) {
      watchPromise(returned, failed);
    }
    await settled();
    expect(failed.args).to.deep.equal([[error], [error], [error]]);
  });
});

describe("a callback that is handed what becomes of a promise", () => {
  it("gets the value behind null, or the error alone", async () => {
    const [callback, failed] = [sinon.spy(), sinon.spy()];
    answerBy(callback, Promise.resolve(7), failed);
    answerBy(callback, Promise.reject(error), failed);
    await settled();
    expect(callback.args).to.have.deep.members([[null, 7], [error]]);
    expect(failed.callCount).to.equal(0);
  });

  it("has what it throws or rejects with told, and is not called again for that", async () => {
    for (const callback of [sinon.stub().throws(error), sinon.stub().rejects(error)]) {
      for (const settle of [() => Promise.resolve(7), () => Promise.reject(new Error("other"))]) {
        const failed = sinon.spy();
        callback.resetHistory();
        answerBy(callback, settle(), failed);
        await settled();
        expect(failed.args).to.deep.equal([[error]]);
        expect(callback.callCount).to.equal(1);
      }
    }
  });
});

describe("an outcome that is handed on when it has settled", () => {
  const handedOn = async (outcome: Outcome) => {
    const settle = sinon.spy();
    whenSettled(outcome, settle);
    const isAtOnce = settle.callCount === 1;
    await settled();
    expect(settle.callCount).to.equal(1);
    return { isAtOnce, outcome: settle.args[0]?.[0] as unknown };
  };

  it("is that, at once, where its value is no promise", async () => {
    for (const value of [undefined, null, 7, { a: 1 }]) {
      const outcome = { status: "result", value } as const;
      expect(await handedOn(outcome)).to.deep.equal({ isAtOnce: true, outcome });
    }
  });

  it("is what becomes of a promise, of whatever make", async () => {
    const result = { isAtOnce: false, outcome: { status: "result", value: 7 } };
    const failure = { isAtOnce: false, outcome: { status: "failure", error } };
    for (const value of [Promise.resolve(7), foreign({ value: 7 })]) {
      expect(await handedOn({ status: "result", value })).to.deep.equal(result);
    }
    for (const value of [Promise.reject(error), foreign({ error })]) {
      expect(await handedOn({ status: "result", value })).to.deep.equal(failure);
    }
  });

  it("is a failure where its value fails when it is looked at", async () => {
    expect(await handedOn({ status: "result", value: trap() })).to.deep.equal({
      isAtOnce: true,
      outcome: { status: "failure", error },
    });
  });

  it("is an error or a failure as it was given, be that a promise", async () => {
    const promise = Promise.resolve(7);
    for (const outcome of [
      { status: "error", error: promise },
      { status: "failure", error: promise },
      { status: "error", error, value: promise },
    ] as Outcome[]) {
      const handed = await handedOn(outcome);
      expect(handed.isAtOnce).to.equal(true);
      expect(handed.outcome).to.equal(outcome);
    }
  });
});
