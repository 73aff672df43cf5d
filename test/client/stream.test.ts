import { expect } from "chai";
import { readable, Stream } from "../../lib/client/calls/stream.js";
import { OverflowError } from "../../lib/client/index.js";
import { failure } from "./support.js";

describe("A client's stream", () => {
  /** What was done with its source, in order. */
  let done: string[];

  beforeEach(() => {
    done = [];
  });

  const make = (limit = 3, start: () => unknown = () => {}) =>
    new Stream(limit, {
      start: () => {
        done.push("start");
        return start();
      },
      read: () => done.push("read"),
      stop: () => done.push("stop"),
    });
  const value = (item: unknown) => ({ done: false, value: item });
  const DONE = { done: true, value: undefined };

  it("starts when it is first read, and once", async () => {
    const stream = make();
    expect(stream[Symbol.asyncIterator]()).to.equal(stream);
    expect([done, stream.isEnded]).to.deep.equal([[], false]);
    const reads = [stream.next(), stream.next()];
    expect(done).to.deep.equal(["start"]);
    stream.push(1);
    stream.push(2);
    expect(await Promise.all(reads)).to.deep.equal([value(1), value(2)]);
    expect(done).to.deep.equal(["start", "read", "read"]);
  });

  it("gives what has come before it is read, in order, and says of each that it was read", async () => {
    const stream = make();
    for (const item of [1, undefined, 3]) stream.push(item);
    expect(done).to.deep.equal([]);
    for (const item of [1, undefined, 3]) expect(await stream.next()).to.deep.equal(value(item));
    expect(done).to.deep.equal(["start", "read", "read", "read"]);
  });

  for (const [how, start] of [
    [
      "throws",
      () => {
        throw new Error("No source");
      },
    ],
    ["rejects", () => Promise.reject(new Error("No source"))],
  ] as const) {
    it(`ends with what its source ${how} at the start`, async () => {
      const stream = make(3, start);
      const reads = [stream.next(), stream.next()] as const;
      expect(await failure(reads[0])).to.have.property("message", "No source");
      expect(await reads[1]).to.deep.equal(DONE);
      expect(done).to.deep.equal(["start", "stop"]);
      expect(stream.isEnded).to.equal(true);
    });
  }

  it("ends with an error behind as much as may wait, where more comes", async () => {
    const stream = make(2);
    for (const item of [1, 2]) stream.push(item);
    expect(stream.isEnded).to.equal(false);
    for (const item of [3, 4]) stream.push(item);
    expect([stream.isEnded, done]).to.deep.equal([true, ["stop"]]);
    expect([await stream.next(), await stream.next()]).to.deep.equal([value(1), value(2)]);
    const error = await failure(stream.next());
    expect(error).to.be.instanceOf(OverflowError);
    expect(error).to.include({ code: "overflow", message: "Over 2 messages wait" });
    expect(await stream.next()).to.deep.equal(DONE);
  });

  it("never holds too much for those who wait to read", async () => {
    const stream = make(0);
    const reads = [stream.next(), stream.next()];
    for (const item of [1, 2]) stream.push(item);
    expect(await Promise.all(reads)).to.deep.equal([value(1), value(2)]);
    stream.push(3);
    expect(await failure(stream.next())).to.be.instanceOf(OverflowError);
  });

  it("gives what has come before its end, the error once, and then nothing more", async () => {
    for (const error of [new Error("Lost"), undefined]) {
      const stream = make();
      stream.push(1);
      stream.end(error);
      stream.push(2);
      stream.end(new Error("Once more"));
      expect(await stream.next()).to.deep.equal(value(1));
      if (error) expect(await failure(stream.next())).to.equal(error);
      expect([await stream.next(), await stream.next()]).to.deep.equal([DONE, DONE]);
    }
    expect(done).to.deep.equal(["stop", "read", "stop", "read"]);
  });

  it("drops what waits, and its error, when its reader goes, to whom nothing comes any more", async () => {
    const stream = make();
    stream.push(1);
    stream.end(new Error("Lost"));
    expect(await stream.return()).to.deep.equal(DONE);
    expect(await stream.next()).to.deep.equal(DONE);
    const other = make();
    const read = other.next();
    expect(await other.return()).to.deep.equal(DONE);
    expect(await read).to.deep.equal(DONE);
    other.push(1);
    expect(await other.next()).to.deep.equal(DONE);
    expect(done).to.deep.equal(["stop", "start", "stop"]);
  });

  it("is the answer to a call that may be read without `await`, and the only one", async () => {
    const stream = make();
    for (const item of [1, 2]) stream.push(item);
    const answer = readable(Promise.resolve(stream));
    expect(await answer).to.equal(stream);
    const items: unknown[] = [];
    for await (const item of answer) if (items.push(item) === 2) break;
    expect(items).to.deep.equal([1, 2]);
    expect(stream.isEnded).to.equal(true);
    const plain = readable(Promise.resolve(7))[Symbol.asyncIterator]();
    for (const read of [plain.next(), plain.return?.()]) {
      const error = await failure(read as Promise<unknown>);
      expect(error).to.be.instanceOf(TypeError).with.property("message", "No stream");
    }
  });
});
