import { expect } from "chai";
import sinon from "sinon";
import type { AnswerPart } from "../../lib/server/cluster/answers.js";
import type { Action } from "../../lib/server/cluster/requests.js";
import { bySid, Responder, type ResponderParts } from "../../lib/server/cluster/responder.js";
import type { Connection } from "../../lib/server/connection/connection.js";
import { ConnectionIndex } from "../../lib/server/connection/connection-index.js";

type Auth = unknown;

/** Lets every promise that is settled already run its handlers, and answers of this turn go. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A connection as the responder sees it. */
function connectionOf(sid: string, key: string | undefined, channels: Record<string, true> = {}) {
  const connection = {
    sid,
    identity: key === undefined ? undefined : { key, sessionId: undefined },
    identified: key !== undefined,
    channels,
    socket: { created: 5, ip: "::1" },
    refresh: sinon.stub().returns(true),
    close: sinon.spy(),
    call: sinon.stub().resolves(sid),
  };
  return connection as typeof connection & Connection<Auth>;
}

describe("What sockets of a server are asked to do", () => {
  const [ann1, ann2] = [connectionOf("1", "ann", { room: true }), connectionOf("2", "ann")];
  const [bob, nobody] = [connectionOf("3", "bob", { room: true }), connectionOf("4", undefined)];
  const all = [ann1, ann2, bob, nobody];
  const ofAnn = { by: "identity", value: "ann" } as const;
  const inRoom = { by: "channel", value: "room" } as const;
  let pubsub: Record<"send" | "join" | "expel", sinon.SinonStub>;
  let responder: Responder<Auth>;
  let told: AnswerPart[];

  beforeEach(() => {
    for (const { refresh, close, call } of all) for (const spy of [refresh, close, call]) spy.resetHistory();
    pubsub = {
      send: sinon.stub().returns(true),
      join: sinon.stub().resolves(),
      expel: sinon.stub().resolves(),
    };
    const index = new ConnectionIndex<Connection<Auth>>();
    for (const connection of all) index.add(connection);
    // one that has closed is no connection any more
    const members = [bob, { socket: {} }, ann1];
    const parts = {
      index,
      pubsub: { ...pubsub, members: (channel: string) => (channel === "room" ? members : []) },
      connectionOf: (socket: unknown) => all.find((connection) => connection.socket === socket),
    };
    responder = new Responder(parts as unknown as ResponderParts<Auth>);
    told = [];
  });

  const carryOut = (action: Action, target: Parameters<typeof responder.select>[0] = ofAnn) =>
    responder.carryOut(target, action, (part) => told.push(part));
  const sidsOf = (target: Parameters<typeof responder.select>[0]) =>
    responder.select(target).map(({ sid }) => sid);

  it("goes to those that are meant and have an identity", () => {
    expect(sidsOf(ofAnn)).to.deep.equal(["1", "2"]);
    expect(sidsOf({ by: "sid", value: "3" })).to.deep.equal(["3"]);
    expect(sidsOf({ by: "sid", value: "4" })).to.deep.equal([]);
    expect(sidsOf(inRoom)).to.deep.equal(["3", "1"]);
    expect(sidsOf({ by: "channel", value: "hall" })).to.deep.equal([]);
  });

  it("is to be counted", () => {
    carryOut({ type: "count" });
    carryOut({ type: "count" }, inRoom);
    carryOut({ type: "count" }, { by: "sid", value: "4" });
    expect(told).to.deep.equal([{ count: 2 }, { count: 2 }, { count: 0 }]);
  });

  it("is to be found, in pages by their sid", () => {
    const find = (limit: number, after: string) => {
      told = [];
      carryOut({ type: "find", limit, after }, inRoom);
      return [told[0]?.found?.map(({ sid }) => sid), told[0]?.isMore];
    };
    expect(find(2, "")).to.deep.equal([["1", "3"], false]);
    expect(find(1, "")).to.deep.equal([["1"], true]);
    expect(find(1, "1")).to.deep.equal([["3"], false]);
    expect(find(1, "3")).to.deep.equal([[], false]);
    carryOut({ type: "find", limit: 1, after: "" });
    const [socket] = told.at(-1)?.found ?? [];
    expect(socket).to.deep.equal({ sid: "1", identity: "ann", channels: ["room"], since: 5, address: "::1" });
  });

  it("is found in the order of code units", () => {
    const sids = ["b", "a", "B", "é", "a"].map((sid) => ({ sid })).sort(bySid);
    expect(sids.map(({ sid }) => sid)).to.deep.equal(["B", "a", "a", "b", "é"]);
    const [a, b] = [{ sid: "a" }, { sid: "b" }];
    expect([bySid(a, b), bySid(b, a), bySid(a, { ...a })]).to.deep.equal([-1, 1, 0]);
  });

  it("is to take a message, and who is not in the channel does not", () => {
    pubsub.send.onSecondCall().returns(false);
    carryOut({ type: "send", channel: "room", message: { text: "hello" } });
    expect(told).to.deep.equal([
      {
        answers: [
          { sid: "1", value: true },
          { sid: "2", value: false },
        ],
      },
    ]);
    sinon.assert.calledWithExactly(pubsub.send, ann1, "room", { text: "hello" });
  });

  it("is to get a new token", () => {
    ann2.refresh.onFirstCall().returns(false);
    carryOut({ type: "refresh" });
    expect(told[0]?.answers).to.deep.equal([
      { sid: "1", value: true },
      { sid: "2", value: false },
    ]);
    sinon.assert.notCalled(bob.refresh);
  });

  it("is to close, and may come back", () => {
    carryOut({ type: "disconnect", code: 4001, reason: "enough" });
    expect(told[0]?.answers?.map((answer) => "value" in answer && answer.value)).to.deep.equal([true, true]);
    for (const { close } of [ann1, ann2])
      sinon.assert.calledOnceWithExactly(close, { code: 4001, reason: "enough", reconnect: true });
    sinon.assert.notCalled(bob.close);
  });

  for (const [type, name] of [
    ["subscribe", "join"],
    ["unsubscribe", "expel"],
  ] as const) {
    it(`is to ${type}, and says so when that is done, or why it is not`, async () => {
      pubsub[name].withArgs(ann2, "room").rejects(new Error("refused"));
      carryOut({ type, channel: "room" });
      expect(told).to.deep.equal([{ waits: ["1", "2"] }]);
      await settled();
      await settled();
      expect(told).to.have.length(2);
      const [first, second] = told[1]?.answers ?? [];
      expect(first).to.deep.equal({ sid: "1", value: true });
      expect(second).to.have.nested.property("error.message", "refused");
      sinon.assert.calledWithExactly(pubsub[name], ann1, "room");
    });
  }

  it("is to call a function, and answers as each is done", async () => {
    let answer = (_value: string) => {};
    ann2.call.onFirstCall().returns(
      new Promise<string>((resolve) => {
        answer = resolve;
      }),
    );
    carryOut({ type: "rpc", command: "add", args: [1], timeout: 50 });
    expect(told).to.deep.equal([{ waits: ["1", "2"] }]);
    await settled();
    await settled();
    expect(told.slice(1)).to.deep.equal([{ answers: [{ sid: "1", value: "1" }] }]);
    answer("late");
    await settled();
    await settled();
    expect(told.slice(2)).to.deep.equal([{ answers: [{ sid: "2", value: "late" }] }]);
    sinon.assert.calledOnceWithExactly(ann1.call, "add", [1], { timeout: 50 });
    carryOut({ type: "rpc", command: "add", args: undefined });
    sinon.assert.calledWithExactly(ann1.call.secondCall, "add", undefined, { timeout: Infinity });
  });

  it("is answered with an error, whatever a client has thrown", async () => {
    ann1.call.onFirstCall().callsFake(() => Promise.reject("text"));
    carryOut({ type: "rpc", command: "add", args: [] }, { by: "sid", value: "1" });
    await settled();
    await settled();
    expect(told[1]?.answers?.[0]).to.have.nested.property("error.message", "text");
  });
});
