import { expect } from "chai";
import sinon from "sinon";
import { inTime, within } from "../../lib/server/limits/in-time.js";

describe("a wait with an end", () => {
  let clock: sinon.SinonFakeTimers;

  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setImmediate", "clearImmediate"] });
  });
  afterEach(() => clock.restore());

  const never = () => new Promise<never>(() => {});

  it("gives the result that comes in time, and leaves no timer", async () => {
    const late = sinon.spy();
    expect(await within(1000, Promise.resolve("result"), late)).to.equal("result");
    expect(clock.countTimers()).to.equal(0);
    sinon.assert.notCalled(late);
  });

  it("rejects with the error that comes in time, and leaves no timer", async () => {
    const error = new Error("refused");
    const caught = await within(1000, Promise.reject(error), sinon.spy()).catch((reason: unknown) => reason);
    expect(caught).to.equal(error);
    expect(clock.countTimers()).to.equal(0);
  });

  it("gives what there is instead once the time is over, and not before", async () => {
    const late = sinon.stub().returns("instead");
    const waiting = within(1000, never(), late);
    clock.tick(999);
    sinon.assert.notCalled(late);
    clock.tick(2);
    sinon.assert.calledOnce(late);
    expect(await waiting).to.equal("instead");
  });

  it("gives a result that has come while the event loop was blocked beyond the time", async () => {
    const late = sinon.spy();
    let answer: (value: string) => void = () => {};
    const waiting = within(1000, new Promise<string>((resolve) => (answer = resolve)), late);
    clock.next();
    answer("read afterwards");
    expect(await waiting).to.equal("read afterwards");
    expect(clock.countTimers()).to.equal(0);
    sinon.assert.notCalled(late);
  });

  it("for Redis ends with an error that tells how long it was", async () => {
    const waiting = inTime(1000, never()).catch((error: Error) => error.message);
    clock.tick(1001);
    expect(await waiting).to.equal("No answer from Redis within 1000 ms");
  });
});
