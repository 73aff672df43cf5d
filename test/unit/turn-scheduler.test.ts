import { expect } from "chai";
import { TurnScheduler } from "../../lib/server/limits/turn-scheduler.js";

describe("the turns that streams share", () => {
  const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

  /** How many items may be sent at once. */
  const takeAll = (scheduler: TurnScheduler): { taken: number; waiting: Promise<void> } => {
    for (let taken = 0; ; taken++) {
      const waiting = scheduler.take();
      if (waiting) return { taken, waiting };
    }
  };

  it("have as many items in each, however many streams wait for the next one", async () => {
    const scheduler = new TurnScheduler(8);
    const { taken: inEach, waiting } = takeAll(scheduler);
    let sent = 0;
    const send = () => sent++;
    void waiting.then(send);
    for (let stream = 1; stream < 3 * inEach; stream++) void scheduler.take()?.then(send);
    for (let turn = 1; turn <= 3; turn++) {
      await nextTurn();
      expect(sent).to.equal(turn * inEach);
    }
  });

  it("have no more items than that, with those that have waited", async () => {
    const scheduler = new TurnScheduler(8);
    for (let turn = 0; turn < 3; turn++) {
      const { waiting } = takeAll(scheduler);
      void scheduler.take();
      await waiting;
      // the one above, too
      expect(takeAll(scheduler).taken).to.equal(8 - 2);
      await nextTurn();
    }
  });

  it("come to a stream that waits beside one that never does", async () => {
    const scheduler = new TurnScheduler(8);
    const { waiting } = takeAll(scheduler);
    let isEnded = false;
    /** Sends whenever it may. */
    const greedy = async () => {
      while (!isEnded) await scheduler.take();
    };
    const sending = greedy();
    await waiting;
    isEnded = true;
    await sending;
  });
});
