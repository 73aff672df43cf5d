import { expect } from "chai";
import { ConnectionIndex, type IndexedConnection } from "../../lib/server/connection/connection-index.js";

describe("an index of connections", () => {
  it("selects by sid, identity and session, until a connection is taken out", () => {
    const index = new ConnectionIndex<IndexedConnection>();
    const [one, other, stranger] = [
      { sid: "1", identity: { key: "alice", sessionId: "s" } },
      { sid: "2", identity: { key: "alice", sessionId: "t" } },
      { sid: "3", identity: undefined },
    ];
    for (const connection of [one, other, stranger]) index.add(connection);
    expect(index.select({ by: "sid", value: "3" })).to.deep.equal([stranger]);
    expect(index.select({ by: "identity", value: "alice" })).to.deep.equal([one, other]);
    expect(index.select({ by: "sessionId", value: "t" })).to.deep.equal([other]);
    for (const by of ["sid", "identity", "sessionId"] as const) {
      for (const value of ["nobody", "__proto__", "constructor"]) {
        expect(index.select({ by, value })).to.deep.equal([]);
      }
    }
    index.delete(one);
    expect(index.select({ by: "identity", value: "alice" })).to.deep.equal([other]);
    expect(index.select({ by: "sid", value: "1" })).to.deep.equal([]);
    expect(index.select({ by: "sessionId", value: "s" })).to.deep.equal([]);
    index.delete(other);
    index.delete(other);
    expect(index.select({ by: "identity", value: "alice" })).to.deep.equal([]);
    expect(index.select({ by: "sid", value: "3" })).to.deep.equal([stranger]);
  });

  it("looks at no connection that is not selected", () => {
    const index = new ConnectionIndex<IndexedConnection>();
    let looks = 0;
    for (let i = 0; i < 1000; i++) {
      const identity = { key: `user ${i % 100}`, sessionId: `session ${i}` };
      index.add({
        sid: `sid ${i}`,
        get identity() {
          looks++;
          return identity;
        },
      });
    }
    looks = 0;
    expect(index.select({ by: "sessionId", value: "a stranger's" })).to.deep.equal([]);
    expect(index.select({ by: "identity", value: "user 7" })).to.have.length(10);
    expect(looks).to.equal(0);
  });
});
