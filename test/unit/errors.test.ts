import { expect } from "chai";
import fc from "fast-check";
import "../../lib/shared/error-names.js";
import {
  AbortedError,
  CallError,
  DisconnectedError,
  ForbiddenError,
  InvalidRequestError,
  NotFoundError,
  RemoteError,
  remoteError,
  TimeoutError,
  UnauthorizedError,
} from "../../lib/shared/call-errors.js";
import { errorForWire, failureForWire, isError, RpcError } from "../../lib/shared/errors.js";
import { INTERNAL_ERROR } from "../../lib/shared/refusals.js";

const cycle: { self?: unknown } = {};
cycle.self = cycle;

/** Errors that make trouble for whoever looks at them. */
const HOSTILE: readonly (readonly [name: string, make: () => unknown])[] = [
  [
    "a message that throws",
    () =>
      Object.defineProperty(new Error("x"), "message", {
        get() {
          throw new Error("message");
        },
      }),
  ],
  [
    "data that throws",
    () =>
      Object.defineProperty(new Error("x"), "data", {
        get() {
          throw new Error("data");
        },
      }),
  ],
  ["a message that is no JSON", () => Object.assign(new Error("x"), { message: 1n })],
  ["a message that is a cycle", () => Object.assign(new Error("x"), { message: cycle })],
  [
    "a proxy that is revoked",
    () => {
      const { proxy, revoke } = Proxy.revocable({}, {});
      revoke();
      return proxy;
    },
  ],
  [
    "an object whose toJSON throws",
    () => ({
      toJSON() {
        throw new Error("toJSON");
      },
    }),
  ],
];

describe("errorForWire", () => {
  it("gives of an Error its message, code and data", () => {
    expect(errorForWire(new Error("no"))).to.deep.equal({ message: "no" });
    expect(errorForWire(new RpcError("no", { code: "E_NO", data: { left: 0 } }))).to.deep.equal({
      message: "no",
      code: "E_NO",
      data: { left: 0 },
    });
    expect(errorForWire(Object.assign(new TypeError("no"), { code: 7, data: null }))).to.deep.equal({
      message: "no",
      code: 7,
      data: null,
    });
  });

  it("gives nothing else of an Error", () => {
    const error = Object.assign(new Error("no", { cause: new Error("secret") }), {
      password: "secret",
      name: "Own",
    });
    expect(errorForWire(error)).to.deep.equal({ message: "no" });
  });

  it("leaves out a code that is no string or number, and data that is no JSON", () => {
    const error = Object.assign(new Error("no"), { code: {}, data: cycle });
    expect(errorForWire(error)).to.deep.equal({ message: "no" });
    expect(errorForWire(Object.assign(new Error("no"), { data: () => {} }))).to.deep.equal({ message: "no" });
  });

  it("gives a value that is no Error as it is", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        fc.pre(Boolean(value));
        expect(errorForWire(value)).to.equal(value);
      }),
    );
  });

  it("gives an internal error for what reads as no error, or is no JSON", () => {
    for (const error of [undefined, null, false, 0, "", cycle, 1n, () => {}, Symbol("s")]) {
      expect(errorForWire(error)).to.equal(INTERNAL_ERROR);
    }
  });

  for (const [name, make] of HOSTILE) {
    it(`gives what can be sent, and never throws: ${name}`, () => {
      expect(JSON.stringify(errorForWire(make()))).to.be.a("string");
    });
  }
});

describe("isError", () => {
  it("knows an error of any class, and takes a proxy that was revoked for none", () => {
    const { proxy, revoke } = Proxy.revocable(new Error("x"), {});
    const values = [new Error("x"), new RpcError("x"), proxy, {}, undefined, "x"];
    expect(values.map(isError)).to.deep.equal([true, true, true, false, false, false]);
    revoke();
    expect(isError(proxy)).to.equal(false);
  });
});

describe("failureForWire", () => {
  it("tells the caller nothing of what was thrown", () => {
    for (const error of [new Error("secret"), "secret", { message: "secret" }, undefined, cycle]) {
      expect(failureForWire(error, false)).to.equal(INTERNAL_ERROR);
    }
  });

  it("gives an RpcError as it is meant, one of a class of the application's own as well", () => {
    class QuotaError extends RpcError {}
    expect(failureForWire(new RpcError("no", { code: "E_NO" }), false)).to.deep.equal({
      message: "no",
      code: "E_NO",
    });
    expect(failureForWire(new QuotaError("quota", { data: 1 }), false)).to.deep.equal({
      message: "quota",
      data: 1,
    });
  });

  it("does not pass on what went wrong in a call to the other side", () => {
    for (const error of [
      new TimeoutError(5),
      new AbortedError("why"),
      new DisconnectedError(),
      new RemoteError("secret"),
      new CallError("no"),
    ]) {
      expect(failureForWire(error, false)).to.equal(INTERNAL_ERROR);
    }
  });

  it("tells all in development", () => {
    expect(failureForWire(new Error("secret"), true)).to.deep.equal({ message: "secret" });
    expect(failureForWire("secret", true)).to.equal("secret");
  });

  for (const [name, make] of HOSTILE) {
    it(`gives what can be sent, and never throws: ${name}`, () => {
      expect(JSON.stringify(failureForWire(make(), false))).to.be.a("string");
      expect(JSON.stringify(failureForWire(make(), true))).to.be.a("string");
    });
  }
});

describe("RpcError", () => {
  it("has what it was given, and a cause only where it was given one", () => {
    const cause = new Error("cause");
    const error = new RpcError("no", { code: 5, data: [1], cause });
    expect(error).to.be.instanceOf(Error);
    expect(error).to.include({ name: "RpcError", message: "no", code: 5, cause });
    expect(error.data).to.deep.equal([1]);
    expect("cause" in new RpcError("no")).to.equal(false);
  });
});

describe("the errors of a call", () => {
  it("have a name and a code each", () => {
    expect(new TimeoutError(5)).to.include({
      name: "TimeoutError",
      code: "timeout",
      message: "No answer within 5 ms",
    });
    expect(new AbortedError("why")).to.include({ name: "AbortedError", code: "aborted", cause: "why" });
    expect(new DisconnectedError()).to.include({ name: "DisconnectedError", code: "disconnected" });
    for (const error of [
      new TimeoutError(5),
      new AbortedError(0),
      new DisconnectedError(),
      new RemoteError(0),
    ]) {
      expect(error).to.be.instanceOf(CallError);
    }
  });

  it("say what has happened, and have a cause where there is one", () => {
    expect(new AbortedError("why").message).to.equal("The call was aborted");
    expect(new DisconnectedError()).to.include({ message: "No connection", sent: false });
    expect(new DisconnectedError(true)).to.include({
      message: "Connection lost, outcome unknown",
      sent: true,
    });
    expect(new DisconnectedError(false, "own", "why")).to.include({ message: "own", cause: "why" });
    expect(new DisconnectedError()).not.to.have.property("cause");
    expect(remoteError({ message: "x", retryAfter: 5 }).retryAfter).to.equal(5);
    expect(remoteError({ message: "x", retryAfter: "5" }).retryAfter).to.equal(undefined);
  });

  it("have a name and a class for what the other side says by a code, or by the text of version 3", () => {
    const known = {
      forbidden: [ForbiddenError, "Forbidden"],
      not_found: [NotFoundError, "Function not found"],
      invalid: [InvalidRequestError, "Invalid request"],
      internal: [RemoteError, "Internal error"],
    } as const;
    for (const [code, [type, message]] of Object.entries(known)) {
      for (const error of [message, { message, code }]) {
        const made = remoteError(error);
        expect(made).to.be.instanceOf(type).and.to.include({ name: type.name, message, code });
        expect(made.data).to.equal(error);
      }
    }
    expect(remoteError({ message: "no", code: "invalid", data: { issues: [] } })).to.deep.include({
      name: "InvalidRequestError",
      data: { issues: [] },
    });
    for (const error of ["no", { code: "constructor" }, null, 5, { message: "Forbidden" }]) {
      expect(remoteError(error).constructor).to.equal(RemoteError);
    }
    expect(new UnauthorizedError("no")).to.include({ name: "UnauthorizedError", code: "unauthorized" });
  });

  it("a RemoteError has what the other side gave, whatever that is", () => {
    expect(new RemoteError("no")).to.include({ message: "no", code: undefined, data: "no" });
    expect(new RemoteError({ message: "no", code: "E", data: 1 })).to.include({
      message: "no",
      code: "E",
      data: 1,
    });
    expect(new RemoteError({ message: "no" }).data).to.deep.equal({ message: "no" });
    expect(new RemoteError({ message: 5, code: {} })).to.include({
      message: "The call failed",
      code: undefined,
    });
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(new RemoteError(value).message).to.be.a("string");
      }),
    );
  });
});
