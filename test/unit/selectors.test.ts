import { expect } from "chai";
import {
  checkIdentities,
  closeReasonOf,
  isCloseReason,
  parseSelection,
  toSelection,
} from "../../lib/server/auth/selectors.js";

describe("a selector", () => {
  it("is a socket's id, an identity or a session", () => {
    expect(toSelection({ sid: "s" })).to.deep.equal({ by: "sid", value: "s" });
    expect(toSelection({ identity: "alice" })).to.deep.equal({ by: "identity", value: "alice" });
    expect(toSelection({ identity: 7 })).to.deep.equal({ by: "identity", value: "7" });
    expect(toSelection({ sessionId: "t" })).to.deep.equal({ by: "sessionId", value: "t" });
  });

  it("is a socket as well, whatever the application has put on it", () => {
    const socket = { sid: "s", identity: "alice", sessionId: "t", channel: "news", close: () => {} };
    expect(toSelection(socket)).to.deep.equal({ by: "sid", value: "s" });
  });

  it("never means everybody: what selects by nothing is refused", () => {
    for (const none of [
      undefined,
      null,
      "s",
      7,
      {},
      { sid: "" },
      { sid: 7 },
      { sessionId: "" },
      { sessionId: 7 },
    ]) {
      expect(() => toSelection(none)).to.throw(
        TypeError,
        /^selector must be a socket, \{ sid \}, \{ identity \} or \{ sessionId \}$/,
      );
    }
    for (const identity of ["", null, Number.NaN, "\ud800"]) {
      expect(() => toSelection({ identity })).to.throw(TypeError, "identify must give");
    }
  });

  it("never means one of two: what selects twice is refused, whichever two they are", () => {
    for (const two of [
      { sid: "s", identity: "alice" },
      { sid: "s", sessionId: "t" },
      { identity: "alice", sessionId: "t" },
      { identity: "alice", channel: "news" },
      { sid: "s", close: true, channel: "news" },
    ]) {
      expect(() => toSelection(two, "this")).to.throw(
        TypeError,
        /^selector must be this, and no two of them$/,
      );
    }
    const odd = { identity: "alice", sessionId: "t", close: () => {} };
    expect(() => toSelection(odd)).to.throw(TypeError);
  });

  it("by identity is refused where identities are not told apart, and no other one is", () => {
    expect(() => checkIdentities({ by: "identity" }, false)).to.throw(
      TypeError,
      "A selector { identity } needs options.identify",
    );
    checkIdentities({ by: "identity" }, true);
    checkIdentities({ by: "sid" }, false);
  });

  it("of another server is taken in the forms that there are, and in no other", () => {
    for (const by of ["sid", "identity", "sessionId"]) {
      expect(parseSelection({ by, value: "v", more: 1 })).to.deep.equal({ by, value: "v" });
      expect(parseSelection({ by, value: "" })).to.equal(undefined);
      expect(parseSelection({ by, value: 7 })).to.equal(undefined);
    }
    expect(parseSelection({ by: "all", value: "v" })).to.equal(undefined);
    expect(parseSelection({ value: "v" })).to.equal(undefined);
  });
});

describe("how a socket is closed", () => {
  it("is by a code that applications may send, and a reason that fits into a frame", () => {
    for (const code of [1000, 4000, 4001, 4999]) {
      expect(isCloseReason({ code, reason: "x".repeat(123) }), String(code)).to.equal(true);
    }
    for (const code of [999, 1001, 3999, 5000, 4000.5, "4000", undefined]) {
      expect(isCloseReason({ code, reason: "" }), String(code)).to.equal(false);
    }
    for (const reason of ["x".repeat(124), "é".repeat(62), 7, undefined]) {
      expect(isCloseReason({ code: 4000, reason })).to.equal(false);
    }
  });

  it("says to come back where the application says nothing, and what it says otherwise", () => {
    const usual = { code: 4001, reason: "Disconnected" };
    for (const none of [undefined, null, {}]) expect(closeReasonOf(none)).to.deep.equal(usual);
    expect(closeReasonOf({ code: 1000 })).to.deep.equal({ ...usual, code: 1000 });
    expect(closeReasonOf({ reason: "" })).to.deep.equal({ ...usual, reason: "" });
    expect(() => closeReasonOf({ code: 3000 })).to.throw(
      TypeError,
      "code must be 1000 or of 4000 to 4999, and reason a text of at most 123 bytes",
    );
  });
});
