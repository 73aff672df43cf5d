import { expect } from "chai";
import { z } from "zod";
import { type RedisClient, TokenSocketServer } from "../../lib/index.js";
import { memoryRedis } from "../../lib/memory.js";
import { adaptRedis } from "../../lib/server/redis/adapt.js";
import { parsePosition } from "../../lib/shared/position.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import { CONNECTING_KINDS } from "../support/redis-clients.js";
import { type RedisServer, startRedis } from "../support/redis-server.js";

const HISTORY = { "room:*": { size: 10, ttl: 60_000 } };

/** Resolves with the error with which a promise is rejected. */
async function rejection(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).to.be.instanceOf(Error);
  return error as Error;
}

describe("The history of a channel", () => {
  let application: Application;

  async function start(options: ApplicationOptions["options"] = {}) {
    application = await Application.start({ options: { history: HISTORY, ...options } });
    await application.tokenServer.ready();
    return application.tokenServer;
  }

  afterEach(() => application.stop());

  it("gives what was published, with the positions that publish() has given", async () => {
    const server = await start();
    const positions = [];
    for (const n of [1, 2, 3]) positions.push(await server.publish("room:1", { n }));
    const { messages, at, lost, more } = await server.history("room:1");
    expect(messages.map(({ message }) => message)).to.deep.equal([{ n: 1 }, { n: 2 }, { n: 3 }]);
    expect(messages.map((message) => message.at)).to.deep.equal(positions);
    expect(messages.every(({ time }) => Math.abs(time - Date.now()) < 60_000)).to.equal(true);
    expect([at, lost, more]).to.deep.equal([positions[2], undefined, undefined]);
  });

  it("is empty at first, and has a position", async () => {
    const server = await start();
    const { messages, at } = await server.history("room:1");
    expect(messages).to.deep.equal([]);
    expect(parsePosition(at)).to.include({ offset: 0, tag: "0" });
    expect((await server.history("room:1", { since: at })).lost).to.equal(undefined);
  });

  it("is read from a position on, and page by page", async () => {
    const server = await start();
    const positions: (string | undefined)[] = [];
    for (let n = 1; n <= 5; n++) positions.push(await server.publish("room:1", n));
    const first = await server.history("room:1", { since: positions[0], limit: 3 });
    expect(first.messages.map(({ message }) => message)).to.deep.equal([2, 3, 4]);
    expect([first.at, first.more]).to.deep.equal([positions[3], true]);
    const second = await server.history("room:1", { since: first.at });
    expect(second.messages.map(({ message }) => message)).to.deep.equal([5]);
    expect([second.at, second.more]).to.deep.equal([positions[4], undefined]);
    expect((await server.history("room:1", { since: second.at })).messages).to.deep.equal([]);
  });

  it("is read backwards from a position, and page by page", async () => {
    const server = await start();
    const positions: (string | undefined)[] = [];
    for (let n = 1; n <= 5; n++) positions.push(await server.publish("room:1", n));
    const page = await server.history("room:1", { before: positions[4], last: 2 });
    expect(page.messages.map(({ message }) => message)).to.deep.equal([3, 4]);
    expect([page.at, page.more]).to.deep.equal([positions[4], true]);
    const rest = await server.history("room:1", { before: page.messages[0]?.at, last: 2 });
    expect(rest.messages.map(({ message }) => message)).to.deep.equal([1, 2]);
    expect(rest.more).to.equal(undefined);
  });

  it("is read in several parts where its messages are long", async () => {
    const server = await start();
    const positions: (string | undefined)[] = [];
    // three fill an answer of Redis
    for (let n = 1; n <= 8; n++) positions.push(await server.publish("room:1", `${n}${"x".repeat(400_000)}`));
    const read = async (options: object) => {
      const { messages, ...others } = await server.history("room:1", options);
      return { numbers: messages.map(({ message }) => Number.parseInt(String(message), 10)), ...others };
    };
    const [newest, last] = [positions[7], positions[6]];
    expect(await read({})).to.deep.equal({ numbers: [1, 2, 3, 4, 5, 6, 7, 8], at: newest });
    expect(await read({ last: 7 })).to.deep.equal({ numbers: [2, 3, 4, 5, 6, 7, 8], at: newest, more: true });
    expect(await read({ before: last })).to.deep.equal({ numbers: [1, 2, 3, 4, 5, 6], at: newest });
    expect(await read({ since: positions[0] })).to.deep.equal({ numbers: [2, 3, 4, 5, 6, 7, 8], at: newest });
    expect(await read({ since: positions[0], limit: 6 })).to.deep.equal({
      numbers: [2, 3, 4, 5, 6, 7],
      at: last,
      more: true,
    });
  });

  it("says how many messages are lost to one who has been away for too long", async () => {
    const server = await start();
    const since = await server.publish("room:1", 0);
    for (let n = 1; n <= 14; n++) await server.publish("room:1", n);
    const { messages, lost } = await server.history("room:1", { since });
    expect(messages.map(({ message }) => message)).to.deep.equal([5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    expect(lost).to.deep.equal({ messages: 4, reason: "trimmed" });
  });

  it("says that it has begun anew to one who knows another", async () => {
    const server = await start();
    await server.publish("room:1", 1);
    const since = await server.publish("room:2", 1);
    const { messages, lost } = await server.history("room:1", { since });
    expect(messages.map(({ message }) => message)).to.deep.equal([1]);
    expect(lost).to.deep.equal({ messages: null, reason: "reset" });
  });

  it("says that it has diverged to one who knows a message that it has not", async () => {
    const server = await start();
    const [one, two] = [await server.publish("room:1", 1), await server.publish("room:1", 2)];
    const [here, beyond, newest] = [one, two, two].map((at) => parsePosition(at));
    const unknown = [`${here?.epoch}.1.7`, `${beyond?.epoch}.9.7`, `${newest?.epoch}.2.7`];
    for (const since of unknown) {
      const { messages, lost } = await server.history("room:1", { since });
      expect(messages.map(({ message }) => message)).to.deep.equal([1, 2]);
      expect(lost, since).to.deep.equal({ messages: null, reason: "diverged" });
    }
  });

  it("takes a message of one id once", async () => {
    const server = await start();
    const client = await application.connect();
    await client.subscribe("room:1");
    const first = await server.publish("room:1", "once", { id: "7" });
    const again = await server.publish("room:1", "once", { id: "7" });
    await server.publish("room:1", "end");
    expect(again).to.equal(first);
    expect([await client.message("room:1"), await client.message("room:1")]).to.deep.equal(["once", "end"]);
  });

  it("is kept of what clients publish, as the channel's schema has made it", async () => {
    const server = await start({ channels: { "room:*": z.object({ text: z.string().trim() }) } });
    const client = await application.connect("websocket", { protocol: 4 });
    await client.request({ rpc: "_publish", req: { channel: "room:1", data: { text: " hi ", more: 1 } } });
    const { messages } = await server.history("room:1");
    expect(messages.map(({ message }) => message)).to.deep.equal([{ text: "hi" }]);
  });

  it("holds no broadcast, which is delivered as ever", async () => {
    const server = await start();
    const client = await application.connect();
    await client.subscribe("room:1");
    await server.broadcast("all");
    expect(await client.message("room:1")).to.equal("all");
    expect((await server.history("room:1")).messages).to.deep.equal([]);
  });

  it("is kept where the option says so alone", async () => {
    const server = await start();
    expect(await server.publish("hall", 1)).to.equal(undefined);
    expect(await server.publish("hall", 1, { id: "7" })).to.equal(undefined);
    expect((await rejection(server.history("hall"))).message).to.match(/"hall" keeps no history/);
  });

  it("takes no wrong arguments", async () => {
    const server = await start();
    const wrong: [object, RegExp][] = [
      [{ since: "5" }, /options\.since must be a position/],
      [{ before: "" }, /options\.before must be a position/],
      [{ last: 0 }, /options\.last must be a positive whole number/],
      [{ since: "a.1.1", limit: 1.5 }, /options\.limit must be a positive whole number/],
      [{ since: "a.1.1", last: 5 }, /options\.since goes with options\.limit alone/],
      [{ from: 5 }, /options\.from is no option of history/],
    ];
    for (const [options, message] of wrong) {
      const error = await rejection(server.history("room:1", options));
      expect(error).to.be.instanceOf(TypeError);
      expect(error.message).to.match(message);
    }
    for (const id of ["", 7, "x".repeat(257), "\ud800"]) {
      const error = await rejection(server.publish("room:1", 1, { id: id as string }));
      expect(error.message).to.match(/options\.id must be a well-formed string of 1 to 256 characters/);
    }
    const error = await rejection(server.publish("room:1", 1, { key: 1 } as object));
    expect(error.message).to.match(/options\.key is no option of publish/);
  });
});

describe("A channel with history in Redis", () => {
  let redis: RedisServer;
  const closings: (() => unknown)[] = [];

  before(async () => {
    redis = await startRedis({ own: true });
  });

  after(() => redis.stop());

  afterEach(async () => {
    for (const close of closings.splice(0).reverse()) await close();
  });

  async function connect(): Promise<RedisClient> {
    const [kind] = CONNECTING_KINDS;
    const made = kind?.create(redis);
    if (!made) throw new Error("there is a kind");
    closings.push(made.close);
    await made.connect();
    return made.client;
  }

  it("delivers what a service publishes that knows nothing of histories", async () => {
    const application = await Application.start({
      redisClient: await connect(),
      pubsubClient: await connect(),
      options: { history: HISTORY },
    });
    closings.push(() => application.stop());
    await application.tokenServer.ready();
    const client = await application.connect();
    await client.subscribe("room:1");
    const service = adaptRedis(await connect(), "service");
    closings.push(() => service.release());
    for (const payload of ['{"n":1}', "@alice hi", "plain"]) await service.publish("room:1", payload);
    expect(await client.take((frame) => "message" in frame)).to.deep.equal({
      channel: "room:1",
      message: { n: 1 },
    });
    expect([await client.message("room:1"), await client.message("room:1")]).to.deep.equal([
      "@alice hi",
      "plain",
    ]);
    expect((await application.tokenServer.history("room:1")).messages).to.deep.equal([]);
  });

  it("is read by a server that keeps none itself, as during an upgrade", async () => {
    const options = { redisClient: await connect(), pubsubClient: await connect() };
    const keeping = await Application.start({ ...options, options: { history: HISTORY } });
    closings.push(() => keeping.stop());
    const other = await Application.start(options);
    closings.push(() => other.stop());
    await Promise.all([keeping.tokenServer.ready(), other.tokenServer.ready()]);
    const client = await other.connect();
    await client.subscribe("room:1");
    await keeping.tokenServer.publish("room:1", { n: 1 });
    expect(await client.take((frame) => "message" in frame)).to.deep.equal({
      channel: "room:1",
      message: { n: 1 },
    });
  });
});

describe("A server without pub/sub", () => {
  it("publishes on no channel with history either", async () => {
    const application = await Application.start({
      redisClient: memoryRedis(),
      pubsubClient: null,
      options: { history: HISTORY },
    });
    expect(application.tokenServer).to.be.instanceOf(TokenSocketServer);
    expect((await rejection(application.tokenServer.publish("room:1", 1))).message).to.match(
      /Pub\/sub is off/,
    );
    await application.stop();
  });
});
