import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { expect } from "chai";
import { WebSocket } from "ws";
import { expiring, type PendingSocket, type Socket } from "../../lib/index.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import { connectNodeRedis } from "../support/node-redis.js";
import { startRedis } from "../support/redis-server.js";
import type { Frame, WireClient } from "../support/wire-client.js";

const FORBIDDEN = { message: "Forbidden", code: "forbidden" };

const left = (frame: Frame) => frame.internal === true && frame.command === "unsubscribe";

describe("a new token on a live connection", () => {
  let application: Application;
  let name: unknown = "alice";

  const start = async (options: ApplicationOptions["options"] = {}) => {
    name = "alice";
    application = await Application.start({ options: { authentication: () => ({ name }), ...options } });
    return application.tokenServer;
  };

  const refresh = async (client: WireClient, protocol: number) =>
    client.send({ rpc: "auth", token: await application.token(), protocol, uuid: "again" });

  afterEach(() => application.stop());

  for (const protocol of [3, 4]) {
    describe(`of protocol ${protocol}`, () => {
      it("may be of the same identity alone where `identify` is given", async () => {
        const server = await start({ identify: (auth: { name: string }) => auth.name });
        const client = await application.connect("websocket", { protocol });
        await refresh(client, protocol);
        expect(await client.take()).to.include({ uuid: "again", resp: "success" });
        const { auth } = application.socket();
        name = "bob";
        const authenticated: unknown[] = [];
        server.on("authenticated", (socket) => authenticated.push(socket));
        await refresh(client, protocol);
        expect(await client.closed).to.deep.equal({ code: 4409, reason: "Another identity" });
        expect(client.frames).to.deep.equal([]);
        expect([auth, authenticated]).to.deep.equal([{ name: "alice" }, []]);
      });

      it("is asked about each channel that the client has joined by itself, and about no other", async () => {
        const server = await start();
        const client = await application.connect("websocket", { protocol });
        const asked: unknown[] = [];
        for (const channel of ["stays", "goes", "mine"]) await client.subscribe(channel);
        await server.subscribe(application.socket(), "server's");
        // what the server has let it join as well is not the client's to lose
        await server.subscribe(application.socket(), "mine");
        await client.request({ rpc: "nope" });
        client.frames.length = 0;
        server.on("subscribe", async (socket, { channel }) => {
          asked.push([channel, socket.auth.name]);
          return channel === "stays";
        });
        name = "bob";
        const gone = once(server, "unsubscribed");
        await refresh(client, protocol);
        expect(await client.take()).to.include({ uuid: "again", resp: "success" });
        expect(await client.take()).to.deep.equal({
          internal: true,
          command: "unsubscribe",
          data: { channel: "goes", ...(protocol === 4 ? { error: FORBIDDEN } : {}) },
        });
        expect((await gone)[1]).to.deep.equal({ channel: "goes" });
        expect(Object.keys(application.socket().channels)).to.have.members(["stays", "mine", "server's"]);
        expect(asked).to.have.deep.members([
          ["stays", "bob"],
          ["goes", "bob"],
        ]);
        await client.request({ rpc: "nope" });
        expect(client.frames).to.deep.equal([]);
      });
    });
  }

  it("takes nothing from a client that has left by itself, nor twice", async () => {
    const server = await start();
    const client = await application.connect("websocket", { protocol: 4 });
    await client.subscribe("room");
    client.frames.length = 0;
    const asked: (() => void)[] = [];
    const both = new Promise<void>((resolve) => {
      server.on("subscribe", (_socket, _request, callback) => {
        asked.push(() => callback(null, false));
        resolve();
      });
    });
    await refresh(client, 4);
    await both;
    await server.unsubscribe(application.socket(), "room");
    for (const answer of asked) answer();
    await client.request({ rpc: "nope" });
    expect(client.frames.filter(left)).to.have.length(1);
    expect(client.frames.find(left)?.data).to.deep.equal({ channel: "room" });
    expect(application.errors).to.deep.equal([]);
  });

  it("is asked about few channels at once, and a guard that never answers holds up no other", async () => {
    const server = await start();
    const client = await application.connect("websocket", { protocol: 4 });
    for (let i = 0; i < 40; i++) await client.subscribe(`room-${i}`);
    client.frames.length = 0;
    let running = 0;
    let most = 0;
    server.on("subscribe", async (_socket, { channel }) => {
      if (channel === "room-0") return new Promise(() => {});
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
      return false;
    });
    await refresh(client, 4);
    for (let i = 1; i < 40; i++) await client.take(left);
    expect(most).to.be.within(2, 16);
    expect(Object.keys(application.socket().channels)).to.deep.equal(["room-0"]);
  });

  it("takes an identity's number and its text for one, and reports what is neither", async () => {
    let id: unknown = 7;
    const server = await start({ identify: () => id as string });
    const client = await application.connect();
    id = "7";
    await refresh(client, 3);
    expect(await client.take()).to.include({ resp: "success" });
    for (const key of [undefined, null, "", Number.NaN, {}, true]) {
      id = key;
      const other = await application.open();
      other.send({ rpc: "auth", token: await application.token(), uuid: "a" });
      expect((await other.closed).code).to.equal(4503);
    }
    expect(application.errors).to.have.length(6);
    expect(server.sockets()).to.have.length(1);
  });
});

describe("a new token on a live connection of protocol 4", () => {
  let application: Application;
  afterEach(() => application.stop());

  it("is answered unavailable, and changes nothing, where identify fails", async () => {
    let fails = false;
    application = await Application.start({
      options: {
        identify: () => {
          if (fails) throw new Error("The database is away");
          return 7;
        },
        socketController: { who: (auth: unknown) => auth },
      },
    });
    const client = await application.connect("websocket", { protocol: 4 });
    fails = true;
    const { error } = await client.request({ rpc: "auth", token: await application.token(), protocol: 4 });
    expect(error).to.have.property("code", "unavailable");
    expect(await client.request({ rpc: "who" })).to.have.deep.property("resp", { name: "alice" });
  });

  it("closes it with 4503 where a guard of authentication does not answer in time", async () => {
    application = await Application.start({ options: { limits: { authenticationTimeout: 20 } } });
    const client = await application.connect("websocket", { protocol: 4 });
    application.tokenServer.on("authentication", (_socket, _auth, _callback) => {});
    client.send({ rpc: "auth", token: await application.token(), uuid: "a", protocol: 4 });
    expect(await client.closed).to.deep.equal({ code: 4503, reason: "Authentication unavailable" });
  });
});

describe("a new token while Redis is away", () => {
  it("leaves a client of protocol 4 as it is until its identity expires, and closes one of protocol 3", async () => {
    const redis = await startRedis({ own: true });
    const redisClient = await connectNodeRedis(redis.url);
    const pubsubClient = await connectNodeRedis(redis.url);
    const application = await Application.start({
      redisClient,
      pubsubClient,
      options: {
        authentication: () => expiring({ name: "alice" }, Date.now() + 4000),
        limits: { redisTimeout: 300, expiryGrace: 10 },
        socketController: { who: (auth: unknown) => auth },
      },
    });
    try {
      await application.tokenServer.ready();
      const newer = await application.connect("websocket", { protocol: 4 });
      const older = await application.connect();
      const tokens = [await application.token(), await application.token()];
      await redis.stop();
      older.send({ rpc: "auth", token: tokens[0], uuid: "a" });
      expect((await older.closed).code).to.equal(4503);
      newer.send({ rpc: "auth", token: tokens[1], protocol: 4, uuid: "a" });
      newer.send({ rpc: "who", uuid: "b" });
      expect(await newer.take()).to.deep.equal({
        rpc: "auth",
        uuid: "a",
        error: { message: "Service unavailable", code: "unavailable", retryAfter: 5000 },
      });
      expect(await newer.take())
        .to.include({ uuid: "b" })
        .and.deep.include({ resp: { name: "alice" } });
      expect((await newer.closed).code).to.equal(4410);
    } finally {
      await application.stop();
      redisClient.destroy();
      pubsubClient.destroy();
      await redis.stop();
    }
  });
});

describe("a token that the application verifies", () => {
  let application: Application;

  const SECRET = "a secret of the tests";
  const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const sign = (text: string) => createHmac("sha256", SECRET).update(text).digest();

  function jwt(claims: object, signature?: string): string {
    const text = `${base64({ alg: "HS256", typ: "JWT" })}.${base64(claims)}`;
    return `${text}.${signature ?? sign(text).toString("base64url")}`;
  }

  /** What a library for JWTs does. */
  async function verifyToken(token: string, _socket: PendingSocket) {
    const [header = "", payload = "", signature = ""] = token.split(".");
    const expected = sign(`${header}.${payload}`);
    const given = Buffer.from(signature, "base64url");
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw new Error("signature");
    const { sub, aud, exp } = JSON.parse(Buffer.from(payload, "base64url").toString());
    if (aud !== "sockets") throw new Error("audience");
    if (exp * 1000 <= Date.now()) throw new Error("expired");
    return { auth: { name: sub }, expiresAt: exp * 1000 };
  }

  const start = async (options: ApplicationOptions["options"] = {}) => {
    application = await Application.start({ options: { verifyToken, ...options } });
    return application.tokenServer;
  };

  const inAnHour = () => Math.floor(Date.now() / 1000) + 3600;

  afterEach(() => application.stop());

  it("lets a socket in, with its expiry and its address", async () => {
    await start();
    const client = await application.open();
    const token = jwt({ sub: "alice", aud: "sockets", exp: inAnHour() });
    const { resp, server } = await client.request({ rpc: "auth", token, protocol: 4 });
    expect(resp).to.equal("success");
    expect((server as { expiresIn: number }).expiresIn).to.be.within(3_500_000, 3_600_000);
    const { auth, host, ip, ips } = application.socket() as Socket;
    expect(auth).to.deep.equal({ name: "alice" });
    expect({ host, ip, ips }).to.deep.equal({
      host: new URL(application.url).host,
      ip: "127.0.0.1",
      ips: [],
    });
  });

  const FORWARDED = { "X-Forwarded-For": "198.51.100.7", "X-Forwarded-Host": "chat.example:8080" };

  /** Opens a WebSocket as a proxy does that passes on whom it is for. */
  async function openWebSocket(frame: object): Promise<void> {
    const socket = new WebSocket(`${application.url.replace("http", "ws")}/sockets/websocket`, {
      headers: FORWARDED,
    });
    await once(socket, "open");
    socket.send(JSON.stringify(frame));
    await once(socket, "message");
    socket.terminate();
  }

  /** Likewise by one of SockJS's fallbacks. */
  async function openPolling(frame: object): Promise<void> {
    const session = randomUUID();
    const ask = async (path: string, body = "") => {
      const init = { method: "POST", body, headers: { ...FORWARDED, "Content-Type": "text/plain" } };
      return (await fetch(`${application.url}/sockets/1/${session}/${path}`, init)).text();
    };
    expect(await ask("xhr")).to.equal("o\n");
    await ask("xhr_send", JSON.stringify([JSON.stringify(frame)]));
    expect(await ask("xhr")).to.include("success");
  }

  for (const [transport, open] of Object.entries({ WebSocket: openWebSocket, "xhr-polling": openPolling })) {
    for (const isTrusted of [true, false]) {
      const whose = isTrusted
        ? "the client's host and addresses, of a proxy that is trusted"
        : "the proxy's own";
      it(`has ${whose}, over ${transport}`, async () => {
        application = await Application.start({
          prepare: (app) => app.set("trust proxy", isTrusted && "loopback"),
          options: { verifyToken },
        });
        const authenticated = once(application.tokenServer, "authenticated");
        await open({ rpc: "auth", token: jwt({ sub: "alice", aud: "sockets", exp: inAnHour() }) });
        const [{ host, ip, ips }] = (await authenticated) as [Socket];
        expect({ host, ip, ips }).to.deep.equal(
          isTrusted
            ? { host: "chat.example:8080", ip: "198.51.100.7", ips: ["198.51.100.7"] }
            : { host: new URL(application.url).host, ip: "127.0.0.1", ips: [] },
        );
      });
    }
  }

  it("is not good with another signature, for another audience, or when it has expired", async () => {
    await start();
    for (const token of [
      jwt({ sub: "alice", aud: "sockets", exp: inAnHour() }, sign("other").toString("base64url")),
      jwt({ sub: "alice", aud: "others", exp: inAnHour() }),
      jwt({ sub: "alice", aud: "sockets", exp: inAnHour() - 7200 }),
      "nonsense",
      "",
    ]) {
      const client = await application.open();
      expect(await client.request({ rpc: "auth", token })).to.include({ error: "Token not found" });
      expect((await client.closed).code).to.equal(4401);
    }
    expect(application.errors).to.deep.equal([]);
  });

  it("goes there only where it is a text of no more than limits.tokenLength that is no uuid", async () => {
    const seen: string[] = [];
    await start({
      limits: { tokenLength: 10 },
      verifyToken: async (token) => {
        seen.push(token);
        return { auth: { token } };
      },
    });
    for (const token of [5, null, {}, "x".repeat(11)]) {
      const client = await application.open();
      client.send({ rpc: "auth", token });
      expect((await client.closed).code).to.equal(4400);
    }
    const unknown = await application.open();
    unknown.send({ rpc: "auth", token: randomUUID() });
    expect((await unknown.closed).code).to.equal(4401);
    await application.connect();
    const client = await application.open();
    expect(await client.request({ rpc: "auth", token: "x".repeat(10) })).to.include({ resp: "success" });
    expect(seen).to.deep.equal(["x".repeat(10)]);
  });

  it("may follow on a live connection, of the same identity", async () => {
    await start({ identify: ({ name }: { name: string }) => name });
    const client = await application.connect("websocket", { protocol: 4 });
    for (const [sub, outcome] of Object.entries({ alice: "success", bob: undefined })) {
      client.send({ rpc: "auth", protocol: 4, token: jwt({ sub, aud: "sockets", exp: inAnHour() }) });
      if (outcome) expect(await client.take()).to.include({ resp: outcome });
    }
    expect((await client.closed).code).to.equal(4409);
  });

  it("is warned of once where it is refused, and told of with debug alone after that", async () => {
    await start({
      verifyToken: async (token) => {
        throw new Error(`no such key for ${token}`);
      },
    });
    for (let i = 0; i < 3; i++) {
      const client = await application.open();
      client.send({ rpc: "auth", token: `a.secret.${i}` });
      await client.closed;
    }
    expect(application.log).to.have.length(1);
    expect(application.log[0]).to.include("verifyToken has refused").and.not.include("secret");
    expect(application.log[0]).to.include("no such key");
  });

  it("is refused for the moment, and reported, where what verifyToken gives is no identity", async () => {
    for (const given of [{}, { auth: "alice" }, { auth: {}, expiresAt: "soon" }, "alice"]) {
      await start({ verifyToken: async () => given as never });
      const client = await application.open();
      client.send({ rpc: "auth", token: "jwt" });
      expect((await client.closed).code).to.equal(4503);
      expect(application.errors[0]).to.be.instanceOf(TypeError);
      await application.stop();
    }
  });

  it("is in no line of the log and in no error, also where what it is refused for repeats it", async () => {
    const token = jwt({ sub: "alice", aud: "sockets", exp: inAnHour() });
    const [, payload = ""] = token.split(".");
    const failures: ((token: string) => unknown)[] = [
      (given) => Promise.reject(new Error(`jwt malformed: ${given}`)),
      () => Promise.reject(new Error(`no claims in ${payload}`)),
      (given) => Promise.reject(new Error(`GET /keys?token=${encodeURIComponent(given)}`)),
      () => ({ auth: "none" }),
    ];
    for (const verify of failures) {
      await start({
        debug: true,
        verifyToken: async (given) => verify(given) as never,
        identify: () => 1,
      });
      const client = await application.open();
      client.send({ rpc: "auth", token });
      await client.closed;
      await application.stop();
      const said = [
        ...application.log,
        ...application.errors.map(({ message, stack }) => message + stack),
      ].join();
      expect(said).to.match(/verifyToken/);
      expect(said).to.not.contain(payload);
    }
    await start({
      verifyToken: async () => ({ auth: { name: "alice" } }),
      identify: () => {
        throw new Error(`no user for ${token}`);
      },
    });
    const client = await application.open();
    client.send({ rpc: "auth", token });
    expect((await client.closed).code).to.equal(4503);
    expect(application.errors.map(({ message }) => message)).to.deep.equal(["Error: no user for <token>"]);
  });

  it("does not let in whom disconnect() has met while it was being verified", async () => {
    await start({
      identify: ({ name }: { name: string }) => name,
      verifyToken: async () => {
        await application.tokenServer.disconnect({ identity: "alice" }, { code: 4100 });
        // later by the clock
        await new Promise((resolve) => setTimeout(resolve, 5));
        return { auth: { name: "alice" } };
      },
    });
    const client = await application.open();
    client.send({ rpc: "auth", token: "jwt", uuid: "a" });
    expect((await client.closed).code).to.equal(4100);
  });

  it("has authTimeout for it", async () => {
    await start({ authTimeout: 50, verifyToken: () => new Promise(() => {}) });
    const client = await application.open();
    client.send({ rpc: "auth", token: "jwt" });
    expect((await client.closed).code).to.equal(4408);
  });
});
