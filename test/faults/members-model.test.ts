import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import fc from "fast-check";
import { freeze } from "../support/frozen-process.js";
import { MODEL_SEED } from "../support/fuzz/seed.js";
import { canStartRedis } from "../support/redis-server.js";
import { MemberSite } from "./member-site.js";
import { Member } from "./members.js";

/** The number of random courses of events; more by an environment variable, as `MEMBERS_RUNS=50`. */
const RUNS = Number(process.env.MEMBERS_RUNS ?? 2);

const TIMES = { REGISTRY_INTERVAL: "300", SETTLE: "1500", GRACE: "1000" };

/** How long a server is stopped: until it is taken for dead, and its members have left. */
const STOP = 3500;

/** How long Redis is away. */
const AWAY = 300;

/** How long it may take at most until all is quiet, on a machine that others use. */
const PATIENCE = 30_000;

const NAMES = ["ann", "bob", "cid", "dan"];

type Step =
  | { readonly type: "join" | "leave" | "lose" | "update"; readonly name: number; readonly server: number }
  | { readonly type: "flap"; readonly name: number; readonly server: number; readonly wait: number }
  | { readonly type: "kill" | "stop"; readonly server: number }
  | { readonly type: "empty"; readonly name: number }
  | { readonly type: "quiet" };

const name = fc.nat(NAMES.length - 1);
const server = fc.nat(2);

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ type: fc.constant("join" as const), name, server }) },
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constantFrom("leave" as const, "lose" as const), name, server }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constant("flap" as const), name, server, wait: fc.nat(300) }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("update" as const), name, server }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constantFrom("kill" as const, "stop" as const), server }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("empty" as const), name }) },
  { weight: 1, arbitrary: fc.constant({ type: "quiet" as const }) },
);

/** A course of events, with two observers that come back whenever their line is lost. */
class Course {
  readonly #site: MemberSite;
  readonly #observers: readonly Member[];
  readonly #members = new Map<string, Member>();
  #updates = 0;

  static async run(steps: readonly Step[]): Promise<void> {
    const site = await MemberSite.start(TIMES);
    try {
      const observers = await Promise.all([site.observer(0), site.observer(1)]);
      const course = new Course(site, observers);
      for (const each of steps) await course.take(each);
      await course.quiet();
    } finally {
      await site.stop();
    }
  }

  constructor(site: MemberSite, observers: readonly Member[]) {
    this.#site = site;
    this.#observers = observers;
  }

  async take(taken: Step): Promise<void> {
    switch (taken.type) {
      case "join":
        return this.#join(taken.name, taken.server);
      case "leave": {
        const member = this.#of(taken.name);
        await member?.leave();
        return member?.end();
      }
      case "lose":
        return this.#of(taken.name)?.end();
      case "flap":
        await this.#of(taken.name)?.end();
        await delay(taken.wait);
        return this.#join(taken.name, taken.server);
      case "update":
        await this.#of(taken.name)?.set(++this.#updates);
        return;
      case "kill":
        await this.#site.restart(taken.server);
        return this.#comeBack();
      case "stop": {
        const goOn = await freeze(this.#site.server(taken.server).pid);
        await delay(STOP);
        await goOn();
        return this.quiet();
      }
      case "empty":
        await this.#site.redis.stop();
        await this.#of(taken.name)?.end();
        await delay(AWAY);
        await this.#site.redis.start();
        return this.quiet();
      case "quiet":
        return this.quiet();
    }
  }

  /** Waits until what observers were told is who is there. */
  async quiet(): Promise<void> {
    await this.#comeBack();
    const end = performance.now() + PATIENCE;
    const expected = [...this.#observers, ...this.#members.values()]
      .filter(({ isConnected }) => isConnected)
      .map((member) => member.name)
      .sort();
    for (;;) {
      const there = await this.#read();
      const known = this.#observers.map(({ members }) => JSON.stringify([...members].sort()));
      const isQuiet =
        there.map(([id]) => id).join() === expected.join() &&
        known.every((members) => members === JSON.stringify(there));
      if (isQuiet) break;
      if (performance.now() > end) {
        expect({ there, known }, "at a quiet moment").to.deep.equal({ there: expected, known: expected });
      }
      await delay(50);
    }
    expect(this.#observers.flatMap(({ faults }) => faults)).to.deep.equal([]);
  }

  async #read(): Promise<(readonly [id: string, state: string])[]> {
    const members = await this.#site
      .server(0)
      .call("members", "room:1")
      .catch(() => []);
    return members.map(({ id, state }) => [id, JSON.stringify(state)] as const).sort();
  }

  #of(index: number): Member | undefined {
    const member = this.#members.get(NAMES[index] as string);
    return member?.isConnected ? member : undefined;
  }

  async #join(index: number, on: number): Promise<void> {
    if (this.#of(index)) return;
    const member = new Member(NAMES[index] as string);
    this.#site.members.push(member);
    this.#members.set(member.name, member);
    await this.#connect(member, on);
  }

  /** Tries until Redis and the server are there. */
  async #connect(member: Member, on: number): Promise<void> {
    const end = performance.now() + PATIENCE;
    for (;;) {
      try {
        return await this.#site.reconnect(member, on);
      } catch (error) {
        if (performance.now() > end) throw error;
        await delay(50);
      }
    }
  }

  async #comeBack(): Promise<void> {
    // a process that has been killed may be faster than the news of it
    await delay(50);
    for (const [index, observer] of this.#observers.entries()) {
      if (observer.isConnected) continue;
      await this.#connect(observer, index);
      await observer.observe();
    }
  }
}

(canStartRedis ? describe : describe.skip)("Whatever happens to servers, lines and Redis", function () {
  this.timeout(120_000 * RUNS);

  it("what observers are told is who is there, at every quiet moment", async () => {
    const course = fc.array(step, { minLength: 8, maxLength: 14 });
    const property = fc.asyncProperty(course, (steps) => Course.run(steps));
    await fc.assert(property, {
      numRuns: RUNS,
      // a course takes long, so that a shorter one is not looked for
      endOnFailure: true,
      seed: MODEL_SEED,
      includeErrorInReport: true,
    });
  });
});
