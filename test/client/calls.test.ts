import { createServer } from "node:http";
import { expect } from "chai";
import { useFakeTimers } from "sinon";
import {
  AbortedError,
  CallError,
  DisconnectedError,
  ForbiddenError,
  InvalidRequestError,
  NotFoundError,
  QueueError,
  RemoteError,
  RpcError,
  TimeoutError,
  type TokenSocket,
} from "../../lib/client/index.js";
import { RpcError as ServerRpcError } from "../../lib/index.js";
import { deferred, failure, happened, inState, SLOW, Stage } from "./support.js";

describe("A client's calls", () => {
  let stage: Stage;

  beforeEach(() => {
    stage = new Stage();
  });
  afterEach(() => stage.clear());

  const controller = {
    echo: async (_auth: unknown, data: unknown) => data,
    deep: { add: async (_auth: unknown, { a, b }: { a: number; b: number }) => a + b },
    soldOut: async () => {
      throw new ServerRpcError("Sold out", { code: "E_SOLD_OUT", data: { left: 0 } });
    },
    problems: (_auth: unknown, _data: unknown, callback: (error: unknown) => void) =>
      callback([{ field: "name" }]),
    text: (_auth: unknown, _data: unknown, callback: (error: unknown) => void) => callback("No"),
    crash: async () => {
      throw new Error("secret");
    },
    never: () => new Promise(() => {}),
  };

  it("that are longer than the server takes are refused, and leave the connection as it is", async () => {
    const place = await stage.application({
      options: { socketController: controller, limits: { messageBytes: 1000 } },
    });
    const client = stage.client(place, {}, { long: () => "ü".repeat(600), short: () => "short" });
    const waiting = failure(client.rpc("echo", "x".repeat(2000)));
    const states: string[] = [];
    client.on("state", (state) => states.push(state));
    expect(await client.rpc("echo", "ü".repeat(400))).to.have.length(400);
    for (const call of [waiting, failure(client.rpc("echo", "ü".repeat(600)))]) {
      expect(await call)
        .to.be.instanceOf(CallError)
        .with.property("code", "too_large");
    }
    expect(await failure(client.publish("room", "x".repeat(1000)))).to.have.property("code", "too_large");
    const socket = place.application.socket();
    expect(await failure(place.tokenServer.rpc(socket, "long"))).to.have.property("code", "too_large");
    expect(await place.tokenServer.rpc(socket, "short")).to.equal("short");
    expect(await client.rpc("echo", 1)).to.equal(1);
    expect(states).to.deep.equal(["open"]);
  });

  it("by name are the same functions each time", async () => {
    const place = await stage.application({ options: { socketController: controller } });
    const client = stage.client(place);
    const call = () => client.call as { deep: { add(data: unknown): Promise<number> } };
    expect(call()).to.equal(call());
    expect(call().deep).to.equal(call().deep);
    const { add } = call().deep;
    expect(add).to.equal(call().deep.add);
    expect(await add({ a: 1, b: 2 })).to.equal(3);
  });

  it("fail at once, and leave nothing behind, where an option is wrong", async () => {
    const place = await stage.application({ options: { socketController: controller } });
    const client = stage.client(place);
    await client.subscribe("room");
    const wrong: [object, string][] = [
      [{ signal: new AbortController() }, "signal"],
      [{ signal: 5 }, "signal"],
      [{ timeout: "1000" }, "timeout"],
      [{ timeout: Number.NaN }, "timeout"],
      [{ timeout: -1 }, "timeout"],
      [{ queue: 1 }, "queue"],
      [{ window: "1" }, "window"],
      [{ timeOut: 1 }, "timeOut"],
      ["fast" as unknown as object, "object"],
    ];
    for (const [options, name] of wrong) {
      const calls = [
        client.rpc("echo", 1, options as never),
        client.subscribe("other", options),
        client.unsubscribe("room", options),
        client.publish("room", 1, options),
        client.broadcast(1, options),
      ];
      for (const call of calls) {
        const error = await failure(call);
        expect(error, name).to.be.instanceOf(TypeError);
        expect(error.message).to.include(name);
      }
    }
    expect(await client.rpc("echo", 2, { timeout: null, signal: null } as never)).to.equal(2);
    expect(client.channels()).to.deep.equal(["room"]);
    expect(() => client.channel("room", { limit: Number.NaN })).to.throw(TypeError, "limit");
    await client.end();
    expect(client.state).to.equal("closed");
  });

  it("are answered, any JSON both ways, by promise and by callback", async () => {
    const place = await stage.application({ options: { socketController: controller } });
    const client = stage.client(place);
    for (const value of [null, 0, "", false, [], { a: ["ü\u2028"] }, "x".repeat(60_000)]) {
      expect(await client.rpc("echo", value)).to.deep.equal(value);
    }
    expect(await client.rpc<number>("deep.add", { a: 1, b: 2 })).to.equal(3);
    expect(await client.rpc("echo")).to.deep.equal({});
    const answer = deferred<unknown[]>();
    expect(client.rpc("echo", 5, (...args) => answer.resolve(args))).to.equal(undefined);
    expect(await answer.promise).to.deep.equal([null, 5]);
    const refusal = deferred<unknown[]>();
    client.rpc("nothing", {}, (...args) => refusal.resolve(args), { timeout: 1000 });
    expect((await refusal.promise)[0]).to.be.instanceOf(NotFoundError);
  });

  it("are rejected with what the server said", async () => {
    const place = await stage.application({ options: { socketController: controller } });
    place.tokenServer.on("rpc", (_socket, { rpc }, callback) => callback(null, rpc !== "deep.add"));
    const client = stage.client(place);
    expect(await failure(client.rpc("deep.add")))
      .to.be.instanceOf(ForbiddenError)
      .with.property("code", "forbidden");
    expect(await failure(client.rpc("toString")))
      .to.be.instanceOf(NotFoundError)
      .with.property("code", "not_found");
    const invalid = await failure(client.subscribe(""));
    expect(invalid).to.be.instanceOf(InvalidRequestError).with.property("code", "invalid");
    const soldOut = await failure(client.rpc("soldOut"));
    expect(soldOut).to.be.instanceOf(RemoteError).with.include({ code: "E_SOLD_OUT", message: "Sold out" });
    expect(soldOut.data).to.deep.equal({ left: 0 });
    expect((await failure(client.rpc("problems"))).data).to.deep.equal([{ field: "name" }]);
    expect(await failure(client.rpc("text"))).to.include({ message: "No", code: undefined, data: "No" });
    expect(await failure(client.rpc("crash"))).to.include({ code: "internal", message: "Internal error" });
  });

  it("are rejected when they take too long or are aborted", async () => {
    const place = await stage.application({ options: { socketController: controller } });
    const client = stage.client(place);
    await client.ready();
    expect(await failure(client.rpc("never", {}, { timeout: 10 }))).to.be.instanceOf(TimeoutError);
    const controllerOfCall = new AbortController();
    const call = client.rpc("never", {}, { signal: controllerOfCall.signal });
    controllerOfCall.abort("enough");
    expect(await failure(call))
      .to.be.instanceOf(AbortedError)
      .with.property("cause", "enough");
    expect(await failure(client.rpc("never", {}, { signal: AbortSignal.abort() }))).to.be.instanceOf(
      AbortedError,
    );
  });

  it("tell the server when nobody waits for them any more", async () => {
    const begun = deferred();
    const reasons: string[] = [];
    const stopped = deferred();
    const place = await stage.application({
      options: {
        socketController: {
          report: (_auth, data, _callback, _socket, { signal }) => {
            signal.addEventListener("abort", () => {
              if (reasons.push(String(data)) === 2) stopped.resolve();
            });
            if (data === "aborted") begun.resolve();
          },
        },
      },
    });
    const client = stage.client(place);
    await client.ready();
    const abort = new AbortController();
    const late = failure(client.rpc("report", "late", { timeout: 10 }));
    const aborted = failure(client.rpc("report", "aborted", { signal: abort.signal }));
    expect(await late).to.be.instanceOf(TimeoutError);
    await begun.promise;
    abort.abort();
    expect(await aborted).to.be.instanceOf(AbortedError);
    await stopped.promise;
    expect(reasons).to.deep.equal(["late", "aborted"]);
  });

  it("are rejected at once where the data is no JSON", async () => {
    const place = await stage.application();
    const client = stage.client(place);
    const cycle: unknown[] = [];
    cycle.push(cycle);
    for (const call of [
      client.rpc("echo", 1n),
      client.rpc("echo", cycle),
      client.publish("room", undefined),
      client.broadcast(() => {}),
    ]) {
      expect(await failure(call)).to.be.instanceOf(TypeError);
    }
  });

  it("wait for the connection, in order, after the channels are back", async () => {
    const calls: unknown[] = [];
    const place = await stage.application({
      options: { socketController: { note: async (_auth: unknown, data: unknown) => calls.push(data) } },
    });
    place.tokenServer.on("subscribed", (_socket, { channel }) => calls.push(channel));
    const client = stage.client(place);
    await client.subscribe("room");
    client.rpc("note", 0);
    await client.rpc("note", 1);
    place.cut();
    await inState(client, "waiting");
    await Promise.all([client.rpc("note", 2), client.rpc("note", 3)]);
    expect(calls).to.deep.equal(["room", 0, 1, "room", 2, 3]);
  });

  it("are never sent twice: one whose connection is lost is rejected, its outcome unknown", async () => {
    const begun = deferred();
    let count = 0;
    const place = await stage.application({
      options: {
        socketController: {
          buy: () => {
            count++;
            begun.resolve();
            return new Promise(() => {});
          },
        },
      },
    });
    const client = stage.client(place);
    const call = failure(client.rpc("buy"));
    await begun.promise;
    place.cut();
    const error = await call;
    expect(error).to.be.instanceOf(DisconnectedError).with.include({ code: "disconnected", sent: true });
    expect(error.message).to.include("outcome unknown");
    await happened(client, "reconnect");
    expect(count).to.equal(1);
  });

  it("fail at once without a connection where they must not wait", async () => {
    const place = await stage.application();
    const client = stage.client(place);
    expect(await failure(client.rpc("f", {}, { queue: false }))).to.include({
      code: "disconnected",
      sent: false,
    });
    const hasty = stage.client(place, { queue: false });
    expect(await failure(hasty.rpc("f"))).to.include({ code: "disconnected", sent: false });
  });

  describe("without a server", () => {
    let client: TokenSocket;
    const start = (options = {}) => {
      client = stage.client({ url: "http://127.0.0.1:1" }, { backoff: SLOW, ...options });
      return inState(client, "waiting");
    };

    it("are bounded by count and bytes", async () => {
      await start({ queue: { count: 2, bytes: 200 } });
      client.rpc("f");
      const error = await failure(client.rpc("f", "x".repeat(200)));
      expect(error).to.be.instanceOf(QueueError).with.include({ code: "queue_full", sent: false });
      client.rpc("f");
      expect(await failure(client.rpc("f"))).to.have.property("code", "queue_full");
    });

    it("make room when they are aborted, or have taken too long", async () => {
      await start({ queue: { count: 2 } });
      const abort = new AbortController();
      const calls = [client.rpc("f", {}, { signal: abort.signal }), client.rpc("f", {}, { timeout: 1 })];
      abort.abort();
      for (const call of calls) await failure(call);
      client.rpc("f");
      client.rpc("f");
      expect(await failure(client.rpc("f"))).to.have.property("code", "queue_full");
    });

    it("do not wait longer than their age allows", async () => {
      await start({ queue: { age: 5 } });
      expect(await failure(client.rpc("f"))).to.include({ code: "queue_expired", sent: false });
    });

    it("are rejected when the client ends, and leave no timer behind", async () => {
      const clock = useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
      try {
        await start({ fetch: () => Promise.reject(new Error("no network")) });
        const call = client.rpc("f");
        expect(clock.countTimers()).to.equal(3);
        await client.end();
        expect(await failure(call)).to.include({ code: "disconnected", sent: false });
        expect(clock.countTimers()).to.equal(0);
      } finally {
        clock.restore();
      }
    });
  });

  it("that nobody looks at are no unhandled rejections", async () => {
    const unhandled: unknown[] = [];
    const listener = (error: unknown) => unhandled.push(error);
    process.on("unhandledRejection", listener);
    try {
      const place = await stage.application();
      const client = stage.client(place);
      client.rpc("nothing");
      client.publish("___x___", 1);
      await failure(client.rpc("nothing"));
      await new Promise((resolve) => setImmediate(resolve));
      expect(unhandled).to.deep.equal([]);
    } finally {
      process.off("unhandledRejection", listener);
    }
  });

  it("report a callback that throws", async () => {
    const place = await stage.application({ options: { socketController: controller } });
    const client = stage.client(place);
    const called = deferred();
    client.rpc("echo", 1, () => {
      called.resolve();
      throw new Error("callback");
    });
    await called.promise;
    await client.rpc("echo", 2);
    expect(stage.errors.map(String)).to.deep.equal(["A callback failed,Error: callback"]);
  });
});

describe("A call that waits for a connection in vain", () => {
  const stage = new Stage();

  afterEach(() => stage.clear());

  it("says why there was none", async () => {
    const place = await stage.server(
      createServer((_req, res) => res.writeHead(500).end('{"error":"Broken"}')),
    );
    const client = stage.client(place, { backoff: SLOW, queue: { age: 50 } });
    await inState(client, "waiting");
    const late = await failure(client.rpc("f", {}, { timeout: 20 }));
    expect(late).to.have.property("code", "timeout");
    expect(late.cause).to.have.property("message", "Broken");
    const expired = await failure(client.rpc("f"));
    expect(expired).to.have.property("code", "queue_expired");
    expect(expired.cause).to.have.property("message", "Broken");
    // before the first attempt has come to anything
    const silent = await stage.server(createServer(() => {}));
    const early = await failure(stage.client(silent).rpc("f", {}, { timeout: 0 }));
    expect(early.cause).to.be.instanceOf(DisconnectedError);
  });
});

describe("A client's actions", () => {
  let stage: Stage;

  beforeEach(() => {
    stage = new Stage();
  });
  afterEach(() => stage.clear());

  it("answer by the callback, by a value or by a promise", async () => {
    const place = await stage.application();
    const client = stage.client(
      place,
      {},
      {
        callback: (data: number, callback) => setImmediate(callback, null, data + 1),
        error: (_data: unknown, callback) => callback(new RpcError("No paper", { code: "E_PAPER" })),
        value: (data: number) => data + 2,
        nothing: () => {},
        promise: async (data: number) => data + 3,
        deep: { own: (...args: unknown[]) => args[0] },
        throws: () => {
          throw new RpcError("Mine", { code: 7 });
        },
        crashes: async () => {
          throw new Error("secret");
        },
        cycle: () => {
          const cycle: unknown[] = [];
          return [cycle.push(cycle), cycle];
        },
        twice: (_data: unknown, callback) => {
          callback(null, 1);
          callback(null, 2);
        },
      },
    );
    await client.ready();
    client.register({ later: () => "later", value: (data: number) => data + 10 });
    const socket = place.application.socket();
    const call = (name: string, data: unknown = 1) => place.tokenServer.rpc(socket, name, data);
    expect(await call("callback")).to.equal(2);
    expect(await call("value")).to.equal(11);
    expect(await call("nothing")).to.equal(undefined);
    expect(await call("promise")).to.equal(4);
    expect(await call("deep.own", "x")).to.equal("x");
    expect(await call("later")).to.equal("later");
    expect(await call("twice")).to.equal(1);
    expect(await failure(call("error"))).to.include({ message: "No paper", code: "E_PAPER" });
    expect(await failure(call("throws"))).to.include({ message: "Mine", code: 7 });
    expect(await failure(call("crashes"))).to.have.property("message", "Internal error");
    expect(await failure(call("cycle"))).to.have.property("message", "Internal error");
    for (const name of ["unknown", "deep", "toString", "deep.constructor", "value.call", "__proto__"]) {
      expect(await failure(call(name)), name).to.have.property("message", "Function not found");
    }
    expect(stage.errors.map(([message]) => message)).to.deep.equal([
      "The action twice answered again",
      "The action crashes failed",
      "The action cycle failed",
    ]);
  });

  it("are functions, which is said at once", async () => {
    const place = await stage.application();
    const wrong: [unknown, string][] = [
      ["x", "must be: function"],
      [{ greet: "hello" }, "greet"],
      [{ ui: { ask: undefined } }, "ui.ask"],
      [{ list: [() => {}] }, "list"],
    ];
    const client = stage.client(place);
    for (const [actions, name] of wrong) {
      expect(() => stage.client(place, {}, actions as never), name).to.throw(TypeError, name);
      expect(() => client.register(actions as never), name).to.throw(TypeError, name);
    }
    const own: Record<string, unknown> = { version: () => 7 };
    own.own = own;
    client.register(own as never);
    await client.ready();
    expect(place.tokenServer.sockets()).to.have.length(1);
    expect(await place.tokenServer.rpc(place.application.socket(), "own.own.version")).to.equal(7);
  });

  it("answer also while the client is being let in", async () => {
    const place = await stage.application();
    place.tokenServer.on("authentication", async (socket) => {
      if ((await place.tokenServer.rpc(socket, "version", {})) !== 7) throw new Error("too old");
    });
    await stage.client(place, {}, { version: () => 7 }).ready();
  });
});
