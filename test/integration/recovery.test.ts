import { once } from "node:events";
import { expect } from "chai";
import sinon from "sinon";
import type { RedisClient } from "../../lib/index.js";
import { memoryRedis } from "../../lib/memory.js";
import { parsePosition } from "../../lib/shared/position.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import type { Frame, WireClient } from "../support/wire-client.js";

const HISTORY = { "room:*": { size: 20, ttl: 60_000 } };
const ASKING = { protocol: 4, history: true };

describe("A client that comes back to a channel with history", () => {
  let application: Application;
  let store: RedisClient;

  async function start(options: ApplicationOptions["options"] = {}) {
    store = memoryRedis();
    application = await Application.start({
      redisClient: store,
      pubsubClient: store,
      options: { history: HISTORY, ...options },
    });
    await application.tokenServer.ready();
    return application.tokenServer;
  }

  afterEach(async () => {
    sinon.restore();
    await application.stop();
  });

  const connect = (auth: object = {}) => application.connect("websocket", { ...ASKING, ...auth });

  const publish = async (channel: string, ...messages: unknown[]) => {
    const positions: string[] = [];
    for (const message of messages) {
      positions.push((await application.tokenServer.publish(channel, message)) ?? "");
    }
    return positions;
  };

  /** Asks to join; resolves with the messages up to the reply, and with the reply. */
  async function join(client: WireClient, req: Record<string, unknown>) {
    const uuid = `s${Math.random()}`;
    client.send({ rpc: "_subscribe", req: { channel: "room:1", ...req }, uuid });
    const messages: Frame[] = [];
    for (;;) {
      const frame = await client.take();
      if (frame.uuid === uuid) return { messages, reply: frame };
      if ("message" in frame) messages.push(frame);
    }
  }

  it("is told in its auth reply that there is one, where it asks", async () => {
    await start();
    for (const [auth, expected] of [
      [ASKING, true],
      [{ protocol: 4 }, undefined],
    ] as const) {
      const client = await application.open();
      const reply = await client.request({ rpc: "auth", token: await application.token(), ...auth });
      expect((reply.server as { history?: boolean }).history).to.equal(expected);
    }
  });

  it("gets what it has missed, and then what comes, each with its position", async () => {
    await start();
    const [first, ...missed] = await publish("room:1", 0, 1, 2, 3);
    const client = await connect();
    const { messages, reply } = await join(client, { since: first });
    expect(messages.map(({ message }) => message)).to.deep.equal([1, 2, 3]);
    expect(messages.map(({ at }) => at)).to.deep.equal(missed);
    for (const { time } of messages) expect(Number(time)).to.be.closeTo(Date.now(), 60_000);
    expect(reply.resp).to.deep.equal({ at: missed.at(-1), recovered: 3 });
    const [at] = await publish("room:1", 4);
    const { time, ...live } = await client.take();
    expect(live).to.deep.equal({ channel: "room:1", message: 4, at });
    expect(time).to.be.a("number");
  });

  it("gets a position alone, or the newest messages", async () => {
    await start();
    const positions = await publish("room:1", 1, 2, 3);
    const now = await join(await connect(), { since: "" });
    expect(now.messages).to.deep.equal([]);
    expect(now.reply.resp).to.deep.equal({ at: positions[2], recovered: 0 });
    const last = await join(await connect(), { last: 2 });
    expect(last.messages.map(({ message }) => message)).to.deep.equal([2, 3]);
    expect(last.reply.resp).to.deep.equal({ at: positions[2], recovered: 2 });
    const all = await join(await connect(), { last: 50 });
    expect(all.messages.map(({ message }) => message)).to.deep.equal([1, 2, 3]);
  });

  it("gets a position of an empty history, from which it goes on", async () => {
    await start();
    const { reply } = await join(await connect(), { since: "" });
    const { at } = reply.resp as { at: string };
    expect(parsePosition(at)).to.include({ offset: 0, tag: "0" });
    await publish("room:1", 1);
    const { messages } = await join(await connect(), { since: at });
    expect(messages.map(({ message }) => message)).to.deep.equal([1]);
  });

  it("gets what it has missed also where it is in the channel already", async () => {
    await start();
    const [first] = await publish("room:1", 0, 1, 2);
    const client = await connect();
    await join(client, { since: "" });
    const { messages, reply } = await join(client, { since: first });
    expect(messages.map(({ message }) => message)).to.deep.equal([1, 2]);
    expect(reply.resp).to.have.property("recovered", 2);
    await publish("room:1", 3);
    expect(await client.message("room:1")).to.equal(3);
  });

  it("is told how many messages are lost, and why", async () => {
    const server = await start({
      limits: { recoverMessages: 5 },
      history: { "room:*": { size: 8, ttl: 60_000 } },
    });
    const lost = sinon.spy();
    server.on("lost", (_socket, loss) => lost(loss));
    const positions = await publish("room:1", ...Array.from({ length: 20 }, (_, n) => n + 1));
    const [epoch] = String(positions[0]).split(".");
    const outcomes: [since: string | undefined, messages: number[], lost: object | undefined][] = [
      [positions[16], [18, 19, 20], undefined],
      [positions[14], [16, 17, 18, 19, 20], undefined],
      [positions[13], [16, 17, 18, 19, 20], { messages: 1, reason: "limit" }],
      [positions[2], [16, 17, 18, 19, 20], { messages: 12, reason: "limit" }],
      ["other.5.1", [16, 17, 18, 19, 20], { messages: null, reason: "reset" }],
      [`${epoch}.19.1`, [16, 17, 18, 19, 20], { messages: null, reason: "diverged" }],
      [`${epoch}.21.1`, [16, 17, 18, 19, 20], { messages: null, reason: "diverged" }],
    ];
    for (const [since, expected, loss] of outcomes) {
      const { messages, reply } = await join(await connect(), { since });
      expect(
        messages.map(({ message }) => message),
        since,
      ).to.deep.equal(expected);
      expect((reply.resp as { lost?: object }).lost, since).to.deep.equal(loss);
    }
    const told = outcomes.flatMap(([, , loss]) => (loss ? [{ channel: "room:1", ...loss }] : []));
    expect(lost.args.map(([loss]) => loss)).to.deep.equal(told);
  });

  it("is told that messages are lost which the history keeps no more", async () => {
    await start({ history: { "room:*": { size: 3, ttl: 60_000 } } });
    const [first] = await publish("room:1", 1, 2, 3, 4, 5, 6);
    const { messages, reply } = await join(await connect(), { since: first });
    expect(messages.map(({ message }) => message)).to.deep.equal([4, 5, 6]);
    expect(reply.resp).to.deep.include({ lost: { messages: 2, reason: "trimmed" } });
  });

  it("is told that messages have expired", async () => {
    await start();
    const [first] = await publish("room:1", 1, 2, 3);
    const clock = sinon.useFakeTimers({ now: Date.now() + 60_001, toFake: ["Date"] });
    await publish("room:1", 4);
    const { messages, reply } = await join(await connect(), { since: first });
    expect(messages.map(({ message }) => message)).to.deep.equal([4]);
    expect(reply.resp).to.deep.include({ lost: { messages: 2, reason: "expired" } });
    clock.restore();
  });

  it("gets no message twice, and misses none, while others publish", async () => {
    await start({ history: { "room:*": { size: 10_000, ttl: 60_000 } } });
    const [first] = await publish("room:1", 0);
    let last = 0;
    let isDone = false;
    const publishing = (async () => {
      while (!isDone) await publish("room:1", ++last);
    })();
    const clients = await Promise.all(Array.from({ length: 8 }, () => connect()));
    const joined = await Promise.all(clients.map((client) => join(client, { since: first })));
    isDone = true;
    await publishing;
    await publish("room:1", "end");
    for (const [index, client] of clients.entries()) {
      const received = joined[index]?.messages.map(({ message }) => message) ?? [];
      while (received.at(-1) !== "end") received.push(await client.message("room:1"));
      expect(received).to.deep.equal([...Array.from({ length: last }, (_, n) => n + 1), "end"]);
    }
  });

  it("gets what the filter leaves it, and what it withholds is not lost", async () => {
    const server = await start({
      filter: (_socket, _channel, message) => Number(message) % 2 === 0 && { n: message },
    });
    const [first, , , , newest] = await publish("room:1", 0, 1, 2, 3, 5);
    const recovered = once(server, "recovered");
    const client = await connect();
    const { messages, reply } = await join(client, { since: first });
    expect(messages.map(({ message }) => message)).to.deep.equal([{ n: 2 }]);
    expect(reply.resp).to.deep.equal({ at: newest, recovered: 1 });
    expect((await recovered)[1]).to.deep.equal({ channel: "room:1", messages: 1 });
    const history = await client.request({ rpc: "_history", req: { channel: "room:1" } });
    const read = (history.resp as { messages: Frame[] }).messages;
    expect(read.map(({ message }) => message)).to.deep.equal([{ n: 0 }, { n: 2 }]);
  });

  it("gets nothing of before a time that the guard has said", async () => {
    const server = await start();
    const [first] = await publish("room:1", 0, 1);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const from = new Date();
    server.on("subscribe", () => ({ from }));
    await publish("room:1", 2);
    const client = await connect();
    const { messages } = await join(client, { since: first });
    expect(messages.map(({ message }) => message)).to.deep.equal([2]);
    const { resp } = await client.request({ rpc: "_history", req: { channel: "room:1" } });
    expect((resp as { messages: Frame[] }).messages.map(({ message }) => message)).to.deep.equal([2]);
    expect(resp).to.not.have.property("more");
  });

  it("is refused where the guard says no time, which is reported", async () => {
    const server = await start();
    server.on("subscribe", () => ({ from: "yesterday" }));
    const { reply } = await join(await connect(), { since: "" });
    expect(reply.error).to.include({ code: "internal" });
    expect(application.errors.map(({ message }) => message)).to.deep.equal([
      "from must be a Date, or a number of milliseconds since 1970",
    ]);
  });

  it("is asked by the guard as ever", async () => {
    const server = await start();
    const [first] = await publish("room:1", 0, 1);
    server.on("subscribe", () => false);
    const { messages, reply } = await join(await connect(), { since: first });
    expect([messages, reply.error]).to.deep.equal([[], { message: "Forbidden", code: "forbidden" }]);
  });

  it("is answered as ever for a channel without history", async () => {
    await start();
    const client = await connect();
    for (const req of [{ since: "k3f.1.1" }, { since: "" }, { last: 5 }]) {
      const { messages, reply } = await join(client, { ...req, channel: "hall" });
      expect([messages, reply.resp]).to.deep.equal([[], "success"]);
    }
    await publish("hall", 1);
    expect(await client.take((frame) => "message" in frame)).to.deep.equal({ channel: "hall", message: 1 });
  });

  it("is refused a position that is none", async () => {
    await start();
    const client = await connect();
    const wrong = [{ since: "5" }, { since: 5 }, { last: 0 }, { last: "5" }, { since: "a.1.1", last: 5 }];
    for (const req of wrong) {
      const { reply } = await join(client, req);
      expect(reply.error, JSON.stringify(req)).to.deep.equal({ message: "Invalid request", code: "invalid" });
    }
  });

  it("gets what the server's own join brings from the position on that its auth frame has", async () => {
    const server = await start();
    const [first] = await publish("room:1", 0, 1, 2);
    const [second] = await publish("room:2", 7);
    server.on("authenticated", (socket) => {
      for (const channel of ["room:1", "room:2", "hall"]) void server.subscribe(socket, channel);
    });
    const client = await connect({ positions: { "room:1": first, "room:3": "none" } });
    const one = (frame: Frame) => frame.channel === "room:1";
    expect(await client.take((frame) => frame.data?.channel === "room:1")).to.include({
      command: "subscribe",
    });
    expect([await client.take(one), await client.take(one)].map(({ message }) => message)).to.deep.equal([
      1, 2,
    ]);
    const end = await client.take(one);
    expect(end).to.include({ channel: "room:1", recovered: 2 });
    await client.take((frame) => frame.data?.channel === "room:2");
    expect(await client.take((frame) => frame.channel === "room:2")).to.deep.equal({
      channel: "room:2",
      at: second,
      recovered: 0,
    });
    await client.take((frame) => frame.data?.channel === "hall");
    expect(client.frames).to.deep.equal([]);
  });

  it("gets nothing once more where the server lets it leave, and joins it again", async () => {
    const server = await start();
    const [first] = await publish("room:1", 0, 1);
    const client = await connect({ positions: { "room:1": first } });
    await join(client, { since: first });
    const [socket] = server.sockets();
    if (!socket) throw new Error("there is one");
    await server.unsubscribe(socket, "room:1");
    await server.subscribe(socket, "room:1");
    const end = await client.take((frame) => frame.channel === "room:1" && frame.recovered !== undefined);
    expect(end).to.have.property("recovered", 0);
  });

  it("recovers many times, each time from where it was", async () => {
    await start();
    let { at } = (await join(await connect(), { since: "" })).reply.resp as { at: string };
    for (let round = 1; round <= 5; round++) {
      await publish("room:1", `${round}a`, `${round}b`);
      const { messages, reply } = await join(await connect(), { since: at });
      expect(messages.map(({ message }) => message)).to.deep.equal([`${round}a`, `${round}b`]);
      at = (reply.resp as { at: string }).at;
    }
  });

  it("is told that it has left where it leaves meanwhile", async () => {
    await start();
    const client = await connect();
    await join(client, { since: "" });
    const { reply } = await join(client, { since: "" });
    expect(reply.resp).to.have.property("recovered", 0);
    expect(await client.request({ rpc: "_unsubscribe", req: { channel: "room:1" } })).to.have.property(
      "resp",
      "success",
    );
    await publish("room:1", 1);
    await client.request({ rpc: "_unsubscribe", req: { channel: "room:1" } });
    expect(client.frames.filter((frame) => "message" in frame)).to.deep.equal([]);
  });

  it("gets as many of the newest messages as it asks for, also where few are in memory", async () => {
    await start();
    await publish("room:1", 1, 2, 3);
    for (const last of [1, 2, 3]) {
      const { messages } = await join(await connect(), { last });
      expect(messages.map(({ message }) => message)).to.deep.equal([1, 2, 3].slice(-last));
    }
  });

  it("is served one join of a channel after the other", async () => {
    await start();
    const [first] = await publish("room:1", 0, 1, 2);
    const client = await connect();
    client.send({ rpc: "_subscribe", req: { channel: "room:1", last: 1 }, uuid: "s1" });
    client.send({ rpc: "_subscribe", req: { channel: "room:1", since: first }, uuid: "s2" });
    await client.take((frame) => frame.uuid === "s2").then((frame) => client.frames.push(frame));
    const seen = client.frames.map((frame) => frame.data?.uuid ?? frame.message ?? frame.uuid);
    expect(seen).to.deep.equal(["s1", 2, "s1", "s2", 1, 2, "s2"]);
    expect(client.frames.at(-1)?.resp).to.have.property("recovered", 2);
  });
});
