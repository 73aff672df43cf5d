import { expect } from "chai";
import type { CallContext, TokenSocketServerOptions } from "../../lib/index.js";
import { Application } from "../support/application.js";
import { until } from "../support/condition.js";
import type { WireClient } from "../support/wire-client.js";

/** A promise, and what resolves it. */
function deferred<T = void>() {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

describe("A right that is lost while something is under way", () => {
  let application: Application;
  /** What the guards allow just now. */
  let may = true;

  const start = async (options: TokenSocketServerOptions = {}) => {
    may = true;
    application = await Application.start({
      options: { identify: (auth: { name: string }) => auth.name, ...options },
    });
    return application.tokenServer;
  };
  afterEach(() => application.stop());

  /** A guard that looks at what is allowed, and answers when it is told to. */
  const slowGuard = (event: "subscribe" | "publish" | "broadcast" | "rpc") => {
    const looked = deferred();
    const answer = deferred();
    let asked = 0;
    application.tokenServer.on(event, async (_socket: unknown) => {
      asked++;
      const allows = may;
      looked.resolve();
      await answer.promise;
      return allows;
    });
    return { looked: looked.promise, answer: answer.resolve, asked: () => asked };
  };

  /** Sends a request without waiting for its answer. */
  const send = (client: WireClient, rpc: string, req: object) => client.send({ rpc, req, uuid: "r" });
  const answered = (client: WireClient) =>
    client.take((frame) => frame.uuid === "r" || frame.data?.uuid === "r");

  const LOSSES: Record<string, () => Promise<unknown>> = {
    "refresh()": () => application.tokenServer.refresh({ identity: "alice" }),
    "unsubscribe()": () => application.tokenServer.unsubscribe(application.socket(), "room"),
    "unsubscribeAll()": () => application.tokenServer.unsubscribeAll("room"),
  };

  for (const [name, lose] of Object.entries(LOSSES)) {
    it(`by ${name} is asked about again, where a guard has allowed a join by then`, async () => {
      const server = await start();
      const guard = slowGuard("subscribe");
      const client = await application.connect("websocket", { protocol: 4 });
      send(client, "_subscribe", { channel: "room" });
      await guard.looked;
      may = false;
      await lose();
      guard.answer();
      expect(await answered(client)).to.have.nested.property("error.message", "Forbidden");
      expect(server.channelSockets("room")).to.deep.equal([]);
      expect(guard.asked()).to.equal(2);
    });

    it(`by ${name} ends a join that waits for Redis`, async () => {
      const server = await start();
      server.on("subscribe", async (_socket: unknown) => may);
      const client = await application.connect("websocket", { protocol: 4 });
      const subscribed = deferred();
      // what was allowed a moment ago is about to be confirmed
      server.once("subscribed", () => subscribed.resolve());
      send(client, "_subscribe", { channel: "room" });
      may = false;
      await until(() => application.tokenServer.channels().length > 0 || client.frames.length > 0);
      await lose();
      await until(() => server.channelSockets("room").length === 0);
    });
  }

  it("by a new identity is asked about again where the channel was joined meanwhile", async () => {
    const server = await start();
    server.on("subscribe", async (_socket: unknown) => may);
    const client = await application.connect("websocket", { protocol: 4 });
    await client.subscribe("room");
    may = false;
    await client.request({ rpc: "auth", token: await application.token(), protocol: 4 });
    await until(() => server.channelSockets("room").length === 0);
  });

  for (const [event, rpc, req] of [
    ["publish", "_publish", { channel: "room", data: 1 }],
    ["broadcast", "_broadcast", { data: 1 }],
  ] as const) {
    it(`lets no ${event} pass that a guard has allowed by then`, async () => {
      const server = await start();
      const guard = slowGuard(event);
      const client = await application.connect("websocket", { protocol: 4 });
      await client.subscribe("room");
      let published = 0;
      server.on(`${event === "publish" ? "published" : "broadcasted"}`, () => published++);
      send(client, rpc, req);
      await guard.looked;
      may = false;
      await server.refresh({ identity: "alice" });
      guard.answer();
      expect(await answered(client)).to.have.nested.property("error.message", "Forbidden");
      expect(published).to.equal(0);
    });
  }

  it("is asked about again for a call that a guard has allowed by then", async () => {
    let calls = 0;
    const server = await start({ socketController: { buy: () => ++calls } });
    const guard = slowGuard("rpc");
    const client = await application.connect("websocket", { protocol: 4 });
    send(client, "buy", {});
    await guard.looked;
    may = false;
    await server.refresh({ identity: "alice" });
    guard.answer();
    expect(await answered(client)).to.have.nested.property("error.message", "Forbidden");
    expect(calls).to.equal(0);
  });

  for (const [how, lose] of [
    ["refresh()", () => application.tokenServer.refresh({ identity: "alice" })],
    ["a new identity", undefined],
  ] as const) {
    it(`by ${how} ends open streams and calls that run, with the guard's reason`, async () => {
      const ended = deferred();
      const aborted = deferred();
      const seen: [rpc: string, req: unknown][] = [];
      const server = await start({
        socketController: {
          async *ticks() {
            try {
              for (let n = 0; ; n++) yield n;
            } finally {
              ended.resolve();
            }
          },
          wait: (
            _auth: unknown,
            _data: unknown,
            _callback: unknown,
            _socket: unknown,
            context: CallContext,
          ) => context.signal.addEventListener("abort", () => aborted.resolve()),
        },
      });
      server.on("rpc", async (_socket: unknown, { rpc, req }) => {
        seen.push([rpc, req]);
        if (may) return true;
        throw Object.assign(new Error("no more"), {});
      });
      const client = await application.connect("websocket", { protocol: 4 });
      client.send({ rpc: "ticks", req: { from: 1 }, uuid: "stream" });
      client.send({ rpc: "wait", req: 2, uuid: "call" });
      await client.take((frame) => frame.stream === true);
      client.send({ rpc: "_credit", req: { uuid: "stream", items: 1 }, uuid: "c" });
      await client.take((frame) => "item" in frame);
      may = false;
      if (lose) await lose();
      else client.send({ rpc: "auth", token: await application.token(), uuid: "again", protocol: 4 });
      const end = await client.take((frame) => frame.stream === "stream" && "error" in frame);
      expect(end.error).to.deep.include({ message: "Internal error" });
      const answer = await client.take((frame) => frame.uuid === "call");
      expect(answer.error).to.deep.include({ message: "Internal error" });
      await Promise.all([ended.promise, aborted.promise]);
      // they are asked about with what they were called with
      expect(seen).to.deep.include(["ticks", { from: 1 }]);
      expect(seen.filter(([rpc]) => rpc === "ticks")).to.deep.equal([
        ["ticks", { from: 1 }],
        ["ticks", { from: 1 }],
      ]);
    });
  }

  it("leaves what the guards go on allowing as it is", async () => {
    const server = await start({
      socketController: {
        async *ticks() {
          for (let n = 0; ; n++) yield n;
        },
      },
    });
    server.on("rpc", async (_socket: unknown) => true);
    const client = await application.connect("websocket", { protocol: 4 });
    client.send({ rpc: "ticks", uuid: "stream" });
    await client.take((frame) => frame.stream === true);
    await server.refresh({ identity: "alice" });
    client.send({ rpc: "_credit", req: { uuid: "stream", items: 2 }, uuid: "c" });
    for (const item of [0, 1]) {
      expect((await client.take((frame) => "item" in frame)).item).to.equal(item);
    }
  });
});

describe("A call", () => {
  let application: Application;
  afterEach(() => application.stop());

  it("is guarded and run under one identity, also where a new one comes between the two", async () => {
    let name = "alice";
    const decide = deferred();
    const looked = deferred();
    const pairs: [unknown, unknown][] = [];
    let guarded: unknown;
    application = await Application.start({
      session: null,
      options: {
        authentication: async () => ({ name }),
        socketController: {
          whoAmI: (auth: { name?: string }) => void pairs.push([guarded, auth.name]),
        },
      },
    });
    application.tokenServer.on("rpc", async (socket) => {
      guarded = socket.auth.name;
      looked.resolve();
      await decide.promise;
      return true;
    });
    const client = await application.connect("websocket", { protocol: 4 });
    client.send({ rpc: "whoAmI", uuid: "call" });
    await looked.promise;
    name = "bob";
    client.send({ rpc: "auth", token: await application.token(), uuid: "again", protocol: 4 });
    await client.take((frame) => frame.uuid === "again");
    decide.resolve();
    await until(() => pairs.length > 0);
    expect(pairs).to.deep.equal([["bob", "bob"]]);
  });

  it("is refused where a guard took another's place while an earlier one decided", async () => {
    application = await Application.start({ options: { socketController: { admin: () => "done" } } });
    const { tokenServer } = application;
    const looked = deferred();
    const decide = deferred();
    const [no, not] = [() => false, () => false];
    tokenServer.on("rpc", async (_socket) => {
      looked.resolve();
      await decide.promise;
      return true;
    });
    tokenServer.on("rpc", no);
    const client = await application.connect("websocket", { protocol: 4 });
    const reply = client.request({ rpc: "admin" });
    await looked.promise;
    tokenServer.off("rpc", no);
    tokenServer.on("rpc", not);
    decide.resolve();
    expect(await reply).to.have.nested.property("error.message", "Forbidden");
  });

  it("is answered where what a function promises has a getter that throws, and the process lives", async () => {
    const odd = {
      get [Symbol.asyncIterator]() {
        throw new Error("no such symbol");
      },
    };
    application = await Application.start({
      options: {
        socketController: {
          odd: (_auth: unknown, _data: unknown, _callback: unknown) => Promise.resolve(odd),
        },
      },
    });
    const client = await application.connect("websocket", { protocol: 4 });
    expect(await client.request({ rpc: "odd" })).to.have.nested.property("error.message", "Internal error");
  });

  it("is refused while the requests of a socket's calls take too much", async () => {
    application = await Application.start({
      options: {
        socketController: { wait: () => new Promise(() => {}), now: () => 1 },
        limits: { callBytes: 1000 },
      },
    });
    const client = await application.connect("websocket", { protocol: 4 });
    client.send({ rpc: "wait", req: "x".repeat(900), uuid: "first" });
    expect(await client.request({ rpc: "wait", req: "x".repeat(900) })).to.have.nested.property(
      "error.code",
      "busy",
    );
    client.send({ rpc: "_cancel", req: { uuid: "first" }, uuid: "c" });
    await client.take((frame) => frame.uuid === "c");
    // one by itself may be larger
    expect(await client.request({ rpc: "now", req: "x".repeat(2000) })).to.have.property("resp", 1);
  });
});

describe("An error listener", () => {
  it("that fails by itself leaves the event loop free, and what is too much is counted", async () => {
    const application = await Application.start({ pubsubClient: null });
    try {
      const { tokenServer } = application;
      let errors = 0;
      tokenServer.on("error", ({ message }) => {
        errors++;
        tokenServer.publish("operators", message);
      });
      tokenServer.publish("room", 1);
      for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
      expect(errors).to.be.within(50, 1000);
      await until(() => application.log.some((line) => /more times within a second/.test(line)));
    } finally {
      await application.stop();
    }
  });
});
