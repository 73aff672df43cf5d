import { expect } from "chai";
import { withoutSecret } from "../../lib/server/auth/token-store.js";

describe("an error without a token", () => {
  const messageOf = (error: unknown, secret: string) =>
    String((withoutSecret(error, secret) as Error).message);

  it("repeats it in no form: as it is, in a URL, in JSON, nor a part of a JWT", () => {
    const secret = 'se"cr/et';
    for (const form of [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)]) {
      expect(messageOf(new TypeError(`what is ${form}?`), secret)).to.equal("TypeError: what is <token>?");
    }
    expect(messageOf(new Error("no signature abcdefgh"), "header00.payload1.abcdefgh")).to.equal(
      "Error: no signature <token>",
    );
    expect(messageOf("secret is no object", "secret")).to.equal("<token> is no object");
  });

  it("is the same error where that repeats nothing", () => {
    const error = new Error("no user");
    expect(withoutSecret(error, "secret")).to.equal(error);
    expect(withoutSecret(error, "undefined")).to.equal(error);
  });

  it("may be its own cause", () => {
    const error = new Error("no user");
    error.cause = new Error("no database", { cause: error });
    expect(withoutSecret(error, "secret")).to.equal(error);
    expect(messageOf(error, "database")).to.equal("Error: no user");
  });

  it("stays readable where the token is so short that it is in any text", () => {
    const error = new Error("an error that says why");
    expect(withoutSecret(error, "say")).to.equal(error);
    expect(messageOf(error, "says")).to.equal("Error: an error that <token> why");
    // nor is a short part of one a secret
    for (const secret of ["secrets.why", "secrets.says"])
      expect(withoutSecret(error, secret)).to.equal(error);
  });

  it("has no cause that repeats it", () => {
    let error = new Error("secret");
    for (let depth = 0; depth < 8; depth++) {
      error = new Error("failed", { cause: error });
      expect(withoutSecret(error, "secret")).to.not.equal(error).and.not.to.have.property("cause");
    }
  });
});
