import { expect } from "chai";
import sinon from "sinon";
import {
  entriesKey,
  entryOf,
  type MemberBatch,
  type MemberChange,
  memberNames,
  type PublishedChange,
  parseEntry,
  parsePublishedChange,
  VERSION_LIFE,
} from "../../lib/server/redis/member-list.js";
import { MemoryMembers } from "../../lib/server/redis/memory-members.js";

const NAMES = memberNames("", "room");
const NOW = 1_000_000;
const GRACE = 1000;

describe("The members of an embedded store's channels", () => {
  let clock: sinon.SinonFakeTimers;
  let list: MemoryMembers;
  let published: (PublishedChange | undefined)[];

  beforeEach(() => {
    clock = sinon.useFakeTimers({ now: NOW, toFake: ["Date"] });
    list = new MemoryMembers();
    published = [];
  });
  afterEach(() => clock.restore());

  const change = (server: string, changes: readonly MemberChange[], more: Partial<MemberBatch> = {}) =>
    list.change(
      "",
      NAMES,
      { server, channel: "room", limit: 3, isCount: false, changes, ...more },
      (payload) => published.push(parsePublishedChange(payload)),
    );
  const outcomeOf = (server: string, one: MemberChange, more: Partial<MemberBatch> = {}) =>
    change(server, [one], more).outcomes[0];
  const typeOf = (server: string, one: MemberChange) => outcomeOf(server, one)?.type;

  const put = (id: string, sockets = 1, more: { info?: string; state?: string } = {}) =>
    ({ type: "put", id, sockets, info: "null", ...more }) as const;
  const drop = (id: string, grace = 0) => ({ type: "drop", id, grace }) as const;
  const due = (id: string) => ({ type: "due", id }) as const;
  const refill = (id: string, sockets: number, more: object = {}) =>
    ({
      type: "refill",
      id,
      sockets,
      info: "null",
      state: "1",
      stateAt: NOW - 50,
      since: NOW - 100,
      grace: GRACE,
      ...more,
    }) as const;
  const dead = (id: string, grace = GRACE) => ({ type: "dead", id, grace }) as const;

  const members = () => list.read(NAMES).members;
  const member = (id = "ann") => members().find((one) => one.id === id);
  const entriesOf = (server: string, until = Infinity) =>
    list
      .entries(entriesKey("", NAMES.partition, server), until, 100)
      .entries.map((entry) => parseEntry(entry)?.id);
  const last = () => published.at(-1);

  it("join with what is shown of them, as one version", () => {
    const { before, after, outcomes } = change("a", [
      put("ann", 2, { info: "1" }),
      put("bob", 1, { state: "7" }),
    ]);
    const ann = { id: "ann", info: "1", state: "null", stateAt: 0, since: NOW, sockets: 2 };
    const bob = { id: "bob", info: "null", state: "7", stateAt: NOW, since: NOW, sockets: 1 };
    expect(before).to.deep.equal({ epoch: "", version: 0 });
    expect(after.version).to.equal(1);
    expect(outcomes).to.deep.equal([
      { type: "joined", member: ann },
      { type: "joined", member: bob },
    ]);
    expect(list.read(NAMES)).to.deep.equal({ at: after, count: 2, members: [ann, bob], next: undefined });
    const nothing = { joined: [], refilled: [], updated: [], left: [], sockets: [] };
    expect(published).to.deep.equal([{ ...nothing, at: after, count: 2, joined: [ann, bob] }]);
    expect(change("a", [put("ann", 2, { info: "1" })])).to.deep.include({ before: after, after });
    expect(published).to.have.length(1);
  });

  it("have the sockets of all servers, which are told by number alone", () => {
    change("a", [put("ann", 2)]);
    clock.tick(5);
    expect(outcomeOf("b", put("ann", 3))).to.deep.equal({ type: "there", member: member() });
    expect([member()?.sockets, member()?.since]).to.deep.equal([5, NOW]);
    expect(last()).to.deep.include({ joined: [], updated: [], sockets: [["ann", 5]] });
    expect(typeOf("a", drop("ann"))).to.equal("there");
    expect(last()).to.deep.include({ left: [], sockets: [["ann", 3]] });
    expect([entriesOf("a"), entriesOf("b")]).to.deep.equal([[], ["ann"]]);
    expect(typeOf("b", drop("ann"))).to.equal("left");
    expect(last()).to.deep.include({ count: 0, left: ["ann"], sockets: [] });
    expect([members(), entriesOf("b")]).to.deep.equal([[], []]);
    expect(typeOf("b", drop("ann"))).to.equal("gone");
  });

  it("are updated with another info or state, and by nothing else", () => {
    change("a", [put("ann", 1, { info: "1", state: "2" })]);
    clock.tick(5);
    expect(typeOf("a", put("ann", 1, { info: "1", state: "2" }))).to.equal("there");
    expect(typeOf("a", put("ann", 1, { info: "1" }))).to.equal("there");
    expect(member()).to.include({ state: "2", stateAt: NOW });
    expect(published).to.have.length(1);
    expect(typeOf("a", put("ann", 1, { info: "3" }))).to.equal("updated");
    expect(member()).to.include({ info: "3", state: "2", stateAt: NOW });
    expect(last()?.updated).to.deep.equal([member()]);
    expect(typeOf("a", put("ann", 1, { info: "3", state: "4" }))).to.equal("updated");
    expect(member()).to.include({ info: "3", state: "4", stateAt: NOW + 5 });
    expect(last()).to.deep.include({ updated: [member()], refilled: [], sockets: [] });
  });

  it("stay for the grace, are due when it is over, and are back with a socket before", () => {
    change("a", [put("ann")]);
    expect(outcomeOf("a", drop("ann", GRACE))).to.deep.equal({
      type: "grace",
      member: member(),
      wait: GRACE,
    });
    expect([member()?.sockets, last()?.sockets, entriesOf("a")]).to.deep.equal([0, [["ann", 0]], ["ann"]]);
    clock.tick(400);
    expect(outcomeOf("a", due("ann"))).to.deep.equal({ type: "grace", member: member(), wait: 600 });
    expect(entriesOf("a", NOW + 399)).to.deep.equal([]);
    expect(entriesOf("a", NOW + 400)).to.deep.equal(["ann"]);
    clock.tick(599);
    expect(typeOf("a", due("ann"))).to.equal("grace");
    expect(typeOf("a", put("ann"))).to.equal("there");
    clock.tick(1);
    expect(typeOf("a", due("ann"))).to.equal("gone");
    expect(entriesOf("a")).to.deep.equal(["ann"]);
    change("a", [drop("ann", 1)]);
    clock.tick(1);
    expect(typeOf("a", due("ann"))).to.equal("left");
    expect([last()?.left, entriesOf("a"), typeOf("a", due("ann"))]).to.deep.equal([["ann"], [], "gone"]);
  });

  it("stay as long as any server says, whoever drops them last", () => {
    change("a", [put("ann")]);
    change("b", [put("ann")]);
    expect(typeOf("a", drop("ann", GRACE))).to.equal("there");
    clock.tick(100);
    expect(outcomeOf("b", drop("ann"))).to.include({ type: "grace", wait: 900 });
    // it has been back meanwhile, so that nobody waits for it any more
    change("b", [put("ann")]);
    expect(typeOf("b", drop("ann"))).to.equal("left");
    change("a", [put("bob")]);
    change("b", [put("bob")]);
    change("a", [drop("bob", GRACE)]);
    clock.tick(GRACE);
    expect(typeOf("b", drop("bob"))).to.equal("left");
  });

  it("are due for a server alone that has something of them", () => {
    change("a", [put("ann")]);
    change("a", [drop("ann", GRACE)]);
    change("b", [put("ann")]);
    expect(typeOf("a", due("ann"))).to.equal("gone");
    expect([entriesOf("a"), entriesOf("b")]).to.deep.equal([[], ["ann"]]);
    expect(member()?.sockets).to.equal(1);
  });

  it("are no more than the limit, but for those that were there before", () => {
    change("a", [put("ann"), put("bob"), put("cat")]);
    expect(outcomeOf("a", put("dan"))).to.deep.equal({ type: "full" });
    expect([members().length, entriesOf("a")]).to.deep.equal([3, ["ann", "bob", "cat"]]);
    expect(typeOf("b", put("ann"))).to.equal("there");
    expect(typeOf("a", refill("eve", 1))).to.equal("joined");
    change("a", [drop("bob"), drop("cat")]);
    expect(typeOf("a", put("dan"))).to.equal("joined");
  });

  it("are written again as they were where the store has forgotten them", () => {
    expect(outcomeOf("a", refill("ann", 2))).to.deep.equal({ type: "joined", member: member() });
    const { id, info, sockets } = { id: "ann", info: "null", sockets: 2 };
    expect(member()).to.deep.equal({ id, info, state: "1", stateAt: NOW - 50, since: NOW - 100, sockets });
    expect(last()).to.deep.include({ joined: [], refilled: [member()] });
    expect(typeOf("a", refill("bob", 0, { grace: 0 }))).to.equal("gone");
    expect(typeOf("a", refill("bob", 0))).to.equal("joined");
    expect(member("bob")?.sockets).to.equal(0);
    clock.tick(GRACE - 1);
    expect(outcomeOf("a", due("bob"))).to.include({ type: "grace", wait: 1 });
    clock.tick(1);
    expect(typeOf("a", due("bob"))).to.equal("left");
    // with a socket nobody has to wait for it
    expect(typeOf("a", drop("ann"))).to.equal("left");
  });

  it("have the newest state and the oldest time when several servers write them again", () => {
    change("a", [refill("ann", 1)]);
    expect(typeOf("b", refill("ann", 1, { state: "old", stateAt: NOW - 60, since: NOW - 200 }))).to.equal(
      "there",
    );
    expect(member()).to.include({ state: "1", stateAt: NOW - 50, since: NOW - 200, sockets: 2 });
    expect(last()).to.deep.include({ refilled: [], sockets: [["ann", 2]] });
    const { length } = published;
    expect(typeOf("b", refill("ann", 1, { state: "2" }))).to.equal("there");
    expect(typeOf("b", refill("ann", 1, { stateAt: NOW }))).to.equal("there");
    expect(published).to.have.length(length);
    expect(typeOf("b", refill("ann", 1, { state: "2", stateAt: NOW, info: "9" }))).to.equal("updated");
    expect(member()).to.include({ state: "2", stateAt: NOW, since: NOW - 200, info: "null" });
    expect(last()).to.deep.include({ updated: [], refilled: [member()], sockets: [] });
  });

  it("are waited for where they are written again without a socket, unless they have one elsewhere", () => {
    change("a", [put("ann")]);
    change("b", [put("ann")]);
    change("a", [refill("ann", 0)]);
    expect(member()?.sockets).to.equal(1);
    expect(typeOf("b", drop("ann"))).to.equal("left");
    change("a", [put("ann")]);
    change("a", [refill("ann", 0)]);
    clock.tick(400);
    // the first grace counts
    change("a", [refill("ann", 0)]);
    expect(outcomeOf("a", due("ann"))).to.include({ type: "grace", wait: 600 });
    // no socket here by a put is no reason to wait for it
    change("b", [put("cat")]);
    change("b", [put("cat", 0)]);
    expect(typeOf("b", due("cat"))).to.equal("left");
  });

  it("are taken over once from a server that was dead, unless it has written them since", () => {
    change("old", [put("ann"), put("bob")]);
    clock.tick(1);
    change("old", [put("cat")]);
    const takeOver = (id: string, at = NOW, grace = GRACE) =>
      outcomeOf("here", dead(id, grace), { dead: { server: "old", at } });
    expect(takeOver("cat")).to.deep.equal({ type: "gone" });
    expect(takeOver("ann", NOW - 1)).to.deep.equal({ type: "gone" });
    expect(takeOver("ann")).to.deep.equal({ type: "grace", member: member(), wait: GRACE });
    expect([member()?.sockets, last()?.sockets]).to.deep.equal([0, [["ann", 0]]]);
    expect([entriesOf("old"), entriesOf("here")]).to.deep.equal([["bob", "cat"], ["ann"]]);
    expect(takeOver("ann")).to.deep.equal({ type: "gone" });
    expect(outcomeOf("here", dead("bob"))).to.deep.equal({ type: "gone" });
    expect(entriesOf("old")).to.deep.equal(["bob", "cat"]);
    clock.tick(GRACE);
    expect(typeOf("here", due("ann"))).to.equal("left");
  });

  it("have no more to wait for where they have sockets elsewhere, or are gone, when their server is dead", () => {
    change("old", [put("ann"), put("bob", 2)]);
    change("b", [put("bob", 3)]);
    change("old", [drop("ann", GRACE)]);
    change("b", [put("ann")]);
    change("b", [drop("ann")]);
    expect(member("ann")).to.equal(undefined);
    const takeOver = (id: string, grace = GRACE) =>
      outcomeOf("here", dead(id, grace), { dead: { server: "old", at: NOW } });
    expect(takeOver("ann")).to.deep.equal({ type: "gone" });
    expect(takeOver("bob")).to.deep.equal({ type: "gone" });
    expect([member("bob")?.sockets, last()?.sockets]).to.deep.equal([3, [["bob", 3]]]);
    expect([entriesOf("old"), entriesOf("here")]).to.deep.equal([[], []]);
    // who has lost its line with the dead server stays for its grace
    expect(outcomeOf("b", drop("bob"))).to.include({ type: "grace", wait: GRACE });
  });

  it("stay for the longer of two graces when their server is dead", () => {
    change("old", [put("ann")]);
    change("old", [drop("ann", 300)]);
    change("old", [put("bob")]);
    change("b", [put("bob")]);
    change("b", [drop("bob", 2 * GRACE)]);
    const takeOver = (id: string) => outcomeOf("here", dead(id), { dead: { server: "old", at: NOW } });
    // it was waited for before its server was dead
    expect(takeOver("ann")).to.include({ type: "grace", wait: 300 });
    expect(takeOver("bob")).to.include({ type: "grace", wait: 2 * GRACE });
    expect(typeOf("here", due("ann"))).to.equal("grace");
  });

  it("are waited for, too, where their server had taken back its sockets before it was dead", () => {
    change("old", [put("ann")]);
    change("b", [put("ann")]);
    change("old", [put("ann", 0)]);
    const { length } = published;
    expect(typeOf("here", dead("ann"))).to.equal("gone");
    expect(outcomeOf("here", dead("ann"), { dead: { server: "old", at: NOW } })).to.include({ type: "gone" });
    // the number of sockets is the same
    expect(published).to.have.length(length);
    expect(outcomeOf("b", drop("ann"))).to.include({ type: "grace", wait: GRACE });
    const after = published.length;
    expect(outcomeOf("b", drop("ann", 10))).to.include({ type: "grace", wait: GRACE });
    expect(published).to.have.length(after);
  });

  it("are waited for from when the last socket is gone, whoever has left at once before", () => {
    change("a", [put("ann")]);
    change("b", [put("ann")]);
    change("a", [drop("ann")]);
    clock.tick(5);
    change("b", [refill("ann", 0)]);
    expect(outcomeOf("b", due("ann"))).to.include({ type: "grace", wait: GRACE });
  });

  it("are not waited for where they are written again with a socket", () => {
    expect(typeOf("a", refill("ann", 1, { grace: 0 }))).to.equal("joined");
    expect(typeOf("a", refill("bob", 1))).to.equal("joined");
    expect(typeOf("a", drop("bob"))).to.equal("left");
  });

  it("may be due by the time that their server is dead", () => {
    change("old", [put("ann")]);
    change("old", [drop("ann", 300)]);
    clock.tick(400);
    expect(outcomeOf("here", dead("ann"), { dead: { server: "old", at: NOW } })).to.include({
      type: "grace",
      wait: 0,
    });
    expect(typeOf("here", due("ann"))).to.equal("left");
  });

  it("are told as a number where that is wanted", () => {
    const payloads: string[] = [];
    const batch = { server: "a", channel: "room", limit: 3, isCount: true, changes: [put("ann")] };
    const { after } = list.change("", NAMES, batch, (payload) => payloads.push(payload));
    expect(payloads.map((payload) => JSON.parse(payload))).to.deep.equal([{ e: after.epoch, v: 1, c: 1 }]);
  });

  it("keep their version for a while when all have left, and then begin anew", () => {
    const first = change("a", [put("ann")]).after;
    const empty = change("a", [drop("ann")]).after;
    expect([empty, list.read(NAMES).at]).to.deep.equal([
      { epoch: first.epoch, version: 2 },
      { epoch: first.epoch, version: 2 },
    ]);
    clock.tick(VERSION_LIFE - 1);
    list.sweep();
    expect([list.size, change("a", [due("bob")]).before]).to.deep.equal([1, empty]);
    clock.tick(1);
    expect(change("a", [due("bob")]).before).to.deep.equal({ epoch: "", version: 0 });
    list.sweep();
    expect(list.size).to.equal(0);
    expect(list.read(NAMES)).to.deep.equal({
      at: { epoch: "", version: 0 },
      count: 0,
      members: [],
      next: undefined,
    });
    const again = change("a", [put("ann")]).after;
    expect(again.version).to.equal(1);
    expect(again.epoch).not.to.equal(first.epoch);
    clock.tick(2 * VERSION_LIFE);
    list.sweep();
    expect([list.size, change("a", [due("bob")]).before]).to.deep.equal([1, again]);
  });

  it("are found by the entries of their server, some at a time, by when they were written", () => {
    change("a", [put("ann")]);
    clock.tick(1);
    change("a", [put("bob"), put("cat")]);
    const key = entriesKey("", NAMES.partition, "a");
    const [ann, bob] = ["ann", "bob"].map((id) => entryOf(id, "room"));
    expect(list.entries(key, NOW, 9)).to.deep.equal({ now: NOW + 1, entries: [ann] });
    expect(list.entries(key, NOW + 1, 2).entries).to.deep.equal([ann, bob]);
    expect(list.entries(key, NOW - 1, 2).entries).to.deep.equal([]);
    expect(list.entries("unknown", NOW, 2)).to.deep.equal({ now: NOW + 1, entries: [] });
    clock.tick(1);
    change("a", [put("ann", 2)]);
    expect(entriesOf("a", NOW + 1)).to.deep.equal(["bob", "cat"]);
  });
});
