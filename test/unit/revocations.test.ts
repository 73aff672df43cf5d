import { expect } from "chai";
import sinon from "sinon";
import {
  MOST_HOLDING,
  MOST_REVOCATIONS,
  ON_ITS_WAY,
  REVOCATION_LIFE,
  Refreshes,
  Revocations,
} from "../../lib/server/auth/revocations.js";
import type { Selection } from "../../lib/server/auth/selectors.js";
import type { VerifiedIdentity } from "../../lib/server/auth/token-verifier.js";
import { steadyNow } from "../../lib/server/limits/clock.js";

const TOKEN_TTL = 30_000;

describe("revocations", () => {
  const revocation = (id: string, value = "alice", at = Date.now(), by: Selection["by"] = "identity") => ({
    id,
    selection: { by, value },
    code: 4100,
    reason: "Logged out",
    at,
  });

  const verified = (fields: Partial<VerifiedIdentity<object>>): VerifiedIdentity<object> => ({
    auth: {},
    host: "",
    ip: "",
    ips: [],
    key: undefined,
    issuedAt: Date.now() - 1000,
    ...fields,
  });

  it("are each new once, and not when they are so old that they may have been forgotten", () => {
    const revocations = new Revocations(TOKEN_TTL);
    expect(revocations.add(revocation("1"))).to.equal(true);
    expect(revocations.add(revocation("1"))).to.equal(false);
    expect(revocations.add(revocation("2", "bob", Date.now() - REVOCATION_LIFE - 1))).to.equal(false);
  });

  it("hold for tokens of the same identity or session that were made before", () => {
    const revocations = new Revocations(TOKEN_TTL);
    revocations.add(revocation("1"));
    revocations.add(revocation("2", "session", Date.now(), "sessionId"));
    expect(revocations.find(verified({ key: "alice" }))?.id).to.equal("1");
    expect(revocations.find(verified({ sessionId: "session" }))?.id).to.equal("2");
    for (const fields of [
      {},
      { key: "bob" },
      { key: "session" },
      { sessionId: "alice" },
      { key: "alice", issuedAt: Date.now() + 1000 },
    ]) {
      expect(revocations.find(verified(fields))).to.equal(undefined);
    }
  });

  it("are forgotten from the oldest on when there are too many that hold for no token any more", () => {
    const revocations = new Revocations(TOKEN_TTL);
    const longAgo = Date.now() - 10 * TOKEN_TTL;
    const issuedAt = longAgo - 1;
    for (let i = 0; i <= MOST_REVOCATIONS; i++) revocations.add(revocation(String(i), `user-${i}`, longAgo));
    expect(revocations.find(verified({ key: "user-0", issuedAt }))).to.equal(undefined);
    expect(revocations.find(verified({ key: "user-1", issuedAt }))).to.include({ id: "1" });
  });

  it("are as old as the newest word of the same, which keeps none of the others longer", () => {
    const revocations = new Revocations(TOKEN_TTL);
    const longAgo = Date.now() - 10 * TOKEN_TTL;
    revocations.add(revocation("first", "alice", longAgo));
    for (let i = 1; i < MOST_REVOCATIONS; i++) revocations.add(revocation(String(i), `user-${i}`, longAgo));
    revocations.add(revocation("second"));
    revocations.add(revocation("last", "bob", longAgo));
    expect(revocations.of({ by: "identity", value: "user-1" })).to.equal(undefined);
    expect(revocations.of({ by: "identity", value: "user-2" })).to.include({ id: "2" });
    expect(revocations.of({ by: "identity", value: "alice" })).to.include({ id: "second" });
  });

  it("are not pushed out by others as long as a token may live that they hold for", () => {
    const revocations = new Revocations(TOKEN_TTL);
    revocations.add(revocation("first"));
    for (let i = 0; i <= 2 * MOST_REVOCATIONS; i++) revocations.add(revocation(String(i), `user-${i}`));
    expect(revocations.find(verified({ key: "alice" }))).to.include({ id: "first" });
    const before = revocation("again", "alice", Date.now() - 5000);
    expect(revocations.add(before)).to.equal(true);
    // an older one that comes later takes nothing back
    expect(revocations.find(verified({ key: "alice" }))).to.include({ id: "first" });
  });

  it("of one kind are not pushed out by a flood of another, however long ago they were given", () => {
    const revocations = new Revocations(TOKEN_TTL);
    const longAgo = Date.now() - 10 * TOKEN_TTL;
    revocations.add(revocation("kept", "alice", longAgo));
    revocations.add(revocation("kept, too", "a socket", longAgo, "sid"));
    for (let i = 0; i <= 2 * MOST_REVOCATIONS; i++) {
      revocations.add(revocation(String(i), `stranger-${i}`, longAgo, "sessionId"));
    }
    const issuedAt = longAgo - 1;
    expect(revocations.find(verified({ key: "alice", issuedAt }))).to.include({ id: "kept" });
    expect(revocations.of({ by: "sid", value: "a socket" })).to.include({ id: "kept, too" });
    expect(revocations.find(verified({ sessionId: "stranger-0", issuedAt }))).to.equal(undefined);
  });

  it("are one for each selection, so that one user's push out nobody else's", () => {
    const revocations = new Revocations(TOKEN_TTL);
    const longAgo = Date.now() - 10 * TOKEN_TTL;
    revocations.add(revocation("kept", "alice", longAgo));
    for (let i = 0; i <= 2 * MOST_REVOCATIONS; i++)
      revocations.add(revocation(String(i), "mallory", longAgo));
    expect(revocations.of({ by: "identity", value: "alice" })).to.include({ id: "kept" });
  });

  it("that had to make room in a flood beyond all bounds let nobody in, but have tokens asked for anew", () => {
    const revocations = new Revocations(TOKEN_TTL);
    const now = Date.now();
    revocations.add(revocation("first", "alice", now - 2000));
    for (let i = 0; i < MOST_HOLDING; i++) revocations.add(revocation(String(i), `user-${i}`, now));
    expect(revocations.of({ by: "identity", value: "alice" })).to.equal(undefined);
    expect(revocations.find(verified({ key: "alice", issuedAt: now - 2000 }))).to.include({ code: 4001 });
    expect(revocations.find(verified({ key: "alice", issuedAt: now - 1999 }))).to.equal(undefined);
    expect(revocations.find(verified({ sessionId: "s", issuedAt: now - 2000 }))).to.equal(undefined);
  });

  it("of a session that has ended hold for later tokens as well, whatever is said of it afterwards", () => {
    const revocations = new Revocations(TOKEN_TTL);
    const at = Date.now();
    const issuedAt = at + 60_000;
    revocations.add(revocation("before", "s", at, "sessionId"));
    expect(revocations.find(verified({ sessionId: "s", issuedAt }))).to.equal(undefined);
    revocations.add({ ...revocation("ended", "s", at - 1, "sessionId"), isFinal: true });
    revocations.add(revocation("again", "s", at + 1, "sessionId"));
    expect(revocations.find(verified({ sessionId: "s", issuedAt }))).to.include({ id: "ended" });
    expect(revocations.find(verified({ sessionId: "t", issuedAt }))).to.equal(undefined);
  });

  it("hold for a token that was asked for in their very moment, and for none of a moment later", () => {
    const revocations = new Revocations(TOKEN_TTL);
    const at = steadyNow();
    revocations.add(revocation("1", "alice", at));
    expect(revocations.find(verified({ key: "alice", issuedAt: at }))).to.include({ id: "1" });
    expect(revocations.find(verified({ key: "alice", issuedAt: at + 1 }))).to.equal(undefined);
  });

  it("are new until they have their full age", () => {
    const clock = sinon.useFakeTimers({ toFake: ["Date", "performance"], now: Date.now() });
    try {
      const revocations = new Revocations(TOKEN_TTL);
      const oldest = steadyNow() - REVOCATION_LIFE;
      expect(revocations.add(revocation("1", "alice", oldest))).to.equal(false);
      expect(revocations.add(revocation("2", "alice", oldest + 1))).to.equal(true);
    } finally {
      clock.restore();
    }
  });

  it("are forgotten at their full age, as soon as others come", () => {
    const clock = sinon.useFakeTimers({ toFake: ["Date", "performance"] });
    try {
      const revocations = new Revocations(TOKEN_TTL);
      revocations.add(revocation("1", "alice", steadyNow()));
      const isKnownAfter = (time: number) => {
        clock.tick(time);
        revocations.add(revocation(`after ${time}`, "bob", steadyNow()));
        return revocations.of({ by: "identity", value: "alice" }) !== undefined;
      };
      expect([isKnownAfter(REVOCATION_LIFE - 1), isKnownAfter(1)]).to.deep.equal([true, false]);
    } finally {
      clock.restore();
    }
  });

  it("make room for others as soon as they hold for no token any more, and for nobody to ask for a new one", () => {
    const clock = sinon.useFakeTimers({ toFake: ["Date", "performance"] });
    try {
      const revocations = new Revocations(TOKEN_TTL);
      const isKnownAtAge = (id: string, age: number) => {
        const at = steadyNow() - age;
        revocations.add(revocation(id, id, at));
        for (let i = 0; i < MOST_REVOCATIONS; i++)
          revocations.add(revocation(`${id}-${i}`, `${id}-${i}`, at));
        return revocations.of({ by: "identity", value: id }) !== undefined;
      };
      const holding = TOKEN_TTL + ON_ITS_WAY;
      expect(isKnownAtAge("gone", holding)).to.equal(false);
      expect(revocations.find(verified({ key: "gone", issuedAt: steadyNow() - holding }))).to.equal(
        undefined,
      );
      expect(isKnownAtAge("held", holding - 1)).to.equal(true);
    } finally {
      clock.restore();
    }
  });

  it("of one moment are replaced by the one that comes last", () => {
    const revocations = new Revocations(TOKEN_TTL);
    const at = steadyNow();
    revocations.add(revocation("1", "alice", at));
    expect(revocations.add(revocation("2", "alice", at))).to.equal(true);
    expect(revocations.of({ by: "identity", value: "alice" })).to.include({ id: "2" });
  });
});

describe("refreshes", () => {
  it("concern whose token was asked for before them, and nobody else", () => {
    const refreshes = new Refreshes(TOKEN_TTL);
    const at = steadyNow();
    refreshes.add({ id: "1", selection: { by: "identity", value: "alice" }, at });
    const issued = { key: "alice", sessionId: undefined, issuedAt: at };
    expect(refreshes.concern(issued)).to.equal(true);
    expect(refreshes.concern({ ...issued, issuedAt: at + 1 })).to.equal(false);
    expect(refreshes.concern({ ...issued, key: "bob" })).to.equal(false);
  });
});
