import { randomUUID } from "node:crypto";
import { expect } from "chai";
import {
  type ClusterAnswers,
  DisconnectedError,
  RemoteError,
  type Socket,
  type Target,
  TimeoutError,
  type TokenSocketServer,
  type TokenSocketServerOptions,
} from "../../lib/index.js";
import { Application } from "../support/application.js";
import { until } from "../support/condition.js";
import { startOn } from "../support/kind-application.js";
import { connectNodeRedis } from "../support/node-redis.js";
import { CONNECTING_KINDS, embedded, type Kind } from "../support/redis-clients.js";
import { type RedisServer, startRedis } from "../support/redis-server.js";
import type { WireClient } from "../support/wire-client.js";

let redis: RedisServer;
const cleanups: (() => unknown)[] = [];

before(async () => {
  redis = await startRedis();
});
after(() => redis.stop());
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const kindOf = (name: string): Kind => {
  const kind = CONNECTING_KINDS.find((each) => each.name === name);
  if (!kind) throw new Error(`there is no ${name}`);
  return kind;
};

class Server {
  readonly application: Application;
  name = "alice";

  static async start(
    kind: Kind,
    channelPrefix: string,
    options: TokenSocketServerOptions = {},
  ): Promise<Server> {
    const identify = (auth: { name: string }) => auth.name;
    return new Server(await startOn(kind, redis, cleanups, { channelPrefix, identify, ...options }));
  }

  constructor(application: Application) {
    this.application = application;
    this.tokenServer.authentication = () => ({ name: this.name });
  }

  get tokenServer(): TokenSocketServer {
    return this.application.tokenServer;
  }

  get id(): string {
    return this.tokenServer.health().id;
  }

  /** The server's side of the newest socket. */
  get socket(): Socket {
    return this.application.socket() as Socket;
  }

  connect(name: string): Promise<WireClient> {
    this.name = name;
    return this.application.connect("websocket", { protocol: 4 });
  }
}

/** Answers each call with what a function makes of it, until the connection closes. */
async function answerCalls(
  client: WireClient,
  answer: (args: unknown, command: string) => object,
): Promise<void> {
  for (;;) {
    const call = await client.takeCall().catch(() => undefined);
    if (!call) return;
    client.send({ rpc: "_rpc", fid: call.fid, resp: answer(call.args, call.command) });
  }
}

const values = ({ answers }: ClusterAnswers<unknown>) =>
  Object.fromEntries(answers.map(({ server, value, error }) => [server, error ?? value]));

for (const kind of [kindOf("node-redis 6"), kindOf("ioredis 6"), embedded()]) {
  describe(`to() on ${kind.name}`, () => {
    let one: Server;
    let other: Server;

    beforeEach(async () => {
      const prefix = `${randomUUID()}:`;
      one = await Server.start(kind, prefix);
      other = await Server.start(kind, prefix);
    });
    afterEach(() => {
      expect([...one.application.errors, ...other.application.errors]).to.deep.equal([]);
    });

    it("sends to all sockets of a user at once when they are in, and to no other", async () => {
      const [here, there] = [await one.connect("alice"), await other.connect("alice")];
      const bob = await other.connect("bob");
      for (const asker of [one, other]) {
        const sent = await asker.tokenServer.to({ identity: "alice" }).send("news", { n: 1 });
        expect(sent.missing).to.deep.equal([]);
        expect(values(sent)).to.deep.equal({ [one.id]: true, [other.id]: true });
        for (const client of [here, there]) expect(await client.message("news")).to.deep.equal({ n: 1 });
      }
      await bob.request({ rpc: "nope" });
      expect(bob.frames).to.deep.equal([]);
      expect(await one.tokenServer.to({ identity: "nobody" }).send("news", 1)).to.deep.equal({
        answers: [],
        missing: [],
      });
    });

    it("calls clients everywhere, and gives each one's value or error", async () => {
      const [a, b] = [await one.connect("alice"), await other.connect("alice")];
      const lost = await other.connect("alice");
      const { sid } = other.socket;
      void answerCalls(a, (args) => ({ data: { args } }));
      void answerCalls(b, () => ({ error: { message: "No", code: "no", data: { why: 1 } } }));
      const calling = one.tokenServer.to({ identity: "alice" }).rpc("ui.ask", { q: 1 });
      await lost.takeCall();
      await lost.end();
      const { answers, missing } = await calling;
      expect(missing).to.deep.equal([]);
      expect(answers).to.have.length(3);
      const [own] = answers.filter(({ server }) => server === one.id);
      expect(own).to.deep.equal({ sid: one.socket.sid, server: one.id, value: { args: { q: 1 } } });
      const others = answers.filter(({ server }) => server === other.id);
      const refused = others.find((answer) => answer.sid !== sid)?.error;
      expect(refused).to.be.instanceOf(RemoteError);
      expect(refused).to.deep.include({ message: "No", code: "no", data: { why: 1 } });
      const gone = others.find((answer) => answer.sid === sid)?.error;
      expect(gone).to.be.instanceOf(DisconnectedError);
      expect(gone).to.include({ sent: true });
    });

    it("gives a TimeoutError for each client that does not answer in time", async () => {
      const [quick] = [await one.connect("alice"), await other.connect("alice")];
      void answerCalls(quick, () => ({ data: 1 }));
      const outcome = await one.tokenServer.to({ identity: "alice" }).rpc("f", undefined, { timeout: 300 });
      expect(outcome.missing).to.deep.equal([]);
      const { [one.id]: answered, [other.id]: late } = values(outcome);
      expect(answered).to.equal(1);
      expect(late).to.be.instanceOf(TimeoutError);
    });

    it("is aborted by its signal", async () => {
      const client = await other.connect("alice");
      const controller = new AbortController();
      const calling = one.tokenServer.to({ identity: "alice" }).rpc("f", 1, { signal: controller.signal });
      await client.takeCall();
      controller.abort("enough");
      const error = await calling.catch((reason: Error) => reason);
      expect(error).to.include({ name: "AbortedError", cause: "enough" });
    });

    it("has typed functions", async () => {
      const client = await other.connect("alice");
      void answerCalls(client, (args, command) => ({ data: `${command} ${JSON.stringify(args)}` }));
      interface Actions {
        ui: { ask(data: { q: number }): string };
      }
      const { answers } = await one.tokenServer.to({ identity: "alice" }).client<Actions>().ui.ask({ q: 1 });
      const [value]: (string | undefined)[] = answers.map((answer) => answer.value);
      expect(value).to.equal('ui.ask {"q":1}');
    });

    it("lets sockets everywhere join and leave a channel", async () => {
      const clients = [await one.connect("alice"), await other.connect("alice")];
      const { tokenServer } = one;
      const joined = await tokenServer.to({ identity: "alice" }).subscribe("room");
      expect(values(joined)).to.deep.equal({ [one.id]: true, [other.id]: true });
      await other.tokenServer.publish("room", 7);
      for (const client of clients) expect(await client.message("room")).to.equal(7);
      const sent = await tokenServer.to({ channel: "room" }).send("private", 8);
      expect(values(sent)).to.deep.equal({ [one.id]: true, [other.id]: true });
      const left = await tokenServer.to({ channel: "room" }).unsubscribe("room");
      expect(values(left)).to.deep.equal({ [one.id]: true, [other.id]: true });
      expect([...one.tokenServer.channels(), ...other.tokenServer.channels()]).to.deep.equal([]);
    });

    it("reaches one socket wherever it is, and a session's", async () => {
      const client = await other.connect("alice");
      const { sid } = other.socket;
      const sent = await one.tokenServer.to({ sid }).send("news", 1);
      expect(sent).to.deep.equal({ answers: [{ sid, server: other.id, value: true }], missing: [] });
      expect(await other.tokenServer.to(other.socket).send("news", 2)).to.deep.equal(sent);
      expect([await client.message("news"), await client.message("news")]).to.deep.equal([1, 2]);
      expect(await one.tokenServer.to({ sessionId: "none" }).send("news", 1)).to.deep.equal({
        answers: [],
        missing: [],
      });
    });

    it("asks for new tokens and closes, and says of which sockets", async () => {
      const clients = [await one.connect("alice"), await other.connect("alice")];
      const { tokenServer } = one;
      for (const target of [{ identity: "alice" }, { channel: "room" }] satisfies Target[]) {
        if ("channel" in target) await tokenServer.to({ identity: "alice" }).subscribe("room");
        const refreshed = await tokenServer.to(target).refresh();
        expect(values(refreshed)).to.deep.equal({ [one.id]: true, [other.id]: true });
      }
      const closed = await tokenServer.to({ channel: "room" }).disconnect({ code: 4100, reason: "Closed" });
      expect(values(closed)).to.deep.equal({ [one.id]: true, [other.id]: true });
      for (const client of clients) {
        expect(await client.closed).to.deep.equal({ code: 4100, reason: "Closed" });
      }
      const again = await other.connect("alice");
      const { sid } = other.socket;
      expect(await tokenServer.to({ identity: "alice" }).disconnect()).to.deep.equal({
        answers: [{ sid, server: other.id, value: true }],
        missing: [],
      });
      await again.closed;
    });

    it("counts and finds sockets of all servers, in pages", async () => {
      const clients = [];
      for (const server of [one, other, one, other, one]) clients.push(await server.connect("alice"));
      await other.connect("bob");
      await one.tokenServer.to({ identity: "alice" }).subscribe("room");
      expect(await other.tokenServer.count({ identity: "alice" })).to.deep.equal({ count: 5, missing: [] });
      expect(await other.tokenServer.count({ channel: "room" })).to.deep.equal({ count: 5, missing: [] });
      expect(await other.tokenServer.count({ channel: "empty" })).to.deep.equal({ count: 0, missing: [] });
      const found = [];
      let cursor: string | undefined;
      let pages = 0;
      do {
        const page = await one.tokenServer.find({ channel: "room" }, { limit: 2, cursor });
        expect(page.missing).to.deep.equal([]);
        expect(page.sockets.length).to.be.within(1, 2);
        found.push(...page.sockets);
        cursor = page.next;
        pages++;
      } while (cursor !== undefined);
      expect(pages).to.equal(3);
      const sockets = [...one.tokenServer.sockets(), ...other.tokenServer.channelSockets("room")];
      expect(found.map(({ sid }) => sid)).to.deep.equal(sockets.map(({ sid }) => sid).sort());
      const { sid, created: since, ip: address } = other.tokenServer.channelSockets("room")[0] as Socket;
      expect(found.find((socket) => socket.sid === sid)).to.deep.equal({
        sid,
        identity: "alice",
        channels: ["room"],
        since,
        address,
        server: other.id,
      });
      expect((await one.tokenServer.find({ identity: "alice" })).sockets).to.have.length(5);
    });
  });
}

describe("to()", () => {
  it("throws for what is no target, and rejects for wrong arguments", async () => {
    const server = await Server.start(embedded(), "");
    const { tokenServer } = server;
    for (const target of [
      { sid: "a", channel: "b" },
      { identity: "a", channel: "b" },
      {},
      { channel: 1 },
      { channel: "___all___" },
      { channel: "a", sid: 1 },
      null,
    ]) {
      expect(() => tokenServer.to(target as never), JSON.stringify(target)).to.throw(TypeError);
    }
    const audience = tokenServer.to({ identity: "alice" });
    const wrong: Promise<unknown>[] = [
      audience.send("___sync___", 1),
      audience.send("room", (() => {}) as never),
      audience.subscribe(""),
      audience.rpc(""),
      audience.rpc("f", 1, { timeout: Infinity }),
      audience.rpc("f", 1, { signal: {} as never }),
      audience.rpc("f", 1n),
      audience.disconnect({ code: 1 }),
      tokenServer.count({} as never),
      tokenServer.find({ identity: "alice" }, { limit: 1001 }),
      tokenServer.find({ identity: "alice" }, { cursor: 1 as never }),
    ];
    for (const result of await Promise.allSettled(wrong)) {
      expect(result.status === "rejected" && result.reason).to.be.instanceOf(TypeError);
    }
  });

  it("needs `identify` for identities", async () => {
    const server = await Server.start(embedded(), "", { identify: undefined });
    expect(() => server.tokenServer.to({ identity: "alice" })).to.throw(TypeError, "options.identify");
  });

  it("reaches this server's sockets where pub/sub is off", async () => {
    const application = await Application.start({
      pubsubClient: null,
      options: { identify: (auth: { name: string }) => auth.name },
    });
    cleanups.push(() => application.stop());
    const client = await application.connect();
    const { answers, missing } = await application.tokenServer.to({ identity: "alice" }).send("news", 1);
    expect([answers.length, missing]).to.deep.equal([1, []]);
    expect(await client.message("news")).to.equal(1);
  });

  describe("in Redis", () => {
    const kind = kindOf("node-redis 6");
    const channels = async (prefix: string) => {
      const operator = await connectNodeRedis(redis.url);
      cleanups.push(() => operator.close());
      const names = (await operator.pubSubChannels(`${prefix}*`)).map((name) => name.slice(prefix.length));
      return names.filter((name) => name.startsWith("___identity:"));
    };

    it("has a channel for each identity from its first socket to its last, which hides the key", async () => {
      const prefix = `${randomUUID()}:`;
      const server = await Server.start(kind, prefix);
      const clients = [
        await server.connect("alice"),
        await server.connect("alice"),
        await server.connect("bob"),
      ];
      const names = await channels(prefix);
      expect(names).to.have.length(2);
      for (const name of names) expect(name).to.match(/^___identity:[\w-]{43}___$/);
      await clients[0]?.end();
      await clients[2]?.end();
      await until(async () => (await channels(prefix)).length === 1);
      expect((await server.tokenServer.to({ identity: "alice" }).send("news", 1)).answers).to.have.length(1);
      await clients[1]?.end();
      await until(async () => (await channels(prefix)).length === 0);
    });

    it("has none where no identities are told apart", async () => {
      const prefix = `${randomUUID()}:`;
      const server = await Server.start(kind, prefix, { identify: undefined });
      await server.connect("alice");
      expect(await channels(prefix)).to.deep.equal([]);
    });

    it("goes for a user to the servers that have that user alone, and answers to the asker alone", async () => {
      const prefix = `${randomUUID()}:`;
      const [one, two] = [await Server.start(kind, prefix), await Server.start(kind, prefix)];
      await Server.start(kind, prefix);
      await two.connect("alice");
      const heard: string[] = [];
      const listener = await connectNodeRedis(redis.url);
      cleanups.push(() => listener.close());
      // a subscriber would count as a server that does not answer
      await listener.monitor((line) => {
        const [, channel] = /"publish" "([^"]+)"/i.exec(line) ?? [];
        if (channel?.startsWith(prefix)) heard.push(channel.slice(prefix.length));
      });
      await one.tokenServer.to({ identity: "alice" }).send("news", 1);
      await until(() => heard.length === 2);
      expect(heard[0]).to.match(/^___identity:/);
      expect(heard[1]).to.equal(`___server:${one.id}___`);
      heard.length = 0;
      expect(await one.tokenServer.disconnect({ identity: "alice" })).to.equal(1);
      await until(() => heard.length === 3);
      expect(heard).to.deep.equal(["___sync___", ...Array(2).fill(`___server:${one.id}___`)]);
    });
  });
});
