import { expect } from "chai";
import sinon from "sinon";
import { OutstandingTokens, type TokenPlace } from "../../lib/server/auth/outstanding-tokens.js";

describe("outstanding tokens", () => {
  let clock: sinon.SinonFakeTimers;
  let tokens: OutstandingTokens;

  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ["performance"] });
    tokens = new OutstandingTokens({ tokensPerSession: 2, tokensPerIp: 3 }, 1000);
  });
  afterEach(() => clock.restore());

  const issue = (
    session: string | undefined,
    ip: string | undefined,
    token: string,
  ): TokenPlace | undefined => {
    const place = tokens.enter(session, ip, 7);
    if (place) tokens.keep(place, token);
    return place;
  };

  it("are bounded for each session", () => {
    expect(issue("a", "10.0.0.1", "1")).to.not.equal(undefined);
    expect(issue("a", "10.0.0.2", "2")).to.not.equal(undefined);
    expect(issue("a", "10.0.0.3", "3")).to.equal(undefined);
    expect(issue("b", "10.0.0.3", "4")).to.not.equal(undefined);
  });

  it("are bounded for each address, of IPv6 for each /64, and for all without an address together", () => {
    for (const network of ["2001:db8::", "2001:db8:0:1::"]) {
      for (let i = 0; i < 3; i++) expect(issue(undefined, network + i, network + i)).to.not.equal(undefined);
      expect(issue(undefined, `${network}ffff`, "more")).to.equal(undefined);
    }
    for (let i = 0; i < 3; i++) expect(issue(undefined, undefined, `none ${i}`)).to.not.equal(undefined);
    expect(issue(undefined, "/run/app.sock", "more")).to.equal(undefined);
  });

  it("count no more once they are redeemed, are expired, or could not be issued", () => {
    issue("a", "10.0.0.1", "1");
    clock.tick(600);
    issue("a", "10.0.0.1", "2");
    expect(issue("a", "10.0.0.1", "3")).to.equal(undefined);
    expect(tokens.redeem("2")).to.include({ issuedAt: 7 });
    expect(tokens.redeem("2")).to.equal(undefined);
    expect(tokens.redeem("of another server")).to.equal(undefined);
    const place = tokens.enter("a", "10.0.0.1", 7);
    expect(tokens.enter("a", "10.0.0.1", 7)).to.equal(undefined);
    if (place) tokens.leave(place);
    expect(issue("a", "10.0.0.1", "4")).to.not.equal(undefined);
    clock.tick(401);
    // the first one has expired, and the fourth one has not
    expect(issue("a", "10.0.0.1", "5")).to.not.equal(undefined);
    expect(issue("a", "10.0.0.1", "6")).to.equal(undefined);
    expect(tokens.redeem("1")).to.equal(undefined);
  });

  it("count until the moment in which they expire, and no longer", () => {
    issue("a", "10.0.0.1", "1");
    clock.tick(500);
    issue("a", "10.0.0.1", "2");
    clock.tick(499);
    expect(issue("a", "10.0.0.1", "3")).to.equal(undefined);
    clock.tick(1);
    expect(issue("a", "10.0.0.1", "4")).to.not.equal(undefined);
    clock.tick(499);
    expect(issue("a", "10.0.0.1", "5")).to.equal(undefined);
    clock.tick(1);
    expect(issue("a", "10.0.0.1", "6")).to.not.equal(undefined);
  });

  it("of nobody's session are not counted as one's", () => {
    for (const token of ["1", "2", "3"]) expect(issue(undefined, "10.0.0.1", token)).to.not.equal(undefined);
    for (const token of ["1", "2", "3"]) tokens.redeem(token);
    expect(issue("undefined", "10.0.0.1", "4")).to.not.equal(undefined);
    expect(issue("undefined", "10.0.0.1", "5")).to.not.equal(undefined);
    expect(issue("undefined", "10.0.0.1", "6")).to.equal(undefined);
  });

  it("take no place in either count where the other one is full", () => {
    for (const token of ["1", "2"]) issue("a", "10.0.0.1", token);
    for (let i = 0; i < 5; i++) expect(issue("a", "10.0.0.1", "more")).to.equal(undefined);
    expect(issue("b", "10.0.0.1", "3")).to.not.equal(undefined);
    for (let i = 0; i < 5; i++) expect(issue("c", "10.0.0.1", "more")).to.equal(undefined);
    for (const token of ["4", "5"]) expect(issue("c", "10.0.0.2", token)).to.not.equal(undefined);
  });
});
