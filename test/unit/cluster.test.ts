import { expect } from "chai";
import sinon from "sinon";
import type { Selection } from "../../lib/server/auth/selectors.js";
import type { SocketTarget } from "../../lib/server/cluster/target.js";
import { steadyNow } from "../../lib/server/limits/clock.js";
import {
  CLOSED,
  ClusterScene,
  EMPTY,
  failureOf,
  ofAnn,
  ofSession,
  revoked,
  settled,
} from "../support/cluster-scene.js";
import { stopClock } from "../support/stopped-clock.js";

describe("A server of a cluster", () => {
  let clock: sinon.SinonFakeTimers;
  let scene: ClusterScene;

  beforeEach(() => {
    clock = stopClock();
    scene = new ClusterScene();
  });
  afterEach(() => {
    scene.cluster.close();
    clock.restore();
  });

  describe("that disconnects somebody", () => {
    const disconnect = (selection: Selection, hasEnded?: boolean) =>
      scene.cluster.disconnect(selection, 4100, "Logged out", hasEnded);

    it("closes its own sockets, leaves word for those that are away, and then tells the others", async () => {
      const [ann, bob, nobody] = [scene.add("1", "ann"), scene.add("2", "bob"), scene.add("3")];
      expect(await disconnect(ofAnn)).to.include({ count: 7, connections: 5 });
      sinon.assert.calledOnceWithExactly(ann.close, CLOSED);
      for (const { close } of [bob, nobody]) sinon.assert.notCalled(close);
      const [message] = scene.told;
      const { id } = message ?? {};
      expect(message).to.deep.equal({
        command: "disconnect",
        data: revoked(ofAnn),
        id,
        origin: "here",
        answerTo: "here",
      });
      expect(id).to.match(/^[\da-f-]{36}$/);
      expect(scene.done).to.deep.equal([
        ["append", "revoked", message, 10_000, 3_600_000],
        ["broadcast", message],
      ]);
      expect(scene.own).to.deep.equal([{ answers: [{ sid: "1", value: true }] }]);
      expect(scene.questions[0]).to.include({ id, timeout: 1000 });
    });

    it("refuses tokens of before, and none of later", async () => {
      await disconnect(ofAnn);
      expect([scene.isRevoked(ofAnn, 0), scene.isRevoked(ofAnn, -1)]).to.deep.equal([true, false]);
    });

    it("closes whoever is there by then, however new the token", async () => {
      const ann = scene.add("1", "ann", undefined, -60_000);
      await disconnect(ofAnn);
      sinon.assert.calledOnce(ann.close);
    });

    it("has no list of a kind pushed out by another's", async () => {
      for (const selection of [ofAnn, ofSession, { by: "sid", value: "x" } as const])
        await disconnect(selection);
      const keys = scene.done.filter(([command]) => command === "append").map(([, key]) => key);
      expect(keys).to.deep.equal(["revoked", "revoked:sessionId", "revoked:sid"]);
    });

    it("is done with a socket of its own, of which the others need not hear", async () => {
      const one = scene.add("1");
      const outcome = await disconnect({ by: "sid", value: "1" });
      sinon.assert.calledOnceWithExactly(one.close, CLOSED);
      expect(outcome).to.deep.equal({ ...EMPTY, answers: [{ sid: "1", value: true, server: "here" }] });
      expect(scene.done).to.deep.equal([]);
    });

    it("has nobody to tell where pub/sub is off", async () => {
      scene = new ClusterScene({ enabled: false });
      const ann = scene.add("1", "ann");
      const outcome = await disconnect(ofAnn);
      sinon.assert.calledOnce(ann.close);
      expect(outcome).to.deep.equal({ ...EMPTY, answers: [{ sid: "1", value: true, server: "here" }] });
      expect(scene.done).to.deep.equal([]);
    });

    it("puts its word in the place of an earlier one, of whichever server", async () => {
      await disconnect(ofAnn);
      expect(scene.commands).to.deep.equal(["append", "broadcast"]);
      await disconnect(ofAnn);
      expect(scene.done[2]).to.deep.equal(["remove", "revoked", scene.told[0]]);
      const session = revoked(ofSession);
      const heard = { command: "disconnect", data: session, id: "heard", origin: "there", answerTo: "there" };
      scene.cluster.receive(heard);
      await disconnect(ofSession);
      expect(scene.done.at(-3)).to.deep.equal(["remove", "revoked:sessionId", heard]);
    });

    it("says of a session that has ended that it is for good, and so does whoever closes it later", async () => {
      await disconnect(ofSession);
      await disconnect(ofSession, true);
      await disconnect(ofSession);
      await disconnect({ by: "sessionId", value: "another" });
      expect(scene.told.map(({ data }) => data)).to.deep.equal([
        revoked(ofSession),
        revoked(ofSession, 0, { final: true }),
        revoked(ofSession, 0, { final: true }),
        revoked({ by: "sessionId", value: "another" }),
      ]);
      expect(scene.isRevoked(ofSession, -5000)).to.equal(true);
      const late = scene.add("1", "ann", ofSession.value, -60_000);
      await disconnect(ofSession);
      sinon.assert.calledOnce(late.close);
    });

    for (const command of ["append", "broadcast"]) {
      it(`has closed its own where Redis fails to ${command}, and says so`, async () => {
        const ann = scene.add("1", "ann");
        const failure = new Error("away");
        scene.failures.set(command, failure);
        expect(await failureOf(disconnect(ofAnn))).to.equal(failure);
        sinon.assert.calledOnce(ann.close);
        expect(scene.isRevoked(ofAnn, 0)).to.equal(true);
      });
    }

    it("tells no session's id where Redis repeats it, which is a secret", async () => {
      scene.failures.set("append", new Error(`no room for ${ofSession.value}`));
      expect(await failureOf(disconnect(ofSession))).to.have.property(
        "message",
        "Error: no room for <token>",
      );
      // an identity is none
      const failure = new Error("no room for alice@example.com");
      scene.failures.set("append", failure);
      expect(await failureOf(disconnect({ by: "identity", value: "alice@example.com" }))).to.equal(failure);
    });
  });

  describe("that asks somebody for a new token", () => {
    it("asks its own sockets, leaves word for those that are away, and then tells the others", async () => {
      const [ann, second, bob] = [scene.add("1", "ann"), scene.add("2", "ann"), scene.add("3", "bob")];
      second.refresh.returns(false);
      expect(await scene.cluster.refresh(ofAnn)).to.include({ count: 7, connections: 5 });
      for (const { refresh } of [ann, second]) sinon.assert.calledOnce(refresh);
      sinon.assert.notCalled(bob.refresh);
      const [message] = scene.told;
      const { id } = message ?? {};
      const data = { ...ofAnn, at: Date.now() };
      expect(message).to.deep.equal({ command: "refresh", data, id, origin: "here", answerTo: "here" });
      expect(scene.done).to.deep.equal([
        ["append", "revoked:refreshes", message, 10_000, 3_600_000],
        ["broadcast", message],
      ]);
      expect(scene.own).to.deep.equal([{ answers: [{ sid: "1", value: true }] }]);
      expect(scene.questions[0]).to.include({ id, timeout: 1000 });
      expect(scene.refreshes.concern({ key: "ann", issuedAt: steadyNow() })).to.equal(true);
    });

    it("asks no socket that has no identity yet", async () => {
      const nobody = scene.add("1");
      expect(await scene.cluster.refresh({ by: "sid", value: "1" })).to.have.property("count", 7);
      sinon.assert.notCalled(nobody.refresh);
      expect(scene.commands).to.deep.equal(["append", "broadcast"]);
    });

    it("is done with a socket of its own, of which the others need not hear", async () => {
      scene.add("1", "ann");
      const outcome = await scene.cluster.refresh({ by: "sid", value: "1" });
      expect(outcome).to.deep.equal({ ...EMPTY, answers: [{ sid: "1", value: true, server: "here" }] });
      expect(scene.done).to.deep.equal([]);
    });

    it("has nobody to tell where pub/sub is off", async () => {
      scene = new ClusterScene({ enabled: false });
      scene.add("1", "ann");
      expect((await scene.cluster.refresh(ofAnn)).answers).to.have.length(1);
      expect(scene.done).to.deep.equal([]);
    });

    it("says so where Redis has not taken it", async () => {
      const failure = new Error("away");
      scene.failures.set("append", failure);
      expect(await failureOf(scene.cluster.refresh(ofAnn))).to.equal(failure);
    });
  });

  describe("that reaches sockets", () => {
    const action = { type: "count" } as const;
    const request = (id: unknown, target: SocketTarget) => ({
      command: "to",
      id,
      origin: "here",
      answerTo: "here",
      data: { ...target, action },
    });

    it("of an identity asks the servers that have some, and all for a sign of life", async () => {
      expect(await scene.cluster.reach(ofAnn, action)).to.include({ count: 7, connections: 6 });
      const [{ id, timeout, signal, probe } = {}] = scene.questions;
      expect([timeout, signal]).to.deep.equal([1000, undefined]);
      expect(scene.done).to.deep.equal([["publish", "ann", request(id, ofAnn)]]);
      await probe?.();
      expect(scene.told).to.deep.equal([{ command: "who", data: {}, id, origin: "here", answerTo: "here" }]);
    });

    for (const target of [
      { by: "channel", value: "room" },
      { by: "sessionId", value: "s" },
      { by: "sid", value: "elsewhere" },
    ] as const) {
      it(`by ${target.by} asks all servers`, async () => {
        scene.add("1", "ann");
        expect(await scene.cluster.reach(target, action)).to.include({ connections: 5 });
        const [{ id, probe } = {}] = scene.questions;
        expect(scene.told).to.deep.equal([request(id, target)]);
        expect(probe).to.equal(undefined);
      });
    }

    it("asks nobody about a socket of its own, and waits for nothing then", async () => {
      scene.add("1", "ann");
      scene.asker.started = new Promise(() => {});
      const outcome = await scene.cluster.reach({ by: "sid", value: "1" }, action);
      expect(outcome).to.include({ connections: 0 });
      expect(scene.done).to.deep.equal([]);
    });

    it("waits as long as its caller says, until its signal", async () => {
      const { signal } = new AbortController();
      await scene.cluster.reach(ofAnn, action, { timeout: 50, signal });
      expect(scene.questions[0]).to.include({ timeout: 50, signal });
    });

    it("does to its own what the others are asked to do", async () => {
      scene.carryOut.callsFake((_target, _action, tell) => tell({ count: 3 }));
      await scene.cluster.reach(ofAnn, action);
      sinon.assert.calledOnceWithExactly(scene.carryOut, ofAnn, action, sinon.match.func);
      expect(scene.own).to.deep.equal([{ count: 3 }]);
    });

    it("asks nobody before it would hear the answers, and fails where Redis keeps it waiting", async () => {
      let start = () => {};
      scene.asker.started = new Promise((resolve) => {
        start = resolve;
      });
      const reaching = scene.cluster.reach({ by: "channel", value: "room" }, action);
      await settled();
      expect(scene.questions).to.deep.equal([]);
      start();
      await reaching;
      expect(scene.questions).to.have.length(1);
      scene.asker.started = new Promise(() => {});
      const failing = failureOf(scene.cluster.reach(ofAnn, action));
      await clock.tickAsync(4000);
      await settled();
      expect(await failing).to.have.property("message", "No answer from Redis within 4000 ms");
    });

    it("waits for no answers where pub/sub is off", async () => {
      scene = new ClusterScene({ enabled: false });
      scene.asker.started = new Promise(() => {});
      expect(await scene.cluster.reach(ofAnn, action)).to.have.property("count", 7);
    });
  });

  it("empties a channel by a command to all servers, and leaves word of that, too", async () => {
    const emptying = scene.cluster.unsubscribeAll("room");
    const [message] = scene.told;
    const data = { channel: "room", at: Date.now() };
    expect(message).to.deep.equal({ command: "unsubscribeAll", data, id: message?.id });
    expect(scene.done).to.deep.equal([
      ["append", "revoked:evictions", message, 1000, 3_600_000],
      ["broadcast", message],
    ]);
    expect(scene.emptied).to.deep.equal([]);
    scene.cluster.receive(message ?? {});
    await emptying;
    expect(scene.emptied).to.deep.equal(["room"]);
  });
});
