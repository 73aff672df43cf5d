import { once } from "node:events";
import { Duplex } from "node:stream";
import { expect } from "chai";
import sinon from "sinon";
import { watchClient } from "../../lib/server/http/client-watch.js";

const MOST_EARLY_BYTES = 16_384;

describe("the client of an upgrade that waits", () => {
  let socket: Duplex;
  let stopped: (serve: () => void) => void;

  beforeEach(() => {
    socket = new Duplex({
      read() {},
      write: (_chunk, _encoding, done) => done(),
    });
    stopped = watchClient(socket);
  });
  afterEach(() => socket.destroy());

  /** Sends as a client does; resolves when that has been read. */
  const send = async (bytes: string | Buffer) => {
    const isRead = once(socket, "data");
    socket.push(bytes);
    await isRead;
  };
  const closed = () => new Promise((resolve) => socket.once("close", resolve));

  /** Ends the watch; says whether the client is served. */
  const isServed = () => {
    const serve = sinon.spy();
    stopped(serve);
    return serve.callCount === 1;
  };

  /** Reads what a served socket gets, until so many bytes are there. */
  const reads = (bytes: number) =>
    new Promise<string>((resolve) => {
      let text = "";
      socket.on("data", (chunk: Buffer) => {
        text += chunk.toString();
        if (text.length >= bytes) resolve(text);
      });
    });

  it("is served with all that it has sent meanwhile, in order, and with what it sends then", async () => {
    await send("early ");
    await send("bytes ");
    let text: Promise<string> | undefined;
    stopped(() => (text = reads(17)));
    socket.push("later");
    expect(await text).to.equal("early bytes later");
  });

  it("is served as it is where it has sent nothing", async () => {
    let text: Promise<string> | undefined;
    stopped(() => (text = reads(5)));
    socket.push("later");
    expect(await text).to.equal("later");
  });

  it("is watched no more once it is served", async () => {
    expect(isServed()).to.equal(true);
    expect(["data", "end", "error"].map((name) => socket.listenerCount(name))).to.deep.equal([0, 0, 0]);
  });

  it("may send as much as there is room for, and is cut at one byte more", async () => {
    await send(Buffer.alloc(MOST_EARLY_BYTES - 1));
    await send("x");
    expect(socket.destroyed).to.equal(false);
    const isClosed = closed();
    await send("y");
    await isClosed;
    expect(isServed()).to.equal(false);
  });

  it("is let go when it ends, and not served", async () => {
    const isClosed = closed();
    socket.push(null);
    await isClosed;
    expect(isServed()).to.equal(false);
  });

  it("may break off at any time before it is served", async () => {
    const isClosed = closed();
    socket.destroy(new Error("ECONNRESET"));
    // before the error is told
    expect(isServed()).to.equal(false);
    await isClosed;
  });
});
