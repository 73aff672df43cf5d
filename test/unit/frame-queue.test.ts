import { expect } from "chai";
import sinon from "sinon";
import {
  bytesOf,
  type FrameHandler,
  FrameQueue,
  mayHandle,
} from "../../lib/server/connection/frame-queue.js";
import { FrameRate } from "../../lib/server/limits/frame-rate.js";
import type { IdentityUsage } from "../../lib/server/limits/identity-usage.js";
import { DEFAULT_LIMITS } from "../../lib/server/limits/limits.js";
import type { Reporter } from "../../lib/server/log/reporter.js";
import { CLOSE } from "../../lib/shared/close-codes.js";
import type { ClientFrame } from "../../lib/shared/protocol.js";

/** Frames that can be told apart. */
const frame = (channel: string) => JSON.stringify({ rpc: "_subscribe", req: { channel } });

const ENDLESS = { framesPerSecond: Infinity, frameBurst: 1, bytesPerSecond: Infinity, byteBurst: 1 };

describe("the frames that a client sends", () => {
  let clock: sinon.SinonFakeTimers;

  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  });
  afterEach(() => clock.restore());

  /** What an identity may send: nothing, until `refill` is called. */
  class Usage {
    isThere = false;
    readonly waiting = new Set<() => void>();
    readonly asked: number[] = [];

    take(bytes: number): boolean {
      this.asked.push(bytes);
      return this.isThere;
    }

    onRefill(listener: () => void): () => void {
      this.waiting.add(listener);
      return () => this.waiting.delete(listener);
    }

    refill(): void {
      this.isThere = true;
      for (const listener of this.waiting) {
        this.waiting.delete(listener);
        listener();
      }
    }
  }

  const open = (rates: Partial<typeof ENDLESS> = {}, usage?: Usage) => {
    const handled: string[] = [];
    const closed: unknown[] = [];
    const reported: unknown[] = [];
    const handler = {
      isOpen: true as boolean,
      rate: new FrameRate({ ...ENDLESS, ...rates }),
      usage: usage as unknown as IdentityUsage | undefined,
      handle: (given: ClientFrame, bytes: number) => {
        handled.push(`${given.type === "subscribe" ? given.channel : given.type} ${bytes}`);
      },
      close: (reason) => closed.push(reason),
    } satisfies FrameHandler;
    const queue = new FrameQueue(handler, {
      limits: { ...DEFAULT_LIMITS, framesWaiting: 3, bytesWaiting: 100 },
      reporter: { error: (...report: unknown[]) => reported.push(report) } as unknown as Reporter,
    });
    const add = (channel: string, bytes = 1, isAnswer = false) => queue.add(frame(channel), bytes, isAnswer);
    return { queue, handler, handled, closed, reported, add };
  };

  it("are handled at once where the connection is open", () => {
    const { queue, handled, add } = open();
    add("a", 5);
    add("b", 6);
    queue.add({ no: "text" }, 7, false);
    queue.add("no JSON", 8, false);
    expect(handled).to.deep.equal(["a 5", "b 6", "invalidMessage 7", "invalidMessage 8"]);
    expect(queue.isEmpty).to.equal(true);
  });

  it("wait in order while it is not, but for answers", () => {
    const { queue, handler, handled, add } = open();
    handler.isOpen = false;
    add("a");
    add("answer", 1, true);
    add("b");
    expect([handled, queue.isEmpty]).to.deep.equal([["answer 1"], false]);
    handler.isOpen = true;
    queue.serve();
    expect([handled, queue.isEmpty]).to.deep.equal([["answer 1", "a 1", "b 1"], true]);
  });

  it("go on waiting after one by which the connection is no longer open", () => {
    const { queue, handler, handled, add } = open();
    handler.isOpen = false;
    for (const channel of ["auth", "a"]) add(channel);
    handler.handle = (given) => {
      handled.push(given.type);
      handler.isOpen = false;
    };
    handler.isOpen = true;
    queue.serve();
    expect([handled.length, queue.isEmpty]).to.deep.equal([1, false]);
  });

  it("close the connection where more wait than may", () => {
    const { handler, closed, handled, add } = open();
    handler.isOpen = false;
    for (const channel of ["a", "b", "c"]) add(channel);
    expect(closed).to.deep.equal([]);
    add("d");
    expect(closed).to.deep.equal([CLOSE.tooManyFrames]);
    expect(handled).to.deep.equal([]);
  });

  it("close the connection where more bytes of them wait than may, without what has been handled", () => {
    const { queue, handler, closed, add } = open();
    for (let round = 0; round < 5; round++) {
      handler.isOpen = false;
      add("a", 50);
      add("b", 50);
      expect(closed).to.deep.equal([]);
      handler.isOpen = true;
      queue.serve();
    }
    handler.isOpen = false;
    add("a", 100);
    add("b", 1);
    expect(closed).to.deep.equal([CLOSE.tooManyFrames]);
  });

  it("wait where they come too fast, until the client may send more", () => {
    const { queue, handled, add } = open({ framesPerSecond: 10, frameBurst: 2 });
    for (const channel of ["a", "b", "c", "d"]) add(channel);
    expect([handled, clock.countTimers()]).to.deep.equal([["a 1", "b 1"], 1]);
    clock.tick(99);
    queue.serve();
    expect([handled.length, clock.countTimers()]).to.deep.equal([2, 1]);
    clock.tick(1);
    expect([handled, clock.countTimers()]).to.deep.equal([["a 1", "b 1", "c 1"], 1]);
    clock.tick(100);
    expect([handled[3], queue.isEmpty, clock.countTimers()]).to.deep.equal(["d 1", true, 0]);
    clock.tick(1000);
    add("e");
    expect(handled[4]).to.equal("e 1");
  });

  it("are dropped where the connection closes, with what they wait for", () => {
    const usage = new Usage();
    for (const [queue, handled, add] of [open({ framesPerSecond: 1 }), open({}, usage)].map(
      (one) => [one.queue, one.handled, one.add] as const,
    )) {
      for (const channel of ["a", "b"]) add(channel);
      const before = handled.length;
      queue.close();
      expect(queue.isEmpty).to.equal(true);
      expect([clock.countTimers(), usage.waiting.size]).to.deep.equal([0, 0]);
      queue.serve();
      expect(handled).to.have.length(before);
    }
    open().queue.close();
  });

  it("wait where their identity has sent too much, and lose nothing of their socket's share by that", () => {
    const usage = new Usage();
    const { queue, handled, add } = open({ framesPerSecond: 1 }, usage);
    add("a", 20);
    add("b", 30);
    expect([handled, usage.asked, usage.waiting.size]).to.deep.equal([[], [20], 1]);
    expect(clock.countTimers()).to.equal(0);
    usage.refill();
    expect(handled).to.deep.equal(["a 20"]);
    // now the socket's own share is used up
    expect([queue.isEmpty, usage.waiting.size, clock.countTimers()]).to.deep.equal([false, 0, 1]);
    queue.close();
  });

  it("that cannot be served after a pause are told, and keep none waiting", () => {
    const { queue, handler, handled, reported, add } = open({ framesPerSecond: 10 });
    for (const channel of ["a", "b"]) add(channel);
    const handle = handler.handle;
    const error = new Error("broken");
    handler.handle = () => {
      throw error;
    };
    clock.tick(100);
    expect(reported).to.deep.equal([["a frame could not be served", error]]);
    handler.handle = handle;
    clock.tick(100);
    add("c");
    expect([handled, queue.isEmpty]).to.deep.equal([["a 1", "c 1"], true]);
  });

  it("count for their socket and its identity, or for none of them", () => {
    const usage = new Usage();
    const rate = new FrameRate({ ...ENDLESS, framesPerSecond: 1, bytesPerSecond: 1, byteBurst: 10 });
    const shared = { rate, usage: usage as unknown as IdentityUsage };
    expect(mayHandle(shared, 10)).to.equal(false);
    usage.isThere = true;
    expect(mayHandle(shared, 10)).to.equal(true);
    expect(mayHandle(shared, 10)).to.equal(false);
    expect(usage.asked).to.deep.equal([10, 10]);
    const alone = { rate: new FrameRate(ENDLESS), usage: undefined };
    expect(mayHandle(alone, 10)).to.equal(true);
  });

  it("are as long as their text, or as their bytes, or about as long as their text was", () => {
    expect(bytesOf("héllo", 0)).to.equal(6);
    expect(bytesOf(new Uint8Array(7), 0)).to.equal(7);
    for (const [value, bytes] of [
      [1, 2],
      [null, 2],
      [[], 2],
      [{}, 2],
      [[1, true], 6],
      [["héllo"], 10],
      [{ name: "value" }, 2 + 6 + 7],
      [{ a: [{ b: "c" }] }, 2 + 3 + 2 + 2 + 3 + 3],
    ] as const) {
      expect(bytesOf(value, 1000), JSON.stringify(value)).to.equal(bytes);
    }
  });

  it("are looked through no further than until they are too long", () => {
    const read = sinon.stub().returns([]);
    const value = [Object.defineProperty({}, "inner", { enumerable: true, get: read }), "x".repeat(20)];
    expect(bytesOf(value, 24)).to.be.above(20);
    sinon.assert.calledOnce(read);
    expect(bytesOf(value, 23)).to.equal(24);
    sinon.assert.calledOnce(read);
  });
});
