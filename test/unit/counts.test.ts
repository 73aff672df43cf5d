import { expect } from "chai";
import { Counts } from "../../lib/server/limits/counts.js";

describe("counts up to a limit", () => {
  it("stay as they are where more is taken back than there was", () => {
    const counts = new Counts(2);
    counts.add("a");
    for (let i = 0; i < 5; i++) counts.delete("a");
    counts.delete("b");
    for (const key of ["a", "b"]) {
      expect(counts.has(key)).to.equal(false);
      expect([counts.add(key), counts.add(key), counts.add(key)]).to.deep.equal([true, true, false]);
    }
  });

  it("keep nothing of a key of which there is none any more", () => {
    const counts = new Counts(2);
    counts.add("a");
    counts.add("a");
    counts.delete("a");
    expect(counts.has("a")).to.equal(true);
    counts.delete("a");
    expect(counts.has("a")).to.equal(false);
  });
});
