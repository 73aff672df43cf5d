import { expect } from "chai";
import { LiveChannel } from "../../lib/server/history/live-channel.js";
import { LogReader } from "../../lib/server/history/log-reader.js";
import type { Loss } from "../../lib/server/history/loss.js";
import { Tail, Tails } from "../../lib/server/history/tail.js";
import type { Entry, LogPage, LogQuery } from "../../lib/server/redis/history-log.js";
import type { Position } from "../../lib/shared/position.js";

/** Lets everything go on that waits for nothing but its turn. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

const positionOf = (offset: number, epoch = "e"): Position => ({ epoch, offset, tag: `${offset}` });

const entryOf = (offset: number, epoch = "e"): Entry => ({
  position: positionOf(offset, epoch),
  before: `${offset - 1}`,
  time: Date.now(),
  json: String(offset),
});

const rangeOf = (first: number, last: number, epoch = "e") =>
  Array.from({ length: last - first + 1 }, (_, index) => entryOf(first + index, epoch));

const numbersIn = (entries: readonly Entry[]) => entries.map(({ position }) => position.offset);

const POSITION = { count: 0, bytes: 0 };
const BOUNDS = { count: 2000, bytes: 1_000_000, most: 2000 };

/** A channel whose history is what the test says, at each moment. */
class Scene {
  log: Entry[];
  /** The newest position, where it is another one than that of the last message. */
  at: Position | undefined;
  failure: Error | undefined;
  /** What Redis waits for before it answers; the answer is what there was when it was asked. */
  answer: Promise<void> | undefined;
  /** Called at each read. */
  onRead: (query: LogQuery) => void = () => {};
  queries: LogQuery[] = [];
  /** By how many milliseconds the clock of Redis is ahead. */
  ahead = 0;
  told: unknown[] = [];
  readonly errors: unknown[] = [];
  readonly tails: Tails;
  readonly channel: LiveChannel;

  constructor({ log = [] as Entry[], size = 2000, recoverMessages = 2000, tailBytes = Infinity } = {}) {
    this.log = log;
    this.tails = new Tails(tailBytes);
    this.channel = new LiveChannel({
      reader: new LogReader({ size, ttl: 60_000, positionTtl: 600_000 }, async (query) => {
        this.queries.push(query);
        this.onRead(query);
        const page = this.#page(query);
        await (this.answer ?? settled());
        if (this.failure) throw this.failure;
        return page;
      }),
      tails: this.tails,
      recoverMessages,
      patience: 10_000,
      deliver: ({ position }) => this.told.push(position.offset),
      lose: (loss: Loss, at: Position) => this.told.push({ ...loss, at: at.offset }),
      onError: (error) => this.errors.push(error),
    });
  }

  receive(...entries: Entry[]): void {
    for (const entry of entries) this.channel.receive(entry);
  }

  /** Reads what came after an offset; says how often Redis was asked for that. */
  async after(offset: number, bounds: Partial<typeof BOUNDS> = {}) {
    this.queries = [];
    const { entries, lost, at } = await this.channel.after(positionOf(offset), { ...BOUNDS, ...bounds });
    return { numbers: numbersIn(entries), lost, at: at.offset, reads: this.queries.length };
  }

  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await settled();
  }

  #page({ from, to, count, bytes }: LogQuery): LogPage {
    const found = this.log.filter(
      ({ position: { offset } }) => offset >= (from ?? 0) && offset <= (to ?? Infinity),
    );
    const entries: Entry[] = [];
    let length = 0;
    const wanted =
      from === undefined ? found.slice(count > 0 ? -count : found.length) : found.slice(0, count);
    for (const entry of wanted) {
      entries.push(entry);
      length += entry.json.length;
      if (length >= bytes) break;
    }
    const at = this.at ?? this.log.at(-1)?.position ?? positionOf(0);
    return { at, now: Date.now() + this.ahead, length: this.log.length, entries };
  }
}

describe("A channel with history and what it reads", () => {
  let scene: Scene;

  const open = async (options?: ConstructorParameters<typeof Scene>[0]) => {
    scene = new Scene(options);
    await scene.channel.open();
    scene.queries = [];
    return scene;
  };
  /** Has the channel hear of all that is new in its history. */
  const publish = (...entries: Entry[]) => {
    scene.log.push(...entries);
    scene.receive(...entries);
  };
  afterEach(() => scene.channel.close());

  it("keeps in memory what a history of its size has, and no more", async () => {
    await open({ size: 3 });
    publish(...rangeOf(1, 9));
    const three = new Tails(Infinity);
    const tail = new Tail(three, 9);
    for (const entry of rangeOf(7, 9)) tail.add(entry);
    expect(scene.tails.bytes).to.equal(three.bytes);
  });

  it("reads and tells nothing once it is closed", async () => {
    const { channel } = await open();
    publish(entryOf(1));
    channel.close();
    scene.log.push(entryOf(2));
    await channel.check();
    channel.repair();
    await settled();
    expect([scene.queries, scene.told, scene.tails.bytes]).to.deep.equal([[], [1], 0]);
  });

  it("looks no further while it reads already, and reads once", async () => {
    const { channel } = await open();
    scene.log.push(...rangeOf(1, 3));
    channel.repair();
    channel.repair();
    await scene.until(() => scene.queries.length > 0);
    await channel.check();
    await scene.until(() => scene.told.length === 3);
    expect(scene.queries).to.have.length(1);
  });

  it("asks for the position alone when it looks whether something is missing", async () => {
    await open({ log: rangeOf(1, 3) });
    await scene.channel.check();
    expect(scene.queries).to.deep.equal([POSITION]);
    scene.failure = new Error("away");
    await scene.channel.check();
    expect(scene.errors).to.deep.equal([scene.failure]);
  });

  it("has all wait that comes while it reads, and delivers it in order", async () => {
    await open();
    scene.log.push(...rangeOf(1, 3));
    scene.receive(entryOf(3), entryOf(1), entryOf(2));
    expect(scene.told).to.deep.equal([]);
    await scene.until(() => scene.told.length >= 3);
    await settled();
    expect([scene.told, scene.queries.length]).to.deep.equal([[1, 2, 3], 1]);
  });

  it("reads again where something has come meanwhile that is not next either", async () => {
    await open({ log: [entryOf(1)] });
    let answer = () => {};
    scene.answer = new Promise((resolve) => {
      answer = resolve;
    });
    scene.log.push(...rangeOf(2, 3));
    scene.receive(entryOf(3));
    await scene.until(() => scene.queries.length === 1);
    scene.log.push(...rangeOf(4, 6));
    scene.receive(entryOf(6));
    scene.answer = undefined;
    answer();
    await scene.until(() => scene.told.length === 5);
    expect([scene.told, scene.queries.length]).to.deep.equal([[2, 3, 4, 5, 6], 2]);
    publish(entryOf(7));
    expect(scene.told).to.deep.equal([2, 3, 4, 5, 6, 7]);
  });

  it("delivers once what has come meanwhile and is next by then", async () => {
    await open({ log: [entryOf(1)] });
    scene.log.push(...rangeOf(2, 3));
    scene.receive(entryOf(3));
    await scene.until(() => scene.queries.length === 1);
    publish(entryOf(4), entryOf(5), entryOf(5), entryOf(2));
    await scene.until(() => scene.told.length >= 4);
    await settled();
    expect([scene.told, scene.queries.length]).to.deep.equal([[2, 3, 4, 5], 1]);
  });

  it("reads where a message is not the next one, by its number, the one before it, or its history", async () => {
    for (const other of [
      { ...entryOf(6), before: "3" },
      { ...entryOf(4), before: "other" },
      { ...entryOf(4, "other"), before: "3" },
    ]) {
      await open({ log: rangeOf(1, 3) });
      scene.receive(other);
      for (let turn = 0; turn < 9; turn++) await settled();
      // Redis knows nothing of it
      expect([scene.told, scene.queries.length]).to.deep.equal([[], 1]);
    }
  });

  it("tells of no loss of what a member has had read meanwhile", async () => {
    await open({ log: rangeOf(1, 3) });
    let answer = () => {};
    scene.answer = new Promise((resolve) => {
      answer = resolve;
    });
    scene.log.push(...rangeOf(4, 6));
    const reading = scene.channel.after(positionOf(2), BOUNDS);
    await scene.until(() => scene.queries.length === 1);
    scene.log = rangeOf(8, 9);
    scene.receive(entryOf(9));
    await scene.until(() => scene.queries.length === 2);
    scene.answer = undefined;
    answer();
    await reading;
    await scene.until(() => scene.told.includes(9));
    expect(scene.told).to.deep.equal([4, 5, 6, { messages: 1, reason: "expired", at: 7 }, 8, 9]);
  });

  describe("where Redis has gone back", () => {
    let at = 0;
    beforeEach(() => {
      at = Date.now();
    });
    const old = (offset: number, time: number): Entry => ({ ...entryOf(offset), time });
    /** One that takes the place of another. */
    const newer = (offset: number, time: number, before = `newer ${offset - 1}`): Entry => ({
      position: { ...positionOf(offset), tag: `newer ${offset}` },
      before,
      time,
      json: "1",
    });
    const repaired = async (log: Entry[]) => {
      const last = log.at(-1) as Entry;
      scene.told = [];
      scene.log = log;
      scene.receive(last);
      await scene.until(() => scene.told.includes(last.position.offset));
      return scene.told;
    };
    const diverged = (offset: number) => ({ messages: null, reason: "diverged", at: offset });

    it("tells nothing again that is in memory, or was there", async () => {
      const one = new Tails(Infinity);
      new Tail(one, 1).add(entryOf(1));
      await open({ tailBytes: 2 * one.bytes });
      // the last two are of one millisecond
      publish(old(1, at - 9), old(2, at - 8), old(3, at - 7), old(4, at), old(5, at));
      const log = [...scene.log.slice(0, 4), newer(5, at, "4"), newer(6, at)];
      expect(await repaired(log)).to.deep.equal([diverged(4), 5, 6]);
    });

    it("tells what is beyond the last one, though the clock has gone back as well", async () => {
      await open({ tailBytes: 0 });
      publish(old(1, at - 2), old(2, at - 1), old(3, at));
      const log = [...scene.log.slice(0, 2), newer(3, at - 1000, "2"), newer(4, at - 1000)];
      expect(await repaired(log)).to.deep.equal([diverged(3), 4]);
    });

    it("tells all of another history, though the clock has gone back as well", async () => {
      await open({ tailBytes: 0 });
      publish(old(1, at), old(2, at), old(3, at));
      const log = rangeOf(1, 2, "other").map((entry) => ({ ...entry, time: at - 1000 }));
      expect(await repaired(log)).to.deep.equal([{ messages: null, reason: "reset", at: 0 }, 1, 2]);
    });

    it("tells nothing of before the channel was joined", async () => {
      await open({ log: [old(1, at - 1000), old(2, at - 1000), old(3, at - 1000)] });
      const log = [...scene.log.slice(0, 2), newer(3, at + 60_000, "2"), newer(4, at + 60_000)];
      expect(await repaired(log)).to.deep.equal([diverged(2), 3, 4]);
    });
  });

  it("goes on with what it knows where too much waits, and says how much is missing each time", async () => {
    await open({ log: rangeOf(1, 3) });
    scene.answer = new Promise(() => {});
    // two are old, and two gaps are in between
    scene.receive(...rangeOf(5, 699), entryOf(2), entryOf(699), ...rangeOf(702, 1004));
    expect(scene.told).to.deep.equal([]);
    scene.receive(entryOf(1005));
    expect(scene.told).to.deep.equal([
      { messages: 1, reason: "limit", at: 4 },
      ...numbersIn(rangeOf(5, 699)),
      { messages: 2, reason: "limit", at: 701 },
      ...numbersIn(rangeOf(702, 1005)),
    ]);
  });

  it("does not know how much is missing where what waits is of another history", async () => {
    await open({ log: rangeOf(1, 3) });
    scene.answer = new Promise(() => {});
    scene.receive(...rangeOf(2, 1002, "f"));
    expect(scene.told.slice(0, 2)).to.deep.equal([{ messages: null, reason: "limit", at: 1 }, 2]);
    expect(scene.told).to.have.length(1002);
  });

  it("goes on at once where the position is not known and what waits is in order", async () => {
    scene = new Scene();
    scene.failure = new Error("away");
    await scene.channel.open();
    scene.receive(...rangeOf(5, 7));
    expect(scene.told).to.deep.equal([5, 6, 7]);
  });

  it("delivers what is new after Redis has gone back, also where a message came before its position was read", async () => {
    scene = new Scene({ recoverMessages: 1 });
    scene.ahead = 5000;
    const opening = scene.channel.open();
    scene.receive(...rangeOf(1, 2));
    await opening;
    const newer = { ...entryOf(1), position: { ...positionOf(1), tag: "other" }, time: Date.now() + 1000 };
    scene.log = [newer];
    scene.receive(newer);
    await scene.until(() => scene.channel.at?.offset === 1);
    expect(scene.told).to.deep.equal([1, 2, { messages: null, reason: "diverged", at: 0 }, 1]);
  });

  it("reads from Redis what is before its memory, once for all who come later", async () => {
    await open({ log: rangeOf(1, 10) });
    publish(entryOf(11));
    expect(await scene.after(8)).to.deep.include({ numbers: [9, 10, 11], lost: undefined, at: 11 });
    expect(await scene.after(8)).to.deep.include({ numbers: [9, 10, 11], reads: 0 });
    // what is further back is not in memory yet
    const more = await scene.after(3);
    expect(more).to.deep.include({ numbers: numbersIn(rangeOf(4, 11)), lost: undefined });
    expect(more.reads).to.equal(1);
    publish(entryOf(12));
    expect(await scene.after(4)).to.deep.include({ numbers: numbersIn(rangeOf(5, 12)), reads: 0 });
  });

  it("knows that there is nothing before its memory, and says what is lost", async () => {
    await open({ log: rangeOf(6, 10), size: 5 });
    const trimmed = (messages: number) => ({ messages, reason: "trimmed" });
    const all = { numbers: numbersIn(rangeOf(6, 10)), at: 10 };
    expect(await scene.after(2)).to.deep.equal({ ...all, lost: trimmed(3), reads: 1 });
    expect(await scene.after(1)).to.deep.equal({ ...all, lost: trimmed(4), reads: 0 });
    const newest = await scene.channel.before(undefined, { count: 2, bytes: 1000 });
    expect(numbersIn(newest.entries)).to.deep.equal([9, 10]);
  });

  it("knows that all has expired, and reads no more of it", async () => {
    await open({ log: rangeOf(1, 10) });
    scene.at = positionOf(10);
    scene.log = [];
    const expired = (messages: number) => ({ numbers: [], lost: { messages, reason: "expired" }, at: 10 });
    expect(await scene.after(5)).to.deep.equal({ ...expired(5), reads: 1 });
    expect(await scene.after(4)).to.deep.equal({ ...expired(6), reads: 0 });
  });

  it("keeps the newest message in memory where that alone is wanted", async () => {
    await open({ log: rangeOf(1, 3) });
    const { entries } = await scene.channel.newest(1, { count: 10, bytes: 1000 });
    expect(numbersIn(entries)).to.deep.equal([3]);
    expect(scene.tails.bytes).to.be.above(0);
  });

  it("knows that its memory is whole where it goes back to the first message", async () => {
    await open({ log: rangeOf(1, 4) });
    expect(await scene.after(1)).to.deep.include({ numbers: [2, 3, 4], reads: 1 });
    expect(await scene.after(0)).to.deep.include({ numbers: [1, 2, 3, 4], lost: undefined, reads: 0 });
  });

  it("reads very many messages in as few parts as there have to be", async () => {
    await open({ log: rangeOf(1, 1200) });
    const { numbers } = await scene.after(1);
    expect(numbers).to.deep.equal(numbersIn(rangeOf(2, 1200)));
    expect(scene.queries.map(({ from, count }) => [from, count])).to.deep.equal([
      [1, 500],
      [501, 500],
      [1001, 500],
    ]);
    expect(await scene.after(1)).to.deep.include({ reads: 0 });
  });

  it("knows of what it has read in parts that there is more before it", async () => {
    await open({ log: rangeOf(1, 1200) });
    expect((await scene.after(601)).numbers).to.deep.equal(numbersIn(rangeOf(602, 1200)));
    expect(await scene.after(100)).to.deep.include({
      numbers: numbersIn(rangeOf(101, 1200)),
      lost: undefined,
    });
  });

  it("keeps nothing in memory that has a gap", async () => {
    await open({ log: [...rangeOf(1, 4), ...rangeOf(7, 10)] });
    const { numbers, reads } = await scene.after(3);
    expect(numbers).to.deep.equal([4, ...numbersIn(rangeOf(7, 10))]);
    // two for the memory, and what the member gets
    expect([scene.tails.bytes, reads]).to.deep.equal([0, 3]);
    expect((await scene.after(7)).numbers).to.deep.equal([8, 9, 10]);
    expect((await scene.after(8)).numbers).to.deep.equal([9, 10]);
  });

  it("keeps nothing in memory that its memory does not follow", async () => {
    for (const last of [[], [{ ...entryOf(4), position: { ...positionOf(4), tag: "other" } }]]) {
      await open({ log: rangeOf(1, 4) });
      publish(...rangeOf(5, 6));
      const { bytes } = scene.tails;
      scene.log = [...rangeOf(1, 3), ...last, ...rangeOf(5, 6)];
      await scene.after(1);
      expect(scene.tails.bytes).to.equal(bytes);
    }
  });

  it("has nothing in memory of a history that Redis has forgotten", async () => {
    await open({ log: rangeOf(1, 3) });
    scene.log = [];
    scene.at = positionOf(0, "newer");
    expect(await scene.after(1)).to.deep.include({ numbers: [], lost: { messages: null, reason: "reset" } });
  });

  it("takes nothing into its memory of a newer history, though that is as long", async () => {
    await open({ log: rangeOf(1, 3) });
    scene.log = rangeOf(1, 3, "newer");
    const { entries, lost, at } = await scene.channel.after(positionOf(1), BOUNDS);
    expect([numbersIn(entries), lost]).to.deep.equal([[1, 2, 3], { messages: null, reason: "reset" }]);
    expect(at).to.deep.equal(positionOf(3, "newer"));
  });

  it("has the newest messages that are wanted, though its memory begins at the second of them", async () => {
    await open({ log: rangeOf(1, 3) });
    publish(...rangeOf(4, 6));
    const bounds = { count: 10, bytes: 1000 };
    expect(numbersIn((await scene.channel.newest(4, bounds)).entries)).to.deep.equal([3, 4, 5, 6]);
  });

  it("knows by the clock of Redis what has expired of its memory", async () => {
    await open();
    scene.ahead = 120_000;
    await scene.channel.check();
    const time = Date.now() + scene.ahead;
    publish({ ...entryOf(1), time: time - 60_001 }, { ...entryOf(2), time });
    expect(await scene.after(0)).to.deep.equal({
      numbers: [2],
      lost: { messages: 1, reason: "expired" },
      at: 2,
      reads: 0,
    });
  });

  it("reads from Redis alone what is further back than a recovery may bring", async () => {
    await open({ log: rangeOf(1, 10), recoverMessages: 3 });
    const far = await scene.after(2, { most: 2000 });
    expect(far.numbers).to.deep.equal(numbersIn(rangeOf(3, 10)));
    await settled();
    expect([scene.tails.bytes, scene.queries.length]).to.deep.equal([0, 1]);
    await scene.after(7);
    expect(scene.tails.bytes).to.be.above(0);
  });

  it("reads the newest messages as they are in Redis, and further back from a place on", async () => {
    await open({ log: rangeOf(1, 10) });
    const bounds = { count: 2, bytes: 1000 };
    expect(numbersIn((await scene.channel.before(undefined, bounds)).entries)).to.deep.equal([9, 10]);
    expect(numbersIn((await scene.channel.before(positionOf(9), bounds)).entries)).to.deep.equal([7, 8]);
    expect(scene.queries).to.deep.equal([bounds, { ...bounds, to: 8 }]);
  });

  it("has those who ask the same at once share one answer, and no later ones", async () => {
    await open({ log: rangeOf(1, 10) });
    const look = () => scene.channel.before(undefined, { count: 2, bytes: 1000 });
    await Promise.all([look(), look()]);
    expect(scene.queries).to.have.length(1);
    await look();
    expect(scene.queries).to.have.length(2);
    scene.failure = new Error("away");
    const outcomes = await Promise.allSettled([look(), look()]);
    expect(outcomes.map(({ status }) => status)).to.deep.equal(["rejected", "rejected"]);
    expect(scene.queries).to.have.length(3);
    scene.failure = undefined;
    expect(numbersIn((await look()).entries)).to.deep.equal([9, 10]);
  });

  it("reads nothing for a member that is at its end", async () => {
    await open({ log: rangeOf(1, 3) });
    expect(await scene.after(3)).to.deep.equal({ numbers: [], lost: undefined, at: 3, reads: 0 });
  });

  it("asks Redis once more whether it has gone on where a member has another message than there is here", async () => {
    await open({ log: rangeOf(1, 4) });
    await scene.after(1);
    scene.queries = [];
    const { entries, lost } = await scene.channel.after({ ...positionOf(3), tag: "other" }, BOUNDS);
    expect([numbersIn(entries), lost?.reason]).to.deep.equal([[1, 2, 3, 4], "diverged"]);
    expect(scene.queries.filter(({ count }) => count === 0)).to.have.length(1);
  });

  for (const recoverMessages of [2000, 3]) {
    it(`finds by a member that Redis has gone back, without memory, of ${recoverMessages} messages`, async () => {
      await open({ tailBytes: 0, recoverMessages });
      publish(...rangeOf(1, 10));
      scene.told = [];
      scene.log.splice(8);
      expect(await scene.after(5)).to.deep.include({ numbers: [6, 7, 8], lost: undefined, at: 8 });
      expect(scene.told[0]).to.deep.include({ reason: "diverged" });
      expect(scene.channel.at).to.deep.equal(positionOf(8));
    });
  }

  describe("for a member that has another message than there is here", () => {
    const other = { ...positionOf(2), tag: "other" };

    it("reads nothing once more where Redis has not gone on", async () => {
      await open({ log: rangeOf(1, 4), tailBytes: 0 });
      const { entries } = await scene.channel.after(other, BOUNDS);
      expect(numbersIn(entries)).to.deep.equal([1, 2, 3, 4]);
      expect(scene.queries.at(-1)).to.deep.equal(POSITION);
    });

    it("gives what has come while it looked, however often that was", async () => {
      for (const last of [5, 50]) {
        await open({ log: rangeOf(1, 3), tailBytes: 0 });
        let hasLooked = false;
        scene.onRead = ({ count }) => {
          hasLooked ||= count === 0;
          if (hasLooked && scene.log.length < last) scene.log.push(entryOf(scene.log.length + 1));
        };
        const { entries } = await scene.channel.after(other, BOUNDS);
        expect(entries.at(-1)?.position.offset).to.be.at.least(scene.channel.at?.offset ?? Infinity);
        expect(scene.channel.at?.offset).to.be.above(4);
      }
    });
  });

  it("keeps no history as whole that has gone back behind what a member has", async () => {
    await open({ log: rangeOf(1, 10) });
    scene.log.splice(4);
    expect(await scene.after(5)).to.deep.include({
      numbers: [1, 2, 3, 4],
      lost: { messages: null, reason: "diverged" },
      at: 4,
    });
  });

  describe("for a member that is ahead of this server", () => {
    it("reads first what has not come here, and gives what is behind the member", async () => {
      await open({ log: [entryOf(1)] });
      scene.log.push(...rangeOf(2, 5));
      expect(await scene.after(4)).to.deep.include({ numbers: [5], lost: undefined, at: 5 });
      expect(scene.told).to.deep.equal([2, 3, 4, 5]);
      expect(scene.queries[0]).to.deep.equal(POSITION);
    });

    it("has no more to read where the member is at the end by then", async () => {
      await open({ log: [entryOf(1)] });
      scene.log.push(...rangeOf(2, 3));
      expect(await scene.after(3)).to.deep.equal({ numbers: [], lost: undefined, at: 3, reads: 2 });
    });

    it("tells that Redis has gone back where it knows no more than this server", async () => {
      await open({ log: rangeOf(1, 3) });
      const { numbers, lost } = await scene.after(7);
      expect(lost).to.deep.equal({ messages: null, reason: "diverged" });
      expect(numbers).to.deep.equal([1, 2, 3]);
      // the position, and what there is
      expect(scene.queries.map(({ count }) => count > 0)).to.deep.equal([false, true]);
    });

    it("goes on though Redis goes on as well, and there is no room for it in memory", async () => {
      await open({ log: [entryOf(1)], tailBytes: 0 });
      scene.log.push(...rangeOf(2, 4));
      let next = 5;
      scene.onRead = ({ count }) => {
        if (count > 0 && next < 50) scene.log.push(entryOf(next++));
      };
      const { numbers, lost } = await scene.after(4);
      expect([numbers[0], lost]).to.deep.equal([5, undefined]);
      expect(scene.errors).to.deep.equal([]);
    });

    it("goes on though Redis has always gone on when it is asked", async () => {
      await open({ log: [entryOf(1)], tailBytes: 0 });
      scene.log.push(...rangeOf(2, 4));
      scene.onRead = () => {
        if (scene.log.length < 50) scene.log.push(entryOf(scene.log.length + 1));
      };
      const { numbers, lost } = await scene.after(4);
      expect([numbers[0], lost]).to.deep.equal([5, undefined]);
    });

    it("says that the history cannot be read where Redis is always at another one when it is asked", async () => {
      await open({ log: rangeOf(1, 3) });
      scene.onRead = ({ count }) => {
        scene.at = count === 0 ? positionOf(1, "other") : undefined;
      };
      const [outcome] = await Promise.allSettled([scene.after(9)]);
      expect(outcome).to.have.property("status", "rejected");
    });

    it("reads once what is behind a member of a newer history, when it has come here", async () => {
      for (const offset of [4, 2]) {
        await open({ log: rangeOf(1, 3) });
        scene.log = rangeOf(1, 5, "newer");
        const { entries, lost } = await scene.channel.after(positionOf(offset, "newer"), BOUNDS);
        expect([numbersIn(entries), lost]).to.deep.equal([numbersIn(rangeOf(offset + 1, 5)), undefined]);
        // the position, the repair from the old history on, and the newer one from its beginning
        expect(scene.queries).to.have.length(3);
      }
    });

    it("says that the history cannot be read up to its end where Redis does not give it", async () => {
      await open({ log: rangeOf(1, 3) });
      // the position is one that no read comes up to
      scene.onRead = ({ count }) => {
        scene.at = count === 0 ? positionOf(9) : undefined;
      };
      const [outcome] = await Promise.allSettled([scene.after(9)]);
      expect(outcome).to.have.nested.property(
        "reason.message",
        "The history could not be read up to its end",
      );
      expect(scene.queries.filter(({ count }) => count === 0)).to.have.length(3);
    });

    it("waits for what is read already, and looks once more where that has begun before", async () => {
      await open({ log: [entryOf(1)] });
      let answer = () => {};
      scene.answer = new Promise((resolve) => {
        answer = resolve;
      });
      scene.log.push(entryOf(2));
      scene.channel.repair();
      await scene.until(() => scene.queries.length === 1);
      scene.answer = undefined;
      scene.log.push(...rangeOf(3, 4));
      const reading = scene.channel.after(positionOf(3), BOUNDS);
      await settled();
      await settled();
      answer();
      const { entries, lost } = await reading;
      expect([numbersIn(entries), lost, scene.told]).to.deep.equal([[4], undefined, [2, 3, 4]]);
    });
  });
});
