import { expect } from "chai";
import sinon from "sinon";
import { type Bundle, Bundles } from "../../lib/server/bundles.js";

/** A socket that keeps what it was to send. */
class Socket {
  readonly sent: Bundle[] = [];
  #bundle: Bundle | undefined;

  write(bundles: Bundles, message: string): void {
    this.#bundle = this.#bundle?.with(message) ?? bundles.begin(this, message);
  }

  flush(): void {
    if (this.#bundle) this.sent.push(this.#bundle);
    this.#bundle = undefined;
  }
}

const endOfTurn = () => new Promise((resolve) => setImmediate(resolve));

describe("the bundles of a turn", () => {
  let bundles: Bundles;
  let onError: sinon.SinonSpy;

  beforeEach(() => {
    onError = sinon.spy();
    bundles = new Bundles(onError);
  });

  it("have a socket's messages in order, and go at its end, those of promises that have settled in it included", async () => {
    // frames of clients are served in microtasks
    await null;
    const socket = new Socket();
    socket.write(bundles, "one");
    void Promise.resolve().then(() => socket.write(bundles, "two"));
    expect(socket.sent).to.deep.equal([]);
    await new Promise<void>((resolve) => process.nextTick(resolve));
    expect(socket.sent.map(({ messages }) => messages)).to.deep.equal([["one", "two"]]);
    socket.write(bundles, "three");
    await endOfTurn();
    expect(socket.sent.at(-1)?.messages).to.deep.equal(["three"]);
  });

  it("are shared, and encoded once, by all that are sent the same", async () => {
    const sockets = Array.from({ length: 3 }, () => new Socket());
    const [first, second, third] = sockets;
    for (const message of ["a", "b"]) for (const socket of sockets) socket.write(bundles, message);
    third?.write(bundles, "c");
    await endOfTurn();
    expect(first?.sent[0]).to.equal(second?.sent[0]);
    expect(first?.sent[0]?.encoded("sockjs")).to.equal(second?.sent[0]?.encoded("sockjs"));
    expect(third?.sent[0]?.messages).to.deep.equal(["a", "b", "c"]);
    expect(first?.sent[0]?.messages).to.deep.equal(["a", "b"]);
    expect(third?.sent[0]?.length).to.equal(3);
  });

  it("are of each socket's own where they differ", async () => {
    const [first, second] = [new Socket(), new Socket()];
    first.write(bundles, "a");
    second.write(bundles, "b");
    first.write(bundles, "b");
    second.write(bundles, "a");
    await endOfTurn();
    expect([first, second].map(({ sent }) => sent[0]?.messages)).to.deep.equal([
      ["a", "b"],
      ["b", "a"],
    ]);
  });

  it("do not keep what one turn had", async () => {
    const [first, second] = [new Socket(), new Socket()];
    first.write(bundles, "a");
    await endOfTurn();
    second.write(bundles, "a");
    await endOfTurn();
    expect(first.sent[0]).not.to.equal(second.sent[0]);
  });

  it("go to the other sockets where one cannot be written to", async () => {
    const error = new Error("broken");
    const broken = { flush: sinon.stub().throws(error) };
    const socket = new Socket();
    bundles.begin(broken, "a");
    socket.write(bundles, "a");
    await endOfTurn();
    expect(onError.args).to.deep.equal([[error]]);
    expect(socket.sent).to.have.length(1);
  });
});
