import { expect } from "chai";
import type { TokenSocket } from "../../lib/client/index.js";
import { memoryRedis } from "../../lib/memory.js";
import { SeverableLine } from "../support/severable-line.js";
import { deferred, failure, happened, inState, type Place, Stage } from "./support.js";

/** Reads as many items of a loop. */
async function read(loop: AsyncIterableIterator<unknown, undefined>, count: number): Promise<unknown[]> {
  const values: unknown[] = [];
  while (values.length < count) values.push((await loop.next()).value);
  return values;
}

describe("A client and a server that keeps histories", () => {
  let stage: Stage;
  let redis: ReturnType<typeof memoryRedis>;
  let place: Place;
  let line: SeverableLine;
  let client: TokenSocket;
  let heard: unknown[];

  const options = { history: { "room:*": { size: 10, ttl: 60_000 } } };

  const start = (port = 0) => stage.application({ redisClient: redis, pubsubClient: redis, options }, port);

  /** Publishes, and waits until that is delivered: the store does so before it carries out a further command. */
  const publish = async (message: unknown, at = place) => {
    await at.tokenServer.publish("room:1", message);
    await at.tokenServer.publish("elsewhere", "a further command");
  };

  /** Waits until all that was sent to the client has come. */
  const settled = () => failure(client.rpc("nowhere"));

  const cut = async () => {
    const waits = inState(client, "waiting");
    await line.sever();
    await waits;
  };

  const back = async () => {
    const opens = happened(client, "reconnect");
    await line.mend();
    await opens;
  };

  beforeEach(async () => {
    stage = new Stage();
    redis = memoryRedis();
    place = await start();
    line = await SeverableLine.to(place.port);
    client = stage.client({ url: `http://127.0.0.1:${line.port}` });
    heard = [];
    client.onmessage((_channel, message) => heard.push(message));
    client.on("lost", (channel, loss) => heard.push({ channel, ...loss }));
    await client.ready();
  });
  afterEach(async () => {
    await stage.clear();
    await line.sever();
  });

  it("lose nothing where the line is cut again and again", async () => {
    await client.subscribe("room:1");
    for (let round = 0; round < 5; round++) {
      await publish(`${round} live`);
      await settled();
      await cut();
      await publish(`${round} missed`);
      await back();
    }
    await settled();
    expect(heard).to.deep.equal(
      Array.from({ length: 5 }, (_, round) => [`${round} live`, `${round} missed`]).flat(),
    );
    expect(client.position("room:1")).to.match(/^[\w-]+\.10\.[\w-]+$/);
  });

  it("lose nothing where the server is killed, and another one takes its place", async () => {
    await client.subscribe("room:1");
    await publish("a");
    await settled();
    const other = await start();
    await place.stop();
    await inState(client, "waiting");
    await publish("b", other);
    const opens = happened(client, "reconnect");
    line.moveTo(other.port);
    await opens;
    await publish("c", other);
    await settled();
    expect(heard).to.deep.equal(["a", "b", "c"]);
  });

  it("say how much is lost, where the history does not reach back", async () => {
    await client.subscribe("room:1");
    await publish("a");
    await settled();
    await cut();
    for (let i = 1; i <= 13; i++) await publish(i);
    await back();
    await settled();
    expect(heard).to.deep.equal([
      "a",
      { channel: "room:1", messages: 3, reason: "trimmed" },
      ...[4, 5, 6, 7, 8, 9, 10, 11, 12, 13],
    ]);
  });

  it("go on from a position of another page", async () => {
    await client.subscribe("room:1");
    await publish("a");
    await settled();
    const since = client.position("room:1");
    await client.end();
    await publish("b");
    const next = stage.client(place);
    const messages: unknown[] = [];
    next.onmessage((_channel, message, info) => messages.push([message, info?.recovered]));
    await next.subscribe("room:1", { since });
    await publish("c");
    await failure(next.rpc("nowhere"));
    expect(messages).to.deep.equal([
      ["b", true],
      ["c", false],
    ]);
    const other = stage.client(place);
    expect(await failure(other.subscribe("room:1", { since: "no position" }))).to.be.instanceOf(TypeError);
    await other.subscribe("room:2", { since });
    expect(other.position("room:2")).to.be.a("string");
  });

  it("give loops the last messages, and histories page by page", async () => {
    for (let i = 1; i <= 10; i++) await publish(i);
    const plain = client.channel("room:1");
    const first = plain.next();
    const loop = client.channel("room:1", { last: 3 });
    expect(await read(loop, 3)).to.deep.equal([8, 9, 10]);
    await publish(11);
    expect([...(await read(loop, 1)), (await first).value]).to.deep.equal([11, 11]);
    const numbers: unknown[] = [];
    let before: string | undefined;
    do {
      const page = await client.history("room:1", { last: 4, before });
      numbers.unshift(...page.messages.map(({ message }) => message));
      before = page.more && page.before;
    } while (before);
    expect(numbers).to.deep.equal([2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    await client.subscribe("hall");
    expect(await failure(client.history("hall"))).to.have.property("code", "no_history");
    expect(await failure(client.history("room:2"))).to.have.property("code", "forbidden");
  });

  it("count a message once that was on its way when the line was cut", async () => {
    await client.subscribe("room:1");
    const published = deferred();
    place.tokenServer.once("published", () => published.resolve());
    const held = line.holdAnswerTo(/_publish|./);
    const sent = client.publish("room:1", "once");
    await Promise.all([held, published.promise]);
    await cut();
    line.speak();
    await back();
    await sent;
    await settled();
    expect(heard).to.deep.equal(["once"]);
  });

  it("recover a channel that the server joins by itself, though no guard allows it", async () => {
    place.tokenServer.on("subscribe", () => false);
    place.tokenServer.on("authenticated", (socket) => place.tokenServer.subscribe(socket, "room:1"));
    const own = stage.client({ url: `http://127.0.0.1:${line.port}` });
    const messages: unknown[] = [];
    own.onmessage((_channel, message) => messages.push(message));
    await happened(own, "subscribed");
    await own.ready();
    await publish("a");
    await failure(own.rpc("nowhere"));
    const waits = inState(own, "waiting");
    await line.sever();
    await waits;
    await publish("b");
    const opens = happened(own, "reconnect");
    await line.mend();
    await opens;
    await publish("c");
    await failure(own.rpc("nowhere"));
    expect(messages).to.deep.equal(["a", "b", "c"]);
  });
});
