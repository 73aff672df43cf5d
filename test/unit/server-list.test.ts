import { expect } from "chai";
import {
  beatArguments,
  endArguments,
  forgetArguments,
  listArguments,
  parseBeat,
  parseList,
  serverNames,
} from "../../lib/server/redis/server-list.js";

const TIMES = { overdueAfter: 1, deadAfter: 2, goneFor: 3 };
/** Ninety days, in milliseconds. */
const LIFE = "7776000000";

describe("The list of the servers that share a Redis", () => {
  it("has keys in one slot of a cluster, by the channels' prefix", () => {
    const names = serverNames("shop:");
    const [alive, info, gone] = ["alive", "info", "gone"].map((kind) => `token-sockjs:shop:{servers}${kind}`);
    expect(names).to.deep.equal({ alive, info, gone });
    const keys = [alive, info, gone];
    expect(beatArguments(names, TIMES, "here", "{}")).to.deep.equal({
      keys,
      args: ["here", "{}", "1", "2", "3", "100", LIFE],
    });
    expect(listArguments(names)).to.deep.equal({ keys, args: [] });
    expect(forgetArguments(names, TIMES, "old")).to.deep.equal({ keys, args: ["old", "2", LIFE] });
    expect(endArguments(names, "here")).to.deep.equal({ keys, args: ["here"] });
  });

  it("tells a server of those that are dead or overdue", () => {
    expect(parseBeat(["1", "3", "2", "a", "b", "c"])).to.deep.equal({
      wasAlive: true,
      alive: 3,
      dead: ["a", "b"],
      overdue: ["c"],
    });
    expect(parseBeat(["0", "1", "0"])).to.deep.equal({ wasAlive: false, alive: 1, dead: [], overdue: [] });
    for (const answer of [[], ["1", "3"]]) {
      expect(() => parseBeat(answer)).to.throw(
        Error,
        "Redis holds something else where the list of servers should be",
      );
    }
  });

  it("has each server with its age and what it has written", () => {
    expect(parseList(["9", "a", "5", "0", "{}", "b", "0", "1", "", "c", "7", "0"])).to.deep.equal([
      { id: "a", at: 5, age: 4, isGone: false, json: "{}" },
      { id: "b", at: 0, age: 9, isGone: true, json: "" },
    ]);
    expect(parseList(["9"])).to.deep.equal([]);
  });
});
