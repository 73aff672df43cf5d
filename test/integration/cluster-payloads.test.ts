import { createHash, randomUUID } from "node:crypto";
import { expect } from "chai";
import type { TokenSocketServer } from "../../lib/index.js";
import type { Application } from "../support/application.js";
import { nestedArrays, nestedObjects } from "../support/bad-values.js";
import { until } from "../support/condition.js";
import { startOn } from "../support/kind-application.js";
import { connectNodeRedis, type NodeRedis } from "../support/node-redis.js";
import { CONNECTING_KINDS } from "../support/redis-clients.js";
import { type RedisServer, startRedis } from "../support/redis-server.js";
import type { WireClient } from "../support/wire-client.js";

const [kind] = CONNECTING_KINDS;

const LOGGED_OUT = { code: 4100, reason: "Logged out" };
const ofAlice = { by: "identity", value: "alice" };

/** Ids that are none, of a command or of a question. */
const NO_IDS = [undefined, null, 7, true, [], {}];
const NO_TEXTS = [undefined, null, 7, true, "", ["alice"], {}];

type Row = readonly [what: string, payloads: readonly unknown[]];

/** What another server may tell all; `at` is a time that is right. */
const commands = (at: number): readonly Row[] => {
  const disconnect = (data: unknown, more: object = {}) => ({
    command: "disconnect",
    data,
    id: randomUUID(),
    ...more,
  });
  const refresh = (data: unknown, more: object = {}) => ({
    command: "refresh",
    data,
    id: randomUUID(),
    ...more,
  });
  const right = { ...ofAlice, ...LOGGED_OUT, at };
  const data = [undefined, null, 7, "alice", [], [right], {}];
  return [
    ["a command without data", [...data.map((one) => disconnect(one)), ...data.map((one) => refresh(one))]],
    ["one without an id", NO_IDS.flatMap((id) => [disconnect(right, { id }), refresh(ofAlice, { id })])],
    [
      "one for whom nobody knows",
      ["everybody", "channel", "constructor", "__proto__", "Identity", ...NO_TEXTS].flatMap((by) => [
        disconnect({ ...right, by }),
        refresh({ ...ofAlice, by }),
      ]),
    ],
    [
      "one for nobody",
      NO_TEXTS.flatMap((value) => [disconnect({ ...right, value }), refresh({ ...ofAlice, value })]),
    ],
    [
      "a revocation with a code that closes nothing",
      [0, -1, 999, 1005, 1006, 3000, 5000, 4100.5, "4100", null].map((code) =>
        disconnect({ ...right, code }),
      ),
    ],
    [
      "a revocation with a reason that is none",
      ["é".repeat(62), "x".repeat(124), 7, null, undefined, ["x"]].map((reason) =>
        disconnect({ ...right, reason }),
      ),
    ],
    [
      "a revocation without a time",
      [undefined, null, String(at), [at], {}].map((time) => disconnect({ ...right, at: time })),
    ],
    [
      "an answer to nothing",
      [undefined, null, -1, 2 ** 53, "1", [1]].map((sockets) => ({
        command: "answer",
        data: { sockets, sharing: sockets },
        id: randomUUID(),
      })),
    ],
    [
      "a search for signs of life that nobody waits for",
      NO_TEXTS.map((answerTo) => ({ command: "who", data: {}, id: "1", answerTo })),
    ],
    [
      "a revocation in a prototype",
      [`{"command":"disconnect","id":"1","data":{"__proto__":${JSON.stringify(right)}}}`],
    ],
  ];
};

/** What another server may ask the sockets of somebody to do. */
const requests = (): readonly Row[] => {
  const request = (action: unknown, more: object = {}, target: object = ofAlice) => ({
    command: "to",
    id: randomUUID(),
    answerTo: randomUUID(),
    data: { ...target, action },
    ...more,
  });
  const close = { type: "disconnect", ...LOGGED_OUT };
  const reserved = ["___all___", "___sync___", "___", "", "c".repeat(257), 7, null];
  return [
    [
      "a request for nothing",
      [undefined, null, "disconnect", [close], {}, { type: "newer" }].map((one) => request(one)),
    ],
    ["one without an id", NO_IDS.map((id) => request(close, { id }))],
    ["one of nobody", NO_IDS.map((answerTo) => request(close, { answerTo }))],
    ["one for nobody", NO_TEXTS.map((value) => request(close, {}, { by: "identity", value }))],
    [
      "one to close as sockets are not closed",
      [{ code: 5 }, { reason: "x".repeat(124) }].map((one) => request({ ...close, ...one })),
    ],
    [
      "one for a channel that is none",
      ["send", "subscribe", "unsubscribe"].flatMap((type) =>
        reserved.map((channel) => request({ type, channel, message: 1 })),
      ),
    ],
    [
      "one to call nothing",
      ["", 7, null, ["f"]].map((command) => request({ type: "rpc", command, args: [] })),
    ],
    [
      "one to find what cannot be found",
      [{ limit: 0 }, { limit: 1e9 }, { limit: "1" }, { after: 7 }].map((one) =>
        request({ type: "find", limit: 1, after: "", ...one }),
      ),
    ],
  ];
};

/** What another server may answer. */
const answers = (id: string): readonly Row[] => [
  ["an answer to nothing", NO_IDS.map((wrong) => ({ id: wrong, server: "there", sharing: 1, count: 100 }))],
  ["an answer of nobody", NO_IDS.map((server) => ({ id, server, sharing: 1, count: 100 }))],
  [
    "an answer that says nothing",
    [null, 7, "many", {}, [null, 7, [], {}, { sid: 7 }]].map((wrong) => ({
      id,
      server: "there",
      waits: wrong,
      answers: wrong,
      count: wrong,
      found: wrong,
      isMore: wrong,
    })),
  ],
];

const RAW: Row = [
  "what is no JSON object",
  ["", " ", "null", "7", '"disconnect"', "[]", "[[]]", '{"command":', "\ufeff{}", "1e999"],
];
const DEEP: Row = ["what is nested too deep", [nestedArrays(), nestedObjects()]];

describe("What other servers tell by Redis, if it is wrong,", () => {
  let redis: RedisServer;
  let service: NodeRedis;
  let prefix: string;
  let servers: readonly Application[];
  let alice: WireClient;
  let bob: WireClient;
  const cleanups: (() => unknown)[] = [];

  before(async () => {
    redis = await startRedis();
    service = await connectNodeRedis(redis.url);
  });
  after(async () => {
    await service.close();
    await redis.stop();
  });

  beforeEach(async () => {
    prefix = `${randomUUID()}:`;
    if (!kind) throw new Error("there is no kind of client");
    const options = { channelPrefix: prefix, identify: (auth: { name: string }) => auth.name };
    servers = [await startOn(kind, redis, cleanups, options), await startOn(kind, redis, cleanups, options)];
    const clients = [];
    for (const [index, name] of ["alice", "bob"].entries()) {
      const application = servers[index] as Application;
      application.tokenServer.authentication = () => ({ name });
      const client = await application.connect("websocket", { protocol: 4 });
      await client.subscribe("fence");
      client.frames.length = 0;
      clients.push(client);
    }
    [alice, bob] = clients as [WireClient, WireClient];
  });
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  const tokenServerOf = (index: number) => (servers[index] as Application).tokenServer as TokenSocketServer;
  const serverChannel = (index: number) => `___server:${tokenServerOf(index).health().id}___`;
  const identityChannel = () => `___identity:${createHash("sha256").update("alice").digest("base64url")}___`;

  /** Publishes all of it; resolves when all servers have got it. */
  const tell = async (channel: string, rows: readonly Row[]) => {
    for (const payload of rows.flatMap(([, payloads]) => payloads)) {
      await service.publish(
        prefix + channel,
        typeof payload === "string" ? payload : JSON.stringify(payload),
      );
    }
    await service.publish(`${prefix}fence`, "1");
    for (const client of [alice, bob]) expect(await client.message("fence")).to.equal(1);
  };

  /** Nobody has noticed anything, and commands that are right work. */
  const check = async () => {
    for (const client of [alice, bob]) {
      await client.request({ rpc: "nope" });
      expect(client.frames).to.deep.equal([]);
    }
    for (const { errors } of servers) expect(errors).to.deep.equal([]);
    for (const index of [0, 1]) {
      const all = await tokenServerOf(index).count({ channel: "fence" });
      expect(all).to.deep.equal({ count: 2, missing: [] });
    }
    expect(await tokenServerOf(1).refresh({ identity: "alice" })).to.equal(1);
    expect(await alice.take()).to.have.property("command", "refresh");
    expect(await tokenServerOf(1).disconnect({ identity: "alice" }, LOGGED_OUT)).to.equal(1);
    expect(await alice.closed).to.deep.equal(LOGGED_OUT);
    await bob.request({ rpc: "nope" });
  };

  for (const [index, [what]] of commands(0).entries()) {
    it(`ends nobody: ${what}`, async () => {
      await tell("___sync___", commands(Date.now()).slice(index, index + 1));
      await check();
    });
  }

  for (const [index, [what]] of requests().entries()) {
    it(`ends nobody, whichever way it comes: ${what}`, async () => {
      const rows = requests().slice(index, index + 1);
      await tell("___sync___", rows);
      await tell(identityChannel(), rows);
      await check();
    });
  }

  for (const row of [RAW, DEEP]) {
    it(`ends nobody by the channels of identities and servers: ${row[0]}`, async () => {
      await tell(identityChannel(), [row]);
      for (const index of [0, 1]) await tell(serverChannel(index), [row]);
      await check();
    });
  }

  it("ends nobody by the channel of an identity where it is for somebody else", async () => {
    const action = { type: "disconnect", ...LOGGED_OUT };
    const targets = [
      { by: "channel", value: "fence" },
      { by: "sid", value: String(tokenServerOf(0).sockets()[0]?.sid) },
    ];
    const payloads = targets.map((target) => ({
      command: "to",
      id: "1",
      answerTo: "x",
      data: { ...target, action },
    }));
    await tell(identityChannel(), [["", payloads]]);
    await check();
  });

  it("is no answer to a question that is under way, which waits for the right ones", async () => {
    const listener = await connectNodeRedis(redis.url);
    cleanups.push(() => listener.close());
    let question: string | undefined;
    // a subscriber would count as a server that does not answer
    await listener.monitor((line) => {
      question ??= /"publish".*\\"command\\":\\"to\\",\\"id\\":\\"([\w-]+)/i.exec(line)?.[1];
    });
    const asked = bob.takeCall();
    const asking = tokenServerOf(0).to({ identity: "bob" }).rpc("f");
    const call = await asked;
    await until(() => question !== undefined);
    await tell(serverChannel(0), [...answers(String(question)), RAW]);
    bob.send({ rpc: "_rpc", fid: call.fid, resp: { data: 5 } });
    const { answers: come, missing } = await asking;
    expect([come.map(({ value }) => value), missing]).to.deep.equal([[5], []]);
    await check();
  });

  it("is passed over by servers that were away, which still close whom they should", async () => {
    const key = `token-sockjs:${prefix}revocations`;
    const wrong = [RAW, ...commands(Date.now())].flatMap(([, payloads]) => payloads);
    for (const list of ["", ":sid", ":sessionId", ":refreshes", ":evictions"]) {
      await service.rPush(
        key + list,
        wrong.map((one) => (typeof one === "string" ? one : JSON.stringify(one))),
      );
    }
    const others = [];
    for (const application of servers) {
      others.push(await application.connect("websocket", { protocol: 4 }));
      const data = { by: "sid", value: application.socket().sid, ...LOGGED_OUT, at: Date.now() };
      await service.rPush(`${key}:sid`, JSON.stringify({ command: "disconnect", data, id: randomUUID() }));
    }
    await service.sendCommand(["CLIENT", "KILL", "TYPE", "pubsub"]);
    for (const client of others) expect(await client.closed).to.deep.equal(LOGGED_OUT);
    for (const { errors } of servers) {
      // of the clients for subscriptions
      expect(errors.splice(0).map(({ message }) => message)).to.deep.equal(["Socket closed unexpectedly"]);
    }
    await check();
  });
});
