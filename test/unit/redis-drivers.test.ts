import { EventEmitter } from "node:events";
import { expect } from "chai";
import sinon from "sinon";
import {
  attempt,
  type ClientDriver,
  settingsOf,
  toText,
  toTexts,
} from "../../lib/server/redis/client-driver.js";
import { type IORedisClient, IORedisDriver } from "../../lib/server/redis/ioredis.js";
import { type NodeRedisClient, NodeRedisDriver } from "../../lib/server/redis/node-redis.js";

/** What a driver tells of its client. */
function listener() {
  const told: unknown[][] = [];
  const tell =
    (name: string) =>
    (...args: unknown[]) =>
      void told.push([name, ...args]);
  const events = {
    ready: tell("ready"),
    lost: tell("lost"),
    ended: tell("ended"),
    failed: tell("failed"),
    message: tell("message"),
  };
  return { told, events };
}

/** A client that emits, and that answers each other method with what the test says. */
class FakeClient extends EventEmitter {
  isOpen = true;
  isReady = true;
  status = "ready";
  readonly sent: unknown[][] = [];
  answer: (name: string) => unknown = async () => null;

  constructor(names: readonly string[]) {
    super();
    for (const name of names) {
      Object.defineProperty(this, name, {
        value: (...args: unknown[]) => {
          this.sent.push([name, ...args]);
          return this.answer(name);
        },
        writable: true,
        configurable: true,
        enumerable: true,
      });
    }
  }
}

const messageOf = async (promise: Promise<unknown>) => {
  const [outcome] = await Promise.allSettled([promise]);
  return outcome?.status === "rejected" ? String(outcome.reason.message) : undefined;
};

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Gives each command once but those of subscriptions. */
async function giveAll(driver: ClientDriver): Promise<void> {
  await driver.ping();
  await driver.set("key", "value", 500);
  await driver.take("key");
  await driver.push("list", "value");
  await driver.trim("list", 10);
  await driver.expire("list", 700);
  await driver.remove("list", "value");
  await driver.list("list");
  await driver.publish("room", "hello");
  await driver.evaluate("return 1", ["a", "b"], ["c"]);
  await driver.evaluateKnown("5ha", ["a", "b"], ["c"]);
  await driver.info();
}

/** What both kinds of client answer, as the driver gives it. */
async function expectTexts(client: FakeClient, driver: ClientDriver): Promise<void> {
  client.answer = async () => Buffer.from("value");
  expect([await driver.take("key"), await driver.info()]).to.deep.equal(["value", "value"]);
  client.answer = async () => undefined;
  expect([await driver.take("key"), await driver.info()]).to.deep.equal([null, null]);
  client.answer = async () => [Buffer.from("a"), 2];
  for (const values of [driver.list("list"), driver.evaluate("", [], []), driver.evaluateKnown("", [], [])]) {
    expect(await values).to.deep.equal(["a", "2"]);
  }
}

describe("A client of node-redis", () => {
  const COMMANDS =
    "ping set getDel rPush lTrim pExpire lRem lRange publish subscribe unsubscribe eval evalSha info";
  let client: FakeClient & { withCommandOptions?: (options: object) => object };
  let told: unknown[][];
  let driver: NodeRedisDriver;

  const drive = (driven: object = client) => {
    const { told: all, events } = listener();
    told = all;
    driver = new NodeRedisDriver(driven as NodeRedisClient, events);
    return driver;
  };

  beforeEach(() => {
    client = new FakeClient(COMMANDS.split(" "));
    drive();
  });

  it("is given commands in its words", async () => {
    await giveAll(driver);
    const script = { keys: ["a", "b"], arguments: ["c"] };
    expect(client.sent).to.deep.equal([
      ["ping"],
      ["set", "key", "value", { PX: 500 }],
      ["getDel", "key"],
      ["rPush", "list", "value"],
      ["lTrim", "list", -10, -1],
      ["pExpire", "list", 700],
      ["lRem", "list", -1, "value"],
      ["lRange", "list", 0, -1],
      ["publish", "room", "hello"],
      ["eval", "return 1", script],
      ["evalSha", "5ha", script],
      ["info", "memory"],
    ]);
  });

  it("answers with texts, whatever its owner has asked it for", () => expectTexts(client, driver));

  it("answers nothing to what it does not have", async () => {
    for (const name of ["eval", "evalSha", "info"]) Reflect.deleteProperty(client, name);
    expect([
      await driver.evaluate("", [], []),
      await driver.evaluateKnown("", [], []),
      await driver.info(),
    ]).to.deep.equal([[], [], null]);
  });

  it("gives the answers to other commands as they are", async () => {
    client.answer = async (name) => `${name}ed`;
    const answers = [
      driver.ping(),
      driver.push("", ""),
      driver.trim("", 1),
      driver.expire("", 1),
      driver.remove("", ""),
    ];
    expect(await Promise.all(answers)).to.deep.equal(["pinged", "rPushed", "lTrimed", "pExpireed", "lRemed"]);
    const others = [
      driver.set("", "", 1),
      driver.publish("", ""),
      driver.subscribe([]),
      driver.unsubscribe([]),
    ];
    expect(await Promise.all(others)).to.deep.equal(["seted", "published", "subscribeed", "unsubscribeed"]);
  });

  it("is ready where it says so, and waits otherwise", () => {
    expect(driver.state()).to.equal("ready");
    client.isReady = false;
    expect(driver.state()).to.equal("waiting");
  });

  it("subscribes with one listener, which gets the messages", async () => {
    await driver.subscribe(["room", "hall"]);
    await driver.unsubscribe(["room"]);
    const [[, joined, onMessage] = [], [, left, same] = []] = client.sent;
    expect([joined, left, same]).to.deep.equal([["room", "hall"], ["room"], onMessage]);
    (onMessage as (payload: string, channel: string) => void)("hello", "room");
    expect(told).to.deep.equal([["message", "room", "hello"]]);
  });

  it("refuses to subscribe when it is closed, where it would wait for ever", async () => {
    client.isOpen = false;
    for (const refused of [driver.subscribe(["room"]), driver.unsubscribe(["room"])]) {
      expect(await messageOf(refused)).to.equal("The Redis client is closed");
    }
    expect(client.sent).to.deep.equal([]);
  });

  it("tells of its connection, and of errors, as long as it is listened to", () => {
    driver.attach();
    const [error, last] = [new Error("ECONNREFUSED"), new Error("given up")];
    client.emit("ready");
    client.emit("reconnecting");
    client.emit("error", error);
    client.emit("end");
    client.isOpen = false;
    client.emit("error", last);
    const all = [
      ["ready"],
      ["lost"],
      ["failed", error],
      ["ended", undefined],
      ["failed", last],
      ["ended", last],
    ];
    expect(told).to.deep.equal(all);
    driver.detach();
    client.on("error", () => {});
    for (const event of ["ready", "reconnecting", "error", "end"]) client.emit(event);
    expect(told).to.have.length(all.length);
  });

  it("hears its events when it is listened to again, also where it only inherits from what emits them", () => {
    const derived = Object.create(client);
    drive(derived);
    for (let n = 1; n <= 2; n++) {
      driver.attach();
      client.emit("ready");
      expect(told).to.have.length(n);
      driver.detach();
    }
  });

  it("keeps a listener that hears nothing where it would have none, and nothing where it has its owner's", () => {
    driver.attach();
    driver.detach();
    expect(client.eventNames().map((event) => typeof event)).to.deep.equal(["symbol"]);
    for (const event of ["ready", "connect"]) {
      client = new FakeClient([]);
      client.on(event, () => {});
      drive();
      driver.attach();
      driver.detach();
      expect(client.eventNames()).to.deep.equal([event]);
    }
  });

  describe("with a limit of the time that a command may wait", () => {
    let without: FakeClient;
    const limits: object[] = [];

    beforeEach(() => {
      without = new FakeClient(COMMANDS.split(" "));
      limits.length = 0;
      client.withCommandOptions = (options) => {
        limits.push(options);
        return without;
      };
      drive();
    });

    it("is given the frequent commands without it while it is connected", async () => {
      await giveAll(driver);
      expect(limits).to.deep.equal([{ timeout: undefined }]);
      const names = without.sent.map(([name]) => name);
      expect(names).to.deep.equal(["set", "getDel", "publish", "eval", "evalSha"]);
      client.isReady = false;
      await driver.publish("room", "hello");
      expect([without.sent.length, client.sent.at(-1)]).to.deep.equal([5, ["publish", "room", "hello"]]);
    });

    it("is given no more than a thousand at once without it, however they end", async () => {
      let refuse = (_error: Error) => {};
      const refused = new Promise((_, reject) => {
        refuse = reject;
      });
      without.answer = () => refused;
      const under = Array.from({ length: 1000 }, () => driver.publish("room", "hello"));
      await driver.publish("room", "too many");
      expect([without.sent.length, client.sent.length]).to.deep.equal([1000, 1]);
      refuse(new Error("gone"));
      await Promise.allSettled(under);
      without.answer = async () => 1;
      for (let n = 0; n < 1001; n++) await driver.publish("room", "hello");
      expect([without.sent.length, client.sent.length]).to.deep.equal([2001, 1]);
    });
  });
});

describe("A client of ioredis", () => {
  const COMMANDS =
    "ping set getdel rpush ltrim pexpire lrem lrange publish subscribe unsubscribe eval evalsha info connect";
  const OWNERS_TIME = 1000;
  let clock: sinon.SinonFakeTimers;
  let client: FakeClient;
  let told: unknown[][];
  let driver: IORedisDriver;

  const drive = () => {
    const { told: all, events } = listener();
    told = all;
    driver = new IORedisDriver(client as unknown as IORedisClient, events);
    driver.attach();
  };
  const names = () => client.sent.map(([name]) => name);

  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    client = new FakeClient(COMMANDS.split(" "));
    drive();
  });
  afterEach(() => {
    driver.detach();
    clock.restore();
  });

  it("is given commands in its words", async () => {
    await giveAll(driver);
    await driver.subscribe(["room", "hall"]);
    await driver.unsubscribe(["room", "hall"]);
    expect(client.sent).to.deep.equal([
      ["ping"],
      ["set", "key", "value", "PX", 500],
      ["getdel", "key"],
      ["rpush", "list", "value"],
      ["ltrim", "list", -10, -1],
      ["pexpire", "list", 700],
      ["lrem", "list", -1, "value"],
      ["lrange", "list", 0, -1],
      ["publish", "room", "hello"],
      ["eval", "return 1", 2, "a", "b", "c"],
      ["evalsha", "5ha", 2, "a", "b", "c"],
      ["info", "memory"],
      ["subscribe", "room", "hall"],
      ["unsubscribe", "room", "hall"],
    ]);
  });

  it("answers with texts, whatever its owner has asked it for", async () => {
    await expectTexts(client, driver);
    Reflect.deleteProperty(client, "info");
    expect(await driver.info()).to.equal(null);
  });

  it("is ready or ended where it says so, and on its way otherwise", () => {
    const states = ["wait", "connecting", "connect", "ready", "reconnecting", "close", "end"].map(
      (status) => {
        client.status = status;
        return driver.state();
      },
    );
    const waiting = "waiting";
    expect(states).to.deep.equal([waiting, waiting, waiting, "ready", waiting, waiting, "ended"]);
  });

  it("tells of its connection, of messages and errors, as long as it is listened to", () => {
    const error = new Error("ECONNREFUSED");
    client.emit("ready");
    client.emit("message", Buffer.from("room"), Buffer.from("hello"));
    client.emit("error", error);
    client.emit("close");
    client.emit("end");
    const all = [["ready"], ["message", "room", "hello"], ["failed", error], ["lost"], ["ended", undefined]];
    expect(told).to.deep.equal(all);
    driver.detach();
    expect(client.eventNames()).to.deep.equal([]);
  });

  for (const event of ["ready", "close", "end"]) {
    it(`is given commands that come before it is ready in their order, when it tells of: ${event}`, async () => {
      client.status = "connect";
      const first = driver.ping();
      client.status = "ready";
      const second = driver.set("key", "value", 1);
      client.answer = () => {
        throw new Error("Connection is closed.");
      };
      expect(names()).to.deep.equal([]);
      client.emit(event);
      expect(names()).to.deep.equal(["ping", "set"]);
      expect(await messageOf(first)).to.equal("Connection is closed.");
      expect(await messageOf(second)).to.equal("Connection is closed.");
      client.answer = async () => "PONG";
      expect(await driver.ping()).to.equal("PONG");
    });
  }

  it("is given what waits when nobody listens to it any more", async () => {
    client.status = "connect";
    const waiting = driver.ping();
    driver.detach();
    await waiting;
    expect(names()).to.deep.equal(["ping"]);
  });

  it("fails where its connection is closed before it has told anything of it, once", () => {
    const failures = () => told.filter(([name]) => name === "failed").map(([, error]) => String(error));
    client.emit("reconnecting");
    expect(failures()).to.deep.equal([]);
    client.emit("connect");
    client.emit("reconnecting");
    client.emit("reconnecting");
    expect(failures()).to.deep.equal(["Error: Connection is closed"]);
    for (const event of ["ready", "error"]) {
      client.emit("connect");
      client.emit(event, "of its own");
      client.emit("reconnecting");
    }
    expect(failures()).to.deep.equal(["Error: Connection is closed", "of its own"]);
  });

  it("is asked to connect where its owner has not done so after a second", async () => {
    client.status = "wait";
    client.answer = () => Promise.reject(new Error("ECONNREFUSED"));
    await clock.tickAsync(OWNERS_TIME - 1);
    expect(names()).to.deep.equal([]);
    await clock.tickAsync(1);
    expect(names()).to.deep.equal(["connect"]);
    await settled();
  });

  it("is not asked to connect where it does so already, where it cannot, or where nobody listens any more", async () => {
    client.status = "connecting";
    await clock.tickAsync(OWNERS_TIME);
    expect(names()).to.deep.equal([]);
    driver.detach();
    client = new FakeClient(["subscribe"]);
    client.status = "wait";
    drive();
    await clock.tickAsync(OWNERS_TIME);
    driver.detach();
    client = new FakeClient(COMMANDS.split(" "));
    client.status = "wait";
    drive();
    driver.detach();
    await clock.tickAsync(OWNERS_TIME);
    expect(names()).to.deep.equal([]);
  });

  describe("that subscribes again by itself", () => {
    const subscribe = () => (client as unknown as IORedisClient).subscribe("room");

    it("does not end the process where that fails, and gives what it gives", async () => {
      const failing = Promise.reject(new Error("Connection is closed."));
      client.answer = () => failing;
      expect(subscribe()).to.equal(failing);
      await settled();
      client.answer = () => undefined;
      expect(subscribe()).to.equal(undefined);
      expect(client.sent).to.deep.equal([
        ["subscribe", "room"],
        ["subscribe", "room"],
      ]);
    });

    it("has its own method again when nobody listens to it any more", () => {
      driver.detach();
      client = new FakeClient(COMMANDS.split(" "));
      const before = Object.getOwnPropertyDescriptor(client, "subscribe");
      drive();
      expect(client).to.have.property("subscribe").that.is.not.equal(before?.value);
      driver.detach();
      expect(Object.getOwnPropertyDescriptor(client, "subscribe")).to.deep.equal(before);
      const derived = Object.create(client);
      client = derived;
      drive();
      driver.detach();
      expect(Object.hasOwn(derived, "subscribe")).to.equal(false);
    });

    it("keeps what somebody has put around that method meanwhile", () => {
      const around = () => undefined;
      Reflect.set(client, "subscribe", around);
      driver.detach();
      expect(client).to.have.property("subscribe", around);
    });
  });
});

describe("The options of a client of Redis", () => {
  const cases: readonly [string, object | undefined, string | undefined, string][] = [
    ["none", undefined, "default", ""],
    ["no user", {}, "default", ""],
    ["a user", { username: "app", password: "secret" }, "app", ""],
    ["a password alone", { password: "secret" }, "default", ""],
    ["a user that a function gives", { credentialsProvider: {} }, undefined, ""],
    ["a password besides such a function", { password: "secret", credentialsProvider: {} }, "default", ""],
    ["a user besides such a function", { username: "app", credentialsProvider: {} }, "app", ""],
    ["a prefix of keys", { keyPrefix: "app:" }, "default", "app:"],
    ["a prefix of bytes", { keyPrefix: Buffer.from("app:") }, "default", "app:"],
  ];
  for (const [what, options, user, keyPrefix] of cases) {
    it(`tell its user and its prefix: ${what}`, () => {
      expect(settingsOf({ options })).to.deep.equal({ user, keyPrefix });
      const { events } = listener();
      const [one, other] = [new FakeClient([]), new FakeClient([])].map((each) =>
        Object.assign(each, { options }),
      );
      for (const driver of [
        new NodeRedisDriver(one as unknown as NodeRedisClient, events),
        new IORedisDriver(other as unknown as IORedisClient, events),
      ]) {
        expect(driver.settings()).to.deep.equal({ user, keyPrefix });
      }
    });
  }
});

describe("What a client of Redis answers", () => {
  it("is a text or nothing, or several", () => {
    expect([null, undefined, "", "a", 1].map(toText)).to.deep.equal([null, null, "", "a", "1"]);
    expect([undefined, null, "ab", ["a", 1]].map(toTexts)).to.deep.equal([[], [], [], ["a", "1"]]);
  });

  it("is a rejection where it throws", async () => {
    expect(await attempt(async () => 1)).to.equal(1);
    const thrown = attempt(() => {
      throw new Error("no");
    });
    expect(await messageOf(thrown)).to.equal("no");
  });
});
