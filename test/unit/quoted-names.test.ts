import { expect } from "chai";
import fc from "fast-check";
import { QuotedNames } from "../../lib/shared/quoted-names.js";

describe("quoted names", () => {
  it("are JSON, the first time and again", () => {
    const names = new QuotedNames();
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (name) => {
        for (let time = 0; time < 2; time++) expect(names.quote(name)).to.equal(JSON.stringify(name));
      }),
    );
  });

  it("are kept once each, and no more than 256", () => {
    const names = new QuotedNames();
    for (let number = 0; number < 256; number++) {
      for (let time = 0; time < 2; time++) names.quote(`name ${number}`);
      expect(names.size).to.equal(number + 1);
    }
    names.quote("name 256");
    expect(names.size).to.equal(1);
  });

  it("are not kept where they are long", () => {
    const names = new QuotedNames();
    names.quote("x".repeat(128));
    expect(names.size).to.equal(1);
    expect(names.quote("x".repeat(129))).to.equal(`"${"x".repeat(129)}"`);
    expect(names.size).to.equal(1);
  });
});
