import { expect } from "chai";
import {
  changeArguments,
  encodePublishedChange,
  entriesKey,
  entryOf,
  type MemberChange,
  type MemberPage,
  type MemberRecord,
  memberNames,
  newListEpoch,
  parseEntry,
  parseMemberPage,
  parseOutcomes,
  parsePublishedChange,
  readAllMembers,
} from "../../lib/server/redis/member-list.js";

const ann: MemberRecord = { id: "ann", info: "1", state: "2", stateAt: 3, since: 4, sockets: 5 };
const bob: MemberRecord = { ...ann, id: "bob" };
/** What the scripts have for them. */
const [shownAnn, shownBob] = ["ann", "bob"].map((id) => ({ id, i: "1", s: "2", u: 3, t: 4, n: 5 }));
const AT = { epoch: "e", version: 7 };
const MALFORMED = "Redis holds something else where a channel's members should be";

describe("The list of a channel's members in Redis", () => {
  it("has names of the channel, and keys in the channel's partition", () => {
    const names = memberNames("shop:", "room");
    const { partition } = names;
    expect(names).to.deep.equal({
      channel: "shop:___presence:room___",
      members: `token-sockjs:shop:{${partition}}members:room`,
      partition,
    });
    expect(entriesKey("shop:", 3, "here")).to.equal("token-sockjs:shop:{3}entries:here");
    expect(newListEpoch()).to.match(/^[\w-]{8}$/);
    expect(newListEpoch()).not.to.equal(newListEpoch());
  });

  it("has entries of any id and channel, and takes nothing else for one", () => {
    for (const id of ["", "7", "a:b", "ü%"]) {
      expect(parseEntry(entryOf(id, "room:1"))).to.deep.equal({ id, channel: "room:1" });
    }
    for (const entry of ["", "ann", "%:room", "%E0%A4%A:room"]) expect(parseEntry(entry)).to.equal(undefined);
    expect(parseEntry(":room")).to.deep.equal({ id: "", channel: "room" });
  });

  it("is read to its end, with the newest of who comes twice, and the version of the beginning", async () => {
    const pages: Record<string, MemberPage> = {
      "0": { at: AT, count: 3, members: [ann, bob], next: "5" },
      "5": { at: { epoch: "e", version: 8 }, count: 4, members: [{ ...ann, state: "9" }], next: "3" },
      "3": { at: { epoch: "e", version: 9 }, count: 5, members: [{ ...ann, id: "cat" }], next: undefined },
    };
    const { at, count, members } = await readAllMembers(async (cursor) => pages[cursor] as MemberPage);
    expect([at, count, [...members.keys()]]).to.deep.equal([AT, 3, ["ann", "bob", "cat"]]);
    expect(members.get("ann")?.state).to.equal("9");
  });

  it("is changed by what the script takes", () => {
    const names = memberNames("shop:", "room");
    const changes: MemberChange[] = [
      { type: "put", id: "ann", sockets: 1, info: "1", state: "2" },
      { type: "put", id: "a:b", sockets: 1, info: "1" },
      { type: "refill", id: "ann", sockets: 0, info: "1", state: "2", stateAt: 3, since: 4, grace: 5 },
      { type: "drop", id: "ann", grace: 6 },
      { type: "due", id: "ann" },
      { type: "dead", id: "ann", grace: 7 },
    ];
    const batch = { server: "here", channel: "room", limit: 9, isCount: false, changes };
    const { keys, args } = changeArguments("shop:", names, batch);
    expect(keys).to.deep.equal([names.members, entriesKey("shop:", names.partition, "here")]);
    const [ops] = args.splice(6, 1);
    const [epoch] = args.splice(4, 1);
    expect(epoch).to.have.length(8);
    expect(args).to.deep.equal(["here", names.channel, "9", "0", "600000", "", "0"]);
    const [of, k] = [{ id: "ann", k: "ann:room" }, "a%3Ab:room"];
    expect(JSON.parse(String(ops))).to.deep.equal([
      { o: "put", ...of, n: 1, i: "1", s: "2" },
      { o: "put", id: "a:b", k, n: 1, i: "1" },
      { o: "refill", ...of, n: 0, i: "1", s: "2", u: 3, t: 4, g: 5 },
      { o: "drop", ...of, g: 6 },
      { o: "due", ...of },
      { o: "dead", ...of, g: 7 },
    ]);
  });

  it("is changed for a server that is dead, too, and as a number", () => {
    const names = memberNames("shop:", "room");
    const dead = { server: "old", at: 12 };
    const batch = { server: "here", dead, channel: "room", limit: 9, isCount: true, changes: [] };
    const { keys, args } = changeArguments("shop:", names, batch);
    const of = (server: string) => entriesKey("shop:", names.partition, server);
    expect(keys).to.deep.equal([names.members, of("here"), of("old")]);
    expect([args[3], ...args.slice(-3)]).to.deep.equal(["1", "[]", "old", "12"]);
  });

  it("tells what has become of each change", () => {
    const json = JSON.stringify(shownAnn);
    const types = ["joined", "updated", "there", "left"] as const;
    const answer = ["", "0", "e", "7", ...types.flatMap((type) => [type, json])];
    const grace = JSON.stringify({ ...shownBob, w: 60 });
    // a last word without its detail is none
    const outcomes = parseOutcomes([...answer, "grace", grace, "full", "", "gone", "", "left"]);
    expect(outcomes).to.deep.equal({
      before: { epoch: "", version: 0 },
      after: AT,
      outcomes: [
        ...types.map((type) => ({ type, member: ann })),
        { type: "grace", member: bob, wait: 60 },
        { type: "full" },
        { type: "gone" },
      ],
    });
    expect(parseOutcomes(["e", "7", "e", "8"])).to.deep.equal({
      before: AT,
      after: { epoch: "e", version: 8 },
      outcomes: [],
    });
    expect(parseOutcomes([])).to.deep.equal({
      before: { epoch: "", version: Number.NaN },
      after: { epoch: "", version: Number.NaN },
      outcomes: [],
    });
  });

  it("is refused where Redis holds something else", () => {
    for (const detail of [
      { ...shownAnn, i: 1 },
      { ...shownAnn, s: null },
    ]) {
      const answer = ["", "0", "e", "7", "joined", JSON.stringify(detail)];
      expect(() => parseOutcomes(answer)).to.throw(MALFORMED);
    }
    expect(() => parseOutcomes(["", "0", "e", "7", "unknown", ""])).to.throw(MALFORMED);
  });

  it("is read in pages, with the sockets of all servers", () => {
    const stored = JSON.stringify({ i: "1", s: "2", u: 3, t: 4, e: { here: 2, there: 3 } });
    const waiting = JSON.stringify({ i: "1", s: "2", u: 3, t: 4, e: {} });
    expect(parseMemberPage(["e", "7", "9", "12", "ann", stored, "bob", waiting, "cat"])).to.deep.equal({
      at: AT,
      count: 9,
      members: [ann, { ...bob, sockets: 0 }],
      next: "12",
    });
    expect(parseMemberPage(["e", "7", "0", "0"])).to.deep.equal({
      at: AT,
      count: 0,
      members: [],
      next: undefined,
    });
    expect(parseMemberPage([]).at).to.deep.equal({ epoch: "", version: Number.NaN });
  });

  it("is published with what has changed, or as a number", () => {
    const change = {
      at: AT,
      count: 3,
      joined: [ann],
      refilled: [bob],
      updated: [ann, bob],
      left: ["cat"],
      sockets: [["dan", 2]] as const,
    };
    const payload = encodePublishedChange(change, false);
    expect(JSON.parse(payload)).to.deep.equal({
      ...{ e: "e", v: 7, c: 3, j: [shownAnn], r: [shownBob] },
      ...{ u: [shownAnn, shownBob], l: ["cat"], s: [["dan", 2]] },
    });
    expect(parsePublishedChange(payload)).to.deep.equal(change);
    expect(JSON.parse(encodePublishedChange(change, true))).to.deep.equal({ e: "e", v: 7, c: 3 });
  });

  it("is not changed by what was not published so", () => {
    const nothing = { joined: [], refilled: [], updated: [], left: [], sockets: [] };
    expect(parsePublishedChange('{"e":"e","v":7,"c":3}')).to.deep.equal({ ...nothing, at: AT, count: 3 });
    for (const payload of ["", "null", '{"j":[{}]}', '{"r":[{"i":"1"}]}', '{"u":1}', '{"l":1}']) {
      expect(parsePublishedChange(payload), payload).to.equal(undefined);
    }
    expect(parsePublishedChange('{"l":[7]}')?.left).to.deep.equal(["7"]);
  });
});
