import type { IncomingMessage } from "node:http";
import { PassThrough } from "node:stream";
import { expect } from "chai";
import sinon from "sinon";
import { type BodyBounds, readBody } from "../../lib/server/http/body.js";
import type { HttpRefusal } from "../../lib/server/http/refusal.js";
import { UnfinishedBytes } from "../../lib/server/limits/unfinished-bytes.js";

const TOO_LARGE = { status: 413, reason: "Body too large" };
const TOO_SLOW = { status: 408, reason: "Body too slow" };
const TOO_MUCH = { status: 503, reason: "Too many unfinished bodies", retryAfter: 5 };

/** Bytes that differ from their neighbours. */
const bytesOf = (length: number) => Buffer.from(Array.from({ length }, (_, i) => (i * 7) % 251));

describe("a body", () => {
  let time: sinon.SinonFakeTimers;

  beforeEach(() => {
    time = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  });
  afterEach(() => time.restore());

  /** Begins to read; pieces are given by emitting `data`, as a request does. */
  const read = (bounds: Partial<BodyBounds> = {}, headers: IncomingMessage["headers"] = {}) => {
    const req = Object.assign(new PassThrough(), { headers });
    const results: (Buffer | HttpRefusal)[] = [];
    readBody(
      req as unknown as IncomingMessage,
      { bytes: 100, time: 1000, all: undefined, ...bounds },
      (body) => results.push(body),
    );
    const listeners = () => ["data", "end", "error"].map((name) => req.listenerCount(name));
    return { req, results, listeners };
  };

  /** Sends bytes in pieces of a size, whose memory is used again. */
  const send = (req: PassThrough, bytes: Buffer, size: number) => {
    for (let at = 0; at < bytes.length; at += size) {
      const piece = Buffer.from(bytes.subarray(at, at + size));
      req.emit("data", piece);
      piece.fill(0);
    }
  };

  it("is given whole at its end, in whatever pieces it has come", () => {
    for (const [length, size] of [
      [0, 1],
      [1, 1],
      [5000, 1],
      [5000, 7],
      [5000, 1024],
      [5000, 4999],
      [5000, 5000],
    ] as const) {
      const { req, results, listeners } = read({ bytes: 5000 });
      send(req, bytesOf(length), size);
      expect(results).to.deep.equal([]);
      req.emit("end");
      expect(results).to.have.lengthOf(1);
      expect(bytesOf(length).equals(results[0] as Buffer), `${length} bytes by ${size}`).to.equal(true);
      expect(req.isPaused()).to.equal(false);
      expect(listeners()).to.deep.equal([0, 0, 0]);
    }
  });

  it("takes memory for twice its bytes at most, and for no more than its bound", () => {
    for (const [bytes, most] of [
      [1_000_000, 200_000],
      [110_000, 110_000],
    ] as const) {
      const { req, results } = read({ bytes });
      send(req, bytesOf(100_000), 1000);
      req.emit("end");
      expect((results[0] as Buffer).buffer.byteLength).to.be.within(100_000, most);
    }
  });

  it("is copied a few times, in however many pieces it comes", () => {
    const allocate = sinon.spy(Buffer, "allocUnsafe");
    const { req } = read({ bytes: 1_000_000 });
    const pieces = Array.from({ length: 10_000 }, () => Buffer.alloc(1));
    allocate.resetHistory();
    for (const piece of pieces) req.emit("data", piece);
    const copies = allocate.callCount;
    allocate.restore();
    req.emit("end");
    expect(copies).to.be.within(1, 5);
  });

  it("may have its bound of bytes, and is refused by one more, which is not waited for", () => {
    const { req, results, listeners } = read();
    req.emit("data", bytesOf(100));
    expect(results).to.deep.equal([]);
    req.emit("data", bytesOf(1));
    expect(results).to.deep.equal([TOO_LARGE]);
    expect(req.isPaused()).to.equal(true);
    expect(listeners()).to.deep.equal([0, 0, 0]);
  });

  it("is refused by the length that it announces, before it comes", () => {
    const refused = read({}, { "content-length": "101" });
    expect(refused.results).to.deep.equal([TOO_LARGE]);
    expect(refused.listeners()).to.deep.equal([0, 0, 0]);
    const taken = read({}, { "content-length": "100" });
    send(taken.req, bytesOf(100), 100);
    taken.req.emit("end");
    expect(taken.results).to.deep.equal([bytesOf(100)]);
  });

  it("is refused where it is not there in time", () => {
    const { req, results, listeners } = read();
    time.tick(999);
    req.emit("data", bytesOf(1));
    expect(results).to.deep.equal([]);
    time.tick(1);
    expect(results).to.deep.equal([TOO_SLOW]);
    expect(req.isPaused()).to.equal(true);
    expect(listeners()).to.deep.equal([0, 0, 0]);
  });

  it("that is there, or refused, is not refused again when its time is over", () => {
    const there = read();
    there.req.emit("end");
    const refused = read();
    refused.req.emit("data", bytesOf(101));
    const gone = read();
    gone.req.emit("close");
    time.tick(10_000);
    expect(there.results).to.deep.equal([Buffer.alloc(0)]);
    expect(refused.results).to.deep.equal([TOO_LARGE]);
    expect(gone.results).to.deep.equal([]);
    expect(time.countTimers()).to.equal(0);
  });

  it("is not given where its client goes away", () => {
    for (const [event, reason] of [["close"], ["error", new Error("read ECONNRESET")]] as const) {
      const { req, results, listeners } = read();
      req.emit("data", bytesOf(5));
      req.emit(event, reason);
      expect(results).to.deep.equal([]);
      expect(listeners()).to.deep.equal([0, 0, 0]);
    }
  });

  it("counts among those of strangers for as long as it is under way", () => {
    const ends: Record<string, (req: PassThrough) => void> = {
      "is there": (req) => req.emit("end"),
      "is too large": (req) => req.emit("data", bytesOf(100)),
      "is too slow": () => time.tick(1000),
      "is gone": (req) => req.emit("close"),
      "has failed": (req) => req.emit("error", new Error("read ECONNRESET")),
    };
    for (const [what, end] of Object.entries(ends)) {
      const all = new UnfinishedBytes(60);
      const { req, results } = read({ all });
      send(req, bytesOf(60), 10);
      expect(results, what).to.deep.equal([]);
      // half of the bound is an equal share of two
      const other = read({ all, time: 100_000 });
      other.req.emit("data", bytesOf(31));
      expect(other.results, what).to.deep.equal([TOO_MUCH]);
      expect(other.req.isPaused()).to.equal(true);
      end(req);
      // a request is closed at its end, however it ends
      req.emit("close");
      const next = read({ all });
      next.req.emit("data", bytesOf(60));
      expect(next.results, what).to.deep.equal([]);
      next.req.emit("data", bytesOf(1));
      expect(next.results, what).to.deep.equal([TOO_MUCH]);
    }
  });
});
