import { expect } from "chai";
import { Outbox, WaitingOutboxes } from "../../lib/server/outbox.js";

describe("what waits for a slow reader", () => {
  const LIMIT = 10_000_000;
  const KEYS = 20_000;
  let written: string[];
  let backlog: number;
  let outbox: Outbox;

  beforeEach(() => {
    written = [];
    backlog = LIMIT / 2;
    const transport = {
      write: (frame: string) => void written.push(frame),
      get backlog() {
        return backlog;
      },
    };
    outbox = new Outbox(transport, LIMIT, new WaitingOutboxes(), () => expect.fail("too much waits"));
  });
  afterEach(() => outbox.close());

  it("is replaced key by key at a cost that does not grow with their number", () => {
    const { user } = process.cpuUsage();
    for (let round = 0; round < 3; round++) {
      for (let key = KEYS; key-- > 0; ) outbox.send(`${round}:${key}`, { key: `of the channel\n${key}` });
    }
    const took = (process.cpuUsage().user - user) / 1000;
    // looking through all of them for each one takes more than ten times as long
    expect(took).to.be.below(1000);
    backlog = 0;
    expect(outbox.flush()).to.equal(false);
    expect(written).to.have.length(KEYS);
    expect(written.every((frame) => frame.startsWith("2:"))).to.equal(true);
  });

  it("does not replace what has been written", () => {
    outbox.send("a", { key: "k" });
    backlog = 0;
    outbox.flush();
    backlog = LIMIT / 2;
    outbox.send("b", { key: "k" });
    outbox.send("c", { key: "k" });
    backlog = 0;
    outbox.flush();
    expect(written).to.deep.equal(["a", "c"]);
  });
});
