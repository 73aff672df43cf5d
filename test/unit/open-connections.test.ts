import { expect } from "chai";
import sinon from "sinon";
import type { Connection } from "../../lib/server/connection/connection.js";
import { ConnectionIndex } from "../../lib/server/connection/connection-index.js";
import { OpenConnections, type OpenConnectionsParts } from "../../lib/server/connection/open-connections.js";
import { Deadlines } from "../../lib/server/limits/deadlines.js";
import { DEFAULT_LIMITS } from "../../lib/server/limits/limits.js";
import { WaitingSendQueues } from "../../lib/server/transport/send-queue.js";
import type { PendingSocket } from "../../lib/server/transport/socket.js";
import type { Transport, TransportListener } from "../../lib/server/transport/transport.js";
import { DisconnectedError, UnauthorizedError } from "../../lib/shared/call-errors.js";
import { CLOSE } from "../../lib/shared/close-codes.js";

interface User {
  id: number;
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("A server's open connections", () => {
  let connections: OpenConnections<User>;
  let debugged: string[];
  let notify: sinon.SinonSpy;
  let deadlines: Deadlines;

  beforeEach(() => {
    debugged = [];
    notify = sinon.spy();
    deadlines = new Deadlines(1000);
    const shared = {
      limits: DEFAULT_LIMITS,
      ping: true,
      tokenVerifier: {
        accepts: () => true,
        find: async () => ({ auth: { id: 7 }, host: "h", ip: "10.0.0.1", ips: [], issuedAt: 0 }),
      },
      guards: { authenticate: async () => ({ allowed: true }), has: () => false },
      revocations: { find: () => undefined },
      refreshes: { concern: () => false },
      index: new ConnectionIndex(),
      authenticationDeadlines: deadlines,
      identityUsages: { leave() {} },
      reporter: { error: sinon.spy(), debug: (message: () => string) => debugged.push(message()) },
      pubsub: { leaveAll() {}, hasHistory: false, enabled: false },
      presence: { isOn: false },
      waitingSendQueues: new WaitingSendQueues(),
      notify: sinon.spy(),
    };
    connections = new OpenConnections({
      shared,
      notices: { notify },
    } as unknown as OpenConnectionsParts<User>);
  });
  afterEach(() => connections.close());

  const connect = (sid: string) => {
    let listener: TransportListener | undefined;
    const transport = {
      socket: { sid, channels: {} } as unknown as PendingSocket,
      backlog: 0,
      isTaken: false,
      listen: (given: TransportListener) => {
        listener = given;
      },
      write: sinon.spy(),
      flush: () => false,
      authenticated() {},
      close: sinon.spy(),
      terminate: sinon.spy(),
    };
    connections.accept(transport as unknown as Transport);
    return { ...transport, connection: listener as Connection<User> | undefined };
  };

  const enter = async (sid: string) => {
    const connected = connect(sid);
    connected.connection?.receive('{"rpc":"auth","token":"t"}');
    await turn();
    return connected;
  };

  const failure = (work: Promise<unknown>) => work.catch((error: unknown) => error);

  it("are told to the application from beginning to end", () => {
    const [one, other] = [connect("1"), connect("2")];
    expect([connections.size, connections.sockets()]).to.deep.equal([2, [one.socket, other.socket]]);
    one.connection?.ended();
    expect([connections.size, connections.sockets()]).to.deep.equal([1, [other.socket]]);
    expect(notify.args).to.deep.equal([
      ["connection", one.socket],
      ["connection", other.socket],
      ["disconnect", one.socket],
    ]);
    expect(debugged).to.deep.equal(["1 has connected", "2 has connected", "1 has closed"]);
  });

  it("are for the application to use once they have an identity, and as long as they are open", async () => {
    const [pending, entered] = [connect("1"), await enter("2")];
    expect(connections.identified(pending.socket)).to.equal(undefined);
    expect(connections.identified(entered.socket)).to.equal(entered.connection);
    entered.connection?.ended();
    expect(connections.identified(entered.socket)).to.equal(undefined);
  });

  it("have their clients' functions called", async () => {
    const [pending, entered] = [connect("1"), await enter("2")];
    entered.write.resetHistory();
    const calling = connections.call(entered.socket, "f", [7], {});
    const { data } = JSON.parse(entered.write.args[0]?.[0]);
    expect(data)
      .to.include({ command: "f" })
      .and.deep.include({ args: [7] });
    entered.connection?.receive(JSON.stringify({ rpc: "_rpc", fid: data.fid, resp: { data: 8 } }));
    expect(await calling).to.equal(8);
    expect(await failure(connections.call(pending.socket, "f", 1, {}))).to.be.instanceOf(UnauthorizedError);
    entered.connection?.ended();
    expect(await failure(connections.call(entered.socket, "f", 1, {}))).to.be.instanceOf(DisconnectedError);
  });

  it("make no call that is none, whoever it is for", async () => {
    const { socket } = await enter("1");
    const { signal } = new AbortController();
    const wrong: [command: unknown, options: object, message: string][] = [
      ["", {}, "command must be a function's path"],
      [7, {}, "command must be a function's path"],
      ["f", { timeout: 0 }, "timeout must be a positive number of milliseconds"],
      ["f", { timeout: "5" }, "timeout must be a positive number of milliseconds"],
      ["f", { timeout: Number.NaN }, "timeout must be a positive number of milliseconds"],
      ["f", { signal: {} }, "signal must be an AbortSignal"],
    ];
    for (const [command, options, message] of wrong) {
      for (const one of [socket, {} as PendingSocket]) {
        expect(await failure(connections.call(one, command as string, 1, options)), message)
          .to.be.instanceOf(TypeError)
          .with.property("message", message);
      }
    }
    const call = failure(connections.call(socket, "f", 1, { timeout: 1000, signal }));
    connections.close();
    expect(await call).to.be.instanceOf(DisconnectedError);
  });

  it("are closed all at once at the end, for which they may be as long without an identity as they like", () => {
    const limit = sinon.spy(deadlines, "limit");
    const [one, other] = [connect("1"), connect("2")];
    connections.limitUnauthenticated(1000);
    connections.close();
    expect([one, other].map(({ close }) => close.args)).to.deep.equal([
      [[CLOSE.shutdown]],
      [[CLOSE.shutdown]],
    ]);
    expect(limit.args).to.deep.equal([[1000], [undefined]]);
    expect(connections.size).to.equal(0);
  });

  it("are taken no more once they are drained, and have gone when that is over", async () => {
    const { close } = await enter("1");
    const drained = connections.drain(0);
    const late = connect("2");
    expect([late.close.args, late.connection]).to.deep.equal([[[CLOSE.shutdown]], undefined]);
    await drained;
    expect(close.args).to.deep.equal([[CLOSE.shutdown]]);
    expect(connections.size).to.equal(0);
    expect(notify.args.map(([event]) => event)).to.deep.equal(["connection", "disconnect"]);
  });
});
