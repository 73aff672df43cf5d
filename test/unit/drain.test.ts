import { expect } from "chai";
import sinon from "sinon";
import { type Drainable, drain } from "../../lib/server/connection/drain.js";

const TIME = 6000;

describe("a drain", () => {
  let clock: sinon.SinonFakeTimers;

  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
    clock.tick(1000);
  });
  afterEach(() => {
    expect(clock.countTimers()).to.equal(0);
    clock.restore();
    sinon.restore();
  });

  /** A connection that notes when it is asked to go, and when it is overdue, and goes when the test says so. */
  const connection = (isGoing = () => false) => {
    const begin = performance.now();
    const asked: number[] = [];
    const overdue: number[] = [];
    const one = {
      closed: false,
      leave(isOverdue: boolean) {
        (isOverdue ? overdue : asked).push(performance.now() - begin);
        if (isGoing()) one.closed = true;
      },
    };
    return { one: one as Drainable & { closed: boolean }, asked, overdue };
  };

  /** Tells whether a promise has resolved. */
  const watch = (drained: Promise<void>) => {
    const end = { hasCome: false };
    void drained.then(() => {
      end.hasCome = true;
    });
    return end;
  };

  it("gives connections their turns over two thirds of its time", async () => {
    const random = sinon.stub(Math, "random");
    for (const [call, share] of [0, 0.25, 0.5, 1].entries()) random.onCall(call).returns(share);
    const connections = [1, 2, 3, 4].map(() => connection(() => true));
    const drained = drain(
      connections.map(({ one }) => one),
      TIME,
    );
    expect(connections.map(({ asked }) => asked)).to.deep.equal([[0], [], [], []]);
    clock.tick(TIME);
    expect(connections.map(({ asked }) => asked)).to.deep.equal([[0], [1000], [2000], [4000]]);
    await drained;
  });

  it("asks one whose call goes on again and again, and says once a sixth of the time is over that it is overdue", async () => {
    sinon.stub(Math, "random").returns(0.5);
    const { one, asked, overdue } = connection();
    const drained = drain([one], TIME);
    clock.tick(TIME);
    expect([asked[0], asked.at(-1), asked.length]).to.deep.equal([2000, 2980, 50]);
    expect([overdue[0], overdue.at(-1)]).to.deep.equal([3000, 6000]);
    await drained;
  });

  it("leaves those alone that have closed by themselves", async () => {
    sinon.stub(Math, "random").returns(0.5);
    const [before, meanwhile] = [connection(), connection()];
    before.one.closed = true;
    const drained = drain([before.one, meanwhile.one], TIME);
    clock.tick(1000);
    meanwhile.one.closed = true;
    clock.tick(20);
    await drained;
    expect([before, meanwhile].map(({ asked }) => asked)).to.deep.equal([[], []]);
  });

  it("is over as soon as all have closed, at once where there is none", async () => {
    await drain([], TIME);
    sinon.stub(Math, "random").returns(0);
    const [first, second] = [connection(() => true), connection()];
    const end = watch(drain([first.one, second.one], TIME));
    clock.tick(1000);
    await null;
    expect(end.hasCome).to.equal(false);
    second.one.closed = true;
    clock.tick(20);
    await null;
    expect(end.hasCome).to.equal(true);
  });

  it("is over when its time is, whoever is still there", async () => {
    const end = watch(drain([connection().one], TIME));
    clock.tick(TIME - 20);
    await null;
    expect(end.hasCome).to.equal(false);
    clock.tick(20);
    await null;
    expect(end.hasCome).to.equal(true);
  });
});
