import { expect } from "chai";
import sinon from "sinon";
import { ChannelSubscriptions } from "../../lib/server/channels/channel-subscriptions.js";
import { Histories } from "../../lib/server/history/histories.js";
import { LiveChannel } from "../../lib/server/history/live-channel.js";
import { LogReader } from "../../lib/server/history/log-reader.js";
import type { Loss } from "../../lib/server/history/loss.js";
import { PAGES, recover } from "../../lib/server/history/recovery.js";
import { Tails } from "../../lib/server/history/tail.js";
import type { Limits } from "../../lib/server/limits/limits.js";
import { TurnScheduler } from "../../lib/server/limits/turn-scheduler.js";
import type { Reporter } from "../../lib/server/log/reporter.js";
import type { Broker } from "../../lib/server/redis/broker.js";
import {
  type Entry,
  historyNames,
  type LogPage,
  type LogQuery,
  parseEnvelope,
} from "../../lib/server/redis/history-log.js";
import { MemoryLogs } from "../../lib/server/redis/memory-log.js";
import type { Redis } from "../../lib/server/redis/redis.js";
import { formatPosition, type Position } from "../../lib/shared/position.js";

const NAMES = historyNames("", "room");
const BOUNDS = { size: 100, ttl: 60_000, positionTtl: 600_000 };

/** Lets everything go on that waits for nothing but its turn. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A log of messages of which the first so many have expired, but for a `long` one that fills an answer. */
function logOf(count: number, expired: number, long = 0): Entry[] {
  return Array.from({ length: count }, (_, index): Entry => {
    const offset = index + 1;
    const age = offset <= expired && offset !== long ? BOUNDS.ttl + 1 : 0;
    const json = JSON.stringify(offset === long ? "x".repeat(1000) : offset);
    const position = { epoch: "e", offset, tag: `${offset}` };
    return { position, before: `${index}`, time: Date.now() - age, json };
  });
}

/** An answer of Redis, which forgets nothing before it must. */
function pageOf(log: readonly Entry[], { from = 1, count, bytes }: LogQuery): LogPage {
  const entries: Entry[] = [];
  let length = 0;
  for (const entry of log.filter(({ position }) => position.offset >= from).slice(0, count)) {
    entries.push(entry);
    length += entry.json.length;
    if (length >= bytes) break;
  }
  return {
    at: { epoch: "e", offset: log.length, tag: `${log.length}` },
    now: Date.now(),
    length: log.length,
    entries,
  };
}

/** A channel on a log of its own, whose messages come to it when the test says so. */
class Scene {
  logs = new MemoryLogs();
  readonly told: unknown[] = [];
  readonly errors: unknown[] = [];
  readonly reads: LogQuery[] = [];
  readonly channel: LiveChannel;
  failure: Error | undefined;
  readonly tails: Tails;
  #n = 0;

  constructor({ recoverMessages = 50, tailBytes = 100_000, bounds = BOUNDS } = {}) {
    this.tails = new Tails(tailBytes);
    this.channel = new LiveChannel({
      reader: new LogReader(bounds, async (query) => {
        this.reads.push(query);
        await settled();
        if (this.failure) throw this.failure;
        return this.logs.read(NAMES, bounds, query);
      }),
      tails: this.tails,
      recoverMessages,
      patience: 10_000,
      deliver: ({ json }) => this.told.push(Number(json)),
      lose: (loss: Loss, at: Position) => this.told.push({ ...loss, at: at.offset }),
      onError: (error) => this.errors.push(error),
    });
  }

  /** Publishes the next messages; gives them as they come over Redis, which the channel does not hear of. */
  publish(count = 1, bounds = BOUNDS): Entry[] {
    const entries: Entry[] = [];
    for (let i = 0; i < count; i++) {
      this.logs.keep(NAMES, bounds, { json: String(++this.#n) }, (payload) => {
        const entry = parseEnvelope(payload);
        if (entry) entries.push(entry);
      });
    }
    return entries;
  }

  receive(entries: readonly Entry[]): void {
    for (const entry of entries) this.channel.receive(entry);
  }

  /** Publishes messages of which the channel hears. */
  deliver(count = 1): void {
    this.receive(this.publish(count));
  }

  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await settled();
  }
}

describe("A channel with history that sockets have joined", () => {
  let scene: Scene;

  const open = async (options?: ConstructorParameters<typeof Scene>[0]) => {
    scene = new Scene(options);
    await scene.channel.open();
    return scene;
  };

  afterEach(() => {
    sinon.restore();
    scene.channel.close();
  });

  it("delivers what comes, and reads nothing where nothing is missing", async () => {
    const { channel, told, reads } = await open();
    scene.deliver(3);
    expect([told, channel.at?.offset, reads.length]).to.deep.equal([[1, 2, 3], 3, 1]);
  });

  it("reads once what has not come, and goes on in order", async () => {
    const { told, reads } = await open();
    scene.deliver(2);
    scene.publish(3);
    scene.deliver(2);
    scene.deliver(1);
    await scene.until(() => told.length === 8);
    expect(told).to.deep.equal([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(reads).to.have.length(2);
    scene.deliver(1);
    expect(told.at(-1)).to.equal(9);
  });

  it("delivers no message twice that a read has brought before it came", async () => {
    const { channel, told } = await open();
    const late = scene.publish(3);
    await channel.check();
    await scene.until(() => told.length === 3);
    scene.receive(late);
    scene.deliver(1);
    await settled();
    expect(told).to.deep.equal([1, 2, 3, 4]);
  });

  it("finds by a check what has not come", async () => {
    const { channel, told, reads } = await open();
    scene.deliver(1);
    await channel.check();
    expect([told, reads.length]).to.deep.equal([[1], 2]);
    scene.publish(2);
    await channel.check();
    await scene.until(() => told.length === 3);
    expect(told).to.deep.equal([1, 2, 3]);
  });

  it("reads nothing for a message that had come before its position was learned, and comes late", async () => {
    scene = new Scene();
    const late = scene.publish(2);
    await scene.channel.open();
    scene.receive(late.slice(1));
    await settled();
    expect([scene.told, scene.reads]).to.deep.equal([[], [{ count: 0, bytes: 0 }]]);
    scene.deliver(1);
    expect(scene.told).to.deep.equal([3]);
  });

  it("reads what has not come in several parts where it is much", async () => {
    const bounds = { ...BOUNDS, size: 2000 };
    const { told, reads } = await open({ recoverMessages: 2000, bounds });
    scene.receive(scene.publish(1, bounds));
    scene.publish(1100, bounds);
    scene.receive(scene.publish(1, bounds));
    await scene.until(() => told.length === 1102);
    expect(told).to.deep.equal(Array.from({ length: 1102 }, (_, n) => n + 1));
    expect(reads.slice(1).map(({ from }) => from)).to.deep.equal([1, 501, 1001]);
  });

  it("tells why a check could not look", async () => {
    const { channel, errors } = await open();
    scene.failure = new Error("away");
    await channel.check();
    expect(errors).to.deep.equal([scene.failure]);
  });

  it("looks no further than a read that is under way", async () => {
    const { channel, told, reads } = await open();
    scene.publish(1);
    scene.deliver(1);
    channel.repair();
    await channel.check();
    await scene.until(() => told.length === 2);
    expect(reads).to.have.length(2);
  });

  for (const isAway of [false, true]) {
    const how = isAway ? "where Redis cannot be read" : "by a read that is under way";
    it(`neither delivers nor tells anything once it is closed, ${how}`, async () => {
      const { channel, told, errors, reads } = await open();
      scene.publish(1);
      scene.deliver(1);
      await settled();
      if (isAway) scene.failure = new Error("away");
      channel.close();
      for (let i = 0; i < 5; i++) await settled();
      const before = reads.length;
      channel.repair();
      await channel.check();
      for (let i = 0; i < 5; i++) await settled();
      expect([told, errors, reads.length]).to.deep.equal([[], [], before]);
    });
  }

  it("tells how many messages are lost that are kept no more", async () => {
    const bounds = { ...BOUNDS, size: 3 };
    const { told } = await open({ bounds });
    scene.receive(scene.publish(1, bounds));
    scene.publish(6, bounds);
    scene.receive(scene.publish(1, bounds));
    await scene.until(() => told.length === 5);
    expect(told).to.deep.equal([1, { messages: 4, reason: "trimmed", at: 5 }, 6, 7, 8]);
  });

  it("tells that more are lost than a repair may bring", async () => {
    const { told } = await open({ recoverMessages: 2 });
    scene.deliver(1);
    scene.publish(5);
    scene.deliver(1);
    await scene.until(() => told.length === 4);
    expect(told).to.deep.equal([1, { messages: 4, reason: "limit", at: 5 }, 6, 7]);
  });

  it("tells that Redis has forgotten the channel, and delivers what is new there", async () => {
    const { channel, told } = await open();
    scene.deliver(2);
    scene.logs = new MemoryLogs();
    scene.publish(2);
    await channel.check();
    await scene.until(() => told.length === 5);
    expect(told).to.deep.equal([1, 2, { messages: null, reason: "reset", at: 0 }, 3, 4]);
    scene.deliver(1);
    expect(told.at(-1)).to.equal(5);
  });

  it("tells that Redis has gone back, and delivers nothing again", async () => {
    const { channel, told } = await open();
    scene.deliver(4);
    // an older copy of the data, of two messages
    const { entries, at } = scene.logs.read(NAMES, BOUNDS, { from: 1, count: 2, bytes: 1000 });
    const older = new MemoryLogs();
    sinon.stub(older, "read").callsFake((_names, _bounds, { from = 1, count }) => {
      const all = [...entries, ...newer];
      const page = all.filter(({ position }) => position.offset >= from).slice(0, count);
      return { at: all.at(-1)?.position ?? at, now: Date.now(), length: all.length, entries: page };
    });
    const newer: Entry[] = [];
    for (const n of [8, 9, 10]) {
      const before = newer.at(-1)?.position ?? entries[1]?.position;
      if (!before) throw new Error("there is one");
      const position = { ...before, offset: before.offset + 1, tag: `${n}` };
      newer.push({ position, before: before.tag, time: Date.now(), json: String(n) });
    }
    scene.logs = older;
    for (const entry of newer.slice(0, 1)) channel.receive(entry);
    await scene.until(() => told.length === 8);
    expect(told).to.deep.equal([1, 2, 3, 4, { messages: null, reason: "diverged", at: 2 }, 8, 9, 10]);
  });

  it("delivers what is new after Redis has gone back, though it is of the millisecond of the last message", async () => {
    const time = Date.now();
    sinon.stub(Date, "now").returns(time);
    // the messages in memory do not go back as far as Redis has
    const { channel, told } = await open({ recoverMessages: 2 });
    scene.deliver(4);
    const { epoch } = channel.at ?? {};
    if (epoch === undefined) throw new Error("there is one");
    const entry: Entry = { position: { epoch, offset: 1, tag: "8" }, before: "0", time, json: "8" };
    const page = { at: entry.position, now: time, length: 1, entries: [entry] };
    scene.logs = sinon.createStubInstance(MemoryLogs, { read: page });
    channel.receive(entry);
    await scene.until(() => told.length >= 5 && channel.at?.offset === 1);
    expect(told).to.deep.equal([1, 2, 3, 4, { messages: null, reason: "diverged", at: 0 }, 8]);
  });

  it("lets messages wait where Redis cannot be read, and tries again", async () => {
    const clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const { told, errors } = await open();
    scene.deliver(1);
    scene.publish(1);
    scene.failure = new Error("away");
    scene.deliver(1);
    await scene.until(() => errors.length === 1);
    expect(told).to.deep.equal([1]);
    scene.failure = undefined;
    await settled();
    clock.tick(1000);
    await scene.until(() => told.length === 3);
    expect(told).to.deep.equal([1, 2, 3]);
  });

  it("goes on without what is missing where too much waits", async () => {
    const { told, channel } = await open();
    scene.deliver(1);
    scene.publish(1);
    scene.failure = new Error("away");
    scene.deliver(1001);
    expect(told.slice(0, 3)).to.deep.equal([1, { messages: 1, reason: "limit", at: 2 }, 3]);
    expect(told.at(-1)).to.equal(1003);
    expect(channel.at?.offset).to.equal(1003);
    scene.failure = undefined;
    scene.deliver(1);
    await scene.until(() => told.at(-1) === 1004);
  });

  it("learns its position by the first message where it could not be read", async () => {
    scene = new Scene();
    scene.failure = new Error("away");
    await scene.channel.open();
    scene.deliver(1);
    expect([scene.told, scene.errors.length]).to.deep.equal([[1], 1]);
  });

  /** Recovers from a position on; gives what was told before the end. */
  async function recovered(since: Position, most = 50, turns = new TurnScheduler(PAGES)) {
    const member = { closed: false, whenDrained: () => undefined };
    const messages: unknown[] = [];
    let result: unknown;
    const isDone = await recover(scene.channel, member, { since }, turns, most, {
      send: ({ json }) => messages.push(Number(json)) > 0,
      lose: (loss, at) => messages.push({ ...loss, at: at.offset }),
      done: (recovered) => {
        result = recovered;
      },
    });
    expect(isDone).to.equal(true);
    return { messages, result };
  }

  it("keeps its newest messages in memory, so that a recovery reads nothing", async () => {
    const { reads } = await open();
    const entries = scene.publish(5);
    scene.receive(entries);
    const [first, , , , newest] = entries;
    if (!first || !newest) throw new Error("there are five");
    const { messages, result } = await recovered(first.position);
    expect(messages).to.deep.equal([2, 3, 4, 5]);
    expect(result).to.deep.equal({ at: formatPosition(newest.position), recovered: 4 });
    expect(reads).to.have.length(1);
  });

  it("brings a member there once, where it begins anew or is gone meanwhile", async () => {
    await open();
    const [first] = scene.publish(3);
    if (!first) throw new Error("there are three");
    const member = { closed: false, whenDrained: () => undefined };
    const messages: string[] = [];
    const frames = { send: ({ json }: Entry) => messages.push(json) > 0, lose: () => {}, done: () => {} };
    const start = { since: first.position };
    const bring = () => recover(scene.channel, member, start, new TurnScheduler(PAGES), 50, frames);
    expect(await Promise.all([bring(), bring()])).to.deep.equal([false, true]);
    expect(messages).to.deep.equal(["2", "3"]);
    member.closed = true;
    expect([await bring(), messages.length, scene.channel.behind.size]).to.deep.equal([false, 2, 0]);
  });

  it("leaves others their turns while many recover what is in memory", async () => {
    await open();
    const entries = scene.publish(100);
    scene.receive(entries);
    const [first] = entries;
    if (!first) throw new Error("there is one");
    let turns = 0;
    let isDone = false;
    const count = () => {
      turns++;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    const scheduler = new TurnScheduler(1);
    const all = await Promise.all(
      Array.from({ length: 40 }, () => recovered(first.position, 500, scheduler)),
    );
    isDone = true;
    for (const { messages } of all) expect(messages).to.have.length(99);
    // a page each
    expect(turns).to.be.at.least(39);
  });

  it("keeps no more in memory than there is room for, and reads then", async () => {
    const { tails, reads } = await open({ tailBytes: 1_000 });
    const entries = scene.publish(20);
    scene.receive(entries);
    expect(tails.bytes).to.be.at.most(1_000);
    const [first] = entries;
    if (!first) throw new Error("there is one");
    for (let i = 0; i < 2; i++) {
      const { messages } = await recovered(first.position);
      expect(messages).to.deep.equal(Array.from({ length: 19 }, (_, n) => n + 2));
    }
    expect(reads.length).to.be.above(1);
  });

  it("keeps no more in memory than a recovery may bring", async () => {
    const { tails } = await open({ recoverMessages: 2 });
    scene.deliver(2);
    const { bytes } = tails;
    scene.deliver(5);
    expect(tails.bytes).to.equal(bytes);
  });

  it("forgets what it has in memory when it is closed", async () => {
    const { channel, tails } = await open();
    scene.deliver(5);
    expect(tails.bytes).to.be.above(0);
    channel.close();
    expect(tails.bytes).to.equal(0);
  });

  it("takes a member that is ahead of this server for what it is", async () => {
    const { told } = await open();
    const entries = scene.publish(3);
    const [, second] = entries;
    if (!second) throw new Error("there are three");
    const { messages, result } = await recovered(second.position);
    expect([messages, told]).to.deep.equal([[3], [1, 2, 3]]);
    expect(result).to.not.have.property("lost");
    scene.receive(entries);
    await settled();
    expect(told).to.deep.equal([1, 2, 3]);
  });

  it("takes it for what it is where there is no room in memory, too", async () => {
    const { told } = await open({ tailBytes: 0 });
    const [, second] = scene.publish(3);
    if (!second) throw new Error("there are three");
    const { messages, result } = await recovered(second.position);
    expect([messages, told]).to.deep.equal([[3], [1, 2, 3]]);
    expect(result).to.not.have.property("lost");
  });

  it("takes a member that knows a newer history for what it is", async () => {
    const { told } = await open();
    scene.deliver(1);
    scene.logs = new MemoryLogs();
    const [first] = scene.publish(2);
    if (!first) throw new Error("there is one");
    const { messages, result } = await recovered(first.position);
    expect(messages).to.deep.equal([3]);
    expect(result).to.not.have.property("lost");
    expect(told).to.deep.equal([1, { messages: null, reason: "reset", at: 0 }, 2, 3]);
  });

  it("finds by a member that reads what is before its memory that Redis has begun anew", async () => {
    const { told } = await open({ recoverMessages: 5 });
    scene.deliver(20);
    const { epoch = "" } = scene.channel.at ?? {};
    scene.logs = new MemoryLogs();
    scene.publish(1);
    const part = await scene.channel.after({ epoch, offset: 18, tag: "unknown" }, { count: 10, bytes: 1000 });
    expect(part.entries.map(({ json }) => json)).to.deep.equal(["21"]);
    expect(part.lost).to.deep.equal({ messages: null, reason: "reset" });
    expect(told.slice(-2)).to.deep.equal([{ messages: null, reason: "reset", at: 0 }, 21]);
    expect(scene.reads.length).to.be.below(20);
  });

  it("takes a member for what it is that knows a newer message under a number that is known here", async () => {
    const { told } = await open();
    scene.deliver(1);
    const { epoch } = scene.channel.at ?? {};
    if (epoch === undefined) throw new Error("there is one");
    const entry = (offset: number): Entry => {
      const position = { epoch, offset, tag: `${offset}8` };
      return {
        position,
        before: offset === 1 ? "0" : `${offset - 1}8`,
        time: Date.now(),
        json: `${offset}8`,
      };
    };
    const entries = [entry(1), entry(2)];
    const newest = entry(2).position;
    sinon.stub(scene.logs, "read").callsFake((_names, _bounds, { from = 1, count }) => {
      const read = count === 0 ? [] : entries.slice(Math.max(0, from - 1));
      return { at: newest, now: Date.now(), length: 2, entries: read };
    });
    const { messages, result } = await recovered(entry(1).position);
    expect([messages, result]).to.deep.equal([[28], { at: formatPosition(newest), recovered: 1 }]);
    expect(told).to.deep.equal([1, { messages: null, reason: "diverged", at: 0 }, 18, 28]);
  });

  it("says that messages were trimmed, also where what is left has not come here yet", async () => {
    const bounds = { ...BOUNDS, size: 4 };
    scene = new Scene({ bounds });
    const [first] = scene.publish(2, bounds);
    if (!first) throw new Error("there is one");
    await scene.channel.open();
    scene.publish(10, bounds);
    const { messages, result } = await recovered({ ...first.position, offset: 0, tag: first.before });
    expect(result).to.deep.include({ lost: { messages: 2, reason: "trimmed" } });
    expect(messages).to.deep.equal([{ messages: 2, reason: "trimmed", at: 2 }]);
  });

  it("tells of one loss where several pages of messages have expired", async () => {
    scene = new Scene({ tailBytes: 0 });
    const log = logOf(252, 251);
    sinon.stub(scene.logs, "read").callsFake((_names, _bounds, query) => pageOf(log, query));
    await scene.channel.open();
    const { messages, result } = await recovered({ epoch: "e", offset: 1, tag: "1" }, 1000);
    const loss = { messages: 250, reason: "expired" };
    expect(messages).to.deep.equal([{ ...loss, at: 251 }, 252]);
    expect(result).to.deep.include({ lost: loss, recovered: 1 });
  });

  it("finds by a member that comes back that Redis has gone back, and asks it no more than it has to", async () => {
    const { told, reads, channel } = await open({ recoverMessages: 2 });
    const [first] = scene.publish(20);
    if (!first) throw new Error("there are twenty");
    scene.receive([first]);
    await channel.check();
    await scene.until(() => channel.at?.offset === 20);
    const before = reads.length;
    const { epoch } = first.position;
    const at: Position = { epoch, offset: 0, tag: "0" };
    scene.logs = sinon.createStubInstance(MemoryLogs, {
      read: { at, now: Date.now(), length: 0, entries: [] },
    });
    const { messages, result } = await recovered(first.position);
    expect(messages).to.deep.equal([{ messages: null, reason: "diverged", at: 0 }]);
    expect(result).to.deep.equal({
      at: formatPosition(at),
      recovered: 0,
      lost: { messages: null, reason: "diverged" },
    });
    expect(told.at(-1)).to.deep.equal({ messages: null, reason: "diverged", at: 0 });
    expect(reads.length - before).to.be.at.most(6);
  });

  it("says nothing of a member's way where Redis cannot be read", async () => {
    await open();
    const [first] = scene.publish(2);
    if (!first) throw new Error("there is one");
    scene.failure = new Error("away");
    const error = await recovered(first.position).catch((error: unknown) => error);
    expect(error).to.have.property("message", "away");
    expect(scene.channel.behind.size).to.equal(0);
  });
});

describe("A history that is read", () => {
  it("tells what it is where it goes back between two reads", async () => {
    const entry = (offset: number): Entry => {
      const position = { epoch: "e", offset, tag: `${offset}` };
      return { position, before: `${offset - 1}`, time: Date.now(), json: String(offset) };
    };
    let newest = 11;
    const reader = new LogReader(BOUNDS, async ({ from = 1, count }) => {
      const all = Array.from({ length: newest }, (_, index) => entry(index + 1));
      const at = entry(newest).position;
      newest = 1;
      const entries = all.filter(({ position }) => position.offset >= from).slice(0, count);
      return { at, now: Date.now(), length: all.length, entries };
    });
    const part = await reader.after(entry(3).position, { count: 2, bytes: 1000, most: 4 });
    expect(part.lost).to.deep.equal({ messages: null, reason: "diverged" });
    expect(part.entries.map(({ json }) => json)).to.deep.equal(["1"]);
  });

  it("leaves out nothing where it begins anew between two reads", async () => {
    const bounds = { count: 10, bytes: 1000 };
    const histories = () => [logOf(20, 0), logOf(1, 0)].map((log, index) => ({ log, epoch: `e${index}` }));
    const readerOf = ([first, ...later] = histories()) =>
      new LogReader(BOUNDS, async (query) => {
        const { log, epoch } = first ?? { log: [], epoch: "" };
        if (later[0]) first = later.shift();
        const { at, entries, ...page } = pageOf(log, query);
        const renamed = entries.map((entry) => ({ ...entry, position: { ...entry.position, epoch } }));
        return { ...page, at: { ...at, epoch }, entries: renamed };
      });
    const parts = [
      await readerOf().after({ epoch: "e", offset: 20, tag: "20" }, { ...bounds, most: 6 }),
      await readerOf().after({ epoch: "e", offset: 20, tag: "20" }, bounds),
      await readerOf().after({ epoch: "e0", offset: 5, tag: "5" }, { ...bounds, most: 6 }),
      await readerOf().newest({ epoch: "e", offset: 20, tag: "20" }, 6, bounds),
    ];
    for (const { entries, at } of parts) {
      expect([entries.map(({ json }) => json), at]).to.deep.equal([
        ["1"],
        { epoch: "e1", offset: 1, tag: "1" },
      ]);
    }
    expect(parts.map(({ lost }) => lost?.reason)).to.deep.equal(["reset", "reset", "reset", undefined]);
  });

  it("says in all its parts together how many messages have expired", async () => {
    const log = logOf(8, 7);
    const reader = new LogReader(BOUNDS, async (query) => pageOf(log, query));
    const losses: (number | null)[] = [];
    const given: string[] = [];
    let at: Position = { epoch: "e", offset: 0, tag: "0" };
    for (let hasMore = true; hasMore; ) {
      const part = await reader.after(at, { count: 2, bytes: 1000 });
      if (part.lost) losses.push(part.lost.messages);
      given.push(...part.entries.map(({ json }) => json));
      ({ at, hasMore } = part);
    }
    expect(given).to.deep.equal(["8"]);
    expect(losses.reduce((sum, messages) => Number(sum) + Number(messages), 0)).to.equal(7);
  });

  it("says what has expired behind a message that fills an answer by itself", async () => {
    const log = logOf(7, 6, 3);
    const reader = new LogReader(BOUNDS, async (query) => pageOf(log, query));
    const part = await reader.after({ epoch: "e", offset: 3, tag: "3" }, { count: 10, bytes: 100 });
    expect(part.lost).to.deep.equal({ messages: 3, reason: "expired" });
    expect(part.entries.map(({ json }) => json)).to.deep.equal(["7"]);
  });
});

describe("The subscription to a channel with history", () => {
  it("goes on from what was published before it was in force", async () => {
    const logs = new MemoryLogs();
    const redis = { read: async (...args: Parameters<MemoryLogs["read"]>) => logs.read(...args) };
    const histories = new Histories({
      redis: redis as unknown as Redis,
      channelPrefix: "",
      limits: { recoverMessages: 50, tailBytes: 100_000, redisTimeout: 10_000 } as Limits,
      optionOf: () => BOUNDS,
      areKept: true,
      deliver: () => {},
      lose: () => {},
      onError: () => expect.fail(),
    });
    // another server publishes while Redis is asked
    const subscribe = async () => {
      logs.keep(NAMES, BOUNDS, { json: "1" }, () => {});
    };
    const parts = { subscriber: { subscribe } as unknown as Broker, histories, channelPrefix: "" };
    const subscriptions = new ChannelSubscriptions({ ...parts, reporter: {} as Reporter }, () => {});
    await subscriptions.acquire("room");
    expect(histories.live("room")?.at?.offset).to.equal(1);
    histories.shutdown();
  });
});
