import { expect } from "chai";
import sinon from "sinon";
import type { Selection } from "../../lib/server/auth/selectors.js";
import { steadyNow } from "../../lib/server/limits/clock.js";
import type { JsonObject } from "../../lib/shared/protocol.js";
import {
  CLOSED,
  ClusterScene,
  entryOf,
  ofAnn,
  ofSession,
  revoked,
  settled,
} from "../support/cluster-scene.js";
import { stopClock } from "../support/stopped-clock.js";

const HOUR = 3_600_000;

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

  const receive = (message: JsonObject) => scene.cluster.receive(message);
  const isAsked = (key: string, age: number) => scene.refreshes.concern({ key, issuedAt: steadyNow() - age });

  describe("that hears of a revocation", () => {
    const hear = (selection: Selection, age = 0, more: JsonObject = {}, id = "heard") =>
      scene.hear("disconnect", revoked(selection, age, more), { id });

    it("closes whom it means, and tells the one that asks", () => {
      const [ann, bob] = [scene.add("1", "ann"), scene.add("2", "bob")];
      hear(ofAnn);
      sinon.assert.calledOnceWithExactly(ann.close, CLOSED);
      sinon.assert.notCalled(bob.close);
      const answers = [{ sid: "1", value: true }];
      sinon.assert.calledOnceWithExactly(scene.asker.answer, "there", "heard", { answers }, 2);
      expect([scene.isRevoked(ofAnn, 0), scene.isRevoked(ofAnn, -1)]).to.deep.equal([true, false]);
      expect(scene.done).to.deep.equal([]);
    });

    it("closes nobody a second time, however often it comes", () => {
      const ann = scene.add("1", "ann");
      hear(ofAnn);
      hear(ofAnn);
      sinon.assert.calledOnce(ann.close);
      hear(ofAnn, 0, {}, "another");
      sinon.assert.calledTwice(ann.close);
      expect(scene.answers).to.deep.equal([["1"], [], ["1"]]);
    });

    it("believes the other's clock by a minute, and by no more", () => {
      hear(ofAnn, 60_000);
      expect([scene.isRevoked(ofAnn, 60_000), scene.isRevoked(ofAnn, 59_999)]).to.deep.equal([true, false]);
      for (const age of [60_001, 2 * HOUR]) {
        const selection = { by: "identity", value: String(age) } as const;
        const connection = scene.add("1", selection.value);
        hear(selection, age);
        sinon.assert.calledOnce(connection.close);
        expect([scene.isRevoked(selection, 0), scene.isRevoked(selection, -1)]).to.deep.equal([true, false]);
      }
    });

    it("lets nobody of a session in again that has ended for good", () => {
      hear(ofSession, 0, { final: "true" });
      expect(scene.isRevoked(ofSession, -1000)).to.equal(false);
      hear(ofSession, 0, { final: true }, "another");
      expect(scene.isRevoked(ofSession, -1000)).to.equal(true);
      const ann = scene.add("1", "ann", ofSession.value, -60_000);
      hear(ofSession, 0, { final: true }, "third");
      sinon.assert.calledOnce(ann.close);
    });
  });

  describe("that hears of a refresh", () => {
    it("asks whom it means, and tells the one that asks who was to be asked", () => {
      const [ann, second, bob] = [scene.add("1", "ann"), scene.add("2", "ann"), scene.add("3", "bob")];
      second.refresh.returns(false);
      scene.hear("refresh", { ...ofAnn, at: Date.now() });
      for (const { refresh } of [ann, second]) sinon.assert.calledOnce(refresh);
      sinon.assert.notCalled(bob.refresh);
      const answers = [{ sid: "1", value: true }];
      sinon.assert.calledOnceWithExactly(scene.asker.answer, "there", "heard", { answers }, 2);
      expect([isAsked("ann", 0), isAsked("ann", -1)]).to.deep.equal([true, false]);
    });

    it("asks nobody a second time, however often it comes", () => {
      const ann = scene.add("1", "ann");
      for (let i = 0; i < 2; i++) scene.hear("refresh", { ...ofAnn, at: Date.now() });
      sinon.assert.calledOnce(ann.refresh);
      expect(scene.answers).to.deep.equal([["1"], []]);
    });

    it("believes the other's clock by a minute, and by no more", () => {
      scene.hear("refresh", { ...ofAnn, at: Date.now() - 60_000 });
      expect([isAsked("ann", 60_000), isAsked("ann", 59_999)]).to.deep.equal([true, false]);
      for (const age of [60_001, 2 * HOUR]) {
        const key = String(age);
        const connection = scene.add(key, key);
        scene.hear("refresh", { by: "identity", value: key, at: Date.now() - age }, { id: key });
        sinon.assert.calledOnce(connection.refresh);
        expect([isAsked(key, 0), isAsked(key, -1)]).to.deep.equal([true, false]);
      }
    });

    it("takes one without a time, and one of the future, for one of now", () => {
      scene.hear("refresh", ofAnn, { id: "1" });
      scene.hear("refresh", { by: "identity", value: "bob", at: Date.now() + 3000 }, { id: "2" });
      for (const key of ["ann", "bob"])
        expect([isAsked(key, 0), isAsked(key, -1)]).to.deep.equal([true, false]);
    });
  });

  describe("that hears of an older server, which has no channel of its own", () => {
    const hear = () => scene.hear("disconnect", revoked(ofAnn), { answerTo: undefined });

    it("answers by the channel that all hear", () => {
      scene.add("1", "ann");
      scene.add("2", "ann");
      hear();
      const data = { sockets: 2, sharing: 2 };
      expect(scene.told).to.deep.equal([{ command: "answer", data, id: "heard", origin: "here" }]);
      sinon.assert.notCalled(scene.asker.answer);
    });

    it("says where that fails, as long as it is there itself", async () => {
      const failure = new Error("away");
      scene.failures.set("broadcast", failure);
      hear();
      await settled();
      sinon.assert.calledOnceWithExactly(scene.reporter.error, "answering another server failed", failure);
      hear();
      scene.cluster.close();
      await settled();
      sinon.assert.calledOnce(scene.reporter.error);
    });

    it("counts its answers, and no more than it can have", () => {
      const answer = (sockets: unknown, sharing: unknown) => scene.hear("answer", { sockets, sharing });
      answer(3, 2);
      answer(-1, 1);
      expect(scene.asker.count.args).to.deep.equal([
        ["heard", 3, 2],
        ["heard", 0, 1],
      ]);
      for (const wrong of ["1", 1.5, null, undefined, 2 ** 53]) {
        answer(wrong, 1);
        answer(1, wrong);
      }
      sinon.assert.calledTwice(scene.asker.count);
    });
  });

  it("hears its own commands for receipts, and its own answers not at all", () => {
    const ann = scene.add("1", "ann");
    const own = { origin: "here", answerTo: "here" };
    scene.hear("disconnect", revoked(ofAnn), { ...own, id: "1" });
    scene.hear("refresh", ofAnn, { ...own, id: "2" });
    scene.hear("answer", { sockets: 1, sharing: 1 }, own);
    scene.hear("who", {}, own);
    for (const spy of [ann.close, ann.refresh]) sinon.assert.notCalled(spy);
    expect(scene.asker.echo.args).to.deep.equal([
      ["1", 2],
      ["2", 2],
    ]);
    for (const name of ["answer", "count", "show"] as const) sinon.assert.notCalled(scene.asker[name]);
    expect(scene.done).to.deep.equal([]);
  });

  it("gives a sign of life to the one that asks for it, where that can hear it", () => {
    scene.hear("who", {});
    sinon.assert.calledOnceWithExactly(scene.asker.show, "there", "heard");
    for (const answerTo of [undefined, null, 5]) scene.hear("who", {}, { answerTo });
    sinon.assert.calledOnce(scene.asker.show);
  });

  describe("that is asked about its sockets", () => {
    const action = { type: "count" } as const;
    const room = { by: "channel", value: "room" } as const;

    it("answers with a receipt, and then with what is late", () => {
      scene.carryOut.callsFake((_target, _action, tell) => {
        tell({ waits: ["1"] });
        tell({ answers: [{ sid: "1", value: 5 }] });
      });
      scene.hear("to", { ...room, action });
      sinon.assert.calledOnceWithExactly(scene.carryOut, room, action, sinon.match.func);
      expect(scene.asker.answer.args).to.deep.equal([
        ["there", "heard", { waits: ["1"] }, 2],
        ["there", "heard", { answers: [{ sid: "1", value: 5 }] }, undefined],
      ]);
    });

    it("counts its own question as received, and does not carry it out again", () => {
      scene.hear("to", { ...room, action }, { answerTo: "here" });
      sinon.assert.calledOnceWithExactly(scene.asker.echo, "heard", 2);
      sinon.assert.notCalled(scene.carryOut);
    });

    it("by the channel of an identity, says how many servers share that", () => {
      const request = (target: object, answerTo = "there") =>
        scene.cluster.receiveByIdentity(
          JSON.stringify({ command: "to", id: "1", origin: answerTo, answerTo, data: { ...target, action } }),
        );
      scene.carryOut.callsFake((_target, _action, tell) => tell({ count: 1 }));
      request(ofAnn);
      sinon.assert.calledOnceWithExactly(scene.asker.answer, "there", "1", { count: 1 }, 3);
      request(ofAnn, "here");
      sinon.assert.calledOnceWithExactly(scene.asker.echo, "1", 3);
      // what is for others than an identity does not come this way
      for (const target of [room, { by: "sid", value: "1" }, { by: "identity", value: "" }]) request(target);
      for (const json of ["", "{", "null", "[]", "{}", '{"data":null}', '{"data":5}']) {
        scene.cluster.receiveByIdentity(json);
      }
      sinon.assert.calledOnce(scene.carryOut);
      sinon.assert.notCalled(scene.reporter.debug);
    });

    it("leaves what it does not understand to newer servers", () => {
      for (const data of [
        { ...room, action: { type: "newer" } },
        { ...room },
        { by: "newer", value: "x", action },
      ]) {
        scene.hear("to", data);
      }
      expect(scene.reporter.debug.returnValues).to.deep.equal(
        Array(3).fill("a newer server has sent a request that is unknown here"),
      );
      for (const spy of [scene.carryOut, scene.asker.answer, scene.reporter.error])
        sinon.assert.notCalled(spy);
    });
  });

  it("lets its sockets leave a channel when some server says so, and reports what names none", () => {
    const command = "unsubscribeAll";
    receive({ command, data: { channel: "room", at: Date.now() }, id: "1", origin: "there" });
    receive({ command, data: { channel: "hall" } });
    expect(scene.emptied).to.deep.equal(["room", "hall"]);
    sinon.assert.notCalled(scene.reporter.error);
    receive({ command, data: { channel: "___sync___" } });
    sinon.assert.calledOnceWithExactly(
      scene.reporter.error,
      "pub/sub",
      sinon.match({ message: "A command from another server is malformed" }),
    );
    expect(scene.emptied).to.have.length(2);
  });

  it("leaves commands that it does not know to newer servers", () => {
    scene.hear("newer", {});
    expect(scene.reporter.debug.returnValues).to.deep.equal([
      "a newer server has sent a command that is unknown here",
    ]);
  });

  it("leaves an answer to newer servers where it does not know who is meant", () => {
    for (const command of ["disconnect", "refresh"]) {
      scene.hear(command, { ...revoked(ofAnn), by: "newer" });
      scene.hear(command, { ...revoked(ofAnn), by: "newer" }, { answerTo: undefined });
    }
    sinon.assert.notCalled(scene.asker.answer);
    expect(scene.done).to.deep.equal([]);
  });

  it("harms nobody where another server has sent what is wrong, and still hears what is right", () => {
    const ann = scene.add("1", "ann", ofSession.value);
    const disconnect = revoked(ofAnn);
    const wrong: [command: string, data: unknown, more?: JsonObject][] = [
      ...[undefined, null, "ann", 5, []].map((data): [string, unknown] => ["disconnect", data]),
      ...[undefined, null, 5, {}].map((id): [string, unknown, JsonObject] => [
        "disconnect",
        disconnect,
        { id },
      ]),
      ["disconnect", { ...disconnect, by: "everybody" }],
      ["disconnect", { ...disconnect, by: "channel" }],
      ["disconnect", { ...disconnect, by: undefined }],
      ["disconnect", { ...disconnect, by: "constructor" }],
      ["disconnect", { ...disconnect, value: "" }],
      ["disconnect", { ...disconnect, value: null }],
      ["disconnect", { ...disconnect, value: ["ann"] }],
      ["disconnect", { ...disconnect, code: 999 }],
      ["disconnect", { ...disconnect, code: "4100" }],
      ["disconnect", { ...disconnect, reason: undefined }],
      ["disconnect", { ...disconnect, reason: "x".repeat(124) }],
      ["disconnect", { ...disconnect, at: undefined }],
      ["disconnect", { ...disconnect, at: String(Date.now()) }],
      ["refresh", null],
      ["refresh", { by: "identity" }],
      ["refresh", { by: "everybody", value: "ann" }],
      ["refresh", ofAnn, { id: 7 }],
      ["Disconnect", disconnect],
      ["to", { ...ofAnn, action: { type: "disconnect", code: 4100, reason: "" } }, { answerTo: null }],
      ["to", { ...ofAnn, action: { type: "disconnect", code: 4, reason: "" } }],
      ["who", null],
      ["who", {}, { id: 7 }],
      ["answer", null],
    ];
    for (const [command, data, more] of wrong) scene.hear(command, data, more);
    for (const message of [{}, { command: "disconnect" }, { data: disconnect, id: "1" }]) receive(message);
    for (const spy of [ann.close, ann.refresh, scene.carryOut, scene.reporter.error])
      sinon.assert.notCalled(spy);
    for (const name of ["echo", "count", "show"] as const) sinon.assert.notCalled(scene.asker[name]);
    expect(scene.answers.flat()).to.deep.equal([]);
    for (const selection of [ofAnn, ofSession]) expect(scene.isRevoked(selection, 0)).to.equal(false);
    scene.hear("disconnect", disconnect);
    sinon.assert.calledOnce(ann.close);
  });

  describe("that was away from Redis", () => {
    it("reads each list of what it has missed", async () => {
      await scene.miss({});
      expect(scene.done).to.deep.equal(
        ["revoked", "revoked:sessionId", "revoked:sid", "revoked:refreshes", "revoked:evictions"].map(
          (key) => ["list", key],
        ),
      );
    });

    it("closes whom it should have closed, by each of them", async () => {
      const [ann, other] = [scene.add("1", "ann", undefined, 1000), scene.add("2", "bob", "s", 1000)];
      const [nobody, eve] = [scene.add("3"), scene.add("4", "eve", undefined, 1000)];
      await scene.miss({
        revoked: ["no JSON", "{}", entryOf(ofAnn)],
        "revoked:sessionId": [entryOf({ by: "sessionId", value: "s" })],
        "revoked:sid": [entryOf({ by: "sid", value: "3" })],
      });
      for (const { close } of [ann, other, nobody]) sinon.assert.calledOnceWithExactly(close, CLOSED);
      sinon.assert.notCalled(eve.close);
      expect(scene.isRevoked(ofAnn, 0)).to.equal(true);
    });

    it("spares who has come with a token of later, as far as clocks agree", async () => {
      const [before, after] = [
        scene.add("1", "ann", undefined, 5000),
        scene.add("2", "ann", undefined, 4999),
      ];
      await scene.miss({ revoked: [entryOf(ofAnn, 10_000)] });
      sinon.assert.calledOnce(before.close);
      sinon.assert.notCalled(after.close);
    });

    it("closes all of a session that has ended for good, and once", async () => {
      const ann = scene.add("1", "ann", ofSession.value, -5000);
      const final = entryOf(ofSession, 10_000, { final: true }, "final");
      await scene.miss({ "revoked:sessionId": [entryOf(ofSession, 10_000), final] });
      sinon.assert.calledOnce(ann.close);
      await scene.miss({ "revoked:sessionId": [{ ...final, id: "another" }] });
      sinon.assert.calledOnce(ann.close);
    });

    it("hears that a session has ended for good also where it knows of a later disconnect", async () => {
      scene.hear("disconnect", revoked(ofSession));
      const ann = scene.add("1", "ann", ofSession.value, -5000);
      await scene.miss({ "revoked:sessionId": [entryOf(ofSession, 10_000, { final: true })] });
      sinon.assert.calledOnce(ann.close);
      expect(scene.isRevoked(ofSession, -5000)).to.equal(true);
    });

    it("hears that a session has ended for good also where it knows nothing else of it", async () => {
      const ann = scene.add("1", "ann", ofSession.value, -5000);
      await scene.miss({ "revoked:sessionId": [entryOf(ofSession, 10_000, { final: true })] });
      sinon.assert.calledOnce(ann.close);
    });

    it("does nothing that it has heard, or something newer of the same", async () => {
      scene.hear("disconnect", revoked(ofAnn, 1000));
      const ann = scene.add("1", "ann", undefined, 2000);
      for (const age of [1000, 1001]) await scene.miss({ revoked: [entryOf(ofAnn, age)] });
      sinon.assert.notCalled(ann.close);
      await scene.miss({ revoked: [entryOf(ofAnn, 999)] });
      sinon.assert.calledOnce(ann.close);
    });

    it("asks who was to be asked meanwhile, once", async () => {
      const [ann, bob] = [scene.add("1", "ann"), scene.add("2", "bob")];
      const refresh = { command: "refresh", data: { ...ofAnn, at: Date.now() }, id: "1" };
      for (let i = 0; i < 2; i++) await scene.miss({ "revoked:refreshes": ["no JSON", "{}", refresh] });
      sinon.assert.calledOnce(ann.refresh);
      sinon.assert.notCalled(bob.refresh);
    });

    it("has sockets leave the channels that were emptied", async () => {
      const command = "unsubscribeAll";
      const eviction = { command, data: { channel: "room", at: Date.now() + 1000 }, id: "1" };
      await scene.miss({ "revoked:evictions": ["no JSON", eviction] });
      expect(scene.emptied).to.deep.equal(["room"]);
    });

    it("takes nothing in one list for what belongs into another", async () => {
      const ann = scene.add("1", "ann");
      const refresh = { command: "refresh", data: { ...revoked(ofAnn) }, id: "1" };
      await scene.miss({ revoked: [refresh], "revoked:refreshes": [entryOf(ofAnn)] });
      for (const spy of [ann.close, ann.refresh]) sinon.assert.notCalled(spy);
    });

    it("takes no notice of what has no id, by which it would know it again", async () => {
      const ann = scene.add("1", "ann");
      const refresh = { command: "refresh", data: { ...ofAnn, at: Date.now() } };
      for (const id of [undefined, 7, null]) {
        await scene.miss({
          revoked: [{ ...entryOf(ofAnn), id }],
          "revoked:refreshes": [{ ...refresh, id }],
        });
      }
      for (const spy of [ann.close, ann.refresh]) sinon.assert.notCalled(spy);
    });

    it("tries again two seconds later where it cannot read them, and says so", async () => {
      const ann = scene.add("1", "ann");
      const failure = new Error("away");
      scene.failures.set("list", failure);
      await scene.miss({ revoked: [entryOf(ofAnn)] });
      sinon.assert.calledOnceWithExactly(
        scene.reporter.outage,
        "reading what was revoked meanwhile failed",
        failure,
      );
      scene.failures.clear();
      await clock.tickAsync(1999);
      await settled();
      sinon.assert.notCalled(ann.close);
      await clock.tickAsync(1);
      await settled();
      sinon.assert.calledOnce(ann.close);
      // once it has been read, nothing is tried any more
      scene.done.length = 0;
      await clock.tickAsync(10_000);
      expect(scene.done).to.deep.equal([]);
    });

    it("does not try again where it has been read meanwhile", async () => {
      scene.failures.set("list", new Error("away"));
      await scene.miss({});
      scene.failures.clear();
      await scene.miss({});
      scene.done.length = 0;
      await clock.tickAsync(10_000);
      expect(scene.done).to.deep.equal([]);
    });
  });

  describe("that was shut down", () => {
    it("waits for nobody", async () => {
      const evicting = scene.cluster.unsubscribeAll("room");
      await settled();
      scene.cluster.close();
      await evicting;
      sinon.assert.calledOnce(scene.asker.close);
    });

    it("carries nothing out that it has missed", async () => {
      const ann = scene.add("1", "ann");
      scene.lists.set("revoked", [JSON.stringify(entryOf(ofAnn))]);
      scene.cluster.catchUp();
      scene.cluster.close();
      await settled();
      sinon.assert.notCalled(ann.close);
      scene.done.length = 0;
      scene.cluster.catchUp();
      expect(scene.done).to.deep.equal([]);
    });

    it("reports no failure, and tries nothing again", async () => {
      scene.failures.set("list", new Error("away"));
      scene.cluster.catchUp();
      scene.cluster.close();
      await settled();
      sinon.assert.notCalled(scene.reporter.outage);
      const other = new ClusterScene();
      other.failures.set("list", new Error("away"));
      await other.miss({});
      other.cluster.close();
      for (const { done } of [scene, other]) done.length = 0;
      await clock.tickAsync(10_000);
      expect([...scene.done, ...other.done]).to.deep.equal([]);
    });
  });
});
