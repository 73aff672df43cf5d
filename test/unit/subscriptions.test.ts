import { expect } from "chai";
import fc from "fast-check";
import sinon from "sinon";
import { Subscriptions } from "../../lib/server/redis/subscriptions.js";

/** A command that Redis has not answered yet. */
interface InFlight {
  readonly name: "SUBSCRIBE" | "UNSUBSCRIBE";
  readonly channels: readonly string[];
  confirm(): Promise<void>;
  fail(error: Error): Promise<void>;
}

/** Lets every promise that is settled already run its handlers. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Redis as a table of subscriptions sees it: it answers when the test says so. */
class FakeRedis {
  readonly inFlight: InFlight[] = [];
  readonly sent: string[] = [];
  /** What Redis holds; a command that fails changes nothing. */
  readonly subscribed = new Set<string>();
  readonly report = sinon.spy();
  /** Channels that were given a command before the answer to the one before. */
  readonly overtaken: string[] = [];

  subscribe(channels: readonly string[]): Promise<unknown> {
    return this.#send("SUBSCRIBE", channels, (channel) => this.subscribed.add(channel));
  }

  unsubscribe(channels: readonly string[]): Promise<unknown> {
    return this.#send("UNSUBSCRIBE", channels, (channel) => this.subscribed.delete(channel));
  }

  /** The first command that waits for its answer; what was asked for in this turn is sent at its end. */
  async next(): Promise<InFlight> {
    await settled();
    const [command] = this.inFlight;
    if (!command) throw new Error("No command is in flight");
    return command;
  }

  #send(
    name: InFlight["name"],
    channels: readonly string[],
    carryOut: (channel: string) => void,
  ): Promise<unknown> {
    const isInFlight = (channel: string) => this.inFlight.some((other) => other.channels.includes(channel));
    this.overtaken.push(...channels.filter(isInFlight));
    this.sent.push([name, ...channels].join(" "));
    return new Promise((resolve, reject) => {
      const finish = (act: () => void) => {
        this.inFlight.splice(this.inFlight.indexOf(command), 1);
        act();
        return settled();
      };
      const command: InFlight = {
        name,
        channels,
        confirm: () =>
          finish(() => {
            channels.forEach(carryOut);
            resolve(1);
          }),
        fail: (error) => finish(() => reject(error)),
      };
      this.inFlight.push(command);
    });
  }
}

/** How a promise stands. */
function watch(promise: Promise<void>) {
  const seen: { state: "pending" | "resolved" | "rejected"; error?: unknown } = { state: "pending" };
  promise.then(
    () => {
      seen.state = "resolved";
    },
    (error: unknown) => {
      seen.state = "rejected";
      seen.error = error;
    },
  );
  return seen;
}

describe("a client's subscriptions", () => {
  const owner = {};
  let redis: FakeRedis;
  let table: Subscriptions;
  let listener: sinon.SinonSpy;
  let other: sinon.SinonSpy;

  beforeEach(() => {
    redis = new FakeRedis();
    table = new Subscriptions(redis);
    table.resume();
    listener = sinon.spy();
    other = sinon.spy();
  });

  /** A channel that is in force already. */
  async function join(name = "room", of = listener) {
    const joining = table.subscribe(name, of, owner);
    await settled();
    await redis.inFlight[0]?.confirm();
    await joining;
  }

  it("resolves when Redis has confirmed, and not before", async () => {
    const joining = watch(table.subscribe("room", listener, owner));
    await settled();
    expect(joining.state).to.equal("pending");
    expect(redis.sent).to.deep.equal(["SUBSCRIBE room"]);
    await (await redis.next()).confirm();
    expect(joining.state).to.equal("resolved");
  });

  it("sends one SUBSCRIBE for many listeners, and one UNSUBSCRIBE for the last", async () => {
    await join();
    await join("room", other);
    await table.unsubscribe("room", listener);
    expect(redis.sent).to.deep.equal(["SUBSCRIBE room"]);
    const leaving = table.unsubscribe("room", other);
    await (await redis.next()).confirm();
    await leaving;
    expect(redis.sent).to.deep.equal(["SUBSCRIBE room", "UNSUBSCRIBE room"]);
    expect(table.size).to.equal(0);
  });

  it("delivers to the listeners of the channel alone", async () => {
    await join();
    await join("hall", other);
    table.deliver("room", "hello");
    table.deliver("cellar", "nobody");
    sinon.assert.calledOnceWithExactly(listener, "hello", "room");
    sinon.assert.notCalled(other);
  });

  it("delivers nothing before it is in force", async () => {
    const joining = table.subscribe("room", listener, owner);
    table.deliver("room", "early");
    await (await redis.next()).confirm();
    await joining;
    table.deliver("room", "in time");
    sinon.assert.calledOnceWithExactly(listener, "in time", "room");
  });

  it("delivers nothing of an ended subscription to a listener that waits for the next one", async () => {
    await join();
    const leaving = table.unsubscribe("room", listener);
    const joining = table.subscribe("room", other, owner);
    table.deliver("room", "old");
    await (await redis.next()).confirm();
    await leaving;
    await (await redis.next()).confirm();
    await joining;
    sinon.assert.notCalled(other);
    sinon.assert.notCalled(listener);
  });

  it("calls no listener any more once its unsubscribe was called", async () => {
    await join();
    await join("room", other);
    void table.unsubscribe("room", listener);
    table.deliver("room", "hello");
    sinon.assert.notCalled(listener);
    sinon.assert.calledOnce(other);
  });

  it("skips a listener that another one takes away during a delivery", async () => {
    await join(
      "room",
      sinon.spy(() => void table.unsubscribe("room", listener)),
    );
    await join();
    table.deliver("room", "hello");
    sinon.assert.notCalled(listener);
  });

  it("reports a listener that throws, and serves the others", async () => {
    const error = new Error("broken");
    await join("room", sinon.stub().throws(error));
    await join();
    table.deliver("room", "hello");
    sinon.assert.calledOnceWithExactly(redis.report, error);
    sinon.assert.calledOnce(listener);
  });

  it("waits for the answer to SUBSCRIBE before it sends UNSUBSCRIBE", async () => {
    const joining = watch(table.subscribe("room", listener, owner));
    const leaving = watch(table.unsubscribe("room", listener));
    await settled();
    expect(redis.sent).to.deep.equal(["SUBSCRIBE room"]);
    await (await redis.next()).confirm();
    expect(joining.state).to.equal("resolved");
    expect(leaving.state).to.equal("pending");
    await settled();
    expect(redis.sent).to.deep.equal(["SUBSCRIBE room", "UNSUBSCRIBE room"]);
    await (await redis.next()).confirm();
    expect(leaving.state).to.equal("resolved");
  });

  it("sends nothing for joins and leaves that cancel out while a command is in flight", async () => {
    const first = watch(table.subscribe("room", listener, owner));
    const leaving: ReturnType<typeof watch>[] = [];
    for (let i = 0; i < 100; i++) {
      leaving.push(watch(table.unsubscribe("room", listener)));
      watch(table.subscribe("room", listener, owner));
    }
    await (await redis.next()).confirm();
    expect(redis.sent).to.deep.equal(["SUBSCRIBE room"]);
    expect([first, ...leaving].every(({ state }) => state === "resolved")).to.equal(true);
    table.deliver("room", "hello");
    sinon.assert.calledOnce(listener);
  });

  it("has the channels of one turn in one command", async () => {
    const joining = [watch(table.subscribe("room", listener, owner))];
    await Promise.resolve();
    joining.push(...["hall", "cellar"].map((name) => watch(table.subscribe(name, listener, owner))));
    await (await redis.next()).confirm();
    const leaving = ["room", "cellar"].map((name) => watch(table.unsubscribe(name, listener)));
    joining.push(watch(table.subscribe("attic", listener, owner)));
    await (await redis.next()).confirm();
    await (await redis.next()).confirm();
    expect(redis.sent.sort()).to.deep.equal([
      "SUBSCRIBE attic",
      "SUBSCRIBE room hall cellar",
      "UNSUBSCRIBE room cellar",
    ]);
    expect([...joining, ...leaving].every(({ state }) => state === "resolved")).to.equal(true);
    expect([...redis.subscribed]).to.deep.equal(["hall", "attic"]);
  });

  it("has at most a thousand channels in one command", async () => {
    const names = Array.from({ length: 1001 }, (_, i) => `room ${i}`);
    for (const name of names) watch(table.subscribe(name, listener, owner));
    await settled();
    expect(redis.inFlight.map(({ channels }) => channels)).to.deep.equal([
      names.slice(0, 1000),
      ["room 1000"],
    ]);
  });

  it("has just a thousand channels in one command", async () => {
    for (let n = 0; n < 1000; n++) void table.subscribe(`room ${n}`, listener, owner);
    await settled();
    expect(redis.inFlight.map(({ channels }) => channels.length)).to.deep.equal([1000]);
  });

  it("rejects a channel that Redis refuses, and asks again for the others of its turn", async () => {
    const error = new Error("NOPERM this user has no permissions to access one of the channels");
    const joining = ["room", "secret", "hall"].map((name) => watch(table.subscribe(name, listener, owner)));
    await (await redis.next()).fail(error);
    expect(redis.sent.slice(1)).to.deep.equal(["SUBSCRIBE room", "SUBSCRIBE secret", "SUBSCRIBE hall"]);
    expect(joining.every(({ state }) => state === "pending")).to.equal(true);
    const [room, secret, hall] = redis.inFlight;
    await room?.confirm();
    await secret?.fail(error);
    await hall?.confirm();
    expect(joining).to.deep.equal([
      { state: "resolved" },
      { state: "rejected", error },
      { state: "resolved" },
    ]);
    table.deliver("room", "hello");
    table.deliver("secret", "hello");
    sinon.assert.calledOnceWithExactly(listener, "hello", "room");
  });

  it("rejects all channels of a command that the client could not carry out", async () => {
    const error = new Error("Command timed out, perhaps by LOADING a dataset");
    const joining = ["room", "hall"].map((name) => watch(table.subscribe(name, listener, owner)));
    await (await redis.next()).fail(error);
    const rejected = { state: "rejected", error };
    expect(joining).to.deep.equal([rejected, rejected]);
    await settled();
    expect(redis.sent).to.deep.equal(["SUBSCRIBE room hall", "UNSUBSCRIBE room", "UNSUBSCRIBE hall"]);
  });

  it("holds up no channel for another", async () => {
    const slow = watch(table.subscribe("slow", listener, owner));
    await settled();
    const fast = watch(table.subscribe("fast", listener, owner));
    await settled();
    await redis.inFlight[1]?.confirm();
    expect(slow.state).to.equal("pending");
    expect(fast.state).to.equal("resolved");
  });

  it("rejects who waits for a SUBSCRIBE that fails, and tries again for the next one", async () => {
    const error = new Error("NOPERM");
    const waiting = [listener, other].map((of) => watch(table.subscribe("room", of, owner)));
    await (await redis.next()).fail(error);
    for (const one of waiting) expect(one).to.deep.equal({ state: "rejected", error });
    const again = watch(table.subscribe("room", listener, owner));
    await (await redis.next()).confirm();
    await settled();
    expect(redis.sent).to.deep.equal(["SUBSCRIBE room", "UNSUBSCRIBE room", "SUBSCRIBE room"]);
    await (await redis.next()).confirm();
    expect(again.state).to.equal("resolved");
    table.deliver("room", "hello");
    sinon.assert.calledOnce(listener);
    sinon.assert.notCalled(other);
  });

  it("takes back a SUBSCRIBE that has failed, since it may have reached Redis, and then forgets the channel", async () => {
    const joining = watch(table.subscribe("room", listener, owner));
    await (await redis.next()).fail(new Error("Command timed out"));
    expect(joining.state).to.equal("rejected");
    expect((await redis.next()).name).to.equal("UNSUBSCRIBE");
    await (await redis.next()).fail(new Error("Command timed out"));
    expect(table.size).to.equal(0);
  });

  it("rejects a SUBSCRIBE whose client throws at once", async () => {
    const error = new Error("closed");
    sinon.stub(redis, "subscribe").throws(error);
    const joining = watch(table.subscribe("room", listener, owner));
    await settled();
    expect(joining).to.deep.equal({ state: "rejected", error });
  });

  it("rejects an UNSUBSCRIBE that fails, and the next subscribe works", async () => {
    await join();
    const error = new Error("broken pipe");
    const leaving = watch(table.unsubscribe("room", listener));
    await (await redis.next()).fail(error);
    expect(leaving).to.deep.equal({ state: "rejected", error });
    await join();
    table.deliver("room", "hello");
    sinon.assert.calledOnce(listener);
  });

  it("serves a listener that came while an UNSUBSCRIBE was failing", async () => {
    await join();
    const leaving = watch(table.unsubscribe("room", listener));
    const joining = watch(table.subscribe("room", other, owner));
    await (await redis.next()).fail(new Error("broken pipe"));
    await (await redis.next()).confirm();
    expect(leaving.state).to.equal("rejected");
    expect(joining.state).to.equal("resolved");
    table.deliver("room", "hello");
    sinon.assert.calledOnce(other);
  });

  it("tries an UNSUBSCRIBE that has failed again when the client is connected again", async () => {
    await join();
    watch(table.unsubscribe("room", listener));
    await (await redis.next()).fail(new Error("broken pipe"));
    expect(redis.inFlight).to.have.length(0);
    table.resume();
    await (await redis.next()).confirm();
    expect(redis.subscribed.size).to.equal(0);
    expect(table.size).to.equal(0);
  });

  it("subscribes, where somebody listens again by then, instead of trying that UNSUBSCRIBE again", async () => {
    await join();
    watch(table.unsubscribe("room", listener));
    await (await redis.next()).fail(new Error("away"));
    table.pause();
    watch(table.subscribe("room", other, owner));
    table.resume();
    expect((await redis.next()).name).to.equal("SUBSCRIBE");
  });

  it("tries again, too, where somebody could not listen again meanwhile", async () => {
    await join();
    watch(table.unsubscribe("room", listener));
    await (await redis.next()).fail(new Error("away"));
    watch(table.subscribe("room", other, owner));
    for (let times = 0; times < 2; times++) await (await redis.next()).fail(new Error("away"));
    expect(redis.inFlight).to.deep.equal([]);
    table.resume();
    await (await redis.next()).confirm();
    expect([redis.sent.at(-1), table.size]).to.deep.equal(["UNSUBSCRIBE room", 0]);
  });

  it("has nothing to wait for who leaves a channel that others wait for", async () => {
    for (const each of [listener, other]) watch(table.subscribe("room", each, owner));
    await redis.next();
    const leaving = watch(table.unsubscribe("room", other));
    await settled();
    expect([leaving.state, redis.inFlight.length]).to.deep.equal(["resolved", 1]);
  });

  it("subscribes on a new connection to what was in force on the last one, and to nothing else", async () => {
    await join();
    await join("hall");
    watch(table.unsubscribe("hall", listener));
    watch(table.subscribe("cellar", listener, owner));
    await settled();
    redis.sent.length = 0;
    const restoring = watch(table.restore());
    await settled();
    expect(redis.sent).to.deep.equal(["SUBSCRIBE room"]);
    expect(restoring.state).to.equal("pending");
    await redis.inFlight.at(-1)?.confirm();
    expect(restoring.state).to.equal("resolved");
    table.deliver("room", "hello");
    sinon.assert.calledOnceWithExactly(listener, "hello", "room");
  });

  it("says that a channel could not be got back, and keeps its listeners for the next time", async () => {
    await join();
    const error = new Error("NOPERM");
    const restoring = watch(table.restore());
    await (await redis.next()).fail(error);
    expect(restoring).to.deep.equal({ state: "rejected", error });
    const again = watch(table.restore());
    await (await redis.next()).confirm();
    expect(again.state).to.equal("resolved");
    table.deliver("room", "hello");
    sinon.assert.calledOnce(listener);
  });

  it("gets back what Redis allows, and says what it refuses", async () => {
    for (const name of ["room", "secret", "hall"]) await join(name);
    const error = new Error("NOPERM this user has no permissions to access one of the channels");
    const restoring = watch(table.restore());
    await settled();
    // it is left before its own turn comes
    watch(table.unsubscribe("hall", listener));
    await settled();
    await redis.inFlight[0]?.fail(error);
    expect(redis.sent.slice(3)).to.deep.equal([
      "SUBSCRIBE room secret hall",
      "UNSUBSCRIBE hall",
      "SUBSCRIBE room",
      "SUBSCRIBE secret",
    ]);
    await redis.inFlight.find(({ channels }) => channels.includes("room"))?.confirm();
    await redis.inFlight.find(({ channels }) => channels.includes("secret"))?.fail(error);
    expect(restoring).to.deep.equal({ state: "rejected", error });
  });

  it("gets many channels back in several turns, without those that were left or joined meanwhile", async () => {
    const names = Array.from({ length: 1500 }, (_, i) => `room ${i}`);
    const joining = names.map((name) => table.subscribe(name, listener, owner));
    for (let times = 0; times < 2; times++) await (await redis.next()).confirm();
    await Promise.all(joining);
    watch(table.subscribe("hall", listener, owner));
    const joined = await redis.next();
    const restoring = watch(table.restore());
    await settled();
    const first = redis.inFlight.at(-1);
    if (!first) throw new Error("there is one");
    expect(first.channels).to.deep.equal(names.slice(0, 1000));
    await joined.confirm();
    watch(table.unsubscribe("room 1200", listener));
    await first.confirm();
    const second = redis.inFlight.find(({ name }) => name === "SUBSCRIBE");
    expect(second?.channels).to.deep.equal(names.slice(1000).filter((name) => name !== "room 1200"));
    expect(restoring.state).to.equal("pending");
    await second?.confirm();
    expect(restoring.state).to.equal("resolved");
  });

  it("asks for nothing more where all that was yet to be got back was left meanwhile", async () => {
    const names = Array.from({ length: 1001 }, (_, i) => `room ${i}`);
    const joining = names.map((name) => table.subscribe(name, listener, owner));
    for (let times = 0; times < 2; times++) await (await redis.next()).confirm();
    await Promise.all(joining);
    const restoring = watch(table.restore());
    const first = await redis.next();
    watch(table.unsubscribe("room 1000", listener));
    await first.confirm();
    expect(restoring.state).to.equal("resolved");
    expect(redis.inFlight.map(({ name }) => name)).to.deep.equal(["UNSUBSCRIBE"]);
  });

  it("sends nothing before the client is connected, and then what is wanted by then", async () => {
    table.pause();
    const given = watch(table.subscribe("room", listener, owner));
    const joined = watch(table.subscribe("hall", listener, owner));
    const left = watch(table.unsubscribe("hall", listener));
    await settled();
    expect(redis.sent).to.deep.equal([]);
    expect([given, joined, left].map(({ state }) => state)).to.deep.equal([
      "pending",
      "resolved",
      "resolved",
    ]);
    table.resume();
    await (await redis.next()).confirm();
    expect(redis.sent).to.deep.equal(["SUBSCRIBE room"]);
    expect(given.state).to.equal("resolved");
  });

  it("takes away the listeners of one owner and leaves those of the others", async () => {
    await join();
    await join("hall");
    const joining = table.subscribe("room", other, {});
    await joining;
    table.release(owner);
    await settled();
    expect(redis.sent.slice(2)).to.deep.equal(["UNSUBSCRIBE hall"]);
    table.deliver("room", "hello");
    sinon.assert.notCalled(listener);
    sinon.assert.calledOnce(other);
  });

  it("resolves an unsubscribe of what is not subscribed", async () => {
    await table.unsubscribe("room", listener);
    expect(redis.sent).to.deep.equal([]);
  });

  it("ends where it should, whatever the order of joins, leaves, answers and failures", async () => {
    const channel = fc.constantFrom("a", "b");
    const who = fc.nat(2);
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ type: fc.constant("subscribe" as const), channel, who }) },
      { weight: 3, arbitrary: fc.record({ type: fc.constant("unsubscribe" as const), channel, who }) },
      { weight: 3, arbitrary: fc.record({ type: fc.constant("confirm" as const), which: fc.nat(1) }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant("fail" as const), which: fc.nat(1) }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant("refuse" as const), which: fc.nat(1) }) },
      { weight: 3, arbitrary: fc.record({ type: fc.constant("turn" as const) }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant("resume" as const) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.boolean(), async (steps, running) => {
        const redis = new FakeRedis();
        const table = new Subscriptions(redis);
        if (running) table.resume();
        const listeners = [0, 1, 2].map(() => sinon.spy());
        const wanted = new Map<string, Set<sinon.SinonSpy>>([
          ["a", new Set()],
          ["b", new Set()],
        ]);
        const promises: ReturnType<typeof watch>[] = [];
        const answer = async (which: number, how: "confirm" | "fail" | "refuse") => {
          const command = redis.inFlight[which % Math.max(1, redis.inFlight.length)];
          if (!command) return;
          if (how === "confirm") return command.confirm();
          const isAskedAgain = how === "refuse" && command.channels.length > 1;
          if (command.name === "SUBSCRIBE" && !isAskedAgain) {
            for (const channel of command.channels) wanted.get(channel)?.clear();
          }
          return command.fail(new Error(how === "refuse" ? "NOPERM refused" : "failed"));
        };
        for (const step of steps) {
          if (step.type === "resume") table.resume();
          else if (step.type === "turn") await settled();
          else if (step.type !== "subscribe" && step.type !== "unsubscribe") {
            await answer(step.which, step.type);
          } else {
            const listener = listeners[step.who] ?? sinon.spy();
            if (step.type === "subscribe") wanted.get(step.channel)?.add(listener);
            else wanted.get(step.channel)?.delete(listener);
            const promise =
              step.type === "subscribe"
                ? table.subscribe(step.channel, listener, table)
                : table.unsubscribe(step.channel, listener);
            promises.push(watch(promise));
          }
        }
        // calm down: the client is connected, and every command is answered
        for (let round = 0; round < 2; round++) {
          table.resume();
          await settled();
          while (redis.inFlight.length > 0) await (await redis.next()).confirm();
        }
        expect(redis.overtaken).to.deep.equal([]);
        for (const spy of listeners) spy.resetHistory();
        for (const [name, members] of wanted) {
          expect(redis.subscribed.has(name)).to.equal(members.size > 0);
          table.deliver(name, name);
          for (const spy of listeners) expect(spy.calledWithExactly(name, name)).to.equal(members.has(spy));
        }
        expect(table.size).to.equal([...wanted.values()].filter((members) => members.size > 0).length);
        expect(promises.filter(({ state }) => state === "pending")).to.deep.equal([]);
      }),
      { numRuns: 500 },
    );
  });
});
