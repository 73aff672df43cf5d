import { expect } from "chai";
import sinon from "sinon";
import type { ClientDriver, ClientEvents, ClientState } from "../../lib/server/redis/client-driver.js";
import { Script } from "../../lib/server/redis/script.js";
import { SharedClient } from "../../lib/server/redis/shared-client.js";

/** Lets every promise that is settled already run its handlers, and a command of this turn be sent. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

const SCRIPT = new Script("get", "return 1");
const OTHER_SCRIPT = new Script("get", "return 2");

/** A client that does what the test says, and what it was asked. */
class FakeClient {
  state: ClientState = "waiting";
  isAttached = false;
  readonly sent: string[] = [];
  /** What the next commands fail with, by their names. */
  readonly failures: Record<string, Error | undefined> = {};
  events: ClientEvents | undefined;
  drivers = 0;

  /** The client is connected, or has ended. */
  become(state: ClientState, error?: Error): void {
    this.state = state;
    if (!this.isAttached) return;
    if (state === "ready") this.events?.ready();
    else if (state === "ended") this.events?.ended(error);
    else this.events?.lost();
  }

  readonly createDriver = (events: ClientEvents): ClientDriver => {
    this.drivers++;
    this.events = events;
    const run = async (name: string, what: string) => {
      this.sent.push(`${name} ${what}`);
      const failure = this.failures[name];
      if (failure) throw failure;
      return [name];
    };
    const driver: Partial<ClientDriver> = {
      state: () => this.state,
      attach: () => {
        this.isAttached = true;
      },
      detach: () => {
        this.isAttached = false;
      },
      subscribe: (channels) => run("subscribe", channels.join(" ")),
      unsubscribe: (channels) => run("unsubscribe", channels.join(" ")),
      evaluate: (text) => run("eval", text),
      evaluateKnown: (sha) => run("evalsha", sha === SCRIPT.sha ? SCRIPT.text : sha),
    };
    return driver as ClientDriver;
  };
}

describe("A client of Redis that several servers share", () => {
  const [ann, bob] = [{ name: "ann" }, { name: "bob" }];
  let client: FakeClient;
  let shared: SharedClient;

  beforeEach(() => {
    client = new FakeClient();
    shared = SharedClient.of(client, client.createDriver);
  });
  afterEach(() => {
    sinon.restore();
    for (const owner of [ann, bob]) shared.release(owner, new Error("The test is over"));
  });

  /** Loses the connection, and gets another one. */
  const reconnect = async () => {
    client.become("waiting");
    client.become("ready");
    await settled();
  };

  it("has one adapter, and is listened to as long as one of them uses it", () => {
    expect(SharedClient.of(client, client.createDriver)).to.equal(shared);
    const other = new FakeClient();
    expect(SharedClient.of(other, other.createDriver)).not.to.equal(shared);
    expect([client.drivers, client.isAttached]).to.deep.equal([1, false]);
    shared.acquire(ann);
    shared.acquire(bob);
    shared.release(ann, new Error("released"));
    shared.release(ann, new Error("released"));
    expect(client.isAttached).to.equal(true);
    shared.release(bob, new Error("released"));
    expect(client.isAttached).to.equal(false);
  });

  it("is ready where it serves commands, whether it was connected before or is so later", async () => {
    shared.acquire(ann);
    expect([shared.isReady, shared.hasBeenReady]).to.deep.equal([false, false]);
    client.become("ready");
    expect([shared.isReady, shared.hasBeenReady]).to.deep.equal([true, true]);
    client.become("waiting");
    expect([shared.isReady, shared.hasBeenReady]).to.deep.equal([false, true]);
    shared.release(ann, new Error("released"));
    client.become("ready");
    expect(shared.isReady).to.equal(false);
    shared.acquire(bob);
    expect([shared.isReady, shared.hasBeenReady]).to.deep.equal([true, true]);
    await shared.ready(bob);
    // a client may say that it is not open any more before it tells of its end
    client.state = "ended";
    expect(shared.isReady).to.equal(false);
  });

  it("has been ready where it has ended since, and gives its own errors by then", async () => {
    shared.acquire(ann);
    client.become("ready");
    client.become("ended");
    await shared.ready(ann);
    const failure = new Error("The client is closed");
    const [outcome] = await Promise.allSettled([shared.run(ann, () => Promise.reject(failure))]);
    expect(outcome).to.have.property("reason", failure);
  });

  it("has what is given before the connection wait for it, in order, and rejects what a server leaves behind", async () => {
    shared.acquire(ann);
    shared.acquire(bob);
    const done: string[] = [];
    const [lost] = await Promise.all([
      Promise.allSettled([shared.run(bob, async () => done.push("bob"))]),
      shared.run(ann, async () => done.push("first")),
      shared.run(ann, async () => done.push("second")),
      shared.ready(ann),
      settled().then(() => {
        expect(done).to.deep.equal([]);
        shared.release(bob, new Error("released"));
        client.become("ready");
      }),
    ]);
    expect(done).to.deep.equal(["first", "second"]);
    expect(lost[0]).to.have.nested.property("reason.message", "released");
  });

  for (const moment of ["before a server uses it", "while a server waits for it"]) {
    it(`rejects what waits where the client has ended ${moment}`, async () => {
      if (moment.startsWith("before")) client.become("ended");
      shared.acquire(ann);
      const waiting = [shared.ready(ann), shared.subscriptions.subscribe("room", () => {}, ann)];
      client.failures.subscribe = new Error("The client is closed");
      const cause = new Error("ECONNREFUSED");
      if (moment.startsWith("while")) client.become("ended", cause);
      const [ready, joined] = await Promise.allSettled(waiting);
      expect(ready).to.have.nested.property(
        "reason.message",
        "The Redis client has ended before it was ready",
      );
      expect(ready).to.have.nested.property("reason.cause", moment.startsWith("while") ? cause : undefined);
      expect(joined).to.have.nested.property("reason.message", "The client is closed");
    });
  }

  it("gives each script once on a connection by its text, and then by its hash", async () => {
    shared.acquire(ann);
    client.become("ready");
    const run = (script = SCRIPT) => shared.runScript(ann, script, ["key"], ["argument"]);
    expect([await run(), await run()]).to.deep.equal([["eval"], ["evalsha"]]);
    expect(await run(OTHER_SCRIPT)).to.deep.equal(["eval"]);
    await reconnect();
    expect([await run(), await run()]).to.deep.equal([["eval"], ["evalsha"]]);
  });

  it("gives a script by its text again where Redis has forgotten it, and where the connection was another one", async () => {
    shared.acquire(ann);
    client.become("ready");
    const run = () => shared.runScript(ann, SCRIPT, [], []);
    await run();
    client.failures.evalsha = new Error("NOSCRIPT No matching script");
    expect(await run()).to.deep.equal(["eval"]);
    client.failures.evalsha = undefined;
    expect(await run()).to.deep.equal(["evalsha"]);
    await reconnect();
    // the answer comes after the connection was lost
    const running = run();
    client.become("waiting");
    await running;
    client.become("ready");
    expect(await run()).to.deep.equal(["eval"]);
  });

  it("rejects a script that Redis refuses, and takes it for known where it was", async () => {
    shared.acquire(ann);
    client.become("ready");
    const run = () => shared.runScript(ann, SCRIPT, [], []);
    const reasonOf = async () => {
      const [outcome] = await Promise.allSettled([run()]);
      return outcome?.status === "rejected" ? outcome.reason.message : undefined;
    };
    client.failures.eval = new Error("OOM");
    expect(await reasonOf()).to.equal("OOM");
    client.failures.eval = undefined;
    expect(await run()).to.deep.equal(["eval"]);
    client.failures.evalsha = new Error("OOM");
    client.sent.length = 0;
    expect(await reasonOf()).to.equal("OOM");
    expect(client.sent).to.deep.equal(["evalsha return 1"]);
    client.failures.evalsha = undefined;
    expect(await run()).to.deep.equal(["evalsha"]);
  });

  it("is back when its subscriptions are in force again, and says so to each server", async () => {
    const returns: string[] = [];
    for (const owner of [ann, bob]) {
      shared.acquire(owner);
      shared.onReturn(owner, () => returns.push(owner.name));
    }
    client.become("ready");
    await settled();
    // at first there is nothing to return from
    expect(returns).to.deep.equal([]);
    await shared.subscriptions.subscribe("room", () => {}, ann);
    client.become("waiting");
    client.become("ready");
    expect([shared.isReady, returns]).to.deep.equal([false, []]);
    await settled();
    expect([shared.isReady, returns]).to.deep.equal([true, ["ann", "bob"]]);
    expect(client.sent).to.deep.equal(["subscribe room", "subscribe room"]);
    shared.release(ann, new Error("released"));
    await reconnect();
    expect(returns).to.deep.equal(["ann", "bob", "bob"]);
  });

  it("says nothing of a return from which the connection was lost again before all was in force", async () => {
    const onReturn = sinon.spy();
    shared.acquire(ann);
    shared.onReturn(ann, onReturn);
    client.become("ready");
    await shared.subscriptions.subscribe("room", () => {}, ann);
    client.become("waiting");
    client.become("ready");
    client.become("waiting");
    await settled();
    expect([shared.isReady, onReturn.callCount]).to.deep.equal([false, 0]);
    client.become("ready");
    await settled();
    expect([shared.isReady, onReturn.callCount]).to.deep.equal([true, 1]);
  });

  it("tries again after a second to get its subscriptions back, as long as the connection is the same", async () => {
    const [errors, returns] = [sinon.spy(), sinon.spy()];
    shared.acquire(ann);
    shared.onError(ann, errors);
    shared.onReturn(ann, returns);
    client.become("ready");
    await shared.subscriptions.subscribe("room", () => {}, ann);
    const clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const failure = new Error("NOPERM");
    client.failures.subscribe = failure;
    await reconnect();
    expect([errors.callCount, returns.callCount, shared.isReady]).to.deep.equal([1, 0, false]);
    expect(errors.calledWithExactly(failure)).to.equal(true);
    await clock.tickAsync(999);
    expect(errors.callCount).to.equal(1);
    await clock.tickAsync(1);
    expect(errors.callCount).to.equal(2);
    client.failures.subscribe = undefined;
    await clock.tickAsync(1000);
    expect([errors.callCount, returns.callCount, shared.isReady]).to.deep.equal([2, 1, true]);
    client.failures.subscribe = failure;
    await reconnect();
    expect(errors.callCount).to.equal(3);
    client.become("waiting");
    client.sent.length = 0;
    await clock.tickAsync(10_000);
    expect(client.sent).to.deep.equal([]);
    // what fails with its connection is no news
    client.become("ready");
    client.become("waiting");
    await settled();
    expect([errors.callCount, returns.callCount]).to.deep.equal([3, 1]);
    await clock.tickAsync(10_000);
    expect(client.sent).to.deep.equal(["subscribe room"]);
  });

  it("tells each server of errors, whatever another one does with them, until it is released", () => {
    shared.acquire(ann);
    shared.acquire(bob);
    const [broken, told, toldTwice] = [sinon.stub().throws(new Error("broken")), sinon.spy(), sinon.spy()];
    shared.onError(ann, broken);
    const stop = shared.onError(bob, told);
    shared.onError(bob, toldTwice);
    const error = new Error("ECONNRESET");
    client.events?.failed(error);
    for (const listener of [broken, told, toldTwice]) sinon.assert.calledOnceWithExactly(listener, error);
    stop();
    shared.release(ann, new Error("released"));
    client.events?.failed(error);
    expect([broken.callCount, told.callCount, toldTwice.callCount]).to.deep.equal([1, 1, 2]);
  });

  it("brings messages to the servers that listen, and tells of a listener that throws", async () => {
    const [errors, listener] = [sinon.spy(), sinon.stub().throws(new Error("broken"))];
    shared.acquire(ann);
    shared.onError(ann, errors);
    client.become("ready");
    await shared.subscriptions.subscribe("room", listener, ann);
    client.events?.message("room", "hello");
    sinon.assert.calledOnceWithExactly(listener, "hello", "room");
    sinon.assert.calledOnce(errors);
    shared.release(ann, new Error("released"));
    expect(shared.subscriptions.listeners("room")).to.equal(0);
  });

  it("has what it is given wait again for a connection once nobody has used it in between", async () => {
    shared.acquire(ann);
    client.become("ready");
    shared.release(ann, new Error("released"));
    client.become("waiting");
    shared.acquire(bob);
    expect(shared.hasBeenReady).to.equal(false);
    const command = sinon.stub().resolves("done");
    const running = shared.run(bob, command);
    const joining = shared.subscriptions.subscribe("room", () => {}, bob);
    await settled();
    expect([command.callCount, client.sent]).to.deep.equal([0, []]);
    client.become("ready");
    expect(await running).to.equal("done");
    await joining;
    expect(client.sent).to.deep.equal(["subscribe room"]);
  });
});
