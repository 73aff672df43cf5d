import { expect } from "chai";
import { formatPosition, parsePosition, samePosition } from "../../lib/shared/position.js";

const LAST = Number.MAX_SAFE_INTEGER;

describe("a position", () => {
  it("is read as it was written, up to its bounds", () => {
    for (const position of [
      { epoch: "e", offset: 0, tag: "0" },
      { epoch: "a_B-9", offset: 12, tag: "345" },
      { epoch: "e".repeat(64), offset: LAST, tag: "9".repeat(20) },
    ]) {
      expect(parsePosition(formatPosition(position))).to.deep.equal(position);
    }
  });

  it("is none where anything is missing, too much, or too long", () => {
    for (const wrong of [
      "",
      "e",
      "e.5",
      ".5.7",
      "e..7",
      "e.5.",
      "e.5.7.8",
      " e.5.7",
      "e.5.7\n",
      "e e.5.7",
      "e.-5.7",
      "e.5x.7",
      "e.5.x7",
      `${"e".repeat(65)}.5.7`,
      `e.${LAST + 1}.7`,
      `e.${"0".repeat(17)}.7`,
      `e.5.${"7".repeat(21)}`,
      undefined,
      null,
      5,
      ["e.5.7"],
      { epoch: "e", offset: 5, tag: "7" },
    ]) {
      expect(parsePosition(wrong), JSON.stringify(wrong)).to.equal(undefined);
    }
  });

  it("is the same as another one by all its parts", () => {
    const one = { epoch: "e", offset: 5, tag: "7" };
    expect(samePosition(one, { ...one })).to.equal(true);
    for (const other of [{ epoch: "f" }, { offset: 6 }, { tag: "8" }]) {
      expect(samePosition(one, { ...one, ...other })).to.equal(false);
    }
    expect(samePosition(one, undefined)).to.equal(false);
    expect(samePosition(undefined, one)).to.equal(false);
    expect(samePosition(undefined, undefined)).to.equal(true);
  });
});
