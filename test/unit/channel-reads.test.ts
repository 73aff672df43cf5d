import { expect } from "chai";
import type { GuardResult } from "../../lib/server/events/guards.js";
import { FORBIDDEN, NO_HISTORY, UNAVAILABLE } from "../../lib/shared/refusals.js";
import { later, requestsScene, turn } from "../support/requests-scene.js";

const AT = "e.2.2";

describe("A client's requests about members, to read back, and in review", () => {
  const scene = requestsScene();

  describe("about members", () => {
    const observe = (channel: string) => scene.add({ type: "presence", kind: "observe", channel });

    it("are served where there are some, as their guard says", async () => {
      observe("hall");
      expect(scene.client.refuse.args[0]?.[1]).to.have.property("code", "no_presence");
      scene.client.refuse.resetHistory();
      scene.guarded.add("presence");
      observe("room");
      await turn();
      expect(scene.asked).to.deep.equal([["presence", { channel: "room" }]]);
      expect(scene.client.answer.args).to.deep.equal([[scene.headOf(1), '{"v":1,"count":0}']]);
      scene.client.answer.resetHistory();
      scene.decide = () => ({ allowed: false, error: "no" });
      observe("room");
      scene.refused("no");
    });

    it("are forgotten at the end", () => {
      observe("room");
      scene.requests.close();
      expect(scene.forget.args).to.deep.equal([[scene.client]]);
    });
  });

  describe("to read back", () => {
    it("are answered in a channel that the client is in, from the time of its membership on", async () => {
      scene.history();
      scene.refused(FORBIDDEN);
      scene.client.refuse.resetHistory();
      scene.joined.add("room");
      scene.history();
      await turn();
      expect(scene.client.answer.args).to.deep.equal([[scene.headOf(1), `{"messages":[],"at":"${AT}"}`]]);
      expect(scene.asked).to.deep.equal([]);
    });

    it("are answered where a guard says so, which is asked about the channel", async () => {
      scene.guarded.add("history");
      scene.history();
      await turn();
      expect(scene.client.answer.callCount).to.equal(1);
      expect(scene.asked).to.deep.equal([["history", { channel: "room" }]]);
    });

    it("are refused where there is no history, and where Redis fails", async () => {
      scene.joined.add("room");
      scene.reader.before.rejects(new Error("down"));
      scene.history();
      await turn();
      scene.refused(UNAVAILABLE);
      scene.client.refuse.resetHistory();
      scene.hasHistory = false;
      scene.history();
      scene.refused(NO_HISTORY);
    });

    it("give nothing of before the time that the guard, or else the membership, says", async () => {
      const entries = [1, 2].map((offset) => ({
        position: { epoch: "e", offset, tag: `${offset}` },
        time: offset,
        json: `${offset}`,
      }));
      scene.reader.before.resolves({ entries, at: entries[1]?.position, lost: undefined, hasMore: true });
      const messages = () =>
        JSON.parse(scene.client.answer.lastCall.args[1]).messages.map(
          ({ message }: { message: number }) => message,
        );
      scene.joined.add("room");
      for (const membership of [undefined, { from: undefined }]) {
        scene.client.membership = membership;
        scene.history();
        await turn();
        expect(messages()).to.deep.equal([1, 2]);
      }
      scene.client.membership = { from: new Map([["room", 2]]) };
      scene.history();
      await turn();
      expect(messages()).to.deep.equal([2]);
      scene.guarded.add("history");
      scene.decide = () => ({ allowed: true, from: 3 });
      scene.history();
      await turn();
      expect(messages()).to.deep.equal([]);
    });
  });

  describe("are reviewed", () => {
    beforeEach(() => {
      scene.client.channels = { room: true, own: true };
      scene.requested.add("room");
    });

    it("as to the channels that the client has asked for itself, from whose time on it reads then", async () => {
      scene.decide = () => ({ allowed: true, from: 9 });
      scene.requests.review();
      await turn();
      expect(scene.asked).to.deep.equal([["subscribe", { channel: "room" }]]);
      expect(scene.memberships.setFrom.args).to.deep.equal([[scene.client, "room", 9]]);
      expect(scene.revoke.callCount).to.equal(0);
    });

    it("and those taken back that a guard refuses, whatever comes of that", async () => {
      scene.decide = () => ({ allowed: false, error: "no" });
      scene.revoke.rejects(new Error("closed"));
      scene.requests.review();
      await turn();
      expect(scene.revoke.args).to.deep.equal([[scene.client, "room", "no"]]);
      expect(scene.debugged).to.deep.equal(['7 may not stay in "room"']);
      expect(scene.memberships.setFrom.callCount).to.equal(0);
    });

    it("without an effect where the client has left, or has gone, by the guard's answer", async () => {
      for (const allowed of [true, false]) {
        for (const end of [
          () => scene.requested.clear(),
          () => Object.assign(scene.client, { closed: true }),
        ]) {
          [scene.client.closed, scene.asked.length] = [false, 0];
          scene.requested.add("room");
          scene.decide = async () => {
            end();
            return allowed ? { allowed, from: 9 } : { allowed, error: "no" };
          };
          scene.requests.review();
          await turn();
          expect(scene.asked).to.have.length(1);
          expect(scene.memberships.setFrom.callCount).to.equal(0);
          if (scene.client.closed) expect(scene.debugged.splice(0)).to.have.length(0);
          scene.debugged.length = 0;
        }
      }
    });

    it("no more once the client has gone, or has left before its turn came", async () => {
      const guard = later<GuardResult>();
      scene.decide = () => guard.promise;
      const ends: (() => void)[] = [
        () => Object.assign(scene.client, { closed: true }),
        () => scene.requested.clear(),
      ];
      for (const end of ends) {
        scene.unsubscribe();
        scene.requests.review();
        const before = scene.asked.length;
        end();
        guard.resolve({ allowed: true });
        await turn();
        expect(scene.asked).to.have.length(before);
        scene.client.closed = false;
      }
    });
  });

  it("leave nothing at the end, where there were some and where there were none", async () => {
    scene.requests.close();
    const guard = later<GuardResult>();
    scene.decide = () => guard.promise;
    for (let n = 0; n < 100; n++) {
      scene.client.channels[n] = true;
      scene.requested.add(String(n));
    }
    scene.requests.review();
    const { length } = scene.asked;
    expect(length).to.be.within(1, 99);
    scene.requests.close();
    guard.resolve({ allowed: true });
    await turn();
    expect(scene.asked).to.have.length(length);
  });

  it("are decided when those are that have come so far", async () => {
    const guard = later<GuardResult>();
    scene.decide = () => guard.promise;
    scene.unsubscribe();
    let isDecided = false;
    const decided = scene.requests.decided().then(() => {
      isDecided = true;
    });
    await turn();
    expect(isDecided).to.equal(false);
    guard.resolve({ allowed: true });
    await decided;
  });
});
