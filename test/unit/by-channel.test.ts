import { expect } from "chai";
import { ByChannel, isByChannel } from "../../lib/server/channels/by-channel.js";

describe("values by channel", () => {
  it("are those of a channel's whole name, else of the longest beginning", () => {
    const values = new ByChannel({ "*": 1, "room:*": 2, "room:a*": 3, "room:a": 4, "room:*b": 5 });
    const found = ["room:a", "room:ab", "room:b", "room:", "room", "other", "other:room:a", ""].map(
      (channel) => values.get(channel),
    );
    expect(found).to.deep.equal([4, 3, 2, 2, 1, 1, 1, 1]);
    expect(values.get("room:*b")).to.equal(5);
  });

  it("are none for a channel that nothing stands for", () => {
    const values = new ByChannel({ "room:*": 1, lobby: 2 });
    for (const channel of ["room", "lobby:1", "the lobby", "room:*".slice(1), "toString"]) {
      expect(values.get(channel), channel).to.equal(undefined);
    }
    const none = new ByChannel({});
    for (const channel of ["lobby", "Some", ""]) expect(none.get(channel)).to.equal(undefined);
  });

  it("are told from other objects by their names and values", () => {
    const isNumber = (value: unknown) => typeof value === "number";
    const good = [{}, { a: 1 }, { "a*": 1, "*": 2 }, Object.assign(Object.create(null), { a: 1 })];
    for (const values of good) expect(isByChannel(values, isNumber)).to.equal(true);
    const bad = [
      undefined,
      null,
      "a",
      1,
      [],
      [1],
      new Map(),
      () => 1,
      { a: "1" },
      { a: 1, b: "1" },
      { "": 1 },
      { "*a": 1 },
      { "a*b": 1 },
      { "a**": 1 },
    ];
    for (const values of bad) {
      expect(isByChannel(values, isNumber), String(JSON.stringify(values))).to.equal(false);
    }
  });
});
