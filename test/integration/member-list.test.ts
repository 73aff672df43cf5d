import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { adaptRedis } from "../../lib/server/redis/adapt.js";
import {
  entriesKey,
  entryOf,
  type MemberBatch,
  type MemberChange,
  type MemberNames,
  memberNames,
  parseEntry,
  parsePublishedChange,
} from "../../lib/server/redis/member-list.js";
import type { Redis } from "../../lib/server/redis/redis.js";
import { Inbox } from "../support/inbox.js";
import { CONNECTING_KINDS, embedded, type Kind } from "../support/redis-clients.js";
import { type RedisServer, startRedis } from "../support/redis-server.js";

const PREFIX = "test:";

/** The embedded store and one client of each library at its newest; what a client does with scripts, history's tests show of all. */
const KINDS = [
  ...CONNECTING_KINDS.filter(({ name }) =>
    ["node-redis 6", "ioredis 6", "node-redis 4", "ioredis 5"].includes(name),
  ),
  embedded(),
];

/** A channel's members, and the changes that two servers make to them. */
class Scene {
  readonly channel = `room:${randomUUID()}`;
  readonly names: MemberNames = memberNames(PREFIX, this.channel);
  readonly inbox = new Inbox();
  readonly redis: Redis;
  limit = 10;
  isCount = false;

  constructor(redis: Redis) {
    this.redis = redis;
  }

  async observe(subscriber: Redis): Promise<void> {
    await subscriber.subscribe(this.names.channel, this.inbox.listener);
  }

  change(server: string, changes: readonly MemberChange[], dead?: MemberBatch["dead"]) {
    const { channel, limit, isCount } = this;
    return this.redis.changeMembers(PREFIX, this.names, { server, dead, channel, limit, isCount, changes });
  }

  async outcomes(server: string, ...changes: MemberChange[]) {
    return (await this.change(server, changes)).outcomes;
  }

  async types(server: string, ...changes: MemberChange[]) {
    return (await this.outcomes(server, ...changes)).map(({ type }) => type);
  }

  async members() {
    const { members } = await this.redis.readMembers(this.names, "0");
    return members.map(({ id, sockets }) => `${id}:${sockets}`).sort();
  }

  entries(server: string, until = Number.MAX_SAFE_INTEGER) {
    return this.redis.readEntries(entriesKey(PREFIX, this.names.partition, server), until, 10_000);
  }

  async idsOf(server: string) {
    const parsed = (await this.entries(server)).entries.map(parseEntry);
    // other tests' channels may be in the same partition
    return parsed.flatMap((entry) => (entry?.channel === this.channel ? [entry.id] : [])).sort();
  }

  async published(count: number) {
    await this.inbox.until(count);
    return this.inbox.payloads.map((payload) => parsePublishedChange(payload));
  }
}

const put = (id: string, sockets = 1, more: { info?: string; state?: string } = {}): MemberChange => ({
  type: "put",
  id,
  sockets,
  info: '{"name":"Zoë"}',
  ...more,
});
const drop = (id: string, grace = 0): MemberChange => ({ type: "drop", id, grace });

describe("The members of a channel", () => {
  let server: RedisServer;
  const open: { adapter: Redis; close(): void }[] = [];

  before(async () => {
    server = await startRedis();
  });

  after(() => server.stop());

  afterEach(() => {
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

  it("have names in one partition, and entries that lead back to them", () => {
    const names = memberNames(PREFIX, "room:ä");
    expect(names.members).to.equal(`token-sockjs:test:{${names.partition}}members:room:ä`);
    expect(names.channel).to.equal("test:___presence:room:ä___");
    for (const id of ["7", "a:b", "ü%", ""]) {
      expect(parseEntry(entryOf(id, "room:1"))).to.deep.equal({ id, channel: "room:1" });
    }
    expect(parseEntry("nothing")).to.equal(undefined);
    expect(parseEntry("%zz:room")).to.equal(undefined);
  });

  for (const kind of KINDS) {
    describe(`in ${kind.name}`, () => {
      let scene: Scene;

      beforeEach(async () => {
        scene = new Scene(await connect(kind));
        await scene.observe(await connect(kind));
      });

      it("join with their first socket and leave with their last, over all servers", async () => {
        expect(await scene.types("a", put("7"))).to.deep.equal(["joined"]);
        expect(await scene.types("b", put("7", 2))).to.deep.equal(["there"]);
        expect(await scene.members()).to.deep.equal(["7:3"]);
        expect(await scene.types("a", drop("7"))).to.deep.equal(["there"]);
        expect(await scene.types("b", put("7", 1))).to.deep.equal(["there"]);
        const [left] = await scene.outcomes("b", drop("7"));
        expect(left).to.deep.include({ type: "left" });
        expect(await scene.members()).to.deep.equal([]);
        expect(await scene.types("b", drop("7"))).to.deep.equal(["gone"]);
        const [joined, second, third, fourth, last] = await scene.published(5);
        expect(
          joined?.joined.map(({ id, info, state, sockets }) => [id, info, state, sockets]),
        ).to.deep.equal([["7", '{"name":"Zoë"}', "null", 1]]);
        for (const [change, sockets] of [
          [second, 3],
          [third, 2],
          [fourth, 1],
        ] as const) {
          expect(change?.sockets).to.deep.equal([["7", sockets]]);
          expect([
            ...(change?.joined ?? []),
            ...(change?.left ?? []),
            ...(change?.updated ?? []),
          ]).to.deep.equal([]);
        }
        expect(last?.left).to.deep.equal(["7"]);
        expect([joined?.count, last?.count]).to.deep.equal([1, 0]);
      });

      it("are changed by batches, each of which is one version", async () => {
        const first = await scene.change("a", [put("1"), put("2"), put("3")]);
        const second = await scene.change("a", [drop("1"), put("2", 1, { state: "[1]" }), put("4")]);
        expect(first.before).to.deep.equal({ epoch: "", version: 0 });
        expect(first.after.version).to.equal(1);
        expect(second.before).to.deep.equal(first.after);
        expect(second.after).to.deep.equal({ ...first.after, version: 2 });
        const [, change] = await scene.published(2);
        expect(change?.at).to.deep.equal(second.after);
        expect(change?.joined.map(({ id }) => id)).to.deep.equal(["4"]);
        expect(change?.updated.map(({ id, state }) => [id, state])).to.deep.equal([["2", "[1]"]]);
        expect(change?.left).to.deep.equal(["1"]);
        // what changes nothing is no version
        expect((await scene.change("a", [put("3"), drop("9")])).after).to.deep.equal(second.after);
        const page = await scene.redis.readMembers(scene.names, "0");
        expect([page.at, page.count, page.next]).to.deep.equal([second.after, 3, undefined]);
      });

      it("show the newest info and state", async () => {
        await scene.outcomes("a", put("7", 1, { state: '{"a":[]}' }));
        expect(await scene.types("b", put("7", 1, { info: '{"name":"Z"}' }))).to.deep.equal(["updated"]);
        expect(
          await scene.types("b", put("7", 1, { info: '{"name":"Z"}', state: '{"a":[]}' })),
        ).to.deep.equal(["there"]);
        const { members } = await scene.redis.readMembers(scene.names, "0");
        const [member] = members;
        expect([member?.info, member?.state]).to.deep.equal(['{"name":"Z"}', '{"a":[]}']);
        expect(member?.stateAt).to.be.at.least(member?.since ?? Infinity);
      });

      it("stay for the grace when their line is lost, and nobody is told who comes back", async () => {
        await scene.outcomes("a", put("7"));
        const [lost] = await scene.outcomes("a", drop("7", 60_000));
        expect(lost?.type).to.equal("grace");
        expect(lost?.type === "grace" && lost.wait).to.be.within(1, 60_000);
        expect(await scene.members()).to.deep.equal(["7:0"]);
        const [early] = await scene.outcomes("a", { type: "due", id: "7" });
        expect(early?.type).to.equal("grace");
        expect(await scene.types("b", put("7"))).to.deep.equal(["there"]);
        expect(await scene.types("a", { type: "due", id: "7" })).to.deep.equal(["gone"]);
        expect(await scene.idsOf("a")).to.deep.equal([]);
        expect(await scene.types("b", drop("7"))).to.deep.equal(["left"]);
      });

      it("leave once when the grace is over, whoever says so", async () => {
        await scene.outcomes("a", put("7"));
        await scene.outcomes("a", drop("7", 1));
        await delay(5);
        const types = await Promise.all(
          ["a", "b", "c"].map((name) => scene.types(name, { type: "due", id: "7" })),
        );
        expect(types.flat().sort()).to.deep.equal(["gone", "gone", "left"]);
        expect(await scene.idsOf("a")).to.deep.equal([]);
      });

      it("stay for a line that was lost elsewhere, though the last socket leaves on purpose", async () => {
        await scene.outcomes("a", put("7"));
        await scene.outcomes("b", put("7"));
        expect(await scene.types("a", drop("7", 60_000))).to.deep.equal(["there"]);
        expect(await scene.types("b", drop("7"))).to.deep.equal(["grace"]);
        expect(await scene.idsOf("b")).to.deep.equal(["7"]);
      });

      it("are no more than the limit", async () => {
        scene.limit = 2;
        expect(await scene.types("a", put("1"), put("2"), put("3"))).to.deep.equal([
          "joined",
          "joined",
          "full",
        ]);
        expect(await scene.types("b", put("1"))).to.deep.equal(["there"]);
        expect(await scene.types("a", drop("2"), put("3"))).to.deep.equal(["left", "joined"]);
        expect(await scene.members()).to.deep.equal(["1:2", "3:1"]);
        expect(await scene.idsOf("a")).to.deep.equal(["1", "3"]);
      });

      it("are told as a number alone where that is wanted", async () => {
        scene.isCount = true;
        await scene.outcomes("a", put("1"), put("2"));
        await scene.outcomes("a", drop("2"));
        const [first, second] = await scene.published(2);
        expect([first?.count, second?.count]).to.deep.equal([2, 1]);
        expect([first?.joined, second?.left]).to.deep.equal([[], []]);
      });

      it("are taken over by one server when theirs is dead", async () => {
        await scene.outcomes("dead", put("1"), put("2"), put("3"));
        await scene.outcomes("b", put("2"));
        await scene.outcomes("dead", drop("3", 60_000));
        const { now } = await scene.entries("dead", 0);
        const dead = { server: "dead", at: now + 1 };
        const ids = await scene.idsOf("dead");
        expect(ids).to.deep.equal(["1", "2", "3"]);
        const takeOver = ids.map((id) => ({ type: "dead", id, grace: 60_000 }) as const);
        const [one, other] = await Promise.all([
          scene.change("b", takeOver, dead),
          scene.change("c", takeOver, dead),
        ]);
        expect(one.outcomes.map(({ type }) => type)).to.deep.equal(["grace", "gone", "grace"]);
        expect(other.outcomes.map(({ type }) => type)).to.deep.equal(["gone", "gone", "gone"]);
        expect(await scene.members()).to.deep.equal(["1:0", "2:1", "3:0"]);
        expect(await scene.idsOf("dead")).to.deep.equal([]);
        expect(await scene.idsOf("b")).to.deep.equal(["1", "2", "3"]);
        expect(await scene.types("d", put("1"))).to.deep.equal(["there"]);
      });

      it("are left to a server that was dead and has written them again", async () => {
        await scene.outcomes("back", put("1"), put("2"));
        const { now: at } = await scene.entries("back", 0);
        await delay(5);
        await scene.outcomes("back", put("1"));
        const { entries } = await scene.entries("back", at);
        expect(entries).to.include(entryOf("2", scene.channel)).and.not.include(entryOf("1", scene.channel));
        const { outcomes } = await scene.change(
          "b",
          ["1", "2"].map((id) => ({ type: "dead", id, grace: 60_000 }) as const),
          { server: "back", at },
        );
        expect(outcomes.map(({ type }) => type)).to.deep.equal(["gone", "grace"]);
        expect(await scene.members()).to.deep.equal(["1:1", "2:0"]);
      });

      it("are written again where Redis has forgotten them, as they were", async () => {
        const known = { info: '{"n":1}', state: '{"s":1}', stateAt: 5, since: 3, grace: 60_000 };
        const first = await scene.change("a", [
          { type: "refill", id: "1", sockets: 2, ...known },
          { type: "refill", id: "2", sockets: 0, ...known },
        ]);
        expect(first.outcomes.map(({ type }) => type)).to.deep.equal(["joined", "joined"]);
        // another server knows an older state, and has it from before
        expect(
          await scene.types("b", {
            type: "refill",
            id: "1",
            sockets: 1,
            ...known,
            state: "null",
            stateAt: 0,
            info: "null",
          }),
        ).to.deep.equal(["there"]);
        // and a third a newer one
        expect(
          await scene.types("c", { type: "refill", id: "1", sockets: 1, ...known, state: "[2]", stateAt: 6 }),
        ).to.deep.equal(["updated"]);
        const { members } = await scene.redis.readMembers(scene.names, "0");
        const member = members.find(({ id }) => id === "1");
        expect(member).to.deep.equal({
          id: "1",
          info: '{"n":1}',
          state: "[2]",
          stateAt: 6,
          since: 3,
          sockets: 4,
        });
        const [change] = await scene.published(3);
        expect(change?.joined).to.deep.equal([]);
        expect(change?.refilled.map(({ id, sockets }) => [id, sockets])).to.deep.equal([
          ["1", 2],
          ["2", 0],
        ]);
        expect(await scene.types("a", { type: "due", id: "2" })).to.deep.equal(["grace"]);
      });

      it("are read in parts, all of them", async () => {
        scene.limit = 2000;
        const ids = Array.from({ length: 1200 }, (_, i) => String(i));
        for (let i = 0; i < ids.length; i += 100)
          await scene.change(
            "a",
            ids.slice(i, i + 100).map((id) => put(id)),
          );
        const seen = new Set<string>();
        let cursor: string | undefined = "0";
        while (cursor !== undefined) {
          const page: Awaited<ReturnType<Redis["readMembers"]>> = await scene.redis.readMembers(
            scene.names,
            cursor,
          );
          for (const { id } of page.members) seen.add(id);
          expect(page.count).to.equal(1200);
          cursor = page.next;
        }
        expect(seen.size).to.equal(1200);
      });

      it("may have any text for an id and in what is shown", async () => {
        const id = `${"☃".repeat(3)}:{}"\\/\u0001`;
        const info = JSON.stringify({ "a/b": ["\ud800", "</script>", [], {}, 1e21, "\u2028"] });
        await scene.outcomes("a", put(id, 1, { info, state: info }));
        const { members } = await scene.redis.readMembers(scene.names, "0");
        expect(members.map((member) => [member.id, member.info, member.state])).to.deep.equal([
          [id, info, info],
        ]);
        const [change] = await scene.published(1);
        expect(change?.joined.map((member) => [member.id, member.info])).to.deep.equal([[id, info]]);
        expect(await scene.idsOf("a")).to.deep.equal([id]);
      });
    });
  }
});
