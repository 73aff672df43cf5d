import { expect } from "chai";
import sinon from "sinon";
import type { ChannelClient } from "../../lib/server/connection/channel-client.js";
import {
  type ChannelFrame,
  type ChannelRequestParts,
  ChannelRequests,
} from "../../lib/server/connection/channel-requests.js";
import { type GuardResult, MOST_DECISIONS } from "../../lib/server/events/guards.js";
import type { Recovered } from "../../lib/server/history/recovery.js";
import type { Kept } from "../../lib/server/redis/history-log.js";
import type { Outcome } from "../../lib/shared/errors.js";
import type { RequestHead } from "../../lib/shared/protocol.js";
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

interface User {
  id: number;
}

const SINCE = { epoch: "e", offset: 1, tag: "1" };
const AT = "e.2.2";

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A promise, and what settles it. */
function later<T>() {
  let resolve = (_value: T) => {};
  let reject = (_error: unknown) => {};
  const promise = new Promise<T>((onResolve, onReject) => {
    [resolve, reject] = [onResolve, onReject];
  });
  return { promise, resolve, reject };
}

describe("A client's requests about channels", () => {
  let client: ReturnType<typeof makeClient>;
  let requests: ChannelRequests<User>;
  /** What the guards, the schemas and Redis say. */
  let decide: (event: string) => GuardResult | Promise<GuardResult>;
  let check: (data: unknown) => Outcome | Promise<Outcome>;
  let join: sinon.SinonStub;
  let leave: () => Promise<void>;
  let publish: sinon.SinonStub;
  let hears: boolean;
  let hasHistory: boolean;
  /** The events that have guards. */
  let guarded: Set<string>;
  let limits: { framesWaiting: number; bytesWaiting: number; recoverMessages: number; bufferedBytes: number };
  let memberships: ReturnType<typeof makeMemberships>;
  let pubsub: { enabled: boolean };
  let revoke: sinon.SinonStub;
  let forget: sinon.SinonSpy;
  let notify: sinon.SinonSpy;
  let reported: unknown[][];
  let debugged: string[];
  let asked: unknown[][];
  let joined: Set<string>;
  let requested: Set<string>;

  const makeClient = () => ({
    closed: false,
    rights: 0,
    protocol: 4,
    wantsHistory: true,
    channels: {} as Record<string, true>,
    membership: undefined as { from: Map<string, number> | undefined } | undefined,
    socket: { sid: "7" },
    refuse: sinon.spy(),
    acknowledge: sinon.spy(),
    answer: sinon.spy(),
  });

  const makeMemberships = () => ({
    beginJoin: sinon.spy((_client: unknown, channel: string) => ({ channel, isOverruled: false })),
    endJoin: sinon.spy(),
    has: (_client: unknown, channel: string) => joined.has(channel),
    hasRequested: (_client: unknown, channel: string) => requested.has(channel),
    reserve: sinon.stub().returns(true),
    release: sinon.spy(),
    setFrom: sinon.spy(),
  });

  const reader = {
    before: sinon.stub(),
    after: sinon.stub(),
  };

  beforeEach(() => {
    client = makeClient();
    memberships = makeMemberships();
    decide = () => ({ allowed: true });
    check = (value) => ({ status: "result", value });
    join = sinon.stub().returns({ done: undefined });
    leave = async () => {};
    publish = sinon.stub().resolves(undefined);
    revoke = sinon.stub().resolves();
    notify = sinon.spy();
    [hears, hasHistory] = [true, true];
    [guarded, forget] = [new Set(), sinon.spy()];
    limits = { framesWaiting: 3, bytesWaiting: 100, recoverMessages: 50, bufferedBytes: 4000 };
    [reported, debugged, asked] = [[], [], []];
    [joined, requested] = [new Set(), new Set()];
    const page = { entries: [], at: { epoch: "e", offset: 2, tag: "2" }, lost: undefined, hasMore: false };
    reader.before.reset();
    reader.before.resolves(page);
    const all = {
      enabled: true,
      memberships,
      reader: () => (hasHistory ? reader : undefined),
      filtered: (_client: unknown, _channel: string, json: string) => json,
      join,
      leave: () => leave(),
      publishJson: publish,
      revoke,
    };
    pubsub = all;
    const observe = async (_client: unknown, _channel: string, answer: (page: object) => boolean) => {
      answer({ v: 1, count: 0 });
    };
    const parts = {
      exposeErrors: false,
      limits,
      guards: {
        has: (event: string) => guarded.has(event),
        decide: (event: string, _socket: unknown, request: unknown) => {
          asked.push([event, request]);
          return decide(event);
        },
      },
      channelSchemas: { check: (_channel: string, data: unknown) => check(data) },
      pubsub: all,
      reporter: {
        error: (...args: unknown[]) => reported.push(args),
        debug: (message: () => string) => debugged.push(message()),
      },
      notify,
      hears: () => hears,
      presence: { has: (channel: string) => channel === "room", observes: () => true, observe, forget },
    };
    requests = new ChannelRequests<User>(
      client as unknown as ChannelClient<User>,
      parts as unknown as ChannelRequestParts<User>,
    );
  });

  const headOf = (uuid: number): RequestHead => ({ rpc: "r", uuid });
  const add = (frame: object, bytes = 1) =>
    requests.add({ head: headOf(1), channel: "room", ...frame } as unknown as ChannelFrame, bytes);
  const subscribe = (others: object = {}, bytes?: number) =>
    add({ type: "subscribe", req: { channel: "room" }, ...others }, bytes);
  const unsubscribe = () => add({ type: "unsubscribe", req: {} });
  const publishOne = (others: object = {}, bytes?: number) =>
    add({ type: "publish", data: { a: 1 }, ...others }, bytes);
  const broadcast = () => add({ type: "broadcast", data: 7, channel: undefined });
  const history = (part: object = {}) => add({ type: "history", part });

  /** Expects the one answer that there was. */
  const refused = (error: unknown, head = headOf(1)) => {
    expect(client.refuse.args).to.deep.equal([[head, error]]);
    expect([client.acknowledge.callCount, client.answer.callCount]).to.deep.equal([0, 0]);
  };
  const acknowledged = (times = 1) => {
    expect([client.acknowledge.callCount, client.refuse.callCount]).to.deep.equal([times, 0]);
  };

  describe("are refused", () => {
    it("for a channel of the library's own, and where pub/sub is off", () => {
      subscribe({ channel: "___all___" });
      refused(FORBIDDEN);
      client.refuse.resetHistory();
      pubsub.enabled = false;
      for (const send of [subscribe, broadcast]) send();
      expect(client.refuse.args.map(([, error]) => error)).to.deep.equal([PUBSUB_OFF, PUBSUB_OFF]);
      expect(asked).to.deep.equal([]);
    });

    it("where they say wrong things of history, unless the client knows of none", async () => {
      for (const send of [() => subscribe({ start: "invalid" }), () => publishOne({ id: null })]) {
        client.wantsHistory = true;
        send();
        refused(INVALID_REQUEST);
        client.refuse.resetHistory();
        client.wantsHistory = false;
        send();
        await turn();
        acknowledged();
        client.acknowledge.resetHistory();
      }
      expect(join.args[0]?.[3]).to.have.property("start", undefined);
      expect(publish.args[0]?.[2]).to.equal(undefined);
      subscribe({ id: null });
      publishOne({ start: "invalid" });
      await turn();
      expect(client.refuse.callCount).to.equal(0);
    });

    for (const [what, wait] of [
      ["guards", () => waitForGuards()],
      ["Redis to take them", () => waitForRedis()],
      ["a recovery", () => waitForRecovery()],
    ] as const) {
      it(`as long as too many wait for ${what}`, async () => {
        limits.framesWaiting = 1;
        const end = wait();
        unsubscribe();
        refused(BUSY);
        client.refuse.resetHistory();
        end();
        await turn();
        unsubscribe();
        expect(client.refuse.callCount).to.equal(0);
      });
    }

    function waitForGuards() {
      const guard = later<GuardResult>();
      decide = () => guard.promise;
      subscribe();
      return () => guard.resolve({ allowed: true });
    }

    function waitForRedis() {
      const taken = later<undefined>();
      publish.returns(taken.promise);
      publishOne();
      return () => taken.resolve(undefined);
    }

    function waitForRecovery() {
      const recovery = later<boolean>();
      join.returns({ done: recovery.promise });
      subscribe();
      return () => recovery.resolve(true);
    }

    it("as long as those that wait take too many bytes, but not for their own bytes alone", async () => {
      const guard = later<GuardResult>();
      decide = () => guard.promise;
      unsubscribe();
      publishOne({ channel: "other" }, 99);
      expect(client.refuse.callCount).to.equal(0);
      publishOne({ channel: "other", head: headOf(2) }, 1);
      refused(BUSY, headOf(2));
      client.refuse.resetHistory();
      guard.resolve({ allowed: true });
      await turn();
      decide = () => ({ allowed: true });
      publishOne({}, 1000);
      expect(client.refuse.callCount).to.equal(0);
      await turn();
      // nothing of those is counted any more
      decide = () => new Promise(() => {});
      unsubscribe();
      publishOne({ channel: "other" }, 99);
      expect(client.refuse.callCount).to.equal(0);
    });

    it("as long as Redis has not taken as many bytes of messages", async () => {
      const taken = later<undefined>();
      publish.returns(taken.promise);
      publishOne({ data: "x".repeat(90) });
      publishOne({ head: headOf(2) }, 9);
      refused(BUSY, headOf(2));
      client.refuse.resetHistory();
      publishOne({}, 8);
      expect(client.refuse.callCount).to.equal(0);
      taken.resolve(undefined);
      await turn();
      acknowledged(2);
      publish.returns(new Promise(() => {}));
      publishOne({ data: "x".repeat(90) });
      publishOne({}, 8);
      expect(client.refuse.callCount).to.equal(0);
    });

    it("where a guard refuses them, and not answered where the client has gone by then", async () => {
      decide = () => ({ allowed: false, error: "no" });
      subscribe();
      refused("no");
      expect(join.callCount).to.equal(0);
      client.refuse.resetHistory();
      decide = async () => {
        client.closed = true;
        return { allowed: false, error: "no" };
      };
      subscribe();
      await turn();
      expect(client.refuse.callCount).to.equal(0);
    });

    it("where the rights change again and again while guards decide", async () => {
      decide = async () => {
        client.rights++;
        return { allowed: true };
      };
      unsubscribe();
      await turn();
      refused(BUSY);
      expect(asked).to.have.length(MOST_DECISIONS);
    });

    for (const [how, fail] of [
      ["at once", () => decideAtOnce()],
      ["later", () => decideLater()],
    ] as const) {
      it(`where a fault keeps them from being served, which is reported, ${how}`, async () => {
        const error = fail();
        publishOne({}, 99);
        await turn();
        refused(INTERNAL_ERROR);
        expect(reported).to.deep.equal([["a channel request could not be served", error]]);
        // its bytes do not count any more
        client.refuse.resetHistory();
        decide = () => new Promise(() => {});
        unsubscribe();
        publishOne({ channel: "other" }, 98);
        expect(client.refuse.callCount).to.equal(0);
      });
    }

    function decideAtOnce() {
      const error = new Error("fault");
      decide = () => {
        throw error;
      };
      return error;
    }

    function decideLater() {
      const error = new Error("fault");
      decide = () => Promise.reject(error);
      return error;
    }
  });

  describe("to join", () => {
    it("are told to memberships from begin to end, whether guards answer at once or not", async () => {
      for (const isLate of [false, true]) {
        const guard = later<GuardResult>();
        decide = () => (isLate ? guard.promise : { allowed: true });
        memberships.beginJoin.resetHistory();
        memberships.endJoin.resetHistory();
        subscribe();
        expect(memberships.beginJoin.args).to.deep.equal([[client, "room", true]]);
        expect(memberships.endJoin.callCount).to.equal(isLate ? 0 : 1);
        guard.resolve({ allowed: true });
        await turn();
        expect(memberships.endJoin.args).to.deep.equal([[memberships.beginJoin.returnValues[0]]]);
      }
      expect(asked).to.deep.equal([
        ["subscribe", { channel: "room" }],
        ["subscribe", { channel: "room" }],
      ]);
      acknowledged(2);
    });

    it("are decided anew where they were overruled meanwhile", async () => {
      decide = async () => {
        const [pending] = memberships.beginJoin.returnValues;
        if (pending && asked.length < 3) pending.isOverruled = true;
        return { allowed: true };
      };
      subscribe();
      await turn();
      expect(asked).to.have.length(3);
      expect(join.callCount).to.equal(1);
      acknowledged();
    });

    it("take a place, which they give back when they are done, only where the client is not in the channel", async () => {
      const entering = later<{ done: undefined }>();
      join.returns(entering.promise);
      subscribe();
      expect([memberships.reserve.args, memberships.release.callCount]).to.deep.equal([[[client]], 0]);
      entering.resolve({ done: undefined });
      await turn();
      expect(memberships.release.args).to.deep.equal([[client]]);
      joined.add("room");
      join.returns({ done: undefined });
      subscribe();
      expect([memberships.reserve.callCount, memberships.release.callCount]).to.deep.equal([1, 1]);
      acknowledged(2);
    });

    it("are refused where the client is in as many channels as it may be", () => {
      memberships.reserve.returns(false);
      subscribe();
      refused(TOO_MANY_CHANNELS);
      expect([join.callCount, memberships.release.callCount]).to.deep.equal([0, 0]);
    });

    it("say from where, and are answered with what was recovered", () => {
      decide = () => ({ allowed: true, from: 5 });
      subscribe({ start: { since: SINCE }, req: { channel: "room", since: AT } });
      const [, channel, request, options] = join.args[0] ?? [];
      expect([channel, request]).to.deep.equal([
        "room",
        { ...headOf(1), req: { channel: "room", since: AT } },
      ]);
      expect(options).to.deep.include({ start: { since: SINCE }, from: 5 });
      options.onDone({ at: AT, recovered: 2 } as Recovered);
      expect(client.answer.args).to.deep.equal([[headOf(1), `{"at":"${AT}","recovered":2}`]]);
    });

    for (const [how, fail] of [
      ["at once", (error: Error) => join.throws(error)],
      ["later", (error: Error) => join.rejects(error)],
    ] as const) {
      it(`are told where Redis fails ${how}, which is reported, unless the client has gone`, async () => {
        const error = new Error("down");
        fail(error);
        subscribe();
        await turn();
        refused(UNAVAILABLE);
        expect(reported).to.deep.equal([["Redis has not carried out what a client asked for", error]]);
        expect(memberships.release.callCount).to.equal(1);
        client.refuse.resetHistory();
        decide = () => {
          queueMicrotask(() => {
            client.closed = true;
          });
          return { allowed: true };
        };
        join.callsFake(async () => {
          await turn();
          throw error;
        });
        subscribe();
        await turn();
        await turn();
        expect([client.refuse.callCount, reported.length]).to.deep.equal([0, 1]);
      });
    }

    it("have the guards asked again where the rights changed while Redis was asked", async () => {
      for (const isChanged of [false, true]) {
        asked.length = 0;
        const entering = later<{ done: undefined }>();
        join.returns(entering.promise);
        subscribe();
        requested.add("room");
        if (isChanged) client.rights++;
        entering.resolve({ done: undefined });
        await turn();
        expect(asked).to.have.length(isChanged ? 2 : 1);
      }
      const entering = later<{ done: undefined }>();
      asked.length = 0;
      join.returns(entering.promise);
      subscribe();
      client.rights++;
      client.closed = true;
      entering.resolve({ done: undefined });
      await turn();
      expect(asked).to.have.length(1);
    });

    describe("that recover", () => {
      let recovery: ReturnType<typeof later<boolean>>;

      beforeEach(() => {
        recovery = later();
        join.onFirstCall().returns({ done: recovery.promise });
        subscribe();
        expect(client.acknowledge.callCount).to.equal(0);
      });

      it("have further ones of their channel wait, and no others", async () => {
        subscribe({ channel: "other" });
        subscribe({ head: headOf(2) });
        expect(join.args.map(([, channel]) => channel)).to.deep.equal(["room", "other"]);
        recovery.resolve(true);
        await turn();
        expect(join.args.map(([, channel]) => channel)).to.deep.equal(["room", "other", "room"]);
        subscribe();
        // it has been forgotten
        expect(join.callCount).to.equal(4);
        acknowledged(3);
      });

      it("do not let one in that has waited, and whose client has gone", async () => {
        subscribe({ head: headOf(2) });
        client.closed = true;
        recovery.resolve(true);
        await turn();
        expect(join.callCount).to.equal(1);
      });

      it("are forbidden where the client has left meanwhile, unless it has gone", async () => {
        recovery.resolve(false);
        await turn();
        refused(FORBIDDEN);
      });

      it("are told nothing where the client has gone meanwhile", async () => {
        client.closed = true;
        recovery.resolve(false);
        await turn();
        expect(client.refuse.callCount).to.equal(0);
      });

      it("are told where Redis cannot be read", async () => {
        recovery.reject(new Error("down"));
        await turn();
        refused(UNAVAILABLE);
      });

      it("do not put a review off, which waits for other requests of its channel", async () => {
        requested.add("room").add("other");
        client.channels = { room: true, other: true, own: true };
        const guard = later<GuardResult>();
        decide = (event) => (event === "unsubscribe" ? guard.promise : { allowed: true, from: 9 });
        add({ type: "unsubscribe", req: {}, channel: "other" });
        asked.length = 0;
        subscribe({ head: headOf(2) });
        requests.review();
        await turn();
        expect(asked.slice(1)).to.deep.equal([["subscribe", { channel: "room" }]]);
        guard.resolve({ allowed: true });
        await turn();
        expect(asked.slice(2)).to.deep.equal([["subscribe", { channel: "other" }]]);
      });
    });
  });

  describe("to leave", () => {
    it("are acknowledged when they are carried out, or refused where Redis fails", async () => {
      const leaving = later<void>();
      leave = () => leaving.promise;
      unsubscribe();
      await turn();
      expect(client.acknowledge.callCount).to.equal(0);
      leaving.resolve();
      await turn();
      acknowledged();
      expect(asked).to.deep.equal([["unsubscribe", { channel: "room" }]]);
      leave = () => Promise.reject(new Error("down"));
      client.acknowledge.resetHistory();
      unsubscribe();
      await turn();
      refused(UNAVAILABLE);
    });
  });

  describe("to publish", () => {
    const KEPT = { at: AT, isRepeated: false } as unknown as Kept;

    it("are told to the application, and are answered with the position where the client asks for those", async () => {
      publish.resolves(KEPT);
      publishOne({ id: "m" });
      client.wantsHistory = false;
      await turn();
      acknowledged();
      client.wantsHistory = true;
      publishOne({ id: "m" });
      await turn();
      expect(client.answer.args).to.deep.equal([[headOf(1), `{"at":"${AT}"}`]]);
      const told = ["published", client.socket, { channel: "room", data: { a: 1 } }];
      expect(notify.args).to.deep.equal([told, told]);
      expect(publish.args[0]).to.deep.equal(["room", '{"a":1}', "m", undefined]);
    });

    it("are not told to an application that does not listen, or that was told before", async () => {
      hears = false;
      publishOne();
      hears = true;
      publish.resolves({ ...KEPT, isRepeated: true });
      publishOne();
      await turn();
      expect(notify.callCount).to.equal(1);
    });

    it("leave the client's own message out where it does not want it, and knows how", () => {
      publishOne({ echo: false });
      client.protocol = 3;
      publishOne({ echo: false });
      client.protocol = 4;
      publishOne();
      expect(publish.args.map(([, , , except]) => except)).to.deep.equal(["7", undefined, undefined]);
    });

    it("are not published again where no history can tell them apart", () => {
      publishOne({ id: "m", again: true });
      expect(publish.callCount).to.equal(1);
      hasHistory = false;
      publishOne({ id: "m" });
      expect(publish.callCount).to.equal(2);
      publishOne({ id: "m", again: true });
      refused(NO_HISTORY);
      client.wantsHistory = false;
      publishOne({ id: "m", again: true });
      expect([publish.callCount, publish.args[2]?.[2]]).to.deep.equal([3, undefined]);
    });

    for (const isLate of [false, true]) {
      it(`are what the schema makes of them, or refused as it says, ${isLate ? "later" : "at once"}`, async () => {
        const say = (outcome: Outcome) => {
          check = () => (isLate ? Promise.resolve(outcome) : outcome);
        };
        say({ status: "result", value: "other" });
        publishOne();
        if (isLate) await turn();
        expect(publish.args[0]?.[1]).to.equal('"other"');
        expect(asked).to.deep.equal([["publish", { channel: "room", data: "other" }]]);
        say({ status: "error", error: { code: "bad" } });
        publishOne();
        if (isLate) await turn();
        expect(client.refuse.args).to.deep.equal([[headOf(1), { code: "bad" }]]);
        client.refuse.resetHistory();
        const error = new Error("secret");
        say({ status: "failure", error });
        publishOne();
        if (isLate) await turn();
        expect(reported).to.deep.equal([['the schema of "room" failed', error]]);
        expect(client.refuse.args[0]?.[1]).to.deep.equal(INTERNAL_ERROR);
        expect([publish.callCount, client.refuse.callCount]).to.deep.equal([1, 1]);
      });
    }

    it("are not published where the client has gone by the time that the schema answers", async () => {
      check = async (value) => {
        client.closed = true;
        return { status: "result", value };
      };
      publishOne();
      await turn();
      expect([publish.callCount, asked.length]).to.deep.equal([0, 0]);
    });

    it("are refused where a guard makes of them what is no JSON, which is reported", () => {
      decide = () => {
        (asked[0]?.[1] as { data: unknown }).data = 7n;
        return { allowed: true };
      };
      publishOne();
      refused(INTERNAL_ERROR);
      expect(reported[0]?.[0]).to.equal("a publish guard has left a message that is no JSON");
      expect(publish.callCount).to.equal(0);
    });

    it("to all are told to the application without a channel", async () => {
      broadcast();
      await turn();
      expect(asked).to.deep.equal([["broadcast", { data: 7 }]]);
      expect(publish.args).to.deep.equal([["___all___", "7"]]);
      expect(notify.args).to.deep.equal([["broadcasted", client.socket, { data: 7 }]]);
      acknowledged();
    });
  });

  it("to publish to all come after those before them of every channel, and before those after them", async () => {
    const guards = [later<GuardResult>(), later<GuardResult>()];
    const [first, second] = guards;
    decide = (event) => (event === "unsubscribe" ? first : second)?.promise ?? { allowed: true };
    unsubscribe();
    broadcast();
    add({ type: "publish", data: 8, channel: "other" });
    const events = () => asked.map(([event]) => event);
    await turn();
    expect(events()).to.deep.equal(["unsubscribe"]);
    first?.resolve({ allowed: true });
    await turn();
    expect(events()).to.deep.equal(["unsubscribe", "broadcast"]);
    second?.resolve({ allowed: true });
    await turn();
    expect(publish.args.map(([channel]) => channel)).to.deep.equal(["___all___", "other"]);
  });

  describe("about members", () => {
    const observe = (channel: string) => add({ type: "presence", kind: "observe", channel });

    it("are served where there are some, as their guard says", async () => {
      observe("hall");
      expect(client.refuse.args[0]?.[1]).to.have.property("code", "no_presence");
      client.refuse.resetHistory();
      guarded.add("presence");
      observe("room");
      await turn();
      expect(asked).to.deep.equal([["presence", { channel: "room" }]]);
      expect(client.answer.args).to.deep.equal([[headOf(1), '{"v":1,"count":0}']]);
      client.answer.resetHistory();
      decide = () => ({ allowed: false, error: "no" });
      observe("room");
      refused("no");
    });

    it("are forgotten at the end", () => {
      observe("room");
      requests.close();
      expect(forget.args).to.deep.equal([[client]]);
    });
  });

  describe("to read back", () => {
    it("are answered in a channel that the client is in, from the time of its membership on", async () => {
      history();
      refused(FORBIDDEN);
      client.refuse.resetHistory();
      joined.add("room");
      history();
      await turn();
      expect(client.answer.args).to.deep.equal([[headOf(1), `{"messages":[],"at":"${AT}"}`]]);
      expect(asked).to.deep.equal([]);
    });

    it("are answered where a guard says so, which is asked about the channel", async () => {
      guarded.add("history");
      history();
      await turn();
      expect(client.answer.callCount).to.equal(1);
      expect(asked).to.deep.equal([["history", { channel: "room" }]]);
    });

    it("are refused where there is no history, and where Redis fails", async () => {
      joined.add("room");
      reader.before.rejects(new Error("down"));
      history();
      await turn();
      refused(UNAVAILABLE);
      client.refuse.resetHistory();
      hasHistory = false;
      history();
      refused(NO_HISTORY);
    });

    it("give nothing of before the time that the guard, or else the membership, says", async () => {
      const entries = [1, 2].map((offset) => ({
        position: { epoch: "e", offset, tag: `${offset}` },
        time: offset,
        json: `${offset}`,
      }));
      reader.before.resolves({ entries, at: entries[1]?.position, lost: undefined, hasMore: true });
      const messages = () =>
        JSON.parse(client.answer.lastCall.args[1]).messages.map(
          ({ message }: { message: number }) => message,
        );
      joined.add("room");
      for (const membership of [undefined, { from: undefined }]) {
        client.membership = membership;
        history();
        await turn();
        expect(messages()).to.deep.equal([1, 2]);
      }
      client.membership = { from: new Map([["room", 2]]) };
      history();
      await turn();
      expect(messages()).to.deep.equal([2]);
      guarded.add("history");
      decide = () => ({ allowed: true, from: 3 });
      history();
      await turn();
      expect(messages()).to.deep.equal([]);
    });
  });

  describe("are reviewed", () => {
    beforeEach(() => {
      client.channels = { room: true, own: true };
      requested.add("room");
    });

    it("as to the channels that the client has asked for itself, from whose time on it reads then", async () => {
      decide = () => ({ allowed: true, from: 9 });
      requests.review();
      await turn();
      expect(asked).to.deep.equal([["subscribe", { channel: "room" }]]);
      expect(memberships.setFrom.args).to.deep.equal([[client, "room", 9]]);
      expect(revoke.callCount).to.equal(0);
    });

    it("and those taken back that a guard refuses, whatever comes of that", async () => {
      decide = () => ({ allowed: false, error: "no" });
      revoke.rejects(new Error("closed"));
      requests.review();
      await turn();
      expect(revoke.args).to.deep.equal([[client, "room", "no"]]);
      expect(debugged).to.deep.equal(['7 may not stay in "room"']);
      expect(memberships.setFrom.callCount).to.equal(0);
    });

    it("without an effect where the client has left, or has gone, by the guard's answer", async () => {
      for (const allowed of [true, false]) {
        for (const end of [() => requested.clear(), () => Object.assign(client, { closed: true })]) {
          [client.closed, asked.length] = [false, 0];
          requested.add("room");
          decide = async () => {
            end();
            return allowed ? { allowed, from: 9 } : { allowed, error: "no" };
          };
          requests.review();
          await turn();
          expect(asked).to.have.length(1);
          expect(memberships.setFrom.callCount).to.equal(0);
          if (client.closed) expect(debugged.splice(0)).to.have.length(0);
          debugged.length = 0;
        }
      }
    });

    it("no more once the client has gone, or has left before its turn came", async () => {
      const guard = later<GuardResult>();
      decide = () => guard.promise;
      const ends: (() => void)[] = [() => Object.assign(client, { closed: true }), () => requested.clear()];
      for (const end of ends) {
        unsubscribe();
        requests.review();
        const before = asked.length;
        end();
        guard.resolve({ allowed: true });
        await turn();
        expect(asked).to.have.length(before);
        client.closed = false;
      }
    });
  });

  it("leave nothing at the end, where there were some and where there were none", async () => {
    requests.close();
    const guard = later<GuardResult>();
    decide = () => guard.promise;
    for (let n = 0; n < 100; n++) {
      client.channels[n] = true;
      requested.add(String(n));
    }
    requests.review();
    const { length } = asked;
    expect(length).to.be.within(1, 99);
    requests.close();
    guard.resolve({ allowed: true });
    await turn();
    expect(asked).to.have.length(length);
  });

  it("are decided when those are that have come so far", async () => {
    const guard = later<GuardResult>();
    decide = () => guard.promise;
    unsubscribe();
    let isDecided = false;
    const decided = requests.decided().then(() => {
      isDecided = true;
    });
    await turn();
    expect(isDecided).to.equal(false);
    guard.resolve({ allowed: true });
    await decided;
  });
});
