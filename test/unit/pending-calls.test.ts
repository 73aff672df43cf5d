import { getEventListeners } from "node:events";
import { expect } from "chai";
import sinon, { type SinonFakeTimers } from "sinon";
import { AbortedError, DisconnectedError, TimeoutError } from "../../lib/shared/call-errors.js";
import { DEFAULT_CALL_TIMEOUT, PendingCalls } from "../../lib/shared/pending-calls.js";

describe("PendingCalls", () => {
  let clock: SinonFakeTimers;
  let calls: PendingCalls;

  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
    calls = new PendingCalls();
  });

  afterEach(() => {
    clock.restore();
    expect(calls.size, "calls left behind").to.equal(0);
  });

  interface Made {
    readonly id: number;
    readonly outcome: Promise<{ value: unknown } | { error: unknown }>;
  }

  function make(options: Parameters<PendingCalls["add"]>[0] = {}): Made {
    let id = 0;
    const call = calls.add(options, (given) => {
      id = given;
    });
    return {
      id,
      outcome: call.then(
        (value) => ({ value }),
        (error: unknown) => ({ error }),
      ),
    };
  }

  it("leaves no timer behind, however a call ends", () => {
    // in one turn, so that no timer but those of the calls is counted
    const before = clock.countTimers();
    const controller = new AbortController();
    const ends: ((made: Made) => unknown)[] = [
      ({ id }) => calls.resolve(id, 1),
      ({ id }) => calls.reject(id, new Error("no")),
      () => calls.rejectAll(() => new DisconnectedError()),
      () => controller.abort(),
      () => clock.tick(DEFAULT_CALL_TIMEOUT),
    ];
    for (const end of ends) {
      const made = make({ signal: controller.signal.aborted ? undefined : controller.signal });
      expect(clock.countTimers()).to.equal(before + 1);
      end(made);
      expect(clock.countTimers()).to.equal(before);
      expect(calls.size).to.equal(0);
    }
  });

  it("hands an id of its own to each call, at once", () => {
    const ids = Array.from({ length: 1000 }, () => make().id);
    expect(new Set(ids).size).to.equal(1000);
    expect(ids.every((id) => Number.isSafeInteger(id) && id > 0)).to.equal(true);
    expect(calls.size).to.equal(1000);
    calls.rejectAll(() => new DisconnectedError());
  });

  it("settles a call with its answer, and with no other", async () => {
    const first = make();
    const second = make();
    expect(calls.resolve(second.id, "second")).to.equal(true);
    expect(calls.reject(first.id, new Error("first"))).to.equal(true);
    expect(await second.outcome).to.deep.equal({ value: "second" });
    expect(await first.outcome).to.have.nested.property("error.message", "first");
  });

  it("settles a call with undefined as well", async () => {
    const { id, outcome } = make();
    calls.resolve(id, undefined);
    expect(await outcome).to.deep.equal({ value: undefined });
  });

  it("changes nothing for an id that is unknown, or known no longer", async () => {
    const { id, outcome } = make();
    for (const unknown of [0, -id, id + 1, Number.NaN]) {
      expect(calls.resolve(unknown, 1)).to.equal(false);
      expect(calls.reject(unknown, new Error("no"))).to.equal(false);
    }
    expect(calls.size).to.equal(1);
    expect(calls.resolve(id, "first")).to.equal(true);
    expect(calls.resolve(id, "second")).to.equal(false);
    expect(calls.reject(id, new Error("third"))).to.equal(false);
    expect(await outcome).to.deep.equal({ value: "first" });
  });

  it("rejects a call that is not answered in time", async () => {
    const { id, outcome } = make({ timeout: 50 });
    clock.tick(49);
    expect(calls.size).to.equal(1);
    clock.tick(1);
    expect(await outcome)
      .to.have.property("error")
      .that.is.instanceOf(TimeoutError)
      .with.property("message", "No answer within 50 ms");
    expect(calls.resolve(id, "late")).to.equal(false);
  });

  it("waits 30 seconds where nothing else is said", async () => {
    const { outcome } = make();
    clock.tick(DEFAULT_CALL_TIMEOUT - 1);
    expect(DEFAULT_CALL_TIMEOUT).to.equal(30_000);
    expect(calls.size).to.equal(1);
    clock.tick(1);
    expect(await outcome)
      .to.have.property("error")
      .that.is.instanceOf(TimeoutError);
  });

  it("waits without a limit where that is said, and longer than a timer can", async () => {
    for (const timeout of [Number.POSITIVE_INFINITY, 2 ** 31, Number.MAX_SAFE_INTEGER]) {
      const { id, outcome } = make({ timeout });
      clock.tick(2 ** 31 - 1);
      expect(calls.size, String(timeout)).to.equal(1);
      calls.resolve(id, "answer");
      expect(await outcome).to.deep.equal({ value: "answer" });
    }
  });

  it("rejects a call whose signal fires, with the reason as the cause", async () => {
    const controller = new AbortController();
    const { id, outcome } = make({ signal: controller.signal });
    controller.abort("changed my mind");
    expect(await outcome)
      .to.have.property("error")
      .that.is.instanceOf(AbortedError)
      .with.property("cause", "changed my mind");
    expect(calls.resolve(id, "late")).to.equal(false);
    expect(getEventListeners(controller.signal, "abort")).to.deep.equal([]);
  });

  it("makes no call whose signal has fired already", async () => {
    const send = sinon.spy();
    const call = calls.add({ signal: AbortSignal.abort("before") }, send);
    expect(await call.catch((error: unknown) => error))
      .to.be.instanceOf(AbortedError)
      .with.property("cause", "before");
    sinon.assert.notCalled(send);
  });

  it("lets go of the signal however the call ends", async () => {
    const { signal } = new AbortController();
    const answered = make({ signal });
    const refused = make({ signal });
    const late = make({ signal, timeout: 5 });
    const cut = make({ signal });
    expect(getEventListeners(signal, "abort")).to.have.lengthOf(1);
    calls.resolve(answered.id, 1);
    calls.reject(refused.id, new Error("no"));
    clock.tick(5);
    calls.rejectAll(() => new DisconnectedError());
    await Promise.all([answered, refused, late, cut].map(({ outcome }) => outcome));
    expect(getEventListeners(signal, "abort")).to.deep.equal([]);
  });

  it("rejects all calls, each with an error of its own", async () => {
    const made = [make(), make(), make({ timeout: Number.POSITIVE_INFINITY })];
    calls.rejectAll(() => new DisconnectedError());
    const outcomes = await Promise.all(made.map(({ outcome }) => outcome));
    const errors = outcomes.map((outcome) => ("error" in outcome ? outcome.error : undefined));
    for (const error of errors) expect(error).to.be.instanceOf(DisconnectedError);
    expect(new Set(errors).size).to.equal(3);
    calls.rejectAll(() => new DisconnectedError());
  });

  it("takes calls again after all were rejected, under new ids", async () => {
    const before = make();
    calls.rejectAll(() => new DisconnectedError());
    await before.outcome;
    const after = make();
    expect(after.id).not.to.equal(before.id);
    calls.resolve(after.id, "answer");
    expect(await after.outcome).to.deep.equal({ value: "answer" });
  });

  it("rejects a call that cannot be sent, and forgets it", async () => {
    const { signal } = new AbortController();
    const call = calls.add({ signal }, () => {
      throw new TypeError("no JSON");
    });
    expect(await call.catch((error: unknown) => error))
      .to.be.instanceOf(TypeError)
      .with.property("message", "no JSON");
    expect(getEventListeners(signal, "abort")).to.deep.equal([]);
  });

  it("takes an answer that comes while the call is being sent", async () => {
    const call = calls.add({}, (id) => calls.resolve(id, "at once"));
    expect(await call).to.equal("at once");
  });
});
