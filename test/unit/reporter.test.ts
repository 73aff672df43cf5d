import { AsyncLocalStorage } from "node:async_hooks";
import { expect } from "chai";
import sinon from "sinon";
import { Reporter } from "../../lib/server/log/reporter.js";
import { reported } from "../support/condition.js";

describe("Reporter", () => {
  let log: string[];
  let told: { message: string; context: string }[];
  let listens: boolean;
  let reporter: Reporter;

  beforeEach(() => {
    log = [];
    told = [];
    listens = true;
    const write = (line: string) => log.push(line);
    reporter = new Reporter({ error: write, warn: write, info: write }, false, (error, context) => {
      if (listens) told.push({ message: error.message, context });
      return listens;
    });
  });
  afterEach(() => sinon.restore());

  it("tells errors in a turn of their own, in order", async () => {
    reporter.error("a", new Error("first"));
    reporter.outage("b", new Error("second"));
    await Promise.resolve();
    expect(told).to.deep.equal([]);
    await reported();
    expect(told).to.deep.equal([
      { message: "first", context: "a" },
      { message: "second", context: "b" },
    ]);
  });

  it("tells an error where it was reported, as AsyncLocalStorage has it", async () => {
    const storage = new AsyncLocalStorage<string>();
    const stores: unknown[] = [];
    reporter = new Reporter({ error() {}, warn() {}, info() {} }, false, () => {
      stores.push(storage.getStore());
      return true;
    });
    storage.run("one", () => reporter.error("a", new Error("first")));
    storage.run("two", () => reporter.error("a", new Error("second")));
    await reported();
    expect(stores).to.deep.equal(["one", "two"]);
  });

  it("logs the errors within one that has no message, with host and code", async () => {
    listens = false;
    const refused = ["::1", "127.0.0.1"].map((host) =>
      Object.assign(new Error(`connect ECONNREFUSED ${host}:6379`), { code: "ECONNREFUSED" }),
    );
    const all = new AggregateError(refused);
    all.errors.push(all);
    reporter.outage("a Redis client's error", all);
    await reported();
    expect(log.join("\n")).to.include(
      "a Redis client's error: connect ECONNREFUSED ::1:6379; connect ECONNREFUSED 127.0.0.1:6379",
    );
    log.length = 0;
    reporter.error("publishing failed", all);
    await reported();
    for (const host of ["::1", "127.0.0.1"]) expect(log.join("\n")).to.include(`ECONNREFUSED ${host}:6379`);
  });

  for (const who of ["a listener", "the log"]) {
    it(`tells ${who} of each outage once a minute, also where several alternate`, async () => {
      listens = who === "a listener";
      const clock = sinon.useFakeTimers({ toFake: ["performance", "setTimeout"] });
      const count = () => (listens ? told : log).length;
      const fail = async () => {
        reporter.outage("a Redis client's error", new Error("refused"));
        reporter.outage("Redis cannot be used yet", new Error("forbidden"));
        await reported();
        clock.tick(1000);
      };
      for (let second = 0; second < 59; second++) await fail();
      expect(count()).to.equal(2);
      clock.tick(1000);
      await fail();
      expect(count()).to.equal(4);
    });
  }

  it("remembers a hundred outages, and forgets the one that was told first", async () => {
    const clock = sinon.useFakeTimers({ toFake: ["setTimeout"] });
    const fail = async (n: number) => {
      reporter.outage("outage", new Error(`outage ${n}`));
      await reported();
    };
    for (let n = 0; n <= 100; n++) await fail(n);
    await fail(1);
    expect(told).to.have.lengthOf(101);
    await fail(0);
    expect(told).to.have.lengthOf(102);
    clock.tick(1000);
  });

  it("keeps nobody waiting who is told of an error that comes of telling", async () => {
    let count = 0;
    const failing = new Reporter({ error() {}, warn() {}, info() {} }, false, () => {
      count++;
      if (count < 5) void Promise.resolve().then(() => failing.error("again", new Error("and again")));
      return true;
    });
    failing.error("again", new Error("and again"));
    for (let turn = 1; turn <= 5; turn++) {
      await reported();
      expect(count).to.equal(turn);
    }
  });

  it("counts what is told too often within a second, of one kind and of kinds without number", async () => {
    const clock = sinon.useFakeTimers({ toFake: ["setTimeout"] });
    listens = false;
    for (let n = 0; n < 150; n++) reporter.error("a kind", new Error("of many"));
    for (let n = 0; n < 2000; n++) reporter.error(`kind ${n}`, new Error("of one"));
    await reported();
    expect(log.filter((line) => line.includes("of many"))).to.have.lengthOf(100);
    expect(log).to.have.lengthOf(1000);
    log.length = 0;
    clock.tick(1000);
    expect(log[0]).to.equal("node-token-sockjs: a kind: of many (50 more times within a second)");
    const counted = log.map((line) => Number(/\((\d+) more times within a second\)$/.exec(line)?.[1]));
    expect(counted.reduce((sum, count) => sum + count, 0)).to.equal(150 + 2000 - 1000);
    expect(log.at(-1)).to.match(/errors of other kinds \(1001 more times/);
  });

  it("keeps little of what it counts, however long the messages are", async () => {
    const clock = sinon.useFakeTimers({ toFake: ["setTimeout"] });
    for (let n = 0; n < 101; n++) reporter.error("context", new Error("x".repeat(100_000)));
    clock.tick(1000);
    expect(log).to.have.lengthOf(1);
    expect(log[0]?.length).to.be.below(300);
  });

  it("leaves out what is only for debugging and cannot be read", () => {
    const debugging = new Reporter(
      { error() {}, warn() {}, info: (line) => log.push(line) },
      true,
      () => true,
    );
    debugging.debug(() => {
      throw new Error("unreadable");
    });
    debugging.debug(() => "readable");
    expect(log).to.deep.equal(["node-token-sockjs: readable"]);
  });

  const unreadable = (name: string) =>
    Object.defineProperty(new Error("x"), name, {
      get() {
        throw new Error(name);
      },
    });
  for (const [name, error] of Object.entries({
    message: unreadable("message"),
    name: unreadable("name"),
    stack: unreadable("stack"),
    cause: unreadable("cause"),
    "text of its stack": Object.defineProperty(new Error("x"), "stack", { value: Object.create(null) }),
  })) {
    it(`tells of an error whose ${name} cannot be read`, async () => {
      listens = false;
      reporter.error("reading", error);
      reporter.outage("outage", error);
      await reported();
      expect(log).to.have.lengthOf(2);
      expect(log[0]).to.match(/^node-token-sockjs: reading: /);
    });
  }
});
