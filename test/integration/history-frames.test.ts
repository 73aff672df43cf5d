import { once } from "node:events";
import { expect } from "chai";
import sinon from "sinon";
import { WebSocket } from "ws";
import { memoryRedis } from "../../lib/memory.js";
import { MemoryStore } from "../../lib/server/redis/memory-store.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import type { Frame, WireClient } from "../support/wire-client.js";

const HISTORY = { "room:*": { size: 2000, ttl: 60_000 } };
const ASKING = { protocol: 4, history: true };

interface Page {
  readonly messages: readonly { readonly message: unknown; readonly at: string; readonly time: number }[];
  readonly at: string;
  readonly lost?: object;
  readonly more?: true;
  readonly before?: string;
}

describe("Frames of history", () => {
  let application: Application;

  async function start(options: ApplicationOptions["options"] = {}) {
    const store = memoryRedis();
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

  const connect = (auth: object = ASKING) => application.connect("websocket", { ...auth });

  const publish = async (...messages: unknown[]) => {
    const positions: string[] = [];
    for (const message of messages) {
      positions.push((await application.tokenServer.publish("room:1", message)) ?? "");
    }
    return positions;
  };

  const read = async (client: WireClient, req: Record<string, unknown> = {}) => {
    const { resp, error } = await client.request({ rpc: "_history", req: { channel: "room:1", ...req } });
    if (error) throw new Error(JSON.stringify(error));
    return resp as Page;
  };

  const joined = async (auth: object = ASKING) => {
    const client = await connect(auth);
    await client.subscribe("room:1");
    return client;
  };

  const textsOf = ({ messages }: Page) => messages.map(({ message }) => message);

  for (const auth of [{}, { protocol: 4 }, { history: true }, { protocol: 3, history: true }]) {
    it(`are for nobody who does not ask: ${JSON.stringify(auth)}`, async () => {
      await start();
      const [first] = await publish(0, 1);
      const client = await connect(auth);
      const req = { channel: "room:1", since: first, last: 0 };
      client.send({ rpc: "_subscribe", req, uuid: "s1" });
      const command = {
        internal: true,
        command: "subscribe",
        data: { rpc: "_subscribe", uuid: "s1", req, channel: "room:1" },
      };
      expect(await client.take()).to.deep.equal(command);
      if (auth.protocol === 4) {
        expect(await client.take()).to.deep.equal({ rpc: "_subscribe", uuid: "s1", resp: "success" });
      }
      client.send({
        rpc: "_publish",
        req: { channel: "room:1", data: { a: 1 }, id: 7, again: true },
        uuid: "p1",
      });
      const message = await client.take((frame) => "message" in frame);
      expect(JSON.stringify(message)).to.equal('{"channel":"room:1","message":{"a":1}}');
      if (auth.protocol === 4) {
        expect(await client.take()).to.deep.equal({ rpc: "_publish", uuid: "p1", resp: "success" });
      }
      const { error } = await client.request({ rpc: "_history", req: { channel: "room:1" } });
      expect(JSON.stringify(error)).to.include("Function not found");
      expect(client.frames).to.deep.equal([]);
    });
  }

  it("are the same text for all who ask for the same", async () => {
    await start();
    const clients = [await joined(), await joined()];
    const [at] = await publish({ a: 1 });
    const [one, other] = await Promise.all(
      clients.map((client) => client.take((frame) => "message" in frame)),
    );
    expect(one).to.deep.equal(other);
    expect(Object.keys(one ?? {})).to.deep.equal(["channel", "message", "at", "time"]);
    expect(one?.at).to.equal(at);
  });

  it("say the position of what a client publishes, and take one id once", async () => {
    const server = await start();
    const published = sinon.spy();
    server.on("published", published);
    const client = await joined();
    const ask = (req: object) =>
      client.request({ rpc: "_publish", req: { channel: "room:1", data: 1, ...req } });
    const first = await ask({ id: "m7" });
    const again = await ask({ id: "m7", again: true });
    expect(first.resp).to.have.property("at").that.is.a("string");
    expect(again.resp).to.deep.equal(first.resp);
    const other = await ask({});
    expect(other.resp)
      .to.have.property("at")
      .that.is.not.equal((first.resp as { at: string }).at);
    expect(textsOf(await read(client))).to.deep.equal([1, 1]);
    expect(published.callCount).to.equal(2);
    for (const id of ["", 7, "x".repeat(257), null]) {
      expect((await ask({ id })).error, String(id)).to.have.property("code", "invalid");
    }
  });

  it("publish again nothing that no history can tell apart", async () => {
    await start();
    const client = await connect();
    await client.subscribe("hall");
    const ask = (req: object) =>
      client.request({ rpc: "_publish", req: { channel: "hall", data: 1, ...req } });
    expect((await ask({ id: "m7" })).resp).to.equal("success");
    expect((await ask({ id: "m7", again: true })).error).to.have.property("code", "no_history");
    await ask({ data: "end" });
    expect([await client.message("hall"), await client.message("hall")]).to.deep.equal([1, "end"]);
  });

  it("read back what there is, and page by page in both directions", async () => {
    await start();
    const positions = await publish(1, 2, 3, 4, 5);
    const client = await joined();
    const all = await read(client);
    expect(textsOf(all)).to.deep.equal([1, 2, 3, 4, 5]);
    expect([all.at, all.more]).to.deep.equal([positions[4], undefined]);
    const newest = await read(client, { last: 2 });
    expect([textsOf(newest), newest.more, newest.before]).to.deep.equal([[4, 5], true, positions[3]]);
    const older = await read(client, { last: 3, before: newest.before });
    expect([textsOf(older), older.more]).to.deep.equal([[1, 2, 3], undefined]);
    const on = await read(client, { since: positions[0], limit: 2 });
    expect([textsOf(on), on.at, on.more]).to.deep.equal([[2, 3], positions[2], true]);
    const rest = await read(client, { since: on.at });
    expect([textsOf(rest), rest.at, rest.more]).to.deep.equal([[4, 5], positions[4], undefined]);
  });

  it("read back no more than a page of bytes", async () => {
    await start({ limits: { bufferedBytes: 40_000 } });
    const text = "x".repeat(4_000);
    const positions = await publish(...Array.from({ length: 9 }, (_, n) => `${n}${text}`));
    const client = await joined();
    let read9 = 0;
    for (let since = positions[0]; ; ) {
      const page = await read(client, { since });
      expect(JSON.stringify(page).length).to.be.below(20_000);
      read9 += page.messages.length;
      since = page.at;
      if (!page.more) break;
    }
    expect(read9).to.equal(8);
  });

  it("tell who reads back what is lost", async () => {
    await start({ history: { "room:*": { size: 2, ttl: 60_000 } } });
    const [first] = await publish(1, 2, 3, 4);
    const page = await read(await joined(), { since: first });
    expect([textsOf(page), page.lost]).to.deep.equal([[3, 4], { messages: 1, reason: "trimmed" }]);
    const other = await read(await joined(), { before: "other.1.1" });
    expect([textsOf(other), other.lost]).to.deep.equal([[], { messages: null, reason: "reset" }]);
  });

  it("read back in a channel that the client is in, or where a guard says so", async () => {
    const server = await start();
    await publish(1);
    const client = await connect();
    const ask = () => client.request({ rpc: "_history", req: { channel: "room:1" } });
    expect((await ask()).error).to.have.property("code", "forbidden");
    server.once("history", (_socket, { channel }) => channel === "room:1");
    expect((await ask()).resp)
      .to.have.property("messages")
      .that.has.length(1);
    server.once("history", () => ({ from: Date.now() + 60_000 }));
    expect((await ask()).resp)
      .to.have.property("messages")
      .that.has.length(0);
    await client.subscribe("room:1");
    server.on("history", () => false);
    expect((await ask()).error).to.have.property("code", "forbidden");
  });

  it("read back nothing of a channel without history, or by a wrong request", async () => {
    await start();
    const client = await joined();
    const { error } = await client.request({ rpc: "_history", req: { channel: "hall" } });
    expect(error).to.deep.equal({ message: "The channel keeps no history", code: "no_history" });
    const wrong = [
      { since: "" },
      { before: "x" },
      { last: 0 },
      { limit: "5" },
      { since: "a.1.1", last: 5 },
      { channel: 5 },
    ];
    for (const req of wrong) {
      const reply = await client.request({ rpc: "_history", req: { channel: "room:1", ...req } });
      expect(reply.error, JSON.stringify(req)).to.have.property("code", "invalid");
    }
  });

  it("cost Redis one read for a crowd that comes back to a channel", async () => {
    await start();
    const positions = await publish(...Array.from({ length: 50 }, (_, n) => n));
    const clients = await Promise.all(Array.from({ length: 20 }, () => connect()));
    const reads = sinon.spy(MemoryStore.prototype, "read");
    const crowd = clients.map(async (client, index) => {
      const req = { channel: "room:1", since: positions[index] };
      client.send({ rpc: "_subscribe", req, uuid: "s1" });
      const { resp } = await client.take((frame) => frame.uuid === "s1");
      expect(resp).to.deep.equal({ at: positions[49], recovered: 49 - index });
    });
    await Promise.all(crowd);
    // the position, and what the one wants who has missed the most; others may have come before that one
    const withMessages = reads.args.filter(([, , { count }]) => count > 0);
    expect(withMessages).to.have.length.of.at.most(4);
    reads.resetHistory();
    const late = await connect();
    late.send({ rpc: "_subscribe", req: { channel: "room:1", since: positions[30] }, uuid: "s1" });
    expect((await late.take((frame) => frame.uuid === "s1")).resp).to.have.property("recovered", 19);
    expect(reads.callCount).to.equal(0);
  });

  it("come in pages to a client that reads slowly, and do not cut it", async () => {
    await start({ limits: { bufferedBytes: 100_000 } });
    const text = "x".repeat(5_000);
    const positions = await publish(...Array.from({ length: 200 }, (_, n) => `${n}${text}`));
    const client = await connect();
    client.send({ rpc: "_subscribe", req: { channel: "room:1", since: positions[0] }, uuid: "s1" });
    const { resp } = await client.take((frame) => frame.uuid === "s1");
    expect(resp).to.deep.equal({ at: positions[199], recovered: 199 });
    expect(client.frames.filter((frame: Frame) => "message" in frame)).to.have.length(199);
  });

  for (const policy of ["dropOldest", "latest"] as const) {
    it(`tell a slow reader how many messages were dropped: ${policy}`, async () => {
      const server = await start({ slowReaders: { "room:*": policy } });
      let lost = 0;
      server.on("lost", (_socket, { messages, reason }) => {
        expect(reason).to.equal("slow");
        lost += messages ?? Number.NaN;
      });
      const token = await application.token();
      const socket = new WebSocket(`${application.url.replace("http", "ws")}/sockets/websocket`);
      const frames: Frame[] = [];
      let wake = () => {};
      socket.on("message", (data) => {
        frames.push(JSON.parse(String(data)));
        wake();
      });
      const until = async (isSo: () => boolean) => {
        while (!isSo()) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      };
      await once(socket, "open");
      socket.send(JSON.stringify({ rpc: "auth", token, ...ASKING, uuid: "a1" }));
      socket.send(JSON.stringify({ rpc: "_subscribe", req: { channel: "room:1", since: "" }, uuid: "s1" }));
      await until(() => frames.some(({ uuid }) => uuid === "s1"));
      socket.pause();
      const text = "x".repeat(100_000);
      const positions = await publish(...Array.from({ length: 300 }, (_, n) => `${n} ${text}`));
      socket.resume();
      const ofChannel = () => frames.filter(({ channel }) => channel === "room:1");
      await until(() =>
        ofChannel().some(({ at, message }) => at === positions.at(-1) && message !== undefined),
      );
      socket.terminate();
      let offset = 0;
      for (const { at, message, lost } of ofChannel()) {
        // nothing is missing that it was not told of
        const messages = lost
          ? Number((lost as { messages: number }).messages)
          : Number(message !== undefined);
        offset += messages;
        expect(positions[offset - 1]).to.equal(at);
      }
      expect(offset).to.equal(300);
      expect(lost).to.be.above(0);
      expect(lost).to.equal(300 - ofChannel().filter(({ message }) => message !== undefined).length);
    });
  }
});
