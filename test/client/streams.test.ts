import { EventEmitter, on, once } from "node:events";
import { setImmediate as turn } from "node:timers/promises";
import { expect } from "chai";
import {
  AbortedError,
  DisconnectedError,
  InvalidRequestError,
  RemoteError,
  type TokenSocket,
} from "../../lib/client/index.js";
import type { StandardSchema } from "../../lib/index.js";
import { type CallContext, procedure, RpcError, type Socket } from "../../lib/index.js";
import { deferred, failure, happened, type Place, Stage, Version3Server } from "./support.js";

/** Items without an end, which says when it is over. */
async function* endless(ended: { resolve(): void }): AsyncGenerator<number> {
  try {
    for (let i = 0; ; i++) yield i;
  } finally {
    ended.resolve();
  }
}

/** Numbers alone. */
const numbers: StandardSchema<number> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => (typeof value === "number" ? { value } : { issues: [{ message: "no number" }] }),
  },
};

describe("A stream", () => {
  let stage: Stage;
  let place: Place;
  let client: TokenSocket;
  /** What the generators have done. */
  let produced: number;
  let ended: ReturnType<typeof deferred<void>>;
  const source = new EventEmitter();

  const controller = {
    count: async function* (_auth: unknown, data: unknown) {
      const { to = Infinity } = (data ?? {}) as { to?: number };
      try {
        for (let i = 1; i <= to; i++) {
          produced = i;
          yield { i };
        }
      } finally {
        ended.resolve();
      }
    },
    fail: async function* () {
      yield 1;
      throw new RpcError("Out of paper", { code: "E_PAPER", data: { tray: 2 } });
    },
    crash: async function* () {
      yield 1;
      throw new Error("a secret");
    },
    odd: async function* () {
      yield 1n;
    },
    wait: procedure({
      async *handler({ signal }) {
        try {
          const values = on(source, "value", { signal });
          source.emit("begun");
          for await (const [value] of values) yield value as unknown;
        } finally {
          ended.resolve();
        }
      },
    }),
    checked: procedure({
      output: numbers,
      async *handler() {
        try {
          yield 1;
          yield "two" as unknown as number;
        } finally {
          ended.resolve();
        }
      },
    }),
    withCallback: async function* (_auth: unknown, _data: unknown, _callback: unknown) {
      yield "not by the callback";
    },
    /** Sends a message and begins to stream in one turn. */
    announced: (_auth: unknown, _data: unknown, _callback: unknown, socket: Socket) => {
      place.tokenServer.send(socket, "news", 1);
      return endless(ended);
    },
    checkedEvents: procedure({
      output: numbers,
      handler: () => on(source, "value") as AsyncIterable<number>,
    }),
    late: async () => {
      await once(source, "go");
      return controller.count(undefined, {});
    },
    plain: async () => 7,
  };

  beforeEach(async () => {
    stage = new Stage();
    produced = 0;
    ended = deferred();
    place = await stage.application({ options: { socketController: controller } });
    client = stage.client(place);
  });
  afterEach(() => stage.clear());

  const read = async (stream: AsyncIterable<unknown>, items = Infinity) => {
    const all: unknown[] = [];
    for await (const item of stream) if (all.push(item) >= items) break;
    return all;
  };

  it("is read by for await, to its end", async () => {
    expect(await read(client.rpc("count", { to: 3 }))).to.deep.equal([{ i: 1 }, { i: 2 }, { i: 3 }]);
    await ended.promise;
  });

  it("may be awaited before it is read, and comes to a callback, too", async () => {
    const stream = (await client.rpc("count", { to: 2 })) as AsyncIterable<unknown>;
    expect(await read(stream)).to.deep.equal([{ i: 1 }, { i: 2 }]);
    const given = await new Promise((resolve, reject) =>
      client.rpc("count", { to: 1 }, (error, value) => (error ? reject(error) : resolve(value))),
    );
    expect(await read(given as AsyncIterable<unknown>)).to.deep.equal([{ i: 1 }]);
  });

  it("comes by socket.call as well, and of an async generator that declares a callback", async () => {
    const typed = client as unknown as TokenSocket<typeof controller>;
    expect(await read(typed.call.withCallback())).to.deep.equal(["not by the callback"]);
  });

  it("may be far longer than its window, and all of it comes in order", async () => {
    const all = (await read(client.rpc("count", { to: 5000 }, { window: 10 }))) as { i: number }[];
    expect(all).to.have.length(5000);
    expect(all.every(({ i }, index) => i === index + 1)).to.equal(true);
  });

  it("begins when it is read, and is not ahead of its reader by more than the window", async () => {
    const stream = (await client.rpc("count", {}, { window: 4 })) as AsyncIterator<unknown>;
    await client.rpc("plain");
    expect(produced).to.equal(0);
    expect(await stream.next()).to.deep.equal({ done: false, value: { i: 1 } });
    await client.rpc("plain");
    expect(produced).to.equal(4);
    await stream.next();
    await client.rpc("plain");
    expect(produced).to.equal(6);
    for (let i = 0; i < 100; i++) await stream.next();
    await client.rpc("plain");
    expect(produced).to.equal(106);
    await stream.return?.();
    await ended.promise;
  });

  it("ends with the loop, and runs the generator's finally", async () => {
    expect(await read(client.rpc("count"), 3)).to.deep.equal([{ i: 1 }, { i: 2 }, { i: 3 }]);
    await ended.promise;
    expect(stage.errors).to.deep.equal([]);
  });

  it("ends with the loop while the generator waits, where that heeds its signal", async () => {
    const stream = client.rpc("wait")[Symbol.asyncIterator]();
    const started = once(source, "begun");
    const first = stream.next();
    await started;
    source.emit("value", "a");
    expect(await first).to.deep.equal({ done: false, value: "a" });
    await stream.return?.();
    await ended.promise;
    expect(source.listenerCount("value")).to.equal(0);
    expect(place.application.errors).to.deep.equal([]);
  });

  it("ends when its signal fires", async () => {
    const controller = new AbortController();
    const stream = client.rpc("wait", {}, { signal: controller.signal })[Symbol.asyncIterator]();
    const started = once(source, "begun");
    const first = failure(stream.next());
    await started;
    controller.abort("enough");
    expect(await first)
      .to.be.instanceOf(AbortedError)
      .with.property("cause", "enough");
    await ended.promise;
    expect(await stream.next()).to.deep.equal({ done: true, value: undefined });
  });

  it("ends when the client ends", async () => {
    const stream = client.rpc("wait")[Symbol.asyncIterator]();
    const started = once(source, "begun");
    const first = failure(stream.next());
    await started;
    await client.end();
    expect(await first)
      .to.be.instanceOf(DisconnectedError)
      .with.property("sent", true);
    await ended.promise;
    expect(place.application.errors).to.deep.equal([]);
  });

  it("ends with an error when the connection is lost, and is not begun again", async () => {
    const stream = client.rpc("count", {}, { window: 2 })[Symbol.asyncIterator]();
    expect(await stream.next()).to.deep.equal({ done: false, value: { i: 1 } });
    const back = happened(client, "reconnect");
    place.cut();
    await ended.promise;
    await back;
    // what had come is still there
    expect(await stream.next()).to.deep.equal({ done: false, value: { i: 2 } });
    const error = await failure(
      (async () => {
        for (;;) if ((await stream.next()).done) return;
      })(),
    );
    expect(error).to.be.instanceOf(DisconnectedError).with.property("sent", true);
    expect(produced).to.be.at.most(4);
  });

  it("ends with the error that the function throws", async () => {
    const stream = client.rpc("fail")[Symbol.asyncIterator]();
    expect((await stream.next()).value).to.equal(1);
    const error = await failure(stream.next());
    expect(error).to.be.instanceOf(RemoteError);
    expect(error).to.include({ message: "Out of paper", code: "E_PAPER" });
    expect(error.data).to.deep.equal({ tray: 2 });
    expect(place.application.errors).to.deep.equal([]);
  });

  it("ends with an internal error when the function crashes, which is reported", async () => {
    const error = await failure(read(client.rpc("crash")));
    expect(error).to.include({ message: "Internal error", code: "internal" });
    expect(place.application.errors.map(({ message }) => message)).to.deep.equal(["a secret"]);
  });

  it("ends with an internal error at an item that is no JSON, or not what the schema says", async () => {
    expect(await failure(read(client.rpc("odd")))).to.have.property("code", "internal");
    const stream = client.rpc("checked")[Symbol.asyncIterator]();
    expect((await stream.next()).value).to.equal(1);
    expect(await failure(stream.next())).to.have.property("code", "internal");
    await ended.promise;
    expect(place.application.errors).to.have.length(2);
    expect(place.application.errors[1]?.message).to.equal("Invalid output: no number");
  });

  it("lets go of its source though its items are checked, whenever it ends", async () => {
    const listeners = () => source.listenerCount("value");
    const unread = (await client.rpc("checkedEvents")) as AsyncIterator<unknown>;
    expect(listeners()).to.equal(1);
    await unread.return?.();
    await client.rpc("plain");
    expect(listeners()).to.equal(0);

    const waiting = (await client.rpc("checkedEvents")) as AsyncIterator<unknown>;
    const next = waiting.next();
    await client.rpc("plain");
    await waiting.return?.();
    expect((await next).done).to.equal(true);
    await client.rpc("plain");
    expect(listeners()).to.equal(0);

    const bad = client.rpc("checkedEvents")[Symbol.asyncIterator]();
    const refused = failure(bad.next());
    await client.rpc("plain");
    await client.rpc("plain");
    source.emit("value");
    expect(await refused).to.have.property("code", "internal");
    expect(listeners()).to.equal(0);

    const old = await place.application.connect();
    expect(await old.request({ rpc: "checkedEvents" })).to.have.property("error");
    expect(listeners()).to.equal(0);
  });

  it("cannot be read where there is none", async () => {
    expect(await failure(read(client.rpc("plain")))).to.be.instanceOf(TypeError);
    expect(await failure(read(client.rpc("nowhere")))).to.have.property("code", "not_found");
  });

  it("is not begun for a call that was aborted before it answered", async () => {
    const abort = new AbortController();
    const call = failure(client.rpc("late", {}, { signal: abort.signal }));
    await client.rpc("plain");
    abort.abort();
    expect(await call).to.be.instanceOf(AbortedError);
    await client.rpc("plain");
    source.emit("go");
    await client.rpc("plain");
    expect(produced).to.equal(0);
    expect(place.application.errors).to.deep.equal([]);
  });

  it("ends with an error where its window is none", async () => {
    for (const window of [0, -1, 0.5, Number.NaN, Infinity, 2 ** 40]) {
      const error = await failure(read(client.rpc("count", {}, { window })));
      expect(error, String(window)).to.be.instanceOf(InvalidRequestError);
    }
    for (const window of [1, 1.5, 5000]) {
      expect(await read(client.rpc("count", { to: 3 }, { window }))).to.have.length(3);
    }
  });

  it("ends where its signal fires in the turn in which it begins", async () => {
    const abort = new AbortController();
    client.once("message", () => abort.abort());
    const error = await failure(read(client.rpc("announced", {}, { signal: abort.signal })));
    expect(error).to.be.instanceOf(AbortedError);
    expect(await client.rpc("plain")).to.equal(7);
    expect(stage.errors).to.deep.equal([]);
  });

  it("may be ended while it waits, also where it was not awaited", async () => {
    const stream = client.rpc("wait")[Symbol.asyncIterator]();
    const begun = once(source, "begun");
    const first = stream.next();
    await begun;
    await stream.return?.();
    expect(await first).to.deep.equal({ done: true, value: undefined });
    await ended.promise;
  });

  it("lets the server serve others while its items need no waiting", async () => {
    const other = stage.client(place);
    await other.ready();
    let isRead = false;
    const reading = Promise.all(
      Array.from({ length: 40 }, () => read(client.rpc("count", { to: 500 }, { window: 500 }))),
    ).then(() => {
      isRead = true;
    });
    await other.rpc("plain");
    expect(isRead).to.equal(false);
    await reading;
  });

  it("shares the connection with others, and with calls", async () => {
    const streams = Array.from({ length: 50 }, (_, index) =>
      read(client.rpc("count", { to: 100 + index }, { window: 7 })),
    );
    expect(await client.rpc("plain")).to.equal(7);
    expect((await Promise.all(streams)).map(({ length }) => length)).to.deep.equal(
      Array.from({ length: 50 }, (_, index) => 100 + index),
    );
  });

  for (const transports of ["xhr-streaming", "xhr-polling"]) {
    it(`comes over ${transports}, too`, async () => {
      const other = stage.client(place, { WebSocket: false, sockjs: { transports } });
      expect(await read(other.rpc("count", { to: 200 }, { window: 50 }))).to.have.length(200);
      expect(await read(other.rpc("count"), 10)).to.have.length(10);
      await ended.promise;
    });
  }
});

describe("A stream on the wire", () => {
  let stage: Stage;
  let place: Place;
  let isEnded: boolean;
  let isAborted: boolean;

  beforeEach(async () => {
    stage = new Stage();
    isEnded = false;
    isAborted = false;
    place = await stage.application({
      options: {
        socketController: {
          count: async function* () {
            try {
              for (let i = 1; ; i++) yield i;
            } finally {
              isEnded = true;
            }
          },
          closing: (
            _auth: unknown,
            _data: unknown,
            _callback: unknown,
            socket: Socket,
            call: CallContext,
          ) => {
            call.signal.addEventListener("abort", () => {
              isAborted = true;
            });
            socket.close(4999, "Gone");
          },
          _credit: async (_auth: unknown, data: unknown) => data,
        },
      },
    });
  });
  afterEach(() => stage.clear());

  it("sends as many items as were granted", async () => {
    const client = await place.application.connect("websocket", { protocol: 4 });
    client.send({ rpc: "count", uuid: "s" });
    expect(await client.take()).to.deep.equal({ rpc: "count", uuid: "s", stream: true });
    client.send({ rpc: "_credit", req: { uuid: "s", items: 2 } });
    expect(await client.take()).to.deep.equal({ stream: "s", item: 1 });
    expect(await client.take()).to.deep.equal({ stream: "s", item: 2 });
    expect(await client.request({ rpc: "_credit", req: { uuid: "s", items: 1 } })).to.have.property("resp");
    client.send({ rpc: "_cancel", req: { uuid: "s" } });
    expect(await client.take()).to.deep.equal({ stream: "s", item: 3 });
    expect(await client.take()).to.deep.equal({
      stream: "s",
      error: { message: "The call was aborted", code: "aborted" },
    });
    await turn();
    expect(isEnded).to.equal(true);
  });

  it("ends at a grant that is none", async () => {
    const client = await place.application.connect("websocket", { protocol: 4 });
    const invalid = { message: "Invalid request", code: "invalid" };
    for (const items of [0, -1, 1.5, "2", null, undefined, 1e300]) {
      client.send({ rpc: "count", uuid: "s" });
      expect(await client.take()).to.have.property("stream", true);
      client.send({ rpc: "_credit", req: { uuid: "s", items }, uuid: "c" });
      expect(await client.take(), String(items)).to.deep.equal({ stream: "s", error: invalid });
      expect(await client.take(), String(items)).to.deep.equal({ rpc: "_credit", uuid: "c", error: invalid });
    }
  });

  it("is refused where its call has no id, or that of another stream", async () => {
    const client = await place.application.connect("websocket", { protocol: 4 });
    const error = { message: "Invalid request", code: "invalid" };
    client.send({ rpc: "count", uuid: "s" });
    await client.take();
    client.send({ rpc: "count", uuid: "s" });
    expect(await client.take()).to.deep.equal({ rpc: "count", uuid: "s", error });
    client.send({ rpc: "count" });
    expect(await client.take()).to.deep.equal({ rpc: "count", error });
    // the first one is untouched
    client.send({ rpc: "_credit", req: { uuid: "s", items: 1 } });
    expect(await client.take()).to.deep.equal({ stream: "s", item: 1 });
  });

  it("is of no use to a function that has closed the socket", async () => {
    const client = await place.application.connect("websocket", { protocol: 4 });
    client.send({ rpc: "closing", uuid: "s" });
    await client.closed;
    expect(isAborted).to.equal(true);
  });

  it("is not for clients of version 3, which may have functions of the new requests' names", async () => {
    const client = await place.application.connect();
    expect(await client.request({ rpc: "count" })).to.have.property(
      "error",
      "The function answers with a stream",
    );
    expect((await client.request({ rpc: "_credit", req: { items: 1 } })).resp).to.deep.equal({ items: 1 });
  });

  it("is nothing that a server of version 3 has", async () => {
    const server = new Version3Server();
    const old = await stage.server(server.http);
    const client = stage.client(old);
    const error = await failure(
      (async () => {
        for await (const _ of client.rpc("echo", 1)) break;
      })(),
    );
    expect(error).to.be.instanceOf(TypeError);
    expect(error).to.not.be.instanceOf(InvalidRequestError);
  });
});
