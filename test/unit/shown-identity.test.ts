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

  describe("is what `showIdentity` gives", () => {
    const told: [message: string, context: string][] = [];
    const telling = new Reporter(console, false, ({ message }, context) => told.push([message, context]) > 0);
    const show = (showIdentity: ((auth: unknown) => unknown) | undefined) =>
      shownIdentity({ showIdentity, identityBytes: 10, reporter: telling }, { id: 7 }, undefined, true)
        .identity;
    /** Errors are told in a turn of their own. */
    const reports = async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return told.splice(0);
    };

    it("as JSON, as long as it may be", async () => {
      expect(show((auth) => auth)).to.equal('{"id":7}');
      expect(show(() => "12345678")).to.equal('"12345678"');
      expect(show(() => null)).to.equal("null");
      expect(show(() => undefined)).to.equal(undefined);
      expect(show(undefined)).to.equal(undefined);
      expect(await reports()).to.deep.equal([]);
    });

    it("and nothing of what is too long, counted in bytes, which is reported", async () => {
      expect(show(() => "ääää1")).to.equal(undefined);
      expect(await reports()).to.deep.equal([
        [
          "showIdentity has given 11 bytes, and limits.identityBytes is 10",
          "a client is not shown its identity",
        ],
      ]);
    });

    it("and no promise, also none that rejects, which is reported", async () => {
      expect(show(() => Promise.reject(new Error("no")))).to.equal(undefined);
      expect(await reports()).to.deep.equal([
        ["showIdentity must give JSON, and no promise of it", "a client is not shown its identity"],
      ]);
    });

    it("and nothing where it throws, which is reported", async () => {
      expect(
        show(() => {
          throw new Error("no");
        }),
      ).to.equal(undefined);
      expect(await reports()).to.deep.equal([["no", "a client is not shown its identity"]]);
    });
  });
});
