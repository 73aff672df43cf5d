import { expect } from "chai";
import sinon from "sinon";
import { OutstandingTokens } from "../../lib/server/auth/outstanding-tokens.js";
import { isToken, type TokenRecord, TokenStore } from "../../lib/server/auth/token-store.js";
import type { Redis } from "../../lib/server/redis/redis.js";

interface User {
  id: number;
}

/** Rejects with what a promise is rejected with, and gives its message. */
const failure = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "nothing",
    (error: Error) => error.message,
  );

describe("The store of tokens", () => {
  const identity = { auth: { id: 7 }, host: "example.com", ip: "10.0.0.1", ips: [] };
  let clock: sinon.SinonFakeTimers;
  let values: Map<string, string>;
  let lives: number[];
  let set: (key: string, value: string) => Promise<void>;

  beforeEach(() => {
    clock = sinon.useFakeTimers({ now: Date.now(), toFake: ["setTimeout", "clearTimeout", "setImmediate"] });
    values = new Map();
    lives = [];
    set = async (key, value) => void values.set(key, value);
  });
  afterEach(() => clock.restore());

  /** A server's store; all have one Redis. */
  const makeStore = (tokensPerSession = 1) => {
    const outstanding = new OutstandingTokens({ tokensPerSession, tokensPerIp: 9 }, 1000);
    const redis = {
      set: (key: string, value: string, life: number) => {
        lives.push(life);
        return set(key, value);
      },
      take: async (key: string) => {
        const value = values.get(key) ?? null;
        values.delete(key);
        return value;
      },
    } as unknown as Redis;
    const store = new TokenStore<User>({ redis, prefix: "tokens:", ttl: 1000, patience: 50, outstanding });
    const issue = (issuedAt: number, given: TokenRecord<User> = identity) => {
      const place = outstanding.enter("a", "10.0.0.1", issuedAt);
      if (!place) throw new Error("There is no room");
      return store.issue(given, place);
    };
    return { store, issue, outstanding };
  };

  it("gives back once what a token was issued for, on any server", async () => {
    const one = makeStore();
    const given = { ...identity, expiresAt: 5, sessionId: "s", nonce: "n" };
    const token = await one.issue(Date.now(), given);
    expect(isToken(token)).to.equal(true);
    expect([...values.keys()]).to.deep.equal([`tokens:${token}`]);
    expect(lives).to.deep.equal([1000]);
    const another = makeStore();
    const found = await another.store.redeem(token);
    expect(found).to.deep.include(given);
    expect(await one.store.redeem(token)).to.equal(undefined);
  });

  it("knows by this server's clock when a token was asked for, and believes no other server that it was later", async () => {
    const { store, issue } = makeStore();
    const asked = Date.now() - 300;
    const token = await issue(asked);
    // other servers are told by the wall clock
    expect(JSON.parse(values.get(`tokens:${token}`) ?? "").issuedAt).to.be.closeTo(asked, 100);
    // it is this server's own, whatever Redis says
    values.set(`tokens:${token}`, JSON.stringify({ ...identity, issuedAt: 1 }));
    expect(await store.redeem(token)).to.have.property("issuedAt", asked);
    values.set("tokens:old", JSON.stringify({ ...identity, issuedAt: Date.now() - 60_000 }));
    expect((await store.redeem("old"))?.issuedAt).to.be.closeTo(Date.now() - 60_000, 5000);
    values.set("tokens:new", JSON.stringify({ ...identity, issuedAt: Date.now() + 60_000 }));
    expect((await store.redeem("new"))?.issuedAt).to.be.closeTo(Date.now(), 5000);
    values.set("tokens:none", JSON.stringify(identity));
    expect(await store.redeem("none")).to.have.property("issuedAt", undefined);
  });

  it("has room again once a token is redeemed or has gone elsewhere, and not before", async () => {
    const { store, issue, outstanding } = makeStore();
    const token = await issue(0);
    expect(outstanding.enter("a", "10.0.0.1", 0)).to.equal(undefined);
    values.clear();
    expect(await store.redeem(token)).to.equal(undefined);
    expect(outstanding.enter("a", "10.0.0.1", 0)).to.not.equal(undefined);
  });

  it("takes an object for an identity, or a list, and nothing that JSON makes something else of", async () => {
    const { store, issue } = makeStore(9);
    const list = await issue(0, { ...identity, auth: [1] as unknown as User });
    expect(await store.redeem(list)).to.deep.include({ auth: [1] });
    const none = [new Date(0), { toJSON: () => "x{" }, { toJSON: () => undefined }, 7];
    for (const auth of none) {
      const error = await issue(0, { ...identity, auth: auth as unknown as User }).catch(
        (thrown: unknown) => thrown,
      );
      expect(error)
        .to.be.an.instanceof(TypeError)
        .with.property("message", "An identity must be an object as JSON, too");
    }
    expect(values.size).to.equal(0);
  });

  it("says of what is no record in Redis what is wrong, and repeats nothing of it", async () => {
    const { store } = makeStore();
    const noIdentity = "What Redis holds for a token is no identity";
    for (const value of ["secret", "null", "7", "{}", '{"auth":null}', '{"auth":"secret"}']) {
      values.set("tokens:t", value);
      expect(await failure(store.redeem("t")), value).to.equal(noIdentity);
    }
    for (const field of ["expiresAt", "issuedAt"]) {
      for (const time of ["secret", null]) {
        values.set("tokens:t", JSON.stringify({ auth: {}, [field]: time }));
        expect(await failure(store.redeem("t")), field).to.equal(
          "What Redis holds for a token has a time that is none",
        );
      }
    }
  });

  it("tells no token in an error of Redis", async () => {
    const { store } = makeStore();
    set = (key) => Promise.reject(new Error(`no room for ${key}`));
    const place = { session: "a", address: "10.0.0.1", issuedAt: 0 };
    expect(await failure(store.issue(identity, place))).to.equal("Error: no room for tokens:<token>");
  });

  it("does not wait for ever for Redis", async () => {
    const { issue } = makeStore();
    set = () => new Promise(() => {});
    const failed = failure(issue(0));
    await clock.tickAsync(51);
    expect(await failed).to.equal("No answer from Redis within 50 ms");
  });

  it("takes only random uuids for tokens of its own", () => {
    expect(isToken("5f0c6f0e-2f4e-4f5d-9d25-8a8a53c1a6a1")).to.equal(true);
    const others = ["5f0c6f0e-2f4e-1f5d-9d25-8a8a53c1a6a1", "5f0c6f0e2f4e4f5d9d258a8a53c1a6a1", "", "a.b.c"];
    for (const value of [...others, 7, undefined, null, ["5f0c6f0e-2f4e-4f5d-9d25-8a8a53c1a6a1"]]) {
      expect(isToken(value), String(value)).to.equal(false);
    }
  });
});
