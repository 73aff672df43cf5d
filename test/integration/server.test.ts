import { spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import express, { type Express } from "express";
import { Redis as IORedis } from "ioredis";
import { createClient } from "redis";
import sinon from "sinon";
import sockjs from "sockjs";
import { type Socket, TokenSocketServer, type TokenSocketServerOptions } from "../../lib/index.js";
import { memoryRedis } from "../../lib/memory.js";
import { Application } from "../support/application.js";
import { reported } from "../support/condition.js";
import { express4 } from "../support/express4.js";
import { connectNodeRedis } from "../support/node-redis.js";
import { canStartRedis, startRedis } from "../support/redis-server.js";
import { WireClient } from "../support/wire-client.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

describe("the server", () => {
  const cleanups: (() => unknown)[] = [];

  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  const start = async (options: Parameters<typeof Application.start>[0] = {}) => {
    const application = await Application.start(options);
    cleanups.push(() => application.stop());
    return application;
  };

  describe("is made of", () => {
    const make = (app: unknown, redis: unknown, server: unknown, options?: unknown) => () =>
      new TokenSocketServer(app as never, redis as never, server as never, options as never);
    const app = express();
    const redis = memoryRedis();
    const server = sockjs.createServer({ log: () => {} });

    for (const wrong of [undefined, null, {}, 5, "app", () => {}, createServer()]) {
      it(`an Express application, and not ${describeValue(wrong)}`, () => {
        expect(make(wrong, redis, server)).to.throw(TypeError, /^app must be an Express application/);
      });
    }

    for (const wrong of [undefined, null, {}, 5, "redis", () => {}, new EventEmitter(), new Map()]) {
      it(`a Redis client, and not ${describeValue(wrong)}`, () => {
        expect(make(app, wrong, server)).to.throw(TypeError, /^redisClient must be /);
        expect(make(app, redis, server, { pubsubClient: wrong ?? 5 })).to.throw(
          TypeError,
          /^options\.pubsubClient must be /,
        );
      });
    }

    for (const wrong of [undefined, null, {}, 5, new EventEmitter(), createServer()]) {
      it(`a SockJS server, and not ${describeValue(wrong)}`, () => {
        expect(make(app, redis, wrong)).to.throw(TypeError, /^socketServer must be a SockJS server/);
      });
    }

    for (const tokenRoute of ["/sockets", "/sockets/token"]) {
      it(`a token route that is not below the prefix, as ${tokenRoute} is`, () => {
        expect(make(app, redis, server, { tokenRoute })).to.throw(TypeError, "options.tokenRoute");
      });
    }

    it("two Redis clients, or one that is embedded", async () => {
      const client = createClient();
      expect(make(app, client, server, { pubsubClient: client })).to.throw(
        TypeError,
        /^options\.pubsubClient must be another/,
      );
      expect(make(app, redis, server, { pubsubClient: memoryRedis() })).to.throw(
        TypeError,
        "the same memoryRedis()",
      );
      expect(make(app, redis, server, { pubsubClient: client })).to.throw(
        TypeError,
        "the same memoryRedis()",
      );
      const tokenServer = make(app, redis, server, { pubsubClient: redis })();
      await tokenServer.shutdown();
    });

    for (const options of [undefined, null, {}, { prefix: undefined, tokenTtl: null, pubsubClient: null }]) {
      it(`options that may be ${JSON.stringify(options)}`, async () => {
        const tokenServer = make(express(), redis, server, options)();
        await tokenServer.ready();
        await tokenServer.shutdown();
      });
    }

    for (const [version, make] of [
      ["5", express],
      ["4", express4],
    ] as const) {
      const served = {
        "no route before": () => {},
        "a route before": (app: Express) => app.get("/own", (_req, res) => res.send("own")),
      };
      for (const [which, prepare] of Object.entries(served)) {
        it(`and leaves no route behind where a path is wrong, in an application of Express ${version} with ${which}`, async () => {
          const app = make();
          prepare(app);
          const wrong = { serveClient: "/(client.js" };
          expect(() => new TokenSocketServer(app, redis, server, wrong)).to.throw(TypeError, "serveClient");
          app.get("/late", (req, res) => res.json(req.query));
          const http = createServer(app).listen(0, "127.0.0.1");
          await once(http, "listening");
          cleanups.push(() => new Promise((resolve) => http.close(resolve)));
          const { port } = http.address() as AddressInfo;
          const get = (path: string) =>
            fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: "close" } });
          expect((await get("/socket/token")).status).to.equal(404);
          expect((await get("/socket/sockjs.js")).status).to.equal(404);
          expect(await (await get("/late?a=1")).json()).to.deep.equal({ a: "1" });
          expect(server.listenerCount("connection")).to.equal(0);
        });
      }
    }

    it("and leaves no listener behind where an argument is wrong", () => {
      const client = createClient();
      client.on("error", () => {});
      const before = client.eventNames().map((name) => [name, client.listenerCount(name)]);
      const connections = server.listenerCount("connection");
      expect(make(app, client, server, { tokenTtl: "soon" })).to.throw(TypeError, "options.tokenTtl");
      expect(make(app, client, server, { nonsense: 1 })).to.throw(TypeError, "options.nonsense");
      expect(make(app, client, {}, {})).to.throw(TypeError, "socketServer");
      expect(make(app, client, server, { tokenRoute: "/a(b" })).to.throw(TypeError, "options.tokenRoute");
      expect(make(app, client, server, Object.create({ nonsense: 1 }))).to.throw(
        TypeError,
        "options.nonsense",
      );
      expect(client.eventNames().map((name) => [name, client.listenerCount(name)])).to.deep.equal(before);
      expect(server.listenerCount("connection")).to.equal(connections);
    });
  });

  it("is an event emitter", async () => {
    const { tokenServer } = await start();
    expect(tokenServer).to.be.instanceOf(EventEmitter);
    const listener = () => {};
    tokenServer.on("connection", listener).once("connection", listener).addListener("disconnect", listener);
    expect(tokenServer.listenerCount("connection")).to.equal(2);
    tokenServer.off("connection", listener).removeListener("connection", listener);
    expect(tokenServer.listenerCount("connection")).to.equal(0);
    tokenServer.removeAllListeners("disconnect");
    expect(tokenServer.listenerCount("disconnect")).to.equal(0);
  });

  it("tells of a socket's life", async () => {
    const application = await start();
    const { tokenServer } = application;
    const told: string[] = [];
    for (const event of ["connection", "authenticated", "disconnect"] as const) {
      tokenServer.on(event, (socket: { sid: string }) => told.push(`${event} ${socket.sid}`));
    }
    const client = await application.connect();
    const { sid } = application.socket();
    await client.request({ rpc: "auth", token: await application.token() });
    const gone = once(tokenServer, "disconnect");
    await client.end();
    await gone;
    expect(told).to.deep.equal(
      ["connection", "authenticated", "authenticated", "disconnect"].map((event) => `${event} ${sid}`),
    );
  });

  describe("ready()", () => {
    it("resolves when the clients have connected and the subscriptions are confirmed, and there is an event", async () => {
      const redis = await startRedis();
      cleanups.push(() => redis.stop());
      const [redisClient, pubsubClient] = [
        createClient({ url: redis.url }),
        createClient({ url: redis.url }),
      ];
      const { tokenServer } = await start({ redisClient, pubsubClient });
      const event = sinon.spy();
      tokenServer.on("ready", event);
      await redisClient.connect();
      expect(event.called).to.equal(false);
      await pubsubClient.connect();
      cleanups.push(() => redisClient.close());
      cleanups.push(() => pubsubClient.close());
      await tokenServer.ready();
      expect(event.callCount).to.equal(1);
      const inspector = await connectNodeRedis(redis.url);
      cleanups.push(() => inspector.close());
      expect(await inspector.pubSubChannels("___*")).to.have.members([
        "___all___",
        "___sync___",
        `___server:${tokenServer.health().id}___`,
      ]);
    });

    it("resolves with a client of ioredis that waits to be asked, and lets its owner ask before", async () => {
      const redis = await startRedis();
      cleanups.push(() => redis.stop());
      const make = () => new IORedis({ host: redis.host, port: redis.port, lazyConnect: true });
      const [redisClient, pubsubClient] = [make(), make()];
      const { tokenServer } = await start({ redisClient, pubsubClient });
      cleanups.push(() => Promise.all([redisClient.quit(), pubsubClient.quit()]));
      await redisClient.connect();
      await tokenServer.ready();
      expect(pubsubClient.status).to.equal("ready");
    });

    it("is waited for in silence for a while, and then there is a warning that says what to do", async () => {
      const sandbox = sinon.createSandbox();
      cleanups.push(() => sandbox.restore());
      const clock = sandbox.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
      const client = createClient();
      client.on("error", () => {});
      const application = new Application({ redisClient: client });
      clock.tick(4999);
      expect(application.log).to.deep.equal([]);
      clock.tick(1);
      expect(application.log.join("\n")).to.include("await client.connect()");
      await application.tokenServer.shutdown();
    });

    if (canStartRedis) {
      it("resolves also where Redis could not be used at first, and was told of", async () => {
        const redis = await startRedis({ own: true });
        cleanups.push(() => redis.stop());
        await redis.stop();
        const make = () => {
          const client = createClient({ url: redis.url, socket: { reconnectStrategy: false } });
          client.on("error", () => {});
          return client;
        };
        const [redisClient, pubsubClient] = [make(), make()];
        const application = await start({ redisClient, pubsubClient });
        const told = once(application.tokenServer, "error");
        const connect = () => Promise.all([redisClient.connect(), pubsubClient.connect()]);
        expect(await connect().catch((error) => error)).to.be.instanceOf(Error);
        await told;
        await redis.start();
        await Promise.all([redisClient, pubsubClient].map((client) => client.isOpen || client.connect()));
        cleanups.push(() => redisClient.destroy());
        cleanups.push(() => pubsubClient.destroy());
        await application.tokenServer.ready();
        const client = await application.connect();
        await client.subscribe("a");
        await application.tokenServer.broadcast("all");
        expect(await client.message("a")).to.equal("all");
        await application.tokenServer.unsubscribeAll("a");
      });
    }

    it("rejects when the server is shut down before, and nothing is left waiting", async () => {
      const client = createClient();
      const { tokenServer } = await start({ redisClient: client, pubsubClient: createClient() });
      const ready = tokenServer.ready().catch((error: unknown) => error as Error);
      await tokenServer.shutdown();
      expect(((await ready) as Error).message).to.contain("shut down");
      expect(client.listenerCount("error")).to.be.at.most(1);
    });
  });

  describe("shutdown()", () => {
    it("closes all sockets and forgets them before it returns", async () => {
      const application = await start();
      const { tokenServer } = application;
      const client = await application.connect();
      await client.subscribe("a");
      const pending = await application.open("xhr-polling");
      void tokenServer.shutdown();
      expect([tokenServer.sockets(), tokenServer.channels()]).to.deep.equal([[], []]);
      for (const one of [client, pending]) {
        expect(await one.closed).to.deep.equal({ code: 4000, reason: "Server shutting down" });
      }
    });

    it("may be called twice, and nothing is served after it", async () => {
      const application = await start();
      const { tokenServer } = application;
      const client = await application.connect();
      const socket = application.socket() as Socket;
      await Promise.all([tokenServer.shutdown(), tokenServer.shutdown()]);
      await tokenServer.shutdown();
      await client.closed;
      for (const refused of [
        tokenServer.publish("a", 1),
        tokenServer.broadcast(1),
        tokenServer.subscribe(socket, "a"),
        tokenServer.unsubscribe(socket, "a"),
        tokenServer.unsubscribeAll("a"),
      ]) {
        expect((await refused.catch((error) => error)).message).to.contain("shut down");
      }
      expect(await tokenServer.rpc(socket, "f").catch((error) => error)).to.include({
        name: "DisconnectedError",
      });
      expect(tokenServer.send(socket, "a", 1)).to.equal(false);
      tokenServer.enableCleanup();
      expect((await fetch(`${application.url}/socket/token`)).status).to.equal(404);
    });

    it("leaves the clients usable, and no listener of its own on anything", async () => {
      const redis = await startRedis();
      cleanups.push(() => redis.stop());
      const [redisClient, pubsubClient] = [
        await connectNodeRedis(redis.url),
        await connectNodeRedis(redis.url),
      ];
      cleanups.push(() => redisClient.close());
      cleanups.push(() => pubsubClient.close());
      const counts = () =>
        [redisClient, pubsubClient].map((client) =>
          client.eventNames().map((name) => `${String(name)} ${client.listenerCount(name)}`),
        );
      const before = counts();
      const application = await start({ redisClient, pubsubClient });
      await application.tokenServer.ready();
      const client = await application.connect();
      await client.subscribe("a");
      await application.tokenServer.shutdown();
      expect(counts()).to.deep.equal(before);
      expect(application.sockjs.listenerCount("connection")).to.equal(0);
      expect(await redisClient.ping()).to.equal("PONG");
      expect(await redisClient.pubSubChannels()).to.deep.equal([]);
    });

    if (canStartRedis) {
      it("does not wait for Redis for longer than it takes, where that is away", async () => {
        const redis = await startRedis({ own: true });
        cleanups.push(() => redis.stop());
        const [redisClient, pubsubClient] = [
          await connectNodeRedis(redis.url),
          await connectNodeRedis(redis.url),
        ];
        cleanups.push(() => redisClient.destroy());
        cleanups.push(() => pubsubClient.destroy());
        const { tokenServer } = await start({ redisClient, pubsubClient });
        await tokenServer.ready();
        const lost = new Promise((resolve) => pubsubClient.once("reconnecting", () => resolve(undefined)));
        await redis.stop();
        await lost;
        const clock = sinon.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
        try {
          const closing = tokenServer.shutdown();
          clock.tick(5000);
          await closing;
        } finally {
          clock.restore();
        }
      });
    }

    it("lets the process end by itself once the application has closed its own", async () => {
      const script = `
        import express from "express";
        import sockjs from "sockjs";
        import { createServer } from "node:http";
        import { once } from "node:events";
        import { TokenSocketServer } from "./lib/index.ts";
        import { memoryRedis } from "./lib/memory.ts";
        import { WireClient } from "./test/support/wire-client.ts";
        const app = express();
        const http = createServer(app).listen(0, "127.0.0.1");
        await once(http, "listening");
        const url = "http://127.0.0.1:" + http.address().port;
        const server = sockjs.createServer({ log() {} });
        server.installHandlers(http, { prefix: "/sockets" });
        const redis = memoryRedis();
        const tokenServer = new TokenSocketServer(app, redis, server, { pubsubClient: redis, authentication: async () => ({}) });
        const { token } = await (await fetch(url + "/socket/token")).json();
        const client = new WireClient(url + "/sockets", "raw-websocket");
        await client.opened;
        await client.request({ rpc: "auth", token });
        await client.subscribe("room");
        tokenServer.rpc(tokenServer.sockets()[0], "never.answered");
        tokenServer.shutdown();
        http.close();
        http.closeIdleConnections();
        process.send("done");
        process.disconnect();
      `;
      const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script], {
        cwd: ROOT,
        stdio: ["ignore", "inherit", "inherit", "ipc"],
      });
      const exited = once(child, "exit");
      expect((await once(child, "message"))[0]).to.equal("done");
      expect(await exited).to.deep.equal([0, null]);
    });
  });

  describe("of which there are several in one application", () => {
    it("serve each its own prefix, token route and identities, also on one SockJS server", async () => {
      const app = express();
      const http = createServer(app).listen(0, "127.0.0.1");
      await once(http, "listening");
      cleanups.push(() => {
        http.closeAllConnections();
        http.close();
      });
      const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
      const server = sockjs.createServer({ log: () => {} });
      const redis = memoryRedis();
      const make = (name: string) => {
        server.installHandlers(http, { prefix: `/${name}` });
        const tokenServer = new TokenSocketServer(app, redis, server, {
          prefix: `/${name}`,
          tokenRoute: `/${name}-token`,
          pubsubClient: redis,
          authentication: async () => ({ name }),
          socketController: { who: (auth: unknown) => auth },
        });
        cleanups.push(() => tokenServer.shutdown());
        return tokenServer;
      };
      const servers = { users: make("users"), admins: make("admins") };
      const tokenOf = async (name: string) =>
        ((await (await fetch(`${url}/${name}-token`)).json()) as { token: string }).token;
      for (const name of ["users", "admins"] as const) {
        const client = new WireClient(`${url}/${name}`, "websocket");
        cleanups.push(() => client.end());
        await client.opened;
        await client.request({ rpc: "auth", token: await tokenOf(name) });
        expect((await client.request({ rpc: "who" })).resp).to.deep.equal({ name });
        expect(servers[name].sockets()).to.have.length(1);
        expect(client.frames).to.deep.equal([]);
      }
      const crossing = new WireClient(`${url}/admins`, "websocket");
      await crossing.opened;
      expect(await crossing.request({ rpc: "auth", token: await tokenOf("users") })).to.include({
        error: "Token not found",
      });
      await crossing.closed;
    });

    it("leave each other's connections alone, also when one of them has been shut down", async () => {
      const application = await start({ options: { prefix: "/one" } });
      const store = memoryRedis();
      const other = new TokenSocketServer(application.app, store, application.sockjs, {
        prefix: "/other",
        tokenRoute: "/other-token",
        pubsubClient: store,
      });
      application.sockjs.installHandlers(application.http, { prefix: "/other" });
      await other.shutdown();
      const client = new WireClient(`${application.url}/other`, "websocket");
      cleanups.push(() => client.end());
      await client.opened;
      expect(application.tokenServer.sockets()).to.deep.equal([]);
    });

    it("leave a connection to the first of them where they have the same prefix", async () => {
      const application = await start();
      const store = memoryRedis();
      const other = new TokenSocketServer(application.app, store, application.sockjs, {
        tokenRoute: "/other-token",
        pubsubClient: store,
      });
      cleanups.push(() => other.shutdown());
      const client = await application.connect();
      expect(other.sockets()).to.deep.equal([]);
      application.socket().close(4001, "enough");
      expect(await client.closed).to.deep.equal({ code: 4001, reason: "enough" });
      expect(application.tokenServer.sockets()).to.deep.equal([]);
    });

    it("may be more than ten on one SockJS server and one HTTP server, each with its own connections", async () => {
      const warnings: Error[] = [];
      const onWarning = (warning: Error) => warnings.push(warning);
      process.on("warning", onWarning);
      cleanups.push(() => process.off("warning", onWarning));
      const application = await start();
      const { app, http, sockjs: sockjsServer, tokenServer } = application;
      const store = memoryRedis();
      const servers = Array.from({ length: 12 }, (_, index) => {
        const one = new TokenSocketServer(app, store, sockjsServer, {
          prefix: `/sockets-${index}`,
          tokenRoute: `/token-${index}`,
          serveClient: false,
          pubsubClient: store,
        });
        one.attach(http);
        cleanups.push(() => one.shutdown());
        return one;
      });
      for (const [index, server] of servers.entries()) {
        const client = await application.open("websocket", `/sockets-${index}`);
        expect(servers.filter((one) => one.sockets().length > 0)).to.deep.equal([server]);
        const gone = once(server, "disconnect");
        await client.end();
        await gone;
      }
      await application.open();
      expect(tokenServer.sockets()).to.have.length(1);
      await reported();
      expect(warnings).to.deep.equal([]);
    });

    it("may share a SockJS server's connections of any prefix with nobody, where there is one alone", async () => {
      const application = await start({ options: { prefix: "/sockets" } });
      application.sockjs.installHandlers(application.http, { prefix: "/elsewhere" });
      const client = new WireClient(`${application.url}/elsewhere`, "websocket");
      cleanups.push(() => client.end());
      await client.opened;
      expect(await client.request({ rpc: "auth", token: await application.token() })).to.include({
        resp: "success",
      });
    });
  });

  describe("whose Redis clients fail", () => {
    it("emits their errors as its own", async () => {
      const redisClient = createClient();
      const { tokenServer } = await start({ redisClient, pubsubClient: null });
      const event = once(tokenServer, "error");
      redisClient.emit("error", new Error("connection lost"));
      expect(((await event) as [Error])[0].message).to.equal("connection lost");
    });

    it("logs errors that nobody listens to, each once in a while, and throws none", async () => {
      const redisClient = createClient();
      const application = await start({ redisClient, pubsubClient: null });
      application.tokenServer.removeAllListeners("error");
      for (let i = 0; i < 3; i++) redisClient.emit("error", new Error("connection lost"));
      await reported();
      expect(application.log).to.deep.equal(["node-token-sockjs: a Redis client's error: connection lost"]);
    });

    it("survives listeners for errors that fail, and loggers that do", async () => {
      const redisClient = createClient();
      const broken: TokenSocketServerOptions["logger"] = {
        error: () => {
          throw new Error("disk full");
        },
        warn: () => {},
        info: () => {},
      };
      const { tokenServer } = await start({ redisClient, pubsubClient: null, options: { logger: broken } });
      tokenServer.removeAllListeners("error");
      redisClient.emit("error", new Error("first"));
      tokenServer.on("error", () => {
        throw new Error("careless");
      });
      redisClient.emit("error", new Error("second"));
      tokenServer.removeAllListeners("error");
      tokenServer.on("error", (async () => {
        throw new Error("careless");
      }) as () => void);
      redisClient.emit("error", new Error("third"));
      const rejecting = async () => {
        throw new Error("disk full");
      };
      const other = await start({
        redisClient,
        pubsubClient: null,
        options: { logger: { error: rejecting, warn: rejecting, info: rejecting } },
      });
      other.tokenServer.removeAllListeners("error");
      redisClient.emit("error", new Error("fourth"));
      await new Promise((resolve) => setImmediate(resolve));
    });
  });

  describe("that takes crowds", () => {
    it("serves hundreds of sockets on one channel, and forgets them all", async function () {
      this.timeout(60_000);
      const application = await start();
      const clients = await Promise.all(
        Array.from({ length: 400 }, () => application.connect("raw-websocket")),
      );
      await Promise.all(clients.map((client) => client.subscribe("all")));
      for (let i = 0; i < 10; i++) await application.tokenServer.publish("all", i);
      for (const client of clients) {
        for (let i = 0; i < 10; i++) expect(await client.message("all")).to.equal(i);
      }
      const { tokenServer } = application;
      const gone = new Promise<void>((resolve) => {
        tokenServer.on("disconnect", () => tokenServer.sockets().length === 0 && resolve());
      });
      await Promise.all(clients.map((client) => client.end()));
      await gone;
      expect(tokenServer.channels()).to.deep.equal([]);
    });
  });
});

function describeValue(value: unknown): string {
  if (typeof value === "function") return "any function";
  return typeof value === "object" && value !== null ? `a ${value.constructor.name}` : String(value);
}
