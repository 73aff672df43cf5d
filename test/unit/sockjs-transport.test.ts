import { EventEmitter } from "node:events";
import { expect } from "chai";
import sinon from "sinon";
import { Heartbeats } from "../../lib/server/transport/heartbeats.js";
import type { SockJSConnection } from "../../lib/server/transport/socket.js";
import { SockJSTransport } from "../../lib/server/transport/sockjs.js";
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
function open(protocol = "xhr-streaming") {
  const response = new Response();
  const session = {
    send_buffer: [] as string[],
    recv: { response: { socket: response }, didClose: sinon.spy() },
  };
  const write = sinon.stub().returns(true);
  const close = sinon.stub().returns(true);
  const connection = Object.assign(new EventEmitter(), {
    protocol,
    write,
    close,
    _session: session,
  });
  const onError = sinon.spy();
  const heartbeats = new Heartbeats(60_000);
  const add = sinon.stub(heartbeats, "add");
  const transport = new SockJSTransport(connection as unknown as SockJSConnection, undefined, {
    writeBatcher: new WriteBatcher(onError),
    heartbeats,
    onError,
  });
  const listener = { receive: sinon.spy(), countFrames() {}, ended: sinon.spy(), terminate: sinon.spy() };
  expect(transport.isTaken).to.equal(false);
  transport.listen(listener);
  expect(transport.isTaken).to.equal(true);
  return { response, session, write, close, connection, onError, add, transport, listener };
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

    it("has none destroyed between two polls", () => {
      const { session, transport } = open("xhr-polling");
      Object.assign(session, { recv: null });
      transport.terminate(CLOSE.tooSlow);
      expect(clock.countTimers()).to.equal(0);
    });
  });
});
