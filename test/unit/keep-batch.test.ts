import { expect } from "chai";
import {
  type HistoryBounds,
  historyNames,
  type Kept,
  type NewEntry,
} from "../../lib/server/redis/history-log.js";
import { KeepBatch } from "../../lib/server/redis/keep-batch.js";

const [ROOM, HALL] = [historyNames("", "room"), historyNames("", "hall")];
const BOUNDS: HistoryBounds = { size: 100, ttl: 60_000, positionTtl: 600_000 };
const entryOf = (json: string): NewEntry => ({ json });

describe("Messages that are kept together", () => {
  /** The messages that were sent, by scripts: the channel's name, and what it is to keep. */
  let sent: [channel: string, ...messages: string[]][];
  let batch: KeepBatch;
  let failure: Error | undefined;

  beforeEach(() => {
    sent = [];
    failure = undefined;
    batch = new KeepBatch(async ({ channel }, bounds, entries) => {
      expect(bounds).to.equal(BOUNDS);
      sent.push([channel, ...entries.map(({ json }) => json)]);
      if (failure) throw failure;
      return entries.map(({ json }) => ({ at: `at ${json}`, isRepeated: false }));
    });
  });

  const add = (json: string, names = ROOM) => batch.add(names, BOUNDS, entryOf(json));
  const addAll = (count: number, length = 1) =>
    Promise.all(Array.from({ length: count }, (_, index) => add(String(index).padStart(length))));
  const sizes = () => sent.map(([, ...messages]) => messages.length);

  it("are those of one channel that are published one right after the other, each with its own outcome", async () => {
    const keeping = [add("1"), add("2"), add("3")];
    // more may follow
    expect(sent).to.deep.equal([]);
    const kept = await Promise.all(keeping);
    expect(kept.map(({ at }) => at)).to.deep.equal(["at 1", "at 2", "at 3"]);
    expect(sent).to.deep.equal([["room", "1", "2", "3"]]);
    await add("4");
    expect(sent.slice(1)).to.deep.equal([["room", "4"]]);
  });

  it("keep their order where several channels take turns", async () => {
    await Promise.all([add("1"), add("2"), add("3", HALL), add("4")]);
    expect(sent).to.deep.equal([
      ["room", "1", "2"],
      ["hall", "3"],
      ["room", "4"],
    ]);
  });

  it("are a hundred at most", async () => {
    await addAll(250);
    expect(sizes()).to.deep.equal([100, 100, 50]);
    sent = [];
    const keeping = addAll(100);
    // nothing further fits
    expect(sizes()).to.deep.equal([100]);
    await keeping;
    expect(sizes()).to.deep.equal([100]);
  });

  it("are as many as come to 256 KiB", async () => {
    await addAll(10, 65_536);
    expect(sizes()).to.deep.equal([4, 4, 2]);
    sent = [];
    await addAll(10, 65_535);
    expect(sizes()).to.deep.equal([5, 5]);
  });

  it("go before what is done next", async () => {
    const first = add("1");
    batch.flush();
    expect(sent).to.deep.equal([["room", "1"]]);
    const second = add("2");
    const third = add("3");
    expect(sent).to.have.length(1);
    await Promise.all([first, second, third]);
    expect(sent.slice(1)).to.deep.equal([["room", "2", "3"]]);
    batch.flush();
    expect(sent).to.have.length(2);
  });

  it("do not cut short a batch that was begun after theirs was sent", async () => {
    const first = add("1");
    batch.flush();
    // its turn comes between those of the two batches
    const third = Promise.resolve().then(() => add("3"));
    const second = add("2");
    await Promise.all([first, second, third]);
    expect(sent).to.deep.equal([
      ["room", "1"],
      ["room", "2", "3"],
    ]);
  });

  it("are all rejected where Redis takes none of them, and the next are not", async () => {
    failure = new Error("OOM");
    const settled = await Promise.allSettled([add("1"), add("2")]);
    expect(settled.map(({ status }) => status)).to.deep.equal(["rejected", "rejected"]);
    failure = undefined;
    expect((await add("3")).at).to.equal("at 3");
  });

  it("are rejected where Redis does not tell what has become of them", async () => {
    const silent = new KeepBatch(async (): Promise<Kept[]> => []);
    const [outcome] = await Promise.allSettled([silent.add(ROOM, BOUNDS, entryOf("1"))]);
    expect(outcome).to.have.nested.property(
      "reason.message",
      "Redis has not told what has become of a message",
    );
  });
});
