import { expect } from "chai";
import type { SinonFakeTimers } from "sinon";
import { PRESENCE_TIMES } from "../../lib/server/presence/presence-times.js";
import { MemoryMembers } from "../../lib/server/redis/memory-members.js";
import { EntriesScene, GRACE, NOTHING } from "../support/entries-scene.js";
import { stopClock } from "../support/stopped-clock.js";

const { collect, retry, settle } = PRESENCE_TIMES;

let clock: SinonFakeTimers;

describe("The members of a channel that a server writes again", () => {
  let scene: EntriesScene;

  beforeEach(() => {
    clock = stopClock();
    scene = new EntriesScene(clock);
  });

  afterEach(async () => {
    try {
      await scene.end();
    } finally {
      clock.restore();
    }
  });

  it("are there again with all they had where Redis was emptied, and have not joined", async () => {
    const { entries, told } = scene;
    await scene.join("ann", "bob");
    const set = entries.set("ann", "1");
    await clock.tickAsync(collect);
    await set;
    const { ann, bob } = scene.members;
    scene.list = new MemoryMembers();
    await clock.tickAsync(1000);
    entries.add("bob", NOTHING);
    await clock.tickAsync(2 * collect);
    expect(scene.emptied).to.equal(1);
    expect(scene.members).to.deep.equal({ ann, bob: { ...bob, sockets: 2 } });
    expect(told).to.deep.equal(["joined ann", "joined bob", "updated ann"]);
    await scene.join("cat");
    expect(told.at(-1)).to.equal("joined cat");
  });

  it("stay for their grace in a Redis that was emptied, and as long as other servers may need", async () => {
    const { entries, told } = scene;
    await scene.join("ann", "bob");
    entries.remove("ann", true);
    await clock.tickAsync(collect);
    scene.list = new MemoryMembers();
    entries.refill();
    await clock.tickAsync(2 * collect);
    expect(scene.members).to.have.all.keys("ann", "bob");
    expect(scene.members.ann?.sockets).to.equal(0);
    entries.remove("bob", false);
    await clock.tickAsync(settle - 2 * collect - 1);
    expect(told).to.deep.equal(["joined ann", "joined bob"]);
    scene.leastGrace = 0;
    await clock.tickAsync(4 * collect);
    expect(told.slice(2)).to.have.members(["left ann", "left bob"]);
  });

  for (const isDue of [false, true]) {
    const when = isDue ? "at the end of their grace" : "when they lose their line";
    it(`may be on another server where Redis turns out to be empty ${when}, and have not left yet`, async () => {
      const { entries, told } = scene;
      await scene.join("ann");
      if (isDue) {
        entries.remove("ann", true);
        await clock.tickAsync(GRACE - 1);
        scene.list = new MemoryMembers();
        await clock.tickAsync(1 + collect);
      } else {
        scene.list = new MemoryMembers();
        entries.remove("ann", false);
        await clock.tickAsync(collect);
      }
      await clock.tickAsync(collect);
      expect(scene.members.ann?.sockets).to.equal(0);
      await clock.tickAsync(settle - 3 * collect);
      expect(told).to.deep.equal(["joined ann"]);
      scene.leastGrace = 0;
      await clock.tickAsync(4 * collect);
      expect([told, scene.emptied]).to.deep.equal([["joined ann", "left ann"], 1]);
    });
  }

  it("are members where they come after they were taken over and Redis may have forgotten them", async () => {
    const { entries } = scene;
    scene.elsewhere({ type: "put", id: "ann", sockets: 1, info: NOTHING });
    await entries.takeOver({ server: "elsewhere", at: Date.now() }, ["ann"]);
    entries.refill();
    entries.add("ann", NOTHING);
    const written = entries.written("ann");
    await clock.tickAsync(collect);
    expect(await written).to.include({ isMember: true });
    expect(scene.sent.at(-1)).to.deep.equal(["refill ann"]);
  });

  it("are written again where Redis was emptied while they were written for the first time", async () => {
    const { entries } = scene;
    const release = scene.stall();
    await scene.join("ann");
    entries.refill();
    await release();
    await clock.tickAsync(collect);
    expect(scene.sent).to.deep.equal([["put ann"], ["put ann"]]);
  });

  it("are written again where Redis has gone back to what it was before", async () => {
    await scene.join("ann");
    await scene.join("bob");
    expect(scene.emptied).to.equal(0);
    scene.entries.renew("ann", '{"n":1}');
    scene.answered = (outcomes) => {
      scene.answered = (next) => next;
      return { ...outcomes, before: { ...outcomes.before, version: 1 } };
    };
    await scene.join("cat");
    await clock.tickAsync(collect);
    expect(scene.emptied).to.equal(1);
    expect(scene.sent.slice(2)).to.deep.equal([
      ["put ann", "put cat"],
      ["put ann", "refill bob", "put cat"],
    ]);
    expect(scene.told.slice(2)).to.deep.equal(["updated ann", "joined cat"]);
  });

  it("are written again with their newest state and info, where these change at the same time", async () => {
    const { entries, told } = scene;
    await scene.join("ann", "bob", "cat");
    void entries.set("ann", "1");
    entries.renew("bob", '{"n":1}');
    entries.refill();
    await clock.tickAsync(2 * collect);
    const all = ["put ann", "put bob", "put cat"];
    expect(scene.sent).to.deep.equal([
      all,
      ["refill ann", "refill bob", "refill cat"],
      ["put ann", "put bob"],
    ]);
    expect([scene.members.ann?.state, scene.members.bob?.info]).to.deep.equal(["1", '{"n":1}']);
    expect(told.slice(3)).to.deep.equal(["updated ann", "updated bob"]);
  });

  it("are written again by no more than that where nothing has changed, as they were shown last", async () => {
    const { entries } = scene;
    await scene.join("ann", "bob");
    entries.remove("bob", true);
    await clock.tickAsync(collect);
    entries.add("ann", NOTHING);
    entries.renew("bob", '{"n":1}');
    entries.refill();
    await clock.tickAsync(2 * collect);
    expect(scene.sent.slice(2)).to.deep.equal([["refill ann", "refill bob"]]);
    scene.list = new MemoryMembers();
    entries.refill();
    await clock.tickAsync(collect);
    expect(scene.members.bob?.info).to.equal(NOTHING);
  });

  it("are written again with the state that another server has set meanwhile", async () => {
    const { entries } = scene;
    await scene.join("ann");
    await clock.tickAsync(1);
    scene.elsewhere({ type: "put", id: "ann", sockets: 1, info: NOTHING, state: "9" });
    entries.refill();
    await clock.tickAsync(collect);
    scene.list = new MemoryMembers();
    entries.refill();
    await clock.tickAsync(collect);
    expect(scene.members.ann).to.include({ state: "9", sockets: 1 });
  });

  it("are written again for the rest of their grace, or none where they have a socket", async () => {
    const { entries } = scene;
    await scene.join("ann", "bob");
    entries.remove("ann", true);
    await clock.tickAsync(1000);
    entries.refill();
    await clock.tickAsync(0);
    const [ann, bob] = scene.batches.at(-1)?.changes ?? [];
    expect(ann).to.include({ type: "refill", sockets: 0, grace: GRACE - 1000 });
    expect(bob).to.include({ type: "refill", sockets: 1, grace: 0 });
  });

  it("are no more those who have left before they could be", async () => {
    const { entries, told } = scene;
    await scene.join("ann");
    entries.remove("ann", false);
    entries.refill();
    await clock.tickAsync(2 * collect);
    expect([scene.sent.slice(1), told]).to.deep.equal([[["drop ann"]], ["joined ann", "left ann"]]);
  });

  it("leave at once where they want to while they are written again", async () => {
    const { entries, told } = scene;
    await scene.join("ann");
    const release = scene.stall();
    entries.refill();
    await clock.tickAsync(collect);
    entries.remove("ann", false);
    await release();
    await clock.tickAsync(collect);
    expect([told, scene.members]).to.deep.equal([["joined ann", "left ann"], {}]);
  });

  it("need not be written where Redis has forgotten them when their time is over, and they come and go", async () => {
    const { entries } = scene;
    await scene.join("ann");
    entries.remove("ann", true);
    await clock.tickAsync(collect);
    const release = scene.stall();
    await clock.tickAsync(GRACE - collect);
    scene.list = new MemoryMembers();
    entries.refill();
    await release();
    await clock.tickAsync(2 * collect);
    const { length } = scene.batches;
    entries.add("ann", NOTHING);
    entries.remove("ann", false);
    await clock.tickAsync(2 * settle);
    expect(scene.batches.length).to.equal(length);
    expect(scene.gone.at(-1)).to.equal(true);
  });

  it("have joined anew where another server has let them leave meanwhile", async () => {
    const { entries, told } = scene;
    await scene.join("ann");
    scene.elsewhere({ type: "put", id: "bob", sockets: 1, info: NOTHING });
    scene.letLeave("ann");
    expect(scene.members).to.have.all.keys("bob");
    entries.refill();
    await clock.tickAsync(collect);
    expect([told, scene.emptied]).to.deep.equal([["joined ann", "joined ann"], 0]);
    expect(scene.members).to.have.all.keys("ann", "bob");
  });

  it("are not asked for again where there was no place for them, when those who have one are", async () => {
    scene = new EntriesScene(clock, { limit: 1 });
    await scene.join("ann", "bob");
    scene.entries.refill();
    await clock.tickAsync(collect);
    expect(scene.sent).to.deep.equal([["put ann", "put bob"], ["refill ann"]]);
  });

  it("are waited for no less than all may be after Redis was emptied, also those that are taken over", async () => {
    const { entries, told } = scene;
    scene.elsewhere({ type: "put", id: "ann", sockets: 1, info: NOTHING });
    scene.leastGrace = 2 * GRACE;
    await entries.takeOver({ server: "elsewhere", at: Date.now() }, ["ann"]);
    await clock.tickAsync(2 * GRACE - 1);
    expect(told).to.deep.equal([]);
    scene.leastGrace = 0;
    await clock.tickAsync(1 + collect);
    expect(told).to.deep.equal(["left ann"]);
  });

  it("have joined by no word of this server, however many they are, where Redis was emptied", async () => {
    const ids = Array.from({ length: 101 }, (_, n) => `m${n}`);
    await scene.join(...ids);
    scene.list = new MemoryMembers();
    await scene.join("m0");
    await clock.tickAsync(4 * collect);
    expect(Object.keys(scene.members)).to.have.members(ids);
    expect(scene.told).to.have.length(101);
  });

  it("are written again, too, where other servers have written more since Redis was emptied", async () => {
    await scene.join("ann");
    scene.list = new MemoryMembers();
    for (const id of ["bob", "cat"]) scene.elsewhere({ type: "put", id, sockets: 1, info: NOTHING });
    await scene.join("dan");
    await clock.tickAsync(collect);
    expect(scene.emptied).to.equal(1);
    expect(scene.members).to.have.all.keys("ann", "bob", "cat", "dan");
  });

  it("have neither left nor joined where they come back while Redis was emptied, and leave when they want to then", async () => {
    const { entries, told } = scene;
    await scene.join("ann");
    const release = scene.stall();
    entries.remove("ann", true);
    await clock.tickAsync(collect);
    scene.list = new MemoryMembers();
    entries.add("ann", NOTHING);
    await release();
    await clock.tickAsync(collect);
    expect([told, scene.members.ann?.sockets]).to.deep.equal([["joined ann"], 1]);
    scene.leastGrace = 0;
    entries.remove("ann", false);
    await clock.tickAsync(2 * collect);
    expect([told, scene.members]).to.deep.equal([["joined ann", "left ann"], {}]);
  });

  it("are waited for, all of them, where many have lost their lines when Redis was emptied", async () => {
    const ids = Array.from({ length: 101 }, (_, n) => `m${n}`);
    await scene.join(...ids);
    scene.list = new MemoryMembers();
    for (const id of ids) scene.entries.remove(id, true);
    await clock.tickAsync(4 * collect);
    expect(Object.values(scene.members).map(({ id, sockets }) => [id, sockets])).to.have.deep.members(
      ids.map((id) => [id, 0]),
    );
    scene.leastGrace = 0;
    await clock.tickAsync(settle + 2 * collect);
    expect([scene.members, scene.entries.isEmpty]).to.deep.equal([{}, true]);
  });

  it("are waited for, too, where they were taken over before", async () => {
    scene.elsewhere({ type: "put", id: "ann", sockets: 1, info: NOTHING });
    await scene.entries.takeOver({ server: "elsewhere", at: Date.now() }, ["ann"]);
    scene.list = new MemoryMembers();
    scene.entries.refill();
    await clock.tickAsync(collect);
    expect(scene.members.ann?.sockets).to.equal(0);
  });

  it("have joined anew, too, where they are the last of many who are written again", async () => {
    const ids = Array.from({ length: 101 }, (_, n) => `m${n}`);
    await scene.join(...ids);
    scene.letLeave("m100");
    scene.entries.refill();
    await clock.tickAsync(2 * collect);
    expect(scene.told.slice(101)).to.deep.equal(["joined m100"]);
  });

  it("keep what another server has set where Redis has failed to take them again", async () => {
    const { entries, errors } = scene;
    await scene.join("ann");
    scene.failure = new Error("away");
    entries.refill();
    await clock.tickAsync(collect);
    expect(errors).to.have.length(1);
    scene.failure = undefined;
    scene.elsewhere({ type: "put", id: "ann", sockets: 1, info: NOTHING, state: "9" });
    await clock.tickAsync(retry + collect);
    expect(scene.members.ann).to.include({ state: "9", sockets: 2 });
  });

  it("show what they were to show when Redis failed, also where they are written again then", async () => {
    const { entries } = scene;
    await scene.join("ann");
    scene.failure = new Error("away");
    entries.renew("ann", '{"n":1}');
    await clock.tickAsync(collect);
    scene.failure = undefined;
    entries.refill();
    await clock.tickAsync(retry + collect);
    expect(scene.members.ann?.info).to.equal('{"n":1}');
  });
});
