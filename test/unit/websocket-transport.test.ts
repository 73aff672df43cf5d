import { EventEmitter } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { expect } from "chai";
import sinon from "sinon";
import { WebSocket } from "ws";
import type { PendingConnection } from "../../lib/server/limits/pending-connections.js";
import { UnfinishedBytes } from "../../lib/server/limits/unfinished-bytes.js";
import { WebSocketTransport } from "../../lib/server/transport/websocket.js";
import type { Framing } from "../../lib/server/transport/websocket-frames.js";
import { WriteBatcher } from "../../lib/server/transport/write-batcher.js";
import { close, OPCODE, frame as toFrame } from "../support/raw-websocket.js";

/** A TCP connection whose kernel takes what it is told to. */
class Tcp extends EventEmitter {
  bytesWritten = 0;
  writableLength = 0;
  writableNeedDrain = false;

  write(text: string | Buffer): boolean {
    this.bytesWritten += text.length;
    this.writableLength += text.length;
    return this.writableLength < 1000;
  }

  take(bytes: number): void {
    this.writableLength -= bytes;
  }
}

/** A transport on a TCP connection and a WebSocket that do what the test says. */
function open(framing: Framing = "plain", extensions = "") {
  const tcp = new Tcp();
  const webSocket = Object.assign(new EventEmitter(), {
    extensions,
    send: sinon.spy(),
    readyState: WebSocket.OPEN as number,
    pause: sinon.spy(),
    resume: sinon.spy(),
    ping: sinon.spy(),
    close: sinon.spy(),
  });
  const pending = { data: undefined, authenticated() {}, leave() {} };
  const transport = new WebSocketTransport(
    webSocket as unknown as WebSocket,
    tcp as unknown as Duplex,
    { url: "/sockets/websocket", headers: {}, socket: {} } as IncomingMessage,
    pending as unknown as PendingConnection,
    {
      framing,
      prefix: "/sockets",
      writeBatcher: new WriteBatcher((error) => expect.fail(String(error))),
      heartbeats: undefined,
      unfinishedBytes: new UnfinishedBytes(1000),
      bytesAfterClose: 1000,
      onError: (context) => expect.fail(context),
    },
  );
  const listener = { receive() {}, countFrames: sinon.spy(), ended: sinon.spy(), terminate() {} };
  transport.listen(listener);
  return { tcp, webSocket, transport, listener };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("the WebSocket of a client", () => {
  it("shows life where the client has sent something since it was last looked at", () => {
    const { tcp, transport } = open();
    expect(transport.showsLife()).to.equal(false);
    tcp.emit("data", toFrame(OPCODE.pong));
    expect([transport.showsLife(), transport.showsLife()]).to.deep.equal([true, false]);
  });

  it("shows life where the client takes something of what is too much for it", () => {
    const { tcp, webSocket, transport } = open();
    transport.socket.write("x".repeat(5000));
    expect(webSocket.pause.callCount).to.equal(1);
    tcp.take(100);
    expect([transport.showsLife(), transport.showsLife()]).to.deep.equal([true, false]);
    // what is written to it is not what it takes
    transport.socket.write("x".repeat(5000));
    expect(transport.showsLife()).to.equal(false);
    tcp.take(1);
    expect(transport.showsLife()).to.equal(true);
    expect(webSocket.pause.callCount).to.equal(1);
  });

  it("shows no life where the client takes what it gets, and is read all the time", () => {
    const { tcp, webSocket, transport } = open();
    transport.socket.write("x");
    tcp.take(3);
    expect(transport.showsLife()).to.equal(false);
    tcp.emit("drain");
    expect([webSocket.pause.callCount, webSocket.resume.callCount]).to.deep.equal([0, 0]);
  });

  it("is read again once the client has taken what was too much, each time", () => {
    const { tcp, webSocket, transport } = open();
    for (let time = 1; time <= 2; time++) {
      transport.socket.write("x".repeat(5000));
      tcp.take(tcp.writableLength);
      tcp.emit("drain");
      expect([webSocket.pause.callCount, webSocket.resume.callCount]).to.deep.equal([time, time]);
    }
  });

  it("is not read while the client takes nothing that is compressed for it, either", () => {
    const { tcp, webSocket, transport } = open("plain", "permessage-deflate");
    transport.socket.write("a");
    expect(webSocket.pause.callCount).to.equal(0);
    tcp.writableNeedDrain = true;
    transport.socket.write("b");
    expect(webSocket.send.args).to.deep.equal([["a"], ["b"]]);
    expect(webSocket.pause.callCount).to.equal(1);
  });

  it("is asked for life with a ping as long as it is open", () => {
    const { webSocket, transport } = open();
    expect([transport.askForLife(), webSocket.ping.callCount]).to.deep.equal([true, 1]);
    webSocket.readyState = WebSocket.CLOSING;
    expect([transport.askForLife(), webSocket.ping.callCount]).to.deep.equal([false, 1]);
  });

  for (const [framing, bytes, isForGood] of [
    ["plain", close(1000), true],
    ["plain", close(1001), false],
    ["plain", close(), false],
    // sockjs-client gives this code when it comes back, too
    ["sockjs", close(1000), false],
  ] as const) {
    it(`has ended ${isForGood ? "for good " : ""}with the client's ${bytes.toString("hex")}, ${framing}`, async () => {
      const { tcp, webSocket, listener } = open(framing);
      tcp.emit("data", bytes);
      // as its reader has seen it
      webSocket.readyState = WebSocket.CLOSING;
      await turn();
      expect(listener.ended.args).to.deep.equal([[isForGood]]);
      webSocket.readyState = WebSocket.CLOSED;
      webSocket.emit("close");
      expect(listener.ended.callCount).to.equal(1);
      expect(listener.countFrames.args).to.deep.equal([[1]]);
    });
  }

  it("has not ended by a close frame that its reader does not take for one", async () => {
    const { tcp, listener } = open();
    tcp.emit("data", close(1000));
    await turn();
    expect(listener.ended.callCount).to.equal(0);
  });
});
