import { expect } from "chai";
import { UnfinishedBytes } from "../../lib/server/limits/unfinished-bytes.js";

describe("what strangers have begun to send", () => {
  it("is too much past the bound for one who goes on with more than an equal share", () => {
    const all = new UnfinishedBytes(100);
    expect(all.change(0, 100)).to.equal(false);
    expect(all.change(100, 101)).to.equal(true);
    // with two, half of it is each one's share
    expect(all.change(0, 50)).to.equal(false);
    expect(all.change(50, 51)).to.equal(true);
  });

  it("is too much for nobody who sends no more, and for nobody once there is room again", () => {
    const all = new UnfinishedBytes(100);
    all.change(0, 150);
    expect(all.change(150, 150)).to.equal(false);
    expect(all.change(150, 140)).to.equal(false);
    expect(all.change(140, 0)).to.equal(false);
    expect(all.change(0, 100)).to.equal(false);
  });

  it("is shared by those alone who have something unfinished", () => {
    const all = new UnfinishedBytes(100);
    for (let stranger = 0; stranger < 10; stranger++) {
      all.change(0, 10);
      all.change(10, 20);
      all.change(20, 0);
      all.change(0, 0);
    }
    expect(all.change(0, 60)).to.equal(false);
    expect(all.change(0, 45)).to.equal(false);
    expect(all.change(45, 50)).to.equal(false);
    expect(all.change(50, 51)).to.equal(true);
  });
});
