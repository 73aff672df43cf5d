import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { Application } from "../support/application.js";
import { addGuards, fuzzedOptions } from "../support/fuzz/fuzzed-server.js";
import { Fuzzer } from "../support/fuzz/fuzzer.js";
import { act, forgeToken, type Names, redisActs, tokenRecords } from "../support/fuzz/payloads.js";
import { checkAll, printSeed } from "../support/fuzz/seed.js";
import { Witness } from "../support/fuzz/witness.js";
import { connectNodeRedis, type NodeRedis } from "../support/node-redis.js";
import { type RedisServer, startRedis } from "../support/redis-server.js";

describe("arbitrary text and bytes in Redis", () => {
  let redis: RedisServer;
  let clients: readonly [NodeRedis, NodeRedis, NodeRedis];
  let application: Application;
  let witness: Witness;
  const names: Names = {
    channelPrefix: `fuzz-${randomUUID()}:`,
    tokenPrefix: `fuzz-${randomUUID()}:`,
  };

  const start = () => {
    const [, redisClient, pubsubClient] = clients;
    return Application.start({ redisClient, pubsubClient, options: { ...fuzzedOptions, ...names } });
  };

  before(async () => {
    redis = await startRedis();
    const connect = () => connectNodeRedis(redis.url);
    clients = [await connect(), await connect(), await connect()];
    application = await start();
    addGuards(application.tokenServer);
    witness = await Witness.of(application);
  });

  after(async () => {
    await witness.end();
    for (const client of clients) client.destroy();
    await redis.stop();
  });

  afterEach(function () {
    printSeed.call(this);
    if (this.currentTest?.state === "failed") console.error(`    Left: ${witness.left().join(", ")}`);
  });

  let joined = 0;

  /** A socket that is in the channels on which something is published. */
  const join = async (): Promise<Fuzzer> => {
    const fuzzer = await Fuzzer.open(application.url);
    // whom a command has shut out for ever would hear nothing of what comes later
    const token = await application.token(joined++ % 4 === 0 ? "" : `?name=${joined}`);
    const frames = [
      { rpc: "auth", token, protocol: 4 },
      { rpc: "_subscribe", req: { channel: "a" }, uuid: "a" },
      { rpc: "_subscribe", req: { channel: "b" }, uuid: "b" },
    ];
    fuzzer.send(JSON.stringify(frames.map((frame) => JSON.stringify(frame))));
    await fuzzer.until(() => fuzzer.replies("b") > 0);
    return fuzzer;
  };

  it("published on channels, and where servers talk to each other, harm nobody", async () => {
    await checkAll(fc.array(redisActs, { minLength: 1, maxLength: 30 }), async (acts) => {
      const fuzzer = await join();
      await Promise.all(acts.map((given) => act(clients[0], names, given)));
      // another server, which reads on its start what it has missed
      const other = await start();
      await other.tokenServer.ready();
      await other.token();
      await other.stop();
      await fuzzer.fence();
      await fuzzer.end();
      await witness.check();
    });
  });

  it("under tokens let a socket in or close it, and harm nobody", async () => {
    await checkAll(fc.array(tokenRecords, { minLength: 1, maxLength: 10 }), async (records) => {
      await Promise.all(
        records.map(async (record) => {
          const fuzzer = await Fuzzer.open(application.url);
          const token = await forgeToken(clients[0], names, record);
          fuzzer.send(JSON.stringify([JSON.stringify({ rpc: "auth", uuid: "auth", token, protocol: 4 })]));
          await fuzzer.until(() => fuzzer.replies("auth") > 0);
          await fuzzer.fence();
          await fuzzer.end();
        }),
      );
      await witness.check();
    });
  });
});
