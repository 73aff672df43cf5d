import type { IncomingMessage } from "node:http";
import { PassThrough } from "node:stream";
import { expect } from "chai";
import sinon from "sinon";
import { readBody } from "../../lib/server/http/body.js";
import { inTime } from "../../lib/server/limits/in-time.js";

describe("a time that is longer than a timer can wait", () => {
  const LONG = 2 ** 31;
  let clock: sinon.SinonFakeTimers;

  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  });
  afterEach(() => clock.restore());

  it("is not over at once for Redis", async () => {
    const waiting = inTime(LONG, new Promise((resolve) => setTimeout(resolve, 60_000, "late")));
    clock.tick(60_000);
    expect(await waiting).to.equal("late");
  });

  it("is not over at once for a body", async () => {
    const body = Object.assign(new PassThrough(), { headers: {} });
    const read = new Promise((resolve) => {
      readBody(body as unknown as IncomingMessage, { bytes: 100, time: LONG, all: undefined }, resolve);
    });
    clock.tick(60_000);
    body.end("late");
    expect(String(await read)).to.equal("late");
  });
});
