import { expect } from "chai";
import type { SinonFakeTimers } from "sinon";
import { PRESENCE_TIMES } from "../../lib/server/presence/presence-times.js";
import { EntriesScene, GRACE, NOTHING } from "../support/entries-scene.js";
import { stopClock } from "../support/stopped-clock.js";

const { collect, retry, full } = PRESENCE_TIMES;

let clock: SinonFakeTimers;

describe("The members of a channel that a server writes", () => {
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

  it("join once, however many sockets they have, and leave with the last one", async () => {
    const { entries, told } = scene;
    await scene.join("ann", "ann", "bob");
    expect(scene.members.ann?.sockets).to.equal(2);
    entries.remove("ann", false);
    await clock.tickAsync(collect);
    expect(scene.members.ann?.sockets).to.equal(1);
    expect(told).to.deep.equal(["joined ann", "joined bob"]);
    entries.remove("ann", false);
    await clock.tickAsync(collect);
    expect(told).to.deep.equal(["joined ann", "joined bob", "left ann"]);
    expect(scene.members).to.have.all.keys("bob");
    expect([entries.isEmpty, scene.gone]).to.deep.equal([false, []]);
    entries.remove("bob", false);
    await clock.tickAsync(collect);
    expect([entries.isEmpty, scene.gone.at(-1)]).to.deep.equal([true, true]);
  });

  it("stay for their grace where the line was lost, and leave then", async () => {
    const { entries, told } = scene;
    await scene.join("ann");
    entries.remove("ann", true);
    await clock.tickAsync(GRACE - 1);
    expect(scene.members.ann?.sockets).to.equal(0);
    expect([told, scene.gone]).to.deep.equal([["joined ann"], []]);
    await clock.tickAsync(1 + collect);
    expect([told, scene.gone.at(-1)]).to.deep.equal([["joined ann", "left ann"], true]);
  });

  it("stay for their grace, too, where a lost line was followed by a socket that has left on purpose", async () => {
    const { entries, told } = scene;
    await scene.join("ann", "ann");
    entries.remove("ann", true);
    await clock.tickAsync(1000);
    entries.remove("ann", false);
    await clock.tickAsync(GRACE - 1001);
    expect(told).to.deep.equal(["joined ann"]);
    await clock.tickAsync(1 + collect);
    expect(told).to.deep.equal(["joined ann", "left ann"]);
  });

  it("have neither left nor joined where they come back in time, and leave at once when they want to then", async () => {
    const { entries, told } = scene;
    await scene.join("ann");
    entries.remove("ann", true);
    await clock.tickAsync(GRACE - 1);
    entries.add("ann", NOTHING);
    await clock.tickAsync(2 * GRACE);
    expect([told, scene.members.ann?.sockets]).to.deep.equal([["joined ann"], 1]);
    entries.remove("ann", true);
    await clock.tickAsync(collect);
    entries.add("ann", NOTHING);
    await clock.tickAsync(collect);
    entries.remove("ann", false);
    await clock.tickAsync(collect);
    expect(told).to.deep.equal(["joined ann", "left ann"]);
  });

  it("stay where they have sockets on another server, which lets them leave", async () => {
    const { entries, told } = scene;
    scene.elsewhere({ type: "put", id: "ann", sockets: 1, info: NOTHING });
    await scene.join("ann");
    entries.remove("ann", false);
    await clock.tickAsync(collect);
    expect([told, scene.members.ann?.sockets]).to.deep.equal([[], 1]);
    expect([entries.isEmpty, scene.gone]).to.deep.equal([true, [true]]);
  });

  it("are not written where they go before it is time to", async () => {
    const { entries } = scene;
    entries.add("ann", NOTHING);
    const written = entries.written("ann");
    entries.remove("ann", false);
    expect(await written).to.deep.equal({ at: { epoch: "", version: 0 }, isMember: false });
    await clock.tickAsync(GRACE);
    expect([scene.batches, entries.isEmpty, scene.gone[0]]).to.deep.equal([[], true, true]);
    // of nobody
    entries.remove("ann", false);
    entries.renew("ann", "{}");
    expect([entries.set("ann", "1"), entries.written("ann")]).to.deep.equal([undefined, undefined]);
    await clock.tickAsync(GRACE);
    expect(scene.batches).to.deep.equal([]);
  });

  it("show something else when they are to, and nothing is written where it is the same", async () => {
    const { entries, told } = scene;
    await scene.join("ann");
    entries.renew("ann", NOTHING);
    await clock.tickAsync(collect);
    expect(scene.batches).to.have.length(1);
    entries.renew("ann", '{"n":1}');
    await clock.tickAsync(collect);
    expect([scene.members.ann?.info, told.at(-1)]).to.deep.equal(['{"n":1}', "updated ann"]);
    entries.add("ann", '{"n":2}');
    await clock.tickAsync(collect);
    expect(scene.members.ann).to.include({ info: '{"n":2}', sockets: 2 });
  });

  it("have a state that is written when that is said, and nobody's who has no socket", async () => {
    const { entries, told } = scene;
    await scene.join("ann");
    const set = entries.set("ann", "1");
    await clock.tickAsync(collect);
    expect(await set).to.deep.equal({ at: scene.at, isMember: true });
    expect([scene.members.ann?.state, told.at(-1)]).to.deep.equal(["1", "updated ann"]);
    void entries.set("ann", "2");
    entries.remove("ann", true);
    await clock.tickAsync(collect);
    expect(entries.set("ann", "3")).to.equal(undefined);
    entries.renew("ann", "{}");
    entries.remove("ann", true);
    entries.add("ann", NOTHING);
    await clock.tickAsync(collect);
    expect(scene.members.ann).to.include({ state: "1", info: NOTHING, sockets: 1 });
    await scene.join("ann");
    void entries.set("ann", "4");
    entries.remove("ann", false);
    await clock.tickAsync(collect);
    expect(scene.members.ann).to.include({ state: "4", sockets: 1 });
  });

  it("are written already where that is so, and all of them when they are flushed", async () => {
    const { entries } = scene;
    await entries.flushed();
    await scene.join("ann");
    expect(await entries.written("ann")).to.deep.equal({ at: scene.at, isMember: true });
    const release = scene.stall();
    entries.add("bob", NOTHING);
    const done: string[] = [];
    const all = [
      entries.flushed().then(() => done.push("flushed")),
      entries.written("bob")?.then(() => done.push("written")),
    ];
    await clock.tickAsync(collect);
    // it is on its way
    all.push(entries.written("bob")?.then(() => done.push("written")));
    expect([done, scene.batches.length]).to.deep.equal([[], 2]);
    void release();
    await Promise.all(all);
    expect(scene.members).to.have.all.keys("ann", "bob");
  });

  it("are written when what has changed meanwhile is written, too", async () => {
    const { entries, batches } = scene;
    const release = scene.stall();
    await scene.join("ann");
    const set = entries.set("ann", "1")?.then(() => batches.length);
    await release();
    await clock.tickAsync(collect);
    expect(await set).to.equal(2);
  });

  it("need no timer while they stay", async () => {
    const before = clock.countTimers();
    await scene.join("ann");
    expect(clock.countTimers()).to.equal(before);
  });

  it("are written one batch after the other, as soon as Redis has answered where there are many", async () => {
    const ids = Array.from({ length: 250 }, (_, n) => `m${n}`);
    const release = scene.stall();
    for (const id of ids) scene.entries.add(id, NOTHING);
    await clock.tickAsync(collect - 1);
    const sizes = () => scene.batches.map(({ changes }) => changes.length);
    expect(sizes()).to.deep.equal([100]);
    await release();
    expect(sizes()).to.deep.equal([100, 100]);
    await clock.tickAsync(collect - 1);
    expect(sizes()).to.deep.equal([100, 100]);
    await clock.tickAsync(1);
    expect(sizes()).to.deep.equal([100, 100, 50]);
    expect(Object.keys(scene.members)).to.have.members(ids);
  });

  it("are written at once, too, where just as many are left as one batch takes", async () => {
    for (let n = 0; n < 200; n++) scene.entries.add(`m${n}`, NOTHING);
    await clock.tickAsync(collect - 1);
    expect(scene.batches).to.have.length(2);
  });

  it("are written in batches of about 64 KiB", async () => {
    // with its id each has half of that
    const info = JSON.stringify({ text: "x".repeat(32_756) });
    for (const id of ["a", "b", "c", "d"]) scene.entries.add(id, info);
    await clock.tickAsync(0);
    expect(scene.sent).to.deep.equal([["put a", "put b"]]);
    await clock.tickAsync(collect);
    const state = scene.entries.set("c", JSON.stringify("x".repeat(65_536)));
    scene.entries.renew("d", "{}");
    await clock.tickAsync(collect);
    await state;
    scene.entries.renew("c", "{}");
    scene.entries.renew("d", info);
    await clock.tickAsync(2 * collect);
    // the state that is known counts as well
    expect(scene.sent.slice(1)).to.deep.equal([["put c", "put d"], ["put c", "put d"], ["put c"], ["put d"]]);
  });

  it("are written at once after a while without a change, and collected after one", async () => {
    const { entries } = scene;
    entries.add("ann", NOTHING);
    await clock.tickAsync(0);
    entries.add("bob", NOTHING);
    await clock.tickAsync(collect - 1);
    entries.add("cat", NOTHING);
    expect(scene.sent).to.deep.equal([["put ann"]]);
    await clock.tickAsync(1);
    expect(scene.sent).to.deep.equal([["put ann"], ["put bob", "put cat"]]);
  });

  it("are written again a second later where Redis has failed, with their newest state", async () => {
    const { entries, errors, told } = scene;
    await scene.join("ann", "bob");
    scene.failure = new Error("away");
    const sets = [entries.set("ann", "1"), entries.set("bob", "1")].map((set) =>
      set?.catch((error: unknown) => error),
    );
    await clock.tickAsync(collect);
    expect([errors, await Promise.all(sets)]).to.deep.equal([
      [scene.failure],
      [scene.failure, scene.failure],
    ]);
    const again = entries.set("bob", "2");
    scene.failure = undefined;
    await clock.tickAsync(retry - collect - 1);
    expect([scene.batches.length, scene.members.ann?.state]).to.deep.equal([2, "null"]);
    await clock.tickAsync(1);
    expect(await again).to.include({ isMember: true });
    expect([scene.members.ann?.state, scene.members.bob?.state]).to.deep.equal(["1", "2"]);
    expect(told.slice(2)).to.deep.equal(["updated ann", "updated bob"]);
  });

  it("leave though Redis has failed meanwhile", async () => {
    const { entries, told } = scene;
    await scene.join("ann");
    scene.failure = new Error("away");
    entries.remove("ann", false);
    await clock.tickAsync(collect);
    scene.failure = undefined;
    await clock.tickAsync(retry);
    expect([told, scene.members]).to.deep.equal([["joined ann", "left ann"], {}]);
  });

  it("leave at once where they want to after they have come back while Redis was told that they are waited for", async () => {
    const { entries, told } = scene;
    await scene.join("ann");
    const release = scene.stall();
    entries.remove("ann", true);
    await clock.tickAsync(collect);
    entries.add("ann", NOTHING);
    await release();
    await clock.tickAsync(collect);
    expect(scene.members.ann?.sockets).to.equal(1);
    entries.remove("ann", false);
    await clock.tickAsync(2 * collect);
    expect([told, scene.members]).to.deep.equal([["joined ann", "left ann"], {}]);
  });

  it("leave without a word of this server where another one has let them leave", async () => {
    const { entries, told } = scene;
    scene.elsewhere({ type: "put", id: "bob", sockets: 1, info: NOTHING });
    await scene.join("ann");
    scene.letLeave("ann");
    entries.remove("ann", true);
    await clock.tickAsync(collect);
    expect([told, scene.gone]).to.deep.equal([["joined ann"], [true]]);
  });

  it("have no place beyond the limit, until another one leaves", async () => {
    scene = new EntriesScene(clock, { limit: 1 });
    const { entries, told } = scene;
    await scene.join("ann");
    entries.add("bob", NOTHING);
    const written = entries.written("bob");
    await clock.tickAsync(collect);
    expect(await written).to.include({ isMember: false });
    expect(await entries.written("bob")).to.include({ isMember: false });
    expect(told).to.deep.equal(["joined ann", "full"]);
    entries.remove("ann", false);
    await clock.tickAsync(2 * collect);
    expect(told).to.deep.equal(["joined ann", "full", "left ann", "joined bob"]);
    expect(await entries.written("bob")).to.include({ isMember: true });
    const before = scene.batches.length;
    await clock.tickAsync(2 * full);
    expect(scene.batches.length).to.equal(before);
  });

  it("are forgotten where they go while there turns out to be no place for them", async () => {
    scene = new EntriesScene(clock, { limit: 1 });
    scene.elsewhere({ type: "put", id: "ann", sockets: 1, info: NOTHING });
    const release = scene.stall();
    await scene.join("bob");
    scene.entries.remove("bob", false);
    await release();
    await clock.tickAsync(collect);
    expect([scene.entries.isEmpty, scene.gone.at(-1), scene.batches.length]).to.deep.equal([true, true, 1]);
  });

  it("need no place any more when they have gone, while others wait for one", async () => {
    scene = new EntriesScene(clock, { limit: 1 });
    const { entries, gone, told } = scene;
    const before = clock.countTimers();
    scene.elsewhere({ type: "put", id: "ann", sockets: 1, info: NOTHING });
    await scene.join("bob", "cat");
    const written = entries.written("bob");
    entries.remove("bob", false);
    expect([await written, gone]).to.deep.equal([{ at: scene.at, isMember: false }, []]);
    await clock.tickAsync(full);
    entries.remove("cat", false);
    expect([gone, entries.isEmpty, clock.countTimers()]).to.deep.equal([[true], true, before]);
    expect([scene.sent, told]).to.deep.equal([
      [["put bob", "put cat"], ["put cat"]],
      ["full", "full", "full"],
    ]);
  });

  it("leave their place to those alone who have none, and to nobody when the server ends", async () => {
    scene = new EntriesScene(clock, { limit: 2 });
    const { entries } = scene;
    await scene.join("ann", "bob", "cat", "dan");
    entries.remove("ann", false);
    await clock.tickAsync(2 * collect);
    expect(scene.sent.slice(1)).to.deep.equal([["drop ann"], ["put cat", "put dan"]]);
    entries.remove("bob", false);
    await entries.close();
    expect(scene.members).to.have.all.keys("cat");
  });

  it("try again after 5 s whether there is a place, as long as they are there", async () => {
    scene = new EntriesScene(clock, { limit: 1 });
    const { entries, told } = scene;
    scene.elsewhere({ type: "put", id: "ann", sockets: 1, info: NOTHING });
    await scene.join("bob");
    scene.elsewhere({ type: "drop", id: "ann", grace: 0 });
    await clock.tickAsync(full - collect - 1);
    expect(told).to.deep.equal(["full"]);
    await clock.tickAsync(1 + collect);
    expect(told).to.deep.equal(["full", "joined bob"]);
    await scene.join("cat");
    entries.remove("cat", false);
    await clock.tickAsync(2 * full);
    expect([told.slice(2), scene.members.cat]).to.deep.equal([["full"], undefined]);
  });

  it("try again some at a time whether there is a place", async () => {
    scene = new EntriesScene(clock, { limit: 1 });
    await scene.join("ann", ...Array.from({ length: 120 }, (_, n) => `m${n}`));
    const sizes = () => scene.batches.map(({ changes }) => changes.length);
    expect(sizes()).to.deep.equal([100, 21]);
    await clock.tickAsync(2 * full - collect - 1);
    expect(sizes()).to.deep.equal([100, 21, 100]);
  });

  it("are taken over from a server that is dead, and leave after their grace unless they are here", async () => {
    const { entries, told } = scene;
    scene.elsewhere(
      ...["ann", "bob", "cat"].map((id) => ({ type: "put", id, sockets: 1, info: NOTHING }) as const),
    );
    const dead = { server: "elsewhere", at: Date.now() };
    await clock.tickAsync(1000);
    await scene.join("bob");
    await entries.takeOver(dead, ["ann", "bob", "cat", "nobody"]);
    entries.add("cat", NOTHING);
    await clock.tickAsync(GRACE - 1);
    expect(told).to.deep.equal([]);
    await clock.tickAsync(1 + collect);
    expect([told, scene.gone]).to.deep.equal([["left ann"], []]);
    expect([scene.members.bob?.sockets, scene.members.cat?.sockets]).to.deep.equal([1, 1]);
  });

  it("leave though they have come here and gone while they were taken over", async () => {
    const { entries } = scene;
    scene.elsewhere({ type: "put", id: "ann", sockets: 1, info: NOTHING });
    await scene.join("bob");
    entries.add("ann", NOTHING);
    await entries.takeOver({ server: "elsewhere", at: Date.now() }, ["ann"]);
    entries.remove("ann", false);
    await clock.tickAsync(GRACE + 2 * collect);
    expect(scene.members).to.have.all.keys("bob");
  });

  it("have left, too, where they were taken over here and another server has let them leave", async () => {
    scene.elsewhere({ type: "put", id: "ann", sockets: 1, info: NOTHING });
    await scene.entries.takeOver({ server: "elsewhere", at: Date.now() }, ["ann"]);
    // they were there meanwhile, and left on purpose
    scene.elsewhere(
      { type: "put", id: "ann", sockets: 1, info: NOTHING },
      { type: "drop", id: "ann", grace: 0 },
    );
    await clock.tickAsync(GRACE + collect);
    expect([scene.entries.isEmpty, scene.sent]).to.deep.equal([true, [["dead ann"], ["due ann"]]]);
    expect(scene.told).to.deep.equal([]);
  });

  it("are no sign of an emptied Redis where the list began after nobody was taken over", async () => {
    await scene.entries.takeOver({ server: "elsewhere", at: Date.now() }, ["nobody"]);
    scene.elsewhere({ type: "put", id: "bob", sockets: 1, info: NOTHING });
    await scene.join("ann");
    expect(scene.emptied).to.equal(0);
  });

  it("are nothing to wait for where a dead server has left none", async () => {
    await scene.entries.takeOver({ server: "elsewhere", at: Date.now() }, ["ann"]);
    expect([scene.gone, scene.entries.isEmpty]).to.deep.equal([[true], true]);
  });

  it("are written in the end where Redis has failed when their time was over", async () => {
    const { entries } = scene;
    await scene.join("ann");
    entries.remove("ann", true);
    await clock.tickAsync(GRACE - 1);
    scene.failure = new Error("away");
    await clock.tickAsync(1 + collect);
    const written = entries.written("ann");
    scene.failure = undefined;
    await clock.tickAsync(retry);
    expect(await written).to.include({ isMember: false });
  });

  it("are written a last time when the server ends, and then no more", async () => {
    const timers = clock.countTimers();
    const { entries, errors } = scene;
    await scene.join("ann", "bob");
    entries.remove("ann", false);
    entries.remove("bob", true);
    await entries.close();
    expect(clock.countTimers()).to.equal(timers);
    expect(Object.values(scene.members).map(({ id, sockets }) => [id, sockets])).to.deep.equal([["bob", 0]]);
    const before = scene.batches.length;
    entries.add("cat", NOTHING);
    await clock.tickAsync(2 * GRACE);
    expect([scene.batches.length, errors]).to.deep.equal([before, []]);
  });

  it("are written no more once the server has ended", async () => {
    const { entries } = scene;
    await scene.join("ann");
    await entries.close();
    entries.add("cat", NOTHING);
    await clock.tickAsync(2 * GRACE);
    expect(scene.sent).to.deep.equal([["put ann"]]);
  });

  it("are told what Redis has failed with then, or that the server was shut down where it was not their turn", async () => {
    const ids = Array.from({ length: 101 }, (_, n) => `m${n}`);
    await scene.join(...ids);
    const before = scene.batches.length;
    scene.failure = new Error("away");
    const sets = ids.map((id) => scene.entries.set(id, "1")?.catch((error: Error) => error.message));
    await scene.entries.close();
    const told = await Promise.all(sets);
    expect([told[0], told[100]]).to.deep.equal(["away", "The server was shut down"]);
    expect([scene.errors, scene.batches.length]).to.deep.equal([[scene.failure], before + 1]);
  });
});
