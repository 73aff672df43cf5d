import { expect } from "chai";
import sinon from "sinon";
import { Refreshes, Revocations } from "../../lib/server/auth/revocations.js";
import type { VerifiedIdentity } from "../../lib/server/auth/token-verifier.js";
import { Connection } from "../../lib/server/connection/connection.js";
import { ConnectionIndex } from "../../lib/server/connection/connection-index.js";
import type { ConnectionParts } from "../../lib/server/connection/connection-parts.js";
import type { GuardResult } from "../../lib/server/events/guards.js";
import { Deadlines } from "../../lib/server/limits/deadlines.js";
import { IdentityUsages } from "../../lib/server/limits/identity-usage.js";
import { DEFAULT_LIMITS, type Limits } from "../../lib/server/limits/limits.js";
import { WaitingSendQueues } from "../../lib/server/transport/send-queue.js";
import type { PendingSocket } from "../../lib/server/transport/socket.js";
import type { Transport } from "../../lib/server/transport/transport.js";
import { DisconnectedError, UnauthorizedError } from "../../lib/shared/call-errors.js";
import { CLOSE } from "../../lib/shared/close-codes.js";

interface User {
  id: number;
}

const TOKEN_TTL = 30_000;
const PING = '{"rpc":"_ping","uuid":1}';
const INVALID = { error: "Invalid message" };

/** The id by which a call of the server is answered. */
const fidOf = (frame: Record<string, unknown> | undefined) =>
  (frame?.data as { readonly fid?: string } | undefined)?.fid;

/** Resolves behind what promises lead to that have settled. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("A client's connection", () => {
  /** What a token stands for, whether it is one, and what the guards say. */
  let find: () => Promise<Partial<VerifiedIdentity<User>> | undefined>;
  let accepts: (token: string) => boolean;
  let decide: () => Promise<GuardResult>;
  let refreshes: Refreshes;
  let errors: [context: string, error: unknown][];
  let debugged: string[];
  let notify: sinon.SinonSpy;
  let leaveAll: sinon.SinonSpy;
  let onClosed: sinon.SinonSpy;
  const ends: (() => void)[] = [];

  beforeEach(() => {
    find = async () => ({});
    accepts = () => true;
    decide = async () => ({ allowed: true });
    refreshes = new Refreshes(TOKEN_TTL);
    [errors, debugged] = [[], []];
    [notify, leaveAll, onClosed] = [sinon.spy(), sinon.spy(), sinon.spy()];
  });
  afterEach(() => {
    for (const end of ends.splice(0)) end();
    sinon.restore();
  });

  /** A connection that has just come, over a transport that keeps what it is sent. */
  const connect = (limits: Partial<Limits> = {}, { ping = true, hasPresence = false } = {}) => {
    const frames: Record<string, unknown>[] = [];
    const transport = {
      socket: { sid: "1", channels: {} } as unknown as PendingSocket,
      backlog: 0,
      isTaken: false,
      listen() {},
      write: (frame: string) => void frames.push(JSON.parse(frame)),
      flush: () => false,
      authenticated: sinon.spy(),
      close: sinon.spy(),
      terminate: sinon.spy(),
    };
    const all = { ...DEFAULT_LIMITS, ...limits };
    const authenticationDeadlines = new Deadlines(1000);
    const parts = {
      limits: all,
      ping,
      exposeErrors: false,
      tokenVerifier: {
        accepts: (token: string) => accepts(token),
        find: async () => {
          const found = await find();
          return found && { auth: { id: 7 }, host: "h", ip: "10.0.0.1", ips: [], issuedAt: 0, ...found };
        },
      },
      guards: { authenticate: () => decide(), has: () => false },
      revocations: new Revocations(TOKEN_TTL),
      refreshes,
      identityUsages: new IdentityUsages(all, { frames: undefined, bytes: undefined }),
      identityChannels: undefined,
      index: new ConnectionIndex(),
      authenticationDeadlines,
      reporter: {
        error: (context: string, error: unknown) => errors.push([context, error]),
        debug: (message: () => string) => debugged.push(message()),
        warn() {},
      },
      pubsub: { leaveAll, hasHistory: false, enabled: false },
      presence: { isOn: hasPresence },
      show: () => ({}),
      waitingSendQueues: new WaitingSendQueues(),
      notify,
      onClosed,
    };
    const connection = new Connection<User>(
      transport as unknown as Transport,
      parts as unknown as ConnectionParts<User>,
    );
    ends.push(() => {
      connection.ended();
      authenticationDeadlines.limit(undefined);
    });
    const receive = (...messages: (object | string)[]) => {
      for (const one of messages) connection.receive(typeof one === "string" ? one : JSON.stringify(one));
    };
    return { connection, transport, frames, receive };
  };

  /** One whose client has authenticated. */
  const enter = async (protocol: 3 | 4, limits?: Partial<Limits>, others?: Parameters<typeof connect>[1]) => {
    const connected = connect(limits, others);
    connected.receive({ rpc: "auth", token: "t", uuid: "a", ...(protocol === 4 && { protocol }) });
    await turn();
    expect(connected.frames.splice(0)[0]).to.have.property("resp", "success");
    return connected;
  };

  describe("that has just come", () => {
    it("gets another chance where its first message is no frame, and is served once it has authenticated", async () => {
      const { connection, transport, receive, frames } = connect();
      receive("no frame", "no frame", { rpc: "auth", token: "t", uuid: "a" });
      expect([connection.isOpen, connection.identified]).to.deep.equal([false, false]);
      await turn();
      expect(frames).to.deep.equal([INVALID, INVALID, { rpc: "auth", uuid: "a", resp: "success" }]);
      expect([connection.isOpen, connection.identified, connection.protocol]).to.deep.equal([true, true, 3]);
      expect([transport.authenticated.callCount, transport.close.callCount]).to.deep.equal([1, 0]);
      expect(notify.args).to.deep.equal([["authenticated", connection.socket]]);
      expect(debugged).to.deep.equal(["1 has authenticated"]);
    });

    it("is closed for more of them than it may send", () => {
      const { transport, receive } = connect({ frameBurst: 2, framesPerSecond: 1 });
      receive("no frame", "no frame");
      expect(transport.close.callCount).to.equal(0);
      receive("no frame");
      expect(transport.close.args).to.deep.equal([[CLOSE.tooManyFrames]]);
    });

    for (const [name, frame] of [
      ["another frame", { rpc: "_ping", uuid: "a" }],
      ["no token", { rpc: "auth", uuid: "a" }],
    ] as const) {
      it(`is forbidden everything where it begins with ${name}`, () => {
        const { transport, receive, frames } = connect();
        receive(frame);
        expect(frames).to.deep.equal([{ rpc: frame.rpc, uuid: "a", error: "Forbidden" }]);
        expect(transport.close.args).to.deep.equal([[CLOSE.forbidden]]);
        expect(debugged).to.deep.equal([`1 was refused "${frame.rpc}"`, "close 1: 4403 Forbidden"]);
      });
    }

    it("has as much of its request's name in the log as a name may be long", () => {
      const logged = (rpc: unknown) => {
        connect().receive({ rpc, uuid: "a" });
        return debugged.splice(0)[0];
      };
      expect(logged("n".repeat(101))).to.equal(`1 was refused "${"n".repeat(100)}"`);
      for (const rpc of [7, null, undefined]) {
        expect(logged(rpc)).to.equal("1 was refused a request without a name");
      }
      expect(errors).to.deep.equal([]);
    });

    it("is closed for what can be no token", () => {
      accepts = (token) => token !== "t";
      const { transport, receive } = connect();
      receive({ rpc: "auth", token: "t" });
      expect(transport.close.args).to.deep.equal([[CLOSE.invalidToken]]);
    });

    it("is closed for a token that is not found", async () => {
      find = async () => undefined;
      const { connection, transport, receive, frames } = connect();
      receive({ rpc: "auth", token: "t", uuid: "a" });
      await turn();
      expect(frames).to.deep.equal([{ rpc: "auth", uuid: "a", error: "Token not found" }]);
      expect(transport.close.args).to.deep.equal([[CLOSE.tokenNotFound]]);
      expect([connection.closed, connection.identified]).to.deep.equal([true, false]);
    });

    it("is closed to come back where authentication fails by a fault", async () => {
      const error = new Error("fault");
      decide = () => Promise.reject(error);
      const { transport, receive } = connect();
      receive({ rpc: "auth", token: "t" });
      await turn();
      expect(transport.close.args).to.deep.equal([[CLOSE.unavailable]]);
      expect(errors).to.deep.equal([["authentication failed", error]]);
    });

    it("is closed where it does not authenticate in time", () => {
      const { connection, transport } = connect();
      connection.expire();
      expect(transport.close.args).to.deep.equal([[CLOSE.authenticationTimeout]]);
    });

    it("is told nothing where it has gone when its token is found", async () => {
      const { connection, transport, receive, frames } = connect();
      receive({ rpc: "auth", token: "t" });
      connection.ended();
      await turn();
      expect([frames, transport.authenticated.callCount, notify.callCount]).to.deep.equal([[], 0, 0]);
    });
  });

  describe("whose client sends frames", () => {
    it("answers a ping, unless the application has taken that away", async () => {
      const { receive, frames } = await enter(3);
      receive(PING);
      expect(frames).to.deep.equal([{ rpc: "_ping", uuid: 1, resp: { message: "pong" } }]);
      const other = await enter(3, {}, { ping: false });
      other.receive(PING);
      expect(other.frames).to.deep.equal([{ rpc: "_ping", uuid: 1, error: "Function not found" }]);
    });

    it("has those wait that come while it authenticates, and those that come too fast, in their order", async () => {
      const time = sinon.useFakeTimers({ toFake: ["performance"] });
      const { receive, frames, transport } = connect({ frameBurst: 2, framesPerSecond: 50 });
      receive({ rpc: "auth", token: "t" }, PING, PING.replace("1", "2"), PING.replace("1", "3"));
      expect(frames).to.deep.equal([]);
      await turn();
      expect(frames.map(({ uuid }) => uuid).slice(1)).to.deep.equal([1, 2]);
      // enough time for all, which nobody has noticed yet
      time.tick(1000);
      const all = new Promise<void>((resolve) => {
        const { write } = transport;
        sinon.replace(transport, "write", (frame) => {
          write(frame);
          if (frame.includes("4")) resolve();
        });
      });
      receive(PING.replace("1", "4"));
      await all;
      expect(frames.map(({ uuid }) => uuid).slice(1)).to.deep.equal([1, 2, 3, 4]);
    });

    it("is closed for a message that is too large, and not for one that is as large as it may be", async () => {
      const { connection, transport, frames } = await enter(3, { messageBytes: 100 });
      connection.receive(PING.padEnd(100));
      expect(frames).to.have.length(1);
      connection.receive(PING.padEnd(101));
      expect(transport.close.args).to.deep.equal([[CLOSE.messageTooLarge]]);
      connection.receive(PING);
      expect(frames).to.have.length(1);
    });

    it("serves at once what is larger than what may wait, as long as nothing does", async () => {
      const { connection, transport, receive, frames } = await enter(3, { bytesWaiting: 10 });
      receive(PING);
      const calling = connection.call("f", 1, {});
      receive({ rpc: "_rpc", fid: fidOf(frames[1]), resp: { data: 7 } });
      expect(await calling).to.equal(7);
      expect([frames.length, transport.close.callCount]).to.deep.equal([2, 0]);
    });

    it("answers what is no frame, or no request, and what it has no pub/sub or no members for", async () => {
      const { receive, frames } = await enter(4, {}, { hasPresence: true });
      const wrong = { rpc: "_subscribe", req: {}, uuid: 1 };
      receive("no frame", wrong, { ...wrong, rpc: "_presence" });
      for (const rpc of ["_subscribe", "_unsubscribe", "_publish", "_presence"]) {
        receive({ rpc, req: { channel: "room", data: 1 }, uuid: rpc });
      }
      receive({ rpc: "_broadcast", req: { data: 1 }, uuid: "_broadcast" });
      const told = frames.map(({ uuid, error }) => [uuid, (error as { code?: string }).code ?? error]);
      expect(told).to.deep.equal([
        [undefined, "Invalid message"],
        [1, "invalid"],
        [1, "invalid"],
        ...["_subscribe", "_unsubscribe", "_publish", "_presence", "_broadcast"].map((uuid) => [
          uuid,
          "pubsub_off",
        ]),
      ]);
    });

    it("reports a fault, and goes on", async () => {
      const { connection, transport, receive, frames } = await enter(3);
      const error = new Error("fault");
      const handle = sinon.stub(connection, "handle").throws(error);
      receive(PING);
      expect(errors).to.deep.equal([["a frame could not be served", error]]);
      handle.restore();
      receive(PING);
      expect([frames.length, transport.close.callCount]).to.deep.equal([1, 0]);
    });

    it("counts frames that carry no message, within a bound, and no more once it is closed", async () => {
      const { connection, transport } = await enter(3, {
        frameBurst: 2,
        framesPerSecond: 1,
        framesWaiting: 10,
      });
      connection.countFrames(12);
      expect(transport.close.callCount).to.equal(0);
      connection.countFrames(2);
      expect(transport.close.args).to.deep.equal([[CLOSE.tooManyFrames]]);
      const charge = sinon.spy(connection.rate, "charge");
      connection.countFrames(100);
      expect([transport.close.callCount, charge.callCount]).to.deep.equal([1, 0]);
    });
  });

  it("shares what it uses with others of its identity, and says when its client has taken what it was sent", async () => {
    find = async () => ({ key: "7" });
    const [{ connection, transport }, other] = [await enter(4), await enter(4)];
    expect(connection.usage).to.include({ key: "7" });
    expect([connection.whenDrained(), other.connection.usage?.key]).to.deep.equal([undefined, "7"]);
    transport.backlog = 1e6;
    expect(connection.whenDrained()).to.be.instanceOf(Promise);
  });

  describe("whose client's functions are called", () => {
    it("has to have an identity, and to be open", async () => {
      const { connection } = connect();
      const failure = (work: Promise<unknown>) => work.catch((error: unknown) => error);
      expect(await failure(connection.call("f", 1, {})))
        .to.be.instanceOf(UnauthorizedError)
        .with.property("message", "The socket has not authenticated");
      const entered = (await enter(3)).connection;
      const calling = failure(entered.call("f", 1, {}));
      entered.close(CLOSE.disconnected);
      expect(await calling).to.be.instanceOf(DisconnectedError);
      expect(await failure(entered.call("f", 1, {}))).to.be.instanceOf(DisconnectedError);
    });

    it("takes the answers also while it authenticates anew, and while other frames wait", async () => {
      const { connection, receive, frames } = await enter(3);
      const calling = connection.call("f", 1, {});
      const fid = fidOf(frames[0]);
      find = () => new Promise(() => {});
      receive({ rpc: "auth", token: "t" }, PING, { rpc: "_rpc", fid, resp: { data: 7 } });
      expect(await calling).to.equal(7);
      expect(frames).to.have.length(1);
      // one that nobody waits for is none
      receive({ rpc: "_rpc", fid, resp: { data: 7 } });
      find = async () => ({});
      (await enter(3)).receive({ rpc: "_rpc", fid, resp: { data: 7 } });
      expect(errors).to.deep.equal([]);
    });
  });

  describe("that is to leave", () => {
    it("is asked once where its client knows how, and else closed", async () => {
      const knowing = await enter(4);
      for (const isOverdue of [false, true]) knowing.connection.leave(isOverdue);
      expect(knowing.frames).to.deep.equal([{ internal: true, command: "leave", data: {} }]);
      expect(knowing.transport.close.callCount).to.equal(0);
      const older = await enter(3);
      older.connection.leave(false);
      expect([older.frames, older.transport.close.args]).to.deep.equal([[], [[CLOSE.shutdown]]]);
    });

    it("stays as long as a call of the server is under way", async () => {
      for (const protocol of [3, 4] as const) {
        const { connection, receive, frames, transport } = await enter(protocol);
        const calling = connection.call("f", 1, {});
        const [call] = frames.splice(0);
        for (const isOverdue of [false, true]) connection.leave(isOverdue);
        expect([frames, transport.close.callCount]).to.deep.equal([[], 0]);
        receive({ rpc: "_rpc", fid: fidOf(call), resp: { data: 7 } });
        await calling;
        connection.leave(false);
        expect([frames.length, transport.close.callCount]).to.deep.equal(protocol === 4 ? [1, 0] : [0, 1]);
      }
    });

    it("stays as long as frames wait, unless it is overdue and its client knows how", async () => {
      for (const protocol of [3, 4] as const) {
        const limits = { frameBurst: 1, framesPerSecond: 0.001 };
        const { connection, receive, frames, transport } = await enter(protocol, limits);
        receive(PING, PING);
        frames.splice(0);
        connection.leave(false);
        expect([frames, transport.close.callCount]).to.deep.equal([[], 0]);
        connection.leave(true);
        expect([frames.length, transport.close.callCount]).to.deep.equal([protocol === 4 ? 1 : 0, 0]);
      }
    });
  });

  describe("that is to have a new identity", () => {
    const REFRESH = { internal: true, command: "refresh", data: {} };

    it("is asked for it where its client knows how", async () => {
      const [knowing, older] = [await enter(4), await enter(3)];
      for (const { connection } of [knowing, older]) {
        expect(connection.refresh()).to.equal(true);
        expect(connection.rights).to.equal(1);
      }
      expect([knowing.frames, older.frames]).to.deep.equal([[REFRESH], []]);
    });

    it("is asked for it once it has one where it was to while it authenticated, and no more then", async () => {
      for (const protocol of [3, 4] as const) {
        const { connection, receive, frames } = connect();
        receive({ rpc: "auth", token: "t", ...(protocol === 4 && { protocol }) });
        connection.refresh();
        await turn();
        expect(frames.slice(1)).to.deep.equal(protocol === 4 ? [REFRESH] : []);
        receive({ rpc: "auth", token: "t", protocol: 4 });
        await turn();
        expect(frames.filter(({ command }) => command === "refresh")).to.have.length(protocol === 4 ? 1 : 0);
      }
    });

    it("is not asked where it was to before it had sent a token", async () => {
      const { connection, receive, frames } = connect();
      connection.refresh();
      receive({ rpc: "auth", token: "t", protocol: 4 });
      await turn();
      expect(frames).to.have.length(1);
    });

    it("is asked where a refresh of what it has concerns its token", async () => {
      sinon.stub(refreshes, "concern").returns(true);
      for (const protocol of [3, 4] as const) {
        const { receive, frames } = connect();
        receive({ rpc: "auth", token: "t", ...(protocol === 4 && { protocol }) });
        await turn();
        expect(frames.slice(1)).to.deep.equal(protocol === 4 ? [REFRESH] : []);
      }
    });

    it("has others rights by a further token, which the guards are asked about, and not by the first", async () => {
      const { connection, receive, frames } = await enter(4);
      expect(connection.rights).to.equal(0);
      receive({ rpc: "auth", token: "t", uuid: "b" });
      await turn();
      expect(frames).to.have.length(1);
      expect(connection.rights).to.equal(1);
    });

    it("keeps the one that it has where a further token cannot be looked up, and goes on", async () => {
      const { connection, receive, frames, transport } = await enter(4);
      const error = new Error("down");
      find = () => Promise.reject(error);
      receive({ rpc: "auth", token: "t", uuid: "b" }, PING);
      await turn();
      expect(errors).to.deep.equal([["redeeming a token failed", error]]);
      expect(frames.map(({ uuid }) => uuid)).to.deep.equal(["b", 1]);
      expect(frames[0]?.error).to.have.property("code", "unavailable");
      expect([connection.isOpen, connection.rights, transport.close.callCount]).to.deep.equal([true, 0, 0]);
    });

    it("is closed where its client has long taken nothing when it is told that, and not opened again", async () => {
      const { connection, receive, transport } = await enter(4);
      find = () => Promise.reject(new Error("down"));
      transport.backlog = 1e9;
      receive({ rpc: "auth", token: "t", uuid: "b" }, PING);
      await turn();
      expect(transport.terminate.args).to.deep.equal([[CLOSE.tooSlow]]);
      expect([connection.isOpen, connection.closed]).to.deep.equal([false, true]);
    });

    it("is told nothing of it where it has gone by then", async () => {
      const { connection, receive } = await enter(4);
      find = () => Promise.reject(new Error("down"));
      receive({ rpc: "auth", token: "t", uuid: "b" });
      connection.ended();
      await turn();
      expect(debugged).to.deep.equal(["1 has authenticated"]);
    });
  });

  describe("that ends", () => {
    it("is forgotten once, and sends nothing more", async () => {
      const { connection, transport, frames, receive } = await enter(4);
      connection.close(CLOSE.disconnected);
      connection.close(CLOSE.expired);
      connection.terminate(CLOSE.tooSlow);
      connection.ended(true);
      connection.send("{}");
      connection.acknowledge({ rpc: "a", uuid: 1 });
      const handle = sinon.spy(connection, "handle");
      receive(PING, { rpc: "_rpc", fid: "1", resp: { data: 7 } });
      expect(handle.callCount).to.equal(0);
      expect(transport.close.args).to.deep.equal([[CLOSE.disconnected]]);
      expect(transport.terminate.callCount).to.equal(0);
      expect(frames).to.deep.equal([]);
      expect([onClosed.args, leaveAll.args]).to.deep.equal([[[connection.socket]], [[connection]]]);
    });

    it("is cut off where its client takes nothing any more", async () => {
      const { connection, transport } = await enter(4);
      connection.terminate(CLOSE.tooSlow);
      expect([transport.terminate.args, transport.close.callCount]).to.deep.equal([[[CLOSE.tooSlow]], 0]);
      expect(connection.closed).to.equal(true);
      expect(debugged).to.include("terminate 1: 4509 Reading too slowly");
    });

    for (const [name, end, isDismissed] of [
      ["by a server that goes", (one: Connection<User>) => one.close(CLOSE.shutdown), false],
      ["by a logout", (one: Connection<User>) => one.close(CLOSE.disconnected), true],
      ["by its client for good", (one: Connection<User>) => one.ended(true), true],
      ["by a network", (one: Connection<User>) => one.ended(), false],
    ] as const) {
      it(`is ${isDismissed ? "dismissed" : "expected back"} where it ends ${name}`, async () => {
        const { connection } = await enter(4);
        end(connection);
        expect(connection.isDismissed).to.equal(isDismissed);
      });
    }
  });

  it("acknowledges what a client of protocol 4 has asked for, and answers what has an id", async () => {
    for (const protocol of [3, 4] as const) {
      const { connection, frames } = await enter(protocol);
      for (const uuid of [1, undefined]) {
        connection.acknowledge({ rpc: "a", uuid });
        connection.answer({ rpc: "b", uuid }, "[7]");
      }
      const answer = { rpc: "b", uuid: 1, resp: [7] };
      const acknowledged = { rpc: "a", uuid: 1, resp: "success" };
      expect(frames).to.deep.equal(protocol === 4 ? [acknowledged, answer] : [answer]);
    }
  });
});
