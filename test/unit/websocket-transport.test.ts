import { EventEmitter } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { expect } from "chai";
import sinon from "sinon";
import { WebSocket } from "ws";
import type { PendingConnection } from "../../lib/server/limits/pending-connections.js";
import { UnfinishedBytes } from "../../lib/server/limits/unfinished-bytes.js";
import { Heartbeats } from "../../lib/server/transport/heartbeats.js";
import { type WebSocketParts, WebSocketTransport } from "../../lib/server/transport/websocket.js";
import type { Framing } from "../../lib/server/transport/websocket-frames.js";
import { WriteBatcher } from "../../lib/server/transport/write-batcher.js";
import { CLOSE } from "../../lib/shared/close-codes.js";
import { close, OPCODE, text, frame as toFrame } from "../support/raw-websocket.js";

/** A TCP connection whose kernel takes what it is told to. */
class Tcp extends EventEmitter {
  bytesWritten = 0;
  writableLength = 0;
  writableNeedDrain = false;
  /** What was written, a character for each byte. */
  written = "";
  readonly destroy = sinon.spy();

  write(text: string | Buffer): boolean {
    this.written += text.toString("latin1");
    this.bytesWritten += text.length;
    this.writableLength += text.length;
    return this.writableLength < 1000;
  }

  take(bytes: number): void {
    this.writableLength -= bytes;
  }
}

/** The bytes that a client may still send once it has been told to go. */
const BYTES_AFTER_CLOSE = 100;

/** A transport on a TCP connection and a WebSocket that do what the test says. */
function open(
  framing: Framing = "plain",
  extensions = "",
  { isTaken = true, ...others }: Partial<WebSocketParts> & { isTaken?: boolean } = {},
) {
  const tcp = new Tcp();
  const webSocket = Object.assign(new EventEmitter(), {
    extensions,
    send: sinon.spy(),
    readyState: WebSocket.OPEN as number,
    bufferedAmount: 0,
    pause: sinon.spy(),
    resume: sinon.spy(),
    ping: sinon.spy(),
    close: sinon.spy(),
  });
  const pending = { data: undefined, authenticated: sinon.spy(), leave: sinon.spy() };
  const parts: WebSocketParts = {
    framing,
    prefix: "/sockets",
    writeBatcher: new WriteBatcher((error) => expect.fail(String(error))),
    heartbeats: undefined,
    unfinishedBytes: new UnfinishedBytes(1000),
    bytesAfterClose: BYTES_AFTER_CLOSE,
    onError: (context) => expect.fail(context),
    ...others,
  };
  const transport = new WebSocketTransport(
    webSocket as unknown as WebSocket,
    tcp as unknown as Duplex,
    { url: "/sockets/websocket", headers: {}, socket: {} } as IncomingMessage,
    pending as unknown as PendingConnection,
    parts,
  );
  const listener = {
    receive: sinon.spy(),
    countFrames: sinon.spy(),
    ended: sinon.spy(),
    terminate: sinon.spy(),
  };
  if (isTaken) transport.listen(listener);
  /** The end of the TCP connection, as `ws` tells of it. */
  const end = () => {
    webSocket.readyState = WebSocket.CLOSED;
    webSocket.emit("close");
  };
  return { tcp, webSocket, pending, transport, listener, end };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Resolves behind what the end of this turn has put off. */
const endOfTurn = async () => {
  await turn();
  await turn();
};

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

  it("is taken once a server listens to it", () => {
    const { transport, listener } = open("plain", "", { isTaken: false });
    expect(transport.isTaken).to.equal(false);
    transport.listen(listener);
    expect(transport.isTaken).to.equal(true);
  });

  it("knows the server's side of its TCP connection where that has one, and as long as it is there", () => {
    const { tcp, transport, end } = open();
    expect(transport.socket.address).to.equal(undefined);
    Object.assign(tcp, { address: () => ({ port: 1 }) });
    expect(transport.socket.address).to.deep.equal({ port: 1 });
    end();
    expect(transport.socket.address).to.equal(undefined);
  });

  it("is looked after as long as it is open", () => {
    const heartbeats = new Heartbeats(60_000);
    const [added, deleted] = [sinon.stub(heartbeats, "add"), sinon.stub(heartbeats, "delete")];
    const { transport, end } = open("plain", "", { heartbeats });
    expect([added.args, deleted.args]).to.deep.equal([[[transport]], []]);
    transport.end();
    end();
    expect(deleted.args).to.deep.equal([[transport]]);
  });

  it("is ended for want of a sign of life by its server, or by itself where none has taken it", () => {
    const taken = open();
    taken.transport.vanish();
    expect(taken.listener.terminate.args).to.deep.equal([[CLOSE.vanished]]);
    expect(taken.webSocket.close.callCount).to.equal(0);
    const { transport, webSocket } = open("plain", "", { isTaken: false });
    transport.vanish();
    expect(webSocket.close.args).to.deep.equal([[4411, "No sign of life"]]);
  });

  it("closes with a code and a reason also where its client takes nothing any more", () => {
    const { transport, webSocket } = open();
    transport.terminate(CLOSE.tooSlow);
    expect(webSocket.close.args).to.deep.equal([[4509, "Reading too slowly"]]);
  });

  it("frees its place once its TCP connection is gone, and not before", () => {
    for (const framing of ["plain", "sockjs"] as const) {
      const { transport, pending, end } = open(framing);
      expect([transport.end(), transport.end()]).to.deep.equal([true, false]);
      expect(pending.leave.callCount).to.equal(0);
      end();
      expect(pending.leave.callCount).to.equal(1);
    }
  });

  it("bears what comes late from a TCP connection that is gone", () => {
    for (const extensions of ["", "permessage-deflate"]) {
      const { tcp, webSocket, transport, end } = open("plain", extensions);
      tcp.writableNeedDrain = true;
      transport.socket.write("x".repeat(5000));
      webSocket.bufferedAmount = 5000;
      expect(transport.backlog).to.be.above(4999);
      tcp.emit("data", toFrame(OPCODE.pong));
      end();
      tcp.emit("drain");
      tcp.emit("data", Buffer.alloc(BYTES_AFTER_CLOSE + 1));
      expect([transport.backlog, transport.socket.write("late")]).to.deep.equal([0, false]);
      transport.write("late");
      transport.flush();
      // it has sent something, and no more
      expect([transport.showsLife(), transport.showsLife()]).to.deep.equal([true, false]);
      expect([transport.askForLife(), transport.end()]).to.deep.equal([false, false]);
      expect([webSocket.resume.callCount, tcp.destroy.callCount]).to.deep.equal([0, 0]);
    }
  });

  it("may have sent some bytes more once it is told to go, and is cut off for more of them", () => {
    for (const framing of ["plain", "sockjs"] as const) {
      const { tcp, transport, webSocket } = open(framing);
      transport.end();
      webSocket.readyState = WebSocket.CLOSING;
      for (const bytes of [60, 40]) tcp.emit("data", Buffer.alloc(bytes));
      expect(tcp.destroy.callCount).to.equal(0);
      tcp.emit("data", Buffer.alloc(1));
      expect(tcp.destroy.callCount).to.equal(1);
    }
  });

  it("is read again once it is told to go, for the sake of its answer", () => {
    const { transport, webSocket } = open();
    transport.socket.write("x".repeat(5000));
    expect(webSocket.resume.callCount).to.equal(0);
    transport.end();
    expect(webSocket.resume.callCount).to.equal(1);
  });
});

describe("what a server sends over a WebSocket", () => {
  it("waits for the end of the turn, unless it is large, and counts until the client has taken it", async () => {
    const { tcp, transport } = open();
    expect(transport.flush()).to.equal(false);
    transport.write("1234");
    transport.write("56");
    expect([transport.backlog, tcp.written]).to.deep.equal([6, ""]);
    await turn();
    await turn();
    expect([transport.backlog, tcp.written]).to.deep.equal([10, "\x81\x041234\x81\x0256"]);
    expect(transport.flush()).to.equal(false);
    transport.write("7");
    expect(transport.backlog).to.equal(11);
    expect(transport.flush()).to.equal(true);
    tcp.take(13);
    expect(transport.backlog).to.equal(0);
    transport.write("x".repeat(70_000));
    expect(transport.backlog).to.equal(70_010);
    expect(tcp.writableLength).to.equal(70_010);
  });

  for (const [framing, opening, messages, beat] of [
    ["plain", [], ["a", "b", "c"], []],
    ["sockjs", ["o"], ['a["a","b"]', 'a["c"]'], ["h"]],
  ] as const) {
    it(`goes through ws where it is compressed, ${framing}`, () => {
      const { tcp, webSocket, transport } = open(framing, "permessage-deflate");
      for (const message of ["a", "b"]) transport.write(message);
      // in order with what the application sends by itself
      expect(transport.socket.write("c")).to.equal(true);
      expect(transport.askForLife()).to.equal(true);
      expect(webSocket.send.args.flat()).to.deep.equal([...opening, ...messages, ...beat]);
      expect([tcp.written, webSocket.ping.callCount]).to.deep.equal(["", 1]);
      webSocket.bufferedAmount = 5;
      transport.write("d");
      expect(transport.backlog).to.equal(6);
      transport.flush();
      transport.end(4001, "enough");
      const [code, reason] = framing === "plain" ? [4001, "enough"] : [1000, "Normal closure"];
      expect(webSocket.close.args).to.deep.equal([[code, reason]]);
      expect(webSocket.send.lastCall.args).to.deep.equal([framing === "plain" ? "d" : 'c[4001,"enough"]']);
    });

    it(`is written to its TCP connection where it is not, ${framing}`, () => {
      const { tcp, webSocket, transport } = open(framing);
      for (const message of ["a", "b"]) transport.write(message);
      transport.socket.write("c");
      transport.askForLife();
      const frames = [...opening, ...messages, ...beat].map(
        (one) => `\x81${String.fromCharCode(one.length)}${one}`,
      );
      expect([tcp.written, webSocket.send.callCount]).to.deep.equal([frames.join(""), 0]);
    });
  }

  it("is not sent where ws has failed, or the client has closed", () => {
    for (const extensions of ["", "permessage-deflate"]) {
      const failed = open("plain", extensions);
      failed.webSocket.emit("error", new Error("Invalid WebSocket frame"));
      const closed = open("plain", extensions);
      closed.webSocket.readyState = WebSocket.CLOSING;
      for (const { transport, tcp, webSocket } of [failed, closed]) {
        transport.write("late");
        transport.flush();
        expect(transport.socket.write("late")).to.equal(false);
        expect([tcp.written, webSocket.send.callCount]).to.deep.equal(["", 0]);
      }
      expect(failed.listener.ended.args).to.deep.equal([[false]]);
    }
  });

  it("goes through what an application has put around write(), one by one, and what fails is told", () => {
    const onError = sinon.spy();
    const { tcp, transport } = open("plain", "", { onError });
    const { socket } = transport;
    const error = new Error("broken");
    const write = socket.write.bind(socket);
    socket.write = (message) => {
      if (message === "a") throw error;
      return write(message.toUpperCase());
    };
    for (const message of ["a", "b", "c"]) transport.write(message);
    expect(transport.flush()).to.equal(true);
    expect(tcp.written).to.equal("\x81\x01B\x81\x01C");
    expect(onError.args).to.deep.equal([["a socket could not be written to", error]]);
  });
});

describe("what a client sends over a WebSocket", () => {
  /** The connection of a client, and what the application hears of it. */
  const overhear = (framing: Framing, parts: Parameters<typeof open>[2] = {}) => {
    const opened = open(framing, "", parts);
    const heard: unknown[] = [];
    const emitter = opened.transport.socket as unknown as EventEmitter;
    for (const name of ["data", "end", "close"]) {
      emitter.on(name, (...values: unknown[]) => heard.push([name, ...values]));
    }
    const send = (payload: string, isBinary = false) =>
      opened.webSocket.emit("message", Buffer.from(payload), isBinary);
    return { ...opened, heard, send, emitter };
  };

  it("is handed to the server and to the application, texts as such and bytes as bytes", () => {
    const { listener, heard, send } = overhear("plain");
    send("a");
    send("b", true);
    expect(listener.receive.args).to.deep.equal([
      ["a", 1],
      [Buffer.from("b"), 1],
    ]);
    expect(heard).to.deep.equal([
      ["data", "a"],
      ["data", Buffer.from("b")],
    ]);
    expect(listener.countFrames.callCount).to.equal(0);
  });

  for (const framing of ["plain", "sockjs"] as const) {
    it(`is answered by one write, with all that the turn brings, ${framing}`, async () => {
      const { tcp, webSocket, transport, listener } = open(framing);
      const write = sinon.spy(tcp, "write");
      listener.receive = sinon.spy((message) => transport.write(`answer to ${message}`));
      for (const message of ["a", "b"]) {
        const payload = framing === "plain" ? message : JSON.stringify([message]);
        tcp.emit("data", text(payload));
        webSocket.emit("message", Buffer.from(payload), false);
      }
      expect(write.callCount).to.equal(0);
      await endOfTurn();
      expect(write.callCount).to.equal(1);
      expect(tcp.written).to.match(/answer to a.*answer to b/su);
    });
  }

  it("is taken out of SockJS's frames, of which those without a message count as well", () => {
    const { listener, send } = overhear("sockjs");
    send('["a","b"]');
    send("[]");
    send("c", true);
    send('["d\\"é"]');
    send('["\\\\e"]');
    expect(listener.receive.args).to.deep.equal([
      ["a", undefined],
      ["b", undefined],
      [Buffer.from("c"), 1],
      ['d"é', undefined],
      ["\\e", 2],
    ]);
    expect(listener.countFrames.args).to.deep.equal([[1]]);
  });

  it("is the end where it is no frame of SockJS", () => {
    const { webSocket, listener, send } = overhear("sockjs");
    for (const payload of ["{", "{", '["late"]']) send(payload);
    expect(webSocket.close.args).to.deep.equal([[3000, "Broken framing."]]);
    expect([listener.ended.args, listener.receive.args]).to.deep.equal([[[false]], []]);
  });

  it("is not served behind a message that has ended the connection", () => {
    const { transport, heard, send, emitter } = overhear("sockjs");
    emitter.on("data", () => transport.socket.close());
    send('["a","never"]');
    send('["never"]');
    expect(heard).to.deep.equal([["data", "a"], ["end"], ["close"]]);
  });

  it("is heard of by the application also where no server has taken the connection", () => {
    const { tcp, heard, send, end } = overhear("sockjs", { isTaken: false });
    tcp.emit("data", toFrame(OPCODE.ping));
    send('["a"]');
    send("[]");
    end();
    expect(heard).to.deep.equal([["data", "a"], ["end"], ["close"]]);
  });

  it("ends once for the application: SockJS's at once when it is closed, a plain one with its TCP connection", () => {
    for (const framing of ["plain", "sockjs"] as const) {
      const { transport, heard, listener, end } = overhear(framing);
      transport.end();
      expect(heard).to.deep.equal(framing === "plain" ? [] : [["end"], ["close"]]);
      expect(transport.readyState).to.equal(framing === "plain" ? 2 : 3);
      end();
      expect(heard).to.deep.equal([["end"], ["close"]]);
      expect(transport.readyState).to.equal(3);
      expect(listener.ended.args).to.deep.equal([[false]]);
    }
  });

  it("reaches the server also where a listener of the application throws, which is told", () => {
    const onError = sinon.spy();
    const { listener, send, end, emitter, heard } = overhear("plain", { onError });
    const error = new Error("listener");
    for (const name of ["data", "close"]) {
      emitter.prependListener(name, () => {
        throw error;
      });
    }
    send("a");
    end();
    expect(listener.receive.args).to.deep.equal([["a", 1]]);
    expect(heard).to.deep.equal([["end"]]);
    expect(onError.args).to.deep.equal([
      ['a listener for "data" of a connection failed', error],
      ['a listener for "close" of a connection failed', error],
    ]);
  });

  it("counts in frames beyond its messages, whichever pieces they come in", () => {
    const { tcp, listener } = open();
    const message = Buffer.concat([text("a", { fin: false }), toFrame(OPCODE.continuation, "b")]);
    for (const bytes of [text("whole"), text("in two pieces"), message, toFrame(OPCODE.ping)]) {
      for (const piece of [bytes.subarray(0, 3), bytes.subarray(3)]) tcp.emit("data", piece);
    }
    // the middle of a message may look like a whole one
    const inner = text("inner");
    const head = text(inner).subarray(0, -inner.length);
    for (const piece of [head, inner, text("whole"), toFrame(OPCODE.ping)]) tcp.emit("data", piece);
    // a fragment and two pings
    expect(listener.countFrames.args).to.deep.equal([[1], [1], [1]]);
  });

  describe("before it has authenticated", () => {
    const LIMIT = 1000;
    /** The beginning of a message that is larger than what strangers may have unfinished, and of one that is not. */
    const begun = text("x".repeat(2 * LIMIT)).subarray(0, LIMIT + 100);
    const whole = text("x".repeat(100));
    const [small, rest] = [whole.subarray(0, 50), whole.subarray(50)];

    it("is the end where too much of it waits for its rest", () => {
      for (const hasDestroySoon of [true, false]) {
        const { tcp, webSocket } = open();
        const destroySoon = sinon.spy();
        // what an application hands over need not be a TCP connection of Node.js
        if (hasDestroySoon) Object.assign(tcp, { destroySoon });
        tcp.emit("data", begun.subarray(0, 500));
        expect(webSocket.close.callCount).to.equal(0);
        tcp.emit("data", begun.subarray(500));
        expect(webSocket.close.args).to.deep.equal([[4413, "Message too large"]]);
        expect(destroySoon.callCount).to.equal(hasDestroySoon ? 1 : 0);
      }
    });

    it("is bounded for all strangers together, of whom those who are known or gone are none", () => {
      const unfinishedBytes = new UnfinishedBytes(LIMIT);
      const [first, second, third] = [0, 1, 2].map(() => open("plain", "", { unfinishedBytes }));
      first?.tcp.emit("data", small);
      first?.transport.authenticated();
      expect(first?.pending.authenticated.callCount).to.equal(1);
      second?.tcp.emit("data", small);
      second?.end();
      expect(unfinishedBytes.change(0, LIMIT)).to.equal(false);
      expect(unfinishedBytes.change(LIMIT, 0)).to.equal(false);
      // who is known has none that count
      first?.tcp.emit("data", rest);
      first?.tcp.emit("data", begun);
      expect(first?.webSocket.close.callCount).to.equal(0);
      third?.tcp.emit("data", begun);
      expect(third?.webSocket.close.callCount).to.equal(1);
    });
  });
});
