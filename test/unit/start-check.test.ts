import { expect } from "chai";
import type { ClientDriver } from "../../lib/server/redis/client-driver.js";
import type { Redis } from "../../lib/server/redis/redis.js";
import {
  type ClientUse,
  checkClient,
  checkSubscriber,
  evictionWarning,
} from "../../lib/server/redis/start-check.js";
import type { Trial } from "../../lib/server/redis/trial.js";

const ALL: ClientUse = {
  tokenPrefix: "shop:tokens:",
  channelPrefix: "shop:",
  hasSubscriber: true,
  hasHistory: true,
  hasPresence: true,
  rates: { keyPrefix: "shop:rates", try: async () => "counted" },
};

/** What the client is asked for. */
let asked: unknown[][];

const driver = new Proxy({} as ClientDriver, {
  get:
    (_, name) =>
    async (...args: unknown[]) => {
      asked.push([name, ...args]);
    },
});

/** Redis, with what it is to rehearse. */
class Rehearsal {
  trials: readonly Trial[] = [];
  readonly redis: Redis;

  constructor() {
    const rehearse = async (trials: readonly Trial[]) => {
      this.trials = trials;
      return [];
    };
    this.redis = { rehearse } as unknown as Redis;
  }

  /** The commands of all trials, without those by which scripts are run. */
  get commands(): string[] {
    return this.trials.map(({ commands }) => commands.replace(/^eval evalsha (?!incrby)/, ""));
  }

  /** The trial that has a command. */
  of(command: string): Trial {
    return this.trials.find(({ commands }) => commands.split(" ").includes(command)) as Trial;
  }
}

describe("What a server tries at its start", () => {
  let rehearsal: Rehearsal;

  beforeEach(() => {
    rehearsal = new Rehearsal();
    asked = [];
  });

  const commandsFor = async (use: Partial<ClientUse>) => {
    expect(await checkClient(rehearsal.redis, { ...ALL, ...use })).to.deep.equal([]);
    return rehearsal.commands;
  };

  const OF_TOKENS = ["ping", "set", "getdel", "getdel"];
  const OF_LISTS = ["rpush", "ltrim", "pexpire", "lrem", "lrange"];
  const OF_REGISTRY = "time zscore zadd zrem zcount zrangebyscore hset hget hdel pexpire";
  const OF_RATES = "eval evalsha incrby pttl";
  const OF_HISTORY = "get del time xadd xlen xrange xrevrange xtrim";
  const OF_PRESENCE = "hlen hscan persist";
  const OF_PUBSUB = [...OF_TOKENS, ...OF_LISTS, "publish", OF_REGISTRY];

  it("is what it is going to use", async () => {
    expect(await commandsFor({})).to.deep.equal([...OF_PUBSUB, OF_RATES, OF_HISTORY, OF_PRESENCE]);
    const plain = { rates: undefined, hasHistory: false, hasPresence: false };
    expect(await commandsFor(plain)).to.deep.equal(OF_PUBSUB);
    expect(await commandsFor({ ...plain, hasHistory: true })).to.deep.equal([...OF_PUBSUB, OF_HISTORY]);
    expect(await commandsFor({ ...plain, hasPresence: true })).to.deep.equal([...OF_PUBSUB, OF_PRESENCE]);
  });

  it("is no history, presence and registry without pub/sub, which they need", async () => {
    expect(await commandsFor({ hasSubscriber: false })).to.deep.equal([...OF_TOKENS, OF_RATES]);
    expect(await commandsFor({ hasSubscriber: false, rates: undefined })).to.deep.equal(OF_TOKENS);
  });

  it("leaves nothing behind, and touches nothing that is in use", async () => {
    await commandsFor({});
    for (const trial of rehearsal.trials.slice(0, 10)) await trial.run(driver);
    const [first, last] = ["shop:tokens:{06S}", "shop:tokens:{6ZJ}"];
    const list = "token-sockjs:shop:check";
    expect(asked).to.deep.equal([
      ["ping"],
      ["set", first, "", 1],
      ["take", first],
      ["take", last],
      ["push", list, ""],
      ["trim", list, 1],
      ["expire", list, 1],
      ["remove", list, ""],
      ["list", list],
      ["publish", "shop:___sync___", '{"command":"check"}'],
    ]);
    expect(rehearsal.trials.slice(0, 10).map(({ key }) => key)).to.deep.equal([
      undefined,
      first,
      first,
      last,
      ...OF_LISTS.map(() => list),
      undefined,
    ]);
  });

  it("is a script by its text and by its hash, which need different rights", async () => {
    await commandsFor({});
    const { alive, info } = {
      alive: "token-sockjs:shop:check:{servers}alive",
      info: "token-sockjs:shop:check:{servers}info",
    };
    for (const [command, keys] of [
      ["zscore", [alive, info]],
      ["xadd", ["___check___"]],
      ["hlen", ["___check___"]],
    ] as const) {
      asked = [];
      const trial = rehearsal.of(command);
      await trial.run(driver);
      const [[byText, text, used, given] = [], [byHash, sha, ...again] = []] = asked as [
        ...[name: string, script: string, keys: string[], args: string[]],
      ][];
      expect([byText, byHash, asked.length]).to.deep.equal(["evaluate", "evaluateKnown", 2]);
      expect([given, again]).to.deep.equal([[], [used, []]]);
      expect(text).to.include(command.toUpperCase());
      expect(sha).to.match(/^[0-9a-f]{40}$/);
      expect(used).to.have.length(keys.length);
      for (const [index, key] of keys.entries()) expect(used?.[index]).to.include(key);
      expect(trial.key).to.equal(used?.[0]);
    }
  });

  it("tells nothing twice: the scripts follow from what is tried before them", async () => {
    await commandsFor({});
    const registry = rehearsal.of("zscore");
    const relations = (command: string) => {
      const { uses, after, key } = rehearsal.of(command);
      return { uses, after, key };
    };
    expect(relations("zscore")).to.deep.include({ uses: "pexpire", after: undefined });
    expect(relations("incrby")).to.deep.equal({ uses: "set", after: registry.commands, key: "shop:rates" });
    for (const command of ["xadd", "hlen"])
      expect(relations(command)).to.deep.include({ uses: undefined, after: registry.commands });
    expect(await rehearsal.of("incrby").run(driver)).to.equal("counted");
    expect(rehearsal.trials.filter(({ isOptional }) => isOptional)).to.deep.equal([rehearsal.of("ping")]);
  });

  it("is, of the client for subscriptions, what subscribing does not show", async () => {
    await checkSubscriber(rehearsal.redis, "shop:");
    for (const trial of rehearsal.trials) await trial.run(driver);
    expect(rehearsal.commands).to.deep.equal(["ping", "unsubscribe"]);
    expect(asked).to.deep.equal([["ping"], ["unsubscribe", ["shop:___check___"]]]);
  });
});

describe("The warning that Redis may evict what a server keeps", () => {
  const warningOf = (info: () => Promise<string>) => evictionWarning({ info } as unknown as Redis);
  const memory = (maxmemory: string, policy: string) => async () =>
    `# Memory\r\nused_memory:5\r\nmaxmemory:${maxmemory}\r\nmaxmemory_policy:${policy}\r\n`;

  for (const policy of ["allkeys-lru", "volatile-ttl"]) {
    it(`is there where it is bounded and has the policy ${policy}`, async () => {
      expect(await warningOf(memory("1000", policy))).to.equal(
        `Redis has the maxmemory-policy ${policy}: when it is full it may evict tokens, whose users are then refused, and ` +
          "revocations, whose users then may stay. Set maxmemory-policy noeviction",
      );
    });
  }

  const silent: readonly [string, () => Promise<string>][] = [
    ["it is not bounded", memory("0", "allkeys-lru")],
    ["it evicts nothing", memory("1000", "noeviction")],
    ["its policy is one that is not known", memory("1000", "no-allkeys-lru")],
    ["it tells nothing", async () => ""],
    ["it tells no policy", async () => "maxmemory:1000\r\n"],
    ["it tells no bound", async () => "maxmemory_policy:allkeys-lru\r\n"],
    ["it tells of others", async () => "x_maxmemory:1000\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n"],
    ["it does not answer", () => Promise.reject(new Error("NOPERM"))],
  ];
  for (const [when, info] of silent) {
    it(`is not there where ${when}`, async () => expect(await warningOf(info)).to.equal(undefined));
  }
});
