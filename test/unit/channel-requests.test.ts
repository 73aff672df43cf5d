import { expect } from "chai";
import { type GuardResult, MOST_DECISIONS } from "../../lib/server/events/guards.js";
import type { Recovered } from "../../lib/server/history/recovery.js";
import type { Kept } from "../../lib/server/redis/history-log.js";
import type { Outcome } from "../../lib/shared/errors.js";
import {
  BUSY,
  FORBIDDEN,
  INTERNAL_ERROR,
  INVALID_REQUEST,
  NO_HISTORY,
  PUBSUB_OFF,
  TOO_MANY_CHANNELS,
  UNAVAILABLE,
} from "../../lib/shared/refusals.js";
import { later, requestsScene, turn } from "../support/requests-scene.js";

const SINCE = { epoch: "e", offset: 1, tag: "1" };
const AT = "e.2.2";

describe("A client's requests about channels", () => {
  const scene = requestsScene();

  describe("are refused", () => {
    it("for a channel of the library's own, and where pub/sub is off", () => {
      scene.subscribe({ channel: "___all___" });
      scene.refused(FORBIDDEN);
      scene.client.refuse.resetHistory();
      scene.pubsub.enabled = false;
      for (const send of [scene.subscribe, scene.broadcast]) send();
      expect(scene.client.refuse.args.map(([, error]) => error)).to.deep.equal([PUBSUB_OFF, PUBSUB_OFF]);
      expect(scene.asked).to.deep.equal([]);
    });

    it("where they say wrong things of history, unless the client knows of none", async () => {
      for (const send of [
        () => scene.subscribe({ start: "invalid" }),
        () => scene.publishOne({ id: null }),
      ]) {
        scene.client.wantsHistory = true;
        send();
        scene.refused(INVALID_REQUEST);
        scene.client.refuse.resetHistory();
        scene.client.wantsHistory = false;
        send();
        await turn();
        scene.acknowledged();
        scene.client.acknowledge.resetHistory();
      }
      expect(scene.join.args[0]?.[3]).to.equal(undefined);
      expect(scene.publish.args[0]?.[2]).to.equal(undefined);
      scene.subscribe({ id: null });
      scene.publishOne({ start: "invalid" });
      await turn();
      expect(scene.client.refuse.callCount).to.equal(0);
    });

    for (const [what, wait] of [
      ["guards", () => waitForGuards()],
      ["Redis to take them", () => waitForRedis()],
      ["a recovery", () => waitForRecovery()],
    ] as const) {
      it(`as long as too many wait for ${what}`, async () => {
        scene.limits.framesWaiting = 1;
        const end = wait();
        scene.unsubscribe();
        scene.refused(BUSY);
        scene.client.refuse.resetHistory();
        end();
        await turn();
        scene.unsubscribe();
        expect(scene.client.refuse.callCount).to.equal(0);
      });
    }

    function waitForGuards() {
      const guard = later<GuardResult>();
      scene.decide = () => guard.promise;
      scene.subscribe();
      return () => guard.resolve({ allowed: true });
    }

    function waitForRedis() {
      const taken = later<undefined>();
      scene.publish.returns(taken.promise);
      scene.publishOne();
      return () => taken.resolve(undefined);
    }

    function waitForRecovery() {
      const recovery = later<boolean>();
      scene.join.returns({ done: recovery.promise });
      scene.subscribe();
      return () => recovery.resolve(true);
    }

    it("as long as those that wait take too many bytes, but not for their own bytes alone", async () => {
      const guard = later<GuardResult>();
      scene.decide = () => guard.promise;
      scene.unsubscribe();
      scene.publishOne({ channel: "other" }, 99);
      expect(scene.client.refuse.callCount).to.equal(0);
      scene.publishOne({ channel: "other", head: scene.headOf(2) }, 1);
      scene.refused(BUSY, scene.headOf(2));
      scene.client.refuse.resetHistory();
      guard.resolve({ allowed: true });
      await turn();
      scene.decide = () => ({ allowed: true });
      scene.publishOne({}, 1000);
      expect(scene.client.refuse.callCount).to.equal(0);
      await turn();
      // nothing of those is counted any more
      scene.decide = () => new Promise(() => {});
      scene.unsubscribe();
      scene.publishOne({ channel: "other" }, 99);
      expect(scene.client.refuse.callCount).to.equal(0);
    });

    it("as long as Redis has not taken as many bytes of messages", async () => {
      const taken = later<undefined>();
      scene.publish.returns(taken.promise);
      scene.publishOne({ data: "x".repeat(90) });
      scene.publishOne({ head: scene.headOf(2) }, 9);
      scene.refused(BUSY, scene.headOf(2));
      scene.client.refuse.resetHistory();
      scene.publishOne({}, 8);
      expect(scene.client.refuse.callCount).to.equal(0);
      taken.resolve(undefined);
      await turn();
      scene.acknowledged(2);
      scene.publish.returns(new Promise(() => {}));
      scene.publishOne({ data: "x".repeat(90) });
      scene.publishOne({}, 8);
      expect(scene.client.refuse.callCount).to.equal(0);
    });

    it("where a guard refuses them, and not answered where the client has gone by then", async () => {
      scene.decide = () => ({ allowed: false, error: "no" });
      scene.subscribe();
      scene.refused("no");
      expect(scene.join.callCount).to.equal(0);
      scene.client.refuse.resetHistory();
      scene.decide = async () => {
        scene.client.closed = true;
        return { allowed: false, error: "no" };
      };
      scene.subscribe();
      await turn();
      expect(scene.client.refuse.callCount).to.equal(0);
    });

    it("where the rights change again and again while guards decide", async () => {
      scene.decide = async () => {
        scene.client.rights++;
        return { allowed: true };
      };
      scene.unsubscribe();
      await turn();
      scene.refused(BUSY);
      expect(scene.asked).to.have.length(MOST_DECISIONS);
    });

    for (const [how, fail] of [
      ["at once", () => decideAtOnce()],
      ["later", () => decideLater()],
    ] as const) {
      it(`where a fault keeps them from being served, which is reported, ${how}`, async () => {
        const error = fail();
        scene.publishOne({}, 99);
        await turn();
        scene.refused(INTERNAL_ERROR);
        expect(scene.reported).to.deep.equal([["a channel request could not be served", error]]);
        // its bytes do not count any more
        scene.client.refuse.resetHistory();
        scene.decide = () => new Promise(() => {});
        scene.unsubscribe();
        scene.publishOne({ channel: "other" }, 98);
        expect(scene.client.refuse.callCount).to.equal(0);
      });
    }

    function decideAtOnce() {
      const error = new Error("fault");
      scene.decide = () => {
        throw error;
      };
      return error;
    }

    function decideLater() {
      const error = new Error("fault");
      scene.decide = () => Promise.reject(error);
      return error;
    }
  });

  describe("to join", () => {
    it("are told to memberships from begin to end, whether guards answer at once or not", async () => {
      for (const isLate of [false, true]) {
        const guard = later<GuardResult>();
        scene.decide = () => (isLate ? guard.promise : { allowed: true });
        scene.memberships.beginJoin.resetHistory();
        scene.memberships.endJoin.resetHistory();
        scene.subscribe();
        expect(scene.memberships.beginJoin.args).to.deep.equal([[scene.client, "room", true]]);
        expect(scene.memberships.endJoin.callCount).to.equal(isLate ? 0 : 1);
        guard.resolve({ allowed: true });
        await turn();
        expect(scene.memberships.endJoin.args).to.deep.equal([[scene.memberships.beginJoin.returnValues[0]]]);
      }
      expect(scene.asked).to.deep.equal([
        ["subscribe", { channel: "room" }],
        ["subscribe", { channel: "room" }],
      ]);
      scene.acknowledged(2);
    });

    it("need no decision where there is no guard, and say from where", () => {
      scene.guarded.clear();
      scene.subscribe();
      scene.subscribe({ start: { since: SINCE } });
      expect([scene.asked, scene.memberships.beginJoin.callCount]).to.deep.equal([[], 0]);
      expect(scene.join.args.map(([, , , wish]) => wish?.start)).to.deep.equal([undefined, { since: SINCE }]);
      scene.acknowledged(2);
    });

    it("say before which time they get nothing, also without a place to begin", () => {
      scene.decide = () => ({ allowed: true, from: 5 });
      scene.subscribe();
      expect(scene.join.args[0]?.[3]).to.deep.equal({ from: 5 });
    });

    it("are decided anew where they were overruled meanwhile", async () => {
      scene.decide = async () => {
        const [pending] = scene.memberships.beginJoin.returnValues;
        if (pending && scene.asked.length < 3) pending.isOverruled = true;
        return { allowed: true };
      };
      scene.subscribe();
      await turn();
      expect(scene.asked).to.have.length(3);
      expect(scene.join.callCount).to.equal(1);
      scene.acknowledged();
    });

    it("take a place, which they give back when they are done, only where the client is not in the channel", async () => {
      const entering = later<{ done: undefined }>();
      scene.join.returns(entering.promise);
      scene.subscribe();
      expect([scene.memberships.reserve.args, scene.memberships.release.callCount]).to.deep.equal([
        [[scene.client]],
        0,
      ]);
      entering.resolve({ done: undefined });
      await turn();
      expect(scene.memberships.release.args).to.deep.equal([[scene.client]]);
      scene.joined.add("room");
      scene.join.returns({ done: undefined });
      scene.subscribe();
      expect([scene.memberships.reserve.callCount, scene.memberships.release.callCount]).to.deep.equal([
        1, 1,
      ]);
      scene.acknowledged(2);
    });

    it("are refused where the client is in as many channels as it may be", () => {
      scene.memberships.reserve.returns(false);
      scene.subscribe();
      scene.refused(TOO_MANY_CHANNELS);
      expect([scene.join.callCount, scene.memberships.release.callCount]).to.deep.equal([0, 0]);
    });

    it("say from where, and are answered with what was recovered", () => {
      scene.decide = () => ({ allowed: true, from: 5 });
      scene.subscribe({ start: { since: SINCE }, req: { channel: "room", since: AT } });
      const [, channel, request, options] = scene.join.args[0] ?? [];
      expect(channel).to.equal("room");
      expect(request).to.deep.include({ head: scene.headOf(1), req: { channel: "room", since: AT } });
      expect(options).to.deep.include({ start: { since: SINCE }, from: 5 });
      options.onDone({ at: AT, recovered: 2 } as Recovered);
      expect(scene.client.answer.args).to.deep.equal([[scene.headOf(1), `{"at":"${AT}","recovered":2}`]]);
    });

    for (const [how, fail] of [
      ["at once", (error: Error) => scene.join.throws(error)],
      ["later", (error: Error) => scene.join.rejects(error)],
    ] as const) {
      it(`are told where Redis fails ${how}, which is reported, unless the client has gone`, async () => {
        const error = new Error("down");
        fail(error);
        scene.subscribe();
        await turn();
        scene.refused(UNAVAILABLE);
        expect(scene.reported).to.deep.equal([["Redis has not carried out what a client asked for", error]]);
        expect(scene.memberships.release.callCount).to.equal(1);
        scene.client.refuse.resetHistory();
        scene.decide = () => {
          queueMicrotask(() => {
            scene.client.closed = true;
          });
          return { allowed: true };
        };
        scene.join.callsFake(async () => {
          await turn();
          throw error;
        });
        scene.subscribe();
        await turn();
        await turn();
        expect([scene.client.refuse.callCount, scene.reported.length]).to.deep.equal([0, 1]);
      });
    }

    it("have the guards asked again where the rights changed while Redis was asked", async () => {
      for (const isChanged of [false, true]) {
        scene.asked.length = 0;
        const entering = later<{ done: undefined }>();
        scene.join.returns(entering.promise);
        scene.subscribe();
        scene.requested.add("room");
        if (isChanged) scene.client.rights++;
        entering.resolve({ done: undefined });
        await turn();
        expect(scene.asked).to.have.length(isChanged ? 2 : 1);
      }
      const entering = later<{ done: undefined }>();
      scene.asked.length = 0;
      scene.join.returns(entering.promise);
      scene.subscribe();
      scene.client.rights++;
      scene.client.closed = true;
      entering.resolve({ done: undefined });
      await turn();
      expect(scene.asked).to.have.length(1);
    });

    describe("that recover", () => {
      let recovery: ReturnType<typeof later<boolean>>;

      beforeEach(() => {
        recovery = later();
        scene.join.onFirstCall().returns({ done: recovery.promise });
        scene.subscribe();
        expect(scene.client.acknowledge.callCount).to.equal(0);
      });

      it("have further ones of their channel wait, and no others", async () => {
        scene.subscribe({ channel: "other" });
        scene.subscribe({ head: scene.headOf(2) });
        expect(scene.join.args.map(([, channel]) => channel)).to.deep.equal(["room", "other"]);
        recovery.resolve(true);
        await turn();
        expect(scene.join.args.map(([, channel]) => channel)).to.deep.equal(["room", "other", "room"]);
        scene.subscribe();
        // it has been forgotten
        expect(scene.join.callCount).to.equal(4);
        scene.acknowledged(3);
      });

      it("do not let one in that has waited, and whose client has gone", async () => {
        scene.subscribe({ head: scene.headOf(2) });
        scene.client.closed = true;
        recovery.resolve(true);
        await turn();
        expect(scene.join.callCount).to.equal(1);
      });

      it("are forbidden where the client has left meanwhile, unless it has gone", async () => {
        recovery.resolve(false);
        await turn();
        scene.refused(FORBIDDEN);
      });

      it("are told nothing where the client has gone meanwhile", async () => {
        scene.client.closed = true;
        recovery.resolve(false);
        await turn();
        expect(scene.client.refuse.callCount).to.equal(0);
      });

      it("are told where Redis cannot be read", async () => {
        recovery.reject(new Error("down"));
        await turn();
        scene.refused(UNAVAILABLE);
      });

      it("do not put a review off, which waits for other requests of its channel", async () => {
        scene.requested.add("room").add("other");
        scene.client.channels = { room: true, other: true, own: true };
        const guard = later<GuardResult>();
        scene.decide = (event) => (event === "unsubscribe" ? guard.promise : { allowed: true, from: 9 });
        scene.add({ type: "unsubscribe", req: {}, channel: "other" });
        scene.asked.length = 0;
        scene.subscribe({ head: scene.headOf(2) });
        scene.requests.review();
        await turn();
        expect(scene.asked.slice(1)).to.deep.equal([["subscribe", { channel: "room" }]]);
        guard.resolve({ allowed: true });
        await turn();
        expect(scene.asked.slice(2)).to.deep.equal([["subscribe", { channel: "other" }]]);
      });
    });
  });

  describe("to leave", () => {
    it("are acknowledged when they are carried out, or refused where Redis fails", async () => {
      const leaving = later<void>();
      scene.leave = () => leaving.promise;
      scene.unsubscribe();
      await turn();
      expect(scene.client.acknowledge.callCount).to.equal(0);
      leaving.resolve();
      await turn();
      scene.acknowledged();
      expect(scene.asked).to.deep.equal([["unsubscribe", { channel: "room" }]]);
      scene.leave = () => Promise.reject(new Error("down"));
      scene.client.acknowledge.resetHistory();
      scene.unsubscribe();
      await turn();
      scene.refused(UNAVAILABLE);
    });
  });

  describe("to publish", () => {
    const KEPT = { at: AT, isRepeated: false } as unknown as Kept;

    it("are told to the application, and are answered with the position where the client asks for those", async () => {
      scene.publish.resolves(KEPT);
      scene.publishOne({ id: "m" });
      scene.client.wantsHistory = false;
      await turn();
      scene.acknowledged();
      scene.client.wantsHistory = true;
      scene.publishOne({ id: "m" });
      await turn();
      expect(scene.client.answer.args).to.deep.equal([[scene.headOf(1), `{"at":"${AT}"}`]]);
      const told = ["published", scene.client.socket, { channel: "room", data: { a: 1 } }];
      expect(scene.notify.args).to.deep.equal([told, told]);
      expect(scene.publish.args[0]).to.deep.equal(["room", '{"a":1}', "m", undefined]);
    });

    it("are not told to an application that does not listen, or that was told before", async () => {
      scene.hears = false;
      scene.publishOne();
      scene.hears = true;
      scene.publish.resolves({ ...KEPT, isRepeated: true });
      scene.publishOne();
      await turn();
      expect(scene.notify.callCount).to.equal(1);
    });

    it("leave the client's own message out where it does not want it, and knows how", () => {
      scene.publishOne({ echo: false });
      scene.client.protocol = 3;
      scene.publishOne({ echo: false });
      scene.client.protocol = 4;
      scene.publishOne();
      expect(scene.publish.args.map(([, , , except]) => except)).to.deep.equal(["7", undefined, undefined]);
    });

    it("are not published again where no history can tell them apart", () => {
      scene.publishOne({ id: "m", again: true });
      expect(scene.publish.callCount).to.equal(1);
      scene.hasHistory = false;
      scene.publishOne({ id: "m" });
      expect(scene.publish.callCount).to.equal(2);
      scene.publishOne({ id: "m", again: true });
      scene.refused(NO_HISTORY);
      scene.client.wantsHistory = false;
      scene.publishOne({ id: "m", again: true });
      expect([scene.publish.callCount, scene.publish.args[2]?.[2]]).to.deep.equal([3, undefined]);
    });

    for (const isLate of [false, true]) {
      it(`are what the schema makes of them, or refused as it says, ${isLate ? "later" : "at once"}`, async () => {
        const say = (outcome: Outcome) => {
          scene.check = () => (isLate ? Promise.resolve(outcome) : outcome);
        };
        say({ status: "result", value: "other" });
        scene.publishOne();
        if (isLate) await turn();
        expect(scene.publish.args[0]?.[1]).to.equal('"other"');
        expect(scene.asked).to.deep.equal([["publish", { channel: "room", data: "other" }]]);
        say({ status: "error", error: { code: "bad" } });
        scene.publishOne();
        if (isLate) await turn();
        expect(scene.client.refuse.args).to.deep.equal([[scene.headOf(1), { code: "bad" }]]);
        scene.client.refuse.resetHistory();
        const error = new Error("secret");
        say({ status: "failure", error });
        scene.publishOne();
        if (isLate) await turn();
        expect(scene.reported).to.deep.equal([['the schema of "room" failed', error]]);
        expect(scene.client.refuse.args[0]?.[1]).to.deep.equal(INTERNAL_ERROR);
        expect([scene.publish.callCount, scene.client.refuse.callCount]).to.deep.equal([1, 1]);
      });
    }

    it("are not published where the client has gone by the time that the schema answers", async () => {
      scene.check = async (value) => {
        scene.client.closed = true;
        return { status: "result", value };
      };
      scene.publishOne();
      await turn();
      expect([scene.publish.callCount, scene.asked.length]).to.deep.equal([0, 0]);
    });

    it("are refused where a guard makes of them what is no JSON, which is reported", () => {
      scene.decide = () => {
        (scene.asked[0]?.[1] as { data: unknown }).data = 7n;
        return { allowed: true };
      };
      scene.publishOne();
      scene.refused(INTERNAL_ERROR);
      expect(scene.reported[0]?.[0]).to.equal("a publish guard has left a message that is no JSON");
      expect(scene.publish.callCount).to.equal(0);
    });

    it("to all are told to the application without a channel", async () => {
      scene.broadcast();
      await turn();
      expect(scene.asked).to.deep.equal([["broadcast", { data: 7 }]]);
      expect(scene.publish.args).to.deep.equal([["___all___", "7"]]);
      expect(scene.notify.args).to.deep.equal([["broadcasted", scene.client.socket, { data: 7 }]]);
      scene.acknowledged();
    });
  });

  it("to publish to all come after those before them of every channel, and before those after them", async () => {
    const guards = [later<GuardResult>(), later<GuardResult>()];
    const [first, second] = guards;
    scene.decide = (event) => (event === "unsubscribe" ? first : second)?.promise ?? { allowed: true };
    scene.unsubscribe();
    scene.broadcast();
    scene.add({ type: "publish", data: 8, channel: "other" });
    const events = () => scene.asked.map(([event]) => event);
    await turn();
    expect(events()).to.deep.equal(["unsubscribe"]);
    first?.resolve({ allowed: true });
    await turn();
    expect(events()).to.deep.equal(["unsubscribe", "broadcast"]);
    second?.resolve({ allowed: true });
    await turn();
    expect(scene.publish.args.map(([channel]) => channel)).to.deep.equal(["___all___", "other"]);
  });
});
