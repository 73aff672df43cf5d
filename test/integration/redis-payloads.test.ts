import { randomUUID } from "node:crypto";
import { expect } from "chai";
import { createClient } from "redis";
import { CLOSE } from "../../lib/shared/close-codes.js";
import type { ApplicationOptions } from "../support/application.js";
import {
  CONTROL_CHARACTERS,
  DEPTH,
  LONG,
  name,
  nestedArrays,
  nestedObjects,
  RESERVED_CHANNELS,
  SECRET,
} from "../support/bad-values.js";
import { type RedisServer, startRedis } from "../support/redis-server.js";
import { ending, refusal, Scene } from "../support/scene.js";
import type { Frame, WireClient } from "../support/wire-client.js";

const makeRedisClient = (url: string) => createClient({ url });
type RedisClientOfTest = ReturnType<typeof makeRedisClient>;

describe("bad input from Redis", () => {
  let redis: RedisServer;
  const clients: RedisClientOfTest[] = [];
  let publisher: RedisClientOfTest;
  let plain: Scene;
  let filtering: Scene;
  const channelPrefix = `bad-input-${randomUUID()}:`;
  const tokenPrefix = `${channelPrefix}token:`;

  async function connectRedis(): Promise<RedisClientOfTest> {
    const client = makeRedisClient(redis.url);
    client.on("error", () => {});
    clients.push(client);
    await client.connect();
    return client;
  }

  const publish = (channel: string, payload: string | Buffer) =>
    publisher.publish(channelPrefix + channel, payload);

  before(async () => {
    redis = await startRedis();
    publisher = await connectRedis();
    const start = async (options: ApplicationOptions["options"]) =>
      Scene.start({
        redisClient: await connectRedis(),
        pubsubClient: await connectRedis(),
        options: { channelPrefix, tokenPrefix, ...options },
      });
    plain = await start({});
    filtering = await start({ filter: (_socket, _channel, message) => [message] });
    // the other server's messages come here as well
    await plain.witness.subscribe("fence");
    await filtering.witness.subscribe("fence");
  });

  after(async () => {
    await plain.stop();
    await filtering.stop();
    for (const client of clients) client.destroy();
    await redis.stop();
  });

  /** Both servers have handled all that was published so far; gives what their witnesses got of it. */
  async function settle(): Promise<{ plain: Frame[]; filtering: Frame[] }> {
    const fence = randomUUID();
    await publish("fence", JSON.stringify(fence));
    const until = async (client: WireClient, message: unknown): Promise<Frame[]> => {
      const frames: Frame[] = [];
      for (;;) {
        const frame = await client.take();
        if (frame.channel === "fence" && JSON.stringify(frame.message) === JSON.stringify(message))
          return frames;
        frames.push(frame);
      }
    };
    return { plain: await until(plain.witness, fence), filtering: await until(filtering.witness, [fence]) };
  }

  function takeErrors(scene: Scene): string[] {
    return scene.application.errors.splice(0).map((error) => error.message);
  }

  /** Both servers are up and serve their clients. */
  async function check(): Promise<void> {
    expect(takeErrors(plain)).to.deep.equal([]);
    expect(takeErrors(filtering)).to.deep.equal([]);
    for (const { witness } of [plain, filtering]) {
      expect(await witness.request({ rpc: "echo", req: 1, uuid: "w" })).to.deep.equal({
        rpc: "echo",
        uuid: "w",
        resp: 1,
      });
    }
    await publish("witness", "5");
    expect(await plain.witness.message("witness")).to.equal(5);
    expect(await filtering.witness.message("witness")).to.deep.equal([5]);
    expect(plain.witness.frames).to.deep.equal([]);
    expect(filtering.witness.frames).to.deep.equal([]);
    expect([...plain.fatal.splice(0), ...filtering.fatal.splice(0)]).to.deep.equal([]);
  }

  const PAYLOADS: readonly (readonly [name: string, payload: string | Buffer, message: unknown])[] = [
    ["text that is no JSON", "hello", "hello"],
    ["half of a JSON object", '{"a":', '{"a":'],
    ["nothing", "", ""],
    ["white space", " \n", " \n"],
    ["control characters", CONTROL_CHARACTERS, CONTROL_CHARACTERS],
    ["bytes that are no UTF-8", Buffer.from([0x61, 0xff, 0xfe, 0x00, 0x62]), "a\ufffd\ufffd\u0000b"],
    ["half of a UTF-8 character", Buffer.from([0xf0, 0x9f]), "\ufffd"],
    ["a lone surrogate in JSON", '"\\ud800"', "\ud800"],
    ["a number as text", "123", 123],
    ["a string of a number", '"123"', "123"],
    ["null", "null", null],
    ["JSON with line breaks", '{\n\t"a" : [ 1 ]\r\n}', { a: [1] }],
    ["a name of a prototype", '{"__proto__":{"a":1}}', JSON.parse('{"__proto__":{"a":1}}')],
    ["a frame of the server's own", '{"internal":true,"command":"rpc"}', { internal: true, command: "rpc" }],
    ["a megabyte of text", LONG, LONG],
    ["a megabyte of JSON", JSON.stringify([LONG]), [LONG]],
  ];

  for (const [name, payload, message] of PAYLOADS) {
    it(`delivers ${name}, published on a channel`, async () => {
      await publish("witness", payload);
      expect(await settle()).to.deep.equal({
        plain: [{ channel: "witness", message }],
        filtering: [{ channel: "witness", message: [message] }],
      });
      await check();
    });

    it(`delivers ${name}, broadcast, on each channel once`, async () => {
      await publish("___all___", payload);
      const { plain: here, filtering: there } = await settle();
      expect(here).to.have.deep.members([
        { channel: "witness", message },
        { channel: "fence", message },
      ]);
      expect(there).to.have.deep.members([
        { channel: "witness", message: [message] },
        { channel: "fence", message: [message] },
      ]);
      await check();
    });
  }

  for (const [name, payload] of [
    ["arrays", nestedArrays()],
    ["objects", nestedObjects()],
  ] as const) {
    it(`delivers ${name} 100,000 levels deep, and reports where a filter's result cannot be sent`, async () => {
      await publish("witness", payload);
      const { plain: here, filtering: there } = await settle();
      expect(here).to.have.lengthOf(1);
      expect(levelsOf(here[0]?.message)).to.equal(DEPTH);
      expect(there).to.deep.equal([]);
      expect(takeErrors(filtering)).to.have.lengthOf(1);
      await check();
    });
  }

  const COMMANDS: readonly (readonly [name: string, payload: string | Buffer])[] = [
    ["text that is no JSON", "hello"],
    ["nothing", ""],
    ["bytes that are no UTF-8", Buffer.from([0xff, 0xfe])],
    ["null", "null"],
    ["true", "true"],
    ["a number", "5"],
    ["a string", '"unsubscribeAll"'],
    ["an array", "[]"],
    ["a command in an array", '[{"command":"unsubscribeAll","data":{"channel":"witness"}}]'],
    ["{}", "{}"],
    ["no command", '{"data":{"channel":"witness"}}'],
    ["a command that is no string", '{"command":["unsubscribeAll"],"data":{"channel":"witness"}}'],
    ["no data", '{"command":"unsubscribeAll"}'],
    ["null as the data", '{"command":"unsubscribeAll","data":null}'],
    ["a string as the data", '{"command":"unsubscribeAll","data":"witness"}'],
    ["an array as the data", '{"command":"unsubscribeAll","data":["witness"]}'],
    ["no channel", '{"command":"unsubscribeAll","data":{}}'],
    ...[null, 5, true, "", [], ["witness"], {}, "c".repeat(257), LONG].map(
      (channel) =>
        [
          `the channel ${name(channel)}`,
          JSON.stringify({ command: "unsubscribeAll", data: { channel } }),
        ] as const,
    ),
    ["a channel with a lone surrogate", '{"command":"unsubscribeAll","data":{"channel":"\\ud800"}}'],
    ...RESERVED_CHANNELS.map(
      (channel) =>
        [`the channel ${channel}`, JSON.stringify({ command: "unsubscribeAll", data: { channel } })] as const,
    ),
    ["arrays 100,000 levels deep", nestedArrays()],
    ["objects 100,000 levels deep", nestedObjects()],
    ["objects 100,000 levels deep as the data", `{"command":"unsubscribeAll","data":${nestedObjects()}}`],
    ["a command in a prototype", '{"__proto__":{"command":"unsubscribeAll","data":{"channel":"witness"}}}'],
    ["a megabyte of text", LONG],
  ];

  for (const [what, payload] of COMMANDS) {
    it(`reports a command between servers that is ${what}`, async () => {
      await publish("___sync___", payload);
      expect(await settle()).to.deep.equal({ plain: [], filtering: [] });
      for (const scene of [plain, filtering]) {
        const errors = takeErrors(scene);
        expect(errors).to.have.lengthOf(1);
        expect(errors[0]).to.have.length.below(1000);
      }
      await check();
    });
  }

  it("passes over commands of servers that are newer", async () => {
    for (const command of ["shutdown", "toString", "constructor", LONG]) {
      await publish("___sync___", JSON.stringify({ command, data: { channel: "witness" }, id: "1" }));
    }
    expect(await settle()).to.deep.equal({ plain: [], filtering: [] });
    for (const scene of [plain, filtering]) expect(takeErrors(scene)).to.deep.equal([]);
    await check();
  });

  it("carries out a command from elsewhere after all these", async () => {
    for (const { application, witness } of [plain, filtering]) {
      await witness.subscribe("left");
      expect(application.tokenServer.channels()).to.include("left");
    }
    await publish("___sync___", '{"command":"unsubscribeAll","data":{"channel":"left"}}');
    for (const { application, witness } of [plain, filtering]) {
      expect(await witness.take()).to.deep.equal({
        internal: true,
        command: "unsubscribe",
        data: { channel: "left" },
      });
      expect(application.tokenServer.channels()).not.to.include("left");
    }
    await check();
  });

  for (const [what, value] of [
    ["text that is no JSON", SECRET],
    ["JSON that is cut off", `{"auth":{"note":"${SECRET}`],
    ["nothing", ""],
    ["null", "null"],
    ["a number", "5"],
    ["a string", JSON.stringify(SECRET)],
    ["an array", "[]"],
    ["{}", "{}"],
    ["an identity without a user", '{"auth":null,"host":"h","ip":"","ips":[]}'],
    ["JSON 100,000 levels deep", nestedArrays()],
  ] as const) {
    it(`closes without a frame where what Redis holds for a token is ${what}, and tells nobody of it`, async () => {
      const token = randomUUID();
      await publisher.set(tokenPrefix + token, value);
      const client = await plain.application.open();
      client.send({ rpc: "auth", uuid: 1, token });
      expect(await ending(client)).to.deep.equal(refusal(undefined, CLOSE.unavailable));
      const errors = plain.application.errors.splice(0);
      expect(errors).to.have.lengthOf(1);
      const told = `${errors[0]?.stack} ${(errors[0]?.cause as Error | undefined)?.stack}`;
      expect(told).not.to.include(token);
      for (const word of SECRET.split(" ").filter(({ length }) => length > 3))
        expect(told).not.to.include(word);
      await check();
    });
  }

  it("closes without a frame where what Redis holds for a token is no string", async () => {
    const token = randomUUID();
    await publisher.lPush(tokenPrefix + token, SECRET);
    const client = await plain.application.open();
    client.send({ rpc: "auth", uuid: 1, token });
    expect(await ending(client)).to.deep.equal(refusal(undefined, CLOSE.unavailable));
    const errors = plain.application.errors.splice(0);
    expect(errors).to.have.lengthOf(1);
    expect(`${errors[0]?.stack}`).not.to.include(token);
    await publisher.del(tokenPrefix + token);
    await check();
  });
});

/** How deep a value is nested that holds one value at each level. */
function levelsOf(value: unknown): number {
  let levels = 0;
  for (let inner = value; typeof inner === "object" && inner !== null; levels++)
    [inner] = Object.values(inner);
  return levels;
}
