import { expect } from "chai";
import sinon from "sinon";
import type { FindOptions, SocketInfo } from "../../lib/server/api/audience.js";
import { AudienceCommands, type AudienceCommandsParts } from "../../lib/server/cluster/audience-commands.js";
import type { Outcome } from "../../lib/server/cluster/inquiry.js";
import { DEFAULT_LIMITS } from "../../lib/server/limits/limits.js";
import { Commands } from "../../lib/server/log/commands.js";
import type { Reporter } from "../../lib/server/log/reporter.js";
import { DisconnectedError } from "../../lib/shared/call-errors.js";
import { failureOf } from "../support/cluster-scene.js";

const ofAnn = { by: "identity", value: "ann" } as const;
const inRoom = { by: "channel", value: "room" } as const;

const socketOf = (sid: string): SocketInfo => ({
  sid,
  identity: "ann",
  channels: [],
  since: 1,
  address: "::1",
  server: "there",
});

describe("A command to sockets of all servers", () => {
  let outcome: Outcome;
  let isClosed: boolean;
  let cluster: Record<"reach" | "refresh" | "disconnect", sinon.SinonStub>;
  let reporter: Record<"error" | "debug", sinon.SinonSpy>;
  let commands: AudienceCommands<unknown>;

  const commandsWith = (hasIdentities: boolean) =>
    new AudienceCommands({
      commands: new Commands(reporter as unknown as Reporter, () => isClosed),
      cluster,
      limits: { ...DEFAULT_LIMITS, redisTimeout: 700, channelNameLength: 10 },
      hasIdentities,
    } as unknown as AudienceCommandsParts<unknown>);

  beforeEach(() => {
    isClosed = false;
    outcome = {
      answers: [{ sid: "1", server: "there", value: true }],
      missing: ["silent"],
      count: 3,
      found: [],
      isMore: false,
    };
    const resolve = () => sinon.stub().callsFake(async () => outcome);
    cluster = { reach: resolve(), refresh: resolve(), disconnect: resolve() };
    reporter = { error: sinon.spy(), debug: sinon.spy((text: () => string) => text()) };
    commands = commandsWith(true);
  });

  const toAnn = () => commands.to<Record<string, unknown>>({ identity: "ann" });
  const toRoom = () => commands.to<Record<string, unknown>>({ channel: "room" });
  const answered = () => ({ answers: outcome.answers, missing: ["silent"] });
  /** What it was rejected with, once that was said under a context. */
  const reported = async (context: string, promise: Promise<unknown>) => {
    const error = await failureOf(promise);
    sinon.assert.calledOnceWithExactly(reporter.error, context, error);
    reporter.error.resetHistory();
    return error;
  };

  it("gives the answers, and the servers that were not heard of", async () => {
    expect(await toAnn().send("news", { n: 1 })).to.deep.equal(answered());
    const action = { type: "send", channel: "news", message: { n: 1 } };
    sinon.assert.calledOnceWithExactly(cluster.reach, ofAnn, action);
  });

  it("that waits for Redis on each of them has time for that", async () => {
    for (const type of ["subscribe", "unsubscribe"] as const) {
      expect(await toRoom()[type]("hall")).to.deep.equal(answered());
      sinon.assert.calledWithExactly(cluster.reach, inRoom, { type, channel: "hall" }, { timeout: 1400 });
    }
  });

  it("that renews or closes also concerns those that are away, but for a channel's", async () => {
    const options = { code: 4100, reason: "Closed" };
    expect(await toAnn().refresh()).to.deep.equal(answered());
    expect(await toAnn().disconnect(options)).to.deep.equal(answered());
    sinon.assert.calledOnceWithExactly(cluster.refresh, ofAnn);
    sinon.assert.calledOnceWithExactly(cluster.disconnect, ofAnn, 4100, "Closed");
    sinon.assert.notCalled(cluster.reach);
    await toRoom().refresh();
    await toRoom().disconnect();
    expect(cluster.reach.args).to.deep.equal([
      [inRoom, { type: "refresh" }],
      [inRoom, { type: "disconnect", code: 4001, reason: "Disconnected" }],
    ]);
    sinon.assert.calledOnce(cluster.refresh);
    sinon.assert.calledOnce(cluster.disconnect);
  });

  it("calls functions, by their paths or as functions", async () => {
    const { signal } = new AbortController();
    expect(await toAnn().rpc("ui.ask", { q: 1 }, { timeout: 50, signal })).to.deep.equal(answered());
    await toAnn().rpc("ui.ask");
    await toAnn().rpc("ui.ask", null, null as never);
    const functions = toAnn().client<{ ui: { ask(data: unknown): unknown } }>();
    await functions.ui.ask({ q: 1 });
    await functions.ui.ask({ q: 1 }, { timeout: 50 });
    const call = (args: unknown, timeout: number) => ({ type: "rpc", command: "ui.ask", args, timeout });
    const later = { timeout: 30_000, signal: undefined };
    expect(cluster.reach.args).to.deep.equal([
      [ofAnn, call({ q: 1 }, 50), { timeout: 50, signal }],
      [ofAnn, call(undefined, 30_000), later],
      [ofAnn, call(null, 30_000), later],
      [ofAnn, call({ q: 1 }, 30_000), later],
      [ofAnn, call({ q: 1 }, 50), { timeout: 50, signal: undefined }],
    ]);
  });

  it("calls nothing without a path, for no time, or with what is no JSON and no signal", async () => {
    const failing: readonly [Promise<unknown>, string][] = [
      ...["", undefined, 5, ["f"]].map((command): [Promise<unknown>, string] => [
        toAnn().rpc(command as string),
        "command must be a function's path",
      ]),
      ...[0, -1, Infinity, Number.NaN, "50", null].map((timeout): [Promise<unknown>, string] => [
        toAnn().rpc("f", 1, { timeout: timeout as number }),
        "timeout must be a positive, finite number of milliseconds",
      ]),
      ...[null, {}, "signal"].map((signal): [Promise<unknown>, string] => [
        toAnn().rpc("f", 1, { signal: signal as never }),
        "signal must be an AbortSignal",
      ]),
      [toAnn().rpc("f", 1n), ""],
      [toAnn().rpc("f", () => {}), ""],
    ];
    for (const [promise, message] of failing) {
      expect(await failureOf(promise))
        .to.be.instanceOf(TypeError)
        .with.property("message")
        .that.includes(message);
    }
    sinon.assert.notCalled(cluster.reach);
    // a call's error is its caller's
    sinon.assert.notCalled(reporter.error);
  });

  it("sends to no channel that users may not have, and nothing that is no JSON", async () => {
    for (const channel of ["", "___all___", "12345678901", 5]) {
      for (const method of ["send", "subscribe", "unsubscribe"] as const) {
        const context = method === "send" ? "sending to sockets failed" : `having sockets ${method} failed`;
        const error = await reported(context, toAnn()[method](channel as string, 1));
        expect(error, `${method} ${channel}`).to.be.instanceOf(TypeError);
      }
    }
    const error = await reported("sending to sockets failed", toAnn().send("news", undefined));
    expect(error).to.be.instanceOf(TypeError);
    sinon.assert.notCalled(cluster.reach);
  });

  it("closes with no code that is none", async () => {
    const error = await reported("disconnecting sockets failed", toAnn().disconnect({ code: 1 }));
    expect(error).to.be.instanceOf(TypeError);
    sinon.assert.notCalled(cluster.disconnect);
  });

  it("says what has failed where Redis has not taken it", async () => {
    const failure = new Error("away");
    for (const stub of Object.values(cluster)) stub.rejects(failure);
    const find = () => commands.find({ identity: "ann" }, {});
    for (const [context, act] of [
      ["sending to sockets failed", () => toAnn().send("news", 1)],
      ["having sockets subscribe failed", () => toAnn().subscribe("news")],
      ["having sockets unsubscribe failed", () => toAnn().unsubscribe("news")],
      ["refreshing sockets failed", () => toAnn().refresh()],
      ["refreshing sockets failed", () => toRoom().refresh()],
      ["disconnecting sockets failed", () => toAnn().disconnect()],
      ["counting sockets failed", () => commands.count({ identity: "ann" })],
      ["finding sockets failed", find],
    ] as const) {
      expect(await reported(context, act())).to.equal(failure);
    }
    expect(await failureOf(toAnn().rpc("f"))).to.equal(failure);
    sinon.assert.notCalled(reporter.error);
  });

  it("does nothing once the server has been shut down", async () => {
    isClosed = true;
    for (const promise of [toAnn().rpc("f"), toAnn().refresh(), commands.count({ sid: "1" })]) {
      expect(await failureOf(promise)).to.be.instanceOf(DisconnectedError);
    }
    for (const stub of Object.values(cluster)) sinon.assert.notCalled(stub);
  });

  it("is for nobody where identities are not told apart, or the target is none", async () => {
    for (const target of [{}, null, { channel: "___all___" }]) {
      expect(() => commands.to(target)).to.throw(TypeError);
      expect(await failureOf(commands.count(target))).to.be.instanceOf(TypeError);
      expect(await failureOf(commands.find(target, {}))).to.be.instanceOf(TypeError);
    }
    commands = commandsWith(false);
    const message = "A selector { identity } needs options.identify";
    expect(toAnn).to.throw(TypeError, message);
    expect(await failureOf(commands.count({ identity: "ann" }))).to.have.property("message", message);
    expect(await commands.count({ sid: "1" })).to.have.property("count", 3);
  });

  it("counts, and says which servers were not heard of", async () => {
    expect(await commands.count({ channel: "room" })).to.deep.equal({ count: 3, missing: ["silent"] });
    sinon.assert.calledOnceWithExactly(cluster.reach, inRoom, { type: "count" });
  });

  describe("finds", () => {
    const find = (options: FindOptions, sids: readonly string[], isMore = false) => {
      outcome = { ...outcome, found: sids.map(socketOf), isMore };
      return commands.find({ channel: "room" }, options);
    };
    const page = (sids: readonly string[], next?: string) => ({
      sockets: sids.map(socketOf),
      next,
      missing: ["silent"],
    });

    it("a hundred of them, from the first on, where nothing else is said", async () => {
      await find({}, []);
      sinon.assert.calledOnceWithExactly(cluster.reach, inRoom, { type: "find", limit: 100, after: "" });
      await find({ limit: 1000, cursor: "a" }, []);
      sinon.assert.calledWithExactly(cluster.reach, inRoom, { type: "find", limit: 1000, after: "a" });
    });

    it("a page in order of all servers' sockets, and where the next one begins", async () => {
      expect(await find({ limit: 3 }, ["c", "a", "b"])).to.deep.equal(page(["a", "b", "c"]));
      expect(await find({ limit: 2 }, ["c", "a", "b"])).to.deep.equal(page(["a", "b"], "b"));
      expect(await find({ limit: 1 }, ["c", "a", "b"])).to.deep.equal(page(["a"], "a"));
      expect(await find({ limit: 3 }, ["c", "a", "b"], true)).to.deep.equal(page(["a", "b", "c"], "c"));
      expect(await find({ limit: 3 }, [])).to.deep.equal(page([]));
      // a server that says so, and tells none, is wrong
      expect(await find({ limit: 3 }, [], true)).to.deep.equal(page([]));
    });

    it("no number of them that is none, and nothing behind what is no cursor", async () => {
      for (const limit of [0, -1, 1001, 1.5, "1", null]) {
        const error = await reported("finding sockets failed", find({ limit: limit as number }, []));
        expect(error)
          .to.be.instanceOf(TypeError)
          .with.property("message", "limit must be a whole number of 1 to 1000");
      }
      for (const cursor of [null, 5, {}]) {
        const error = await reported("finding sockets failed", find({ cursor: cursor as never }, []));
        expect(error)
          .to.be.instanceOf(TypeError)
          .with.property("message", "cursor must be the `next` of a page");
      }
      sinon.assert.notCalled(cluster.reach);
    });
  });
});
