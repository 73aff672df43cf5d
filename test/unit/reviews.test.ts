import { expect } from "chai";
import { Review } from "../../lib/server/events/reviews.js";

const AT_ONCE = 16;

describe("a review of what a socket has", () => {
  /** A review, what it goes through at the moment, and what it has begun in all. */
  const open = () => {
    const begun: number[] = [];
    const running: (() => void)[] = [];
    const review = new Review<number>((item) => {
      begun.push(item);
      return new Promise((resolve) => running.push(resolve));
    });
    /** Ends so many, the first ones; then what waits has begun. */
    const end = async (count: number) => {
      for (const resolve of running.splice(0, count)) resolve();
      await new Promise((resolve) => setImmediate(resolve));
    };
    return { review, begun, running, end };
  };

  const numbers = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

  it("goes through a few at a time, in order, until all are done", async () => {
    const { review, begun, running, end } = open();
    review.add(numbers(0, 20));
    expect(begun).to.deep.equal(numbers(0, AT_ONCE));
    review.add(numbers(20, 20));
    expect(running).to.have.length(AT_ONCE);
    await end(3);
    expect(begun).to.deep.equal(numbers(0, AT_ONCE + 3));
    while (running.length > 0) await end(AT_ONCE);
    expect(begun).to.deep.equal(numbers(0, 40));
  });

  it("goes through as many at once again when an earlier one is done", async () => {
    const { review, begun, running, end } = open();
    for (let round = 0; round < 3; round++) {
      review.add(numbers(0, 20));
      expect(running).to.have.length(AT_ONCE);
      while (running.length > 0) await end(AT_ONCE);
    }
    expect(begun).to.have.length(60);
  });

  it("goes through one once that waits already, and again through one that it has begun", async () => {
    const { review, begun, running, end } = open();
    review.add(numbers(0, AT_ONCE));
    review.add([99]);
    review.add([99, 0]);
    while (running.length > 0) await end(AT_ONCE);
    expect(begun).to.deep.equal([...numbers(0, AT_ONCE), 99, 0]);
  });

  it("forgets what waits when it is cleared, and goes on with what is added then", async () => {
    const { review, begun, running, end } = open();
    review.add(numbers(0, 30));
    review.clear();
    review.add([99]);
    while (running.length > 0) await end(AT_ONCE);
    expect(begun).to.deep.equal([...numbers(0, AT_ONCE), 99]);
  });
});
