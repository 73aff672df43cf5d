import { expect } from "chai";
import sinon from "sinon";
import type { ClientDriver, ClientEvents, ClientState } from "../../lib/server/redis/client-driver.js";
import { ClientRedis } from "../../lib/server/redis/client-redis.js";
import { historyNames, KEEP } from "../../lib/server/redis/history-log.js";
import { entriesKey, memberNames } from "../../lib/server/redis/member-list.js";
import { serverNames } from "../../lib/server/redis/server-list.js";
import { SharedClient } from "../../lib/server/redis/shared-client.js";
import type { Trial } from "../../lib/server/redis/trial.js";

/** Lets every promise that is settled already run its handlers, and a command of this turn be sent. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

const BOUNDS = { size: 100, ttl: 60_000, positionTtl: 600_000 };
const TIMES = { overdueAfter: 5000, deadAfter: 15_000, goneFor: 60_000 };
const ROOM = historyNames("shop:", "room");
const FORBIDDEN_KEY = "NOPERM No permissions to access a key";

type Command = Exclude<keyof ClientDriver, "state" | "settings" | "attach" | "detach">;

/** A client that answers what the test says, and what it was asked. */
class FakeClient {
  state: ClientState = "ready";
  keyPrefix = "";
  events: ClientEvents | undefined;
  readonly sent: [command: string, ...args: unknown[]][] = [];
  readonly answers: Partial<Record<Command, unknown>> = {};
  readonly shared: SharedClient;

  constructor() {
    const driver = {
      state: () => this.state,
      settings: () => ({ user: "app", keyPrefix: this.keyPrefix }),
      attach: () => {},
      detach: () => {},
    };
    this.shared = SharedClient.of(this, (events) => {
      this.events = events;
      return new Proxy(driver, {
        get: (target, name: string) => Reflect.get(target, name) ?? this.#commandOf(name as Command),
      }) as unknown as ClientDriver;
    });
  }

  #commandOf(name: Command) {
    return async (...args: unknown[]) => {
      this.sent.push([name, ...args]);
      const answer = this.answers[name];
      if (answer instanceof Error) throw answer;
      return answer;
    };
  }
}

describe("Redis by a client that servers may share", () => {
  let client: FakeClient;
  let redis: ClientRedis;

  beforeEach(() => {
    client = new FakeClient();
    redis = new ClientRedis(client.shared, { tokenPrefix: "token:", channelPrefix: "shop:" });
  });
  afterEach(() => redis.release());

  const messageOf = async (promise: Promise<unknown>) => {
    const [outcome] = await Promise.allSettled([promise]);
    return outcome?.status === "rejected" ? String(outcome.reason.message) : undefined;
  };
  /** The key, or the number of keys, and the arguments of the script that was given last. */
  const script = () => {
    const [, , keys, args] = client.sent.at(-1) ?? [];
    return { keys, args } as { keys: string[]; args: string[] };
  };

  it("has commands of a few words", async () => {
    client.answers.take = "value";
    client.answers.list = ["a", "b"];
    client.answers.publish = "3";
    client.answers.info = "used_memory:1";
    await redis.ping();
    await redis.set("token:1", "value", 1000);
    expect(await redis.take("token:1")).to.equal("value");
    await redis.append("list", "c", 10, 500);
    await redis.remove("list", "a");
    expect(await redis.list("list")).to.deep.equal(["a", "b"]);
    expect(await redis.publish("shop:room", "hello")).to.equal(3);
    expect(await redis.info()).to.equal("used_memory:1");
    client.answers.info = null;
    expect(await redis.info()).to.equal("");
    expect(client.sent).to.deep.equal([
      ["ping"],
      ["set", "token:1", "value", 1000],
      ["take", "token:1"],
      ["push", "list", "c"],
      ["trim", "list", 10],
      ["expire", "list", 500],
      ["remove", "list", "a"],
      ["list", "list"],
      ["publish", "shop:room", "hello"],
      ["info"],
      ["info"],
    ]);
  });

  it("reads what its scripts answer", async () => {
    const names = serverNames("shop:");
    client.answers.evaluate = ["1", "3", "1", "dead", "late"];
    const beat = await redis.beat(names, TIMES, "here", "{}");
    expect(beat).to.deep.equal({ wasAlive: true, alive: 3, dead: ["dead"], overdue: ["late"] });
    expect(script().args.slice(0, 2)).to.deep.equal(["here", "{}"]);
    client.answers.evaluate = ["9", "a", "5", "0", "{}"];
    expect(await redis.servers(names)).to.deep.equal([{ id: "a", at: 5, age: 4, isGone: false, json: "{}" }]);
    client.answers.evaluate = ["1"];
    expect(await redis.forgetServer(names, TIMES, "a")).to.equal(true);
    client.answers.evaluateKnown = ["0"];
    expect(await redis.forgetServer(names, TIMES, "a")).to.equal(false);
    await redis.endServer(names, "here");
    expect(script().args).to.deep.equal(["here"]);
    const room = memberNames("shop:", "room");
    client.answers.evaluate = ["e", "4", "1", "0", "ann", '{"i":"null","s":"1","u":2,"t":3,"e":{"here":2}}'];
    const page = await redis.readMembers(room, "7");
    expect([
      page.at,
      page.count,
      page.next,
      page.members.map(({ id, sockets }) => [id, sockets]),
    ]).to.deep.equal([{ epoch: "e", version: 4 }, 1, undefined, [["ann", 2]]]);
    expect(script()).to.deep.equal({ keys: [room.members], args: ["7", "500"] });
    client.answers.evaluate = ["", "0", "e", "1", "gone", ""];
    const batch = { server: "here", channel: "room", limit: 9, isCount: false, changes: [] };
    const { outcomes } = await redis.changeMembers("shop:", room, batch);
    expect(outcomes).to.deep.equal([{ type: "gone" }]);
    client.answers.evaluate = ["12", "x", "y"];
    const key = entriesKey("shop:", room.partition, "here");
    expect(await redis.readEntries(key, 5, 100)).to.deep.equal({ now: 12, entries: ["x", "y"] });
    expect(script()).to.deep.equal({ keys: [key], args: ["5", "100"] });
  });

  it("reads a history in the direction of the query", async () => {
    client.answers.evaluate = ["e.2.7", "5", "2", "2-7", "6 5 two", "1-6", "0 5 one"];
    const page = await redis.read(ROOM, BOUNDS, { count: 2, bytes: 100 });
    expect(page.entries.map(({ json }) => json)).to.deep.equal(["one", "two"]);
    client.answers.evaluateKnown = ["e.2.7", "5", "2", "1-6", "0 5 one", "2-7", "6 5 two"];
    const forward = await redis.read(ROOM, BOUNDS, { from: 1, count: 2, bytes: 100 });
    expect(forward.entries.map(({ json }) => json)).to.deep.equal(["one", "two"]);
  });

  for (const [what, act] of [
    ["a command", () => redis.publish("shop:hall", "after")],
    ["a script", () => redis.servers(serverNames("shop:"))],
  ] as const) {
    it(`has messages kept together, and before ${what} that is given afterwards`, async () => {
      client.answers.evaluate = ["e.1.5", "0", "e.2.6", "0"];
      const keeping = ["1", "2"].map((json) => redis.keep(ROOM, BOUNDS, { json }));
      const doing = act();
      expect(await Promise.all(keeping)).to.deep.equal([
        { at: "e.1.5", isRepeated: false },
        { at: "e.2.6", isRepeated: false },
      ]);
      client.answers.evaluate = ["5"];
      await doing;
      const [[first, text] = [], [second, other] = []] = client.sent;
      expect([first, text, client.sent.length]).to.deep.equal(["evaluate", KEEP.text, 2]);
      expect([second, other]).not.to.deep.equal([first, text]);
    });
  }

  it("rejects where Redis holds no history but something else", async () => {
    client.answers.evaluate = ["e.1.5"];
    expect(await messageOf(redis.keep(ROOM, BOUNDS, { json: "1" }))).to.match(/^Redis holds something else/);
  });

  it("says which rights are needed, by the keys and channels of this server", async () => {
    const refuse = (name: Command, message: string) => {
      client.answers[name] = new Error(message);
    };
    refuse("set", FORBIDDEN_KEY);
    expect(await messageOf(redis.set("token:1", "", 1))).to.match(/ACL SETUSER app ~token:\*$/);
    expect(await messageOf(redis.set("token-sockjs:1", "", 1))).to.match(/ ~token-sockjs:\*$/);
    client.keyPrefix = "app:";
    expect(await messageOf(redis.set("token:1", "", 1))).to.match(/ ~app:token:\*$/);
    client.keyPrefix = "";
    refuse("publish", "NOPERM No permissions to access a channel");
    expect(await messageOf(redis.publish("shop:room", ""))).to.match(/ &shop:\*$/);
    refuse("subscribe", "NOPERM this user has no permissions to run the 'subscribe' command");
    expect(await messageOf(redis.subscribe("shop:room", () => {}))).to.match(/ \+subscribe$/);
    refuse("subscribe", "NOPERM this command is not allowed");
    expect(await messageOf(redis.subscribe("shop:room", () => {}))).to.match(/ \+subscribe$/);
    refuse("evaluate", FORBIDDEN_KEY);
    expect(await messageOf(redis.servers(serverNames("shop:")))).to.match(/ ~token-sockjs:\*$/);
    const words: readonly [Command, () => Promise<unknown>, string][] = [
      ["ping", () => redis.ping(), "+ping"],
      ["take", () => redis.take("token:1"), "+getdel"],
      ["push", () => redis.append("list", "", 1, 1), "+rpush +ltrim +pexpire"],
      ["remove", () => redis.remove("list", ""), "+lrem"],
      ["list", () => redis.list("list"), "+lrange"],
      ["publish", () => redis.publish("shop:room", ""), "+publish"],
      ["info", () => redis.info(), "+info"],
      ["set", () => redis.set("token:1", "", 1), "+set"],
    ];
    for (const [name, act, rule] of words) {
      refuse(name, "NOPERM this command is not allowed");
      const message = await messageOf(act());
      expect(message?.slice(message.indexOf("+"))).to.equal(rule);
    }
  });

  it("tells of errors of the client with what to do about them, until nobody listens", () => {
    const told: Error[] = [];
    const stop = redis.onError((error) => told.push(error as Error));
    client.events?.failed(new Error("NOAUTH Authentication required."));
    client.events?.failed(new Error("ECONNREFUSED"));
    expect(told.map(({ message }) => message)).to.deep.equal([
      "NOAUTH Authentication required: Redis asks for a password: give the client `username` and `password`",
      "ECONNREFUSED",
    ]);
    // what it does by itself is to subscribe again
    client.events?.failed(new Error("NOPERM this command is not allowed"));
    expect(told[2]?.message).to.match(/ \+subscribe$/);
    stop();
    client.events?.failed(new Error("ECONNREFUSED"));
    expect(told).to.have.length(3);
  });

  it("brings messages to listeners, and says how many there are", async () => {
    const listener = sinon.spy();
    await redis.subscribe("shop:room", listener);
    client.events?.message("shop:room", "hello");
    expect([redis.listeners("shop:room"), redis.listeners("shop:hall")]).to.deep.equal([1, 0]);
    await redis.unsubscribe("shop:room", listener);
    client.events?.message("shop:room", "hello");
    sinon.assert.calledOnceWithExactly(listener, "hello", "shop:room");
    expect(redis.listeners("shop:room")).to.equal(0);
  });

  it("says when the client is back", async () => {
    const onReturn = sinon.spy();
    redis.onReturn(onReturn);
    client.events?.lost();
    expect(redis.isReady).to.equal(false);
    client.events?.ready();
    await settled();
    expect(onReturn.callCount).to.equal(1);
  });

  it("is ready with the client, until it is released, after which it takes nothing", async () => {
    expect(redis.isReady).to.equal(true);
    await redis.ready();
    client.answers.evaluate = ["e.1.5", "0"];
    // what was given before goes first
    const keeping = redis.keep(ROOM, BOUNDS, { json: "1" });
    redis.release();
    redis.release();
    expect((await keeping).at).to.equal("e.1.5");
    expect(redis.isReady).to.equal(false);
    const { length } = client.sent;
    const refused = [
      redis.ready(),
      redis.ping(),
      redis.take("token:1"),
      redis.keep(ROOM, BOUNDS, { json: "1" }),
      redis.read(ROOM, BOUNDS, { count: 1, bytes: 1 }),
      redis.subscribe("shop:room", () => {}),
    ];
    for (const one of refused)
      expect(await messageOf(one)).to.equal("The Redis client is not in use any more");
    expect(client.sent).to.have.length(length);
  });

  describe("in a rehearsal", () => {
    const trial = (commands: string, message: string | undefined, more: Partial<Trial> = {}): Trial => ({
      commands,
      key: "token-sockjs:trial",
      run: async () => {
        if (message !== undefined) throw new Error(message);
      },
      ...more,
    });
    const rehearse = async (...trials: Trial[]) => {
      const errors = await redis.rehearse(trials);
      return errors.map(({ message }) => message.replace(/.*ACL SETUSER app /, ""));
    };
    const forbidden = (name: string) => `NOPERM User app has no permissions to run the '${name}' command`;
    const ofScript =
      "ERR Error running script: The user executing the script can't run this command or subcommand";

    it("says nothing where Redis refuses nothing", async () => {
      expect(await rehearse(trial("set", undefined), trial("getdel", undefined))).to.deep.equal([]);
    });

    it("says each cause once", async () => {
      const errors = await rehearse(
        trial("set", forbidden("set")),
        trial("getdel", undefined),
        trial("rpush", FORBIDDEN_KEY),
        trial("lrem", FORBIDDEN_KEY),
        trial("ping", "LOADING Redis is loading the dataset in memory"),
        trial("list", "LOADING Redis is loading the dataset in memory"),
      );
      expect(errors).to.deep.equal([
        "+set",
        "~token-sockjs:*",
        "LOADING Redis is loading the dataset in memory",
      ]);
    });

    it("leaves out what follows from what was refused before, and nothing else", async () => {
      const script = { uses: "get" };
      expect(await rehearse(trial("get", forbidden("get")), trial("eval", ofScript, script))).to.deep.equal([
        "+get",
      ]);
      const other = await rehearse(trial("get", forbidden("get")), trial("eval", FORBIDDEN_KEY, script));
      expect(other).to.deep.equal(["+get", "~token-sockjs:*"]);
      const known = await rehearse(trial("get", undefined), trial("eval", ofScript, script));
      expect(known).to.have.length(1);
      const after = trial("unsubscribe", forbidden("unsubscribe"), { after: "subscribe" });
      expect(await rehearse(trial("subscribe", forbidden("subscribe")), after)).to.deep.equal(["+subscribe"]);
      expect(await rehearse(trial("subscribe", undefined), after)).to.deep.equal(["+unsubscribe"]);
    });

    it("does without what is not needed, unless it is forbidden", async () => {
      const isOptional = { isOptional: true };
      expect(await rehearse(trial("info", "ERR unknown command 'info'", isOptional))).to.deep.equal([]);
      expect(await rehearse(trial("info", forbidden("info"), isOptional))).to.deep.equal(["+info"]);
    });

    it("rejects where there was no answer", async () => {
      for (const message of ["Closed in the state LOADING of Redis", "ECONNREFUSED"]) {
        const failing = [trial("set", forbidden("set")), trial("getdel", message)];
        expect(await messageOf(redis.rehearse(failing))).to.equal(message);
      }
    });
  });
});
