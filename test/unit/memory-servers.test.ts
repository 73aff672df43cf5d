import { expect } from "chai";
import sinon from "sinon";
import { MemoryServers } from "../../lib/server/redis/memory-servers.js";
import { MOST_NAMED, serverNames } from "../../lib/server/redis/server-list.js";

const NAMES = serverNames("shop:");
const TIMES = { overdueAfter: 100, deadAfter: 500, goneFor: 2000 };

describe("The servers of an embedded store", () => {
  let clock: sinon.SinonFakeTimers;
  let servers: MemoryServers;

  beforeEach(() => {
    clock = sinon.useFakeTimers({ now: 1_000_000, toFake: ["Date"] });
    servers = new MemoryServers();
  });
  afterEach(() => clock.restore());

  const beat = (id: string, names = NAMES) => servers.beat(names, TIMES, id, `"${id}"`);
  const listed = () => servers.list(NAMES).map(({ id, isGone }) => (isGone ? `${id} is gone` : id));

  it("are alive, overdue, and dead, by the time of their last write", () => {
    beat("old");
    const statesAfter = (time: number) => {
      clock.tick(time);
      const { alive, overdue, dead } = beat("here");
      return [alive, overdue, dead];
    };
    expect(statesAfter(100)).to.deep.equal([2, [], []]);
    expect(statesAfter(1)).to.deep.equal([2, ["old"], []]);
    expect(statesAfter(399)).to.deep.equal([2, ["old"], []]);
    expect(statesAfter(1)).to.deep.equal([1, [], ["old"]]);
  });

  it("are told whether they were alive before", () => {
    expect(beat("here").wasAlive).to.equal(false);
    clock.tick(500);
    expect(beat("here").wasAlive).to.equal(true);
    clock.tick(501);
    expect(beat("here").wasAlive).to.equal(false);
    servers.end(NAMES, "here");
    expect(beat("here").wasAlive).to.equal(false);
    clock.tick(501);
    servers.forget(NAMES, TIMES, "here");
    expect(beat("here").wasAlive).to.equal(false);
    expect(beat("here").wasAlive).to.equal(true);
  });

  it("are listed with their age and what they have written last", () => {
    beat("here");
    clock.tick(70);
    const [server] = servers.list(NAMES);
    expect(server).to.deep.equal({ id: "here", at: 1_000_000, age: 70, isGone: false, json: '"here"' });
    servers.beat(NAMES, TIMES, "here", '"again"');
    expect(servers.list(NAMES)).to.deep.equal([{ ...server, at: 1_000_070, age: 0, json: '"again"' }]);
  });

  it("are forgotten once, when they are dead, and are listed as gone for a while", () => {
    expect(servers.forget(NAMES, TIMES, "old")).to.equal(false);
    beat("old");
    clock.tick(500);
    expect(servers.forget(NAMES, TIMES, "old")).to.equal(false);
    clock.tick(1);
    expect(servers.forget(NAMES, TIMES, "old")).to.equal(true);
    expect(servers.forget(NAMES, TIMES, "old")).to.equal(false);
    expect(beat("here")).to.deep.equal({ wasAlive: false, alive: 1, dead: [], overdue: [] });
    clock.tick(1499);
    beat("here");
    expect(listed()).to.deep.equal(["old is gone", "here"]);
    clock.tick(1);
    beat("here");
    expect(listed()).to.deep.equal(["here"]);
  });

  it("stay in the list while they are dead and nobody has forgotten them", () => {
    beat("old");
    clock.tick(10_000);
    expect(beat("here").dead).to.deep.equal(["old"]);
    expect(listed()).to.deep.equal(["old", "here"]);
  });

  it("are back when they write again", () => {
    beat("old");
    clock.tick(501);
    servers.forget(NAMES, TIMES, "old");
    beat("old");
    expect(listed()).to.deep.equal(["old"]);
  });

  it("are dead at once when they end by themselves", () => {
    beat("old");
    servers.end(NAMES, "old");
    servers.end(NAMES, "unknown");
    expect(servers.list(NAMES)).to.deep.equal([
      { id: "old", at: 0, age: 1_000_000, isGone: false, json: "" },
    ]);
    expect(beat("here")).to.deep.equal({ wasAlive: false, alive: 1, dead: ["old"], overdue: [] });
    servers.forget(NAMES, TIMES, "old");
    const [gone] = servers.list(NAMES);
    servers.end(NAMES, "old");
    expect(servers.list(NAMES)[0]).to.deep.equal(gone);
  });

  it("keep what they have written last when they are gone, whoever ends them then", () => {
    beat("old");
    clock.tick(501);
    servers.forget(NAMES, TIMES, "old");
    servers.end(NAMES, "old");
    expect(servers.list(NAMES)[0]).to.include({ at: 1_000_000, json: '"old"', isGone: true });
  });

  it("are named by the hundred", () => {
    for (let i = 0; i <= MOST_NAMED; i++) beat(String(i));
    clock.tick(200);
    expect(beat("here").overdue).to.have.length(100);
    clock.tick(500);
    expect(beat("late").dead).to.have.length(100);
  });

  it("are those of one prefix", () => {
    beat("here");
    expect(beat("there", serverNames("blog:")).alive).to.equal(1);
    expect(listed()).to.deep.equal(["here"]);
  });
});
