import { expect } from "chai";
import { LogReader } from "../../lib/server/history/log-reader.js";
import { addLoss, judge } from "../../lib/server/history/loss.js";
import { Tail, Tails } from "../../lib/server/history/tail.js";
import type { Entry, LogPage, LogQuery } from "../../lib/server/redis/history-log.js";
import type { Position } from "../../lib/shared/position.js";

const NOW = 1_000_000;
const BOUNDS = { size: 5, ttl: 60_000, positionTtl: 600_000 };

const positionOf = (offset: number): Position => ({ epoch: "e", offset, tag: `${offset}` });

/** A message of two bytes. */
const entryOf = (offset: number, time = NOW): Entry => ({
  position: positionOf(offset),
  before: `${offset - 1}`,
  time,
  json: String(offset).padStart(2),
});

const rangeOf = (first: number, last: number, time?: number) =>
  Array.from({ length: last - first + 1 }, (_, index) => entryOf(first + index, time));

const pageOf = (entries: readonly Entry[], newest = entries.at(-1)?.position.offset ?? 0): LogPage => ({
  at: positionOf(newest),
  now: NOW,
  length: entries.length,
  entries,
});

/** Reads from a log as Redis does. */
function readerOf(log: readonly Entry[]): LogReader {
  const read = ({ from = 1, to = Infinity, count, bytes }: LogQuery, isForward: boolean) => {
    const found = log.filter(({ position: { offset } }) => offset >= from && offset <= to);
    const most = Math.min(count, Math.ceil(bytes / 2));
    return isForward ? found.slice(0, most) : found.slice(-most);
  };
  return new LogReader(BOUNDS, async (query) => ({
    ...pageOf(read(query, query.from !== undefined)),
    at: log.at(-1)?.position ?? positionOf(0),
    length: log.length,
  }));
}

const offsets = (entries: readonly Entry[]) => entries.map(({ position }) => position.offset);

describe("What a reader of a history has lost", () => {
  const lost = (page: LogPage, since: Position) => {
    const verdict = judge(page, since, BOUNDS);
    return verdict.isComplete ? undefined : verdict.loss;
  };

  it("is nothing at the newest position, and behind a message that is still there", () => {
    expect(lost(pageOf([], 5), positionOf(5))).to.equal(undefined);
    expect(lost(pageOf(rangeOf(3, 5)), positionOf(3))).to.equal(undefined);
    expect(lost(pageOf(rangeOf(3, 5)), positionOf(2))).to.equal(undefined);
  });

  it("is not known where the history is another one than the reader knows", () => {
    const diverged = { messages: null, reason: "diverged" };
    const otherTag = (offset: number) => ({ ...positionOf(offset), tag: "other" });
    for (const offset of [5, 3, 2]) {
      expect(lost(pageOf(rangeOf(3, 5)), otherTag(offset)), String(offset)).to.deep.equal(diverged);
    }
    expect(lost(pageOf(rangeOf(3, 5)), positionOf(6))).to.deep.equal(diverged);
    const reset = { messages: null, reason: "reset" };
    expect(lost(pageOf(rangeOf(3, 5)), { ...positionOf(5), epoch: "other" })).to.deep.equal(reset);
  });

  it("is what has been trimmed, or has expired at the end of its time", () => {
    expect(lost(pageOf(rangeOf(4, 8)), positionOf(1))).to.deep.equal({ messages: 2, reason: "trimmed" });
    const expired = { messages: 2, reason: "expired" };
    const old = [...rangeOf(2, 3, NOW - BOUNDS.ttl), ...rangeOf(4, 6, NOW - BOUNDS.ttl + 1)];
    expect(lost(pageOf(old), positionOf(1))).to.deep.equal(expired);
    expect(lost(pageOf(rangeOf(4, 6)), positionOf(1))).to.deep.equal(expired);
    expect(lost(pageOf([], 3), positionOf(1))).to.deep.equal(expired);
  });

  it("is added up where it is known, with the first reason", () => {
    const [three, four, unknown] = [
      { messages: 3, reason: "trimmed" },
      { messages: 4, reason: "expired" },
      { messages: null, reason: "reset" },
    ] as const;
    expect(addLoss(undefined, undefined)).to.equal(undefined);
    expect([addLoss(three, undefined), addLoss(undefined, four)]).to.deep.equal([three, four]);
    expect(addLoss(three, four)).to.deep.equal({ messages: 7, reason: "trimmed" });
    expect(addLoss(three, unknown)).to.deep.equal({ messages: null, reason: "trimmed" });
    expect(addLoss(unknown, four)).to.deep.equal(unknown);
  });
});

describe("A part of a history", () => {
  const all = { count: 10, bytes: 1000 };

  it("has all that is there, also where more is lost than it may have", async () => {
    const { entries, ...part } = await readerOf(rangeOf(6, 10)).after(positionOf(0), { ...all, most: 5 });
    expect(offsets(entries)).to.deep.equal([6, 7, 8, 9, 10]);
    expect(part).to.deep.equal({
      at: positionOf(10),
      lost: { messages: 5, reason: "trimmed" },
      hasMore: false,
    });
  });

  it("has the newest where there are more than it may have", async () => {
    const { entries, lost } = await readerOf(rangeOf(6, 10)).after(positionOf(6), { ...all, most: 3 });
    expect(offsets(entries)).to.deep.equal([8, 9, 10]);
    expect(lost).to.deep.equal({ messages: 1, reason: "limit" });
  });

  it("is read at once where there is nothing behind the position", async () => {
    let reads = 0;
    const reader = new LogReader(BOUNDS, async () => {
      reads++;
      return pageOf([entryOf(5)]);
    });
    const part = await reader.after(positionOf(5), all);
    expect(part).to.deep.equal({ entries: [], at: positionOf(5), lost: undefined, hasMore: false });
    expect(reads).to.equal(1);
  });

  it("says how many are lost where all the rest expires between two reads", async () => {
    const pages = [pageOf(rangeOf(1, 10)), { ...pageOf(rangeOf(6, 10)), now: NOW + BOUNDS.ttl }];
    const reader = new LogReader(BOUNDS, async () => pages.shift() as LogPage);
    const part = await reader.after(positionOf(1), { ...all, most: 5 });
    const lost = { messages: 9, reason: "limit" };
    expect(part).to.deep.equal({ entries: [], at: positionOf(10), lost, hasMore: false });
  });

  for (const [what, restart, expected] of [
    ["has gone back", rangeOf(1, 6), { numbers: [2, 3, 4, 5, 6], lost: undefined }],
    [
      "begins anew",
      rangeOf(1, 10).map((entry) => ({ ...entry, position: { ...entry.position, epoch: "newer" } })),
      { numbers: [6, 7, 8, 9, 10], lost: { messages: null, reason: "reset" } },
    ],
  ] as const) {
    it(`is read again where the history ${what} between two reads`, async () => {
      const [before, after] = [readerOf(rangeOf(1, 10)), readerOf(restart)];
      let reads = 0;
      const reader = new LogReader(BOUNDS, (query) => (++reads === 1 ? before : after).read(query));
      const { entries, lost } = await reader.after(positionOf(1), { ...all, most: 5 });
      expect({ numbers: offsets(entries), lost }).to.deep.equal(expected);
    });
  }

  it("says whether there is more before it, in messages or bytes", async () => {
    const reader = readerOf(rangeOf(1, 5));
    const parts: [number, number, number[], boolean][] = [
      [5, 1000, [1, 2, 3, 4, 5], false],
      [4, 1000, [2, 3, 4, 5], true],
      [10, 4, [4, 5], true],
      [10, 3, [4, 5], true],
      [10, 10, [1, 2, 3, 4, 5], false],
    ];
    for (const [count, bytes, expected, hasMore] of parts) {
      const part = await reader.before(undefined, { count, bytes });
      expect([offsets(part.entries), part.hasMore]).to.deep.equal([expected, hasMore]);
    }
  });

  it("has nothing before it where what was there has expired", async () => {
    const log = [...rangeOf(1, 3, NOW - BOUNDS.ttl), ...rangeOf(4, 5)];
    const { entries, hasMore } = await readerOf(log).before(undefined, { count: 3, bytes: 1000 });
    expect([offsets(entries), hasMore]).to.deep.equal([[4, 5], false]);
  });

  it("is empty before a position of another history", async () => {
    const part = await readerOf(rangeOf(1, 5)).before({ ...positionOf(3), epoch: "other" }, all);
    const lost = { messages: null, reason: "reset" };
    expect(part).to.deep.equal({ entries: [], at: positionOf(5), lost, hasMore: false });
  });
});

describe("The messages of channels in memory", () => {
  it("have room for so many bytes together, and those of quiet channels go first", () => {
    const one = new Tails(Infinity);
    new Tail(one, 10).add(entryOf(1));
    const tails = new Tails(3 * one.bytes);
    const [quiet, busy] = [new Tail(tails, 10), new Tail(tails, 10)];
    const lengths = () => [quiet.length, busy.length, tails.bytes / one.bytes];
    quiet.add(entryOf(1));
    quiet.add(entryOf(2));
    busy.add(entryOf(1));
    expect(lengths()).to.deep.equal([2, 1, 3]);
    busy.add(entryOf(2));
    expect([lengths(), quiet.first]).to.deep.equal([[1, 2, 3], 2]);
    busy.add(entryOf(3));
    expect(lengths()).to.deep.equal([0, 3, 3]);
    busy.add(entryOf(4));
    expect([lengths(), busy.first]).to.deep.equal([[0, 3, 3], 2]);
    quiet.add(entryOf(3));
    expect(lengths()).to.deep.equal([1, 2, 3]);
    busy.clear();
    expect(lengths()).to.deep.equal([1, 0, 1]);
    quiet.prepend(rangeOf(1, 2), true);
    expect([lengths(), quiet.isWhole, quiet.first]).to.deep.equal([[3, 0, 3], true, 1]);
    quiet.add(entryOf(4));
    expect([lengths(), quiet.isWhole, quiet.first]).to.deep.equal([[3, 0, 3], false, 2]);
  });

  it("make room for a long one, as many as it takes of the quiet channels", () => {
    const tails = new Tails(3000);
    const [quiet, busy] = [new Tail(tails, 10), new Tail(tails, 10)];
    for (const entry of rangeOf(1, 3)) quiet.add(entry);
    for (const entry of rangeOf(1, 3)) busy.add(entry);
    busy.add({ ...entryOf(4), json: "x".repeat(1000) });
    expect([quiet.length, busy.length]).to.deep.equal([0, 4]);
    expect([quiet.shift(), busy.shift(), busy.first]).to.deep.equal([false, true, 2]);
  });

  it("are the newest of each channel, also where older ones are read", () => {
    const tail = new Tail(new Tails(Infinity), 3);
    tail.add(entryOf(5));
    tail.prepend(rangeOf(1, 4), true);
    expect([offsets(tail.from(0, 9, 1000)), tail.isWhole]).to.deep.equal([[3, 4, 5], false]);
    tail.clear();
    tail.prepend(rangeOf(1, 3), true);
    expect([offsets(tail.from(0, 9, 1000)), tail.isWhole]).to.deep.equal([[1, 2, 3], true]);
  });

  it("are found by their position alone", () => {
    const tail = new Tail(new Tails(Infinity), 3);
    expect(tail.has(entryOf(1))).to.equal(false);
    for (const entry of rangeOf(1, 5)) tail.add(entry);
    expect([2, 3, 5, 6].map((offset) => tail.has(entryOf(offset)))).to.deep.equal([false, true, true, false]);
    for (const other of [{ epoch: "other" }, { tag: "other" }]) {
      expect(tail.has({ position: { ...positionOf(4), ...other } })).to.equal(false);
    }
    expect(offsets(tail.from(1, 2, 1000))).to.deep.equal([3, 4]);
    expect(offsets(tail.from(4, 9, 1000))).to.deep.equal([4, 5]);
    expect(offsets(tail.from(3, 9, 4))).to.deep.equal([3, 4]);
    expect(offsets(tail.from(3, 9, 5))).to.deep.equal([3, 4, 5]);
  });
});
