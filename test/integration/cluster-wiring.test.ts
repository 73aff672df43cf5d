import { once } from "node:events";
import { expect } from "chai";
import sinon from "sinon";
import { memoryRedis } from "../../lib/memory.js";
import { MemoryStore } from "../../lib/server/redis/memory-store.js";
import { Application } from "../support/application.js";

const ASKING = { protocol: 4, history: true };

describe("The channels of a server", () => {
  let application: Application;

  beforeEach(async () => {
    const store = memoryRedis();
    application = await Application.start({
      redisClient: store,
      pubsubClient: store,
      options: {
        debug: true,
        identify: ({ name }) => `${name}`,
        history: { "kept:*": { size: 10, ttl: 60_000 } },
        presence: { room: { grace: 60_000 } },
      },
    });
    await application.tokenServer.ready();
  });
  afterEach(async () => {
    sinon.restore();
    await application.stop();
  });

  it("have members as long as these are in, or may come back", async () => {
    const { tokenServer } = application;
    const count = async () => (await tokenServer.presence("room")).count;
    const told = (event: "joined" | "left") => once(tokenServer, event);
    for (const leave of ["by itself", "by a logout", undefined] as const) {
      const client = await application.connect("websocket", ASKING);
      const [joined, left] = [told("joined"), told("left")];
      await client.subscribe("room");
      await joined;
      expect(await count()).to.equal(1);
      const socket = application.socket();
      if (leave === "by itself") await client.request({ rpc: "_unsubscribe", req: { channel: "room" } });
      if (leave === "by a logout") await tokenServer.disconnect(socket);
      if (leave) {
        await left;
        expect(await count(), leave).to.equal(0);
        continue;
      }
      left.catch(() => {});
      const gone = once(tokenServer, "disconnect");
      await client.end();
      await gone;
    }
    // it may be back in a moment
    expect(await count()).to.equal(1);
  });

  it("are told to the application, as to who comes, what that has missed, and who goes", async () => {
    const { tokenServer } = application;
    const events: unknown[] = [];
    for (const event of ["subscribed", "recovered", "unsubscribed"] as const) {
      tokenServer.on(event, ({ sid }: { sid: string }, told: object) => events.push([event, sid, told]));
    }
    const first = await tokenServer.publish("kept:1", 1);
    await tokenServer.publish("kept:1", 2);
    const client = await application.connect("websocket", ASKING);
    const { sid } = application.socket();
    client.send({ rpc: "_subscribe", req: { channel: "kept:1", since: first }, uuid: "s" });
    await client.take(({ uuid }) => uuid === "s");
    await client.request({ rpc: "_unsubscribe", req: { channel: "kept:1" } });
    const channel = "kept:1";
    expect(events).to.deep.equal([
      ["subscribed", sid, { channel }],
      ["recovered", sid, { channel, messages: 1 }],
      ["unsubscribed", sid, { channel }],
    ]);
    const log = application.log.join("\n");
    for (const event of ["subscribed", "unsubscribed"])
      expect(log).to.include(`${sid} has ${event} "kept:1"`);
  });

  it("tell of messages that come, and of those that are lost where none came for long", async () => {
    const { tokenServer } = application;
    const events: unknown[] = [];
    tokenServer.on("lost", ({ sid }, loss) => events.push([sid, loss]));
    const client = await application.connect("websocket", ASKING);
    const next = () => client.take(({ channel }) => channel === "kept:1");
    await client.subscribe("kept:1");
    await tokenServer.publish("kept:1", 0);
    expect(await next()).to.include({ message: 0 });
    const cut = sinon.stub(MemoryStore.prototype, "publish").returns(0);
    for (let n = 1; n <= 12; n++) await tokenServer.publish("kept:1", n);
    cut.restore();
    await tokenServer.publish("kept:1", 13);
    const lost = { messages: 3, reason: "trimmed" };
    expect(await next()).to.deep.include({ lost });
    expect(await next()).to.include({ message: 4 });
    expect(events).to.deep.equal([[application.socket().sid, { channel: "kept:1", ...lost }]]);
  });

  it("report that a history could not be read", async () => {
    const error = new Error("down");
    sinon.stub(MemoryStore.prototype, "read").rejects(error);
    const told = once(application.tokenServer, "error");
    const client = await application.connect("websocket", ASKING);
    await client.subscribe("kept:1");
    expect(await told).to.deep.equal([error, "the history of a channel could not be read"]);
  });
});
