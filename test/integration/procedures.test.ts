import { once } from "node:events";
import { expect } from "chai";
import fc from "fast-check";
import sinon from "sinon";
import {
  type Controller,
  type ProcedureCall,
  type ProcedureInput,
  type ProcedureResult,
  procedure,
  RpcError,
  type StandardResult,
  type StandardSchema,
} from "../../lib/index.js";
import { Application } from "../support/application.js";
import { reported } from "../support/condition.js";

/** A schema that checks by a function, which gives the value that it makes or throws the issues. */
function schema<Input, Output = Input>(
  validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>,
): StandardSchema<Input, Output> {
  return { "~standard": { version: 1, vendor: "test", validate } };
}

/** `{id: "7"}` becomes `{id: 7}`. */
const idSchema = schema<{ id: string }, { id: number }>((value) => {
  const { id } = Object(value) as { id?: unknown };
  return typeof id === "string" && /^\d+$/.test(id)
    ? { value: { id: Number(id) } }
    : { issues: [{ message: "Expected digits", path: ["id"] }] };
});

/** The same, but it takes a while, and it is a function, as those of some libraries are. */
const slowIdSchema: typeof idSchema = Object.assign(() => {}, {
  "~standard": {
    ...idSchema["~standard"],
    validate: async (value: unknown) => {
      await new Promise((resolve) => setImmediate(resolve));
      return idSchema["~standard"].validate(value);
    },
  },
});

const INVALID = {
  message: "Invalid input",
  code: "invalid",
  data: { issues: [{ message: "Expected digits", path: ["id"] }] },
};

const INTERNAL = { message: "Internal error", code: "internal" };

describe("a procedure", () => {
  let application: Application;

  const start = async (socketController: Controller) => {
    application = await Application.start({ options: { socketController } });
    return application.connect("websocket", { protocol: 4 });
  };

  afterEach(() => application?.stop());

  it("hands its handler the input, the identity, the socket, the server and a signal", async () => {
    const handler = sinon.spy(({ input }: ProcedureCall) => input);
    const client = await start({ user: { read: procedure({ handler }) } });
    expect(await client.request({ rpc: "user.read", req: [1], uuid: 1 })).to.deep.equal({
      rpc: "user.read",
      uuid: 1,
      resp: [1],
    });
    const { auth, socket, server, signal } = handler.firstCall.args[0];
    expect(server).to.equal(application.tokenServer);
    expect(auth).to.deep.equal({ name: "alice" });
    expect(socket).to.equal(application.socket());
    expect(signal).to.be.an.instanceOf(AbortSignal);
    expect(signal.aborted).to.equal(false);
  });

  it("is made of a function alone, too, which gets one object", async () => {
    const client = await start({
      echo: procedure(({ input, auth, socket, server, signal }) => [
        input,
        auth,
        socket === application.socket(),
        server === application.tokenServer,
        signal.aborted,
      ]),
      add: procedure(async ({ input: { a, b } }: ProcedureCall<{ a: number; b: number }>) => a + b),
      count: procedure(async function* ({ input }: { input: { to: number } }) {
        for (let i = 1; i <= input.to; i++) yield i;
      }),
    });
    expect((await client.request({ rpc: "echo", req: 7 })).resp).to.deep.equal([
      7,
      { name: "alice" },
      true,
      true,
      false,
    ]);
    expect((await client.request({ rpc: "add", req: { a: 1, b: 2 } })).resp).to.equal(3);
    expect(await client.request({ rpc: "count", req: { to: 1 }, uuid: "s" })).to.have.property(
      "stream",
      true,
    );
  });

  it("stands beside plain functions", async () => {
    const client = await start({ a: procedure({ handler: async () => 1 }), b: (_auth: unknown) => 2 });
    expect(await client.request({ rpc: "a" })).to.include({ resp: 1 });
    expect(await client.request({ rpc: "b" })).to.include({ resp: 2 });
  });

  it("passes the guards of calls, which may replace the data", async () => {
    const client = await start({ read: procedure({ input: idSchema, handler: ({ input }) => input }) });
    application.tokenServer.on("rpc", (_socket, request) => {
      const { allowed } = request.req as { allowed: boolean };
      request.req = { id: "5" };
      return allowed;
    });
    expect(await client.request({ rpc: "read", req: { allowed: false } })).to.have.deep.property("error", {
      message: "Forbidden",
      code: "forbidden",
    });
    const { resp } = await client.request({ rpc: "read", req: { allowed: true } });
    expect(resp).to.deep.equal({ id: 5 });
  });

  it("answers with no more of the issues than fits, though they repeat what was sent", async () => {
    const key = "k".repeat(60_000);
    const issues = Array.from({ length: 100 }, (_, index) => ({ message: key, path: [key, index] }));
    const input = { "~standard": { version: 1 as const, vendor: "by hand", validate: () => ({ issues }) } };
    const client = await start({ read: procedure({ input, handler: () => 1 }) });
    const { error } = await client.request({ rpc: "read" });
    expect(error).to.have.nested.property("data.issues[0].path[1]", 0);
    expect(JSON.stringify(error).length).to.be.below(12_000);
  });

  for (const [kind, input] of [
    ["answers at once", idSchema],
    ["takes a while", slowIdSchema],
  ] as const) {
    describe(`with an input schema that ${kind}`, () => {
      it("gets what the schema has made of the data", async () => {
        const client = await start({ read: procedure({ input, handler: ({ input: { id } }) => id + 1 }) });
        expect(await client.request({ rpc: "read", req: { id: "7" } })).to.include({ resp: 8 });
      });

      for (const req of [undefined, null, [], { id: 7 }, { id: "x" }]) {
        it(`is not called with ${JSON.stringify(req)}, and the client gets the issues`, async () => {
          const handler = sinon.spy();
          const client = await start({ read: procedure({ input, handler }) });
          const reply = await client.request({ rpc: "read", req, uuid: "u" });
          expect(reply).to.deep.equal({ rpc: "read", uuid: "u", error: INVALID });
          expect(handler.called).to.equal(false);
          expect(application.errors).to.deep.equal([]);
        });
      }

      it("gives a result that satisfies the output schema as that has made it", async () => {
        const client = await start({ read: procedure({ output: input, handler: () => ({ id: "7" }) }) });
        expect((await client.request({ rpc: "read" })).resp).to.deep.equal({ id: 7 });
      });

      it("gives a result that does not as an internal error, and reports the issues", async () => {
        const handler = () => ({ id: "secret" });
        const client = await start({ read: procedure({ output: input, handler }) });
        expect(await client.request({ rpc: "read" })).to.have.deep.property("error", INTERNAL);
        await reported();
        const [error] = application.errors;
        expect(error?.message).to.equal("Invalid output: id: Expected digits");
        expect(error?.cause).to.deep.equal([{ message: "Expected digits", path: ["id"] }]);
      });
    });
  }

  it("tells issues in JSON, whatever their paths hold, and no more than a hundred", async () => {
    const issues = [
      { message: "a", path: ["list", 0, Symbol("s"), { key: "name" }, { key: 1 }] },
      { message: "b" },
      ...Array.from({ length: 1000 }, () => ({ message: "c", path: [] })),
    ];
    const client = await start({ read: procedure({ input: schema(() => ({ issues })), handler: () => 1 }) });
    const { error } = await client.request({ rpc: "read" });
    const told = (error as { data: { issues: unknown[] } }).data.issues;
    expect(told.slice(0, 2)).to.deep.equal([
      { message: "a", path: ["list", 0, "Symbol(s)", "name", 1] },
      { message: "b", path: [] },
    ]);
    expect(told).to.have.length(100);
  });

  for (const [kind, broken] of Object.entries({
    throws: () => {
      throw new Error("broken schema");
    },
    rejects: async () => {
      throw new Error("broken schema");
    },
  })) {
    it(`answers "Internal error" where a schema ${kind}`, async () => {
      const handler = sinon.spy(() => 1);
      const client = await start({
        input: procedure({ input: schema(broken), handler }),
        output: procedure({ output: schema(broken), handler: () => 1 }),
      });
      expect(await client.request({ rpc: "input" })).to.have.deep.property("error", INTERNAL);
      expect(await client.request({ rpc: "output" })).to.have.deep.property("error", INTERNAL);
      expect(application.errors.map(({ message }) => message)).to.deep.equal([
        "broken schema",
        "broken schema",
      ]);
      expect(handler.called).to.equal(false);
    });
  }

  it("keeps what its handler throws from the client, but an RpcError", async () => {
    const client = await start({
      fail: procedure({
        handler: () => {
          throw new Error("secret");
        },
      }),
      refuse: procedure({
        handler: async () => {
          throw new RpcError("Sold out", { code: "E_SOLD_OUT" });
        },
      }),
    });
    expect(await client.request({ rpc: "fail" })).to.have.deep.property("error", INTERNAL);
    const { error } = await client.request({ rpc: "refuse" });
    expect(error).to.deep.equal({ message: "Sold out", code: "E_SOLD_OUT" });
    expect(application.errors.map(({ message }) => message)).to.deep.equal(["secret"]);
  });

  it("has its signal fire when the call is cancelled", async () => {
    const ended = deferred<void>();
    const begun = deferred<void>();
    const handler = async ({ signal }: ProcedureCall) => {
      begun.resolve();
      await once(signal, "abort");
      ended.resolve();
    };
    const client = await start({ slow: procedure({ handler }) });
    client.send({ rpc: "slow", uuid: "call" });
    await begun.promise;
    client.send({ rpc: "_cancel", req: { uuid: "call" } });
    await ended.promise;
    expect((await client.take()).error).to.deep.equal({ message: "The call was aborted", code: "aborted" });
  });

  for (const way of ["cancelled", "lost with its socket"]) {
    it(`is not called where the call is ${way} while the input is checked`, async () => {
      const checking = deferred<void>();
      const checked = deferred<StandardResult<unknown>>();
      const handler = sinon.spy(() => 1);
      const input = schema(() => {
        checking.resolve();
        return checked.promise;
      });
      const client = await start({ slow: procedure({ input, handler }) });
      client.send({ rpc: "slow", uuid: "call" });
      await checking.promise;
      if (way === "cancelled") {
        client.send({ rpc: "_cancel", req: { uuid: "call" } });
        await client.take();
      } else {
        const gone = once(application.tokenServer, "disconnect");
        await client.end();
        await gone;
      }
      checked.resolve({ value: 1 });
      await new Promise((resolve) => setImmediate(resolve));
      expect(handler.called).to.equal(false);
      expect(client.frames).to.deep.equal([]);
      expect(application.errors).to.deep.equal([]);
    });
  }

  it("is reached by its own path and by no longer one", async () => {
    const handler = sinon.spy(() => 1);
    const read = procedure({ input: schema((value) => ({ value })), handler });
    const client = await start({ user: { read } });
    const prototype: object = Object.getPrototypeOf(read);
    const names = [
      ...Reflect.ownKeys(read),
      ...Reflect.ownKeys(prototype),
      ...["handler", "input", "output", "~types", "__proto__", "run", "constructor", "toString", ""],
    ].map(String);
    const step = fc.oneof(fc.constantFrom(...names), fc.string({ maxLength: 5 }));
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 3 }), async (steps) => {
        const { error } = await client.request({ rpc: ["user", "read", ...steps].join("."), req: {} });
        expect(error).to.deep.equal({ message: "Function not found", code: "not_found" });
      }),
    );
    expect(handler.called).to.equal(false);
    expect(() => Object.assign(read, { handler })).to.throw(TypeError);
  });

  it("refuses a definition that it does not understand", () => {
    const make = procedure as (definition?: unknown) => unknown;
    const handler = () => 1;
    const { "~standard": standard } = idSchema;
    for (const definition of [
      undefined,
      null,
      "handler",
      {},
      { handler: 5 },
      { handler, inptu: idSchema },
      { handler, input: {} },
      { handler, input: null },
      { handler, output: { parse: handler } },
      { handler, input: { "~standard": { ...standard, version: 2 } } },
    ]) {
      expect(() => make(definition)).to.throw(TypeError);
    }
  });

  it("is made for a type of auth by `procedure` itself", () => {
    expect(procedure<User>()).to.equal(procedure);
  });

  it("lets its types be inferred from the controller", () => {
    const kindSchema = schema<{ kind: "a" | "b" }>((value) => ({ value: value as { kind: "a" } }));
    const controller = {
      user: {
        read: procedure({
          input: idSchema,
          handler: async ({ input, auth, socket }) => ({ sum: input.id + auth.id + socket.auth.id }),
        }),
        list: procedure({ handler: () => ["a"] }),
        short: procedure(async ({ auth, server, input }) => ({
          id: auth.id,
          ids: server.sockets().map((socket) => socket.auth?.id),
          input,
        })),
        typed: procedure(({ input, auth }: ProcedureCall<{ n: number }, User>) => input.n + auth.id),
      },
      bound: procedure<User>()({
        input: idSchema,
        output: kindSchema,
        handler: ({ auth, input }) => ({ kind: auth.id > input.id ? ("a" as const) : ("b" as const) }),
      }),
      plain: (auth, data: number) => auth.id + data,
    } satisfies Controller<User>;
    const forAnyone = procedure({ handler: ({ auth }) => typeof auth });
    const controllers: Controller<User>[] = [controller, { forAnyone }];
    expect(controllers).to.have.length(2);

    type Api = typeof controller;
    // the compiler has found out all there is to find out
    const inferred: [
      Same<ProcedureInput<Api["user"]["read"]>, { id: string }>,
      Same<ProcedureResult<Api["user"]["read"]>, { sum: number }>,
      Same<ProcedureInput<Api["user"]["list"]>, unknown>,
      Same<ProcedureResult<Api["user"]["list"]>, string[]>,
      Same<ProcedureInput<Api["user"]["short"]>, unknown>,
      Same<
        ProcedureResult<Api["user"]["short"]>,
        { id: number; ids: (number | undefined)[]; input: unknown }
      >,
      Same<ProcedureInput<Api["user"]["typed"]>, { n: number }>,
      Same<ProcedureResult<Api["user"]["typed"]>, number>,
      Same<ProcedureInput<Api["bound"]>, { id: string }>,
      Same<ProcedureResult<Api["bound"]>, { kind: "a" | "b" }>,
      Same<ProcedureInput<Api["plain"]>, never>,
    ] = [true, true, true, true, true, true, true, true, true, true, true];
    expect(inferred).to.not.include(false);
  });
});

interface User {
  id: number;
}

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
