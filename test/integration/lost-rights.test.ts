import { expect } from "chai";
import type { Request, Response } from "express";
import { type CallContext, procedure, type TokenSocketServerOptions } from "../../lib/index.js";
import { memoryRedis } from "../../lib/memory.js";
import { MOST_DECISIONS } from "../../lib/server/events/guards.js";
import type { Redis } from "../../lib/server/redis/redis.js";
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

const CONNECT = Symbol.for("node-token-sockjs.memoryRedis");

/** The embedded store, which confirms no subscription to a channel until it is told to. */
function heldRedis(held: string) {
  const store = memoryRedis();
  const asked = deferred();
  const confirm = deferred();
  const connect = () => {
    const adapter = (store as unknown as Record<symbol, () => Redis>)[CONNECT]?.() as Redis;
    const subscribe = adapter.subscribe.bind(adapter);
    adapter.subscribe = async (channel, listener) => {
      if (channel === held) {
        asked.resolve();
        await confirm.promise;
      }
      return subscribe(channel, listener);
    };
    return adapter;
  };
  const redis = { [CONNECT]: connect } as unknown as ReturnType<typeof memoryRedis>;
  return { redis, asked: asked.promise, confirm: confirm.resolve };
}

describe("A right that is lost while something is under way", () => {
  let application: Application;
  const others: Application[] = [];
  /** What the guards allow just now. */
  let may = true;

  const start = async (options: TokenSocketServerOptions = {}, redisClient = memoryRedis()) => {
    may = true;
    application = await Application.start({
      redisClient,
      pubsubClient: redisClient,
      options: { identify: (auth: { name: string }) => auth.name, ...options },
    });
    return application.tokenServer;
  };
  afterEach(async () => {
    await Promise.all([application, ...others.splice(0)].map((one) => one.stop()));
  });

  /** A guard that looks at what is allowed, and answers when it is told to. */
  const slowGuard = (event: "authentication" | "subscribe" | "publish" | "broadcast" | "rpc") => {
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
  const send = (client: WireClient, rpc: string, req: object | undefined) =>
    client.send({ rpc, req, uuid: "r" });
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
      const { redis, asked, confirm } = heldRedis("room");
      const server = await start({}, redis);
      server.on("subscribe", async (_socket: unknown) => may);
      const client = await application.connect("websocket", { protocol: 4 });
      send(client, "_subscribe", { channel: "room" });
      await asked;
      may = false;
      const losing = lose();
      // what it has told all servers has come back by then
      await server.unsubscribeAll("elsewhere");
      confirm();
      await losing;
      await answered(client);
      await client.take((frame) => frame.command === "unsubscribe");
      expect(server.channelSockets("room")).to.deep.equal([]);
    });
  }

  it("by unsubscribeAll() of another server is asked about again", async () => {
    const redis = memoryRedis();
    await start({}, redis);
    const other = await Application.start({ redisClient: redis, pubsubClient: redis });
    others.push(other);
    await Promise.all([application, other].map(({ tokenServer }) => tokenServer.ready()));
    const guard = slowGuard("subscribe");
    const client = await application.connect("websocket", { protocol: 4 });
    send(client, "_subscribe", { channel: "room" });
    await guard.looked;
    may = false;
    await other.tokenServer.unsubscribeAll("room");
    // what it has told the others has come here, too
    await application.tokenServer.unsubscribeAll("elsewhere");
    guard.answer();
    expect(await answered(client)).to.have.nested.property("error.message", "Forbidden");
  });

  it("by unsubscribe() ends a join of the server's own that waits for Redis", async () => {
    const { redis, asked, confirm } = heldRedis("room");
    const server = await start({}, redis);
    const client = await application.connect("websocket", { protocol: 4 });
    const joining = server.subscribe(application.socket(), "room");
    await asked;
    const leaving = server.unsubscribe(application.socket(), "room");
    confirm();
    await Promise.all([joining, leaving]);
    expect(server.channelSockets("room")).to.deep.equal([]);
    await client.take((frame) => frame.command === "unsubscribe");
  });

  it("by the second of several refreshes is seen, while the guards answer to the first", async () => {
    const server = await start();
    const client = await application.connect("websocket", { protocol: 4 });
    await client.subscribe("room");
    const guard = slowGuard("subscribe");
    await server.refresh({ identity: "alice" });
    await guard.looked;
    may = false;
    await server.refresh({ identity: "alice" });
    await server.refresh({ identity: "alice" });
    guard.answer();
    await until(() => server.channelSockets("room").length === 0);
  });

  it("of others, or of another channel, has nobody asked again", async () => {
    const server = await start({ socketController: { buy: () => "bought" } });
    const joins = slowGuard("subscribe");
    const calls = slowGuard("rpc");
    const client = await application.connect("websocket", { protocol: 4 });
    send(client, "_subscribe", { channel: "room" });
    client.send({ rpc: "buy", uuid: "call" });
    await Promise.all([joins.looked, calls.looked]);
    for (let n = 0; n < 20; n++) await server.unsubscribeAll("elsewhere");
    await server.unsubscribe(application.socket(), "elsewhere");
    await server.refresh({ identity: "bob" });
    joins.answer();
    calls.answer();
    await answered(client);
    expect(await client.take((frame) => frame.uuid === "call")).to.have.property("resp", "bought");
    expect([joins.asked(), calls.asked()]).to.deep.equal([1, 1]);
    expect(server.channelSockets("room")).to.have.lengthOf(1);
  });

  it("by refresh() during the first authentication has the client present another token", async () => {
    const server = await start();
    server.once("authentication", async (_socket) => {
      await server.refresh({ identity: "alice" });
    });
    const client = await application.connect("websocket", { protocol: 4 });
    await client.take((frame) => frame.command === "refresh");
  });

  for (const time of ["first", "second"] as const) {
    it(`by disconnect() lets no session in on whose ${time} token of a connection a guard decides`, async () => {
      let sessionId = "";
      const server = await start({
        authentication: (req) => {
          ({ sessionID: sessionId } = req);
          return { name: "alice" };
        },
      });
      const client =
        time === "first" ? await application.open() : await application.connect("websocket", { protocol: 4 });
      const guard = slowGuard("authentication");
      client.send({ rpc: "auth", token: await application.token(), protocol: 4, uuid: "r" });
      await guard.looked;
      await server.disconnect({ sessionId }, { code: 4100 });
      guard.answer();
      expect((await client.closed).code).to.equal(4100);
      expect(client.frames).to.deep.equal([]);
      expect(server.sockets()).to.deep.equal([]);
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

  for (const [event, rpc, req] of [
    ["subscribe", "_subscribe", { channel: "room" }],
    ["rpc", "buy", {}],
  ] as const) {
    it(`is asked about again a few times alone where it is lost each time that a ${event} guard decides`, async () => {
      let calls = 0;
      let asked = 0;
      const server = await start({ socketController: { buy: () => ++calls } });
      server.on(event, async (_socket: unknown) => {
        asked++;
        await server.refresh({ identity: "alice" });
        return true;
      });
      const client = await application.connect("websocket", { protocol: 4 });
      send(client, rpc, req);
      expect(await answered(client)).to.have.nested.property("error.code", "busy");
      expect(asked).to.equal(MOST_DECISIONS);
      expect([calls, server.channels()]).to.deep.equal([0, []]);
    });
  }

  const whileItsSchemaWaits = (data: object | undefined) => async () => {
    const checking = deferred();
    const checked = deferred();
    const handled: unknown[] = [];
    const validate = async (value: unknown) => {
      checking.resolve();
      await checked.promise;
      return { value };
    };
    const server = await start({
      socketController: {
        buy: procedure({
          input: { "~standard": { version: 1 as const, vendor: "test", validate } },
          handler: ({ input }) => handled.push(input),
        }),
      },
    });
    const answer = deferred();
    let asked = 0;
    server.on("rpc", async (_socket) => {
      // the schema answers before it does, but for the first time
      if (asked++ > 0) await answer.promise;
      return may;
    });
    const client = await application.connect("websocket", { protocol: 4 });
    send(client, "buy", data);
    await checking.promise;
    may = false;
    await server.refresh({ identity: "alice" });
    checked.resolve();
    await until(() => asked === 3 || handled.length > 0);
    answer.resolve();
    expect(await answered(client)).to.have.nested.property("error.message", "Forbidden");
    expect(handled).to.deep.equal([]);
  };

  it(
    "is asked about again for a procedure whose schema takes a while, before its handler runs",
    whileItsSchemaWaits({ n: 1 }),
  );
  it("is asked about again for one that is called without data, too", whileItsSchemaWaits(undefined));

  it("keeps a route's further handlers from running", async () => {
    const began = deferred();
    const closed = deferred();
    const goOn = deferred();
    let handled = 0;
    const first = async (_req: Request, res: Response, next: () => void) => {
      res.once("close", () => closed.resolve());
      began.resolve();
      await goOn.promise;
      next();
    };
    const last = (_req: Request, res: Response) => {
      handled++;
      res.json({});
    };
    const server = await start({ routes: { buy: [first, last] } });
    server.on("rpc", async (_socket: unknown) => may);
    const client = await application.connect("websocket", { protocol: 4 });
    send(client, "buy", {});
    await began.promise;
    may = false;
    await server.refresh({ identity: "alice" });
    expect(await answered(client)).to.have.nested.property("error.message", "Forbidden");
    await closed.promise;
    goOn.resolve();
    await goOn.promise;
    await new Promise((resolve) => setImmediate(resolve));
    expect(handled).to.equal(0);
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

  it("has its procedure's handler run under the identity that was guarded last", async () => {
    let name = "alice";
    const checking = deferred();
    const checked = deferred();
    const pairs: [unknown, unknown][] = [];
    let guarded: unknown;
    const validate = async (value: unknown) => {
      checking.resolve();
      await checked.promise;
      return { value };
    };
    application = await Application.start({
      session: null,
      options: {
        authentication: async () => ({ name }),
        socketController: {
          whoAmI: procedure<{ name: string }>()({
            input: { "~standard": { version: 1 as const, vendor: "test", validate } },
            handler: ({ auth }) => void pairs.push([guarded, auth.name]),
          }),
        } as never,
      },
    });
    application.tokenServer.on("rpc", (socket) => {
      guarded = socket.auth.name;
      return true;
    });
    const client = await application.connect("websocket", { protocol: 4 });
    client.send({ rpc: "whoAmI", req: {}, uuid: "call" });
    await checking.promise;
    name = "bob";
    client.send({ rpc: "auth", token: await application.token(), uuid: "again", protocol: 4 });
    await client.take((frame) => frame.uuid === "again");
    checked.resolve();
    await client.take((frame) => frame.uuid === "call");
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
