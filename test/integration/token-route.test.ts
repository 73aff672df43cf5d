import { randomUUID } from "node:crypto";
import { EventEmitter } from "node:events";
import { text } from "node:stream/consumers";
import { expect } from "chai";
import {
  type Express,
  json as expressJson,
  raw as expressRaw,
  text as expressText,
  type Request,
} from "express";
import { RpcError, type TokenSocketServerOptions } from "../../lib/index.js";
import { memoryRedis } from "../../lib/memory.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import { reported, until } from "../support/condition.js";
import { express4 } from "../support/express4.js";
import { askForToken, get } from "../support/http-request.js";

const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** Lets all requests be of one session. */
const oneSession: ApplicationOptions["prepare"] = (app) => {
  app.use((req, _res, next) => {
    Object.defineProperty(req, "sessionID", { value: "the one" });
    next();
  });
};

/** Leaves requests as they are where no session middleware is installed. */
const takeSessionAway: ApplicationOptions["prepare"] = (app) => {
  app.use((req, _res, next) => {
    Object.defineProperty(req, "session", { value: undefined });
    next();
  });
};

for (const version of [5, 4]) {
  describe(`the token route on Express ${version}`, () => {
    let application: Application;

    const start = async (options: ApplicationOptions = {}) => {
      application = await Application.start({
        ...(version === 4 ? { express: express4 } : {}),
        ...options,
      });
      return application;
    };

    afterEach(() => application.stop());

    const ask = (query?: string, headers?: Record<string, string>) =>
      askForToken(application.url, query, headers);

    for (const [exposeErrors, told] of [
      [false, "Internal error"],
      [true, "An identity must be an object as JSON, too"],
    ] as const) {
      it(`says "${told}" of an identity that is no JSON, which is reported, with exposeErrors ${exposeErrors}`, async () => {
        const authentication = () => Promise.resolve(new Date(0));
        await start({ options: { authentication, exposeErrors } });
        const contexts: unknown[] = [];
        application.tokenServer.on("error", (_error, context) => contexts.push(context));
        const response = await fetch(`${application.url}/socket/token`);
        expect([response.status, await response.json()]).to.deep.equal([500, { error: told }]);
        await reported();
        expect(contexts).to.deep.equal(["an identity is no JSON, or its expiry no time"]);
      });
    }

    it("says what it is given for an error where that has no message, and that broken JSON is no request", async () => {
      await start({ options: { authentication: (_req, callback) => callback({ code: 7 }) } });
      const refused = await fetch(`${application.url}/socket/token`);
      expect([refused.status, await refused.json()]).to.deep.equal([500, { error: '{"code":7}' }]);
      const headers = { "content-type": "application/json" };
      const broken = await fetch(`${application.url}/socket/token`, { method: "POST", headers, body: "{" });
      expect([broken.status, await broken.json()]).to.deep.equal([400, { error: "Invalid request" }]);
    });

    /** The `auth` that a connection gets by the options. */
    const authFor = async (options: ApplicationOptions, query = "") => {
      await start(options);
      const token = await application.token(query);
      const client = await application.open();
      await client.request({ rpc: "auth", token });
      return application.socket().auth;
    };

    it("gives a token of its own to each request, and lets no one keep the answer", async () => {
      await start();
      const [first, second] = [await ask(), await ask()];
      expect(first.status).to.equal(200);
      expect(Object.keys(first.body)).to.deep.equal(["token"]);
      expect(first.body.token).to.match(UUID_V4);
      expect(second.body.token).to.match(UUID_V4).and.not.equal(first.body.token);
      expect(first.headers["cache-control"]).to.equal("no-store");
      expect(first.headers["content-type"]).to.match(/^application\/json/);
    });

    it("adds to what the application says that answers vary by", async () => {
      const prepare = (app: Express) =>
        app.use((_req, res, next) => {
          res.setHeader("Vary", "Accept-Language");
          next();
        });
      await start({ prepare });
      expect((await ask()).headers.vary).to.equal("Accept-Language, Origin");
    });

    it("answers as ever where the application puts its JSON and its texts into an envelope", async () => {
      await start({
        prepare: (app) => {
          const { json, send } = app.response;
          app.response.json = function (body) {
            return json.call(this, { ok: true, data: body });
          };
          app.response.send = function (body) {
            return send.call(this, `<${String(body)}>`);
          };
        },
      });
      expect((await ask()).body.token).to.match(UUID_V4);
      const { text } = await ask("?callback=take", { "sec-fetch-site": "same-origin" });
      expect(text).to.match(/^\/\*\*\/ typeof take/);
    });

    it("is at the path of the option tokenRoute", async () => {
      await start({ options: { tokenRoute: "/elsewhere" } });
      expect((await get(`${application.url}/elsewhere`)).status).to.equal(200);
      expect((await get(`${application.url}/socket/token`)).status).to.equal(404);
    });

    describe("with the name of a session property", () => {
      it("takes an object as the identity", async () => {
        expect(await authFor({ session: { auth: { id: 7, nested: { a: [1] } } } })).to.deep.equal({
          id: 7,
          nested: { a: [1] },
        });
      });

      it("attaches the session's data for another truthy value, without the cookie", async () => {
        const session = { auth: true, user: "bob", roles: ["x"] };
        expect(await authFor({ session })).to.deep.equal(session);
      });

      it("reads another property where the option names one", async () => {
        expect(
          await authFor({ session: { me: { id: 1 } }, options: { authentication: "me" } }),
        ).to.deep.equal({ id: 1 });
      });

      for (const [what, session] of Object.entries({
        "an absent property": {},
        "a falsy one": { auth: 0 },
        "an empty session": null,
      })) {
        it(`refuses for ${what}`, async () => {
          await start({ session });
          expect(await ask()).to.include({ status: 403, text: '{"error":"Forbidden"}' });
        });
      }

      it("does not take what a session inherits for the property", async () => {
        await start({ session: null, options: { authentication: "toString" } });
        expect((await ask()).status).to.equal(403);
      });

      it("refuses without a session middleware, and hints at it in the log", async () => {
        await start({ prepare: takeSessionAway });
        expect((await ask()).status).to.equal(403);
        expect(application.log.join("\n")).to.contain("session middleware");
      });
    });

    describe("with a function", () => {
      const withAuthentication = (authentication: TokenSocketServerOptions["authentication"]) =>
        start({ options: { authentication } });

      it("takes the answer of a callback", async () => {
        const options: TokenSocketServerOptions = {
          authentication: (_req, callback) => setImmediate(callback, null, { id: 1 }),
        };
        expect(await authFor({ options })).to.deep.equal({ id: 1 });
      });

      it("takes the answer of an async function", async () => {
        expect(await authFor({ options: { authentication: async (_req) => ({ id: 2 }) } })).to.deep.equal({
          id: 2,
        });
      });

      it("takes the answer of a function that returns", async () => {
        expect(await authFor({ options: { authentication: (_req) => ({ id: 3 }) } })).to.deep.equal({
          id: 3,
        });
      });

      it("takes an array as the identity", async () => {
        const options: TokenSocketServerOptions = { authentication: async (_req) => ["reader", 7] };
        expect(await authFor({ options })).to.deep.equal(["reader", 7]);
      });

      it("answers 500 for an object that is none as JSON", async () => {
        await withAuthentication(async (_req) => new Date());
        expect(await ask()).to.include({ status: 500, text: '{"error":"Internal error"}' });
        expect(application.errors[0]?.message).to.contain("identity");
      });

      it("attaches the session's data when it answers true", async () => {
        const options: TokenSocketServerOptions = { authentication: async () => true };
        expect(await authFor({ session: { name: "eve" }, options })).to.deep.equal({ name: "eve" });
      });

      it("sees the query nested, and the request with its session", async () => {
        const options: TokenSocketServerOptions = {
          authentication: async (req) => ({
            query: req.query,
            name: (req.session as unknown as { name: string }).name,
          }),
        };
        const query = "?a[b]=c&a[d][e]=f&list[]=1&list[]=2&plain=x%20y&__proto__[x]=1";
        expect(await authFor({ session: { name: "eve" }, options }, query)).to.deep.equal({
          query: { a: { b: "c", d: { e: "f" } }, list: ["1", "2"], plain: "x y" },
          name: "eve",
        });
      });

      it("sees the query nested also where the application parses queries otherwise", async () => {
        const options: TokenSocketServerOptions = { authentication: async (req) => ({ query: req.query }) };
        const prepare: ApplicationOptions["prepare"] = (app) => app.set("query parser", false);
        expect(await authFor({ options, prepare }, "?a[b]=c")).to.deep.equal({ query: { a: { b: "c" } } });
      });

      for (const parser of ["simple", "extended", false, () => null]) {
        it(`sees an empty query where there is none, and the application's parser is ${parser}`, async () => {
          const options: TokenSocketServerOptions = {
            authentication: async (req) => ({ project: typeof req.query.project, query: { ...req.query } }),
          };
          const prepare: ApplicationOptions["prepare"] = (app) => app.set("query parser", parser);
          expect(await authFor({ options, prepare })).to.deep.equal({ project: "undefined", query: {} });
        });
      }

      for (const [what, value] of Object.entries({
        null: null,
        false: false,
        0: 0,
        "an empty string": "",
        nothing: undefined,
      })) {
        it(`refuses when a callback gets ${what}`, async () => {
          await withAuthentication((_req, callback) => callback(null, value));
          expect(await ask()).to.include({ status: 403, text: '{"error":"Forbidden"}' });
        });
        it(`refuses when an async function gives ${what}`, async () => {
          await withAuthentication(async (_req) => value);
          expect((await ask()).status).to.equal(403);
        });
      }

      it("answers 500 with the message of an error given to the callback", async () => {
        await withAuthentication((_req, callback) => callback(new Error("the directory is away")));
        expect(await ask()).to.include({ status: 500, text: '{"error":"the directory is away"}' });
        expect(application.errors).to.deep.equal([]);
      });

      it("answers 500 with a string given to the callback as error", async () => {
        await withAuthentication((_req, callback) => callback("no luck"));
        expect(await ask()).to.include({ status: 500, text: '{"error":"no luck"}' });
      });

      const failures: Record<string, TokenSocketServerOptions["authentication"]> = {
        throws: (_req) => {
          throw new Error("secret detail");
        },
        rejects: async (_req) => {
          throw new Error("secret detail");
        },
        "throws beside its callback": (_req, _callback) => {
          throw new Error("secret detail");
        },
        "rejects beside its callback": async (_req, _callback) => {
          throw new Error("secret detail");
        },
      };
      for (const [what, authentication] of Object.entries(failures)) {
        it(`answers 500 "Internal error" when it ${what}, and reports the rest`, async () => {
          await withAuthentication(authentication);
          expect(await ask()).to.include({ status: 500, text: '{"error":"Internal error"}' });
          expect(application.errors.map(({ message }) => message)).to.deep.equal(["secret detail"]);
        });
      }

      it("answers 500 with the message of an RpcError that is thrown", async () => {
        await withAuthentication(async (_req) => {
          throw new RpcError("come back tomorrow", { code: "E_CLOSED" });
        });
        expect(await ask()).to.include({ status: 500, text: '{"error":"come back tomorrow"}' });
      });

      it("counts the first answer and reports the second", async () => {
        await withAuthentication((_req, callback) => {
          callback(null, { id: 1 });
          callback(null, null);
        });
        expect((await ask()).status).to.equal(200);
        expect(application.errors).to.have.length(1);
      });

      it("answers 500 for an identity that is no JSON, and goes on", async () => {
        const cycle: Record<string, unknown> = {};
        cycle.self = cycle;
        let auth: unknown = cycle;
        await withAuthentication(async (_req) => auth);
        expect(await ask()).to.include({ status: 500, text: '{"error":"Internal error"}' });
        auth = { n: 1n };
        expect((await ask()).status).to.equal(500);
        auth = { fine: true };
        expect((await ask()).status).to.equal(200);
      });

      it("can be replaced at any time", async () => {
        await withAuthentication(async () => null);
        expect((await ask()).status).to.equal(403);
        application.tokenServer.authentication = async () => ({ id: 1 });
        expect((await ask()).status).to.equal(200);
        expect(() => {
          application.tokenServer.authentication = 5 as unknown as string;
        }).to.throw(TypeError, "options.authentication");
      });
    });

    it("refuses where a function answers true and there is no session, and hints at it in the log", async () => {
      await start({ options: { authentication: async () => true }, prepare: takeSessionAway });
      expect((await ask()).status).to.equal(403);
      expect(application.log.join("\n")).to.contain("session middleware");
    });

    describe("by POST", () => {
      const post = (body: string, query = "", type = "application/json") =>
        fetch(`${application.url}/socket/token${query}`, {
          method: "POST",
          headers: { "content-type": type },
          body,
        });

      it("reads the data from a JSON body, before middleware and authentication", async () => {
        const seen: unknown[] = [];
        await start({
          options: {
            customMiddleware: (req, _res, next) => {
              seen.push(req.body);
              next();
            },
            authentication: async (req) => ({ body: req.body, query: req.query }),
          },
        });
        const answer = await post('{"a":{"b":[1]}}', "?callback=cb&x[y]=1");
        expect(answer.status).to.equal(200);
        expect(answer.headers.get("cache-control")).to.equal("no-store");
        const { token } = (await answer.json()) as { token: string };
        const client = await application.open();
        await client.request({ rpc: "auth", token });
        expect(application.socket().auth).to.deep.equal({
          body: { a: { b: [1] } },
          query: { callback: "cb", x: { y: "1" } },
        });
        expect(seen).to.deep.equal([{ a: { b: [1] } }]);
      });

      it("goes on with the body where the application has read it already", async () => {
        await start({
          prepare: (app) => app.use(expressJson()),
          options: { authentication: async (req) => req.body },
        });
        expect((await post('{"id":1}')).status).to.equal(200);
      });

      for (const [how, parse] of [
        ["text", expressText({ type: "*/*" })],
        ["bytes", expressRaw({ type: "*/*" })],
      ] as const) {
        it(`reads a body that the application has read as ${how}`, async () => {
          const options = { authentication: async (req: Request) => req.body };
          await start({ prepare: (app) => app.use(parse), options });
          const answer = await post('{"name":"alice"}');
          const { token } = (await answer.json()) as { token: string };
          await (await application.open()).request({ rpc: "auth", token });
          expect(application.socket().auth).to.deep.equal({ name: "alice" });
          expect((await post("{")).status).to.equal(400);
        });
      }

      for (const [what, body, status] of [
        ["is no JSON", "{", 400],
        ["is too large", JSON.stringify("x".repeat(70_000)), 413],
      ] as const) {
        it(`refuses a body that ${what}`, async () => {
          await start();
          const answer = await post(body);
          expect(answer.status).to.equal(status);
          expect(await answer.json()).to.deep.equal({ error: "Invalid request" });
        });
      }

      it("refuses a body in a charset that nobody reads", async () => {
        await start();
        const answer = await post('{"id":1}', "", "application/json; charset=x-unknown");
        expect(answer.status).to.equal(415);
        expect(await answer.json()).to.deep.equal({ error: "Invalid request" });
      });

      it("leaves a body of another type to the application, which may read it later", async () => {
        const seen: string[] = [];
        const customMiddleware: TokenSocketServerOptions["customMiddleware"] = async (req, _res, next) => {
          await reported();
          seen.push(await text(req));
          next();
        };
        await start({ options: { customMiddleware } });
        expect((await post("a=1", "", "text/plain")).status).to.equal(200);
        expect(seen).to.deep.equal(["a=1"]);
      });

      it("takes a body of another type for none", async () => {
        await start({ options: { authentication: async (req) => ({ body: req.body ?? null }) } });
        expect((await post('{"id":1}', "", "text/plain")).status).to.equal(200);
      });
    });

    it("makes tokens for GET and POST alone", async () => {
      await start();
      for (const method of ["HEAD", "PUT", "DELETE"]) {
        expect((await fetch(`${application.url}/socket/token`, { method })).status).to.equal(404);
      }
    });

    describe("with middleware of the application's", () => {
      it("runs one before its own handler", async () => {
        const options: TokenSocketServerOptions = {
          customMiddleware: (req, _res, next) => {
            Object.assign(req.session, { auth: { from: req.query } });
            next();
          },
        };
        expect(await authFor({ session: null, options }, "?a[b]=c")).to.deep.equal({
          from: { a: { b: "c" } },
        });
      });

      it("runs one that puts another query in its place, by whatever means", async () => {
        const customMiddleware: TokenSocketServerOptions["customMiddleware"] = (req, _res, next) => {
          expect(Object.keys(req)).to.include("query");
          req.query = { by: "assignment" };
          const query = { ...req.query, and: "definition" };
          Object.defineProperty(req, "query", { get: () => query });
          next();
        };
        const options = { customMiddleware, authentication: async (req: Request) => ({ query: req.query }) };
        expect(await authFor({ options })).to.deep.equal({ query: { by: "assignment", and: "definition" } });
      });

      it("leaves requests to the application's own rules that are in one when the server is shut down", async () => {
        const customMiddleware: TokenSocketServerOptions["customMiddleware"] = async (_req, _res, next) => {
          await application.tokenServer.shutdown();
          next();
        };
        await start({ options: { customMiddleware } });
        application.app.use((_req, res) => {
          res.status(404).send("nothing here");
        });
        expect(await ask()).to.include({ status: 404, text: "nothing here" });
      });

      it("runs an array in order, and a response ends it", async () => {
        const seen: number[] = [];
        await start({
          options: {
            customMiddleware: [
              (_req, _res, next) => {
                seen.push(1);
                next();
              },
              (_req, res) => {
                seen.push(2);
                res.status(429).json({ error: "slow down" });
              },
            ],
          },
        });
        expect(await ask()).to.include({ status: 429, text: '{"error":"slow down"}' });
        expect(seen).to.deep.equal([1, 2]);
      });
    });

    it("stores what the request said of host and address, trusting the proxies that the application trusts", async () => {
      await start({ prepare: (app) => app.set("trust proxy", true) });
      const answer = await ask("", {
        "x-forwarded-for": "1.2.3.4, 10.0.0.1",
        "x-forwarded-host": "example.com:8443",
      });
      const client = await application.open();
      await client.request({ rpc: "auth", token: answer.body.token });
      const { host, ip, ips } = application.socket();
      expect({ host, ip, ips }).to.deep.equal({
        host: "example.com:8443",
        ip: "1.2.3.4",
        ips: ["1.2.3.4", "10.0.0.1"],
      });
    });

    it("does not trust a proxy by itself", async () => {
      await start();
      const answer = await ask("", { "x-forwarded-for": "1.2.3.4", "x-forwarded-host": "evil.example" });
      const client = await application.open();
      await client.request({ rpc: "auth", token: answer.body.token });
      const { host, ip, ips } = application.socket();
      expect({ host, ip, ips }).to.deep.equal({
        host: new URL(application.url).host,
        ip: "127.0.0.1",
        ips: [],
      });
    });

    it("answers 503 with Retry-After when Redis refuses, and the socket that comes with a token closes", async () => {
      const store = memoryRedis();
      await start({ redisClient: store, pubsubClient: store });
      const token = await application.token();
      const broken = await Application.start({
        redisClient: failingRedis(),
        pubsubClient: null,
      });
      try {
        const answer = await get(`${broken.url}/socket/token`);
        expect(answer.status).to.equal(503);
        expect(JSON.parse(answer.text)).to.deep.equal({ error: "Service unavailable" });
        expect(answer.headers["retry-after"]).to.equal("5");
        const client = await broken.open();
        client.send({ rpc: "auth", token, uuid: 1 });
        expect((await client.closed).code).to.equal(4503);
        expect(client.frames).to.deep.equal([]);
        // of the trial at the start, of the token that was asked for, and of the one that was presented
        expect(broken.errors).to.have.length(3);
        expect(JSON.stringify([broken.log, broken.errors.map((error) => error.stack)])).to.not.contain(token);
      } finally {
        await broken.stop();
      }
    });

    it("answers 503 when Redis does not answer in time, and the socket that comes with a token closes", async () => {
      await start({
        redisClient: silentRedis(),
        pubsubClient: null,
        options: { limits: { redisTimeout: 20 } },
      });
      const answer = await ask();
      expect(answer).to.include({ status: 503, text: '{"error":"Service unavailable"}' });
      const client = await application.open();
      client.send({ rpc: "auth", token: randomUUID(), uuid: 1 });
      expect((await client.closed).code).to.equal(4503);
      expect(client.frames).to.deep.equal([]);
    }).timeout(3_000);

    it("answers 429 with Retry-After to a session that has too many tokens, until one is redeemed", async () => {
      await start({ options: { limits: { tokensPerSession: 3 } }, prepare: oneSession });
      const tokens = [await application.token(), await application.token(), await application.token()];
      const refused = await ask();
      expect([refused.status, JSON.parse(refused.text)]).to.deep.equal([429, { error: "Too many tokens" }]);
      expect(refused.headers["retry-after"]).to.equal("5");
      const client = await application.open();
      await client.request({ rpc: "auth", token: tokens[0] });
      expect((await ask()).status).to.equal(200);
      expect((await ask()).status).to.equal(429);
    });

    it("counts the tokens of an IP together, and those of requests that are under way", async () => {
      const waiting: (() => void)[] = [];
      await start({
        options: {
          limits: { tokensPerIp: 2 },
          authentication: (_req, callback) => {
            waiting.push(() => callback(null, { name: "alice" }));
          },
        },
        prepare: (app) => app.set("trust proxy", 1),
      });
      const from = (ip: string) => ask("", { "x-forwarded-for": ip });
      const asked = [from("2001:db8::1"), from("2001:db8::2"), from("2001:db8::3")];
      expect((await Promise.race(asked)).status).to.equal(429);
      asked.push(from("2001:db8:0:1::1"));
      await until(() => waiting.length === 3);
      for (const answer of waiting) answer();
      const statuses = (await Promise.all(asked)).map(({ status }) => status);
      expect(statuses.sort()).to.deep.equal([200, 200, 200, 429]);
    });

    it("counts no tokens for sessions whose ids are no texts, which nobody can tell apart", async () => {
      const prepare = (app: Express) =>
        app.use((req, _res, next) => {
          Object.defineProperty(req, "sessionID", { value: 7 });
          next();
        });
      await start({ options: { limits: { tokensPerSession: 1 } }, prepare });
      for (let i = 0; i < 2; i++) expect((await ask()).status).to.equal(200);
    });

    it("does not count requests that have got no token", async () => {
      await start({ session: null, options: { limits: { tokensPerIp: 1, tokensPerSession: 1 } } });
      for (let i = 0; i < 3; i++) expect((await ask()).status).to.equal(403);
    });

    it("answers 500 where the session cannot be read, and counts no token for it", async () => {
      let isBroken = true;
      const prepare = (app: Express) => {
        app.use((req, _res, next) => {
          Object.defineProperty(req.session, "auth", {
            get: () => {
              if (isBroken) throw new Error("secret");
              return { name: "alice" };
            },
          });
          next();
        });
      };
      await start({ session: null, prepare, options: { limits: { tokensPerIp: 1 } } });
      expect(await ask()).to.include({ status: 500, text: '{"error":"Internal error"}' });
      await reported();
      expect(application.errors.map(({ message }) => message)).to.deep.equal(["secret"]);
      isBroken = false;
      expect((await ask()).status).to.equal(200);
      expect((await ask()).status).to.equal(429);
    });

    it("answers 408 to a body that does not come in time, and ends its connection", async () => {
      await start({ options: { limits: { bodyTimeout: 50 } } });
      const head = [
        "POST /socket/token HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        "Content-Length: 100",
      ];
      const socket = await application.dial(`${head.join("\r\n")}\r\n\r\n{`);
      const answer = await text(socket);
      expect(answer).to.match(/^HTTP\/1\.1 408 /);
      expect(answer).to.contain('{"error":"Body too slow"}');
      expect(application.errors).to.deep.equal([]);
    }).timeout(10_000);

    it("is gone after shutdown, and the application's own rules answer", async () => {
      await start({ options: { customMiddleware: (_req, res) => res.status(418).end() } });
      application.app.use((_req, res) => {
        res.status(404).send("nothing here");
      });
      expect((await ask()).status).to.equal(418);
      void application.tokenServer.shutdown();
      expect(await ask()).to.include({ status: 404, text: "nothing here" });
      const options = await fetch(`${application.url}/socket/token`, { method: "OPTIONS" });
      expect(options.status).to.equal(404);
      const router = version === 4 ? "_router" : "router";
      const { stack } =
        (application.app as unknown as Record<string, { stack: { route?: object }[] }>)[router] ?? {};
      expect(stack?.filter(({ route }) => route)).to.deep.equal([]);
    });

    it("logs neither tokens nor session contents", async () => {
      await start({ session: { auth: { secret: "s3cret" } }, options: { debug: true } });
      const token = await application.token("?password=hunter2");
      const client = await application.open();
      await client.request({ rpc: "auth", token });
      await client.end();
      const log = application.log.join("\n");
      expect(log).to.contain("has authenticated");
      for (const secret of [token, "s3cret", "hunter2"]) expect(log).to.not.contain(secret);
    });
  });
}

/** A client of node-redis's shape whose commands Redis refuses, quoting their arguments as Redis does. */
function failingRedis(): NonNullable<ApplicationOptions["redisClient"]> {
  const refuse = (key: string) =>
    Promise.reject(new Error(`ERR unknown command, with args beginning with: '${key}'`));
  const client = Object.assign(new EventEmitter(), {
    isOpen: true,
    isReady: true,
    getDel: refuse,
    set: refuse,
  });
  const lists = { rPush: refuse, lTrim: refuse, lRem: refuse, pExpire: refuse, lRange: refuse };
  return Object.assign(client, {
    ...lists,
    ping: () => refuse("PING"),
    publish: refuse,
    subscribe: refuse,
    unsubscribe: refuse,
  });
}

/** A client of node-redis's shape that keeps all commands for later. */
function silentRedis(): NonNullable<ApplicationOptions["redisClient"]> {
  const keep = () => new Promise<never>(() => {});
  const client = Object.assign(new EventEmitter(), { isOpen: true, isReady: true, getDel: keep, set: keep });
  const lists = { rPush: keep, lTrim: keep, lRem: keep, pExpire: keep, lRange: keep };
  return Object.assign(client, { ...lists, ping: keep, publish: keep, subscribe: keep, unsubscribe: keep });
}
