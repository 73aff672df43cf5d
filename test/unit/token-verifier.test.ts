import { expect } from "chai";
import sinon from "sinon";
import type { TokenStore } from "../../lib/server/auth/token-store.js";
import { type IdentitiesParts, TokenVerifier, toKey } from "../../lib/server/auth/token-verifier.js";
import { steadyNow } from "../../lib/server/limits/clock.js";
import { Reporter } from "../../lib/server/log/reporter.js";
import type { PendingSocket } from "../../lib/server/transport/socket.js";

interface User {
  id: number;
}

const UUID = "5f0c6f0e-2f4e-4f5d-9d25-8a8a53c1a6a1";
const ADDRESS = { host: "example.com", ip: "10.0.0.1", ips: ["10.0.0.1"] };
const socket = { sid: "the socket" } as PendingSocket;

describe("The verification of a token", () => {
  let clock: sinon.SinonFakeTimers;
  let lines: string[];

  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    lines = [];
  });
  afterEach(() => {
    clock.restore();
  });

  const write = (level: string) => (line: string) => void lines.push(`${level} ${line}`);
  const logger = { error: write("error"), warn: write("warn"), info: write("info"), debug: write("debug") };

  const make = (parts: Partial<IdentitiesParts<User>> = {}) =>
    new TokenVerifier<User>({
      tokens: { redeem: async () => ({ auth: { id: 7 }, ...ADDRESS }) } as unknown as TokenStore<User>,
      identify: undefined,
      verifyToken: undefined,
      isBoundTo: () => true,
      addressOf: () => ADDRESS,
      tokenLength: 10,
      authenticationTimeout: 1000,
      reporter: new Reporter(logger, true, () => true),
      ...parts,
    });

  const failure = (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => "nothing",
      (error: unknown) => error,
    );

  it("takes texts of other forms only for `verifyToken`, and no longer than they may be", () => {
    const verifyToken = () => ({ auth: { id: 7 } });
    const [own, both] = [make(), make({ verifyToken })];
    expect([own.accepts(UUID), own.accepts("a.b.c")]).to.deep.equal([true, false]);
    // a uuid is one of the token route, however long others may be
    expect([both.accepts(UUID), both.accepts("a".repeat(10))]).to.deep.equal([true, true]);
    for (const value of ["a".repeat(11), undefined, null, 7, ["a"], {}]) {
      expect([own.accepts(value), both.accepts(value)], String(value)).to.deep.equal([false, false]);
    }
  });

  it("gives what the token route has stored, with the identity's key", async () => {
    const record = {
      auth: { id: 7 },
      ...ADDRESS,
      expiresAt: 5,
      issuedAt: 3,
      sessionId: "s",
    };
    const tokens = { redeem: async () => ({ ...record, nonce: "n" }) } as unknown as TokenStore<User>;
    expect(await make({ tokens }).find(UUID, socket)).to.deep.equal({ ...record, key: undefined });
    for (const key of [7, Promise.resolve(7)]) {
      const found = await make({ tokens, identify: () => key }).find(UUID, socket);
      expect(found).to.deep.equal({ ...record, key: "7" });
    }
  });

  it("counts from its beginning where it is not known when a token was asked for", async () => {
    const before = steadyNow();
    let after = 0;
    const tokens = {
      redeem: async () => {
        after = steadyNow();
        clock.tick(60_000);
        return { auth: { id: 7 }, ...ADDRESS };
      },
    } as unknown as TokenStore<User>;
    const found = await make({ tokens }).find(UUID, socket);
    expect(found?.issuedAt).to.be.within(before, after);
  });

  it("refuses a token that nobody knows, or that is another client's, which is told when debugging", async () => {
    const unknown = { redeem: async () => undefined } as unknown as TokenStore<User>;
    const identify = sinon.spy(() => 7);
    expect(await make({ tokens: unknown, identify }).find(UUID, socket)).to.equal(undefined);
    expect(lines).to.deep.equal([]);
    const isBoundTo = sinon.spy(() => false);
    expect(await make({ isBoundTo, identify }).find(UUID, socket, "nonce")).to.equal(undefined);
    expect(isBoundTo.args).to.deep.equal([[{ auth: { id: 7 }, ...ADDRESS }, socket, "nonce"]]);
    expect(lines).to.deep.equal([
      "debug node-token-sockjs: the socket has presented a token that was issued to another client",
    ]);
    expect(identify.called).to.equal(false);
  });

  it("gives what `verifyToken` says, with the address of the connection", async () => {
    const verifyToken = sinon.spy(async () => ({ auth: { id: 8 }, expiresAt: new Date(5) }));
    const found = await make({ verifyToken }).find("a.b.c", socket);
    expect(found).to.deep.include({ auth: { id: 8 }, expiresAt: 5, ...ADDRESS });
    expect(verifyToken.args).to.deep.equal([["a.b.c", socket]]);
  });

  it("refuses where `verifyToken` gives nothing, and says what is no identity", async () => {
    for (const given of [undefined, null, false]) {
      const verifyToken = (() => given) as unknown as IdentitiesParts<User>["verifyToken"];
      expect(await make({ verifyToken }).find("a.b.c", socket)).to.equal(undefined);
    }
    for (const given of ["alice", 7, [], {}, { auth: null }, { auth: "alice" }, { auth: undefined }]) {
      const verifyToken = (() => given) as unknown as IdentitiesParts<User>["verifyToken"];
      const error = await failure(make({ verifyToken }).find("a.b.c", socket));
      expect(error, JSON.stringify(given))
        .to.be.an.instanceof(TypeError)
        .with.property("message", "verifyToken must give { auth, expiresAt? } with an object for auth");
    }
  });

  it("warns of the first token that `verifyToken` refuses, and tells of others when debugging, without the token", async () => {
    let thrown: unknown = new Error("secret.abc is too old");
    const verifier = make({
      verifyToken: () => {
        throw thrown;
      },
    });
    expect(await verifier.find("secret.abc", socket)).to.equal(undefined);
    thrown = "something else";
    expect(await verifier.find("secret.abc", socket)).to.equal(undefined);
    expect(lines).to.deep.equal([
      "warn node-token-sockjs: verifyToken has refused the socket: Error: <token> is too old (further ones are told with options.debug alone)",
      "debug node-token-sockjs: verifyToken has refused the socket: ",
    ]);
  });

  it("has no token in an error of `identify`", async () => {
    const identify = () => {
      throw new Error("no key for secret.abc");
    };
    const verifyToken = () => ({ auth: { id: 7 } });
    expect(await failure(make({ identify, verifyToken }).find("secret.abc", socket)))
      .to.be.an.instanceof(Error)
      .with.property("message", "Error: no key for <token>");
  });

  const SLOW: readonly (readonly ["identify" | "verifyToken", () => Partial<IdentitiesParts<User>>])[] = [
    [
      "identify",
      () => ({ identify: () => new Promise<string>(() => {}), verifyToken: () => ({ auth: { id: 7 } }) }),
    ],
    ["verifyToken", () => ({ verifyToken: () => new Promise<{ auth: User }>(() => {}) })],
  ];

  for (const [name, parts] of SLOW) {
    it(`does not wait for ever for \`${name}\`, nor reject once it is closed`, async () => {
      const failed = failure(make(parts()).find("a.b.c", socket));
      await clock.tickAsync(1000);
      expect(await failed).to.have.property("message", `${name} has not answered in time`);
      const verifier = make(parts());
      const found = sinon.spy();
      verifier.find("a.b.c", socket).then(found, found);
      await clock.tickAsync(999);
      verifier.close();
      await clock.tickAsync(5000);
      expect(found.called).to.equal(false);
    });
  }

  it("takes a number for a key, and a text that Redis keeps as it is", () => {
    expect([7, "7", "a b", 0, -1.5].map(toKey)).to.deep.equal(["7", "7", "a b", "0", "-1.5"]);
    for (const value of ["", "\ud800", Number.NaN, Infinity, null, undefined, true, {}, [7], 7n]) {
      expect(() => toKey(value), String(value)).to.throw(
        TypeError,
        "identify must give a number, or a well-formed string that is not empty",
      );
    }
  });
});
