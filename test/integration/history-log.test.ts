import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect } from "chai";
import { createClient } from "redis";
import sinon from "sinon";
import { adaptRedis } from "../../lib/server/redis/adapt.js";
import {
  historyNames,
  KEEP,
  type LogQuery,
  parseEnvelope,
  partitionOf,
  READ,
} from "../../lib/server/redis/history-log.js";
import type { Redis } from "../../lib/server/redis/redis.js";
import { formatPosition } from "../../lib/shared/position.js";
import { Inbox } from "../support/inbox.js";
import { CONNECTING_KINDS, embedded, type Kind } from "../support/redis-clients.js";
import { type RedisServer, startRedis } from "../support/redis-server.js";

const BOUNDS = { size: 10, ttl: 60_000, positionTtl: 600_000 };
const ALL: LogQuery = { from: 0, count: 100, bytes: 1_000_000 };

describe("The log of a channel's history", () => {
  let server: RedisServer;
  let observer: ReturnType<typeof createClient>;
  const open: { adapter: Redis; close(): void }[] = [];

  before(async () => {
    server = await startRedis();
    observer = createClient({ url: server.url });
    observer.on("error", () => {});
    await observer.connect();
  });

  after(async () => {
    observer.destroy();
    await server.stop();
  });

  afterEach(() => {
    sinon.restore();
    for (const { adapter, close } of open.splice(0)) {
      adapter.release();
      close();
    }
  });

  async function connect(kind: Kind): Promise<Redis> {
    const made = kind.create(server);
    const adapter = adaptRedis(made.client, "redisClient");
    open.push({ adapter, close: made.close });
    await made.connect();
    return adapter;
  }

  const fresh = () => historyNames("test:", `room:${randomUUID()}`);

  for (const kind of [...CONNECTING_KINDS, embedded()]) {
    describe(`of ${kind.name}`, () => {
      it("keeps what it publishes, with positions that follow each other", async () => {
        const redis = await connect(kind);
        const names = fresh();
        const sent = ['{"n":1}', '"grüße ☃"', "[3]"];
        const kept = await Promise.all(sent.map((json) => redis.keep(names, BOUNDS, { json })));
        const page = await redis.read(names, BOUNDS, ALL);
        expect(page.entries.map(({ json }) => json)).to.deep.equal(sent);
        expect(page.entries.map(({ position }) => position.offset)).to.deep.equal([1, 2, 3]);
        const tags = page.entries.map(({ position }) => position.tag);
        expect(page.entries.map(({ before }) => before)).to.deep.equal(["0", ...tags.slice(0, 2)]);
        expect(kept.map(({ at }) => at)).to.deep.equal(
          tags.map((tag, i) => `${page.at.epoch}.${i + 1}.${tag}`),
        );
        expect(page.at).to.deep.equal(page.entries.at(-1)?.position);
        expect(page.length).to.equal(3);
        for (const { time } of page.entries) expect(page.now - time).to.be.within(0, 60_000);
      });

      it("publishes on the channel what it keeps, in the same form", async () => {
        const redis = await connect(kind);
        const subscriber = await connect(kind);
        const names = fresh();
        const inbox = new Inbox();
        await subscriber.subscribe(names.channel, inbox.listener);
        await redis.keep(names, BOUNDS, { json: '{"a b":" c"}' });
        await redis.keep(names, BOUNDS, { json: '"two"' });
        await inbox.until(2);
        const { entries } = await redis.read(names, BOUNDS, ALL);
        expect(inbox.payloads.map(parseEnvelope)).to.deep.equal(entries);
      });

      it("gives an empty history a position, which stays", async () => {
        const redis = await connect(kind);
        const names = fresh();
        const { at, entries } = await redis.read(names, BOUNDS, { count: 0, bytes: 1 });
        expect(entries).to.deep.equal([]);
        expect(at).to.deep.include({ offset: 0, tag: "0" });
        expect((await redis.read(names, BOUNDS, ALL)).at).to.deep.equal(at);
        const kept = await redis.keep(names, BOUNDS, { json: "1" });
        expect(kept.at).to.match(new RegExp(`^${at.epoch}\\.1\\.`));
      });

      it("keeps no more than its size", async () => {
        const redis = await connect(kind);
        const names = fresh();
        for (let n = 1; n <= 14; n++) await redis.keep(names, BOUNDS, { json: String(n) });
        const { entries, at, length } = await redis.read(names, BOUNDS, ALL);
        expect(entries.map(({ json }) => Number(json))).to.deep.equal([5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
        expect([at.offset, length]).to.deep.equal([14, 10]);
      });

      it("reads from an offset on, up to one, and within a number of messages and bytes", async () => {
        const redis = await connect(kind);
        const names = fresh();
        for (let n = 1; n <= 9; n++) await redis.keep(names, BOUNDS, { json: String(n) });
        const read = async (query: LogQuery) =>
          (await redis.read(names, BOUNDS, query)).entries.map(({ json }) => Number(json));
        expect(await read({ from: 4, count: 3, bytes: 1_000 })).to.deep.equal([4, 5, 6]);
        expect(await read({ from: 10, count: 3, bytes: 1_000 })).to.deep.equal([]);
        expect(await read({ to: 4, count: 3, bytes: 1_000 })).to.deep.equal([2, 3, 4]);
        expect(await read({ count: 2, bytes: 1_000 })).to.deep.equal([8, 9]);
        expect(await read({ from: 4, count: 3, bytes: 1 })).to.deep.equal([4]);
        expect(await read({ to: 4, count: 3, bytes: 1 })).to.deep.equal([4]);
      });

      it("publishes a message of one id once", async () => {
        const redis = await connect(kind);
        const subscriber = await connect(kind);
        const names = fresh();
        const inbox = new Inbox();
        await subscriber.subscribe(names.channel, inbox.listener);
        const first = await redis.keep(names, BOUNDS, { json: "1", id: "order:7" });
        const again = await redis.keep(names, BOUNDS, { json: "1", id: "order:7" });
        const other = await redis.keep(names, BOUNDS, { json: "2", id: "order:8" });
        expect(first.isRepeated).to.equal(false);
        expect(again).to.deep.equal({ at: first.at, isRepeated: true });
        expect(other.isRepeated).to.equal(false);
        await inbox.until(2);
        expect(inbox.payloads.map((payload) => parseEnvelope(payload)?.json)).to.deep.equal(["1", "2"]);
      });

      it("keeps the order of all that is published and read at once", async () => {
        const redis = await connect(kind);
        const subscriber = await connect(kind);
        const [names, other] = [fresh(), fresh()];
        const inbox = new Inbox();
        await subscriber.subscribe(names.channel, inbox.listener);
        const keep = (json: string, id?: string) => redis.keep(names, BOUNDS, { json, id, except: id });
        const first = redis.keep(names, BOUNDS, { json: "1" });
        const second = keep("2", "two");
        const elsewhere = redis.keep(other, BOUNDS, { json: "0" });
        const third = keep("3", "three");
        const again = keep("2", "two");
        const soonAgain = keep("3", "three");
        const early = redis.read(names, BOUNDS, ALL);
        const fourth = keep("4");
        const plain = redis.publish(names.channel, "plain");
        const fifth = keep("5");
        const all = await Promise.all([first, second, third, fourth, fifth]);
        expect(await again).to.deep.equal({ at: (await second).at, isRepeated: true });
        expect(await soonAgain).to.deep.equal({ at: (await third).at, isRepeated: true });
        expect((await elsewhere).isRepeated).to.equal(false);
        await plain;
        await inbox.until(6);
        const { entries } = await redis.read(names, BOUNDS, ALL);
        expect(entries.map(({ json, except }) => [json, except])).to.deep.equal([
          ["1", undefined],
          ["2", "two"],
          ["3", "three"],
          ["4", undefined],
          ["5", undefined],
        ]);
        expect(all.map(({ at }) => at)).to.deep.equal(
          entries.map(({ position }) => formatPosition(position)),
        );
        expect((await early).entries).to.deep.equal(entries.slice(0, 3));
        const heard = inbox.payloads.map((payload) => parseEnvelope(payload)?.json ?? payload);
        expect(heard).to.deep.equal(["1", "2", "3", "4", "plain", "5"]);
      });

      it("keeps very many messages that are published at once, the newest of them", async () => {
        const redis = await connect(kind);
        const names = fresh();
        const long = "x".repeat(100_000);
        const sent = Array.from({ length: 1001 }, (_, n) =>
          JSON.stringify(n % 250 === 0 ? `${n}${long}` : n),
        );
        const kept = await Promise.all(sent.map((json) => redis.keep(names, BOUNDS, { json })));
        const { epoch } = (await redis.read(names, BOUNDS, ALL)).at;
        expect(kept.map(({ at }) => at.slice(0, at.lastIndexOf(".")))).to.deep.equal(
          sent.map((_, n) => `${epoch}.${n + 1}`),
        );
        const { entries, length } = await redis.read(names, BOUNDS, { ...ALL, bytes: 10_000_000 });
        expect(entries.map(({ json }) => json)).to.deep.equal(sent.slice(-10));
        expect(length).to.equal(10);
      });

      it("keeps the ids of each channel apart", async () => {
        const redis = await connect(kind);
        const [a, b] = [fresh(), fresh()];
        await redis.keep(a, BOUNDS, { json: "1", id: "7" });
        expect((await redis.keep(b, BOUNDS, { json: "1", id: "7" })).isRepeated).to.equal(false);
      });
    });
  }

  for (const kind of CONNECTING_KINDS) {
    describe(`of ${kind.name}`, () => {
      it("goes on when Redis has forgotten its scripts", async () => {
        const redis = await connect(kind);
        const names = fresh();
        await redis.keep(names, BOUNDS, { json: "1" });
        await observer.scriptFlush();
        await redis.keep(names, BOUNDS, { json: "2" });
        await observer.scriptFlush();
        const { entries } = await redis.read(names, BOUNDS, ALL);
        expect(entries.map(({ json }) => json)).to.deep.equal(["1", "2"]);
      });

      it("begins anew where Redis has forgotten the position", async () => {
        const redis = await connect(kind);
        const names = fresh();
        await redis.keep(names, BOUNDS, { json: "1" });
        const before = await redis.read(names, BOUNDS, ALL);
        await observer.del(names.position);
        await redis.keep(names, BOUNDS, { json: "2" });
        const after = await redis.read(names, BOUNDS, ALL);
        expect(after.at.epoch).to.not.equal(before.at.epoch);
        expect(after.entries.map(({ json }) => json)).to.deep.equal(["2"]);
      });

      it("gives each key an end", async () => {
        const redis = await connect(kind);
        const names = fresh();
        await redis.keep(names, BOUNDS, { json: "1", id: "7" });
        expect(await observer.pTTL(names.log)).to.be.within(1, BOUNDS.ttl);
        expect(await observer.pTTL(names.position)).to.be.within(BOUNDS.ttl + 1, BOUNDS.positionTtl);
        expect(await observer.pTTL(names.idOf("7"))).to.be.within(1, 300_000);
        const empty = fresh();
        await redis.read(empty, BOUNDS, ALL);
        expect(await observer.pTTL(empty.position)).to.be.within(1, 300_000);
        await redis.read(empty, BOUNDS, ALL);
        expect(await observer.pTTL(empty.position)).to.be.within(1, 300_000);
        await redis.keep(empty, BOUNDS, { json: "1" });
        await redis.read(empty, BOUNDS, ALL);
        expect(await observer.pTTL(empty.position)).to.be.within(300_001, BOUNDS.positionTtl);
      });

      it("publishes at once what is to be published when it is released, and nothing after", async () => {
        const redis = await connect(kind);
        const names = fresh();
        const kept = redis.keep(names, BOUNDS, { json: "1" });
        redis.release();
        const late = await redis.keep(names, BOUNDS, { json: "2" }).catch((error: unknown) => error);
        expect(late).to.be.instanceOf(Error);
        await kept;
        const { entries } = await (await connect(kind)).read(names, BOUNDS, ALL);
        expect(entries.map(({ json }) => json)).to.deep.equal(["1"]);
      });

      it("does not publish what it cannot keep", async () => {
        const redis = await connect(kind);
        const subscriber = await connect(kind);
        const names = fresh();
        const inbox = new Inbox();
        await subscriber.subscribe(names.channel, inbox.listener);
        await observer.set(names.log, "no stream");
        await observer.set(names.position, "k3f.1.1");
        const keep = (json: string) => redis.keep(names, BOUNDS, { json }).catch((error: unknown) => error);
        for (const error of await Promise.all(["1", "2"].map(keep))) expect(error).to.be.instanceOf(Error);
        await redis.publish(names.channel, "later");
        await inbox.until(1);
        expect(inbox.payloads).to.deep.equal(["later"]);
      });
    });
  }

  it("takes expired messages away, though the channel lives on", async () => {
    const [kind] = CONNECTING_KINDS;
    if (!kind) throw new Error("there is a kind");
    const redis = await connect(kind);
    const names = fresh();
    const old = `0 ${Date.now() - 120_000} "old"`;
    // what a service has written that does not know the form has no time
    for (let n = 1; n <= 5; n++) await observer.xAdd(names.log, `${n}-1`, { m: n === 2 ? "strange" : old });
    await observer.set(names.position, "k3f.5.1");
    for (let n = 6; n <= 8; n++) await redis.keep(names, BOUNDS, { json: String(n) });
    const { entries } = await redis.read(names, BOUNDS, ALL);
    expect(entries.map(({ json }) => json)).to.deep.equal(["6", "7", "8"]);
    expect(await observer.xLen(names.log)).to.equal(3);
  });

  it("forgets in the embedded store what has expired", async () => {
    const redis = await connect(embedded());
    const clock = sinon.useFakeTimers({ now: Date.now(), toFake: ["Date"] });
    const names = fresh();
    await redis.keep(names, BOUNDS, { json: "1", id: "7" });
    clock.tick(BOUNDS.ttl + 1);
    expect((await redis.read(names, BOUNDS, ALL)).entries).to.deep.equal([]);
    clock.tick(300_000);
    const again = await redis.keep(names, BOUNDS, { json: "1", id: "7" });
    expect(again.isRepeated).to.equal(false);
    clock.tick(BOUNDS.positionTtl + 1);
    const { at } = await redis.read(names, BOUNDS, ALL);
    expect(at.offset).to.equal(0);
    clock.restore();
  });

  it("forgets in the embedded store sooner a channel that has had no message", async () => {
    const redis = await connect(embedded());
    const clock = sinon.useFakeTimers({ now: Date.now(), toFake: ["Date"] });
    const [empty, other] = [fresh(), fresh()];
    const look = () => Promise.all([empty, other].map((names) => redis.read(names, BOUNDS, ALL)));
    const before = await look();
    await redis.keep(other, BOUNDS, { json: "1" });
    clock.tick(300_001);
    const after = await look();
    expect(after.map(({ at }, index) => at.epoch === before[index]?.at.epoch)).to.deep.equal([false, true]);
    clock.restore();
  });

  it("is in the partition that other languages compute, too", () => {
    // Python: binascii.crc_hqx("123456789".encode(), 0) == 0x31c3
    expect(partitionOf("123456789")).to.equal(0xc3);
    expect(partitionOf("grüße")).to.be.within(0, 255);
    expect(historyNames("shop:", "123456789").log).to.equal("token-sockjs:shop:{195}log:123456789");
  });

  it("is documented with its scripts as they are", () => {
    const document = readFileSync(new URL("../../docs/delivery.md", import.meta.url), "utf8");
    for (const { text } of [KEEP, READ]) expect(document).to.include(`\`\`\`lua${text}\`\`\``);
  });

  it("takes no other text for a message that is kept", () => {
    for (const text of ["", '"@"', "@alice hi", "@k3f.1.1 hi", "@k3f.1.1 0 x 1", "@k3f.1 0 1 2"]) {
      expect(parseEnvelope(text), text).to.equal(undefined);
    }
    expect(parseEnvelope('@k3f.1.9 0 1767225600000,later {"a":1}')).to.deep.equal({
      position: { epoch: "k3f", offset: 1, tag: "9" },
      before: "0",
      time: 1767225600000,
      json: '{"a":1}',
    });
  });
});
