import { expect } from "chai";
import { type AnswerPart, encodePart, parsePart, toError } from "../../lib/server/cluster/answers.js";
import {
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
import { FORBIDDEN, INVALID_REQUEST, NOT_FOUND } from "../../lib/shared/refusals.js";

const EMPTY = { waits: [], answers: [], count: 0, found: [], isMore: false };

/** What the server that has asked makes of a part. */
const carried = (part: AnswerPart) => parsePart(JSON.parse(encodePart({ id: "1", server: "there" }, part)));

/** What it makes of the error of a socket. */
const carriedError = (error: Error): Error => {
  const [answer] = carried({ answers: [{ sid: "a", error }] }).answers ?? [];
  if (!answer || !("error" in answer)) throw new Error("there is no error");
  return answer.error;
};

describe("A part of a server's answer", () => {
  it("has a head, and what it tells alone", () => {
    const head = { id: "1", server: "there", sharing: 2 };
    expect(JSON.parse(encodePart(head, {}))).to.deep.equal(head);
    expect(JSON.parse(encodePart(head, { count: 3 }))).to.deep.equal({ ...head, count: 3 });
    expect(JSON.parse(encodePart(head, { answers: [{ sid: "a", value: [1] }] }))).to.deep.equal({
      ...head,
      answers: [{ sid: "a", value: [1] }],
    });
  });

  it("comes as it was sent", () => {
    const socket = { sid: "a", identity: "ann", channels: ["room"], since: 5, address: "::1" };
    const part = {
      waits: ["a", "b"],
      answers: [
        { sid: "c", value: { n: 1 } },
        { sid: "d", value: null },
      ],
      count: 3,
      found: [socket, { ...socket, identity: undefined }],
      isMore: true,
    };
    expect(carried(part)).to.deep.equal(part);
    expect(carried({})).to.deep.equal(EMPTY);
    expect(carried({ answers: [{ sid: "a", value: undefined }] }).answers).to.deep.equal([
      { sid: "a", value: undefined },
    ]);
  });

  it("has each client's error with its kind, so that the one that asks can tell them apart", () => {
    const [lost, unsent] = [new DisconnectedError(true), new DisconnectedError(false, "gone")];
    for (const error of [lost, unsent]) {
      const come = carriedError(error);
      expect(come).to.be.instanceOf(DisconnectedError);
      expect(come).to.include({ message: error.message, code: "disconnected", sent: error.sent });
    }
    const unauthorized = carriedError(new UnauthorizedError("Not authenticated"));
    expect(unauthorized).to.be.instanceOf(UnauthorizedError);
    expect(unauthorized).to.include({ message: "Not authenticated", code: "unauthorized" });
    const late = carriedError(new TimeoutError(1234));
    expect(late).to.be.instanceOf(TimeoutError);
    expect(late).to.include({ message: "No answer within 1234 ms", code: "timeout" });
  });

  it("has what a client has answered with, its data included", () => {
    const error = carriedError(remoteError({ message: "No", code: "no", data: { why: 1 }, retryAfter: 50 }));
    expect(error).to.be.instanceOf(RemoteError);
    expect(error).to.deep.include({ message: "No", code: "no", data: { why: 1 }, retryAfter: 50 });
    const plain = carriedError(remoteError({ message: "No" }));
    expect(plain).to.include({ message: "No", code: undefined, retryAfter: undefined });
    for (const [refusal, type] of [
      [FORBIDDEN, ForbiddenError],
      [NOT_FOUND, NotFoundError],
      [INVALID_REQUEST, InvalidRequestError],
    ] as const) {
      const { message, code } = refusal;
      // as clients of protocol 4 and of version 3 answer
      for (const error of [{ message, code }, message].map(remoteError)) {
        const refused = carriedError(error);
        expect(refused).to.be.instanceOf(type);
        expect(refused).to.deep.include({ message, code, data: error.data });
      }
    }
  });

  it("has a CallError for any other failure, with its message and code", () => {
    const error = carriedError(new CallError("no", "odd"));
    expect([error.constructor, error.message, (error as CallError).code]).to.deep.equal([
      CallError,
      "no",
      "odd",
    ]);
    const other = carriedError(new RangeError("too far"));
    expect([other.constructor, other.message, (other as CallError).code]).to.deep.equal([
      CallError,
      "too far",
      undefined,
    ]);
    const coded = Object.assign(new Error("full"), { code: "ENOSPC" });
    // what a server's own errors are is no business of others
    expect(carriedError(coded)).to.include({ message: "full", code: undefined });
  });

  it("is read as far as it can be, and what is wrong in it is left out", () => {
    const socket = { sid: "a", identity: undefined, channels: [], since: 5, address: "::1" };
    for (const wrong of [undefined, null, 5, "text", {}, true]) {
      const part = { waits: wrong, answers: wrong, found: wrong, isMore: wrong === true ? "true" : wrong };
      expect(parsePart(part), String(wrong)).to.deep.equal(EMPTY);
    }
    for (const count of [undefined, null, "3", 1.5, 2 ** 53, {}])
      expect(parsePart({ count }).count).to.equal(0);
    expect(
      parsePart({
        waits: ["a", 5, null, ["b"]],
        answers: [null, 5, "a", [], {}, { value: 1 }, { sid: 5, value: 1 }, { sid: "b", value: 2 }],
        found: [
          null,
          5,
          "a",
          [],
          {},
          { ...socket, sid: 5 },
          { ...socket, since: "5" },
          { ...socket, address: null },
          { ...socket, identity: 5 },
          { ...socket, channels: ["room", 5, null] },
          { ...socket, channels: "room" },
        ],
      }),
    ).to.deep.equal({
      ...EMPTY,
      waits: ["a"],
      answers: [{ sid: "b", value: 2 }],
      found: [socket, { ...socket, channels: ["room"] }, socket],
    });
  });

  it("has a failure where its error is one that cannot be read", () => {
    const errorOf = (error: unknown) => {
      const [answer] = parsePart({ answers: [{ sid: "a", error, value: 5 }] }).answers ?? [];
      return answer && "error" in answer ? (answer.error as CallError & { sent?: unknown }) : undefined;
    };
    for (const error of [undefined, null, 5, "text", []]) expect(errorOf(error)).to.equal(undefined);
    expect(errorOf({})).to.be.instanceOf(CallError).and.include({ code: undefined });
    expect(errorOf({ kind: "newer", message: "no", code: 5 })).to.include({ message: "no", code: undefined });
    expect(errorOf({ kind: "disconnected", message: "no", sent: "true" })).to.include({ sent: false });
    expect(errorOf({ kind: "timeout", message: "soon" })).to.include({ message: "No answer within 0 ms" });
    expect(errorOf({ kind: "remote" }))
      .to.be.instanceOf(RemoteError)
      .and.include({ message: "The call failed" });
  });
});

describe("What a promise was rejected with", () => {
  it("is an error, or is told by one", () => {
    const error = new TypeError("no");
    expect(toError(error)).to.equal(error);
    for (const reason of ["text", 5, undefined, null]) {
      expect(toError(reason)).to.be.instanceOf(Error).with.property("message", String(reason));
    }
  });
});
