import { expect } from "chai";
import sinon from "sinon";
import {
  SendQueue,
  type SendQueueTransport,
  WaitingSendQueues,
} from "../../lib/server/transport/send-queue.js";

const LIMIT = 100;
const FRAME = "x".repeat(50);
const DROPPABLE = { key: undefined };

/** A reader that takes what it is told to, and counts how often it is looked at. */
class Reader implements SendQueueTransport {
  readonly written: string[] = [];
  looks = 0;
  #backlog = 0;

  get backlog(): number {
    this.looks++;
    return this.#backlog;
  }

  write(frame: string): void {
    this.written.push(frame);
    this.#backlog += frame.length;
  }

  flush(): boolean {
    return false;
  }

  take(bytes = this.#backlog): void {
    this.#backlog -= bytes;
  }
}

describe("a send queue for whose reader something waits", () => {
  let clock: sinon.SinonFakeTimers;
  let waiting: WaitingSendQueues;
  const queues: SendQueue[] = [];

  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    waiting = new WaitingSendQueues();
  });
  afterEach(() => {
    for (const queue of queues.splice(0)) queue.close();
    expect(clock.countTimers()).to.equal(0);
    clock.restore();
  });

  const open = () => {
    const reader = new Reader();
    const queue = new SendQueue(reader, LIMIT, waiting, { terminate() {} });
    queues.push(queue);
    for (const frame of [FRAME, FRAME]) queue.send(frame, DROPPABLE);
    expect(reader.written).to.have.length(1);
    return { reader, queue };
  };

  it("is looked at seldom where the reader takes nothing, since there may be thousands of them", () => {
    const { reader } = open();
    clock.tick(1000);
    reader.looks = 0;
    clock.tick(32_000);
    expect(reader.looks).to.be.within(90, 110);
  });

  it("is flushed soon where the reader takes nothing for long, and then something", () => {
    const { reader } = open();
    clock.tick(60_000);
    reader.take();
    clock.tick(320);
    expect(reader.written).to.have.length(2);
  });

  it("is flushed at once where the reader goes on taking, beside those whose readers do not", () => {
    for (let count = 0; count < 100; count++) open();
    const { reader, queue } = open();
    for (let count = 2; count < 50; count++) {
      reader.take();
      clock.tick(20);
      expect(reader.written).to.have.length(count);
      queue.send(FRAME, DROPPABLE);
    }
  });

  it("is looked at as seldom where more and more comes for a reader that takes nothing", () => {
    const { queue } = open();
    clock.tick(60_000);
    const flush = sinon.spy(queue, "flush");
    for (let sent = 0; sent < 100; sent++) {
      queue.send(FRAME, DROPPABLE);
      clock.tick(320);
    }
    expect(flush.callCount).to.be.within(90, 110);
  });

  it("is looked at no more once the reader has taken all of it", () => {
    const { reader } = open();
    reader.take();
    clock.tick(20);
    reader.take();
    clock.tick(20);
    expect(reader.written).to.have.length(2);
    expect(clock.countTimers()).to.equal(0);
  });

  it("is looked at no more once it is closed, be it by what is written to another", () => {
    const [one, other] = [open(), open()];
    const flush = sinon.spy(other.queue, "flush");
    sinon.replace(one.reader, "write", () => other.queue.close());
    one.reader.take();
    clock.tick(1000);
    expect(flush.callCount).to.equal(0);
    expect(clock.countTimers()).to.equal(0);
  });

  it("is looked at often again once the reader has taken something", () => {
    const { reader } = open();
    clock.tick(60_000);
    reader.take(1);
    reader.looks = 0;
    while (reader.looks === 0) clock.tick(20);
    reader.take();
    clock.tick(20);
    expect(reader.written).to.have.length(2);
  });
});

describe("a send queue's reader", () => {
  /** A quarter of the limit, as much as is written ahead of what waits. */
  const AHEAD = "x".repeat(LIMIT / 4);
  let reader: Reader;
  let queue: SendQueue;

  beforeEach(() => {
    reader = new Reader();
    queue = new SendQueue(reader, LIMIT, new WaitingSendQueues(), { terminate: () => expect.fail("closed") });
  });
  afterEach(() => queue.close());

  it("has what may be dropped wait only where more than a quarter of the limit is under way", () => {
    queue.send(AHEAD, DROPPABLE);
    queue.send("a", DROPPABLE);
    expect(reader.written).to.deep.equal([AHEAD, "a"]);
    queue.send("b", DROPPABLE);
    expect(reader.written).to.have.length(2);
    expect(queue.flush()).to.equal("moved");
    expect(queue.flush()).to.equal("stuck");
    reader.take(1);
    expect(queue.flush()).to.equal("moved");
    expect(reader.written).to.deep.equal([AHEAD, "a", "b"]);
  });

  it("is not waited for where it has taken all but a quarter of the limit", () => {
    expect(queue.whenDrained()).to.equal(undefined);
    queue.send(AHEAD);
    expect(queue.whenDrained()).to.equal(undefined);
    queue.send("a");
    expect(queue.whenDrained()).to.be.instanceOf(Promise);
  });

  it("is waited for until it has taken what was written last, too", async () => {
    let isDrained = false;
    for (const frame of ["a", "b"]) queue.send(frame.repeat(50), DROPPABLE);
    const drained = queue.whenDrained()?.then(() => {
      isDrained = true;
    });
    reader.take();
    expect(queue.flush()).to.equal("moved");
    await null;
    expect([reader.written.length, isDrained]).to.deep.equal([2, false]);
    reader.take(25);
    expect(queue.flush()).to.equal("done");
    await drained;
  });

  it("gets what waits also when it is where it was before that began to wait", () => {
    queue.send("a".repeat(50), DROPPABLE);
    queue.send(AHEAD, DROPPABLE);
    reader.take();
    expect(queue.flush()).to.equal("done");
    queue.send("b".repeat(50), DROPPABLE);
    queue.send("c", DROPPABLE);
    reader.take(50);
    expect(queue.flush()).to.equal("moved");
    expect(reader.written.at(-1)).to.equal("c");
  });

  it("may be gone by what it is written, with what waited for it", () => {
    for (const frame of ["a", "b", "c"]) queue.send(frame.repeat(30), { key: frame });
    sinon.replace(reader, "write", () => queue.close());
    reader.take();
    expect(() => queue.flush()).not.to.throw();
    expect(queue.whenDrained()).to.equal(undefined);
  });

  it("has not been sent what waits for the end of the turn, which is sent then once too much does", () => {
    let batch = 0;
    let flushes = 0;
    const quick = {
      get backlog() {
        return batch;
      },
      write: (frame: string) => {
        batch += frame.length;
      },
      flush: () => {
        flushes++;
        batch = 0;
        return true;
      },
    };
    const queue = new SendQueue(quick, LIMIT, new WaitingSendQueues(), {
      terminate: () => expect.fail("closed"),
    });
    queue.send(AHEAD);
    queue.send("a");
    expect([batch, flushes]).to.deep.equal([LIMIT / 4 + 1, 0]);
    queue.send("b", DROPPABLE);
    expect([batch, flushes]).to.deep.equal([1, 1]);
    for (let count = 0; count < 100; count++) queue.send(AHEAD);
    queue.close();
  });
});

describe("what waits for a slow reader", () => {
  const LIMIT = 10_000_000;
  const KEYS = 1_000;
  let written: string[];
  let backlog: number;
  let queue: SendQueue;
  let onWrite = () => {};

  beforeEach(() => {
    written = [];
    backlog = LIMIT / 2;
    const transport = {
      write: (frame: string) => {
        written.push(frame);
        onWrite();
      },
      flush: () => false,
      get backlog() {
        return backlog;
      },
    };
    queue = new SendQueue(transport, LIMIT, new WaitingSendQueues(), {
      terminate: () => expect.fail("too much waits"),
    });
  });
  afterEach(() => queue.close());

  it("is replaced key by key at a cost that does not grow with their number", () => {
    let reads = 0;
    for (let round = 0; round < 3; round++) {
      for (let key = KEYS; key-- > 0; ) {
        queue.send(`${round}:${key}`, {
          get key() {
            reads++;
            return `of the channel\n${key}`;
          },
        });
      }
    }
    // who looks through what waits reads their keys
    expect(reads).to.be.below(10 * 3 * KEYS);
    backlog = 0;
    expect(queue.flush()).to.equal("done");
    expect(written).to.have.length(KEYS);
    expect(written.every((frame) => frame.startsWith("2:"))).to.equal(true);
  });

  it("does not replace what has been written, while others go on waiting", () => {
    for (const [frame, key] of Object.entries({ a: "k", b: "other" })) queue.send(frame, { key });
    // the reader takes one of them, and then no more
    backlog = 0;
    onWrite = () => {
      backlog = LIMIT / 2;
    };
    expect(queue.flush()).to.equal("moved");
    expect(written).to.deep.equal(["a"]);
    queue.send("c", { key: "k" });
    queue.send("d", { key: "k" });
    onWrite = () => {};
    backlog = 0;
    expect(queue.flush()).to.equal("done");
    expect(written).to.deep.equal(["a", "b", "d"]);
  });
});

describe("a send queue's bound", () => {
  let backlog: number;
  let overflows: number;
  let written: string[];
  let queue: SendQueue;

  beforeEach(() => {
    [backlog, overflows, written] = [50, 0, []];
    const transport = {
      write: (frame: string) => void written.push(frame),
      flush: () => false,
      get backlog() {
        return backlog;
      },
    };
    queue = new SendQueue(transport, LIMIT, new WaitingSendQueues(), { terminate: () => overflows++ });
  });
  afterEach(() => queue.close());

  /** What has waited, by its first letters. */
  const flush = () => {
    backlog = 0;
    queue.flush();
    return written.map(([letter]) => letter).join("");
  };

  it("counts what replaces an older message for as much as it is, where that is less", () => {
    queue.send("a".repeat(40), { key: "k" });
    queue.send("b".repeat(10), { key: "k" });
    queue.send("c".repeat(30), { key: "other" });
    expect(flush()).to.equal("bc");
  });

  it("counts what replaces an older message for as much as it is, where that is more", () => {
    queue.send("a".repeat(10), { key: "k" });
    queue.send("b".repeat(45), { key: "k" });
    queue.send("c".repeat(10), { key: "other" });
    expect(flush()).to.equal("c");
  });

  it("is wider for a single large frame only until that has been taken", () => {
    backlog = 0;
    queue.send("x".repeat(LIMIT + 50));
    backlog = LIMIT + 50;
    for (const frame of ["y", "y"]) queue.send(frame);
    expect(overflows).to.equal(0);
    backlog = 0;
    queue.send("y");
    backlog = LIMIT + 50;
    queue.send("y");
    expect(overflows).to.equal(1);
  });

  it("is for what a reader has not taken, where nothing may be dropped", () => {
    backlog = LIMIT;
    queue.send("a".repeat(LIMIT));
    expect(written).to.have.length(1);
    // as large as the limit is not larger
    backlog = LIMIT + 1;
    queue.send("b");
    expect([written.length, overflows]).to.deep.equal([1, 1]);
  });

  it("is the same after all that has waited, been replaced, or been dropped", async () => {
    const loss = { group: "g", tell: () => "lost" };
    for (let round = 0; round < 3; round++) {
      backlog = 50;
      for (const length of [10, 20, 30]) queue.send("a".repeat(length), { key: "k", loss });
      queue.send("b".repeat(20));
      queue.send("c".repeat(10), { key: "other", loss });
      flush();
      // nothing waits, but somebody for the reader
      backlog = 30;
      const drained = queue.whenDrained();
      flush();
      await drained;
    }
    backlog = 50;
    queue.send("d".repeat(49), DROPPABLE);
    queue.send("e", DROPPABLE);
    written = [];
    expect(flush()).to.equal("de");
    backlog = 50;
    queue.send("d".repeat(49), DROPPABLE);
    queue.send("ee", DROPPABLE);
    written = [];
    expect(flush()).to.equal("e");
  });

  it("keeps nobody waiting once it is closed", async () => {
    const drained = queue.whenDrained();
    expect(drained).to.be.instanceOf(Promise);
    queue.close();
    await drained;
  });

  it("tells of dropped messages before the next one of their group, or in its place", () => {
    const reader = new Reader();
    const queue = new SendQueue(reader, 1000, new WaitingSendQueues(), { terminate() {} });
    const message = (group: string, n: number, key?: string) => {
      const tell = (messages: number) => `lost ${messages} ${group} to ${n}`;
      queue.send(`${group}${n}`.padEnd(200), { key, loss: { group, tell } });
    };
    queue.send("x".repeat(300));
    for (let n = 1; n <= 6; n++) message("a", n);
    message("b", 1);
    message("b", 2, "latest");
    message("b", 3, "latest");
    reader.take();
    while (queue.flush() !== "done") reader.take();
    expect(reader.written.slice(1).map((frame) => frame.trim())).to.deep.equal([
      "lost 5 a to 5",
      "a6",
      "b1",
      "lost 1 b to 2",
      "b3",
    ]);
    queue.close();
  });

  it("tells of dropped messages once, in the place of the first, where none of their group is left", () => {
    const reader = new Reader();
    const queue = new SendQueue(reader, 1000, new WaitingSendQueues(), { terminate() {} });
    const message = (group: string, n: number) => {
      const tell = (messages: number) => `lost ${messages} ${group} to ${n}`;
      queue.send(`${group}${n}`.padEnd(150), { key: undefined, loss: { group, tell } });
    };
    queue.send("x".repeat(300));
    message("a", 1);
    for (let n = 1; n <= 4; n++) message("b", n);
    message("a", 2);
    for (let n = 5; n <= 8; n++) message("b", n);
    reader.take();
    while (queue.flush() !== "done") reader.take();
    expect(reader.written.slice(1).map((frame) => frame.trim())).to.deep.equal([
      "lost 2 a to 2",
      "lost 5 b to 5",
      "b6",
      "b7",
      "b8",
    ]);
    queue.close();
  });

  it("tells of what is dropped, whatever else waits", () => {
    const reader = new Reader();
    const queue = new SendQueue(reader, 1000, new WaitingSendQueues(), { terminate() {} });
    queue.send("x".repeat(300));
    queue.send("a".repeat(200), { key: undefined, loss: { group: "a", tell: (n) => `lost ${n} of a` } });
    queue.send("b".repeat(50), DROPPABLE);
    queue.send("c".repeat(100));
    queue.send("d".repeat(200), { key: undefined, loss: { group: "d", tell: (n) => `lost ${n} of d` } });
    queue.send("e".repeat(350));
    reader.take();
    while (queue.flush() !== "done") reader.take();
    const texts = reader.written.slice(1).map((text) => (text.startsWith("lost") ? text : text[0]));
    expect(texts).to.deep.equal(["lost 1 of a", "c", "lost 1 of d", "e"]);
    queue.close();
  });

  describe("with messages that are sent by whoever hears of a loss", () => {
    let reader: Reader;
    let queue: SendQueue;

    beforeEach(() => {
      reader = new Reader();
      queue = new SendQueue(reader, 1000, new WaitingSendQueues(), { terminate() {} });
      queue.send("x".repeat(300));
    });
    afterEach(() => queue.close());

    /** A message of which a reader is told when it is lost, and what is done once when that is told. */
    const send = (name: string, length: number, onTold = () => {}) => {
      const tell = (messages: number) => {
        onTold();
        return `lost ${messages} to ${name}`;
      };
      queue.send(name.padEnd(length), { key: undefined, loss: { group: "g", tell } });
    };
    const read = () => {
      reader.take();
      while (queue.flush() !== "done") reader.take();
      return reader.written.slice(1).map((text) => text.trim());
    };

    it("drops the next one for them, and not the one that is being sent", () => {
      send("1", 150, () => queue.send("all".padEnd(700)));
      for (const name of ["2", "3", "4", "5"]) send(name, 150);
      expect(read()).to.deep.equal(["lost 1 to 1", "2", "lost 1 to 3", "4", "5", "all"]);
    });

    it("tells of those that are dropped at once, too", () => {
      send("1", 200, () => send("2", 600));
      queue.send("y".padEnd(550));
      expect(read()).to.deep.equal(["lost 1 to 1", "y", "lost 1 to 2"]);
    });
  });

  it("counts what was replaced and what was dropped before it together", () => {
    const reader = new Reader();
    const queue = new SendQueue(reader, 1000, new WaitingSendQueues(), { terminate() {} });
    const message = (n: number, key?: string) => {
      const tell = (messages: number) => `lost ${messages} to ${n}`;
      queue.send(`b${n}`.padEnd(200), { key, loss: { group: "b", tell } });
    };
    queue.send("x".repeat(300));
    message(1);
    message(2, "latest");
    message(3, "latest");
    queue.send("y".repeat(400));
    reader.take();
    while (queue.flush() !== "done") reader.take();
    const texts = reader.written.slice(1).map((frame) => frame.trim());
    expect(texts).to.deep.equal(["lost 2 to 2", "b3", "y".repeat(400)]);
    queue.close();
  });

  it("ends a connection for which more waits that may not be dropped", () => {
    queue.send("a".repeat(40), { key: undefined });
    queue.send("b".repeat(50));
    expect(overflows).to.equal(0);
    queue.send("c");
    expect(overflows).to.equal(1);
  });

  it("is as much wider for what waits while a single large frame is being taken", () => {
    backlog = 0;
    queue.send("x".repeat(LIMIT + 50));
    backlog = LIMIT + 50;
    queue.send("a".repeat(LIMIT), { key: undefined });
    queue.send("b".repeat(60), { key: undefined });
    // a and b are more than the limit and the large frame together
    expect(overflows).to.equal(0);
    expect(flush()).to.equal("xb");
  });
});
