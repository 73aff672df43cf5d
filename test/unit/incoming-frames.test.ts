import { expect } from "chai";
import fc from "fast-check";
import { UnfinishedBytes } from "../../lib/server/limits/unfinished-bytes.js";
import { IncomingFrames, isOneMessage } from "../../lib/server/transport/incoming-frames.js";

interface Frame {
  readonly opcode: number;
  readonly isFinal: boolean;
  readonly length: number;
}

const TEXT = 0x1;
const CONTINUATION = 0x0;
const PING = 0x9;
const CLOSE = 0x8;

const frame = (opcode: number, length = 0, isFinal = true): Frame => ({ opcode, isFinal, length });

/** The bytes of a masked frame; its mask and payload are of bytes that could begin frames. */
function encode({ opcode, isFinal, length }: Frame): Buffer {
  const head = [opcode | (isFinal ? 0x80 : 0)];
  if (length < 126) head.push(0x80 | length);
  else if (length < 65_536) head.push(0xfe, length >> 8, length & 0xff);
  else head.push(0xff, 0, 0, 0, 0, 0, length >> 16, (length >> 8) & 0xff, length & 0xff);
  return Buffer.concat([Buffer.from(head), Buffer.alloc(4 + length, 0x89)]);
}

const encodeAll = (frames: readonly Frame[]) => Buffer.concat(frames.map(encode));

/** Reads bytes in pieces; gives how many frames counted, and what is unfinished at the end. */
function read(bytes: Buffer, pieces: readonly number[] = [bytes.length]) {
  const frames = new IncomingFrames();
  let overhead = 0;
  let offset = 0;
  for (const length of pieces) {
    overhead += frames.read(bytes.subarray(offset, offset + length));
    offset += length;
  }
  if (offset < bytes.length) overhead += frames.read(bytes.subarray(offset));
  return { overhead, frames };
}

describe("A client's frames", () => {
  it("that carry a message of their own do not count", () => {
    const { overhead, frames } = read(encodeAll([0, 1, 125, 126, 65_535, 65_536].map((n) => frame(TEXT, n))));
    expect([overhead, frames.unfinished, frames.isUnderWay]).to.deep.equal([0, 0, false]);
  });

  it("count where they are control frames, or fragments but for the last", () => {
    const all = [
      frame(TEXT, 3, false),
      frame(PING, 5),
      frame(CONTINUATION, 0, false),
      frame(CONTINUATION, 2),
      frame(PING),
    ];
    const { overhead, frames } = read(encodeAll(all));
    expect([overhead, frames.unfinished]).to.deep.equal([4, 0]);
  });

  it("are the same however they are cut into pieces", () => {
    const frames = fc.array(
      fc.record({
        opcode: fc.constantFrom(TEXT, CONTINUATION, PING, CLOSE),
        isFinal: fc.boolean(),
        length: fc.oneof(fc.nat(130), fc.nat(70_000)),
      }),
      { minLength: 1, maxLength: 6 },
    );
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 40 }), (all, pieces) => {
        const bytes = encodeAll(all);
        const whole = read(bytes);
        const cut = read(bytes, pieces);
        expect(cut.overhead).to.equal(whole.overhead);
        expect(cut.frames.isUnderWay).to.equal(whole.frames.isUnderWay);
        expect(cut.frames.closes).to.equal(all.some(({ opcode }) => opcode === CLOSE));
        const expected = all.filter(({ opcode, isFinal }) => opcode >= CLOSE || !isFinal).length;
        expect(whole.overhead).to.equal(expected);
      }),
    );
  });

  it("that are not whole weigh at least what has come of them, and nothing once they are", () => {
    const bytes = encode(frame(TEXT, 5000));
    const frames = new IncomingFrames();
    frames.read(bytes.subarray(0, 3000));
    expect(frames.unfinished).to.be.within(3000, 3500);
    frames.read(bytes.subarray(3000));
    expect(frames.unfinished).to.equal(0);
  });

  it("that are not whole, nor between two messages, are under way", () => {
    const ping = encode(frame(PING, 3));
    const first = encode(frame(TEXT, 3, false));
    const last = encode(frame(CONTINUATION, 3));
    const frames = new IncomingFrames();
    const isUnderWay = (bytes: Buffer) => {
      frames.read(bytes);
      return frames.isUnderWay;
    };
    const steps: [bytes: Buffer, isUnderWay: boolean][] = [
      // a head, a payload, and the rest of it
      [ping.subarray(0, 1), true],
      [ping.subarray(1, 6), true],
      [ping.subarray(6, 7), true],
      [ping.subarray(7), false],
      // a control frame in the middle of a message does not end it
      [first, true],
      [ping, true],
      [last, false],
    ];
    for (const [index, [bytes, expected]] of steps.entries()) {
      expect(isUnderWay(bytes), String(index)).to.equal(expected);
    }
  });

  it("that are not whole weigh what has come of their message before, but for control frames", () => {
    const frames = new IncomingFrames();
    for (let count = 1; count <= 3; count++) {
      frames.read(encode(frame(count === 1 ? TEXT : CONTINUATION, 5000, false)));
      expect(frames.unfinished).to.be.within(count * 5250, count * 5300);
      frames.read(encode(frame(PING, 100)));
      expect(frames.unfinished).to.be.within(count * 5250, count * 5300);
    }
    frames.read(encode(frame(CONTINUATION, 5000)));
    expect(frames.unfinished).to.equal(0);
  });

  it("weigh as much as the bytes of their heads, too", () => {
    const frames = new IncomingFrames();
    frames.read(encode(frame(TEXT, 70_000)).subarray(0, 12));
    // a piece of 12 bytes
    expect(frames.unfinished).to.equal(12 + 256);
  });

  it("in single bytes weigh what each piece takes beside its byte", () => {
    const frames = new IncomingFrames();
    for (const byte of encode(frame(TEXT, 900)).subarray(0, 800)) frames.read(Buffer.from([byte]));
    expect(frames.unfinished).to.be.above(800 * 200);
  });

  it("are told apart at once where a chunk is one message", () => {
    for (const length of [0, 1, 125, 126, 65_535]) {
      const bytes = encode(frame(TEXT, length));
      expect(isOneMessage(bytes), String(length)).to.equal(true);
      expect(isOneMessage(bytes.subarray(0, -1))).to.equal(false);
      expect(isOneMessage(Buffer.concat([bytes, bytes]))).to.equal(false);
    }
    for (const other of [frame(TEXT, 3, false), frame(PING, 3), frame(2, 3), frame(TEXT, 65_536)]) {
      expect(isOneMessage(encode(other))).to.equal(false);
    }
    for (const short of [[], [0x81], [0x81, 0xfe], [0x81, 0xfe, 0, 0], [0x81, 0x05], [0x81, 0x7f, 0, 0, 0]]) {
      expect(isOneMessage(Buffer.from(short)), String(short)).to.equal(false);
    }
    const large = encode(frame(TEXT, 65_536));
    for (let length = 1; length < 20; length++) {
      expect(isOneMessage(large.subarray(0, length)), String(length)).to.equal(false);
    }
  });
});

describe("What strangers have not finished", () => {
  it("is too much past the limit, for whoever goes on with more than an equal share", () => {
    const bytes = new UnfinishedBytes(100);
    expect(bytes.change(0, 80)).to.equal(false);
    expect(bytes.change(0, 30)).to.equal(false);
    expect(bytes.change(80, 81)).to.equal(true);
    expect(bytes.change(30, 31)).to.equal(false);
    // the greedy one has gone
    bytes.change(81, 0);
    expect(bytes.change(31, 100)).to.equal(false);
    expect(bytes.change(100, 101)).to.equal(true);
  });

  it("is never more than twice the limit, and the others are let on, whoever sends what", () => {
    const steps = fc.array(fc.tuple(fc.nat(9), fc.integer({ min: 1, max: 60 })), { maxLength: 200 });
    fc.assert(
      fc.property(steps, (all) => {
        const limit = 200;
        const bytes = new UnfinishedBytes(limit);
        const held = new Map<number, number>();
        for (const [who, more] of all) {
          const before = held.get(who) ?? 0;
          held.set(who, before + more);
          if (bytes.change(before, before + more)) {
            expect(before + more).to.be.above(limit / held.size);
            bytes.change(before + more, 0);
            held.delete(who);
          }
          const total = [...held.values()].reduce((sum, one) => sum + one, 0);
          expect(total).to.be.at.most(2 * limit);
        }
      }),
    );
  });

  for (const [name, payload, code] of [
    ["1000", [0x03, 0xe8], 1000],
    ["4321 with a reason", [0x10, 0xe1, 0x6f, 0x6b], 4321],
    ["none", [], undefined],
    ["half a one", [0x03], undefined],
    ["0", [0, 0], 0],
  ] as const) {
    it(`tell by which code the client closes, however they are cut: ${name}`, () => {
      const mask = [0x12, 0x34, 0x56, 0x78];
      const masked = payload.map((byte, index) => byte ^ (mask[index] ?? 0));
      const bytes = Buffer.concat([
        encode(frame(PING, 5)),
        Buffer.from([0x80 | CLOSE, 0x80 | payload.length, ...mask, ...masked]),
      ]);
      for (const pieces of [[bytes.length], Array.from(bytes, () => 1)]) {
        const { frames } = read(bytes, pieces);
        expect(frames).to.include({ closes: true, closeCode: code });
      }
    });
  }
});
