import { expect } from "chai";
import sinon from "sinon";
import { historyNames, type LogQuery, parseEnvelope } from "../../lib/server/redis/history-log.js";
import { MemoryLogs } from "../../lib/server/redis/memory-log.js";
import { formatPosition, parsePosition } from "../../lib/shared/position.js";

const [ROOM, HALL] = [historyNames("", "room"), historyNames("", "hall")];
const BOUNDS = { size: 5, ttl: 1000, positionTtl: 600_000 };
const ALL = { from: 1, count: 100, bytes: 100_000 };

describe("The histories of an embedded store", () => {
  let clock: sinon.SinonFakeTimers;
  let logs: MemoryLogs;
  let published: string[];

  beforeEach(() => {
    clock = sinon.useFakeTimers({ now: 1_000_000, toFake: ["Date"] });
    logs = new MemoryLogs();
    published = [];
  });
  afterEach(() => clock.restore());

  const keep = (json: string, more: { id?: string; except?: string } = {}, bounds = BOUNDS, names = ROOM) =>
    logs.keep(names, bounds, { json, ...more }, (payload) => published.push(payload));
  const read = (query: LogQuery = ALL, names = ROOM) => logs.read(names, BOUNDS, query);
  const messages = (query: LogQuery = ALL, names = ROOM) =>
    read(query, names).entries.map(({ json }) => json);
  const keepAll = (count: number) => {
    for (let i = 1; i <= count; i++) keep(String(i));
  };

  it("have each message behind the one before, as it was published", () => {
    const kept = keep("1", { except: "sid" });
    keep("2");
    const { at, now, length, entries } = read();
    const [first, second] = entries;
    expect([now, length, at]).to.deep.equal([1_000_000, 2, second?.position]);
    expect(entries.map(({ position: { epoch, offset } }) => [epoch, offset])).to.deep.equal([
      [at.epoch, 1],
      [at.epoch, 2],
    ]);
    expect([first?.before, second?.before]).to.deep.equal(["0", first?.position.tag]);
    expect(first && formatPosition(first.position)).to.equal(kept.at);
    expect(published.map(parseEnvelope)).to.deep.equal(entries);
    expect([first?.except, second && "except" in second]).to.deep.equal(["sid", false]);
  });

  it("keep as many as the size, for as long as the time, and the newest in any case", () => {
    keepAll(6);
    expect(messages()).to.deep.equal(["2", "3", "4", "5", "6"]);
    expect(read().length).to.equal(5);
    clock.tick(600);
    keep("7");
    expect(messages()).to.deep.equal(["3", "4", "5", "6", "7"]);
    clock.tick(399);
    keep("8");
    expect(messages()).to.deep.equal(["4", "5", "6", "7", "8"]);
    clock.tick(1);
    keep("9");
    expect(messages()).to.deep.equal(["7", "8", "9"]);
    clock.tick(999);
    expect(messages()).to.deep.equal(["7", "8", "9"]);
    clock.tick(1);
    expect([messages(), read().length, read().at.offset]).to.deep.equal([[], 0, 9]);
    keep("10", {}, { ...BOUNDS, size: 1 });
    expect(messages()).to.deep.equal(["10"]);
  });

  it("are read from an offset on, or up to one, within a number and bytes", () => {
    keepAll(7);
    const query = { count: 100, bytes: 100_000 };
    expect(messages({ ...query, from: 5 })).to.deep.equal(["5", "6", "7"]);
    expect(messages({ ...query, from: 0 })).to.deep.equal(["3", "4", "5", "6", "7"]);
    expect(messages({ ...query, from: 4, count: 2 })).to.deep.equal(["4", "5"]);
    expect(messages({ ...query, from: 8 })).to.deep.equal([]);
    expect(messages({ ...query, from: 4, bytes: 2 })).to.deep.equal(["4", "5"]);
    expect(messages({ ...query, from: 4, bytes: 1 })).to.deep.equal(["4"]);
    expect(messages({ ...query, to: 5 })).to.deep.equal(["3", "4", "5"]);
    expect(messages({ ...query, to: 5, count: 2 })).to.deep.equal(["4", "5"]);
    expect(messages({ ...query, to: 6, bytes: 2 })).to.deep.equal(["5", "6"]);
    expect(messages({ ...query, to: 2 })).to.deep.equal([]);
    expect(messages({ ...query, count: 2 })).to.deep.equal(["6", "7"]);
    expect(messages({ count: 0, bytes: 0 })).to.deep.equal([]);
    expect(messages({ from: 1, count: 0, bytes: 0 })).to.deep.equal([]);
    expect(messages({ ...query, to: 5 }, HALL)).to.deep.equal([]);
  });

  it("take a message of one id once within five minutes, by the channel", () => {
    const first = keep("1", { id: "a" });
    clock.tick(299_999);
    expect(keep("2", { id: "a" })).to.deep.equal({ at: first.at, isRepeated: true });
    expect(keep("3", { id: "b" }).isRepeated).to.equal(false);
    expect(keep("4", { id: "a" }, BOUNDS, HALL).isRepeated).to.equal(false);
    clock.tick(1);
    expect(keep("5", { id: "a" }).isRepeated).to.equal(false);
    expect(published).to.have.length(4);
    expect([keep("6").isRepeated, keep("7").isRepeated]).to.deep.equal([false, false]);
  });

  it("begin anew where the position has been forgotten, and with another epoch", () => {
    const first = parsePosition(keep("1").at);
    clock.tick(599_999);
    const look = read();
    expect([look.at, look.entries]).to.deep.equal([first, []]);
    // a look keeps the position
    clock.tick(599_999);
    expect(read().at).to.deep.equal(first);
    clock.tick(600_000);
    const { at } = read();
    expect([at.offset, at.tag]).to.deep.equal([0, "0"]);
    expect(at.epoch).not.to.equal(first?.epoch);
    expect(parsePosition(keep("2").at)).to.include({ epoch: at.epoch, offset: 1 });
  });

  it("are known for five minutes after the last look while they are empty, or for less where that is said", () => {
    const { epoch } = read().at;
    clock.tick(299_999);
    expect(read().at.epoch).to.equal(epoch);
    clock.tick(299_999);
    expect(read().at.epoch).to.equal(epoch);
    clock.tick(300_000);
    const other = read().at.epoch;
    expect(other).not.to.equal(epoch);
    const short = { ...BOUNDS, positionTtl: 1000 };
    expect(logs.read(ROOM, short, ALL).at.epoch).to.equal(other);
    clock.tick(1000);
    expect(logs.read(ROOM, short, ALL).at.epoch).not.to.equal(other);
  });

  it("leave nothing behind once they have expired", () => {
    keep("1", { id: "a" });
    keep("2", {}, { ...BOUNDS, positionTtl: 400_000 }, HALL);
    expect(logs.size).to.equal(3);
    for (const [time, left] of [
      [299_999, 3],
      [1, 2],
      [100_000, 1],
      [200_000, 0],
    ] as const) {
      clock.tick(time);
      logs.sweep();
      expect(logs.size).to.equal(left);
    }
  });

  it("keep what has not expired when the others are cleared away", () => {
    keep("1");
    logs.sweep();
    expect(messages()).to.deep.equal(["1"]);
  });

  it("hold text that Redis could hold, too", () => {
    keep('"\ud800"');
    expect(messages()).to.deep.equal(['"\ufffd"']);
  });
});
