import { expect } from "chai";
import type { Request } from "express";
import sinon from "sinon";
import { hostOf, isOrigin, type OriginFunction, Origins } from "../../lib/server/http/origins.js";
import type { Reporter } from "../../lib/server/log/reporter.js";

interface Asked {
  readonly headers?: Readonly<Record<string, string>>;
  readonly method?: string;
  readonly secure?: boolean;
  /** Says whether a proxy is trusted. */
  readonly trusts?: (address: string | undefined, hop: number) => boolean;
}

const request = ({ headers, method = "GET", secure = false, trusts = () => false }: Asked = {}) => {
  const all: Record<string, string> = { host: "app.example", ...headers };
  return {
    headers: all,
    get: (name: string) => all[name],
    method,
    secure,
    app: { get: (name: string) => (name === "trust proxy fn" ? trusts : undefined) },
    socket: { remoteAddress: "10.0.0.1" },
  } as unknown as Request;
};

describe("a page's origin", () => {
  let warnings: string[];
  let errors: [context: string, message: string][];

  const open = (allowedOrigins?: readonly string[] | RegExp | OriginFunction, allowMissingOrigin = true) => {
    warnings = [];
    errors = [];
    const reporter = {
      warn: (message: string) => warnings.push(message),
      error: (context: string, error: Error) => errors.push([context, error.message]),
    };
    return new Origins({ allowedOrigins, allowMissingOrigin }, reporter as unknown as Reporter);
  };

  const from = (origin: string, asked: Asked = {}) =>
    request({ ...asked, headers: { origin, ...asked.headers } });

  it("is one as browsers write it", () => {
    for (const origin of ["https://a.example", "http://a.example:8080", "http://[::1]:3000"]) {
      expect(isOrigin(origin), origin).to.equal(true);
    }
    for (const none of [
      "",
      "null",
      "a.example",
      "https://a.example/",
      "https://A.example",
      "https://a.example:443",
      undefined,
      ["https://a.example"],
      new URL("https://a.example"),
    ]) {
      expect(isOrigin(none), String(none)).to.equal(false);
    }
  });

  it("is the server's own where it has the host of the request", () => {
    const origins = open();
    for (const [origin, host] of [
      ["http://app.example", "app.example"],
      ["https://app.example", "app.example"],
      ["http://app.example", "APP.example:80"],
      ["https://app.example", "app.example:443"],
      ["http://app.example:8080", "app.example:8080"],
    ] as const) {
      expect(origins.of(from(origin, { headers: { host } })), origin).to.equal("own");
    }
    for (const [origin, host] of [
      ["http://app.example:8080", "app.example"],
      ["http://app.example", "other.example"],
      ["ws://app.example", "app.example"],
      ["ftp://app.example", "app.example"],
      ["null", "null"],
      ["http://app.example/", "app.example"],
      ["http://app.example", "["],
      ["http://app.example", ""],
    ] as const) {
      expect(origins.of(from(origin, { headers: { host } })), origin).to.equal("refused");
    }
  });

  it("is another one by http where the request has come by https", () => {
    const origins = open();
    expect(origins.of(from("https://app.example", { secure: true }))).to.equal("own");
    expect(origins.of(from("http://app.example", { secure: true }))).to.equal("refused");
  });

  it("is compared with the host that a proxy names first, where that is trusted", () => {
    const headers = { "x-forwarded-host": " public.example , inner.example" };
    const trusts = sinon.stub().returns(true);
    expect(hostOf(request({ headers, trusts }))).to.equal("public.example");
    sinon.assert.calledOnceWithExactly(trusts, "10.0.0.1", 0);
    expect(hostOf(request({ headers }))).to.equal("app.example");
    expect(hostOf(request({ trusts: () => true }))).to.equal("app.example");
    expect(hostOf(request({ headers: { host: undefined as unknown as string } }))).to.equal("");
  });

  it("may be one of a list, or one that a pattern fits as a whole", () => {
    const foreign = "https://a.example";
    for (const allowed of [
      ["https://b.example", foreign],
      /https:\/\/[a-z]\.example/,
      /HTTPS:\/\/A\.EXAMPLE/i,
      /other|https:\/\/a\.example/,
      /https:\/\/a\.example/gy,
    ]) {
      const origins = open(allowed);
      for (let time = 0; time < 3; time++) {
        expect(origins.of(from(foreign)), String(allowed)).to.deep.equal({ foreign });
      }
      for (const other of [`${foreign}.evil`, `https://evil.example?${foreign}`, `x\n${foreign}`, "null"]) {
        expect(origins.of(from(other)), `${allowed} ${other}`).to.equal("refused");
      }
    }
    expect(open(/x$|https:\/\/a\.example/m).of(from(`x\n${foreign}`))).to.equal("refused");
    expect(open(/.*/).of(from("null"))).to.equal("refused");
    expect(open().of(from(foreign))).to.equal("refused");
  });

  it("is for a function to decide, which gets the request and has to say true", () => {
    const allows = sinon.stub().returns(true);
    const req = from("https://a.example");
    expect(open(allows).of(req)).to.deep.equal({ foreign: "https://a.example" });
    sinon.assert.calledOnceWithExactly(allows, "https://a.example", req);
    expect(open(() => false).of(req)).to.equal("refused");
    expect(errors).to.deep.equal([]);
    for (const answer of [1, undefined, Promise.resolve(true), Promise.reject(new Error("nobody waits"))]) {
      expect(open((() => answer) as unknown as OriginFunction).of(req)).to.equal("refused");
      expect(errors).to.deep.equal([["allowedOrigins failed", "allowedOrigins must return true or false"]]);
    }
    const failing = open(() => {
      throw new Error("broken");
    });
    expect(failing.of(req)).to.equal("refused");
    expect(errors).to.deep.equal([["allowedOrigins failed", "broken"]]);
  });

  it("need not be named, unless a browser says that it is another site's", () => {
    const origins = open();
    for (const method of ["GET", "POST"]) {
      for (const isUpgrade of [false, true])
        expect(origins.of(request({ method }), isUpgrade)).to.equal("own");
    }
    for (const site of ["same-origin", "same-site", "none"]) {
      expect(origins.of(request({ headers: { "sec-fetch-site": site } }))).to.equal("own");
    }
    expect(warnings).to.deep.equal([]);
    expect(origins.of(request({ headers: { "sec-fetch-site": "cross-site" } }))).to.equal("refused");
    expect(warnings).to.deep.equal([
      'a page of "another site" was refused: this server is "app.example" to it, and options.allowedOrigins does not allow others',
    ]);
  });

  it("has to be named by POST and for upgrades where it may not be missing", () => {
    const origins = open(undefined, false);
    expect(origins.of(request())).to.equal("own");
    expect(origins.of(request({ method: "POST" }))).to.equal("refused");
    expect(origins.of(request(), true)).to.equal("refused");
    expect(warnings).to.deep.equal([
      "a request that names no origin was refused, as options.allowMissingOrigin has it",
    ]);
    expect(origins.of(from("http://app.example", { method: "POST" }), true)).to.equal("own");
  });

  it("is warned of once where it is refused, for twenty origins, none of them at length", () => {
    const origins = open();
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 19; i++) origins.of(from(`https://${i}.example`));
    }
    expect(warnings).to.have.length(19);
    const long = { headers: { host: "h".repeat(300) } };
    for (const end of ["a", "b"]) origins.of(from("o".repeat(200) + end, long));
    expect(warnings.slice(19)).to.deep.equal([
      `a page of "${"o".repeat(200)}" was refused: this server is "${"h".repeat(200)}" to it, and options.allowedOrigins does not allow others`,
    ]);
    for (let i = 20; i < 30; i++) expect(origins.of(from(`https://${i}.example`))).to.equal("refused");
    expect(warnings).to.have.length(20);
  });
});
