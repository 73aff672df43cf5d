import { expect } from "chai";
import sinon from "sinon";
import { type WriteBatch, WriteBatcher } from "../../lib/server/transport/write-batcher.js";

/** A socket that keeps what it was to send. */
class Socket {
  readonly sent: WriteBatch[] = [];
  #batch: WriteBatch | undefined;

  write(batcher: WriteBatcher, message: string): void {
    this.#batch = batcher.add(this, this.#batch, message);
  }

  flush(): void {
    if (this.#batch) this.sent.push(this.#batch);
    this.#batch = undefined;
  }
}

/** Resolves behind what was begun in this turn, and what that has put off to its end. */
const endOfTurn = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

const nextTick = () => new Promise<void>((resolve) => process.nextTick(resolve));

describe("the write batches of a turn", () => {
  let batcher: WriteBatcher;
  let onError: sinon.SinonSpy;

  beforeEach(() => {
    onError = sinon.spy();
    batcher = new WriteBatcher(onError);
  });

  it("have a socket's messages in order, those of promises that have settled in the turn included", async () => {
    // frames of clients are served in microtasks
    await null;
    const socket = new Socket();
    socket.write(batcher, "one");
    void Promise.resolve().then(() => socket.write(batcher, "two"));
    expect(socket.sent).to.deep.equal([]);
    await endOfTurn();
    expect(socket.sent.map(({ messages }) => messages)).to.deep.equal([["one", "two"]]);
  });

  it("go at once where the server has been at rest, and each socket has one message only", async () => {
    const clock = sinon.useFakeTimers({ toFake: ["performance"] });
    try {
      const sockets = [new Socket(), new Socket()];
      for (const [index, socket] of sockets.entries()) {
        clock.tick(index * 0.1);
        socket.write(batcher, String(index));
        await nextTick();
        expect(socket.sent[0]?.messages).to.deep.equal([String(index)]);
      }
      clock.tick(1);
      for (const [index, socket] of sockets.entries()) socket.write(batcher, String(index));
      await nextTick();
      expect(sockets.map(({ sent }) => sent[1]?.messages)).to.deep.equal([["0"], ["1"]]);
    } finally {
      clock.restore();
    }
  });

  it("wait for the end of the turn, with what it brings, while the server is busy", async () => {
    const clock = sinon.useFakeTimers({ toFake: ["performance"] });
    try {
      const [first, second] = [new Socket(), new Socket()];
      first.write(batcher, "one");
      await nextTick();
      clock.tick(0.09);
      first.write(batcher, "two");
      await nextTick();
      second.write(batcher, "three");
      await nextTick();
      expect([first.sent.length, second.sent.length]).to.deep.equal([1, 0]);
      await endOfTurn();
      expect([first, second].map(({ sent }) => sent.at(-1)?.messages)).to.deep.equal([["two"], ["three"]]);
    } finally {
      clock.restore();
    }
  });

  it("take what comes until the turn is over where messages have met, also for others", async () => {
    await null;
    const [first, second] = [new Socket(), new Socket()];
    first.write(batcher, "one");
    first.write(batcher, "two");
    await nextTick();
    first.write(batcher, "three");
    second.write(batcher, "one");
    expect(first.sent).to.deep.equal([]);
    await endOfTurn();
    expect([first, second].map(({ sent }) => sent.map(({ messages }) => messages))).to.deep.equal([
      [["one", "two", "three"]],
      [["one"]],
    ]);
  });

  it("take what comes until the turn is over no more once it is", async () => {
    const clock = sinon.useFakeTimers({ toFake: ["performance"] });
    try {
      const socket = new Socket();
      socket.write(batcher, "one");
      socket.write(batcher, "two");
      await endOfTurn();
      clock.tick(1);
      socket.write(batcher, "three");
      await nextTick();
      expect(socket.sent.map(({ messages }) => messages)).to.deep.equal([["one", "two"], ["three"]]);
    } finally {
      clock.restore();
    }
  });

  it("are shared, and encoded once, by all that are sent the same", async () => {
    const sockets = Array.from({ length: 3 }, () => new Socket());
    const [first, second, third] = sockets;
    for (const message of ["a", "b"]) for (const socket of sockets) socket.write(batcher, message);
    third?.write(batcher, "c");
    await endOfTurn();
    expect(first?.sent[0]).to.equal(second?.sent[0]);
    expect(first?.sent[0]?.encoded("sockjs")).to.equal(second?.sent[0]?.encoded("sockjs"));
    expect(third?.sent[0]?.messages).to.deep.equal(["a", "b", "c"]);
    expect(first?.sent[0]?.messages).to.deep.equal(["a", "b"]);
    expect(third?.sent[0]?.length).to.equal(3);
  });

  it("are text where one socket alone is sent them, and bytes for several", async () => {
    const sockets = Array.from({ length: 3 }, () => new Socket());
    const [, second, third] = sockets;
    for (const socket of sockets) socket.write(batcher, "a");
    for (const socket of [second, third]) socket?.write(batcher, "b");
    third?.write(batcher, "c");
    await endOfTurn();
    const written = sockets.map(({ sent }) => sent[0]?.written("plain"));
    expect(written.map((one) => typeof one)).to.deep.equal(["object", "object", "string"]);
    const bytes = written.map((one) => (typeof one === "string" ? Buffer.from(one, "latin1") : one));
    expect(bytes.map((one) => one?.toString("hex"))).to.deep.equal([
      "810161",
      "810161810162",
      "810161810162810163",
    ]);
  });

  it("are encoded in each framing in which a socket takes them", async () => {
    const [first, second] = [new Socket(), new Socket()];
    for (const socket of [first, second]) socket.write(batcher, "a");
    await endOfTurn();
    const batch = first.sent[0];
    // twice, since what is encoded is kept
    for (let time = 0; time < 2; time++) {
      expect(batch?.encoded("plain").toString("latin1")).to.equal("\x81\x01a");
      expect(batch?.encoded("sockjs").toString("latin1")).to.equal('\x81\x06a["a"]');
    }
    expect(batch?.texts("plain")).to.deep.equal(["a"]);
    expect(batch?.texts("sockjs")).to.deep.equal(['a["a"]']);
  });

  it("are full, and do not wait for the end of the turn, with more than 65,536 characters", async () => {
    const sender = { flush() {} };
    const batch = batcher.add(sender, undefined, "x".repeat(65_536));
    expect(batch.isFull).to.equal(false);
    expect(batcher.add(sender, batch, "x").isFull).to.equal(true);
    await endOfTurn();
  });

  it("are of each socket's own from the message on in which they differ", async () => {
    const sockets = Array.from({ length: 3 }, () => new Socket());
    const [first, second, third] = sockets;
    for (const socket of sockets) socket.write(batcher, "a");
    first?.write(batcher, "b");
    second?.write(batcher, "c");
    third?.write(batcher, "b");
    await endOfTurn();
    expect(sockets.map(({ sent }) => sent[0]?.messages)).to.deep.equal([
      ["a", "b"],
      ["a", "c"],
      ["a", "b"],
    ]);
  });

  it("are of each socket's own where they differ", async () => {
    const [first, second] = [new Socket(), new Socket()];
    first.write(batcher, "a");
    second.write(batcher, "b");
    first.write(batcher, "b");
    second.write(batcher, "a");
    await endOfTurn();
    expect([first, second].map(({ sent }) => sent[0]?.messages)).to.deep.equal([
      ["a", "b"],
      ["b", "a"],
    ]);
  });

  it("do not keep what one turn had", async () => {
    const [first, second] = [new Socket(), new Socket()];
    first.write(batcher, "a");
    await endOfTurn();
    second.write(batcher, "a");
    await endOfTurn();
    expect(first.sent[0]).not.to.equal(second.sent[0]);
  });

  it("go to the other sockets where one cannot be written to", async () => {
    const error = new Error("broken");
    const broken = { flush: sinon.stub().throws(error) };
    const socket = new Socket();
    batcher.add(broken, undefined, "a");
    socket.write(batcher, "a");
    await endOfTurn();
    expect(onError.args).to.deep.equal([[error]]);
    expect(socket.sent).to.have.length(1);
  });
});
