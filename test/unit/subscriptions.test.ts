import { expect } from "chai";
import fc from "fast-check";
import sinon from "sinon";
import { Subscriptions } from "../../lib/server/redis/subscriptions.js";

/** A command that Redis has not answered yet. */
interface InFlight {
  readonly name: "SUBSCRIBE" | "UNSUBSCRIBE";
  readonly channel: string;
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

  subscribe(channel: string): Promise<unknown> {
    return this.#send("SUBSCRIBE", channel, () => this.subscribed.add(channel));
  }

  unsubscribe(channel: string): Promise<unknown> {
    return this.#send("UNSUBSCRIBE", channel, () => this.subscribed.delete(channel));
  }

  next(): InFlight {
    const [command] = this.inFlight;
    if (!command) throw new Error("No command is in flight");
    return command;
  }

  #send(name: InFlight["name"], channel: string, carryOut: () => void): Promise<unknown> {
    if (this.inFlight.some((other) => other.channel === channel)) this.overtaken.push(channel);
    this.sent.push(`${name} ${channel}`);
    return new Promise((resolve, reject) => {
      const finish = (act: () => void) => {
        this.inFlight.splice(this.inFlight.indexOf(command), 1);
        act();
        return settled();
      };
      const command: InFlight = {
        name,
        channel,
        confirm: () =>
          finish(() => {
            carryOut();
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
    if (redis.inFlight.length > 0) await redis.next().confirm();
    await joining;
  }

  it("resolves when Redis has confirmed, and not before", async () => {
    const joining = watch(table.subscribe("room", listener, owner));
    await settled();
    expect(joining.state).to.equal("pending");
    expect(redis.sent).to.deep.equal(["SUBSCRIBE room"]);
    await redis.next().confirm();
    expect(joining.state).to.equal("resolved");
  });

  it("sends one SUBSCRIBE for many listeners, and one UNSUBSCRIBE for the last", async () => {
    await join();
    await join("room", other);
    await table.unsubscribe("room", listener);
    expect(redis.sent).to.deep.equal(["SUBSCRIBE room"]);
    const leaving = table.unsubscribe("room", other);
    await redis.next().confirm();
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
    await redis.next().confirm();
    await joining;
    table.deliver("room", "in time");
    sinon.assert.calledOnceWithExactly(listener, "in time", "room");
  });

  it("delivers nothing of an ended subscription to a listener that waits for the next one", async () => {
    await join();
    const leaving = table.unsubscribe("room", listener);
    const joining = table.subscribe("room", other, owner);
    table.deliver("room", "old");
    await redis.next().confirm();
    await leaving;
    await redis.next().confirm();
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
    expect(redis.sent).to.deep.equal(["SUBSCRIBE room"]);
    await redis.next().confirm();
    expect(joining.state).to.equal("resolved");
    expect(leaving.state).to.equal("pending");
    expect(redis.sent).to.deep.equal(["SUBSCRIBE room", "UNSUBSCRIBE room"]);
    await redis.next().confirm();
    expect(leaving.state).to.equal("resolved");
  });

  it("sends nothing for joins and leaves that cancel out while a command is in flight", async () => {
    const first = watch(table.subscribe("room", listener, owner));
    const leaving: ReturnType<typeof watch>[] = [];
    for (let i = 0; i < 100; i++) {
      leaving.push(watch(table.unsubscribe("room", listener)));
      watch(table.subscribe("room", listener, owner));
    }
    await redis.next().confirm();
    expect(redis.sent).to.deep.equal(["SUBSCRIBE room"]);
    expect([first, ...leaving].every(({ state }) => state === "resolved")).to.equal(true);
    table.deliver("room", "hello");
    sinon.assert.calledOnce(listener);
  });

  it("holds up no channel for another", async () => {
    const slow = watch(table.subscribe("slow", listener, owner));
    const fast = watch(table.subscribe("fast", listener, owner));
    await redis.inFlight[1]?.confirm();
    expect(slow.state).to.equal("pending");
    expect(fast.state).to.equal("resolved");
  });

  it("rejects who waits for a SUBSCRIBE that fails, and tries again for the next one", async () => {
    const error = new Error("NOPERM");
    const waiting = [listener, other].map((of) => watch(table.subscribe("room", of, owner)));
    await redis.next().fail(error);
    for (const one of waiting) expect(one).to.deep.equal({ state: "rejected", error });
    const again = watch(table.subscribe("room", listener, owner));
    await redis.next().confirm();
    expect(redis.sent).to.deep.equal(["SUBSCRIBE room", "UNSUBSCRIBE room", "SUBSCRIBE room"]);
    await redis.next().confirm();
    expect(again.state).to.equal("resolved");
    table.deliver("room", "hello");
    sinon.assert.calledOnce(listener);
    sinon.assert.notCalled(other);
  });

  it("takes back a SUBSCRIBE that has failed, since it may have reached Redis, and then forgets the channel", async () => {
    const joining = watch(table.subscribe("room", listener, owner));
    await redis.next().fail(new Error("Command timed out"));
    expect(joining.state).to.equal("rejected");
    expect(redis.next().name).to.equal("UNSUBSCRIBE");
    await redis.next().fail(new Error("Command timed out"));
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
    await redis.next().fail(error);
    expect(leaving).to.deep.equal({ state: "rejected", error });
    await join();
    table.deliver("room", "hello");
    sinon.assert.calledOnce(listener);
  });

  it("serves a listener that came while an UNSUBSCRIBE was failing", async () => {
    await join();
    const leaving = watch(table.unsubscribe("room", listener));
    const joining = watch(table.subscribe("room", other, owner));
    await redis.next().fail(new Error("broken pipe"));
    await redis.next().confirm();
    expect(leaving.state).to.equal("rejected");
    expect(joining.state).to.equal("resolved");
    table.deliver("room", "hello");
    sinon.assert.calledOnce(other);
  });

  it("tries an UNSUBSCRIBE that has failed again when the client is connected again", async () => {
    await join();
    watch(table.unsubscribe("room", listener));
    await redis.next().fail(new Error("broken pipe"));
    expect(redis.inFlight).to.have.length(0);
    table.resume();
    await redis.next().confirm();
    expect(redis.subscribed.size).to.equal(0);
    expect(table.size).to.equal(0);
  });

  it("subscribes on a new connection to what was in force on the last one, and to nothing else", async () => {
    await join();
    await join("hall");
    watch(table.unsubscribe("hall", listener));
    watch(table.subscribe("cellar", listener, owner));
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
    await redis.next().fail(error);
    expect(restoring).to.deep.equal({ state: "rejected", error });
    const again = watch(table.restore());
    await redis.next().confirm();
    expect(again.state).to.equal("resolved");
    table.deliver("room", "hello");
    sinon.assert.calledOnce(listener);
  });

  it("gets many channels back in several turns, without those that were left meanwhile", async () => {
    const names = Array.from({ length: 1500 }, (_, i) => `room ${i}`);
    const joining = names.map((name) => table.subscribe(name, listener, owner));
    for (const command of [...redis.inFlight]) void command.confirm();
    await Promise.all(joining);
    redis.sent.length = 0;
    const restoring = watch(table.restore());
    await settled();
    expect(redis.sent).to.have.length(1000);
    watch(table.unsubscribe("room 1200", listener));
    for (const command of [...redis.inFlight]) void command.confirm();
    await settled();
    await settled();
    expect(redis.sent).to.have.length(1500);
    expect(redis.sent).to.include("UNSUBSCRIBE room 1200").and.not.include("SUBSCRIBE room 1200");
    for (const command of [...redis.inFlight]) void command.confirm();
    await settled();
    expect(restoring.state).to.equal("resolved");
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
    await redis.next().confirm();
    expect(redis.sent).to.deep.equal(["SUBSCRIBE room"]);
    expect(given.state).to.equal("resolved");
  });

  it("takes away the listeners of one owner and leaves those of the others", async () => {
    await join();
    await join("hall");
    const joining = table.subscribe("room", other, {});
    await joining;
    table.release(owner);
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
        const answer = async (which: number, how: "confirm" | "fail") => {
          const command = redis.inFlight[which % Math.max(1, redis.inFlight.length)];
          if (!command) return;
          if (how === "confirm") return command.confirm();
          if (command.name === "SUBSCRIBE") wanted.get(command.channel)?.clear();
          return command.fail(new Error("failed"));
        };
        for (const step of steps) {
          if (step.type === "resume") table.resume();
          else if (step.type === "confirm" || step.type === "fail") await answer(step.which, step.type);
          else {
            const listener = listeners[step.who] ?? sinon.spy();
            if (step.type === "subscribe") wanted.get(step.channel)?.add(listener);
            else wanted.get(step.channel)?.delete(listener);
            const promise =
              step.type === "subscribe"
                ? table.subscribe(step.channel, listener, table)
                : table.unsubscribe(step.channel, listener);
            promises.push(watch(promise));
            await settled();
          }
        }
        // calm down: the client is connected, and every command is answered
        for (let round = 0; round < 2; round++) {
          table.resume();
          while (redis.inFlight.length > 0) await redis.next().confirm();
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
