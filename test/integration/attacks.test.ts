import { randomUUID } from "node:crypto";
import { EventEmitter, once } from "node:events";
import type { Socket } from "node:net";
import { expect } from "chai";
import { TokenSocket } from "../../lib/client/index.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import { connectNodeRedis, type NodeRedis } from "../support/node-redis.js";
import { type RedisServer, startRedis } from "../support/redis-server.js";
import { type Frame, WIRE_TRANSPORTS, type WireClient } from "../support/wire-client.js";

const EVIL = "https://evil.example";

type ServerOptions = NonNullable<ApplicationOptions["options"]>;

const echo = (_auth: unknown, data: unknown) => data ?? null;
const whoAmI = (auth: unknown) => auth;

/** Whoever the query names. */
const byName: ServerOptions["authentication"] = (req) => ({ name: String(req.query.name) });

describe("An attack", () => {
  let application: Application;

  const start = async (options: ServerOptions = {}, rest: Omit<ApplicationOptions, "options"> = {}) => {
    application = await Application.start({
      ...rest,
      options: { debug: true, socketController: { echo, whoAmI }, ...options },
    });
  };

  afterEach(async () => {
    await application.stop();
  });

  /** Sends the head of a request, or more, as it is. */
  const dial = (text: string) => application.dial(text, "latin1");

  /** The head of the answer to a request that is sent as it is. */
  const headOf = async (text: string): Promise<string> => {
    const [chunk] = await once(await dial(text), "data");
    return String(chunk).split("\r\n\r\n", 1)[0] ?? "";
  };

  /** Waits until a connection is closed; one that is reset is closed, too. */
  const gone = async (socket: Socket) => {
    if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
  };

  /** Proves that others are served. */
  const isServed = async (client: WireClient) => {
    expect(await client.request({ rpc: "echo", req: "here" })).to.have.property("resp", "here");
  };

  describe("from a page of another origin", () => {
    const FORMS = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=a", "text/plain"];

    for (const origin of [EVIL, "null"]) {
      it(`by a form, whose origin is ${origin}, gets no token and sends nothing`, async () => {
        await start();
        const victim = await application.connect("xhr-polling");
        const session = sessionOf(application.socket().url);
        for (const type of FORMS) {
          const options = { method: "POST", headers: { origin, "content-type": type } };
          const asked = await fetch(`${application.url}/socket/token`, { ...options, body: "a=b" });
          expect([asked.status, await asked.text()]).to.deep.equal([403, '{"error":"Forbidden"}']);
          for (const transport of ["xhr_send", "jsonp_send"]) {
            const body = JSON.stringify([JSON.stringify({ rpc: "echo", req: "forged", uuid: "f" })]);
            const path = `${application.url}/sockets/1/${session}/${transport}`;
            expect((await fetch(path, { ...options, body })).status).to.equal(403);
          }
        }
        await isServed(victim);
        expect(victim.frames).to.deep.equal([]);
        // it is the origin that counts, and not that the session's id was wrong
        const own = await fetch(`${application.url}/sockets/1/${session}/xhr_send`, {
          method: "POST",
          body: JSON.stringify([JSON.stringify({ rpc: "echo", req: "own", uuid: "o" })]),
        });
        expect(own.status).to.equal(204);
        expect(await victim.take()).to.include({ uuid: "o", resp: "own" });
      });
    }
  });

  describe("where servers share a Redis", () => {
    let redis: RedisServer;
    let clients: NodeRedis[] = [];
    let other: Application | undefined;

    before(async () => {
      redis = await startRedis();
    });
    afterEach(async () => {
      await other?.stop();
      await Promise.all(clients.map((client) => client.close()));
      clients = [];
      other = undefined;
    });
    after(() => redis.stop());

    const connectRedis = async () => {
      const client = await connectNodeRedis(redis.url);
      clients.push(client);
      return client;
    };

    it("by a replay of a token on another server gets what a stranger gets, and takes nothing from its owner", async () => {
      await start({}, { redisClient: await connectRedis() });
      other = await Application.start({ redisClient: await connectRedis() });
      const token = await application.token();
      const owner = await application.open();
      expect(await owner.request({ rpc: "auth", token })).to.include({ resp: "success" });
      const refusals: unknown[] = [];
      for (const presented of [token, randomUUID()]) {
        for (const server of [application, other]) {
          const thief = await server.open();
          refusals.push([
            await thief.request({ rpc: "auth", token: presented, uuid: 1 }),
            await thief.closed,
          ]);
          expect(thief.frames).to.deep.equal([]);
        }
      }
      const refusal = [
        { rpc: "auth", uuid: 1, error: "Token not found" },
        { code: 4401, reason: "Token not found" },
      ];
      expect(refusals).to.deep.equal([refusal, refusal, refusal, refusal]);
      await isServed(owner);
    });

    it("by channels' names gives Redis no command and no pattern", async () => {
      const pubsubClient = await connectRedis();
      await start({}, { redisClient: await connectRedis(), pubsubClient });
      const inspector = await connectRedis();
      const [attacker, victim] = [await application.connect(), await application.connect()];
      await victim.subscribe("room");
      const names = [
        "a\r\nPUBLISH room forged\r\n",
        "a\n*3\r\n$7\r\nPUBLISH\r\n$4\r\nroom\r\n$1\r\n1\r\n",
        "room\u0000",
        "*",
        "r?om",
        "[r]oom",
      ];
      for (const channel of names) {
        await attacker.subscribe(channel);
        attacker.send({ rpc: "_publish", req: { channel, data: "own" } });
        expect(await attacker.message(channel)).to.equal("own");
      }
      const own = ["___all___", "___sync___", `___server:${application.tokenServer.health().id}___`];
      expect(await inspector.pubSubChannels()).to.have.members([...names, ...own, "room"]);
      expect(await inspector.pubSubNumPat()).to.equal(0);
      await application.tokenServer.publish("room", "real");
      expect(await victim.take()).to.deep.equal({ channel: "room", message: "real" });
      await isServed(attacker);
      expect([victim.frames, attacker.frames]).to.deep.equal([[], []]);
    });

    it("by a flood of subscriptions takes its few channels, and leaves none of them behind", async () => {
      const pubsubClient = await connectRedis();
      const limits = { channelsPerSocket: 10 };
      await start({ limits }, { redisClient: await connectRedis(), pubsubClient });
      const inspector = await connectRedis();
      const [attacker, victim] = [await application.connect(), await application.connect()];
      const replies = await Promise.all(
        Array.from({ length: 500 }, (_, index) => attacker.subscribe(`flood${index}`)),
      );
      expect(replies.filter(({ error }) => error === "Too many channels")).to.have.length(490);
      expect(await inspector.pubSubChannels("flood*")).to.have.length(10);
      await victim.subscribe("room");
      const gone = once(application.tokenServer, "disconnect");
      await attacker.end();
      await gone;
      while ((await inspector.pubSubChannels("flood*")).length > 0);
      await isServed(victim);
    });
  });

  describe("on tokens of others", () => {
    it("by guesses, however near, learns nothing and uses nothing up", async () => {
      await start();
      const token = await application.token();
      const guesses = Array.from("0123456789abcdef", (digit) => token.slice(0, -1) + digit).filter(
        (guess) => guess !== token,
      );
      const refusals = await Promise.all(
        guesses.map(async (guess) => {
          const client = await application.open("raw-websocket");
          const reply = await client.request({ rpc: "auth", token: guess, uuid: 1 });
          return JSON.stringify([reply, await client.closed, client.frames]);
        }),
      );
      expect(new Set(refusals).size).to.equal(1);
      const owner = await application.open();
      expect(await owner.request({ rpc: "auth", token })).to.include({ resp: "success" });
      for (const secret of [token, ...guesses]) expect(application.log.join()).to.not.include(secret);
    });

    it("by swapping them makes nobody more than the token says, whatever else the frame says", async () => {
      await start({ authentication: byName });
      const tokens = [await application.token("?name=alice"), await application.token("?name=bob")];
      const names: unknown[] = [];
      for (const token of tokens.reverse()) {
        const client = await application.open();
        const claims = { auth: { name: "root" }, req: { name: "root" }, name: "root", sid: "root" };
        await client.request({ rpc: "auth", token, ...claims });
        names.push((await client.request({ rpc: "whoAmI", auth: { name: "root" } })).resp);
        // what is used up is no second identity either
        client.send({ rpc: "auth", token: tokens[0], uuid: "again" });
        expect(await client.take()).to.include({ uuid: "again", error: "Token not found" });
        expect((await client.closed).code).to.equal(4401);
      }
      expect(names).to.deep.equal([{ name: "bob" }, { name: "alice" }]);
    });
  });

  describe("on SockJS sessions", () => {
    it("by guesses has 130 bits to find where this package's client has connected", async () => {
      await start();
      const ids = new Set<string>();
      for (let i = 0; i < 3; i++) {
        const client = new TokenSocket({
          host: application.url,
          WebSocket: false,
          sockjs: { transports: "xhr-polling" },
        });
        await client.ready();
        ids.add(sessionOf(application.socket().url));
        await client.end();
      }
      for (const id of ids) expect(id).to.match(/^[a-z0-5]{26}$/);
      expect(ids.size).to.equal(3);
    });
  });

  describe("by names of prototypes", () => {
    it("makes nothing of itself in what the token route reads", async () => {
      const seen: unknown[] = [];
      const authentication: ServerOptions["authentication"] = (req) => {
        const { query, body } = req as { query: Record<string, unknown>; body?: Record<string, unknown> };
        seen.push(query.admin, body?.admin);
        return { name: "alice" };
      };
      await start({ authentication });
      const query =
        "?__proto__[admin]=1&__proto__.admin=1&constructor[prototype][admin]=1&a[__proto__][admin]=1&a[hasOwnProperty]=1";
      await application.token(query);
      const posted = await fetch(`${application.url}/socket/token${query}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '{"__proto__":{"admin":1},"constructor":{"prototype":{"admin":1}}}',
      });
      expect(posted.status).to.equal(200);
      // the parsed body may have a name of its own that is called __proto__, but no other prototype
      expect(seen).to.deep.equal([undefined, undefined, undefined, undefined]);
      expect("admin" in {}).to.equal(false);
    });

    for (const session of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
      it(`as a SockJS session, ${session}, is answered, and takes no place`, async () => {
        await start({ limits: { connectionsPerIp: 1 } });
        for (const transport of ["xhr", "xhr_streaming", "xhr_send", "eventsource", "jsonp"]) {
          const head = await headOf(
            `${transport.startsWith("xhr") ? "POST" : "GET"} /sockets/1/${session}/${transport}?c=a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`,
          );
          expect(head, transport).to.match(/^HTTP\/1\.1 400 /);
        }
        await isServed(await application.connect());
      });
    }
  });

  describe("on reserved channels", () => {
    const SPELLINGS = {
      "an escape": '"channel":"\\u005f__sync\\u005f__"',
      "a second name": '"channel":"room","channel":"___all___"',
      "a longer name": '"channel":"___sync___x___"',
      "the name on which Redis tells of keys": '"channel":"__keyevent@0__:set"',
      "the name on which Sentinels talk": '"channel":"__sentinel__:hello"',
    };
    for (const [spelling, name] of Object.entries(SPELLINGS)) {
      it(`by ${spelling} is forbidden`, async () => {
        await start();
        const client = await application.connect();
        for (const rpc of ["_subscribe", "_unsubscribe", "_publish"]) {
          client.send(`{"rpc":"${rpc}","uuid":"u","req":{${name},"data":{"command":"unsubscribeAll"}}}`);
          expect(await client.take()).to.deep.equal({ rpc, uuid: "u", error: "Forbidden" });
        }
        expect(application.tokenServer.channels()).to.deep.equal([]);
      });
    }
  });

  describe("by what is hard to read", () => {
    const WIDE = 9_000;
    const BOMBS: Record<string, string> = {
      "arrays, side by side": `[${"[],".repeat(WIDE)}[]]`,
      "objects, each in an array": `[${"[{}],".repeat(WIDE / 2)}0]`,
      "one name again and again": `{${'"a":1,'.repeat(WIDE / 2)}"a":0}`,
      "a number of thousands of digits": "9".repeat(60_000),
      "a number of a huge exponent": `1e${"9".repeat(60_000)}`,
      "names of prototypes": `{${'"__proto__":{"a":1},'.repeat(WIDE / 6)}"constructor":{}}`,
      "escapes alone": `"${"\\u0022".repeat(10_000)}"`,
    };
    for (const [kind, json] of Object.entries(BOMBS)) {
      it(`as a JSON bomb, ${kind}, is data like any other`, async () => {
        await start();
        const [client, other] = [await application.connect(), await application.connect()];
        client.send(`{"rpc":"echo","uuid":"u","req":${json}}`);
        expect(await client.take()).to.deep.equal({
          rpc: "echo",
          uuid: "u",
          resp: JSON.parse(JSON.stringify(JSON.parse(json))),
        });
        await isServed(other);
      });
    }

    for (const [kind, item] of Object.entries({ objects: "{}", arrays: "[]", numbers: "1", texts: '""' })) {
      it(`as JSON of more ${kind} than a message may have is none, and is not made`, async () => {
        await start();
        const client = await application.connect();
        const array = (values: number) => `[${Array(values).fill(item).join()}]`;
        // of the frame there are the object, three values, and the array's own
        const each = item === "{}" || item === "[]" ? 2 : 1;
        const most = Math.floor((20_000 - 4) / each);
        client.send(`{"rpc":"echo","uuid":"u","req":${array(most + 1)}}`);
        expect(await client.take()).to.deep.equal({ error: "Invalid message" });
        client.send(`{"rpc":"echo","uuid":"u","req":${array(most)}}`);
        expect((await client.take()).resp).to.have.length(most);
      });
    }

    it("as JSON or a query at the token route is bounded", async () => {
      await start({ authentication: () => ({ name: "alice" }) });
      const post = async (body: string) => {
        const headers = { "content-type": "application/json" };
        return (await fetch(`${application.url}/socket/token`, { method: "POST", headers, body })).status;
      };
      expect(await post(`{"a":${"[".repeat(30_000)}${"]".repeat(30_000)}}`)).to.equal(200);
      expect(await post(`{"a":"${"x".repeat(70_000)}"}`)).to.equal(413);
      await application.token(`?${"a[b]".repeat(2000)}=1`);
      await application.token(`?${"a&".repeat(5000)}a[100000]=1`);
    });

    it("by patterns is answered, however much they might backtrack", async () => {
      // each is read by an expression that would take longer than anybody lives if it were a bad one
      await start({ allowedOrigins: /https:\/\/([\w-]+\.)+example/, jsonp: ["https://partner.example"] });
      const long = "a".repeat(12_000);
      const ask = async (path: string, headers: Record<string, string> = {}) =>
        (await fetch(application.url + path, { headers })).status;
      const own = { "sec-fetch-site": "same-origin" };
      expect(await ask(`/socket/token?callback=${"a.".repeat(60)}!`, own)).to.equal(403);
      expect(await ask(`/socket/token?callback=${"a.".repeat(5000)}!`, own)).to.equal(403);
      expect(await ask(`/socket/token?callback=${long}!`, own)).to.equal(403);
      expect(await ask("/socket/token", { origin: `https://${"a.".repeat(5000)}!` })).to.equal(403);
      expect(await ask("/socket/token?callback=a", { referer: `https://${long}!` })).to.equal(403);
      expect(await ask(`/sockets/${long}/${long.slice(3000)}!`.slice(0, 12_000))).to.equal(404);
      expect(await ask(`/sockets/${"/".repeat(12_000)}!`)).to.equal(404);
      const client = await application.connect();
      for (const path of ["a.".repeat(20_000), "_".repeat(40_000)]) {
        expect(await client.request({ rpc: path })).to.have.property("error", "Function not found");
      }
      for (const channel of ["_".repeat(40_000), `___${"a___".repeat(10_000)}!`]) {
        expect(await client.subscribe(channel)).to.have.property("error", "Invalid request");
      }
      client.send({ rpc: "auth", token: `${"a-".repeat(20_000)}!` });
      expect((await client.closed).code).to.equal(4400);
    });
  });

  describe("by slow bodies", () => {
    it("sent byte by byte is ended in time, and others are served meanwhile", async () => {
      await start({ limits: { bodyTimeout: 100 } });
      const victim = await application.connect();
      await (await fetch(`${application.url}/sockets/1/slow/xhr`, { method: "POST" })).text();
      const head = "POST /sockets/1/slow/xhr_send HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n[";
      const slow = await Promise.all(Array.from({ length: 10 }, () => dial(head)));
      const answers = Promise.all(slow.map((socket) => once(socket, "data")));
      // each byte follows as soon as the one before is gone
      const trickle = (socket: Socket) => {
        if (!socket.destroyed && socket.writable) socket.write(" ", () => setImmediate(trickle, socket));
      };
      for (const socket of slow) trickle(socket);
      await isServed(victim);
      for (const [chunk] of await answers) expect(String(chunk)).to.match(/^HTTP\/1\.1 408 /);
      await isServed(victim);
    });
  });

  const UPGRADE = "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
  const VERSION_13 = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

  describe("by never answering a farewell", () => {
    it("keeps no WebSocket's place, whoever has closed it", async () => {
      await start({ authTimeout: 100, limits: { messageBytes: 1000 } });
      const tooLarge = `\x81\xfe\xff\xff\0\0\0\0${" ".repeat(65_535)}`;
      const sockets = await Promise.all(
        ["/sockets/websocket", "/sockets/1/farewell/websocket"].flatMap((path) =>
          // closed for its silence, and by the WebSocket itself for what it has sent
          ["", tooLarge].map((more) => dial(`GET ${path} HTTP/1.1\r\n${UPGRADE}${VERSION_13}\r\n${more}`)),
        ),
      );
      await Promise.all(sockets.map((socket) => gone(socket.resume())));
    });
  });

  describe("by what a WebSocket's reader cannot read", () => {
    const PATHS = ["/sockets/websocket", "/sockets/1/reader/websocket"];

    for (const path of PATHS) {
      for (const name of Object.getOwnPropertyNames(Object.prototype)) {
        it(`as a pong that nobody asked for, ${name}, ends no more than its connection, at ${path}`, async () => {
          await start();
          const victim = await application.connect();
          const pong = `\x8a${String.fromCharCode(0x80 + name.length)}\0\0\0\0${name}`;
          // with the handshake in one packet, and in a packet of its own
          const early = await dial(`GET ${path} HTTP/1.1\r\n${UPGRADE}${VERSION_13}\r\n${pong}`);
          const late = await dial(`GET ${path} HTTP/1.1\r\n${UPGRADE}${VERSION_13}\r\n`);
          await once(late, "data");
          late.write(pong, "latin1");
          for (const socket of [early, late]) {
            await gone(socket.resume().end());
          }
          await isServed(victim);
          expect(application.tokenServer.sockets()).to.have.length(1);
        });
      }

      for (const keys of [
        "Sec-WebSocket-Key1: 9 99999999999\r\nSec-WebSocket-Key2: 9 99999999999\r\n",
        "Sec-WebSocket-Key1: 1 1\r\n",
        "",
      ]) {
        it(`in a draft before the standard is refused, at ${path} with ${keys.length} characters of keys`, async () => {
          await start();
          const victim = await application.connect();
          const head = await headOf(`GET ${path} HTTP/1.1\r\n${UPGRADE}${keys}\r\n12345678`);
          expect(head).to.match(/^HTTP\/1\.1 400 /);
          await isServed(victim);
        });
      }
    }
  });

  describe("by line breaks and the like", () => {
    const FORGED = "node-token-sockjs: root has authenticated";
    const BREAKS = [
      "\n",
      "\r",
      "\r\n",
      "\u0085",
      "\u2028",
      "\u2029",
      "\u000b",
      "\u001b[2K\u001b[1G",
      "\u202e",
    ];

    it("adds no header to an answer", async () => {
      await start({ allowedOrigins: () => true });
      const own = { "sec-fetch-site": "same-origin" };
      for (const end of ["%0d%0a", "%0a", "%0d", "%E5%98%8D%E5%98%8A", "%c2%85"]) {
        const query = `?callback=a${end}Set-Cookie:%20forged=1&a=${end}Set-Cookie:%20forged=1`;
        const answer = await fetch(`${application.url}/socket/token${query}`, { headers: own });
        expect(answer.status).to.equal(403);
        expect([...answer.headers.values()].join()).to.not.include("forged");
      }
      for (const name of [
        "Origin",
        "X-Forwarded-Host",
        "X-Forwarded-For",
        "Access-Control-Request-Headers",
      ]) {
        for (const end of ["\r", "\u0085", "\u0000", "\r\n "]) {
          for (const method of ["GET", "OPTIONS"]) {
            const fields = `Host: a\r\nOrigin: ${EVIL}\r\n${name}: ${EVIL}${end}Set-Cookie: forged=1`;
            const head = await headOf(`${method} /socket/token HTTP/1.1\r\n${fields}\r\n\r\n`);
            expect(head, `${method} ${JSON.stringify(name + end)}`).to.not.match(
              /[\r\n]\s*Set-Cookie: forged/i,
            );
          }
        }
      }
    });

    it("writes no line of its own into the log", async () => {
      const fail = (_auth: unknown, data: unknown) => {
        throw new Error(`no user ${data}`);
      };
      await start({ socketController: { fail, echo } }, { prepare: (app) => app.set("trust proxy", true) });
      application.tokenServer.removeAllListeners("error");
      application.tokenServer.on("subscribe", (_socket, { channel }) => {
        throw new Error(`no channel ${channel}`);
      });
      const client = await application.connect();
      for (const end of BREAKS) {
        const text = `x${end}${FORGED}`;
        await client.request({ rpc: "fail", req: text });
        await client.request({ rpc: text });
        await client.subscribe(text);
        // as far as a header can hold it
        const inHeader = /^[\u0020-\u00ff]*$/.test(text) ? text : FORGED;
        const headers = { origin: `${EVIL}${inHeader}`, "x-forwarded-for": inHeader };
        await fetch(`${application.url}/socket/token`, { headers });
        await fetch(`${application.url}/sockets/1/a/xhr`, { method: "POST", headers });
      }
      const lines = application.log.flatMap((entry) => {
        expect(entry).to.match(/^node-token-sockjs: /);
        const [first = "", ...others] = entry.split("\n");
        for (const line of others) expect(line).to.match(/^ {2}/);
        for (const end of BREAKS) if (end !== "\n") expect(entry).to.not.include(end);
        return [first, ...others];
      });
      expect(lines.filter((line) => line.includes("root"))).to.have.length.greaterThan(5 * BREAKS.length - 1);
      expect(lines.filter((line) => line.startsWith(FORGED))).to.deep.equal([]);
    });
  });

  describe("by answers to the server's calls", () => {
    const SIZES = { "almost a megabyte": 900_000, megabytes: 5_000_000 };
    for (const transport of ["websocket", "raw-websocket"] as const) {
      for (const [size, bytes] of Object.entries(SIZES)) {
        it(`of ${size} over ${transport} closes the socket and rejects the call, and others are served`, async () => {
          await start();
          const victim = await application.connect();
          const attacker = await application.connect(transport);
          const calling = application.tokenServer.rpc(application.socket(), "howAreYou");
          const failed = calling.then(
            () => "answered",
            (error: Error & { code?: string }) => error.code,
          );
          const { fid } = await attacker.takeCall();
          attacker.send({ rpc: "_rpc", fid, resp: { data: "x".repeat(bytes) } });
          expect(await failed).to.equal("disconnected");
          await attacker.closed;
          expect(application.tokenServer.sockets()).to.have.length(1);
          await isServed(victim);
        });
      }
    }

    for (const transport of WIRE_TRANSPORTS) {
      it(`before a token, of what is no frame, without end, is closed over ${transport}, and others are served`, async () => {
        await start({ limits: { framesPerSecond: 1, frameBurst: 10 } });
        const victim = await application.connect();
        const attacker = await application.open(transport);
        for (let sent = 0; sent < 30; sent++) attacker.send("");
        expect((await attacker.closed).code).to.equal(4429);
        expect(attacker.frames).to.have.length(10);
        await isServed(victim);
      });
    }

    it("that nobody asked for, without end, is closed, and others are served", async () => {
      await start({ limits: { framesPerSecond: 1, frameBurst: 10, bytesWaiting: 100_000 } });
      const victim = await application.connect();
      const attacker = await application.connect();
      const answer = JSON.stringify({ rpc: "_rpc", fid: "1", resp: { data: "x".repeat(10_000) } });
      for (let sent = 0; sent < 30; sent++) attacker.send(answer);
      expect((await attacker.closed).code).to.equal(4429);
      await isServed(victim);
    });
  });

  describe("by a crowd of deployed clients that are refused for long", () => {
    const ROUNDS = 5;

    /**
     * How often clients of version 3 try, in each of the times that they wait between two attempts: each tries again
     * because its connection has closed, and once more where an error frame came before.
     */
    const attempts = async (clients: number, presented: () => Promise<unknown>): Promise<number[]> => {
      const counts: number[] = [];
      let loops = clients;
      while (counts.push(loops) < ROUNDS) {
        const frames = await Promise.all(Array.from({ length: loops }, () => attempt(presented)));
        loops += frames.flat().filter(({ error }) => error !== undefined).length;
      }
      return counts;
    };

    /** The frames that one gets before it is closed. */
    const attempt = async (presented: () => Promise<unknown>): Promise<Frame[]> => {
      const token = await presented();
      const client = await application.open("raw-websocket");
      client.send({ rpc: "auth", token, uuid: "a" });
      await client.closed;
      return client.frames;
    };

    const REFUSALS: Record<string, () => Promise<void>> = {
      "a guard that refuses": async () => {
        await start();
        application.tokenServer.on("authentication", () => false);
      },
      "a guard that fails": async () => {
        await start();
        application.tokenServer.on("authentication", async () => {
          throw new Error("the database is away");
        });
      },
      "a guard that does not answer": async () => {
        await start({ limits: { authenticationTimeout: 10 } });
        application.tokenServer.on("authentication", (_socket, _auth, _callback) => {});
      },
      "a Redis that has stored the token and does not give it back": () =>
        start({}, { redisClient: forgetfulRedis(() => Promise.reject(new Error("away"))) }),
      "a Redis that does not answer": () =>
        start(
          { limits: { redisTimeout: 10 } },
          { redisClient: forgetfulRedis(() => new Promise<never>(() => {})) },
        ),
      "a Redis that gives back what is no identity": () =>
        start({}, { redisClient: forgetfulRedis(async () => "[]") }),
    };
    for (const [reason, refuse] of Object.entries(REFUSALS)) {
      it(`by ${reason} stays as fast as it was`, async () => {
        await refuse();
        expect(await attempts(8, () => application.token())).to.deep.equal([8, 8, 8, 8, 8]);
      });
    }

    it("for tokens of another form stays as fast as it was", async () => {
      await start();
      expect(await attempts(8, async () => "old")).to.deep.equal([8, 8, 8, 8, 8]);
    });

    it("would double with every attempt if there were an error frame before the close", async () => {
      await start();
      expect(await attempts(2, async () => randomUUID())).to.deep.equal([2, 4, 8, 16, 32]);
    });
  });
});

/** The session that a path of SockJS names. */
function sessionOf(url: string | undefined): string {
  return url?.split("/")[3] ?? "";
}

/** A client of node-redis's shape that stores all, and gives back what a function gives. */
function forgetfulRedis(
  getDel: (key: string) => Promise<string>,
): NonNullable<ApplicationOptions["redisClient"]> {
  const done = async () => "OK";
  const client = Object.assign(new EventEmitter(), { isOpen: true, isReady: true, getDel, set: done });
  const lists = { rPush: done, lTrim: done, lRem: done, pExpire: done, lRange: async () => [] };
  return Object.assign(client, { ...lists, ping: done, publish: done, subscribe: done, unsubscribe: done });
}
