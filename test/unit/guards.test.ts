import { EventEmitter } from "node:events";
import { expect } from "chai";
import sinon from "sinon";
import { RpcError } from "../../lib/index.js";
import { Guards } from "../../lib/server/events/guards.js";
import type { Reporter } from "../../lib/server/log/reporter.js";
import type { Callback } from "../../lib/shared/answer.js";

type Listener = Parameters<EventEmitter["on"]>[1];

const ALLOWED = { allowed: true };
const refused = (message: string, code?: string) => ({
  allowed: false,
  error: { message, ...(code !== undefined && { code }) },
});
/** A refusal of the library's own, in the words of version 3. */
const own = (error: string) => ({ allowed: false, error });
const FORBIDDEN = own("Forbidden");
const INTERNAL = own("Internal error");
const TIMED_OUT = own("No answer in time");

const SOCKET = { name: "socket" };
const REQUEST = { channel: "news" };

describe("guards", () => {
  let clock: sinon.SinonFakeTimers;
  let emitter: EventEmitter;
  let guards: Guards;
  let reported: [context: string, message: string][];

  const open = (exposeErrors = false) => {
    emitter = new EventEmitter();
    reported = [];
    const error = (context: string, cause: Error) => reported.push([context, cause.message]);
    guards = new Guards(emitter, { error } as unknown as Reporter, exposeErrors, {
      guardTimeout: 1000,
      authenticationTimeout: 2000,
    });
  };

  beforeEach(() => {
    clock = sinon.useFakeTimers({
      toFake: ["setTimeout", "clearTimeout", "setImmediate", "clearImmediate", "performance"],
    });
    open();
  });
  afterEach(() => clock.restore());

  /** The decision as it goes over the wire. */
  const plain = async (decision: unknown) => JSON.parse(JSON.stringify(await decision));
  const decide = (event: "subscribe" | "publish" | "history" = "subscribe") =>
    plain(guards.decide(event, SOCKET, { ...REQUEST, data: 1 }));
  const authenticate = () => plain(guards.authenticate(SOCKET, { id: 1 }));

  it("allow at once where there is none", () => {
    expect(guards.has("subscribe")).to.equal(false);
    expect(guards.decide("subscribe", SOCKET, REQUEST)).to.deep.equal(ALLOWED);
    expect(guards.authenticate(SOCKET, {})).to.deep.equal(ALLOWED);
    emitter.on("subscribe", () => false);
    emitter.on("authentication", () => false);
    expect([guards.has("subscribe"), guards.has("publish")]).to.deep.equal([true, false]);
    expect(guards.decide("publish", SOCKET, { channel: "news", data: 1 })).to.deep.equal(ALLOWED);
  });

  it("get the socket and the request, as methods of what they listen to", async () => {
    const guard = sinon.stub().returns(true);
    emitter.on("subscribe", guard);
    expect(await decide()).to.deep.equal(ALLOWED);
    expect(guard.firstCall.thisValue).to.equal(emitter);
    expect(guard.firstCall.args.slice(0, 2)).to.deep.equal([SOCKET, { ...REQUEST, data: 1 }]);
    const identity = sinon.stub().returns(true);
    emitter.on("authentication", identity);
    expect(await authenticate()).to.deep.equal(ALLOWED);
    expect(identity.firstCall.args.slice(0, 2)).to.deep.equal([SOCKET, { id: 1 }]);
  });

  it("are asked one after another until one refuses", async () => {
    const asked: string[] = [];
    let allow = (_value: boolean) => {};
    emitter.on("subscribe", (_socket) => {
      asked.push("first");
      return new Promise((resolve) => (allow = resolve));
    });
    emitter.on("subscribe", (_socket) => asked.push("second") < 0);
    emitter.on("subscribe", (_socket) => asked.push("third") > 0);
    const decision = decide();
    expect(asked).to.deep.equal(["first"]);
    allow(true);
    expect(await decision).to.deep.equal(FORBIDDEN);
    expect(asked).to.deep.equal(["first", "second"]);
  });

  it("are asked as often as they are there, and each of those that are there by then", async () => {
    const often = sinon.stub().returns(true);
    const gone = sinon.stub().returns(true);
    const replacement = sinon.stub().returns(false);
    emitter.on("subscribe", often).on("subscribe", often);
    expect(await decide()).to.deep.equal(ALLOWED);
    expect(often.callCount).to.equal(2);
    emitter.on("subscribe", (_socket) => {
      emitter.off("subscribe", gone).on("subscribe", replacement);
      return true;
    });
    emitter.on("subscribe", gone);
    expect(await decide()).to.deep.equal(FORBIDDEN);
    expect([gone.callCount, replacement.callCount]).to.deep.equal([0, 1]);
  });

  it("allow an identity by an answer of nothing, and nothing else", async () => {
    const answers: [Listener, boolean][] = [
      [(_socket: unknown, _auth: unknown, callback: Callback) => callback(), true],
      [async () => {}, true],
      [async (_socket: unknown) => {}, true],
      [async (_socket: unknown) => null, false],
      [(_socket: unknown) => 0, false],
      [(_socket: unknown, _auth: unknown, callback: Callback) => callback(null, false), false],
    ];
    for (const [guard, allows] of answers) {
      open();
      emitter.on("authentication", guard).on("subscribe", guard);
      expect(await authenticate(), String(guard)).to.deep.equal(allows ? ALLOWED : FORBIDDEN);
    }
    for (const guard of [async (_socket: unknown) => {}, answers[0]?.[0] as Listener]) {
      open();
      emitter.on("subscribe", guard);
      expect(await decide(), String(guard)).to.deep.equal(FORBIDDEN);
    }
  });

  it("say what they give as an error, and of a failure no more than they mean to", async () => {
    const fail = (error: Error) => () => {
      throw error;
    };
    emitter.once("subscribe", (_socket, _request, callback: Callback) => callback(new Error("members only")));
    expect(await decide()).to.deep.equal(refused("members only"));
    emitter.once("subscribe", fail(new RpcError("not today", { code: "day" })));
    expect(await decide()).to.deep.equal(refused("not today", "day"));
    expect(reported).to.deep.equal([]);
    emitter.once("subscribe", fail(new Error("secret")));
    expect(await decide()).to.deep.equal(INTERNAL);
    expect(reported).to.deep.equal([['a guard for "subscribe" failed', "secret"]]);
    open(true);
    emitter.once("publish", fail(new Error("secret")));
    expect(await decide("publish")).to.deep.equal(refused("secret"));
    expect(reported).to.deep.equal([['a guard for "publish" failed', "secret"]]);
  });

  for (const event of ["subscribe", "history"] as const) {
    it(`bound what ${event} gives by the latest time that one of them says`, async () => {
      const says = async (...answers: unknown[]) => {
        open();
        for (const answer of answers) emitter.on(event, (_socket) => answer);
        return decide(event);
      };
      expect(await says({ from: 5 })).to.deep.equal({ allowed: true, from: 5 });
      expect(await says({ from: new Date(7) })).to.deep.equal({ allowed: true, from: 7 });
      expect(await says({ from: 0 }, true)).to.deep.equal({ allowed: true, from: 0 });
      expect(await says(true, { from: 6 })).to.deep.equal({ allowed: true, from: 6 });
      expect(await says({ from: 5 }, { from: 6 }, { from: 4 })).to.deep.equal({ allowed: true, from: 6 });
      for (const none of [true, "yes", {}, { from: undefined }, { from: null }]) {
        expect(await says(none)).to.deep.equal(ALLOWED);
      }
    });
  }

  it("refuse by a bound that is no time, which is told, and have none but for what a channel has kept", async () => {
    for (const from of [Number.NaN, "5", new Date(Number.NaN), {}]) {
      open();
      emitter.on("subscribe", (_socket) => ({ from })).on("publish", (_socket) => ({ from }));
      expect(await decide()).to.deep.equal(INTERNAL);
      const message = "from must be a Date, or a number of milliseconds since 1970";
      expect(reported).to.deep.equal([['a guard for "subscribe" failed', message]]);
      expect(await decide("publish")).to.deep.equal(ALLOWED);
    }
    emitter.removeAllListeners().on("publish", (_socket) => ({ from: 5 }));
    expect(await decide("publish")).to.deep.equal(ALLOWED);
  });

  it("have their time, an identity's another one, after which they refuse; it is told which has not answered", async () => {
    const never = (_socket: unknown, _request: unknown, _callback: Callback) => {};
    emitter.on("subscribe", never).on("authentication", never);
    const [joining, entering] = [sinon.spy(), sinon.spy()];
    const decisions = [decide().then(joining), authenticate().then(entering)];
    clock.tick(1000);
    await decisions[0];
    sinon.assert.calledOnceWithExactly(joining, TIMED_OUT);
    expect(reported).to.deep.equal([["guards", 'A guard for "subscribe" has not answered in time']]);
    clock.tick(999);
    expect(reported).to.have.length(1);
    clock.tick(1);
    await decisions[1];
    sinon.assert.calledOnceWithExactly(entering, TIMED_OUT);
    expect(reported[1]).to.deep.equal(["guards", 'A guard for "authentication" has not answered in time']);
  });

  for (const add of ["on", "once"] as const) {
    it(`that declare the callback, by ${add}(), do not answer by a promise, and are told so when it has ended`, async () => {
      let end = (_value: boolean) => {};
      const promise = new Promise((resolve) => (end = resolve));
      emitter[add]("subscribe", (_socket: unknown, _request: unknown, _callback: Callback) => promise);
      const decision = decide();
      end(true);
      await promise;
      await Promise.resolve();
      await Promise.resolve();
      clock.tick(1000);
      expect(await decision).to.deep.equal(TIMED_OUT);
      expect(reported).to.deep.equal([
        [
          "guards",
          'A guard for "subscribe" has not answered in time: its promise has ended, and it has not called the callback that it declares',
        ],
      ]);
    });

    it(`that declare the callback, by ${add}(), do not answer by a value, but fail by a rejection`, async () => {
      let answer: Callback = () => {};
      emitter[add]("subscribe", (_socket: unknown, _request: unknown, callback: Callback) => {
        answer = callback;
        return true;
      });
      const decision = decide();
      answer(null, false);
      expect(await decision).to.deep.equal(FORBIDDEN);
      expect(reported).to.deep.equal([]);
      emitter.removeAllListeners();
      const rejects = async (_socket: unknown, _request: unknown, _callback: Callback) => {
        throw new Error("secret");
      };
      emitter[add]("subscribe", rejects);
      expect(await decide()).to.deep.equal(INTERNAL);
      expect(reported).to.deep.equal([['a guard for "subscribe" failed', "secret"]]);
    });
  }

  it("need a timer only while they have not answered", async () => {
    emitter.once("subscribe", (_socket) => true);
    const atOnce = decide();
    expect(clock.countTimers()).to.equal(0);
    expect(await atOnce).to.deep.equal(ALLOWED);
    let answer: Callback = () => {};
    emitter.once("subscribe", (_socket, _request, callback: Callback) => (answer = callback));
    const later = decide();
    expect(clock.countTimers()).to.equal(1);
    answer(null, true);
    expect(clock.countTimers()).to.equal(0);
    expect(await later).to.deep.equal(ALLOWED);
  });

  it("have no timer left once the server has closed", () => {
    const never = (_socket: unknown, _request: unknown, _callback: Callback) => {};
    emitter.on("subscribe", never).on("authentication", never);
    void guards.decide("subscribe", SOCKET, REQUEST);
    void guards.authenticate(SOCKET, {});
    expect(clock.countTimers()).to.equal(2);
    guards.close();
    expect(clock.countTimers()).to.equal(0);
  });

  it("decide by their first answer, which may be a promise, and each further one is told", async () => {
    emitter.on("subscribe", (_socket, _request, callback: Callback) => {
      callback(null, Promise.resolve(false));
      callback(null, true);
      callback(new Error("too late"));
    });
    expect(await decide()).to.deep.equal(FORBIDDEN);
    const context = 'a guard for "subscribe" answered again';
    expect(reported).to.deep.equal([
      [context, "The first answer counts"],
      [context, "too late"],
    ]);
  });

  it("refuse where their answer cannot be read", async () => {
    emitter.on("subscribe", (_socket) => ({
      get from(): number {
        throw new Error("secret");
      },
    }));
    expect(await decide()).to.deep.equal(INTERNAL);
    expect(reported).to.deep.equal([['a guard for "subscribe" failed', "secret"]]);
  });
});
