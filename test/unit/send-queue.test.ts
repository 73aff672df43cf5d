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
    queue.send("y");
    expect(overflows).to.equal(0);
    backlog = 0;
    queue.send("y");
    backlog = LIMIT + 50;
    queue.send("y");
    expect(overflows).to.equal(1);
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
