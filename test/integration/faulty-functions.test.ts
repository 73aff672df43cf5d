import { expect } from "chai";
import type { CallContext, Controller, Routes, Socket } from "../../lib/index.js";
import { Application } from "../support/application.js";
import { reported, until } from "../support/condition.js";
import type { WireClient } from "../support/wire-client.js";

const INTERNAL = { message: "Internal error", code: "internal" };

/** Gives an object a property that throws when it is read. */
function throwing<T extends object>(name: PropertyKey, value: T): T {
  return Object.defineProperty(value, name, {
    get() {
      throw new Error(`reading ${String(name)}`);
    },
  });
}

/** A promise whose `then` is its own, and throws. */
function brokenPromise(): Promise<unknown> {
  const then = () => {
    throw new Error("then");
  };
  // biome-ignore lint/suspicious/noThenProperty: this is what it is about
  return Object.defineProperty(Promise.resolve(true), "then", { value: then });
}

function revokedProxy(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

/** An object that can be looked at once. */
function proxyForOneLook(): object {
  let looks = 0;
  return new Proxy(
    { some: "error" },
    {
      getPrototypeOf() {
        if (looks++ > 0) throw new Error("looked at twice");
        return null;
      },
    },
  );
}

/** Does something in a turn of its own, where nobody would catch what it throws. */
const later = (act: () => void) => void setImmediate(act);

/**
 * What applications may do wrong in ways that reach further than a throw. Each test fails, too, where something is thrown
 * or rejected with that nobody catches.
 */
describe("What functions, handlers and guards do wrong ends neither their call nor the process", () => {
  let application: Application;
  let client: WireClient;

  const start = async (options: { socketController?: Controller; routes?: Routes }) => {
    application = await Application.start({ options });
    client = await application.connect("websocket", { protocol: 4 });
  };
  afterEach(() => application.stop());

  const FUNCTIONS: Record<string, Controller[string]> = {
    "a promise whose then throws": (_auth: unknown) => brokenPromise(),
    "a promise whose constructor throws": (_auth: unknown) => throwing("constructor", Promise.resolve(1)),
    "a promise of an object whose then throws": (_auth: unknown) =>
      new Promise((resolve) => later(() => resolve(throwing("then", {})))),
    "an iterator that is none": (_auth: unknown) => throwing(Symbol.asyncIterator, {}),
  };
  for (const [what, fn] of Object.entries(FUNCTIONS)) {
    it(`where a function gives ${what}`, async () => {
      await start({ socketController: { fn } });
      expect(await client.request({ rpc: "fn" })).to.have.deep.property("error", INTERNAL);
      await reported();
      expect(application.errors).to.have.lengthOf(1);
    });
  }

  it("where a callback gets an error that can be looked at once", async () => {
    await start({
      socketController: {
        fn: (_auth: unknown, _data: unknown, callback: (error: unknown) => void) =>
          later(() => callback(proxyForOneLook())),
      },
    });
    expect(await client.request({ rpc: "fn" })).to.have.deep.property("error", { some: "error" });
  });

  for (const [what, rpc] of [
    ["a function", "wait"],
    ["a stream", "items"],
  ] as const) {
    it(`where ${what} fails after its end with an error that has no readable name`, async () => {
      const failure = throwing("name", new Error("too late"));
      let fail = () => {};
      const failing = new Promise<never>((_resolve, reject) => {
        fail = () => reject(failure);
      });
      failing.catch(() => {});
      await start({
        socketController: {
          wait: (_auth: unknown) => failing,
          async *items() {
            yield 1;
            await failing;
          },
        },
      });
      client.send({ rpc, uuid: "call" });
      if (rpc === "items") {
        await client.take((frame) => frame.stream === true);
        client.send({ rpc: "_credit", req: { uuid: "call", items: 2 } });
        await client.take((frame) => "item" in frame);
      }
      await client.request({ rpc: "_cancel", req: { uuid: "call" } });
      fail();
      await until(() => application.errors.includes(failure));
    });
  }

  for (const [how, listener] of Object.entries({
    throws: () => {
      throw new Error("given up badly");
    },
    rejects: async () => {
      throw new Error("given up badly");
    },
  })) {
    it(`where what listens to the signal ${how}`, async () => {
      await start({
        socketController: {
          wait: (
            _auth: unknown,
            _data: unknown,
            _callback: unknown,
            _socket: unknown,
            { signal }: CallContext,
          ) => signal.addEventListener("abort", listener),
        },
      });
      client.send({ rpc: "wait", uuid: "call" });
      await client.request({ rpc: "_cancel", req: { uuid: "call" } });
      await until(() => application.errors.some(({ message }) => message === "given up badly"));
    });
  }

  const ERRORS: Record<string, () => unknown> = {
    "an error whose status throws": () => throwing("status", new Error("x")),
    "an error whose expose throws": () => throwing("expose", new Error("x")),
    "a proxy that was revoked": revokedProxy,
  };
  for (const [what, makeError] of Object.entries(ERRORS)) {
    it(`where next() gets ${what}`, async () => {
      await start({
        routes: {
          soon: (_req: unknown, _res: unknown, next: (error: unknown) => void) =>
            later(() => next(makeError())),
          rejected: (_req: unknown, _res: unknown, next: (error: unknown) => void) =>
            void Promise.reject(makeError()).catch(next),
        },
      });
      for (const rpc of ["soon", "rejected"]) {
        expect(await client.request({ rpc })).to.have.deep.property("error", INTERNAL);
      }
    });
  }

  it("where a handler behind a slow one cannot be read", async () => {
    const slow = (_req: unknown, _res: unknown, next: () => void) => later(next);
    const unreadable = throwing("length", (_req: unknown, _res: unknown) => {});
    await start({ routes: { fn: [slow, unreadable] } });
    expect(await client.request({ rpc: "fn" })).to.have.deep.property("error", INTERNAL);
  });

  it("where the callback of a write throws", async () => {
    await start({
      routes: {
        fn: (_req, res) => {
          res.write("text", () => {
            throw new Error("written badly");
          });
          res.end();
        },
      },
    });
    expect(await client.request({ rpc: "fn" })).to.have.property("resp", "text");
    await until(() => application.errors.some(({ message }) => message === "written badly"));
  });

  const GUARDS: Record<string, (socket: Socket, request: object) => unknown> = {
    "gives a promise whose then throws": (_socket, _request) => brokenPromise(),
    "cannot be read": throwing("length", (_socket: Socket, _request: object) => true),
    "leaves data that cannot be read": (_socket, request) => {
      for (const name of ["req", "data"]) if (name in request) throwing(name, request);
      return true;
    },
  };
  for (const [what, guard] of Object.entries(GUARDS)) {
    for (const [event, frame] of [
      ["rpc", { rpc: "now" }],
      ["publish", { rpc: "_publish", req: { channel: "room", data: 1 } }],
    ] as const) {
      it(`where a guard of ${event} ${what}`, async () => {
        await start({ socketController: { now: (_auth: unknown) => 1 } });
        application.tokenServer.on(event as "rpc", guard as never);
        // what comes next is not held up
        for (let n = 0; n < 2; n++) {
          expect(await client.request(frame)).to.have.deep.property("error", INTERNAL);
        }
        application.tokenServer.removeAllListeners(event);
        expect(await client.request(frame)).to.have.property("resp");
      });
    }
  }

  it("where the server's own methods get a channel that is none, which they reject", async () => {
    await start({});
    const { tokenServer } = application;
    const none = 10n as unknown as string;
    const outcomes = await Promise.allSettled([
      tokenServer.publish(none, 1),
      tokenServer.subscribe(application.socket(), none),
      tokenServer.unsubscribe(application.socket(), none),
      tokenServer.unsubscribeAll(none),
    ]);
    for (const outcome of outcomes) {
      expect(outcome).to.have.property("reason").that.is.an.instanceOf(TypeError);
    }
  });
});
