import { randomUUID } from "node:crypto";
import { expect } from "chai";
import sinon from "sinon";
import { Exceptions } from "../../lib/server/channels/exceptions.js";
import type { Application } from "../support/application.js";
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

const start = (kind: Kind, channelPrefix: string) =>
  startOn(kind, redis, cleanups, { channelPrefix, history: { kept: { size: 20, ttl: 60_000 } } });

async function join(application: Application, channel: string, auth: object = {}): Promise<WireClient> {
  const client = await application.connect("websocket", { protocol: 4, ...auth });
  await client.subscribe(channel);
  return client;
}

for (const kind of [...CONNECTING_KINDS.filter(({ name }) => /6$/.test(name)), embedded()]) {
  for (const channel of ["room", "kept"]) {
    describe(`A message on "${channel}" that one socket does not get, on ${kind.name}`, () => {
      let one: Application;
      let other: Application;
      let clients: WireClient[];
      const prefix = `${randomUUID()}:`;

      beforeEach(async () => {
        [one, other] = [await start(kind, prefix), await start(kind, prefix)];
        clients = [await join(one, channel), await join(one, channel), await join(other, channel)];
      });

      const heard = (messages: unknown[]) =>
        Promise.all(
          clients.map(async (client) => {
            const all = [];
            do all.push(await client.message(channel));
            while (all.at(-1) !== "end");
            expect(all, `client ${clients.indexOf(client)}`).to.deep.equal(
              client === clients[0]
                ? [...messages.filter((message) => message !== "mine"), "end"]
                : [...messages, "end"],
            );
          }),
        );

      it("reaches all others, published by the server", async () => {
        const [except] = one.tokenServer.sockets();
        await one.tokenServer.publish(channel, "mine", { except });
        await one.tokenServer.publish(channel, "ours");
        // it is left out once
        await one.tokenServer.publish(channel, "end", {});
        await heard(["mine", "ours"]);
      });

      it("reaches all others, published by that client", async () => {
        const [client] = clients as [WireClient];
        for (const [data, echo] of [
          ["mine", false],
          ["ours", true],
          ["ours", undefined],
          ["end", undefined],
        ]) {
          const reply = await client.request({ rpc: "_publish", req: { channel, data, echo } });
          expect(reply).to.have.property("resp", "success");
        }
        await heard(["mine", "ours", "ours"]);
      });
    });
  }
}

describe("publish() with `except`", () => {
  const [kind] = CONNECTING_KINDS;
  if (!kind) throw new Error("there is one");

  it("leaves plain JSON in Redis on a channel without a history", async () => {
    const prefix = `${randomUUID()}:`;
    const application = await start(kind, prefix);
    await join(application, "room");
    const service = await connectNodeRedis(redis.url);
    cleanups.push(() => service.close());
    let heard = (_payload: string) => {};
    const payload = new Promise<string>((resolve) => {
      heard = resolve;
    });
    await service.subscribe(`${prefix}room`, (text) => heard(text));
    const [except] = application.tokenServer.sockets();
    await application.tokenServer.publish("room", { n: 1 }, { except });
    expect(await payload).to.equal('{"n":1}');
  });

  it("is kept in a history as any other message", async () => {
    const { tokenServer } = await start(kind, `${randomUUID()}:`);
    const except = { sid: randomUUID() };
    for (let n = 1; n <= 17; n++) await tokenServer.publish("kept", n, { except });
    const { messages } = await tokenServer.history("kept");
    expect(messages.map(({ message }) => message)).to.deep.equal(Array.from({ length: 17 }, (_, i) => i + 1));
  });

  it("gives an older client its own message, whatever it asks for", async () => {
    const application = await start(kind, `${randomUUID()}:`);
    const client = await join(application, "room", { protocol: undefined });
    client.send({ rpc: "_publish", req: { channel: "room", data: 1, echo: false } });
    expect(await client.message("room")).to.equal(1);
  });

  it("rejects what is no socket", async () => {
    const application = await start(embedded(), "");
    for (const except of [null, {}, "sid", 1]) {
      const error = await application.tokenServer
        .publish("room", 1, { except: except as never })
        .catch((reason: Error) => reason);
      expect(error).to.be.instanceOf(TypeError).with.property("message", "options.except must be a socket");
    }
  });
});

describe("The messages that one socket is not to get", () => {
  it("are known by channel and text, each once, the oldest first", () => {
    const exceptions = new Exceptions();
    exceptions.add("a", "1", "x");
    exceptions.add("a", "1", "y");
    exceptions.add("b", "1", "z");
    expect(exceptions.take("a", "2")).to.equal(undefined);
    expect(exceptions.take("b", "1")).to.equal("z");
    expect([exceptions.take("a", "1"), exceptions.take("a", "1"), exceptions.take("a", "1")]).to.deep.equal([
      "x",
      "y",
      undefined,
    ]);
    expect(exceptions.size).to.equal(0);
  });

  it("are forgotten after half a minute", () => {
    const clock = sinon.useFakeTimers({ toFake: ["performance"] });
    try {
      const exceptions = new Exceptions();
      exceptions.add("a", "1", "x");
      clock.tick(20_000);
      exceptions.add("a", "2", "x");
      clock.tick(10_000);
      expect(exceptions.take("a", "1")).to.equal(undefined);
      expect(exceptions.take("a", "2")).to.equal("x");
      exceptions.add("a", "3", "x");
      clock.tick(29_999);
      expect(exceptions.take("a", "3")).to.equal("x");
    } finally {
      clock.restore();
    }
  });

  it("are forgotten where they were not published, or are too many or too long", () => {
    const exceptions = new Exceptions();
    const forget = exceptions.add("a", "1", "x");
    exceptions.add("a", "0", "x");
    forget();
    forget();
    expect(exceptions.take("a", "1")).to.equal(undefined);
    expect(exceptions.take("a", "0")).to.equal("x");
    for (let i = 0; i < 1_005; i++) exceptions.add("a", `${i}`, "x");
    expect(exceptions.size).to.equal(1_000);
    expect(exceptions.take("a", "4")).to.equal(undefined);
    expect(exceptions.take("a", "5")).to.equal("x");
    exceptions.add("a", "1".repeat(4_194_304), "x");
    expect(exceptions.size).to.equal(1);
    exceptions.add("a", "2".repeat(4_194_305), "x");
    expect(exceptions.size).to.equal(0);
    // those that have come back do not count any more
    for (let i = 0; i < 3; i++) {
      exceptions.add("a", "1".repeat(4_194_304), "x");
      expect(exceptions.take("a", "1".repeat(4_194_304))).to.equal("x");
    }
  });
});
