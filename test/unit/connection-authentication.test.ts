import { expect } from "chai";
import sinon from "sinon";
import { Refreshes, Revocations } from "../../lib/server/auth/revocations.js";
import type { VerifiedIdentity } from "../../lib/server/auth/token-verifier.js";
import {
  type AuthenticatingConnection,
  Authentication,
  type AuthenticationParts,
} from "../../lib/server/connection/authentication.js";
import { ConnectionIndex } from "../../lib/server/connection/connection-index.js";
import type { GuardResult } from "../../lib/server/events/guards.js";
import { Deadlines } from "../../lib/server/limits/deadlines.js";
import { IdentityUsages } from "../../lib/server/limits/identity-usage.js";
import { DEFAULT_LIMITS } from "../../lib/server/limits/limits.js";
import { Reporter } from "../../lib/server/log/reporter.js";
import type { Socket } from "../../lib/server/transport/socket.js";
import { CLOSE } from "../../lib/shared/close-codes.js";
import { PROTOCOL, type Protocol } from "../../lib/shared/protocol.js";
import { FORBIDDEN, TIMED_OUT, TOKEN_NOT_FOUND, UNAVAILABLE } from "../../lib/shared/refusals.js";

interface User {
  id: number;
}

type Found = Partial<VerifiedIdentity<User>> | undefined;

const LIMITS = { ...DEFAULT_LIMITS, connectionsPerIdentity: 1, expiryGrace: 0 };
const TOKEN_TTL = 30_000;
const NOW = Date.now();

describe("The authentication of a connection", () => {
  let clock: sinon.SinonFakeTimers;
  /** What a token stands for. */
  let find: () => Found | Promise<Found>;
  let decide: () => GuardResult | Promise<GuardResult>;
  let decided: () => Promise<void>;
  let reach: Promise<void> | undefined;
  let reached: string[];
  let parts: AuthenticationParts<User>;
  let deadlines: Deadlines;

  beforeEach(() => {
    clock = sinon.useFakeTimers({ now: NOW, toFake: ["setTimeout", "clearTimeout", "Date", "performance"] });
    find = () => ({});
    decide = () => ({ allowed: true });
    decided = async () => {};
    reach = undefined;
    reached = [];
    deadlines = new Deadlines(1000);
    parts = {
      limits: LIMITS,
      tokenVerifier: {
        find: async () => {
          const found = await find();
          return (
            found && { auth: { id: 7 }, host: "h", ip: "10.0.0.1", ips: [], issuedAt: Date.now(), ...found }
          );
        },
      } as unknown as AuthenticationParts<User>["tokenVerifier"],
      guards: { authenticate: () => decide() } as unknown as AuthenticationParts<User>["guards"],
      revocations: new Revocations(TOKEN_TTL),
      refreshes: new Refreshes(TOKEN_TTL),
      identityUsages: new IdentityUsages(LIMITS, { frames: undefined, bytes: undefined }),
      identityChannels: {
        enter: (key) => {
          reached.push(`enter ${key}`);
          return reach;
        },
        leave: (key) => void reached.push(`leave ${key}`),
      },
      index: new ConnectionIndex<AuthenticatingConnection<User>>(),
      authenticationDeadlines: deadlines,
      reporter: new Reporter({ error() {}, warn() {}, info() {} }, false, () => true),
    };
  });
  afterEach(() => {
    deadlines.limit(undefined);
    clock.restore();
  });

  const connect = (protocol: Protocol = PROTOCOL, sid = "1") => {
    const connection = {
      sid,
      identity: undefined as AuthenticatingConnection<User>["identity"],
      socket: { sid } as unknown as Socket<User>,
      protocol,
      closed: false,
      expire: sinon.spy(),
      close: sinon.spy(),
      requestsDecided: () => decided(),
    };
    const authentication = new Authentication<User>(connection, parts);
    authentication.begin();
    return { connection, authentication, present: () => authentication.present("token", undefined) };
  };

  /** A connection that has an identity. */
  const enter = async (found: Found, protocol?: Protocol) => {
    find = () => found;
    const connected = connect(protocol);
    expect(await connected.present()).to.equal(undefined);
    return connected;
  };

  const isTimed = ({ connection }: ReturnType<typeof connect>) => deadlines.has(connection);

  it("is to be done in time, and no more once the guards have accepted an identity", async () => {
    const { connection, present } = connect();
    expect(parts.index.select({ by: "sid", value: "1" })).to.deep.equal([connection]);
    clock.tick(999);
    expect(connection.expire.called).to.equal(false);
    expect(await present()).to.equal(undefined);
    clock.tick(5000);
    expect(connection.expire.called).to.equal(false);
    connect(PROTOCOL, "2");
    const late = connect(PROTOCOL, "3");
    clock.tick(1000);
    expect(late.connection.expire.callCount).to.equal(1);
  });

  it("is to be done in time since the connection has come, however late its token does", async () => {
    find = () => new Promise(() => {});
    const { connection, present } = connect();
    clock.tick(900);
    void present();
    clock.tick(100);
    expect(connection.expire.callCount).to.equal(1);
  });

  it("waits for no request of a client that has no identity yet", async () => {
    decided = () => new Promise(() => {});
    expect(await connect().present()).to.equal(undefined);
  });

  it("needs no identify: then nobody shares a limit, and nobody is reached by an identity", async () => {
    for (const sid of ["1", "2"]) {
      const { connection, present } = connect(PROTOCOL, sid);
      expect(await present()).to.equal(undefined);
      expect(connection.identity).to.include({ key: undefined, usage: undefined });
    }
    expect(reached).to.deep.equal([]);
    find = () => ({ key: "7" });
    const { authentication, present } = connect(PROTOCOL, "3");
    Object.assign(parts, { identityChannels: undefined });
    expect(await present()).to.equal(undefined);
    authentication.end();
  });

  it("gives the socket its identity and address, and lets it be found by these, before the guards are asked", async () => {
    let socket: unknown;
    const { connection, present } = connect();
    find = () => ({ key: "7", sessionId: "s", issuedAt: 3 });
    decide = () => {
      socket = { ...connection.socket };
      for (const [by, value] of [
        ["identity", "7"],
        ["sessionId", "s"],
        ["sid", "1"],
      ] as const) {
        expect(parts.index.select({ by, value }), by).to.deep.equal([connection]);
      }
      return { allowed: true };
    };
    await present();
    expect(socket).to.deep.equal({ sid: "1", auth: { id: 7 }, host: "h", ip: "10.0.0.1", ips: [] });
    expect(connection.identity).to.include({ key: "7", sessionId: "s", issuedAt: 3, expiresAt: undefined });
    expect(connection.identity?.usage).to.have.property("key", "7");
    expect(reached).to.deep.equal(["enter 7"]);
  });

  it("asks for another token where nobody knows one, also of a connection that has an identity", async () => {
    const first = connect();
    find = () => undefined;
    const refusal = { error: TOKEN_NOT_FOUND, close: CLOSE.tokenNotFound };
    expect(await first.present()).to.deep.equal(refusal);
    const second = await enter({});
    find = () => undefined;
    expect(await second.present()).to.deep.equal(refusal);
  });

  it("is put off where it cannot be told whose a token is: only protocol 4 keeps its connection, and its identity", async () => {
    const failing = () => Promise.reject(new Error("Redis is away"));
    find = failing;
    expect(await connect().present()).to.deep.equal({ close: CLOSE.unavailable });
    const old = await enter({}, 3);
    find = failing;
    expect(await old.present()).to.deep.equal({ close: CLOSE.unavailable });
    const connected = await enter({ issuedAt: 3 });
    find = failing;
    expect(await connected.present()).to.deep.equal({ error: UNAVAILABLE });
    expect(connected.connection.identity).to.have.property("issuedAt", 3);
    expect(isTimed(connected)).to.equal(false);
  });

  it("has a time limit for each further token, too", async () => {
    const connected = await enter({});
    find = () => new Promise<Found>(() => {});
    void connected.present();
    clock.tick(1000);
    expect(connected.connection.expire.callCount).to.equal(1);
  });

  it("refuses an identity from the moment in which it ends", async () => {
    find = () => ({ expiresAt: NOW });
    expect(await connect().present()).to.deep.equal({ close: CLOSE.expired });
    find = () => ({ expiresAt: NOW + 1 });
    const { authentication, present } = connect(PROTOCOL, "2");
    expect(await present()).to.equal(undefined);
    expect(authentication.expiresIn).to.equal(1);
  });

  it("tells no end where there is none", async () => {
    expect(connect().authentication.expiresIn).to.equal(undefined);
    expect((await enter({})).authentication.expiresIn).to.equal(undefined);
  });

  it("lets no other identity follow", async () => {
    const { present, connection } = await enter({ key: "7" });
    for (const key of ["8", undefined]) {
      find = () => ({ key });
      expect(await present()).to.deep.equal({ close: CLOSE.otherIdentity });
    }
    expect(connection.identity).to.have.property("key", "7");
  });

  it("closes where an identity's connections are too many, and counts each once until its end", async () => {
    const first = await enter({ key: "7" });
    expect(await first.present()).to.equal(undefined);
    const second = connect(PROTOCOL, "2");
    expect(await second.present()).to.deep.equal({ close: CLOSE.tooManyConnections });
    expect(second.connection.identity).to.equal(undefined);
    second.authentication.end();
    first.authentication.end();
    expect(await connect(PROTOCOL, "3").present()).to.equal(undefined);
    expect(reached).to.deep.equal(["enter 7", "leave 7", "enter 7"]);
  });

  it("closes who was disconnected while a token was on its way, with the code for that, and lets them come back", async () => {
    const { present } = await enter({ key: "7" });
    const revoke = () =>
      parts.revocations.add({
        id: "r",
        selection: { by: "identity", value: "7" },
        code: 4100,
        reason: "Logged out",
        at: NOW + 1,
      });
    const closing = { code: 4100, reason: "Logged out", reconnect: true };
    decided = async () => void revoke();
    expect((await present())?.close).to.include(closing);
    expect((await connect(PROTOCOL, "2").present())?.close).to.include(closing);
  });

  it("closes for good whom a guard refuses, and for the moment where it does not answer", async () => {
    decide = () => ({ allowed: false, error: FORBIDDEN });
    expect(await connect().present()).to.deep.equal({ close: CLOSE.forbidden });
    decide = () => ({ allowed: false, error: TIMED_OUT });
    expect(await connect().present()).to.deep.equal({ close: CLOSE.unavailable });
  });

  it("leaves the old identity in force until the guards have accepted a new one and earlier requests are decided", async () => {
    const { connection, present } = await enter({ sessionId: "old" });
    const seen: unknown[] = [];
    const look = () => void seen.push(connection.identity?.sessionId);
    find = () => ({ sessionId: "new" });
    decide = () => {
      look();
      return { allowed: true };
    };
    decided = async () => look();
    expect(await present()).to.equal(undefined);
    look();
    expect(seen).to.deep.equal(["old", "old", "new"]);
    expect(parts.index.select({ by: "sessionId", value: "old" })).to.deep.equal([]);
    expect(parts.index.select({ by: "sessionId", value: "new" })).to.deep.equal([connection]);
  });

  it("gives nothing to a connection that closes meanwhile", async () => {
    for (const step of ["find", "decide", "requests"]) {
      const connected = await enter({ sessionId: "old" });
      const { connection, present } = connected;
      const closing = (name: string) => {
        if (name === step) connection.closed = true;
      };
      find = () => {
        closing("find");
        return step === "find" ? undefined : { sessionId: "new" };
      };
      decide = () => {
        closing("decide");
        return step === "decide" ? { allowed: false, error: FORBIDDEN } : { allowed: true };
      };
      decided = async () => closing("requests");
      expect(await present(), step).to.equal(undefined);
      expect(connection.identity, step).to.have.property("sessionId", "old");
      decide = () => ({ allowed: true });
    }
  });

  it("waits until other servers reach the identity here, unless the connection closes before", async () => {
    let open = () => {};
    reach = new Promise((resolve) => {
      open = resolve;
    });
    find = () => ({ key: "7" });
    const done = sinon.spy();
    const first = connect();
    const presented = first.present().then(done);
    await clock.tickAsync(0);
    expect(done.called).to.equal(false);
    open();
    await presented;
    expect(done.args).to.deep.equal([[undefined]]);
    first.authentication.end();
    reach = new Promise(() => {});
    const second = connect(PROTOCOL, "2");
    decide = () => {
      second.connection.closed = true;
      return { allowed: true };
    };
    expect(await second.present()).to.equal(undefined);
  });

  it("closes a connection when its identity ends, by the newest token", async () => {
    const { connection, present } = await enter({ expiresAt: NOW + 1000 });
    find = () => ({ expiresAt: NOW + 3000 });
    await present();
    clock.tick(2900);
    expect(connection.close.called).to.equal(false);
    clock.tick(101);
    expect(connection.close.args).to.deep.equal([[CLOSE.expired]]);
  });

  it("leaves nothing of a connection that has closed", async () => {
    const { connection, authentication } = await enter({ expiresAt: NOW + 1000, sessionId: "s", key: "7" });
    authentication.end();
    const other = connect(PROTOCOL, "2");
    other.authentication.end();
    clock.tick(60_000);
    expect([connection.close.called, other.connection.expire.called]).to.deep.equal([false, false]);
    for (const [by, value] of [
      ["identity", "7"],
      ["sessionId", "s"],
      ["sid", "1"],
      ["sid", "2"],
    ] as const) {
      expect(parts.index.select({ by, value }), by).to.deep.equal([]);
    }
  });

  it("is outdated where a refresh concerns the identity, and only then", async () => {
    const refresh = () =>
      parts.refreshes.add({ id: "r", selection: { by: "identity", value: "7" }, at: NOW });
    expect(connect().authentication.isOutdated).to.equal(false);
    const { authentication } = await enter({ key: "7", issuedAt: NOW - 1 });
    expect(authentication.isOutdated).to.equal(false);
    refresh();
    expect(authentication.isOutdated).to.equal(true);
  });
});
