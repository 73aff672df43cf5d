import { expect } from "chai";
import { shownIdentity } from "../../lib/server/auth/shown-identity.js";
import { Reporter } from "../../lib/server/log/reporter.js";

describe("What a client is told of its identity", () => {
  const reporter = new Reporter(console, false, () => true);
  const parts = { showIdentity: undefined, identityBytes: 100, reporter };
  const hash = (key: string | undefined, asked: true | string) =>
    shownIdentity(parts, {}, key, asked).identityHash;

  it("has one hash for one identity and one client, on all servers", () => {
    expect(hash("7", "client")).to.equal(hash("7", "client"));
    // HMAC-SHA-256, so that servers of other versions can give the same one
    expect(hash("7", "client")).to.equal("L_rthuQ7-diblfYbKQ6c_0sQUStLYWlTG81SGHyRSPs");
    const hashes = [hash("7", "client"), hash("8", "client"), hash("7", "another")];
    expect(new Set(hashes)).to.have.property("size", 3);
  });

  it("has none without `identify`, or for a client that does not ask for it", () => {
    expect(hash(undefined, "client")).to.equal(undefined);
    expect(hash("7", true)).to.equal(undefined);
  });
});
