import { expect } from "chai";
import { subject } from "./context.js";
import { called, failure } from "./helpers.js";

export const calls = subject("A client's calls", {
  "are answered, any JSON both ways": async ({ connect }) => {
    const client = connect();
    const values = [
      null,
      0,
      -1.5e-9,
      "",
      false,
      [],
      {},
      'line\nend\u2028\u0000"\\',
      "ü 你好 👩‍👩‍👧 \ud83d",
      { a: { "b.c": [[1, { d: ["é"] }], null] }, uuid: "mine", error: "none", rpc: 1 },
      "x".repeat(60_000),
    ];
    for (const value of values) expect(await client.rpc("echo", value)).to.deep.equal(value);
    expect(await client.rpc<number>("math.add", { a: 1, b: 2 })).to.equal(3);
    expect(await client.rpc("byCallback", "back")).to.equal("back");
    expect(await client.rpc("nothing")).to.equal(null);
  },

  "send an empty object where there is no data": async ({ connect }) => {
    expect(await connect().rpc("echo")).to.deep.equal({});
  },

  "answer by a callback where there is one": async ({ connect, errors }) => {
    const client = connect();
    expect(client.rpc("echo", 1, () => {})).to.equal(undefined);
    expect(await called((callback) => client.rpc("echo", 5, callback))).to.deep.equal([null, 5]);
    const [error, ...rest] = await called((callback) =>
      client.rpc("unknown", {}, callback, { timeout: 10_000 }),
    );
    expect(error).to.be.instanceOf(errors.NotFoundError);
    expect(rest).to.deep.equal([]);
    const [late] = await called((callback) => client.rpc("test.hang", "", callback, { timeout: 20 }));
    expect(late).to.be.instanceOf(errors.TimeoutError);
  },

  "each get their own answer, however many there are": async ({ connect }) => {
    const client = connect();
    const numbers = Array.from({ length: 300 }, (_, index) => index);
    expect(await Promise.all(numbers.map((number) => client.rpc("echo", number)))).to.deep.equal(numbers);
  },

  "do not wait for each other": async ({ connect, unique }) => {
    const client = connect();
    const name = unique("call");
    const waiting = client.rpc("test.wait", name);
    expect(await client.rpc("echo", 1)).to.equal(1);
    await client.rpc("test.release", name);
    expect(await waiting).to.equal("released");
  },

  "are rejected with what the server says": async ({ connect, errors }) => {
    const client = connect();
    const { ForbiddenError, NotFoundError, InvalidRequestError, RemoteError } = errors;
    const refusals = [
      [client.rpc("forbidden"), ForbiddenError, "forbidden", "Forbidden"],
      [client.rpc("unknown"), NotFoundError, "not_found", "Function not found"],
      [client.rpc("math.add.call"), NotFoundError, "not_found", "Function not found"],
      [client.rpc("toString"), NotFoundError, "not_found", "Function not found"],
      [client.subscribe(""), InvalidRequestError, "invalid", "Invalid request"],
      [client.rpc("fail.crash"), RemoteError, "internal", "Internal error"],
    ] as const;
    for (const [call, type, code, message] of refusals) {
      const error = await failure(call);
      expect(error, message).to.be.instanceOf(type).and.instanceOf(errors.CallError).and.instanceOf(Error);
      expect(error).to.include({ code, message, name: type.name });
    }
  },

  "are rejected with the application's own errors, too": async ({ connect, errors }) => {
    const client = connect();
    const meant = await failure(client.rpc("fail.meant"));
    expect(meant.constructor).to.equal(errors.RemoteError);
    expect(meant).to.deep.include({ message: "Sold out", code: "E_SOLD_OUT", data: { left: 0 } });
    expect(await failure(client.rpc("fail.error"))).to.deep.include({
      message: "Given",
      code: 7,
      data: { message: "Given", code: 7 },
    });
    expect(await failure(client.rpc("fail.text"))).to.include({ message: "No", code: undefined, data: "No" });
    expect((await failure(client.rpc("fail.fields"))).data).to.deep.equal([{ field: "name" }]);
  },

  "are rejected when they take too long, and the server is told": async ({ connect, errors, unique }) => {
    const client = connect({ callTimeout: 100 });
    await client.ready();
    const patient = { timeout: 10_000 };
    // how long a call may take can be said for each of them, and for all
    for (const options of [{ timeout: 50 }, {}]) {
      const name = unique("call");
      const error = await failure(client.rpc("test.hang", name, options));
      expect(error).to.be.instanceOf(errors.TimeoutError).with.property("code", "timeout");
      // a function that the server had not come to is not run at all
      if ((await client.rpc("test.began", name, patient)) === 0) continue;
      expect(await client.rpc("test.fired", name, patient)).to.equal("fired");
    }
  },

  "are rejected when they are aborted, and the server is told": async ({ connect, errors, unique }) => {
    const client = connect();
    const name = unique("call");
    const abort = new AbortController();
    const call = failure(client.rpc("test.hang", name, { signal: abort.signal, timeout: Infinity }));
    expect(await client.rpc("test.began", name)).to.equal(1);
    abort.abort("enough");
    const error = await call;
    expect(error).to.be.instanceOf(errors.AbortedError).with.include({ code: "aborted", cause: "enough" });
    expect(await client.rpc("test.fired", name)).to.equal("fired");
  },

  "are not made at all where they were aborted before": async ({ connect, errors, unique }) => {
    const client = connect();
    const name = unique("call");
    const call = client.rpc("test.hang", name, { signal: AbortSignal.abort() });
    expect(await failure(call)).to.be.instanceOf(errors.AbortedError);
    expect(await client.rpc("test.began", name)).to.equal(0);
  },

  "are not disturbed by a signal that fires after their answer": async ({ connect }) => {
    const client = connect();
    const abort = new AbortController();
    expect(await client.rpc("echo", 1, { signal: abort.signal })).to.equal(1);
    abort.abort();
    expect(await client.rpc("echo", 2)).to.equal(2);
  },

  "are rejected where their data have no JSON form": async ({ connect }) => {
    const client = connect();
    const cycle: unknown[] = [];
    cycle.push(cycle);
    for (const call of [
      client.rpc("echo", 1n),
      client.rpc("echo", cycle),
      client.rpc("echo", () => {}),
      client.publish("room", undefined),
      client.broadcast(() => {}),
    ]) {
      expect(await failure(call)).to.be.instanceOf(TypeError);
    }
    expect(await client.rpc("echo", 1)).to.equal(1);
  },

  "may be rejected without anybody who looks": async ({ connect, logged }) => {
    const client = connect();
    client.rpc("unknown");
    client.subscribe("secret");
    client.publish("read-only", 1);
    await failure(client.rpc("unknown"));
    // each of them asks a guard of its own, so that the last answer need not be the last to come
    await Promise.all([failure(client.subscribe("secret")), failure(client.publish("read-only", 1))]);
    expect(logged.errors).to.deep.equal([]);
  },

  "report a callback that throws": async ({ connect, logged }) => {
    const client = connect();
    await called((callback) =>
      client.rpc("echo", 1, () => {
        callback();
        throw new Error("in a callback");
      }),
    );
    expect(await client.rpc("echo", 2)).to.equal(2);
    expect(logged.errors.map(String)).to.deep.equal(["A callback failed,Error: in a callback"]);
  },
});
