import { EventEmitter, once } from "node:events";
import { expect } from "chai";
import sinon from "sinon";
import {
  type Callback,
  type CallContext,
  type Controller,
  type FunctionContext,
  RpcError,
  type Socket,
} from "../../lib/index.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import { until } from "../support/condition.js";
import { WIRE_TRANSPORTS } from "../support/wire-client.js";

describe("a client's call", () => {
  let application: Application;

  const start = async (socketController: Controller, options: ApplicationOptions["options"] = {}) => {
    application = await Application.start({ options: { socketController, ...options } });
    return application.connect();
  };

  afterEach(() => application.stop());

  for (const transport of WIRE_TRANSPORTS) {
    it(`reaches functions over ${transport}`, async () => {
      application = await Application.start({
        options: {
          socketController: { a: { b: { c: (auth: unknown, data: unknown) => ({ auth, data }) } } },
        },
      });
      const client = await application.connect(transport);
      expect(await client.request({ rpc: "a.b.c", req: [1, { x: null }], uuid: "abc" })).to.deep.equal({
        rpc: "a.b.c",
        uuid: "abc",
        resp: { auth: { name: "alice" }, data: [1, { x: null }] },
      });
    });
  }

  it("hands the function the identity, the data, a callback, the socket and the server", async () => {
    const read = sinon.spy(
      (_auth: unknown, _data: unknown, callback: Callback, _socket: unknown, _context: FunctionContext) =>
        callback(null, 1),
    );
    const client = await start({ read });
    await client.request({ rpc: "read", req: { id: 7 } });
    expect(read.firstCall.args[0]).to.deep.equal({ name: "alice" });
    expect(read.firstCall.args[1]).to.deep.equal({ id: 7 });
    expect(read.firstCall.args[2]).to.be.a("function");
    expect(read.firstCall.args[3]).to.equal(application.socket());
    expect(read.firstCall.args[4].server).to.equal(application.tokenServer);
  });

  it("reaches a function whose path is as long as it may be, and none beyond", async () => {
    const paths = [`a.${"b".repeat(254)}`, `a.${"b".repeat(255)}`];
    const names = paths.map((path) => path.slice(2));
    const client = await start({ a: Object.fromEntries(names.map((name) => [name, () => name.length])) });
    expect(await client.request({ rpc: paths[0] })).to.include({ resp: 254 });
    expect(await client.request({ rpc: paths[1] })).to.include({ error: "Function not found" });
  });

  it("hands the function undefined where there is no data", async () => {
    const client = await start({ type: (_auth: unknown, data: unknown) => typeof data });
    expect(await client.request({ rpc: "type" })).to.include({ resp: "undefined" });
  });

  it("calls a method on the object that holds it", async () => {
    const client = await start({
      user: {
        read: function (this: { name: () => string }, _auth: unknown) {
          return this.name();
        },
        name: () => "found",
      },
    } as Controller);
    expect(await client.request({ rpc: "user.read" })).to.include({ resp: "found" });
  });

  for (const value of [
    null,
    0,
    false,
    "",
    "123",
    1.5,
    [],
    {},
    [[null]],
    { a: { b: [1] } },
    "\u2028 \u0000 ünï ☃ 😀",
  ]) {
    it(`gets ${JSON.stringify(value)} back as it is`, async () => {
      const client = await start({
        echo: (_auth: unknown, data: unknown, callback: Callback) => callback(null, data),
      });
      const reply = await client.request({ rpc: "echo", req: value });
      expect(reply.resp).to.deep.equal(value);
      expect(reply).to.not.have.property("error");
    });
  }

  it("gets null for a function that gives nothing", async () => {
    const client = await start({
      nothing: async (_auth: unknown) => {},
      call: (_a: unknown, _d: unknown, cb: Callback) => cb(),
    });
    expect(await client.request({ rpc: "nothing", uuid: 1 })).to.deep.equal({
      rpc: "nothing",
      uuid: 1,
      resp: null,
    });
    expect(await client.request({ rpc: "call", uuid: 2 })).to.deep.equal({
      rpc: "call",
      uuid: 2,
      resp: null,
    });
  });

  it("is answered by what a function returns that declares more than it needs", async () => {
    const client = await start({
      value: (_auth: unknown, _data: unknown, _callback: Callback, socket: Socket) => [typeof socket.sid],
      promise: async (
        _auth: unknown,
        _data: unknown,
        _callback: Callback,
        socket: Socket,
        { signal }: CallContext,
      ) => ({ sid: socket.sid, aborted: signal.aborted }),
    });
    expect((await client.request({ rpc: "value" })).resp).to.deep.equal(["string"]);
    expect((await client.request({ rpc: "promise" })).resp).to.deep.equal({
      sid: application.socket().sid,
      aborted: false,
    });
    expect(application.errors).to.deep.equal([]);
  });

  it("is answered by the callback of a function that returns the timer or the request that calls it", async () => {
    const client = await start({
      timer: (_auth: unknown, _data: unknown, callback: Callback) => setTimeout(callback, 0, null, 1),
      query: (_auth: unknown, _data: unknown, callback: Callback) =>
        new EventEmitter().on("newListener", () => setImmediate(callback, null, 2)).on("row", () => {}),
    });
    expect((await client.request({ rpc: "timer" })).resp).to.equal(1);
    expect((await client.request({ rpc: "query" })).resp).to.equal(2);
  });

  it("is told of by name where its function has ended without an answer, once for each function", async () => {
    const client = await start({
      a: {
        none: async (_auth: unknown, _data: unknown, callback: Callback) =>
          void setImmediate(callback, null, 1),
      },
    });
    for (let times = 0; times < 2; times++) {
      expect((await client.request({ rpc: "a.none" })).resp).to.equal(1);
    }
    expect(
      application.log.filter((line) => line.includes('"a.none" has ended without an answer')),
    ).to.have.length(1);
    expect(application.errors).to.deep.equal([]);
  });

  it("gets an answer without a uuid where it sent none", async () => {
    const client = await start({ one: (_auth: unknown) => 1 });
    client.send({ rpc: "one" });
    expect(await client.take()).to.deep.equal({ rpc: "one", resp: 1 });
  });

  it("sees functions that were added, replaced and removed later", async () => {
    const client = await start({ a: (_auth: unknown) => 1 });
    const { tokenServer } = application;
    const call = async (rpc: string) => (await client.request({ rpc })).resp ?? "none";
    tokenServer.socketController.b = { c: (_auth: unknown) => 2 };
    expect([await call("a"), await call("b.c")]).to.deep.equal([1, 2]);
    tokenServer.socketController.a = (_auth: unknown) => 3;
    delete tokenServer.socketController.b;
    expect([await call("a"), await call("b.c")]).to.deep.equal([3, "none"]);
    tokenServer.socketController = { d: (_auth: unknown) => 4 };
    expect([await call("a"), await call("d")]).to.deep.equal(["none", 4]);
  });

  it("reaches a route where the controller has no function, and the controller's where both have", async () => {
    const client = await start(
      { both: (_auth: unknown) => "controller", only: { deeper: (_auth: unknown) => 1 } },
      {
        routes: {
          both: (_req, res) => res.json("route"),
          only: (_req, res) => res.json("route beside an object"),
          nested: { list: [(_req, _res, next) => next(), (req, res) => res.json({ got: req.body })] },
        },
      },
    );
    expect((await client.request({ rpc: "both" })).resp).to.equal("controller");
    expect((await client.request({ rpc: "only" })).resp).to.equal("route beside an object");
    expect((await client.request({ rpc: "nested.list", req: { x: 1 } })).resp).to.deep.include({
      got: { x: 1 },
      _code: 200,
    });
    expect(await client.request({ rpc: "nested" })).to.include({ error: "Function not found" });
  });

  it("reaches a route with everything of the socket and the token request", async () => {
    const client = await start(
      {},
      {
        routes: {
          show: (req, res) => {
            const { user, session, _socket } = req as unknown as {
              user: unknown;
              session: unknown;
              _socket: unknown;
            };
            res.json({
              user,
              session,
              socket: _socket === application.socket(),
              ip: req.ip,
              hostname: req.hostname,
              protocol: req.protocol,
              method: req.method,
              body: req.body,
              query: req.query,
              params: req.params,
            });
          },
        },
      },
    );
    const { resp } = await client.request({ rpc: "show", req: { a: [1] } });
    expect(resp).to.deep.include({
      user: { name: "alice" },
      session: { name: "alice" },
      socket: true,
      ip: "127.0.0.1",
      hostname: "127.0.0.1",
      protocol: "ws",
      method: "POST",
      body: { a: [1] },
      query: { a: [1] },
      params: { a: [1] },
    });
  });

  it("tells a route's response that the socket has closed", async () => {
    let closed = () => {};
    const released = new Promise<void>((resolve) => {
      closed = resolve;
    });
    const client = await start({}, { routes: { slow: (_req, res) => void res.on("close", closed) } });
    client.send({ rpc: "slow" });
    await client.request({ rpc: "other" });
    await client.end();
    await released;
  });

  describe("that goes wrong", () => {
    const cases: Record<string, { fn: (...args: never[]) => unknown; error: unknown; reported?: number }> = {
      "gives an Error to the callback": {
        fn: (_a: unknown, _d: unknown, callback: Callback) =>
          callback(Object.assign(new Error("no such user"), { code: "E_USER", data: { id: 7 }, secret: 1 })),
        error: { message: "no such user", code: "E_USER", data: { id: 7 } },
      },
      "gives a string to the callback": {
        fn: (_a: unknown, _d: unknown, callback: Callback) => callback("no such user"),
        error: "no such user",
      },
      "gives an object to the callback": {
        fn: (_a: unknown, _d: unknown, callback: Callback) => callback({ reason: "x", deep: [1] }),
        error: { reason: "x", deep: [1] },
      },
      "gives an array to the callback": {
        fn: (_a: unknown, _d: unknown, callback: Callback) => callback([1, 2]),
        error: [1, 2],
      },
      "gives an empty string to the callback": {
        fn: (_a: unknown, _d: unknown, callback: Callback) => callback(""),
        error: "Internal error",
      },
      "gives what is no JSON to the callback": {
        fn: (_a: unknown, _d: unknown, callback: Callback) => callback(1n),
        error: "Internal error",
      },
      throws: {
        fn: () => {
          throw new Error("secret");
        },
        error: "Internal error",
        reported: 1,
      },
      rejects: { fn: async () => Promise.reject(new Error("secret")), error: "Internal error", reported: 1 },
      "rejects with nothing": { fn: () => Promise.reject(undefined), error: "Internal error", reported: 1 },
      "throws nothing": {
        fn: () => {
          throw undefined;
        },
        error: "Internal error",
        reported: 1,
      },
      "throws beside its callback": {
        fn: (_a: unknown, _d: unknown, _callback: Callback) => {
          throw new Error("secret");
        },
        error: "Internal error",
        reported: 1,
      },
      "rejects beside its callback": {
        fn: async (_a: unknown, _d: unknown, _callback: Callback) => Promise.reject(new Error("secret")),
        error: "Internal error",
        reported: 1,
      },
      "throws an RpcError": {
        fn: () => {
          throw new RpcError("quota", { code: 429, data: { left: 0 }, cause: new Error("secret") });
        },
        error: { message: "quota", code: 429, data: { left: 0 } },
      },
      "gives a result that is no JSON": { fn: async () => ({ n: 1n }), error: "Internal error", reported: 1 },
    };
    for (const [what, { fn, error, reported = 0 }] of Object.entries(cases)) {
      it(`is answered where the function ${what}`, async () => {
        const client = await start({ fn: fn as never });
        expect(await client.request({ rpc: "fn", uuid: "u" })).to.deep.equal({ rpc: "fn", uuid: "u", error });
        expect(application.errors).to.have.length(reported);
      });
    }

    it("shows the messages of thrown errors where exposeErrors is on", async () => {
      const client = await start({ fn: cases.throws?.fn as never }, { exposeErrors: true });
      expect((await client.request({ rpc: "fn" })).error).to.deep.equal({ message: "secret" });
    });

    it("logs the error with its stack where nobody listens for errors", async () => {
      const client = await start({ fn: cases.throws?.fn as never });
      application.tokenServer.removeAllListeners("error");
      await client.request({ rpc: "fn" });
      expect(application.log.join("\n")).to.match(/"fn" failed: Error: secret\n\s+at /);
    });
  });

  describe("of a function whose error cannot be read", () => {
    const revoked = () => {
      const { proxy, revoke } = Proxy.revocable({}, {});
      revoke();
      return proxy;
    };
    const throwing = (property: string) =>
      Object.defineProperty(new Error("x"), property, {
        get() {
          throw new Error("from the getter");
        },
      });
    const behindItself = new Error("x");
    behindItself.cause = behindItself;
    /** Each with what the client sees where it was given to the callback on purpose. */
    const odd: Record<string, { make: () => unknown; given: unknown }> = {
      "because its message cannot be": { make: () => throwing("message"), given: "Internal error" },
      "because its stack cannot be": { make: () => throwing("stack"), given: { message: "x" } },
      "because it is a proxy that was revoked": { make: revoked, given: "Internal error" },
      "because it is behind itself": { make: () => behindItself, given: { message: "x" } },
      "because its message is no string": {
        make: () => Object.assign(new Error("x"), { message: 1n }),
        given: { message: "Internal error" },
      },
      "because it is a symbol": { make: () => Symbol("x"), given: "Internal error" },
    };
    for (const [why, { make, given }] of Object.entries(odd)) {
      it(`is answered, ${why}, whichever way it comes`, async () => {
        const client = await start({
          later: (_a: unknown, _d: unknown, callback: Callback) => setImmediate(callback, make()),
          rejects: async (_a: unknown) => Promise.reject(make()),
          throws: (_a: unknown) => {
            throw make();
          },
        });
        application.tokenServer.removeAllListeners("error");
        expect((await client.request({ rpc: "later" })).error).to.deep.equal(given);
        for (const rpc of ["rejects", "throws"]) {
          expect((await client.request({ rpc })).error).to.equal("Internal error");
        }
        expect(application.log).to.have.length(2);
      });
    }
  });

  describe("counts the first answer alone", () => {
    const cases: Record<string, (...args: never[]) => unknown> = {
      "of two callbacks": (_a: unknown, _d: unknown, callback: Callback) => {
        callback(null, 1);
        callback(null, 2);
      },
      "of a callback and an error": (_a: unknown, _d: unknown, callback: Callback) => {
        callback(null, 1);
        callback(new Error("late"));
      },
      "of a callback and a throw": (_a: unknown, _d: unknown, callback: Callback) => {
        callback(null, 1);
        throw new Error("late");
      },
      "of a callback and a rejection": async (_a: unknown, _d: unknown, callback: Callback) => {
        callback(null, 1);
        throw new Error("late");
      },
      "of a callback and a result, where it declares nothing": (...args: unknown[]) => {
        (args[2] as Callback)(null, 1);
        return 2;
      },
    };
    for (const [what, fn] of Object.entries(cases)) {
      it(`${what}, and reports the other`, async () => {
        const client = await start({ fn: fn as never });
        expect((await client.request({ rpc: "fn" })).resp).to.equal(1);
        expect(await client.request({ rpc: "nope" })).to.include({ error: "Function not found" });
        expect(client.frames).to.deep.equal([]);
        expect(application.errors).to.have.length(1);
      });
    }
  });

  it("drops the answer of a function whose client has gone", async () => {
    let answer: Callback = () => {};
    const client = await start({
      slow: (_a: unknown, _d: unknown, callback: Callback) => {
        answer = callback;
      },
    });
    client.send({ rpc: "slow" });
    await client.request({ rpc: "nope" });
    const gone = once(application.tokenServer, "disconnect");
    await client.end();
    await gone;
    answer(null, 1);
    expect(application.errors).to.deep.equal([]);
  });

  it("does not wait for slower ones before it", async () => {
    let answer: Callback = () => {};
    const client = await start({
      slow: (_a: unknown, _d: unknown, callback: Callback) => {
        answer = callback;
      },
      fast: (_a: unknown) => "fast",
    });
    client.send({ rpc: "slow", uuid: 1 });
    client.send({ rpc: "fast", uuid: 2 });
    expect(await client.take()).to.include({ uuid: 2, resp: "fast" });
    answer(null, "slow");
    expect(await client.take()).to.include({ uuid: 1, resp: "slow" });
  });

  describe("that nobody waits for any more", () => {
    const ABORTED = { message: "The call was aborted", code: "aborted" };

    /** A controller with a function that waits for its signal, and what it has seen. */
    const waiting = () => {
      const seen: string[] = [];
      let begin = () => {};
      const begun = new Promise<void>((resolve) => {
        begin = resolve;
      });
      let end = () => {};
      const ended = new Promise<void>((resolve) => {
        end = resolve;
      });
      const slow = (
        _a: unknown,
        _d: unknown,
        callback: Callback,
        _socket: unknown,
        { signal }: CallContext,
      ) => {
        signal.addEventListener("abort", () => {
          seen.push("aborted");
          callback(new Error("too late"));
          end();
        });
        begin();
      };
      return { slow, seen, begun, ended };
    };

    it("fires the function's signal when the socket closes", async () => {
      const { slow, begun, ended } = waiting();
      const client = await start({ slow });
      client.send({ rpc: "slow" });
      await begun;
      await client.end();
      await ended;
      expect(application.errors).to.deep.equal([]);
    });

    it("gives a signal that has fired to a function that asks for it later", async () => {
      let look = () => false;
      const client = await start({
        slow: (_a: unknown, _d: unknown, _callback: Callback, _socket: unknown, context: CallContext) => {
          look = () => context.signal.aborted;
        },
      });
      client.send({ rpc: "slow" });
      await client.request({ rpc: "nope" });
      const gone = once(application.tokenServer, "disconnect");
      await client.end();
      await gone;
      expect(look()).to.equal(true);
    });

    it("is answered and aborted at once when a client of protocol 4 cancels it", async () => {
      const { slow, seen, begun, ended } = waiting();
      application = await Application.start({ options: { socketController: { slow } } });
      const client = await application.connect("websocket", { protocol: 4 });
      client.send({ rpc: "slow", uuid: "call" });
      await begun;
      client.send({ rpc: "_cancel", req: { uuid: "another" } });
      client.send({ rpc: "_cancel", req: { uuid: "call" }, uuid: "cancel" });
      await ended;
      expect(await client.take()).to.deep.equal({ rpc: "slow", uuid: "call", error: ABORTED });
      expect(await client.take()).to.deep.equal({ rpc: "_cancel", uuid: "cancel", resp: "success" });
      client.send({ rpc: "_cancel", req: { uuid: "call" } });
      client.send({ rpc: "_cancel" });
      await client.request({ rpc: "nope" });
      expect(client.frames).to.deep.equal([]);
      expect(seen).to.deep.equal(["aborted"]);
      expect(application.errors).to.deep.equal([]);
    });

    it("goes on where it has no uuid, whatever is cancelled without one", async () => {
      const { slow, seen, begun } = waiting();
      application = await Application.start({ options: { socketController: { slow } } });
      const client = await application.connect("websocket", { protocol: 4 });
      client.send({ rpc: "slow" });
      await begun;
      client.send({ rpc: "_cancel", req: {} });
      await client.request({ rpc: "_cancel" });
      expect([client.frames, seen]).to.deep.equal([[], []]);
    });

    it("is not begun where it was cancelled while the guards decided", async () => {
      const fn = sinon.spy((_auth: unknown) => 1);
      application = await Application.start({ options: { socketController: { fn } } });
      const client = await application.connect("websocket", { protocol: 4 });
      const asked = new Promise<Callback>((resolve) => {
        application.tokenServer.once("rpc", (_s, _r, callback) => resolve(callback));
      });
      client.send({ rpc: "fn", uuid: "call" });
      const callback = await asked;
      client.send({ rpc: "_cancel", req: { uuid: "call" } });
      expect(await client.take()).to.deep.equal({ rpc: "fn", uuid: "call", error: ABORTED });
      callback(null, true);
      await client.request({ rpc: "nope" });
      expect(fn.called).to.equal(false);
    });

    it("closes the response of a route that is cancelled", async () => {
      let close = () => {};
      const closed = new Promise<void>((resolve) => {
        close = resolve;
      });
      application = await Application.start({
        options: { routes: { slow: (_req, res) => void res.on("close", close) } },
      });
      const client = await application.connect("websocket", { protocol: 4 });
      client.send({ rpc: "slow", uuid: "call" });
      client.send({ rpc: "_cancel", req: { uuid: "call" } });
      await closed;
      expect(await client.take()).to.deep.equal({ rpc: "slow", uuid: "call", error: ABORTED });
    });

    it("cannot be cancelled by a client that did not ask for protocol 4", async () => {
      const { slow, seen, begun } = waiting();
      const client = await start({ slow });
      client.send({ rpc: "slow", uuid: "call" });
      await begun;
      expect(await client.request({ rpc: "_cancel", req: { uuid: "call" } })).to.include({
        error: "Function not found",
      });
      expect(seen).to.deep.equal([]);
    });
  });

  it("has whatever goes wrong reported with its path", async () => {
    const fail = () => {
      throw new Error("broken");
    };
    let cancel = () => {};
    const cancelled = new Promise<void>((resolve) => {
      cancel = resolve;
    });
    const late = (_auth: unknown, _data: unknown) => cancelled.then(fail);
    application = await Application.start({
      options: {
        debug: true,
        socketController: {
          fail,
          big: () => 1n,
          twice: (_auth, _data, callback) => {
            callback(null, 1);
            callback(null, 2);
          },
          // biome-ignore lint/correctness/useYield: it fails before
          stream: async function* () {
            fail();
          },
          late,
        },
      },
    });
    const reports: unknown[] = [];
    application.tokenServer.on("error", ({ message }, context) => reports.push([context, message]));
    const client = await application.connect("websocket", { protocol: 4 });
    for (const rpc of ["fail", "big", "twice"]) await client.request({ rpc, uuid: rpc });
    await client.request({ rpc: "stream", uuid: "s" });
    client.send({ rpc: "_credit", req: { uuid: "s", items: 1 } });
    await client.take();
    client.send({ rpc: "late", uuid: "l" });
    await client.request({ rpc: "_cancel", req: { uuid: "l" } });
    cancel();
    await until(() => reports.length === 5);
    expect(reports).to.deep.equal([
      ['"fail" failed', "broken"],
      ['"big" has a result that is no JSON', "Do not know how to serialize a BigInt"],
      ['"twice" went on after its answer', "The first answer counts"],
      ['the stream of "stream" failed', "broken"],
      ['"late" failed when nobody waited for it any more', "broken"],
    ]);
    expect(application.log).to.include(`node-token-sockjs: ${application.socket().sid} calls "fail"`);
  });

  it("gets a pong for a ping only where that is on", async () => {
    const client = await start({}, { ping: true });
    expect(await client.request({ rpc: "_ping", req: {}, uuid: "p" })).to.deep.equal({
      rpc: "_ping",
      uuid: "p",
      resp: { message: "pong" },
    });
    await application.stop();
    const other = await start({});
    expect(await other.request({ rpc: "_ping", req: {} })).to.include({ error: "Function not found" });
  });

  describe("is decided by guards of rpc", () => {
    it("that get the socket, the path and the data, before the function is looked up", async () => {
      const fn = sinon.spy((_auth: unknown) => 1);
      const client = await start({ fn });
      const seen: unknown[] = [];
      application.tokenServer.on("rpc", (socket, request, callback) => {
        seen.push(socket.sid, { ...request });
        callback(null, request.rpc === "fn");
      });
      expect((await client.request({ rpc: "fn", req: { a: 1 } })).resp).to.equal(1);
      expect(await client.request({ rpc: "absent", req: 2 })).to.include({ error: "Forbidden" });
      const { sid } = application.socket();
      expect(seen).to.deep.equal([sid, { rpc: "fn", req: { a: 1 } }, sid, { rpc: "absent", req: 2 }]);
      expect(fn.callCount).to.equal(1);
    });

    it("of which one that listens once refuses nothing any more once it is used up", async () => {
      const client = await start({ fn: (_auth: unknown) => 1 });
      const other = await application.connect();
      let release = () => {};
      const held = new Promise<boolean>((resolve) => {
        release = () => resolve(true);
      });
      let asked = 0;
      const bothAsked = new Promise<void>((resolve) => {
        application.tokenServer.on("rpc", (_socket) => {
          if (++asked === 2) resolve();
          return held;
        });
      });
      application.tokenServer.once("rpc", (_s, _r, callback) => callback(null, true));
      const replies = [client.request({ rpc: "fn" }), other.request({ rpc: "fn" })];
      await bothAsked;
      release();
      expect((await Promise.all(replies)).map(({ resp }) => resp)).to.deep.equal([1, 1]);
    });

    it("whose error is the answer", async () => {
      const client = await start({ fn: (_auth: unknown) => 1 });
      application.tokenServer.on("rpc", async () => {
        throw new RpcError("not today", { code: "E_CLOSED" });
      });
      expect((await client.request({ rpc: "fn" })).error).to.deep.equal({
        message: "not today",
        code: "E_CLOSED",
      });
    });
  });
});
