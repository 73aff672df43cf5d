import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import { createClient } from "redis";
import { DisconnectedError, TokenSocket, type TokenSocketOptions } from "../../lib/client/index.js";
import { happened } from "../client/support.js";
import { Balancer } from "../support/balancer.js";
import { freeze } from "../support/frozen-process.js";
import { Network, whyNoNetworks } from "../support/network.js";
import { canStartRedis, type RedisServer, startRedis } from "../support/redis-server.js";
import { RemoteProcess } from "../support/remote-process.js";
import { now } from "../support/served-functions.js";
import type { ClientFunctions, Outcome } from "./clients.js";
import type { ServerFunctions } from "./server.js";

type Server = RemoteProcess<ServerFunctions>;
type Clients = RemoteProcess<ClientFunctions>;

/** How long a process is stopped, in milliseconds. */
const STOP = 10_000;

/** How late the token route may say that it cannot serve, in milliseconds. */
const LATEST_REFUSAL = 5000;

/** How long `health()` may take for ready a server that Redis does not answer: 2 s and `limits.redisTimeout`, 4 s. */
const LATEST_HEALTH = 8000;

const EACH = 5;

const script = (name: string) => join(import.meta.dirname, `${name}.ts`);

const seconds = (since: number) => `${((now() - since) / 1000).toFixed(1)} s`;

function tell(line: string): void {
  console.log(`      ${line}`);
}

/** Waits until a server is ready, or not; gives when. */
async function untilReady(server: Server, ready: boolean): Promise<number> {
  while ((await server.call("health")).ready !== ready) await delay(50);
  return now();
}

async function tokenStatus(url: string): Promise<number> {
  return (await fetch(`${url}/socket/token?name=token`)).status;
}

/** Two servers in processes of their own with one Redis, behind one address, and clients in this process. */
class Site {
  readonly redis: RedisServer;
  readonly a: Server;
  readonly b: Server;
  readonly balancer = new Balancer();
  readonly #started: Server[];
  readonly #clients: TokenSocket[] = [];
  #url = "";

  static async start(): Promise<Site> {
    const redis = await startRedis({ own: true });
    const start = (name: string) => Site.#server(redis, name);
    const [a, b] = await Promise.all([start("a"), start("b")]);
    const site = new Site(redis, a, b);
    site.#url = await site.balancer.start();
    await site.use(a, b);
    return site;
  }

  private constructor(redis: RedisServer, a: Server, b: Server) {
    this.redis = redis;
    this.a = a;
    this.b = b;
    this.#started = [a, b];
  }

  static #server(redis: RedisServer, name: string): Promise<Server> {
    return RemoteProcess.start<ServerFunctions>(script("server"), { NAME: name, REDIS_URL: redis.url });
  }

  async startServer(name: string): Promise<Server> {
    const server = await Site.#server(this.redis, name);
    this.#started.push(server);
    return server;
  }

  async use(...servers: Server[]): Promise<void> {
    const urls = await Promise.all(servers.map((server) => server.call("url")));
    this.balancer.use(...urls.map((url) => Number(new URL(url).port)));
  }

  /** Connects a client to one server, or behind the one address. */
  async client(name: string, options: TokenSocketOptions = {}, server?: Server): Promise<TokenSocket> {
    const client = new TokenSocket({
      host: server ? await server.call("url") : this.#url,
      authentication: { name },
      sockjs: false,
      backoff: { min: 100, max: 500 },
      // a server that is stopped accepts connections
      connectTimeout: 2000,
      webSocketTimeout: 2000,
      ...options,
    });
    this.#clients.push(client);
    await client.subscribe("room");
    return client;
  }

  /** Expects that a message of a server reaches all of these clients. */
  async expectHeard(server: Server, message: string, clients: TokenSocket[]): Promise<void> {
    const all = Promise.all(clients.map((client) => heard(client, message)));
    await server.call("publish", "room", message);
    await all;
  }

  /** How many connections to Redis have subscribed to "room". */
  async subscribers(): Promise<number> {
    const operator = createClient({ url: this.redis.url });
    await operator.connect();
    const { room } = await operator.pubSubNumSub("room");
    operator.destroy();
    return Number(room);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.end()));
    await Promise.all([this.balancer.stop(), ...this.#started.map((server) => server.kill())]);
    await this.redis.stop();
  }
}

function heard(client: TokenSocket, message: unknown): Promise<void> {
  return new Promise((resolve) => {
    const listener = (_channel: string, data: unknown) => {
      if (data !== message) return;
      client.off("message", listener);
      resolve();
    };
    client.on("message", listener);
  });
}

/** One of two servers is killed, and another one takes its place. */
async function killServer(begun: () => Promise<void>): Promise<void> {
  const site = await Site.start();
  try {
    const { a, b } = site;
    const clients = await Promise.all(Array.from({ length: 4 * EACH }, (_, i) => site.client(`client ${i}`)));
    await begun();
    const places = await Promise.all(clients.map((client) => client.rpc("where")));
    const lost = clients.filter((_, index) => places[index] === "a");
    expect(lost.length).to.be.within(1, clients.length - 1);

    let answered = 0;
    const errors: unknown[] = [];
    let isOver = false;
    const load = Promise.all(
      clients.map(async (client) => {
        for (let number = 0; !isOver; number++) {
          try {
            expect(await client.rpc("echo", number)).to.equal(number);
            answered++;
          } catch (error) {
            errors.push(error);
          }
          await delay(20);
        }
      }),
    );
    const others = clients.filter((client) => !lost.includes(client));
    let moved = 0;
    for (const client of others) client.on("reconnect", () => moved++);

    const begin = now();
    const back = Promise.all(lost.map((client) => happened(client, "reconnect")));
    expect(await a.kill()).to.have.property("signal", "SIGKILL");
    await back;
    tell(`kill -9: ${lost.length} clients were back after ${seconds(begin)}`);
    expect(await Promise.all(clients.map((client) => client.rpc("where")))).to.deep.equal(
      clients.map(() => "b"),
    );
    isOver = true;
    await load;
    tell(`kill -9: ${answered} calls answered, ${errors.length} ended by an error`);
    for (const error of errors) {
      expect(error).to.be.instanceOf(DisconnectedError).with.property("sent", true);
    }
    expect(errors.length).to.be.at.most(lost.length);
    expect(moved).to.equal(0);
    await site.expectHeard(b, "one is left", clients);
    expect(await site.subscribers()).to.equal(1);
    expect(await b.call("health")).to.include({ ready: true, sockets: clients.length });

    const c = await site.startServer("c");
    const late = await site.client("late", {}, c);
    await site.expectHeard(b, "to all", [...clients, late]);
    await site.expectHeard(c, "from the new one", [...clients, late]);
    for (const server of [b, c]) {
      expect(await server.call("unhandled")).to.deep.equal([]);
      expect(await server.stop()).to.deep.equal({ code: 0, signal: null });
    }
  } finally {
    await site.stop();
  }
}

/** One of two servers does nothing for a while. */
async function stopServer(begun: () => Promise<void>): Promise<void> {
  const site = await Site.start();
  try {
    const { a, b } = site;
    const all = Array.from({ length: 2 * EACH }, (_, index) => index);
    const patient = await Promise.all(
      all.map((index) => site.client("patient", { pingTimeout: 2 * STOP }, index < EACH ? a : b)),
    );
    const wary = await Promise.all(all.map(() => site.client("wary", { ping: 1000, pingTimeout: 3000 })));
    await begun();
    const places = await Promise.all(wary.map((client) => client.rpc("where")));
    const lost = wary.filter((_, index) => places[index] === "a");
    expect(lost.length).to.be.within(1, wary.length - 1);

    let left = 0;
    for (const client of patient) client.on("state", () => left++);
    const errors: unknown[] = [];
    const begin = now();
    const thaw = await freeze(a.pid);
    // as load balancers do that look after their servers
    await site.use(b);
    const back = Promise.all(lost.map((client) => happened(client, "reconnect")));
    // one that is sent to a server that is stopped, and of which its client learns that it is lost
    const sent = lost.map((client) => client.rpc("echo", 1).catch((error: unknown) => errors.push(error)));
    const waiting = patient.map((client) => client.rpc("echo", 2));
    const late = patient.map((client) => heard(client, "while one is stopped"));
    expect(await Promise.all(waiting.slice(EACH))).to.deep.equal(Array(EACH).fill(2));
    await back;
    expect(await Promise.all(wary.map((client) => client.rpc("where")))).to.deep.equal(wary.map(() => "b"));
    tell(
      `SIGSTOP: clients with a ping of 1 s, whose answer may take 3 s, were at the other server after ${seconds(begin)}`,
    );
    await Promise.all(sent);
    expect(errors).to.have.length(lost.length);
    for (const error of errors) {
      expect(error).to.be.instanceOf(DisconnectedError).with.property("sent", true);
    }
    await site.expectHeard(b, "while one is stopped", [...patient.slice(EACH), ...wary]);

    await delay(Math.max(0, STOP - (now() - begin)));
    const end = now();
    await thaw();
    expect(await Promise.all(waiting.slice(0, EACH))).to.deep.equal(Array(EACH).fill(2));
    await Promise.all(late);
    tell(`SIGSTOP: what had waited for the server had come ${seconds(end)} after SIGCONT`);
    await untilReady(a, true);
    await site.expectHeard(a, "from the one that was stopped", [...patient, ...wary]);
    await site.expectHeard(b, "from the other", [...patient, ...wary]);
    expect(left).to.equal(0);
    for (const server of [a, b]) {
      expect(await server.call("unhandled")).to.deep.equal([]);
      expect(await server.stop()).to.deep.equal({ code: 0, signal: null });
    }
  } finally {
    await site.stop();
  }
}

/** Redis does nothing for a while. */
async function stopRedis(begun: () => Promise<void>): Promise<void> {
  const site = await Site.start();
  try {
    const { a, b } = site;
    const connect = (name: string, server: Server, options?: TokenSocketOptions) =>
      site.client(name, options, server);
    const clients = [...(await Promise.all([a, a, b, b].map((server) => connect("client", server))))];
    const [first] = clients;
    if (!first) throw new Error("There is a client");
    const [eveOfA, eveOfB] = await Promise.all(
      [a, b].map((server) => connect("eve", server, { reconnect: false })),
    );
    if (!eveOfA || !eveOfB) throw new Error("There is one at each");
    const operator = createClient({ url: site.redis.url });
    await operator.connect();
    const [, pid] = /process_id:(\d+)/.exec(await operator.info("server")) ?? [];
    operator.destroy();
    await begun();

    const begin = now();
    const thaw = await freeze(Number(pid));
    const published = first.publish("room", "said to a Redis that is stopped");
    const all = Promise.all(clients.map((client) => heard(client, "said to a Redis that is stopped")));
    const subscribed = first.subscribe("late");
    const lost = [eveOfA, eveOfB].map((client) => happened(client, "state"));
    await Promise.all([
      ...[a, b].map(async (server) => {
        const url = await server.call("url");
        const asked = now();
        expect(await tokenStatus(url)).to.equal(503);
        expect(now() - asked).to.be.below(LATEST_REFUSAL);
      }),
      ...[a, b].map(async (server) => {
        const noticed = (await untilReady(server, false)) - begin;
        tell(`Redis stopped: health() was not ready after ${(noticed / 1000).toFixed(1)} s`);
        expect(noticed).to.be.below(LATEST_HEALTH);
      }),
      ...clients.map(async (client) => expect(await client.rpc("echo", 1)).to.equal(1)),
      (async () => {
        expect(await b.call("disconnect", "eve")).to.match(/^No answer from Redis within/);
      })(),
      // those of the server itself at once
      lost[1],
    ]);
    expect(eveOfA.state).to.equal("open");

    await delay(Math.max(0, STOP - (now() - begin)));
    const end = now();
    await thaw();
    await Promise.all([published, subscribed, all, ...lost]);
    tell(`Redis stopped: what had waited was done ${seconds(end)} after SIGCONT`);
    for (const client of [eveOfA, eveOfB]) expect(client.reason).to.have.property("status", 4001);
    await Promise.all([a, b].map((server) => untilReady(server, true)));
    for (const server of [a, b]) {
      expect(await tokenStatus(await server.call("url"))).to.equal(200);
      await site.expectHeard(server, "all is well", clients);
    }
    for (const server of [a, b]) {
      expect(await server.call("unhandled")).to.deep.equal([]);
      expect(await server.stop()).to.deep.equal({ code: 0, signal: null });
    }
  } finally {
    await site.stop();
  }
}

/**
 * Servers that are cut off, by what they connect to Redis with: whether Redis gives their connections up meanwhile, and
 * whether their clients do, after how many milliseconds of silence.
 */
const CUT_OFF = ["node-redis", "ioredis"].flatMap((client) => [
  { name: client, client, isForgotten: false, socketTimeout: "" },
  { name: `${client}, forgotten by Redis`, client, isForgotten: true, socketTimeout: "" },
  { name: `${client} with socketTimeout`, client, isForgotten: false, socketTimeout: "4000" },
]);

/** How late after the end of a partition all is as it was: TCP tries again after pauses that double. */
const LATEST_RETURN = 20_000;

/** Some servers lose Redis without a word, and one does not. */
async function partition(begun: () => Promise<void>): Promise<void> {
  const network = await Network.create("redis", "clients", "whole", ...CUT_OFF.map(({ name }) => name));
  const at = (name: string) => network.host(name);
  const started: (Server | Clients)[] = [];
  let redis: RedisServer | undefined;
  try {
    redis = await startRedis({ host: at("redis") });
    // a connection that Redis has closed is soon forgotten, as after a partition of minutes
    await network.configure(at("redis"), "ipv4.tcp_orphan_retries", 1);
    const { url: redisUrl } = redis;
    const startServer = async (name: string, client: string, socketTimeout: string) => {
      const environment = {
        HOST: at(name).address,
        REDIS_URL: redisUrl,
        REDIS_CLIENT: client,
        SOCKET_TIMEOUT: socketTimeout,
      };
      const server = await RemoteProcess.start<ServerFunctions>(script("server"), environment, at(name));
      started.push(server);
      return { name, server, url: await server.call("url") };
    };
    const startClients = async () => {
      const clients = await RemoteProcess.start<ClientFunctions>(script("clients"), {}, at("clients"));
      started.push(clients);
      return clients;
    };
    const [clients, whole, ...cutOff] = await Promise.all([
      startClients(),
      startServer("whole", "node-redis", ""),
      ...CUT_OFF.map(({ name, client, socketTimeout }) => startServer(name, client, socketTimeout)),
    ]);
    const servers = [whole, ...cutOff];
    // one of each server, by the server's name, and one to be shut out
    await Promise.all(
      servers.flatMap(({ name, url }) => [
        clients.call("connect", name, url),
        clients.call("connect", `eve of ${name}`, url, { authentication: { name: "eve" }, reconnect: false }),
      ]),
    );
    const loads = servers.map(({ name }) => clients.call("load", name));
    const expectHeard = async (by: Server, message: string, names: string[]) => {
      await by.call("publish", "room", message);
      await Promise.all(names.map((name) => clients.call("message", name, message)));
    };
    const names = servers.map(({ name }) => name);
    await expectHeard(whole.server, "before", names);
    await begun();

    const begin = now();
    await Promise.all(cutOff.map(({ name }) => network.cut(at(name), at("redis"))));
    const published = cutOff.map(({ name }) => clients.call("publish", name, "room", `of ${name}`));
    const subscribed = cutOff.map(({ name }) => clients.call("subscribe", name, "late"));
    const noticed = cutOff.map(async ({ name, server, url }) => {
      const { value, took } = await clients.call("token", url);
      expect(value, name).to.equal(503);
      expect(took, name).to.be.below(LATEST_REFUSAL);
      const time = (await untilReady(server, false)) - begin;
      tell(
        `partition, ${name}: 503 after ${(took / 1000).toFixed(1)} s, health() not ready after ${(time / 1000).toFixed(1)} s`,
      );
      expect(time, name).to.be.below(LATEST_HEALTH);
    });
    // the one that has Redis sees nothing of it
    expect(await whole.server.call("disconnect", "eve")).to.equal(1);
    expect(await clients.call("change", "eve of whole", "closed")).to.have.property("status", 4001);
    expect((await clients.call("token", whole.url)).value).to.equal(200);
    await expectHeard(whole.server, "during", ["whole"]);
    await Promise.all(noticed);
    expect(await whole.server.call("health")).to.have.property("ready", true);
    const list = (await whole.server.call("redis", "CLIENT", "LIST")).split("\n");
    for (const { name } of CUT_OFF.filter(({ isForgotten }) => isForgotten)) {
      const connections = list.filter((line) => line.includes(` addr=${at(name).address}:`));
      expect(connections, name).to.have.length(2);
      for (const connection of connections) {
        const [, id = ""] = /\bid=(\d+)/.exec(connection) ?? [];
        await whole.server.call("redis", "CLIENT", "KILL", "ID", id);
      }
    }
    // local calls go on
    for (const { name } of cutOff)
      expect(await clients.call("call", name, "echo", 3), name).to.have.property("value", 3);

    const end = now();
    await Promise.all(cutOff.map(({ name }) => network.mend(at(name), at("redis"))));
    await Promise.all(
      cutOff.map(async ({ name, server }) => {
        const ready = (await untilReady(server, true)) - end;
        const { status, at: closedAt } = await clients.call("change", `eve of ${name}`, "closed");
        expect(status, name).to.equal(4001);
        const closed = closedAt - end;
        tell(
          `partition, ${name}: health() ready ${(ready / 1000).toFixed(1)} s after its end, revoked socket closed after ${(closed / 1000).toFixed(1)} s`,
        );
        expect(Math.max(ready, closed), name).to.be.below(LATEST_RETURN);
      }),
    );
    const outcomes: Outcome[] = await Promise.all([...published, ...subscribed]);
    // a connection that is given up may take a command with it
    for (const { error } of outcomes) if (error !== undefined) expect(error).to.match(/Service unavailable/);
    tell(
      `partition: of ${outcomes.length} requests to Redis ${outcomes.filter(({ error }) => error).length} ended by an error`,
    );
    for (const { name, server, url } of servers) {
      expect((await clients.call("token", url)).value, name).to.equal(200);
      await expectHeard(server, `after, from ${name}`, names);
    }
    await clients.call("stopLoad");
    const calls = (await Promise.all(loads)).flat();
    tell(
      `partition: ${calls.length} calls, the slowest ${Math.max(...calls.map(({ took }) => took)).toFixed(0)} ms`,
    );
    expect(calls.filter(({ error }) => error !== undefined)).to.deep.equal([]);
    expect(await clients.call("unhandled")).to.deep.equal([]);
    for (const { server } of servers) expect(await server.call("unhandled")).to.deep.equal([]);
    for (const { server } of servers) expect(await server.stop()).to.deep.equal({ code: 0, signal: null });
  } finally {
    await Promise.all(started.map((remote) => remote.kill()));
    await redis?.stop();
    await network.remove();
  }
}

/** Each waits for most of its time, so that all run at once. */
const SCENARIOS: Record<string, (begun: () => Promise<void>) => Promise<void>> = {};

if (canStartRedis) {
  SCENARIOS["lose one that is killed with the calls that it was at, and its clients go to the other"] =
    killServer;
  SCENARIOS["go on where they were after 10 s in which one was stopped, with the clients that have waited"] =
    stopServer;
  SCENARIOS["do what needs no Redis while it is stopped for 10 s, and the rest afterwards"] = stopRedis;
  if (whyNoNetworks === undefined) {
    SCENARIOS["say that they are not ready while Redis is cut off, and then learn what they missed"] =
      partition;
  } else {
    console.log(`  (no tests with networks that are cut: ${whyNoNetworks})`);
  }
}

describe("Servers that share a Redis", function () {
  this.timeout(120_000);
  const running = new Map<string, Promise<void>>();

  before(() => {
    const scenarios = Object.entries(SCENARIOS);
    let starting = scenarios.length;
    let begin = () => {};
    // what processes that start take of the machine does not belong to any time that is measured
    const allBegun = new Promise<void>((resolve) => {
      begin = resolve;
    });
    for (const [name, run] of scenarios) {
      let isStarting = true;
      const begun = () => {
        if (isStarting && --starting === 0) begin();
        isStarting = false;
        return allBegun;
      };
      const scenario = run(begun).finally(() => void begun());
      // a test looks at it later
      scenario.catch(() => {});
      running.set(name, scenario);
    }
  });

  after(() => Promise.allSettled(running.values()));

  for (const name of Object.keys(SCENARIOS)) it(name, () => running.get(name));
});
