import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer } from "node:net";
import { expect } from "chai";
import sinon, { type SinonFakeTimers } from "sinon";
import { LONGEST_TIMER, startTimer } from "../../lib/shared/times.js";

describe("A timer", () => {
  describe("of whatever length", () => {
    let clock: SinonFakeTimers;

    beforeEach(() => {
      clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
    });
    afterEach(() => clock.restore());

    it("fires when its time is over, and not before", () => {
      for (const time of [1000, LONGEST_TIMER, LONGEST_TIMER + 1, 3.5 * LONGEST_TIMER]) {
        let fired = 0;
        startTimer(time, () => fired++);
        clock.tick(time - 1);
        expect(fired, `${time}`).to.equal(0);
        clock.tick(2);
        expect(fired, `${time}`).to.equal(1);
      }
    });

    it("never fires after Infinity, and leaves nothing behind when it is stopped", () => {
      const stops = [100, 2 * LONGEST_TIMER, Infinity].map((time) => startTimer(time, expect.fail));
      expect(clock.countTimers()).to.equal(2);
      clock.tick(50);
      for (const stop of stops) stop();
      expect(clock.countTimers()).to.equal(0);
    });
  });

  it("that is late lets what has arrived meanwhile be read first", async () => {
    const server = createServer((socket) => {
      // the line is in the kernel's hands before the process is busy
      socket.end("in time");
      const end = performance.now() + 100;
      while (performance.now() < end);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    const seen: string[] = [];
    const fired = new Promise<void>((resolve) => {
      startTimer(50, () => {
        seen.push("timer");
        resolve();
      });
    });
    socket.on("data", (data) => seen.push(String(data)));
    await fired;
    await once(server.close(), "close");
    expect(seen).to.deep.equal(["in time", "timer"]);
  });
});
