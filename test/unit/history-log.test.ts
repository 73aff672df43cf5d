import { expect } from "chai";
import {
  type Entry,
  encodeEnvelope,
  historyNames,
  keepArguments,
  newEpoch,
  newTag,
  parseEnvelope,
  parseKept,
  parsePage,
  partitionOf,
  positionBefore,
  readArguments,
} from "../../lib/server/redis/history-log.js";

const BOUNDS = { size: 10, ttl: 60_000, positionTtl: 600_000 };
const NAMES = historyNames("shop:", "room");
const MALFORMED = "Redis holds something else where a channel's history should be";

/** A message as Redis has it. */
const entryOf = (offset: number, json: string, more: Partial<Entry> = {}): Entry => ({
  position: { epoch: "e", offset, tag: `1${offset}` },
  before: `1${offset - 1}`,
  time: 500,
  json,
  ...more,
});

describe("The history of a channel in Redis", () => {
  it("has names in the partition of its channel, and one for each publisher's id", () => {
    const key = (kind: string) => `token-sockjs:shop:{${partitionOf("room")}}${kind}:room`;
    const { idOf, ...names } = historyNames("shop:", "room");
    expect(names).to.deep.equal({ channel: "shop:room", log: key("log"), position: key("position") });
    expect(idOf("a:b")).to.equal(key("id:a%3Ab"));
  });

  it("is in one of 256 partitions, by the checksum that Redis Cluster has", () => {
    expect(partitionOf("123456789")).to.equal(0x31c3 & 0xff);
    expect(["", "room", "ä"].map(partitionOf)).to.deep.equal([0, partitionOf("room"), partitionOf("ä")]);
    const partitions = new Set(Array.from({ length: 2000 }, (_, n) => partitionOf(`room:${n}`)));
    expect(Math.min(...partitions)).to.equal(0);
    expect(Math.max(...partitions)).to.equal(255);
  });

  it("gets names for its life and tags for its messages that do not come twice", () => {
    expect(newEpoch()).to.match(/^[\w-]{8}$/);
    expect(newTag()).to.match(/^[1-9]\d*$/);
    const drawn = Array.from({ length: 50 }, () => [newEpoch(), newTag()]).flat();
    expect(new Set(drawn).size).to.equal(100);
  });

  it("is given messages with their ids as keys", () => {
    const { keys, args } = keepArguments(NAMES, BOUNDS, [
      { json: "1" },
      { json: "2", id: "a" },
      { json: "3", except: "sid" },
      { json: "4", id: "b", except: "sid" },
    ]);
    expect(keys).to.deep.equal([NAMES.log, NAMES.position, NAMES.idOf("a"), NAMES.idOf("b")]);
    const [epoch] = args.splice(4, 1);
    expect(epoch).to.have.length(8);
    expect(args.slice(0, 5)).to.deep.equal(["shop:room", "10", "60000", "600000", "300000"]);
    const messages = Array.from({ length: 4 }, (_, n) => args.slice(5 + 4 * n, 9 + 4 * n));
    expect(messages.map(([json, , extra, key]) => [json, extra, key])).to.deep.equal([
      ["1", "", ""],
      ["2", "", "3"],
      ["3", ",except=sid", ""],
      ["4", ",except=sid", "4"],
    ]);
    expect(args).to.have.length(21);
    expect(new Set(messages.map(([, tag]) => tag)).size).to.equal(4);
  });

  it("is read from a message on, or up to one, or from its end", () => {
    const argumentsOf = (query: object, bounds = BOUNDS) => {
      const { keys, args } = readArguments(NAMES, bounds, { count: 5, bytes: 100, ...query });
      expect([keys, args[0]?.length]).to.deep.equal([[NAMES.log, NAMES.position], 8]);
      return args.slice(1);
    };
    expect(argumentsOf({ from: 0 })).to.deep.equal(["600000", "from", "0", "5", "100", "300000"]);
    expect(argumentsOf({ from: 7, to: 9 }).slice(1, 3)).to.deep.equal(["from", "7"]);
    expect(argumentsOf({ to: 0 }).slice(1, 3)).to.deep.equal(["to", "0"]);
    expect(argumentsOf({}).slice(1, 3)).to.deep.equal(["to", "+"]);
    // without a message it is not known for longer than with one
    expect(argumentsOf({}, { ...BOUNDS, positionTtl: 1000 }).at(-1)).to.equal("1000");
  });

  it("tells of each message where it is, and whether it was known", () => {
    expect(parseKept([], 0)).to.deep.equal([]);
    expect(parseKept(["e.1.5", "1", "e.2.6", "0", "e.2.6", "1"], 3)).to.deep.equal([
      { at: "e.1.5", isRepeated: true },
      { at: "e.2.6", isRepeated: false },
      { at: "e.2.6", isRepeated: true },
    ]);
    for (const answer of [["e.1.5"], ["e.1.5", "0", "e.2.6"], []]) {
      expect(() => parseKept(answer, 1)).to.throw(MALFORMED);
    }
  });

  it("is read in the order of its messages", () => {
    const answer = ["e.2.12", "900", "7", "1-11", "10 500 one", "2-12", "11 500,except=sid two 2"];
    const entries = [entryOf(1, "one"), entryOf(2, "two 2", { except: "sid" })];
    const page = { at: { epoch: "e", offset: 2, tag: "12" }, now: 900, length: 7, entries };
    expect(parsePage(answer, false)).to.deep.equal(page);
    const [first = "", second = ""] = [answer.slice(3, 5), answer.slice(5)].map((pair) => pair.join("|"));
    const backwards = [...answer.slice(0, 3), ...`${second}|${first}`.split("|")];
    expect(parsePage(backwards, true)).to.deep.equal(page);
  });

  it("passes over what is no message of it, and is refused where it is none itself", () => {
    const rest = ["1", "10 500 one", "2-12", "no message", "3-13", "12 500 three", "4-14"];
    const { entries } = parsePage(["e.4.14", "900", "7", ...rest], false);
    expect(entries).to.deep.equal([entryOf(3, "three")]);
    for (const answer of [[], ["", "900", "0"], ["something", "900", "0"]]) {
      expect(() => parsePage(answer, false)).to.throw(MALFORMED);
    }
  });

  it("has messages that are published as they are kept", () => {
    for (const [entry, payload] of [
      [entryOf(2, '{"a": 1}'), '@e.2.12 11 500 {"a": 1}'],
      [entryOf(2, "1", { except: "sid" }), "@e.2.12 11 500,except=sid 1"],
    ] as const) {
      expect(encodeEnvelope(entry)).to.equal(payload);
      expect(parseEnvelope(payload)).to.deep.equal(entry);
    }
    // what a later version may put there
    expect(parseEnvelope("@e.2.12 11 500,other=1 1")).to.deep.equal(entryOf(2, "1"));
    expect(positionBefore(entryOf(2, "1"))).to.deep.equal({ epoch: "e", offset: 1, tag: "11" });
  });

  it("has no message in a payload that is another one", () => {
    const payloads = [
      ...["", '{"a":1}', "e.2.12 11 500 1", "@", "@e.2.12", "@ 11 500 1", "@e.2.12 11 500", "@e.2.12 11 x 1"],
      ...["@e.2.12 11 5,00", `@e.2.12 ${"1".repeat(21)} 500 1`, `@e.2.12 11 ${"1".repeat(17)} 1`],
      ...["@e.2.12  11 500 1", "@e.2.12 x11 500 1", "xe.2.12 11 500 1", "@e.2 11 500 1"],
    ];
    for (const payload of payloads) expect(parseEnvelope(payload), payload).to.equal(undefined);
    expect(parseEnvelope(`@e.2.12 ${"1".repeat(20)} ${"1".repeat(16)} 1`)?.json).to.equal("1");
  });
});
