import { expect } from "chai";
import sinon from "sinon";
import { z } from "zod";
import {
  type Controller,
  call,
  type MiddlewareCall,
  type Passed,
  type ProcedureInput,
  type ProcedureResult,
  procedure,
  RpcError,
} from "../../lib/index.js";
import { Application } from "../support/application.js";
import { reported, until } from "../support/condition.js";

/** True where two types are the same; what is wrong here does not compile. */
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? Known<A> : false) : false;
/** `any` is the same as everything. */
type Known<T> = 0 extends 1 & T ? false : true;
function same<A, B>(_: Same<A, B>): void {}

interface User {
  name: string;
  role?: "admin";
}

const INTERNAL = { message: "Internal error", code: "internal" };

const ofUser = procedure<User>();

/** Procedures for administrators alone. */
const ofAdmin = ofUser.use(({ auth, next }) => {
  if (auth.role !== "admin") throw new RpcError("For administrators alone", { code: "E_ROLE" });
  return next({ auth: { ...auth, role: auth.role } });
});

const numbered = z.object({ id: z.coerce.number() });

describe("A middleware of procedures", () => {
  let application: Application;

  const start = async (controller: Controller<User>, auth: User = { name: "alice" }) => {
    application = await Application.start({
      options: { socketController: controller as unknown as Controller },
      session: { auth },
    });
    return application.connect("websocket", { protocol: 4 });
  };
  afterEach(() => application?.stop());

  it("refuses a call by an RpcError, before its data is checked", async () => {
    const validate = sinon.spy((value: unknown) => ({ value }));
    const handler = sinon.spy(() => 1);
    const input = { "~standard": { version: 1 as const, vendor: "test", validate } };
    const client = await start({ remove: ofAdmin({ input, handler }) });
    expect((await client.request({ rpc: "remove", req: 1 })).error).to.deep.equal({
      message: "For administrators alone",
      code: "E_ROLE",
    });
    expect([validate.called, handler.called]).to.deep.equal([false, false]);
    expect(application.errors).to.deep.equal([]);
  });

  it("adds to what the handler gets, and narrows its identity, in the types as well", async () => {
    const ofNote = ofAdmin
      .use(async ({ auth, input, socket, server, signal, next }) => {
        same<typeof auth.role, "admin">(true);
        same<typeof input, unknown>(true);
        expect(input).to.deep.equal({ id: "7" });
        expect(socket).to.equal(application.socket());
        expect(server).to.equal(application.tokenServer);
        expect(signal.aborted).to.equal(false);
        return next({ note: { by: auth.name } });
      })
      .use(({ note, next }) => next({ upper: note.by.toUpperCase() }));
    const controller = {
      read: ofNote({
        input: numbered,
        output: z.object({ id: z.number(), by: z.string(), role: z.string() }),
        handler: ({ input, note, upper, auth }) => {
          same<typeof auth.role, "admin">(true);
          same<typeof note, { by: string }>(true);
          return { id: input.id, by: note.by + upper, role: auth.role, left: "out" };
        },
      }),
      list: ofNote(async function* ({ note }) {
        yield note.by;
      }),
    } satisfies Controller<User>;
    same<ProcedureResult<typeof controller.read>, { id: number; by: string; role: string }>(true);
    same<ProcedureResult<typeof controller.list>, AsyncGenerator<string, void, unknown>>(true);
    const client = await start(controller, { name: "alice", role: "admin" });
    expect((await client.request({ rpc: "read", req: { id: "7" } })).resp).to.deep.equal({
      id: 7,
      by: "aliceALICE",
      role: "admin",
    });
    const stream = await client.request({ rpc: "list", req: { id: "7" }, uuid: "s" });
    expect(stream).to.have.property("stream", true);
    client.send({ rpc: "_credit", req: { uuid: "s", items: 1 } });
    expect(await client.take()).to.deep.equal({ stream: "s", item: "alice" });
  });

  it("runs around the procedure, and learns how that has ended", async () => {
    const seen: string[] = [];
    const logged = procedure.use(async ({ next }) => {
      seen.push("begun");
      try {
        const passed = await next();
        seen.push("ended");
        return passed;
      } catch (error) {
        seen.push((error as Error).message);
        throw error;
      }
    });
    const client = await start({
      good: logged(() => seen.push("running")),
      bad: logged(() => {
        throw new Error("broken");
      }),
      checked: logged({ input: numbered, handler: () => 1 }),
    });
    expect((await client.request({ rpc: "good" })).resp).to.equal(2);
    expect((await client.request({ rpc: "bad" })).error).to.deep.equal(INTERNAL);
    expect(await client.request({ rpc: "checked" })).to.have.nested.property("error.code", "invalid");
    expect(seen).to.deep.equal(["begun", "running", "ended", "begun", "broken", "begun", "Invalid input"]);
    await reported();
    expect(application.errors.map(({ message }) => message)).to.deep.equal(["broken"]);
  });

  it("fails by name where it does what it may not, and the process goes on", async () => {
    const reject = async () => {
      throw new Error("unseen");
    };
    const behind = (middleware: (call: MiddlewareCall) => unknown) =>
      procedure.use(middleware as (call: MiddlewareCall) => Passed)(reject);
    const client = await start({
      forgets: behind(({ next }) => void next()),
      answers: behind(async ({ next }) => {
        next().catch(() => {});
        return "an answer of its own";
      }),
      twice: behind(({ next }) => Promise.all([next(), next()])),
      overrides: behind(({ next }) => next({ input: 1 })),
      spreads: behind(({ next }) => next(1 as never)),
    });
    for (const rpc of ["forgets", "answers", "twice", "overrides", "spreads"]) {
      expect((await client.request({ rpc })).error, rpc).to.deep.equal(INTERNAL);
    }
    await reported();
    expect(application.errors.map(({ message }) => message)).to.deep.equal([
      "a procedure's middleware must return what next() gives, or throw",
      "a procedure's middleware must return what next() gives, or throw",
      "a procedure's middleware may call next() once",
      "next() must not be given input, which is the call's own",
      "next() must be given an object, or nothing",
    ]);
    expect(() => procedure.use(undefined as never)).to.throw(TypeError, "must be a function");
  });

  it("has a stream told that nobody reads it, where it fails behind the handler", async () => {
    const late = procedure.use(async ({ next }) => {
      await next();
      throw new Error("behind");
    });
    let returned = 0;
    const items = {
      [Symbol.asyncIterator]: () => ({
        next: async () => ({ done: true, value: undefined }) as const,
        return: async () => {
          returned++;
          throw new Error("at the end");
        },
      }),
    };
    const client = await start({ list: late(() => items) });
    expect((await client.request({ rpc: "list" })).error).to.deep.equal(INTERNAL);
    await until(() => application.errors.length === 2);
    expect(returned).to.equal(1);
    expect(application.errors.map(({ message }) => message)).to.have.members(["behind", "at the end"]);
  });

  it("keeps the handler of a call that was cancelled meanwhile from running", async () => {
    const handler = sinon.spy(() => 1);
    let goOn = () => {};
    let hasEnded = false;
    const slow = procedure.use(async ({ next }) => {
      await new Promise<void>((resolve) => {
        goOn = resolve;
      });
      return next().finally(() => {
        hasEnded = true;
      });
    });
    const client = await start({ slow: slow(handler) });
    client.send({ rpc: "slow", uuid: "call" });
    await client.request({ rpc: "nope" });
    client.send({ rpc: "_cancel", req: { uuid: "call" } });
    await client.take();
    goOn();
    await until(() => hasEnded);
    await client.request({ rpc: "nope" });
    expect(handler.called).to.equal(false);
    expect(application.errors).to.deep.equal([]);
  });

  it("runs again where the guards are asked again, and the handler once", async () => {
    let goOn = () => {};
    let times = 0;
    const handler = sinon.spy(() => "done");
    const slow = procedure.use(async ({ next }) => {
      times++;
      if (times === 1) await new Promise<void>((resolve) => (goOn = resolve));
      return next();
    });
    const client = await start({ slow: slow(handler) });
    application.tokenServer.on("rpc", (_socket) => true);
    client.send({ rpc: "slow", uuid: "call" });
    await until(() => times === 1);
    await application.tokenServer.refresh(application.socket());
    goOn();
    expect(await client.take((frame) => frame.uuid === "call")).to.have.property("resp", "done");
    expect([times, handler.callCount]).to.deep.equal([2, 1]);
  });
});

describe("call", () => {
  const read = ofAdmin({
    input: numbered,
    handler: async ({ input, auth }) => ({ id: input.id, by: auth.name, at: new Date(0) }),
  });

  it("calls a procedure without a socket", async () => {
    const result = await call(read, { input: { id: 7 }, auth: { name: "alice", role: "admin" } });
    same<typeof result, { id: number; by: string; at: Date }>(true);
    expect(result).to.deep.equal({ id: 7, by: "alice", at: new Date(0) });
    expect(await call(procedure(({ input }) => [input]))).to.deep.equal([undefined]);
    same<ProcedureInput<typeof read>, { id: unknown }>(true);
  });

  it("rejects as a client would be refused, and with what was thrown", async () => {
    const failure = async (calling: Promise<unknown>) =>
      calling.then(
        () => expect.fail("it was not rejected"),
        (error: unknown) => error,
      );
    const auth: User = { name: "alice", role: "admin" };
    expect(await failure(call(read, { input: { id: "x" }, auth }))).to.include({ code: "invalid" });
    expect(await failure(call(read, { input: { id: 7 }, auth: { name: "bob" } }))).to.include({
      code: "E_ROLE",
    });
    const broken = new Error("broken");
    const throwing = procedure(() => {
      throw broken;
    });
    expect(await failure(call(throwing))).to.equal(broken);
    expect(await failure(call(procedure(({ socket }) => socket.sid)))).to.include({
      message: "call() was given no socket",
    });
    expect(await failure(call(procedure(({ server }) => server.channels())))).to.include({
      message: "call() was given no server",
    });
  });

  it("hands the handler what it is given, and reads streams", async () => {
    const controller = new AbortController();
    const socket = { sid: "a" } as never;
    const server = { channels: () => ["room"] } as never;
    const all = procedure(async function* ({ socket, server, signal }) {
      yield [socket.sid, ...server.channels(), signal === controller.signal];
    });
    const items: unknown[] = [];
    for await (const item of await call(all, { socket, server, signal: controller.signal })) items.push(item);
    expect(items).to.deep.equal([["a", "room", true]]);
  });
});

/** What must not compile; it is never run. */
async function mistakes(): Promise<void> {
  const read = ofUser({ input: z.object({ id: z.number() }), handler: ({ input }) => input.id });
  // @ts-expect-error wrong data
  await call(read, { input: { id: "7" }, auth: { name: "alice" } });
  // @ts-expect-error no identity
  await call(read, { input: { id: 7 } });
  // @ts-expect-error nothing is added
  ofUser.use(({ next }) => next())(({ note }) => note);
  // @ts-expect-error it does not return what next() gives
  ofUser.use(async ({ next }) => void (await next()));
}

void mistakes;
