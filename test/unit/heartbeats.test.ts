import { expect } from "chai";
import sinon, { type SinonFakeTimers } from "sinon";
import { type Beating, Heartbeats } from "../../lib/server/transport/heartbeats.js";

const INTERVAL = 25_000;
const PATIENCE = 10_000;

describe("Heartbeats", () => {
  let clock: SinonFakeTimers;

  beforeEach(() => {
    clock = sinon.useFakeTimers({
      toFake: ["setTimeout", "clearTimeout", "setImmediate", "performance", "Date"],
    });
  });
  afterEach(() => clock.restore());

  /** A connection that remembers when it was asked and when it was given up. */
  const connection = (isThere: () => boolean, mayVanish = true) => {
    const asked: number[] = [];
    const vanished: number[] = [];
    const beating: Beating = {
      showsLife: isThere,
      askForLife: () => {
        asked.push(Date.now());
        return mayVanish;
      },
      vanish: () => {
        vanished.push(Date.now());
      },
    };
    return { beating, asked, vanished };
  };

  for (const mayVanish of [true, false]) {
    it(`ask a connection once in each interval, ${mayVanish ? "which answers" : "which need not answer"}`, () => {
      const heartbeats = new Heartbeats(INTERVAL);
      const { beating, asked, vanished } = connection(() => true, mayVanish);
      heartbeats.add(beating);
      clock.tick(4 * INTERVAL + PATIENCE);
      expect(asked).to.deep.equal([1, 2, 3, 4].map((count) => count * INTERVAL));
      expect(vanished).to.deep.equal([]);
      heartbeats.delete(beating);
    });
  }

  it("give a connection up that has shown no life since it was asked", () => {
    const heartbeats = new Heartbeats(INTERVAL);
    const { beating, asked, vanished } = connection(() => false);
    heartbeats.add(beating);
    clock.tick(4 * INTERVAL);
    expect(asked).to.deep.equal([INTERVAL]);
    expect(vanished).to.have.length(1);
    // a turn of the event loop more, in which a sign of life may be read
    expect(vanished[0]).to.be.within(INTERVAL + PATIENCE, INTERVAL + PATIENCE + 1);
  });

  // longer than they are patient, shorter than that, and as short as they are patient at least
  for (const interval of [30_000, 6_000, 300]) {
    const patience = Math.min(Math.max(interval, 1000), PATIENCE);

    it(`wait ${patience} ms for a sign of life, asked for each ${interval} ms`, () => {
      const heartbeats = new Heartbeats(interval);
      const { beating, vanished } = connection(() => false);
      heartbeats.add(beating);
      clock.tick(3 * interval + 2 * patience);
      expect(vanished).to.have.length(1);
      expect(vanished[0]).to.be.within(interval + patience, interval + patience + 1);
    });
  }

  it("wait for the answer to each question as long, where a connection has given one late", () => {
    const heartbeats = new Heartbeats(300);
    let isThere = true;
    const { beating, vanished } = connection(() => isThere);
    heartbeats.add(beating);
    // it is asked at 900 for the last time that it has answered to
    clock.tick(1000);
    isThere = false;
    clock.tick(800);
    expect(vanished).to.deep.equal([]);
    clock.tick(300);
    expect(vanished).to.have.length(1);
    expect(vanished[0]).to.be.within(1900, 1901);
  });

  it("wait for no answer of a connection that asking has ended", () => {
    const heartbeats = new Heartbeats(INTERVAL);
    const { beating, asked, vanished } = connection(() => false);
    const ended: Beating = {
      ...beating,
      askForLife() {
        heartbeats.delete(this);
        return beating.askForLife();
      },
    };
    heartbeats.add(ended);
    clock.tick(4 * INTERVAL);
    expect([asked, vanished]).to.deep.equal([[INTERVAL], []]);
    expect(clock.countTimers()).to.equal(0);
  });

  it("leave a connection alone that was taken out", () => {
    const heartbeats = new Heartbeats(INTERVAL);
    const { beating, asked, vanished } = connection(() => false);
    heartbeats.add(beating);
    clock.tick(INTERVAL);
    heartbeats.delete(beating);
    clock.tick(4 * INTERVAL);
    expect([asked, vanished]).to.deep.equal([[INTERVAL], []]);
    expect(clock.countTimers()).to.equal(0);
  });
});
