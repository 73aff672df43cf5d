import { type EventEmitter, once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { expect } from "chai";
import { Redis as IORedis } from "ioredis";
import type { TokenSocketServerOptions } from "../../lib/index.js";
import { Application } from "../support/application.js";
import { selfSigned } from "../support/certificate.js";
import { reported, until } from "../support/condition.js";
import { findFreePort } from "../support/free-port.js";
import { connectNodeRedis, type NodeRedis } from "../support/node-redis.js";
import { type Address, CONNECTING_KINDS, type Kind, type TestClient } from "../support/redis-clients.js";
import { canStartRedis, type RedisServer, startRedis } from "../support/redis-server.js";
import { ACL_COMMAND, LOGIN } from "../support/redis-user.js";
import { SeverableLine } from "../support/severable-line.js";

/** The rights of the document that the server asks for: the others are for its clients. */
const RIGHTS = ACL_COMMAND.filter((word) => word.startsWith("+") && !["+hello", "+info"].includes(word));

const FOR_RATES = ["+eval", "+evalsha", "+incrby", "+pttl"];

const FOR_HISTORY = ["get", "del", "time", "xadd", "xlen", "xrange", "xrevrange", "xtrim"].map(
  (name) => `+${name}`,
);

/** In the order in which they are told. */
const FOR_REGISTRY = [
  ...["eval", "evalsha", "time", "zscore", "zadd", "zrem", "zcount", "zrangebyscore", "hset", "hget", "hdel"],
  "pexpire",
].map((name) => `+${name}`);

const FOR_PRESENCE = ["+hlen", "+hscan", "+persist"];

const OF_SCRIPTS = [...FOR_REGISTRY, ...FOR_RATES, ...FOR_HISTORY, ...FOR_PRESENCE].filter(
  (right) => right !== "+pexpire",
);

/** The rights that are asked for one by one. */
const SINGLE = RIGHTS.filter((right) => !OF_SCRIPTS.includes(right));

/** An application whose server asks for all rights. */
const ALL: TokenSocketServerOptions = {
  identify: ({ name }) => name as string,
  limits: { identityFramesPerSecond: 100 },
  history: { room: { size: 10, ttl: 60_000 } },
  presence: { room: {} },
};

/** How often a client has to fail in the same way until it would have been told again. */
const OFTEN = 5;

const [ioredis] = CONNECTING_KINDS.filter(({ name }) => name === "ioredis 6");

(canStartRedis ? describe : describe.skip)("At its start", function () {
  this.timeout(20_000);

  let redis: RedisServer;
  let operator: NodeRedis;
  let address: Address;
  let application: Application;
  let clients: TestClient[] = [];
  const cleanups: (() => unknown)[] = [];

  before(async () => {
    redis = await startRedis({ own: true });
    operator = await connectNodeRedis(redis.url);
  });
  after(async () => {
    operator.destroy();
    await redis.stop();
  });

  const addressOf = ({ host, port, url }: Address, more: Partial<Address> = {}) => ({
    host,
    port,
    url,
    ...more,
  });

  beforeEach(async () => {
    address = addressOf(redis, { login: LOGIN });
    await operator.sendCommand(ACL_COMMAND as string[]);
    await operator.sendCommand(["SCRIPT", "FLUSH"]);
  });
  afterEach(async () => {
    // their errors are their owner's again when the server has been shut down
    for (const each of clients) emitterOf(each).on("error", () => {});
    await application.stop();
    for (const each of clients.splice(0)) each.close();
    for (const clean of cleanups.splice(0).reverse()) await clean();
  });

  const emitterOf = ({ client }: TestClient) => client as unknown as EventEmitter;

  const may = (...rules: string[]) => operator.sendCommand(["ACL", "SETUSER", LOGIN.username, ...rules]);

  const start = async (kind: Kind, options: TokenSocketServerOptions = {}) => {
    const [redisClient, pubsubClient] = [kind.create(address), kind.create(address)];
    clients = [redisClient, pubsubClient];
    application = await Application.start({
      redisClient: redisClient.client,
      pubsubClient: pubsubClient.client,
      options,
    });
    for (const each of clients) each.connect().catch(() => {});
    return application;
  };

  const messages = () => application.errors.map(({ message }) => message);

  /** What the errors say is to be allowed. */
  const rules = () => messages().flatMap((message) => /ACL SETUSER app (.+)$/.exec(message)?.[1] ?? []);

  /** Waits for an error, and then for what the server does once its cause is gone. */
  const mend = async (count: number, mending: () => Promise<unknown>) => {
    await until(() => application.errors.length >= count);
    expect(application.tokenServer.health().ready).to.equal(false);
    await mending();
    await application.tokenServer.ready();
  };

  for (const kind of CONNECTING_KINDS) {
    describe(`with ${kind.name}, a server`, () => {
      it("has nothing to tell where it has all rights, and leaves no key behind", async () => {
        await operator.flushAll();
        const { tokenServer, errors, log } = await start(kind, ALL);
        await tokenServer.ready();
        await reported();
        expect([errors, log]).to.deep.equal([[], []]);
        // those of rates live for a second
        const isOfRegistry = (key: string) => /^token-sockjs:\{servers\}(alive|info)$/.test(key);
        await until(async () => (await operator.keys("*")).every(isOfRegistry));
      });

      it("tells of each right that it lacks by one error, and is ready when it has them", async () => {
        await may("-@all", "+hello", "+info");
        await start(kind, ALL);
        await mend(SINGLE.length + 1, () => operator.sendCommand(ACL_COMMAND as string[]));
        expect(rules()).to.have.members([...SINGLE, FOR_REGISTRY.join(" ")]);
        expect(application.errors).to.have.lengthOf(rules().length);
      });

      it("tells which keys it needs", async () => {
        await may("resetkeys", "~other:*");
        await start(kind, { ...ALL, tokenPrefix: "shop:tokens:" });
        await mend(2, () => may("~shop:tokens:*", "~token-sockjs:*"));
        expect(rules()).to.have.members(["~shop:tokens:*", "~token-sockjs:*"]);
        expect(application.errors).to.have.lengthOf(2);
      });

      it("tells which channels it needs", async () => {
        await may("resetchannels", "&other:*");
        await start(kind, { channelPrefix: "shop:" });
        await mend(1, () => may("&shop:*"));
        expect(rules()).to.deep.equal(["&shop:*"]);
        expect(application.errors).to.have.lengthOf(1);
      });

      it("tells what it lacks when Redis is there, where it was away", async () => {
        const line = await SeverableLine.to(redis.port);
        await line.sever();
        cleanups.push(() => line.sever());
        address = addressOf(line, { login: LOGIN });
        await may("-getdel");
        await start(kind);
        const connecting = clients.map(
          (each) => new Promise((tried) => emitterOf(each).once("error", tried)),
        );
        await Promise.all(connecting);
        expect(rules()).to.deep.equal([]);
        await line.mend();
        await until(() => rules().length > 0);
        await may("+getdel");
        await application.tokenServer.ready();
        expect(rules()).to.deep.equal(["+getdel"]);
      });

      it("has nothing to tell of a Redis that hides what it can do without", async () => {
        const settings = { "rename-command": ["PING", ""] };
        const proxied = await startRedis({ own: true, settings });
        cleanups.push(() => proxied.stop());
        address = addressOf(proxied);
        const { tokenServer, errors, log } = await start(kind);
        await tokenServer.ready();
        await reported();
        expect([errors, log]).to.deep.equal([[], []]);
      });

      it("tells of a Redis that does not know a command that it needs", async () => {
        const settings = { "rename-command": ["GETDEL", ""] };
        const old = await startRedis({ own: true, settings });
        cleanups.push(() => old.stop());
        address = addressOf(old);
        await start(kind);
        await until(() => application.errors.length > 0);
        expect(messages()[0]).to.match(/^ERR unknown command.*GETDEL.*Redis 6\.2/i);
        expect(application.errors).to.have.lengthOf(1);
      });

      it("asks for a password where Redis does, once", async () => {
        await operator.configSet("requirepass", "secret");
        cleanups.push(() => operator.configSet("requirepass", ""));
        address = addressOf(redis);
        await start(kind);
        await mend(1, () => operator.configSet("requirepass", ""));
        expect(messages().filter((message) => /NOAUTH.*`password`$/.test(message))).to.have.lengthOf(1);
        expect(new Set(messages()).size).to.equal(messages().length);
      });

      it("says that the password is wrong, once", async () => {
        address = addressOf(redis, { login: { ...LOGIN, password: "wrong" } });
        await start(kind);
        let failures = 0;
        emitterOf(clients[0] as TestClient).on("error", () => failures++);
        await until(() => failures >= OFTEN);
        await mend(1, () => may(">wrong"));
        cleanups.push(() => may("<wrong"));
        expect(messages().filter((message) => /WRONGPASS.*is wrong/.test(message))).to.have.lengthOf(1);
        expect(new Set(messages()).size).to.equal(messages().length);
      });

      it("says that a replica is one", async () => {
        const master = () => operator.sendCommand(["REPLICAOF", "NO", "ONE"]);
        await operator.sendCommand(["REPLICAOF", "127.0.0.1", "1"]);
        cleanups.push(master);
        await start(kind, ALL);
        await mend(1, master);
        expect(messages().join()).to.match(/^READONLY .*connect the client to the primary$/);
        expect(application.errors).to.have.lengthOf(1);
      });

      it("says that a database is not there, once", async () => {
        address = addressOf(redis, { login: LOGIN, database: 99 });
        await may("+select");
        await start(kind);
        let failures = 0;
        emitterOf(clients[0] as TestClient).on("error", () => failures++);
        await until(() => failures > 0 && application.errors.length > 0);
        expect(messages()[0]).to.match(/^ERR DB index is out of range: .*`database`/);
        expect(new Set(messages()).size).to.equal(messages().length);
      });

      it("says that a port speaks TLS, once", async () => {
        const secure = await startRedis({ own: true, certificate: selfSigned() });
        cleanups.push(() => secure.stop());
        address = addressOf(secure);
        await start(kind);
        await until(() => application.errors.length > 0);
        expect(messages().join()).to.match(/may speak TLS alone|this port speaks TLS/);
        expect(new Set(messages()).size).to.equal(messages().length);
      });

      it("says that TLS may be wanted where its connections are closed at once", async () => {
        const closing = createServer((socket) => socket.on("data", () => socket.end()).on("error", () => {}));
        closing.listen(0, redis.host);
        await once(closing, "listening");
        cleanups.push(() => closing.close());
        const { port } = closing.address() as AddressInfo;
        address = { host: redis.host, port, url: `redis://${redis.host}:${port}` };
        await start(kind);
        await until(() => application.errors.length > 0);
        expect(messages()[0]).to.match(/closed.*: if this goes on, .*TLS/);
      });

      it("says that Redis is full", async () => {
        await operator.configSet("maxmemory", "1");
        cleanups.push(() => operator.configSet("maxmemory", "0"));
        await start(kind, ALL);
        await mend(1, () => operator.configSet("maxmemory", "0"));
        expect(messages().join()).to.match(/^OOM .*raise its `maxmemory`/);
        expect(application.errors).to.have.lengthOf(1);
      });

      for (const policy of ["allkeys-lru", "volatile-ttl"]) {
        it(`warns where Redis may evict tokens and revocations, by ${policy}`, async () => {
          await operator.configSet({ maxmemory: "1gb", "maxmemory-policy": policy });
          cleanups.push(() => operator.configSet({ maxmemory: "0", "maxmemory-policy": "noeviction" }));
          const { tokenServer, log } = await start(kind);
          await tokenServer.ready();
          await until(() => log.length > 0);
          expect(log.join()).to.match(
            new RegExp(`maxmemory-policy ${policy}.*tokens.*revocations.*maxmemory-policy noeviction$`),
          );
        });
      }

      for (const [why, maxmemory, policy] of [
        ["its memory has no bound", "0", "allkeys-lru"],
        ["it evicts nothing", "1gb", "noeviction"],
      ] as const) {
        it(`does not warn of a Redis of which ${why}`, async () => {
          await operator.configSet({ maxmemory, "maxmemory-policy": policy });
          cleanups.push(() => operator.configSet({ maxmemory: "0", "maxmemory-policy": "noeviction" }));
          const { tokenServer, log } = await start(kind);
          await tokenServer.ready();
          // Redis answers in order
          await tokenServer.publish("room", 1);
          await reported();
          expect(log).to.deep.equal([]);
        });
      }
    });
  }

  for (const right of RIGHTS) {
    it(`a server without ${right} alone has one error, which names it`, async () => {
      if (!ioredis) throw new Error("there is one");
      await may(right.replace("+", "-"));
      await start(ioredis, ALL);
      await mend(1, () => may(right));
      expect(application.errors).to.have.lengthOf(1);
      expect(messages()[0]).to.match(new RegExp(`ACL SETUSER app .*\\${right}\\b`));
      if (SINGLE.includes(right)) expect(rules()).to.deep.equal([right]);
    });
  }

  it("a server asks for rights no more than its options need", async () => {
    if (!ioredis) throw new Error("there is one");
    await may("-@all", "+hello", "+info", "+ping", "+set", "+getdel");
    const redisClient = ioredis.create(address);
    clients = [redisClient];
    application = await Application.start({ redisClient: redisClient.client });
    void redisClient.connect();
    await application.tokenServer.ready();
    await reported();
    expect([application.errors, application.log]).to.deep.equal([[], []]);
  });

  it("a server tells which keys it needs by a client that puts something before them", async () => {
    await may("resetkeys");
    const { host, port } = redis;
    const client = new IORedis({ host, port, ...LOGIN, keyPrefix: "shop:" });
    cleanups.push(() => client.disconnect());
    application = await Application.start({ redisClient: client });
    await mend(1, () => may("~shop:token-sockjs:*"));
    expect(rules()).to.deep.equal(["~shop:token-sockjs:*"]);
  });

  it("a server whose user may not ask for the memory does not warn, and works", async () => {
    await operator.configSet({ maxmemory: "1gb", "maxmemory-policy": "allkeys-lru" });
    cleanups.push(() => operator.configSet({ maxmemory: "0", "maxmemory-policy": "noeviction" }));
    await may("-info");
    const [kind] = CONNECTING_KINDS;
    if (!kind) throw new Error("there is one");
    const { tokenServer, errors, log } = await start(kind);
    await tokenServer.ready();
    await tokenServer.publish("room", 1);
    await reported();
    expect([errors, log]).to.deep.equal([[], []]);
  });

  describe("by one node of a cluster", () => {
    const nodes: RedisServer[] = [];
    before(async () => {
      for (const slots of [
        ["0", "8191"],
        ["8192", "16383"],
      ]) {
        const busPort = await findFreePort();
        const settings = { "cluster-enabled": "yes", "cluster-port": busPort };
        const node = await startRedis({ own: true, settings });
        nodes.push(node);
        const client = await connectNodeRedis(node.url);
        await client.sendCommand(["CLUSTER", "ADDSLOTSRANGE", ...slots]);
        const [first = node] = nodes;
        if (first !== node) {
          const other = await connectNodeRedis(first.url);
          await other.sendCommand(["CLUSTER", "MEET", node.host, String(node.port), String(busPort)]);
          other.destroy();
        }
        const isWhole = async () =>
          /cluster_state:ok/.test(String(await client.sendCommand(["CLUSTER", "INFO"])));
        if (first !== node) await until(isWhole);
        client.destroy();
      }
    });
    after(() => Promise.all(nodes.map((node) => node.stop())));

    for (const kind of CONNECTING_KINDS) {
      it(`says so once, with ${kind.name}`, async () => {
        const [node] = nodes;
        if (!node) throw new Error("there is one");
        address = addressOf(node);
        await start(kind);
        await until(() => application.errors.length > 0);
        expect(messages().join()).to.match(/^MOVED: .*node of a cluster/);
        expect(messages()).to.have.lengthOf(1);
      });
    }
  });
});
