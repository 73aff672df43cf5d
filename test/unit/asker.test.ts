import { expect } from "chai";
import sinon from "sinon";
import { type AnswerPart, encodePart } from "../../lib/server/cluster/answers.js";
import { Asker, parse, type Question } from "../../lib/server/cluster/asker.js";
import type { Outcome } from "../../lib/server/cluster/inquiry.js";
import type { Reporter } from "../../lib/server/log/reporter.js";
import type { Broker, PayloadListener } from "../../lib/server/redis/broker.js";
import type { ListedServer } from "../../lib/server/redis/server-list.js";
import { AbortedError } from "../../lib/shared/call-errors.js";

const ID = "question";

/** A server that asks others, whose answers come when the test says so. */
class Scene {
  listed: ListedServer[] = [];
  lists = 0;
  probes = 0;
  failure: Error | undefined;
  overdue: string[] = [];
  readonly debugged: string[] = [];
  readonly published: [channel: string, payload: unknown][] = [];
  readonly listeners = new Map<string, PayloadListener>();
  readonly unsubscribed: string[] = [];
  readonly asker: Asker;

  constructor({ hasPubSub = true } = {}) {
    const { overdue } = this;
    const subscriber: Partial<Broker> = {
      subscribe: async (channel, listener) => {
        this.listeners.set(channel, listener);
      },
      unsubscribe: async (channel, listener) => {
        this.unsubscribed.push(channel);
        if (this.listeners.get(channel) === listener) this.listeners.delete(channel);
        if (this.failure) throw this.failure;
      },
    };
    const publisher: Partial<Broker> = {
      publish: async (channel, payload) => {
        if (this.failure) throw this.failure;
        return this.published.push([channel, JSON.parse(payload)]);
      },
    };
    this.asker = new Asker({
      publisher: publisher as Broker,
      subscriber: hasPubSub ? (subscriber as Broker) : undefined,
      channelPrefix: "shop:",
      registry: {
        id: "here",
        list: async () => {
          this.lists++;
          if (this.failure) throw this.failure;
          return this.listed;
        },
        overdue,
      },
      patience: 5000,
      reporter: { debug: (text: () => string) => this.debugged.push(text()) } as unknown as Reporter,
    });
  }

  /** Takes a payload on the channel of this server. */
  receive(payload: string): void {
    const channel = "shop:___server:here___";
    this.listeners.get(channel)?.(payload, channel);
  }

  /** Takes a part of another server's answer. */
  hear(server: string, part: AnswerPart, sharing: number | undefined = 1, id = ID): void {
    this.receive(encodePart({ id, server, sharing }, part));
  }

  /** Asks so many connections; `outcome` is there as soon as it has resolved. */
  ask(connections: number, own: AnswerPart = {}, question: Partial<Question> = {}) {
    const asked: { outcome?: Outcome; error?: unknown } = {};
    const whole = {
      id: ID,
      send: async () => connections,
      probe: async () => this.probes++,
      timeout: 4000,
      ...question,
    };
    this.asker
      .ask(whole, (tell) => tell(own))
      .then(
        (outcome) => {
          asked.outcome = outcome;
        },
        (error: unknown) => {
          asked.error = error;
        },
      );
    return asked;
  }
}

const serverOf = (id: string, more: Partial<ListedServer> = {}): ListedServer => ({
  id,
  at: 5,
  age: 0,
  isGone: false,
  json: "{}",
  ...more,
});

const answer = (sid: string) => ({ sid, value: true });

describe("A question to other servers", () => {
  let clock: sinon.SinonFakeTimers;
  let scene: Scene;

  beforeEach(async () => {
    clock = sinon.useFakeTimers({ now: 1_000_000, toFake: ["setTimeout", "clearTimeout", "Date"] });
    scene = new Scene();
    await scene.asker.start();
  });
  afterEach(() => {
    scene.asker.close();
    clock.restore();
  });

  it("gets its answers by a channel of this server's own, from when it hears there until it ends", async () => {
    const { asker, listeners, unsubscribed } = new Scene();
    expect([asker.id, asker.answerTo]).to.deep.equal(["here", undefined]);
    await asker.end();
    expect(unsubscribed).to.deep.equal([]);
    await asker.start();
    await asker.started;
    expect([asker.answerTo, [...listeners.keys()]]).to.deep.equal(["here", ["shop:___server:here___"]]);
    await asker.end();
    expect(listeners.size).to.equal(0);
    const off = new Scene({ hasPubSub: false });
    await off.asker.start();
    expect(off.asker.answerTo).to.equal(undefined);
    await off.asker.end();
    // that Redis is away is no reason not to end
    scene.failure = new Error("away");
    await scene.asker.end();
    expect(scene.listeners.size).to.equal(0);
  });

  it("is answered when each connection has sent a receipt, and each socket its answer", async () => {
    const asked = scene.ask(2, { answers: [answer("a")], count: 1 });
    await clock.tickAsync(0);
    scene.hear("there", { waits: ["b", "c"], count: 2 });
    scene.hear("elsewhere", { answers: [answer("d")], isMore: true });
    await clock.tickAsync(0);
    expect(asked.outcome).to.equal(undefined);
    scene.hear("there", { answers: [answer("c")] }, undefined);
    await clock.tickAsync(0);
    expect(asked.outcome).to.equal(undefined);
    scene.hear("there", { answers: [answer("b")] }, undefined);
    await clock.tickAsync(0);
    expect(asked.outcome).to.deep.equal({
      answers: [
        { ...answer("a"), server: "here" },
        { ...answer("d"), server: "elsewhere" },
        { ...answer("c"), server: "there" },
        { ...answer("b"), server: "there" },
      ],
      missing: [],
      count: 3,
      found: [],
      isMore: true,
    });
    expect([scene.lists, scene.probes]).to.deep.equal([0, 0]);
  });

  it("finds sockets, each with its server", async () => {
    const socket = { sid: "a", identity: undefined, channels: ["room"], since: 1, address: "::1" };
    const asked = scene.ask(1, { found: [socket] });
    await clock.tickAsync(0);
    scene.hear("there", { found: [{ ...socket, sid: "b", identity: "ann" }] });
    await clock.tickAsync(0);
    expect(asked.outcome?.found).to.deep.equal([
      { ...socket, server: "here" },
      { ...socket, sid: "b", identity: "ann", server: "there" },
    ]);
    expect(asked.outcome?.isMore).to.equal(false);
  });

  it("waits for each of the servers that share a connection", async () => {
    const asked = scene.ask(2);
    await clock.tickAsync(0);
    for (const server of ["a", "b", "c"]) scene.hear(server, {}, 3);
    await clock.tickAsync(0);
    expect(asked.outcome).to.equal(undefined);
    scene.asker.echo(ID, 2);
    await clock.tickAsync(0);
    expect(asked.outcome).to.equal(undefined);
    scene.asker.echo("another", 2);
    await clock.tickAsync(0);
    expect(asked.outcome).to.equal(undefined);
    scene.asker.echo(ID, 2);
    await clock.tickAsync(0);
    expect(asked.outcome?.missing).to.deep.equal([]);
  });

  it("counts what older servers answer, which do not say who they are", async () => {
    const asked = scene.ask(2, { count: 1 });
    await clock.tickAsync(0);
    scene.asker.count("another", 7, 1);
    scene.asker.count(ID, 2, 1);
    scene.asker.count(ID, 3, 0);
    await clock.tickAsync(0);
    expect(asked.outcome?.count).to.equal(6);
  });

  it("is for this server alone where pub/sub is off", async () => {
    const off = new Scene({ hasPubSub: false });
    const send = sinon.spy();
    const asked = off.ask(0, { answers: [answer("a")] }, { send });
    await clock.tickAsync(0);
    expect(asked.outcome?.answers).to.deep.equal([{ ...answer("a"), server: "here" }]);
    expect(send.callCount).to.equal(0);
  });

  it("has a TimeoutError for each socket that has not answered in time", async () => {
    const asked = scene.ask(1, { waits: ["a", "b"] });
    await clock.tickAsync(0);
    scene.hear("there", { waits: ["c"] });
    scene.hear("here", { answers: [answer("b")] }, undefined);
    await clock.tickAsync(3999);
    expect(asked.outcome).to.equal(undefined);
    await clock.tickAsync(1);
    const late = asked.outcome?.answers.map((one) => [one.sid, one.server, "error" in one && one.error]);
    expect(late?.map(([sid, server]) => [sid, server])).to.deep.equal([
      ["b", "here"],
      ["a", "here"],
      ["c", "there"],
    ]);
    expect(late?.[1]?.[2]).to.have.property("message").that.includes("4000");
  });

  it("rejects where Redis does not take it, or not in time, and where it is aborted", async () => {
    const failure = new Error("away");
    const failed = scene.ask(0, {}, { send: () => Promise.reject(failure) });
    await clock.tickAsync(0);
    expect(failed.error).to.equal(failure);
    const slow = scene.ask(0, {}, { send: () => new Promise(() => {}), timeout: 60_000 });
    await clock.tickAsync(5000);
    await new Promise((resolve) => setImmediate(resolve));
    expect(slow.error).to.have.property("message", "No answer from Redis within 5000 ms");
    const controller = new AbortController();
    const aborted = scene.ask(1, {}, { signal: controller.signal });
    await clock.tickAsync(0);
    controller.abort(new Error("enough"));
    await clock.tickAsync(0);
    expect(aborted.error).to.be.an.instanceOf(AbortedError);
    const own = sinon.spy();
    const [outcome] = await Promise.allSettled([
      scene.asker.ask({ id: ID, send: async () => 0, timeout: 1, signal: controller.signal }, own),
    ]);
    expect(outcome).to.have.property("reason").that.is.an.instanceOf(AbortedError);
    expect(own.callCount).to.equal(0);
  });

  it("looks after a quarter of a second which servers there are, and waits for those that are alive", async () => {
    scene.listed = [
      serverOf("here"),
      serverOf("there"),
      serverOf("gone", { isGone: true, at: 0 }),
      serverOf("ended", { at: 0 }),
    ];
    const asked = scene.ask(9);
    await clock.tickAsync(249);
    expect([scene.lists, scene.probes]).to.deep.equal([0, 0]);
    await clock.tickAsync(1);
    expect([scene.lists, scene.probes, asked.outcome]).to.deep.equal([1, 1, undefined]);
    scene.hear("there", {}, 1);
    await clock.tickAsync(0);
    expect(asked.outcome?.missing).to.deep.equal([]);
  });

  it("looks sooner where it has less time", async () => {
    scene.ask(9, {}, { timeout: 400 });
    await clock.tickAsync(99);
    expect(scene.lists).to.equal(0);
    await clock.tickAsync(1);
    expect(scene.lists).to.equal(1);
  });

  it("does not look once all have sent a receipt, however slow their sockets are", async () => {
    scene.ask(1, { waits: ["a"] });
    await clock.tickAsync(0);
    scene.hear("there", {});
    await clock.tickAsync(3000);
    expect(scene.lists).to.equal(0);
  });

  it("takes a sign of life for the receipt of a server that has nothing to answer", async () => {
    scene.listed = [serverOf("here"), serverOf("there")];
    const asked = scene.ask(9);
    await clock.tickAsync(250);
    scene.hear("there", {}, undefined);
    await clock.tickAsync(0);
    expect(asked.outcome).to.deep.include({ missing: [], answers: [] });
  });

  it("names after a second who was silent, but not who has ended or is dead for long", async () => {
    scene.listed = [
      serverOf("here"),
      serverOf("silent"),
      serverOf("dead", { age: 599_999 }),
      serverOf("forgotten", { isGone: true }),
      serverOf("old", { age: 600_000 }),
      serverOf("ended", { at: 0 }),
      serverOf("heard"),
    ];
    const asked = scene.ask(9, { answers: [answer("a")] });
    await clock.tickAsync(0);
    scene.hear("heard", {});
    await clock.tickAsync(999);
    expect(asked.outcome).to.equal(undefined);
    await clock.tickAsync(1);
    expect(asked.outcome?.missing).to.deep.equal(["silent", "dead", "forgotten"]);
    expect(asked.outcome?.answers).to.have.length(1);
  });

  it("does not wait again for who was silent, until it has written or answers", async () => {
    scene.listed = [serverOf("here"), serverOf("silent")];
    scene.ask(9);
    await clock.tickAsync(1000);
    const again = scene.ask(9);
    await clock.tickAsync(19);
    expect([scene.lists, again.outcome]).to.deep.equal([1, undefined]);
    await clock.tickAsync(1);
    expect(again.outcome?.missing).to.deep.equal(["silent"]);
    // it has written since
    scene.listed = [serverOf("here"), serverOf("silent", { at: 6 })];
    const later = scene.ask(9);
    await clock.tickAsync(20);
    expect([scene.lists, later.outcome]).to.deep.equal([3, undefined]);
    await clock.tickAsync(980);
    expect(later.outcome?.missing).to.deep.equal(["silent"]);
    // a late answer shows that it is there
    scene.hear("silent", {});
    const last = scene.ask(9);
    await clock.tickAsync(249);
    expect([scene.lists, last.outcome]).to.deep.equal([3, undefined]);
    await clock.tickAsync(1);
    expect([scene.lists, last.outcome]).to.deep.equal([4, undefined]);
  });

  it("forgets who was silent once it is listed no more, or is dead for long", async () => {
    for (const gone of [[], [serverOf("silent", { age: 600_000 })]]) {
      scene.listed = [serverOf("here"), serverOf("silent")];
      scene.ask(9);
      await clock.tickAsync(1000);
      scene.listed = [serverOf("here"), ...gone];
      const again = scene.ask(9);
      await clock.tickAsync(20);
      expect(again.outcome?.missing).to.deep.equal([]);
      const { lists } = scene;
      scene.ask(9);
      await clock.tickAsync(249);
      expect(scene.lists).to.equal(lists);
      await clock.tickAsync(1);
      expect(scene.lists).to.equal(lists + 1);
    }
  });

  it("looks as late as ever where who was silent is gone, or is there again", async () => {
    const fresh = { age: 0, at: 6 };
    for (const [more, isEarly] of [
      [[], false],
      [[serverOf("silent", { age: 600_000 })], false],
      [[serverOf("silent", { age: 599_999 })], true],
    ] as const) {
      scene.listed = [serverOf("here"), serverOf("silent")];
      scene.ask(9);
      await clock.tickAsync(1000);
      // it looks, and then all connections answer, so that nobody is said to be missing
      scene.listed = [serverOf("here", fresh), serverOf("there", fresh), ...more];
      const again = scene.ask(1);
      await clock.tickAsync(20);
      scene.hear("there", {});
      await clock.tickAsync(0);
      expect(again.outcome?.missing).to.deep.equal([]);
      const { lists } = scene;
      scene.ask(9);
      await clock.tickAsync(20);
      expect(scene.lists - lists).to.equal(isEarly ? 1 : 0);
      await clock.tickAsync(980);
    }
  });

  it("takes what has no id for no sign of life", async () => {
    scene.listed = [serverOf("here"), serverOf("silent")];
    scene.ask(9);
    await clock.tickAsync(1000);
    for (const id of [undefined, null, 5]) scene.receive(JSON.stringify({ id, server: "silent" }));
    const again = scene.ask(9);
    await clock.tickAsync(20);
    expect(again.outcome?.missing).to.deep.equal(["silent"]);
  });

  it("names who is overdue where all connections have answered, or the servers cannot be listed", async () => {
    scene.overdue.push("here", "heard", "late");
    const asked = scene.ask(1);
    await clock.tickAsync(0);
    scene.hear("heard", {});
    await clock.tickAsync(0);
    expect(asked.outcome?.missing).to.deep.equal(["late"]);
    scene.failure = new Error("away");
    const blind = scene.ask(9);
    await clock.tickAsync(1000);
    expect(blind.outcome?.missing).to.deep.equal(["heard", "late"]);
    expect(scene.debugged).to.deep.equal(["the servers could not be listed: Error: away"]);
  });

  it("names who is overdue where the last receipt comes while it looks", async () => {
    scene.overdue.push("late");
    scene.listed = [serverOf("here"), serverOf("silent"), serverOf("there")];
    const asked = scene.ask(1);
    await clock.tickAsync(250);
    scene.hear("there", {});
    await clock.tickAsync(0);
    expect(asked.outcome?.missing).to.deep.equal(["late"]);
  });

  it("leaves nothing to be done when it has ended, however it has", async () => {
    const { signal } = new AbortController();
    scene.listed = [serverOf("here"), serverOf("silent")];
    const asked = scene.ask(9, {}, { signal });
    const failed = scene.ask(9, {}, { id: "failed", send: () => Promise.reject(new Error("away")) });
    await clock.tickAsync(1000);
    expect(asked.outcome?.missing).to.deep.equal(["silent"]);
    expect(failed.error).to.have.property("message", "away");
    expect(clock.countTimers()).to.equal(0);
  });

  it("goes to all by itself where there is nobody to be asked for a sign of life", async () => {
    scene.listed = [serverOf("here"), serverOf("silent")];
    const asked = scene.ask(9, {}, { probe: undefined });
    await clock.tickAsync(1000);
    expect([asked.outcome?.missing, scene.probes]).to.deep.equal([["silent"], 0]);
    expect(scene.debugged).to.deep.equal([]);
  });

  it("never misses this server itself", async () => {
    scene.overdue.push("here");
    const asking = scene.asker.ask({ id: ID, send: async () => 0, timeout: 1000 }, () => {});
    expect((await asking).missing).to.deep.equal([]);
  });

  it("waits for nobody any more once the server is shut down", async () => {
    const asked = scene.ask(9, { answers: [answer("a")] });
    await clock.tickAsync(0);
    scene.asker.close();
    await clock.tickAsync(0);
    expect(asked.outcome?.answers).to.have.length(1);
  });

  it("takes no notice of what is no answer, or comes too late", async () => {
    const asked = scene.ask(1);
    await clock.tickAsync(0);
    for (const payload of ["", "[]", "null", '"x"', `{"id":"${ID}"}`, '{"server":"there","sharing":1}']) {
      scene.receive(payload);
    }
    scene.receive(JSON.stringify({ id: ID, server: 5, sharing: 1 }));
    scene.receive(JSON.stringify({ id: ID, server: "there", sharing: "1" }));
    scene.hear("there", {}, 1, "another");
    await clock.tickAsync(0);
    expect(asked.outcome).to.equal(undefined);
    scene.hear("there", {});
    await clock.tickAsync(0);
    const found = [{ sid: "late", identity: undefined, channels: [], since: 1, address: "::1" }];
    scene.hear("there", { answers: [answer("late")], found });
    expect(asked.outcome).to.deep.include({ answers: [], found: [] });
  });

  it("is answered by the channel of the server that asks", async () => {
    const { asker } = scene;
    asker.answer("there", ID, { count: 2, answers: [{ sid: "a", value: 1 }] }, 3);
    asker.answer("there", ID, { answers: [{ sid: "b", value: 2 }] });
    asker.show("there", ID);
    const channel = "shop:___server:there___";
    const head = { id: ID, server: "here" };
    expect(scene.published).to.deep.equal([
      [channel, { ...head, sharing: 3, count: 2, answers: [{ sid: "a", value: 1 }] }],
      [channel, { ...head, answers: [{ sid: "b", value: 2 }] }],
      [channel, head],
    ]);
    scene.failure = new Error("away");
    asker.answer("there", ID, {});
    await clock.tickAsync(0);
    expect(scene.debugged).to.deep.equal(["answering another server failed: Error: away"]);
  });

  it("is read as an object, or as an empty one", () => {
    expect(parse('{"a":1}')).to.deep.equal({ a: 1 });
    for (const text of ["", "{", "[1]", "1", "null"]) expect(parse(text)).to.deep.equal({});
  });
});
