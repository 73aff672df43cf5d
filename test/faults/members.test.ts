import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { createClient } from "redis";
import { until } from "../support/condition.js";
import { freeze } from "../support/frozen-process.js";
import { canStartRedis } from "../support/redis-server.js";
import { MemberSite } from "./member-site.js";
import type { Member } from "./members.js";

const allOf = (members: readonly Member[]) => members.map(({ name }) => name).sort();

(canStartRedis ? describe : describe.skip)("Members of a channel on three servers", function () {
  this.timeout(120_000);

  let site: MemberSite;

  afterEach(() => site.stop());

  /** Waits until all observers know these members. */
  const untilKnown = (observers: readonly Member[], names: readonly string[]) =>
    until(() =>
      observers.every(({ members }) => [...members.keys()].sort().join() === [...names].sort().join()),
    );

  it("are not told to have left whose server is killed and who come back, and others leave once", async () => {
    site = await MemberSite.start();
    const observers = await Promise.all([site.observer(0), site.observer(1)]);
    const members = await Promise.all(Array.from({ length: 300 }, (_, i) => site.connect(`user${i}`, i % 3)));
    await untilKnown(observers, allOf(site.members));
    for (const { told } of observers) told.length = 0;
    await site.server(2).kill();
    const [lost, back] = [
      members.filter((_, i) => i % 3 === 2 && i % 2 === 0),
      members.filter((_, i) => i % 3 === 2 && i % 2 === 1),
    ];
    await Promise.all(back.map((member, i) => site.reconnect(member, i % 2)));
    const gone = allOf(lost);
    await untilKnown(observers, allOf(site.members.filter((member) => !lost.includes(member))));
    for (const { told } of observers) {
      expect(told.map(([event]) => event).filter((event) => event !== "leave")).to.deep.equal([]);
      expect(told.map(([, id]) => id).sort()).to.deep.equal(gone);
    }
    const notices = (await site.notices(0, 1)).filter((notice) => notice.startsWith("left"));
    expect(notices.sort()).to.deep.equal(gone.map((id) => `left ${id}`).sort());
  });

  it("flap, and nobody hears of it", async () => {
    site = await MemberSite.start();
    const observers = await Promise.all([site.observer(0), site.observer(1)]);
    const member = await site.connect("flapping", 2);
    await untilKnown(observers, allOf(site.members));
    for (const { told } of observers) told.length = 0;
    for (let time = 0; time < 30; time++) {
      await member.end();
      await site.reconnect(member, time % 3);
    }
    await until(async () => (await site.sockets(0)).every((sockets) => sockets === 1));
    // longer than the grace
    await delay(3000);
    await until(async () => (await site.sockets(0)).every((sockets) => sockets === 1));
    for (const { told } of observers) expect(told).to.deep.equal([]);
  });

  it("are all there again in a Redis that was emptied, and nobody hears of it", async () => {
    site = await MemberSite.start();
    const observers = await Promise.all([site.observer(0), site.observer(1)]);
    await Promise.all(Array.from({ length: 30 }, (_, i) => site.connect(`user${i}`, i % 3)));
    const away = await site.connect("away", 2);
    await untilKnown(observers, allOf(site.members));
    expect((await away.set({ typing: true })).resp).to.equal("success");
    await until(() => observers.every(({ told }) => told.at(-1)?.[0] === "update"));
    for (const { told } of observers) told.length = 0;
    const before = await site.notices(0, 1, 2);
    await away.end();
    await until(async () => (await site.sockets(0)).includes(0));
    await site.redis.stop();
    await site.redis.start();
    await until(async () => (await site.ids(0)).length === site.members.length);
    await site.reconnect(away, 0);
    await until(async () => (await site.sockets(0)).every((sockets) => sockets === 1));
    const operator = createClient({ url: site.redis.url });
    await operator.connect();
    await operator.flushAll();
    operator.destroy();
    await until(async () => (await site.ids(0)).length === site.members.length);
    // longer than it may take until what is missing has left
    await delay(4000);
    expect(await site.ids(0)).to.deep.equal(allOf(site.members));
    for (const { told, members } of observers) {
      expect(told).to.deep.equal([]);
      expect(members.get("away")).to.equal('{"typing":true}');
    }
    expect(await site.notices(0, 1, 2)).to.deep.equal(before);
  });

  it("are not told to have left while all servers are drained one after the other", async () => {
    site = await MemberSite.start();
    const observer = await site.observer(0);
    await Promise.all(Array.from({ length: 30 }, (_, i) => site.connect(`user${i}`, 1 + (i % 2))));
    await untilKnown([observer], allOf(site.members));
    observer.told.length = 0;
    for (const [index, next] of [
      [1, 2],
      [2, 0],
      [0, 1],
    ] as const) {
      const there = site.members.filter(({ url }) => url === site.urls[index]);
      if (index === 0) await site.restart(1);
      await site.server(index).call("drain", 200);
      await until(() => there.every(({ isConnected }) => !isConnected));
      await Promise.all(there.map((member) => site.reconnect(member, next)));
    }
    await observer.observe();
    await until(async () => (await site.sockets(1)).every((sockets) => sockets === 1));
    // longer than the grace
    await delay(4000);
    expect(await site.ids(1)).to.deep.equal(allOf(site.members));
    expect(observer.told).to.deep.equal([]);
  });

  it("leave once where their server is stopped for long, and join again when it goes on", async () => {
    site = await MemberSite.start();
    const observers = await Promise.all([site.observer(0), site.observer(1)]);
    const members = await Promise.all(Array.from({ length: 5 }, (_, i) => site.connect(`user${i}`, 2)));
    await untilKnown(observers, allOf(site.members));
    for (const { told } of observers) told.length = 0;
    const before = (await site.notices(0, 1, 2)).length;
    const goOn = await freeze(site.server(2).pid);
    await untilKnown(observers, allOf(observers));
    await goOn();
    await untilKnown(observers, allOf(site.members));
    for (const { told } of observers) {
      expect(told.map(([event]) => event)).to.deep.equal([
        ...members.map(() => "leave"),
        ...members.map(() => "join"),
      ]);
    }
    const notices = await site.notices(0, 1, 2);
    expect(notices.slice(0).length - before).to.equal(2 * members.length);
  });
});
