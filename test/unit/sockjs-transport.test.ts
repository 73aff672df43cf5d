import { EventEmitter } from "node:events";
import { expect } from "chai";
import sinon from "sinon";
import type { PendingConnection } from "../../lib/server/limits/pending-connections.js";
import { Heartbeats } from "../../lib/server/transport/heartbeats.js";
import type { SockJSConnection } from "../../lib/server/transport/socket.js";
import { type SockJSParts, SockJSTransport } from "../../lib/server/transport/sockjs.js";
import { FAREWELL } from "../../lib/server/transport/transport.js";
import { WriteBatcher } from "../../lib/server/transport/write-batcher.js";
import { CLOSE } from "../../lib/shared/close-codes.js";

/** The TCP connection of a response. */
class Response extends EventEmitter {
  writableLength = 0;
  destroyed = false;
  readonly destroy = sinon.spy();
}

/** A transport on a connection of SockJS that does what the test says, with its inside. */
function open(
  protocol = "xhr-streaming",
  { isTaken = true, pending, ...others }: Partial<SockJSParts> & Options = {},
) {
  const response = new Response();
  const session = {
    send_buffer: [] as string[],
    recv: { response: { socket: response }, didClose: sinon.spy() },
  };
  const write = sinon.stub().returns(true);
  const close = sinon.stub().returns(true);
  const connection = Object.assign(Object.create({ __proto__: EventEmitter.prototype, write, close }), {
    protocol,
    _session: session,
  }) as SockJSConnection & EventEmitter;
  const onError = sinon.spy();
  const heartbeats = new Heartbeats(60_000);
  const [add, remove] = [sinon.stub(heartbeats, "add"), sinon.stub(heartbeats, "delete")];
  const transport = new SockJSTransport(connection, pending as PendingConnection | undefined, {
    writeBatcher: new WriteBatcher(onError),
    heartbeats,
    onError,
    ...others,
  });
  const listener = { receive: sinon.spy(), countFrames() {}, ended: sinon.spy(), terminate: sinon.spy() };
  expect(transport.isTaken).to.equal(false);
  if (isTaken) {
    transport.listen(listener);
    expect(transport.isTaken).to.equal(true);
  }
  return { response, session, write, close, connection, onError, add, remove, transport, listener };
}

interface Options {
  readonly isTaken?: boolean;
  readonly pending?: object;
}

describe("a connection over SockJS's HTTP transports", () => {
  it("owes its client what is sent in this turn, what SockJS keeps, and what the network has not taken", () => {
    const { response, session, transport } = open();
    transport.write("1234");
    expect(transport.backlog).to.equal(4);
    expect(transport.flush()).to.equal(true);
    expect(transport.flush()).to.equal(false);
    session.send_buffer = ["1234"];
    transport.write("56");
    expect(transport.backlog).to.equal(6);
    transport.flush();
    expect(transport.backlog).to.equal(6);
    response.writableLength = 100;
    expect(transport.backlog).to.equal(106);
    // SockJS hands all of it to the network at once
    session.send_buffer = [];
    expect(transport.backlog).to.equal(100);
    session.send_buffer = ["7"];
    transport.write("7");
    transport.flush();
    expect(transport.backlog).to.equal(101);
  });

  it("sends the other messages where one cannot be written", () => {
    const { write, onError, transport } = open();
    const error = new Error("broken");
    write.onFirstCall().throws(error);
    for (const message of ["a", "b"]) transport.write(message);
    transport.flush();
    expect(write.args).to.deep.equal([["a"], ["b"]]);
    expect(onError.args).to.deep.equal([[error]]);
  });

  it("hands on what has come in order, after the turn of SockJS's in which it came", async () => {
    const { connection, listener } = open();
    for (const message of ["a", "b"]) connection.emit("data", message);
    expect(listener.receive.callCount).to.equal(0);
    await null;
    connection.emit("data", "c");
    await null;
    expect(listener.receive.args).to.deep.equal([["a"], ["b"], ["c"]]);
  });

  it("is asked for life by the end of its response alone, where that is a long one", () => {
    const { session, add, transport, listener } = open();
    expect(add.callCount).to.equal(1);
    expect([transport.askForLife(), transport.showsLife()]).to.deep.equal([false, true]);
    expect(session.recv.didClose.callCount).to.equal(1);
    transport.vanish();
    expect(listener.terminate.args).to.deep.equal([[CLOSE.vanished]]);
    expect(open("xhr-polling").add.callCount).to.equal(0);
  });

  it("ends once SockJS has closed it, and at once where it is closed", async () => {
    const { connection, listener } = open();
    connection.emit("close");
    expect(listener.ended.callCount).to.equal(0);
    await null;
    expect(listener.ended.callCount).to.equal(1);
    const other = open();
    expect(other.transport.end(4001, "enough")).to.equal(true);
    expect(other.listener.ended.callCount).to.equal(1);
    other.close.returns(false);
    expect(other.transport.end()).to.equal(false);
    expect(other.close.args).to.deep.equal([[4001, "enough"], []]);
    expect(other.listener.ended.callCount).to.equal(1);
  });

  it("is known to the application by what verifyConnection has handed on", () => {
    const pending = { data: { tenant: 1 }, authenticated: sinon.spy() };
    const { transport } = open("xhr-streaming", { pending });
    expect(transport.socket).to.deep.include({ data: { tenant: 1 }, channels: {} });
    expect(transport.socket.sid).to.match(/^[0-9a-f-]{36}$/);
    transport.authenticated();
    expect(pending.authenticated.callCount).to.equal(1);
  });

  it("needs neither a place, nor heartbeats, nor a server that has taken it", async () => {
    const parts = { heartbeats: undefined, isTaken: false };
    const { transport, connection, close, onError } = open("xhr-streaming", parts);
    expect(transport.socket.data).to.equal(undefined);
    transport.authenticated();
    transport.vanish();
    connection.emit("data", "a");
    await null;
    connection.emit("close");
    await null;
    expect([connection.close(), close.callCount]).to.deep.equal([true, 1]);
    expect(onError.callCount).to.equal(0);
  });

  it("is looked after no more once it is closed, by whichever side", () => {
    const { transport, connection, remove } = open();
    connection.emit("close");
    expect(remove.args).to.deep.equal([[transport]]);
    const other = open();
    other.close.returns(false);
    other.transport.end();
    expect(other.remove.callCount).to.equal(0);
    other.close.returns(true);
    other.transport.end();
    expect(other.remove.args).to.deep.equal([[other.transport]]);
  });

  it("is closed with a code and a reason by the server, as by the application, and keeps its listeners", () => {
    const { transport, connection, close, listener } = open();
    const end = sinon.spy(() => connection.close());
    Object.assign(connection, { end });
    connection.emit("data", "a");
    transport.close(CLOSE.expired);
    connection.close(4001, "enough");
    (connection as unknown as { destroy(): void }).destroy();
    expect(close.args).to.deep.equal([[4410, "Identity expired"], [4001, "enough"], []]);
    expect([end.callCount, listener.ended.callCount]).to.deep.equal([1, 3]);
    expect(connection.listenerCount("close")).to.equal(1);
  });

  it("sends a large message at once", () => {
    const { transport, write } = open();
    transport.write("x".repeat(65_536));
    expect(write.callCount).to.equal(0);
    transport.write("x");
    expect(write.callCount).to.equal(2);
  });

  it("sends what the application writes by itself behind what was sent before", () => {
    const { transport, connection, write } = open();
    transport.write("a");
    expect(connection.write("b")).to.equal(true);
    expect(write.args).to.deep.equal([["a"], ["b"]]);
    expect(write.alwaysCalledOn(connection)).to.equal(true);
  });

  it("sends through what an application has put around write(), each message once", () => {
    const { transport, connection, write } = open();
    const own = connection.write.bind(connection);
    connection.write = (message) => own(message.toUpperCase());
    for (const message of ["a", "b"]) transport.write(message);
    transport.flush();
    expect(write.args).to.deep.equal([["A"], ["B"]]);
  });

  it("is not reached by what is written again within the writing of a message", () => {
    const { transport, write } = open();
    write.onFirstCall().callsFake(() => transport.write("c"));
    for (const message of ["a", "b"]) transport.write(message);
    transport.flush();
    transport.flush();
    expect(write.args).to.deep.equal([["a"], ["b"], ["c"]]);
  });

  it("owes its client only what waits for it between two polls", () => {
    const { session, transport } = open("xhr-polling");
    Object.assign(session, { recv: null, send_buffer: ["1234"] });
    transport.write("1234");
    expect(transport.backlog).to.equal(4);
    transport.flush();
    expect(transport.backlog).to.equal(4);
  });

  it("tells each listener of SockJS's events, also where one throws, and says whether there is any", () => {
    const { connection, onError } = open();
    const error = new Error("listener");
    const heard: unknown[] = [];
    connection.prependListener("data", () => {
      throw error;
    });
    connection.once("data", (message) => heard.push(message));
    for (const message of ["a", "b"]) expect(connection.emit("data", message)).to.equal(true);
    expect(heard).to.deep.equal(["a"]);
    const report = ['a listener for "data" of a connection failed', error];
    expect(onError.args).to.deep.equal([report, report]);
    expect(connection.emit("end")).to.equal(false);
  });

  it("leaves events of the application's own to it, with what their listeners throw", () => {
    const { connection, onError } = open();
    const heard: unknown[] = [];
    expect(connection.emit("mine", 1)).to.equal(false);
    connection.on("mine", (...values: unknown[]) => heard.push(values));
    expect(connection.emit("mine", 1, 2)).to.equal(true);
    expect(heard).to.deep.equal([[1, 2]]);
    connection.on("mine", () => {
      throw new Error("mine");
    });
    expect(() => connection.emit("mine")).to.throw("mine");
    expect(onError.callCount).to.equal(0);
  });

  describe("that is ended since its client takes nothing", () => {
    let clock: sinon.SinonFakeTimers;

    beforeEach(() => {
      clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    });
    afterEach(() => clock.restore());

    it("has its TCP connection destroyed after the time for a farewell", () => {
      const { response, transport } = open();
      transport.terminate(CLOSE.tooSlow);
      clock.tick(FAREWELL - 1);
      expect(response.destroy.callCount).to.equal(0);
      clock.tick(1);
      expect(response.destroy.callCount).to.equal(1);
    });

    it("has it left alone where it has closed by then, or before", () => {
      const { response, transport } = open();
      transport.terminate(CLOSE.tooSlow);
      response.emit("close");
      expect(clock.countTimers()).to.equal(0);
      const other = open();
      other.response.destroyed = true;
      other.transport.terminate(CLOSE.tooSlow);
      expect(clock.countTimers()).to.equal(0);
    });

    it("is closed all the same where its TCP connection is not as expected", () => {
      const { session, transport, close } = open();
      Object.assign(session.recv.response, { socket: {} });
      transport.terminate(CLOSE.tooSlow);
      clock.tick(FAREWELL);
      expect(close.args).to.deep.equal([[4509, "Reading too slowly"]]);
    });

    it("has none destroyed between two polls", () => {
      const { session, transport } = open("xhr-polling");
      Object.assign(session, { recv: null });
      transport.terminate(CLOSE.tooSlow);
      expect(clock.countTimers()).to.equal(0);
    });
  });
});
