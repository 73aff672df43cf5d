import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { expect } from "chai";
import sinon from "sinon";
import type { TokenSocket } from "../../lib/client/index.js";
import type { TokenSocketServerOptions } from "../../lib/index.js";
import { memoryRedis } from "../../lib/memory.js";
import { until } from "../support/condition.js";
import { connectNodeRedis } from "../support/node-redis.js";
import { canStartRedis, startRedis } from "../support/redis-server.js";
import { SeverableLine } from "../support/severable-line.js";
import { happened, inState, type Place, Stage } from "./support.js";

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => from + n);

describe("Clients that have missed much", () => {
  let stage: Stage;
  let redis: ReturnType<typeof memoryRedis>;
  let line: SeverableLine;
  let client: TokenSocket;
  let place: Place;
  /** The numbers of the messages that came, by channel, and what was said to be lost. */
  let heard: Map<string, unknown[]>;

  const hear = (channel: string, value: unknown) => {
    const values = heard.get(channel) ?? [];
    heard.set(channel, values);
    values.push(value);
  };

  const start = (options: TokenSocketServerOptions = {}) =>
    stage.application({
      redisClient: redis,
      pubsubClient: redis,
      options: { history: { "room:*": { size: 100_000, ttl: 600_000 } }, ...options },
    });

  /** Starts a server, and a client that has joined channels. */
  async function begin(channels: readonly string[], options: TokenSocketServerOptions = {}): Promise<void> {
    place = await start(options);
    line = await SeverableLine.to(place.port);
    client = stage.client({ url: `http://127.0.0.1:${line.port}` });
    client.onmessage((channel, message) => hear(channel, (message as { n?: number }).n ?? message));
    client.on("lost", (channel, loss) => hear(channel, loss));
    await client.ready();
    // more at once would be too many requests
    for (let n = 0; n < channels.length; n += 200) {
      await Promise.all(channels.slice(n, n + 200).map((channel) => client.subscribe(channel)));
    }
  }

  async function publish(from: number, to: number, text = "", at = place): Promise<void> {
    for (let n = from; n <= to; n += 500) {
      const batch = numbers(n, Math.min(to, n + 499));
      await Promise.all(batch.map((n) => at.tokenServer.publish("room:1", text ? { n, text } : { n })));
    }
  }

  async function cut(): Promise<void> {
    const waits = inState(client, "waiting");
    await line.sever();
    await waits;
  }

  beforeEach(() => {
    stage = new Stage();
    redis = memoryRedis();
    heard = new Map();
  });
  afterEach(async () => {
    sinon.restore();
    await stage.clear();
    await line?.sever();
  });

  it("get the newest of 100,000 messages, and are told exactly how many they do not get", async () => {
    await begin(["room:1"]);
    await publish(1, 1);
    await until(() => heard.get("room:1")?.length === 1);
    await cut();
    await publish(2, 100_000);
    await line.mend();
    await happened(client, "reconnect");
    expect(heard.get("room:1")).to.deep.equal([
      1,
      { messages: 98_999, reason: "limit" },
      ...numbers(99_001, 100_000),
    ]);
  });

  it("get all where they have missed something on each of 10,000 channels", async () => {
    const channels = numbers(1, 10_000).map((n) => `room:${n}`);
    await begin(channels, {
      limits: { channelsPerSocket: 10_000, framesPerSecond: Infinity, frameBurst: Infinity },
    });
    await cut();
    await Promise.all(channels.map((channel) => place.tokenServer.publish(channel, 1)));
    await line.mend();
    await happened(client, "reconnect");
    await Promise.all(channels.map((channel) => place.tokenServer.publish(channel, 2)));
    await until(() => channels.every((channel) => heard.get(channel)?.includes(2)));
    for (const channel of channels) expect(heard.get(channel), channel).to.deep.equal([1, 2]);
  });

  it("get each message once where they are cut while they recover, again and again", async () => {
    await begin(["room:1"]);
    const text = "x".repeat(2000);
    await cut();
    await publish(1, 600, text);
    let cuts = 0;
    client.onmessage((_channel, message) => {
      const { n } = message as { n: number };
      if (n % 150 !== 0 || n === 600) return;
      cuts++;
      line.moveTo(place.port);
    });
    await line.mend();
    await until(() => heard.get("room:1")?.at(-1) === 600);
    expect(heard.get("room:1")).to.deep.equal(numbers(1, 600));
    expect(cuts).to.equal(3);
  });

  it("get each message once where their server is killed while they recover from it", async () => {
    await begin(["room:1"]);
    const other = await start();
    const text = "x".repeat(2000);
    await cut();
    await publish(1, 600, text);
    let killed: Promise<void> | undefined;
    client.onmessage((_channel, message) => {
      if ((message as { n: number }).n !== 150) return;
      line.moveTo(other.port);
      killed = place.stop();
    });
    await line.mend();
    await until(() => heard.get("room:1")?.at(-1) === 600);
    await killed;
    await publish(601, 610, "", other);
    await until(() => heard.get("room:1")?.at(-1) === 610);
    expect(killed).to.not.equal(undefined);
    expect(heard.get("room:1")).to.deep.equal(numbers(1, 610));
  });

  it("get 10,000 messages, and those that come meanwhile, though they read 10 KB at a time, and are not cut", async () => {
    await begin([], { limits: { recoverMessages: 20_000 } });
    const { tokenServer } = place;
    const since = await tokenServer.publish("room:1", { n: 0 });
    await publish(1, 10_000, "x".repeat(500));
    const closings: unknown[] = [];
    tokenServer.on("disconnect", (socket) => closings.push(socket));
    const reader = await SlowReader.connect(place, await place.application.token());
    reader.send({ rpc: "_subscribe", req: { channel: "room:1", since }, uuid: "s1" });
    for (let last = 10_000; last < 10_500; last += 5) {
      await publish(last + 1, last + 5);
      await reader.read(10_000);
    }
    await publish(10_501, 10_501);
    while (!reader.newest.includes('"n":10501}')) await reader.read(10_000);
    expect(closings).to.deep.equal([]);
    expect(reader.numbers()).to.deep.equal(numbers(1, 10_501));
    reader.end();
  });
});

if (canStartRedis) {
  it("Histories are timed by Redis, for servers whose clocks are an hour apart", async () => {
    const stage = new Stage();
    const redis = await startRedis({ own: true });
    const clients = await Promise.all([1, 2, 3, 4].map(() => connectNodeRedis(redis.url)));
    const start = ([redisClient, pubsubClient]: typeof clients) =>
      stage.application({
        ...(redisClient && pubsubClient && { redisClient, pubsubClient }),
        options: { history: { "room:*": { size: 100, ttl: 600_000 } } },
      });
    try {
      const right = await start(clients.slice(0, 2));
      await right.tokenServer.ready();
      const begin = Date.now();
      await right.tokenServer.publish("room:1", 1);
      // from here on the clock of whatever is started is an hour ahead
      const { now } = Date;
      sinon.stub(Date, "now").callsFake(() => now() + 3_600_000);
      const ahead = await start(clients.slice(2));
      await ahead.tokenServer.ready();
      await ahead.tokenServer.publish("room:1", 2);
      const heard: unknown[] = [];
      const client = stage.client(ahead);
      client.on("message", (_channel, message, info) =>
        heard.push([message, Number(info?.time) < begin + 1_800_000]),
      );
      await client.subscribe("room:1", { last: 10 });
      await ahead.tokenServer.publish("room:1", 3);
      await right.tokenServer.publish("room:1", 4);
      await until(() => heard.length === 4);
      await client.subscribe("room:1", { since: null, last: 10 });
      expect(heard).to.deep.equal([1, 2, 3, 4].map((message) => [message, true]));
      const { messages } = await ahead.tokenServer.history("room:1");
      expect(messages.map(({ message }) => message)).to.deep.equal([1, 2, 3, 4]);
    } finally {
      sinon.restore();
      await stage.clear();
      for (const client of clients) client.destroy();
      await redis.stop();
    }
  });
}

/** A client on a bare TCP connection, which takes as many bytes as it is told to. */
class SlowReader {
  readonly #socket: Socket;
  text = "";
  /** What came by the last two reads: to look through all of it each time takes seconds. */
  newest = "";
  #last = "";

  static async connect(place: Place, token: string): Promise<SlowReader> {
    const socket = connect({ port: place.port, host: "127.0.0.1" });
    await once(socket, "connect");
    socket.write(
      "GET /sockets/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    const reader = new SlowReader(socket);
    while (!reader.text.includes("\r\n\r\n")) await reader.read(1000);
    reader.send({ rpc: "auth", token, protocol: 4, history: true, uuid: "a1" });
    while (!reader.text.includes('"uuid":"a1"')) await reader.read(1000);
    return reader;
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("error", () => {});
  }

  /** Takes so many bytes at most. */
  async read(bytes: number): Promise<void> {
    const chunk: unknown = this.#socket.read(Math.min(bytes, this.#socket.readableLength) || undefined);
    if (chunk) this.#take(String(chunk));
    else await once(this.#socket, "readable");
    if (this.#socket.destroyed) throw new Error("The connection was closed");
    await turn();
  }

  #take(text: string): void {
    this.text += text;
    this.newest = this.#last + text;
    this.#last = text;
  }

  send(frame: object): void {
    const payload = Buffer.from(JSON.stringify(frame));
    const head =
      payload.length < 126 ? [payload.length | 0x80] : [0xfe, payload.length >> 8, payload.length & 0xff];
    // a mask of zeros changes nothing
    this.#socket.write(Buffer.concat([Buffer.from([0x81, ...head, 0, 0, 0, 0]), payload]));
  }

  /** The numbers of the messages that have come. */
  numbers(): number[] {
    return [...this.text.matchAll(/"message":\{"n":(\d+)/g)].map(([, n]) => Number(n));
  }

  end(): void {
    this.#socket.destroy();
  }
}
