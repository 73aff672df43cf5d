import { once } from "node:events";
import { createReadStream, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, pipeline, Readable } from "node:stream";
import { setFlagsFromString } from "node:v8";
import { expect } from "chai";
import express5, { type Express, type NextFunction, type Request, type Response } from "express";
import expressSession from "express-session";
import { useFakeTimers } from "sinon";
import { DEFAULT_LIMITS } from "../../lib/server/limits/limits.js";
import { ExpressRoutes, type Route, type RunningRoute } from "../../lib/server/routes/express-routes.js";
import type { Socket } from "../../lib/server/transport/socket.js";
import { type Outcome, RpcError } from "../../lib/shared/errors.js";
import { NOT_FOUND } from "../../lib/shared/refusals.js";

const express4 = createRequire(import.meta.url)("express4") as typeof express5;

const PATH = "notes.list";
const PNG = Buffer.from("89504e470d0a1a0aff00fe", "hex");

interface Auth {
  id: number;
}

const auth: Auth = { id: 7 };

function makeSocket(headers: Record<string, string> = {}): Socket<Auth> {
  const socket = {
    id: "1",
    sid: "5f0c6f0e-2f4e-4f5d-9d25-8a8a53c1a6a1",
    remoteAddress: "10.0.0.1",
    remotePort: 4711,
    headers: {
      host: "inner:8080",
      "user-agent": "test agent",
      referer: "https://api.eu.example.com/page",
      "accept-language": "de, en;q=0.5",
      ...headers,
    },
    auth,
    host: "api.eu.example.com:3000",
    ip: "192.0.2.9",
    ips: ["192.0.2.9", "10.0.0.2"],
  };
  return socket as unknown as Socket<Auth>;
}

/** Whether two objects have the same hidden class in V8. */
function haveSameShape(one: object | undefined, other: object | undefined): boolean {
  setFlagsFromString("--allow-natives-syntax");
  try {
    return new Function("one", "other", "return %HaveSameMap(one, other)")(one, other);
  } finally {
    setFlagsFromString("--no-allow-natives-syntax");
  }
}

function deferred<T>() {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((fulfil) => {
    resolve = fulfil;
  });
  return { promise, resolve };
}

interface Call {
  readonly running: RunningRoute;
  readonly outcome: Promise<Outcome>;
  /** Everything that was settled, in order. */
  readonly outcomes: Outcome[];
  readonly late: unknown[];
  /** The next error that is late. */
  nextLate(): Promise<unknown>;
}

interface CallOptions {
  data?: unknown;
  path?: string;
  socket?: Socket<Auth>;
  maxResponseBytes?: number;
}

function start(app: Express, route: Route, options: CallOptions = {}): Call {
  const {
    path = PATH,
    socket = makeSocket(),
    maxResponseBytes = DEFAULT_LIMITS.routeResponseBytes,
  } = options;
  const data = "data" in options ? options.data : { page: "2" };
  const routes = new ExpressRoutes<Auth>(app, maxResponseBytes);
  const outcomes: Outcome[] = [];
  const late: unknown[] = [];
  const waiting: ((error: unknown) => void)[] = [];
  const settled = deferred<Outcome>();
  const running = routes.call(
    route,
    { path, data, socket, auth },
    (outcome) => {
      outcomes.push(outcome);
      settled.resolve(outcome);
    },
    (error) => {
      late.push(error);
      waiting.shift()?.(error);
    },
  );
  const nextLate = () => new Promise<unknown>((resolve) => waiting.push(resolve));
  return { running, outcome: settled.promise, outcomes, late, nextLate };
}

function outcomeOf(app: Express, route: Route, options?: CallOptions): Promise<Outcome> {
  return start(app, route, options).outcome;
}

async function resultOf(app: Express, route: Route, options?: CallOptions): Promise<unknown> {
  const outcome = await outcomeOf(app, route, options);
  if (outcome.status !== "result") throw new Error(`an ${outcome.status}`, { cause: outcome.error });
  return outcome.value;
}

async function errorOf(app: Express, route: Route, options?: CallOptions): Promise<unknown> {
  const outcome = await outcomeOf(app, route, options);
  expect(outcome.status).to.equal("error");
  return outcome.status === "error" ? outcome.error : undefined;
}

async function failureOf(app: Express, route: Route, options?: CallOptions): Promise<Error> {
  const outcome = await outcomeOf(app, route, options);
  expect(outcome.status).to.equal("failure");
  return (outcome as { error: Error }).error;
}

/** What an expression gives inside a handler. */
async function inside<T>(app: Express, look: (req: Request, res: Response) => T, options?: CallOptions) {
  let seen: T | undefined;
  await resultOf(
    app,
    (req, res) => {
      seen = look(req, res);
      res.json(null);
    },
    options,
  );
  return seen as T;
}

interface Seen {
  status: number;
  headers: Record<string, unknown>;
}

function watch(seen: Seen) {
  return (_req: Request, res: Response, next: NextFunction) => {
    res.on("finish", () => {
      const { "x-powered-by": _, ...headers } = res.getHeaders();
      Object.assign(seen, { status: res.statusCode, headers });
    });
    next();
  };
}

/** Runs a handler over HTTP and over the socket, and asserts that both give the same. Returns what it was. */
async function parity(
  app: Express,
  handler: (req: Request, res: Response, next: NextFunction) => unknown,
): Promise<Seen & { body: unknown }> {
  const overHttp: Seen = { status: 0, headers: {} };
  app.post("/notes/list", express5.json(), watch(overHttp), handler);
  const server = createServer(app).listen(0);
  await once(server, "listening");
  const reply = await fetch(`http://localhost:${(server.address() as AddressInfo).port}/notes/list`, {
    method: "POST",
    body: '{"page":"2"}',
    headers: { "content-type": "application/json" },
    redirect: "manual",
  });
  const bytes = Buffer.from(await reply.arrayBuffer());
  server.close();
  server.closeAllConnections();
  await once(server, "close");

  const overSocket: Seen = { status: 0, headers: {} };
  let finished: Promise<unknown> | undefined;
  const keepFinish = (_req: Request, res: Response, next: NextFunction) => {
    finished = once(res, "finish");
    next();
  };
  const outcome = await outcomeOf(app, [watch(overSocket), keepFinish, handler]);
  await finished;
  expect(overSocket).to.deep.equal(overHttp);

  const type = reply.headers.get("content-type") ?? "";
  const body = /json/.test(type)
    ? JSON.parse(bytes.toString())
    : /^text|javascript/.test(type) || type === ""
      ? bytes.toString()
      : bytes.toString("base64");
  const isObject = typeof body === "object" && body !== null && !Array.isArray(body);
  if (overHttp.status < 300) {
    const expected = isObject ? { ...body, _headers: overHttp.headers, _code: overHttp.status } : body;
    expect(outcome).to.deep.equal({ status: "result", value: expected === "" ? null : expected });
  } else {
    expect(outcome.status).to.equal("error");
  }
  return { ...overHttp, body };
}

interface Context {
  app: Express;
  version: 4 | 5;
  /** A folder with `hello.txt`, `pixel.png` and `view.tpl`. */
  folder: string;
}

/** A test for each row of the tables of members in docs/express-api.md. */
const members: Record<string, (context: Context) => Promise<void>> = {
  "req.app": async ({ app }) => {
    expect(await inside(app, (req) => req.app)).to.equal(app);
  },
  "req.baseUrl": async ({ app, version }) => {
    expect(await inside(app, (req) => req.baseUrl)).to.equal("");
    const router = (version === 5 ? express5 : express4).Router();
    const mounted = (version === 5 ? express5 : express4).Router();
    mounted.post("/list", (req, res) => res.json(req.baseUrl));
    router.use("/notes", mounted);
    expect(await resultOf(app, router)).to.equal("/notes");
  },
  "req.body": async ({ app }) => {
    for (const data of [{ a: { b: [1] } }, "text", 5, 0, false, true, null, [1, { a: 2 }], {}]) {
      expect(await inside(app, (req) => req.body, { data })).to.deep.equal(data);
    }
  },
  "req.cookies": async ({ app }) => {
    expect(await inside(app, (req) => req.cookies)).to.deep.equal({});
  },
  "req.fresh": async ({ app }) => {
    expect(await inside(app, (req, res) => [req.fresh, res.set("ETag", '"1"').req.fresh])).to.deep.equal([
      false,
      false,
    ]);
  },
  "req.host": async ({ app, version }) => {
    process.once("deprecation" as never, () => undefined);
    expect(await inside(app, (req) => req.host)).to.equal(
      version === 5 ? "api.eu.example.com:3000" : "api.eu.example.com",
    );
    process.removeAllListeners("deprecation");
  },
  "req.hostname": async ({ app }) => {
    expect(await inside(app, (req) => req.hostname)).to.equal("api.eu.example.com");
  },
  "req.ip": async ({ app }) => {
    app.set("trust proxy", true);
    expect(await inside(app, (req) => req.ip)).to.equal("192.0.2.9");
  },
  "req.ips": async ({ app }) => {
    expect(await inside(app, (req) => req.ips)).to.deep.equal(["192.0.2.9", "10.0.0.2"]);
  },
  "req.method": async ({ app }) => {
    expect(await inside(app, (req) => req.method)).to.equal("POST");
  },
  "req.originalUrl": async ({ app }) => {
    expect(await inside(app, (req) => req.originalUrl)).to.equal("/notes/list");
  },
  "req.params": async ({ app }) => {
    expect(await inside(app, (req) => req.params)).to.deep.equal({ page: "2" });
    expect(await inside(app, (req) => req.params, { data: [1] })).to.deep.equal({});
  },
  "req.path": async ({ app }) => {
    expect(await inside(app, (req) => req.path)).to.equal("/notes/list");
  },
  "req.protocol": async ({ app }) => {
    expect(await inside(app, (req) => req.protocol)).to.equal("ws");
  },
  "req.query": async ({ app }) => {
    expect(await inside(app, (req) => req.query)).to.deep.equal({ page: "2" });
    expect(await inside(app, (req) => req.query, { data: "text" })).to.deep.equal({});
  },
  "req.res": async ({ app }) => {
    expect(await inside(app, (req, res) => req.res === res)).to.equal(true);
  },
  "req.route": async ({ app }) => {
    let route: { path: string; methods: object; stack: { handle: unknown; name: string }[] } | undefined;
    const first = (req: Request, _res: Response, next: NextFunction) => {
      route = req.route;
      next();
    };
    const second = (_req: Request, res: Response) => res.json(null);
    await resultOf(app, [first, second]);
    expect(route?.path).to.equal("/notes/list");
    expect(route?.methods).to.deep.equal({ post: true });
    expect(route?.stack.map(({ handle }) => handle)).to.deep.equal([first, second]);
  },
  "req.secure": async ({ app }) => {
    expect(await inside(app, (req) => req.secure)).to.equal(false);
  },
  "req.signedCookies": async ({ app }) => {
    expect(await inside(app, (req) => req.signedCookies)).to.deep.equal({});
  },
  "req.stale": async ({ app }) => {
    expect(await inside(app, (req) => req.stale)).to.equal(true);
  },
  "req.subdomains": async ({ app }) => {
    expect(await inside(app, (req) => req.subdomains)).to.deep.equal(["eu", "api"]);
    app.set("subdomain offset", 3);
    expect(await inside(app, (req) => req.subdomains)).to.deep.equal(["api"]);
  },
  "req.xhr": async ({ app }) => {
    expect(await inside(app, (req) => req.xhr)).to.equal(false);
  },
  "req.accepts()": async ({ app }) => {
    expect(await inside(app, (req) => req.accepts("html", "json"))).to.equal("html");
    expect(await inside(app, (req) => req.accepts(["image/png"]))).to.equal("image/png");
  },
  "req.acceptsCharsets()": async ({ app }) => {
    expect(await inside(app, (req) => req.acceptsCharsets("utf-8", "latin1"))).to.equal("utf-8");
  },
  "req.acceptsEncodings()": async ({ app }) => {
    expect(await inside(app, (req) => req.acceptsEncodings("gzip"))).to.equal(false);
    expect(await inside(app, (req) => req.acceptsEncodings("gzip", "identity"))).to.equal("identity");
  },
  "req.acceptsLanguages()": async ({ app }) => {
    expect(await inside(app, (req) => req.acceptsLanguages("en", "de"))).to.equal("de");
    expect(await inside(app, (req) => req.acceptsLanguages("fr"))).to.equal(false);
  },
  "req.get()": async ({ app }) => {
    const names = ["User-Agent", "Referrer", "Accept-Language", "Host", "Content-Type", "Cookie"];
    expect(await inside(app, (req) => names.map((name) => req.get(name)))).to.deep.equal([
      "test agent",
      "https://api.eu.example.com/page",
      "de, en;q=0.5",
      "api.eu.example.com:3000",
      "application/json",
      undefined,
    ]);
  },
  "req.header()": async ({ app }) => {
    expect(await inside(app, (req) => req.header("user-agent"))).to.equal("test agent");
  },
  "req.is()": async ({ app }) => {
    expect(await inside(app, (req) => req.is("json"))).to.equal("json");
    expect(await inside(app, (req) => req.is(["html", "application/*"]))).to.equal("application/json");
    expect(await inside(app, (req) => req.is("html"))).to.equal(false);
  },
  "req.range()": async ({ app }) => {
    expect(await inside(app, (req) => req.range(1000))).to.equal(undefined);
  },

  "res.app": async ({ app }) => {
    expect(await inside(app, (_req, res) => res.app)).to.equal(app);
  },
  "res.headersSent": async ({ app }) => {
    let after: boolean | undefined;
    const before = await resultOf(app, (_req, res) => {
      res.json(res.headersSent);
      after = res.headersSent;
    });
    expect([before, after]).to.deep.equal([false, true]);
  },
  "res.locals": async ({ app }) => {
    const count = (_req: Request, res: Response) => {
      res.locals.count = (res.locals.count ?? 0) + 1;
      return res.locals.count;
    };
    expect(await inside(app, count)).to.equal(1);
    expect(await inside(app, count)).to.equal(1);
  },
  "res.req": async ({ app }) => {
    expect(await inside(app, (req, res) => res.req === req)).to.equal(true);
  },
  "res.append()": async ({ app }) => {
    const { headers } = await parity(app, (_req, res) => {
      res.append("Warning", "199 one").append("Warning", "199 two").append("Link", ["<a>", "<b>"]).json({});
    });
    expect(headers).to.include.deep.keys("warning", "link");
    expect(headers.warning).to.deep.equal(["199 one", "199 two"]);
  },
  "res.attachment()": async ({ app }) => {
    const { headers } = await parity(app, (_req, res) => {
      res.attachment("picture.png").send(PNG);
    });
    expect(headers["content-disposition"]).to.match(/^attachment; filename="?picture\.png"?$/);
  },
  "res.clearCookie()": async ({ app }) => {
    const { headers } = await parity(app, (_req, res) => {
      res.clearCookie("theme").json({});
    });
    expect(headers["set-cookie"]).to.match(/^theme=; Path=\/; Expires=Thu, 01 Jan 1970/);
  },
  "res.contentType()": async ({ app }) => {
    const { headers } = await parity(app, (_req, res) => {
      res.contentType("txt").send("text");
    });
    expect(headers["content-type"]).to.equal("text/plain; charset=utf-8");
  },
  "res.cookie()": async ({ app }) => {
    const { headers } = await parity(app, (_req, res) => {
      res.cookie("theme", "dark", { httpOnly: true }).cookie("list", { a: 1 }).json({});
    });
    expect(headers["set-cookie"]).to.deep.equal([
      "theme=dark; Path=/; HttpOnly",
      "list=j%3A%7B%22a%22%3A1%7D; Path=/",
    ]);
    const withSecret = (req: Request, _res: Response, next: NextFunction) => {
      Object.assign(req, { secret: "secret" });
      next();
    };
    const sign = (_req: Request, res: Response) => {
      res.cookie("theme", "dark", { signed: true }).json({});
    };
    const signed = (await resultOf(app, [withSecret, sign])) as { _headers: Record<string, string> };
    expect(signed._headers["set-cookie"]).to.match(/^theme=s%3Adark\./);
    expect((await failureOf(app, sign)).message).to.equal(
      'cookieParser("secret") required for signed cookies',
    );
  },
  "res.download()": async ({ app, folder }) => {
    const { headers, body } = await parity(app, (_req, res) => {
      res.download(join(folder, "pixel.png"), "mine.png");
    });
    expect(headers["content-disposition"]).to.match(/^attachment; filename="?mine\.png"?$/);
    expect(body).to.equal(PNG.toString("base64"));
    expect(await errorOf(app, (_req, res) => res.download(join(folder, "none.png")))).to.deep.equal({
      message: "Not Found",
      _code: 404,
    });
  },
  "res.end()": async ({ app }) => {
    expect((await parity(app, (_req, res) => res.end("text"))).body).to.equal("text");
    expect(await resultOf(app, (_req, res) => res.end())).to.equal(null);
    expect(await resultOf(app, (_req, res) => res.end(PNG))).to.equal(PNG.toString("base64"));
    expect(await resultOf(app, (_req, res) => res.end("c3RyaW5n", "base64"))).to.equal("c3RyaW5n");
    const told = deferred<string[]>();
    await resultOf(app, (_req, res) => {
      const events: string[] = [];
      res.on("finish", () => events.push("finish"));
      res.write("first", () => events.push("written"));
      res.end("last", () => {
        events.push("ended");
        setImmediate(() => told.resolve(events));
      });
      events.push("returned");
    });
    const events = await told.promise;
    // which of the last two is first depends on the version of Node.js
    expect(events.slice(0, 2)).to.deep.equal(["returned", "written"]);
    expect(events.slice(2)).to.have.members(["finish", "ended"]);
  },
  "res.format()": async ({ app }) => {
    const { body, headers } = await parity(app, (_req, res) => {
      res.format({ json: () => res.json({ a: 1 }), html: () => res.send("<p>") });
    });
    expect(body).to.deep.equal({ a: 1 });
    expect(headers.vary).to.equal("Accept");
    expect(await resultOf(app, (_req, res) => res.format({ default: () => res.json("other") }))).to.equal(
      "other",
    );
    expect(await errorOf(app, (_req, res) => res.format({}))).to.deep.equal({
      message: "Not Acceptable",
      _code: 406,
    });
  },
  "res.get()": async ({ app }) => {
    expect(await inside(app, (_req, res) => res.set("X-One", "1").get("x-one"))).to.equal("1");
  },
  "res.header()": async ({ app }) => {
    expect((await parity(app, (_req, res) => res.header("X-One", "1").json({}))).headers["x-one"]).to.equal(
      "1",
    );
  },
  "res.json()": async ({ app }) => {
    const values = [
      { a: { b: [null] } },
      {},
      [],
      [1, { a: 2 }],
      "text",
      "",
      "5",
      5,
      0,
      -1.5,
      true,
      false,
      null,
    ];
    for (const value of values) {
      const result = await resultOf(app, (_req, res) => res.json(value));
      if (typeof value === "object" && value !== null && !Array.isArray(value)) {
        expect(result).to.deep.include({ ...value, _code: 200 });
      } else {
        expect(result).to.deep.equal(value);
      }
    }
    app.set("json spaces", 2);
    app.set("json escape", true);
    expect((await parity(app, (_req, res) => res.json({ text: "<a & b>" }))).body).to.deep.equal({
      text: "<a & b>",
    });
  },
  "res.jsonp()": async ({ app }) => {
    const data = { callback: "steal" };
    expect(await resultOf(app, (_req, res) => res.jsonp([1, "<"]), { data })).to.deep.equal([1, "<"]);
    expect(await resultOf(app, (_req, res) => res.jsonp({ a: 1 }), { data })).to.deep.include({ a: 1 });
  },
  "res.links()": async ({ app }) => {
    const { headers } = await parity(app, (_req, res) => res.links({ next: "/2", last: "/5" }).json({}));
    expect(headers.link).to.equal('</2>; rel="next", </5>; rel="last"');
  },
  "res.location()": async ({ app }) => {
    const { headers } = await parity(app, (_req, res) => res.status(201).location("/new one").json({}));
    expect(headers.location).to.equal("/new%20one");
  },
  "res.redirect()": async ({ app }) => {
    const { status, headers } = await parity(app, (_req, res) => res.redirect("/login"));
    expect([status, headers.location]).to.deep.equal([302, "/login"]);
    expect(await errorOf(app, (_req, res) => res.redirect("/login"))).to.deep.equal({
      message: "Found. Redirecting to /login",
      _code: 302,
    });
    expect(await errorOf(app, (_req, res) => res.redirect(301, "/new"))).to.deep.equal({
      message: "Moved Permanently. Redirecting to /new",
      _code: 301,
    });
  },
  "res.render()": async ({ app, folder }) => {
    app.engine("tpl", (path, options, done) => {
      done(null, readFileSync(path, "utf8").replace("NAME", (options as { name: string }).name));
    });
    app.set("views", folder);
    const { headers, body } = await parity(app, (_req, res) => res.render("view.tpl", { name: "Ada" }));
    expect(headers["content-type"]).to.equal("text/html; charset=utf-8");
    expect(body).to.equal("Hello Ada");
    const byCallback: Route = (_req, res) => {
      res.render("view.tpl", { name: "Eve" }, (_error, text) => res.json({ text }));
    };
    expect(await resultOf(app, byCallback)).to.deep.include({ text: "Hello Eve" });
    expect((await failureOf(app, (_req, res) => res.render("none.tpl"))).message).to.match(/lookup view/);
  },
  "res.send()": async ({ app }) => {
    expect((await parity(app, (_req, res) => res.send("<p>text ä</p>"))).body).to.equal("<p>text ä</p>");
    expect(await resultOf(app, (_req, res) => res.send(PNG))).to.equal(PNG.toString("base64"));
    expect(await resultOf(app, (_req, res) => res.send({ a: 1 }))).to.deep.include({ a: 1, _code: 200 });
    expect(await resultOf(app, (_req, res) => res.send([1]))).to.deep.equal([1]);
    expect(await resultOf(app, (_req, res) => res.send(true))).to.equal(true);
    expect(await resultOf(app, (_req, res) => res.send(null))).to.equal(null);
    expect(await resultOf(app, (_req, res) => res.send())).to.equal(null);
  },
  "res.sendFile()": async ({ app, folder }) => {
    const { body, headers } = await parity(app, (_req, res) => res.sendFile(join(folder, "hello.txt")));
    expect(body).to.equal("Hello ä\n");
    expect(headers).to.include.keys("last-modified", "etag", "cache-control");
    expect(await resultOf(app, (_req, res) => res.sendFile("pixel.png", { root: folder }))).to.equal(
      PNG.toString("base64"),
    );
    expect(await errorOf(app, (_req, res) => res.sendFile(join(folder, "none.txt")))).to.deep.equal({
      message: "Not Found",
      _code: 404,
    });
    // the callbacks: after the file has gone, and for an error that the handler answers itself
    const sent = deferred<unknown>();
    await resultOf(app, (_req, res) => res.sendFile(join(folder, "hello.txt"), sent.resolve));
    expect(await sent.promise).to.equal(undefined);
    const explained = await errorOf(app, (_req, res) => {
      res.sendFile(join(folder, "none.txt"), () => res.status(404).json({ error: "No such note" }));
    });
    expect(explained).to.equal("No such note");
  },
  "res.sendStatus()": async ({ app }) => {
    expect(await resultOf(app, (_req, res) => res.sendStatus(200))).to.equal("OK");
    expect(await resultOf(app, (_req, res) => res.sendStatus(204))).to.equal(null);
    expect(await errorOf(app, (_req, res) => res.sendStatus(404))).to.deep.equal({
      message: "Not Found",
      _code: 404,
    });
  },
  "res.set()": async ({ app }) => {
    const { headers } = await parity(app, (_req, res) => res.set({ "X-One": "1", "X-Two": "2" }).json({}));
    expect(headers).to.include({ "x-one": "1", "x-two": "2" });
  },
  "res.status()": async ({ app }) => {
    expect(await resultOf(app, (_req, res) => res.status(201).json({}))).to.deep.include({ _code: 201 });
    expect(await errorOf(app, (_req, res) => res.status(400).json({ a: 1 }))).to.deep.include({
      a: 1,
      _code: 400,
    });
  },
  "res.type()": async ({ app }) => {
    expect(await resultOf(app, (_req, res) => res.type("txt").send(Buffer.from("ä")))).to.equal("ä");
    expect(await resultOf(app, (_req, res) => res.type("json").send('{"a":1}'))).to.deep.include({ a: 1 });
    expect(await resultOf(app, (_req, res) => res.type("png").send(PNG))).to.equal(PNG.toString("base64"));
  },
  "res.vary()": async ({ app }) => {
    const { headers } = await parity(app, (_req, res) => res.vary("User-Agent").vary("Origin").json({}));
    expect(headers.vary).to.equal("User-Agent, Origin");
  },

  "req.headers": async ({ app }) => {
    expect(await inside(app, (req) => req.headers)).to.deep.equal({
      host: "api.eu.example.com:3000",
      "user-agent": "test agent",
      referer: "https://api.eu.example.com/page",
      "accept-language": "de, en;q=0.5",
      "content-type": "application/json",
      "transfer-encoding": "chunked",
    });
  },
  "req.on()": async ({ app }) => {
    expect(await inside(app, (req) => [req.complete, req.readable])).to.deep.equal([true, false]);
    const events: string[] = [];
    await resultOf(app, (req, res) => {
      for (const event of ["data", "aborted", "error"]) req.on(event, () => events.push(event));
      req.on("end", () => res.json(null));
    });
    expect(events).to.deep.equal([]);
    let closed: Promise<unknown> | undefined;
    await resultOf(app, (req, res) => {
      closed = once(req, "close");
      res.json(null);
    });
    await closed;
    const read = async (req: Request, res: Response) => {
      const chunks = [];
      for await (const chunk of req) chunks.push(chunk);
      res.json(chunks.length);
    };
    expect(await resultOf(app, read)).to.equal(0);
  },
  "req.setTimeout()": async ({ app }) => {
    expect(await resultOf(app, (req, res) => req.setTimeout(1, () => res.json("late")))).to.equal("late");
  },
  "req.socket": async ({ app }) => {
    const look = (req: Request, res: Response) => {
      req.socket.setNoDelay().setKeepAlive().ref().unref();
      req.socket.write("nowhere");
      return {
        same: req.socket === res.socket,
        address: req.socket.remoteAddress,
        port: req.socket.remotePort,
        encrypted: (req.socket as { encrypted?: boolean }).encrypted,
        own: req.socket.address(),
      };
    };
    expect(await inside(app, look)).to.deep.equal({
      same: true,
      address: "10.0.0.1",
      port: 4711,
      encrypted: false,
      own: {},
    });
  },
  "req.url": async ({ app }) => {
    expect(await inside(app, (req) => req.url)).to.equal("/notes/list");
    expect(await inside(app, (req) => [req.url, req.path], { path: "a?b.c#d é" })).to.deep.equal([
      "/a%3Fb/c%23d%20%C3%A9",
      "/a%3Fb/c%23d%20%C3%A9",
    ]);
  },
  "res.addTrailers()": async ({ app }) => {
    const handler: Route = (_req, res) => {
      res.write("text");
      res.addTrailers({ "X-Sum": "1" });
      res.end();
    };
    expect(await resultOf(app, handler)).to.equal("text");
    const announced: Route = (_req, res) => {
      res.setHeader("Trailer", "X-Sum");
      res.write("text");
      res.addTrailers({ "X-Sum": "1" });
      res.end();
    };
    expect(await resultOf(app, announced)).to.equal("text");
  },
  "res.destroy()": async ({ app }) => {
    expect((await failureOf(app, (_req, res) => res.destroy())).message).to.equal(
      'Route "notes.list" closed its response without an answer',
    );
    const cause = new Error("gone");
    expect(await failureOf(app, (_req, res) => res.destroy(cause))).to.equal(cause);
  },
  "res.flushHeaders()": async ({ app }) => {
    const handler: Route = (_req, res) => {
      res.type("json").flushHeaders();
      expect(res.headersSent).to.equal(true);
      expect(() => res.set("X-Late", "1")).to.throw(/headers after they are sent/);
      res.end("[1]");
    };
    expect(await resultOf(app, handler)).to.deep.equal([1]);
  },
  "res.on()": async ({ app }) => {
    const events: string[] = [];
    let closed: Promise<unknown> | undefined;
    await resultOf(app, (_req, res) => {
      for (const event of ["finish", "close", "error"]) res.on(event, () => events.push(event));
      closed = once(res, "close");
      res.json(null);
    });
    await closed;
    expect(events).to.deep.equal(["finish", "close"]);
  },
  "res.setTimeout()": async ({ app }) => {
    expect(await resultOf(app, (_req, res) => res.setTimeout(1, () => res.json("late")))).to.equal("late");
    expect((await failureOf(app, (_req, res) => res.setTimeout(1))).message).to.match(/without an answer$/);
    const clock = useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      let closed: Promise<unknown> | undefined;
      await resultOf(app, (_req, res) => {
        closed = once(res, "close");
        res.setTimeout(60_000).json(null);
      });
      await closed;
      expect(clock.countTimers()).to.equal(0);
      const events: string[] = [];
      let answer = () => {};
      const call = start(app, (_req, res) => {
        res.setTimeout(100, () => events.push("timeout"));
        answer = () => res.end();
        setTimeout(() => {
          events.push("write");
          res.write("text");
        }, 60);
      });
      clock.tick(159);
      expect(events).to.deep.equal(["write"]);
      clock.tick(1);
      expect(events).to.deep.equal(["write", "timeout"]);
      answer();
      expect(await call.outcome).to.deep.equal({ status: "result", value: "text" });
    } finally {
      clock.restore();
    }
  },
  "res.write()": async ({ app }) => {
    const chunk = "x".repeat(100_000);
    const inPieces = await parity(app, (_req, res) => {
      res.type("txt").write("é");
      setImmediate(() => {
        res.write(Buffer.from(chunk));
        res.end("end");
      });
    });
    expect(inPieces.body).to.equal(`é${chunk}end`);
    const returned: unknown[] = [];
    await resultOf(app, (_req, res) => {
      const called = deferred<unknown>();
      returned.push(res.type("txt").write(chunk, called.resolve));
      called.promise.then(() => res.end());
    });
    expect(returned).to.deep.equal([true]);
  },
  "res.writeEarlyHints()": async ({ app }) => {
    const handler: Route = (_req, res) => {
      res.writeEarlyHints({ link: "</a.css>; rel=preload; as=style" });
      res.json("done");
    };
    expect(await resultOf(app, handler)).to.equal("done");
  },
  "res.writeHead()": async ({ app }) => {
    const forms: (object | unknown[])[] = [
      { "Content-Type": "application/json", "X-One": "1" },
      ["Content-Type", "application/json", "X-One", "1"],
    ];
    for (const form of forms) {
      const result = await resultOf(app, (_req, res) => {
        res.writeHead(201, "Made", form as Record<string, string>).end('{"a":1}');
      });
      expect(result).to.deep.equal({
        a: 1,
        _headers: { "content-type": "application/json", "x-one": "1" },
        _code: 201,
      });
    }
    const twice: Route = (_req, res) => {
      res.writeHead(200);
      expect(() => res.writeHead(201, { "X-One": "1" }))
        .to.throw()
        .with.property("code", "ERR_HTTP_HEADERS_SENT");
      res.end("text");
    };
    expect(await resultOf(app, twice)).to.equal("text");
    expect(await errorOf(app, (_req, res) => res.writeHead(418, "Short and stout").end())).to.deep.equal({
      message: "Short and stout",
      _code: 418,
    });
  },

  "req._socket": async ({ app }) => {
    const socket = makeSocket();
    const look = (req: Request) => (req as Request & { _socket: unknown })._socket;
    expect(await inside(app, look, { socket })).to.equal(socket);
  },
  "req.session": async ({ app }) => {
    expect(await inside(app, (req) => (req as { session?: unknown }).session)).to.equal(auth);
  },
  "req.user": async ({ app }) => {
    expect(await inside(app, (req) => (req as { user?: unknown }).user)).to.equal(auth);
  },
};

const documented = [
  ...readFileSync(new URL("../../docs/express-api.md", import.meta.url), "utf8").matchAll(
    /^\| `(re[qs]\.\w+(?:\(\))?)` \| (.+) \|$/gm,
  ),
].map(([, member = "", meaning = ""]) => ({ member, meaning }));

describe("Express routes", () => {
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "express-routes-"));
    await writeFile(join(folder, "hello.txt"), "Hello ä\n");
    await writeFile(join(folder, "pixel.png"), PNG);
    await writeFile(join(folder, "view.tpl"), "Hello NAME");
  });

  after(() => rm(folder, { recursive: true }));

  it("have a test for each member that the documentation names, and the other way round", () => {
    expect(documented.map(({ member }) => member).sort()).to.deep.equal(Object.keys(members).sort());
  });

  for (const [version, express] of [
    [5, express5],
    [4, express4],
  ] as const) {
    describe(`of an Express ${version} application`, () => {
      let app: Express;

      beforeEach(() => {
        app = express();
      });

      describe("give", () => {
        for (const { member, meaning } of documented) {
          it(`${member}: ${meaning}`, () => members[member]?.({ app, version, folder }));
        }
      });

      describe("as requests", () => {
        it("drop what proxies say, since the token request has settled that", async () => {
          const socket = makeSocket({
            "x-forwarded-for": "203.0.113.1",
            "x-forwarded-host": "evil.example",
            "x-forwarded-proto": "https",
            "x-forwarded-port": "1",
            "x-real-ip": "203.0.113.1",
            "x-client-ip": "203.0.113.1",
            "x-cluster-client-ip": "203.0.113.1",
            "x-ssl": "1",
            via: "1.1 proxy",
          });
          app.set("trust proxy", true);
          const look = (req: Request) => [
            req.ip,
            req.hostname,
            req.protocol,
            Object.keys(req.headers).filter((name) => /^x-|via/.test(name)),
          ];
          expect(await inside(app, look, { socket })).to.deep.equal([
            "192.0.2.9",
            "api.eu.example.com",
            "ws",
            [],
          ]);
        });

        it("keep a prototype that a field named __proto__ would change", async () => {
          const data: unknown = JSON.parse('{"__proto__":{"admin":true},"constructor":1,"page":"2"}');
          const seen = await inside(app, (req) => [req.body, req.query, req.params], { data });
          for (const fields of seen) {
            expect(Object.getPrototypeOf(fields)).to.equal(Object.prototype);
            expect(fields).to.include({ page: "2", constructor: 1 });
            expect(fields.admin).to.equal(undefined);
          }
          expect(Object.assign({}, seen[1]).admin).to.equal(undefined);
        });

        it("have a query, parameters and a body that do not change each other", async () => {
          const look = (req: Request) => {
            req.params.page = "3";
            delete req.query.page;
            return [req.body, req.query, req.params];
          };
          expect(await inside(app, look)).to.deep.equal([{ page: "2" }, {}, { page: "3" }]);
        });

        it("pass body parsers, static files and sessions without a change", async () => {
          const session = expressSession({ secret: "s", resave: false, saveUninitialized: true });
          const parsers: Route = [
            express.json(),
            express.urlencoded({ extended: true }),
            express.text({ type: "*/*" }),
            express.raw({ type: "*/*" }),
            express.static(folder),
            session,
          ];
          for (const data of [{ a: [1] }, [1], "text", null]) {
            const result = await resultOf(
              app,
              [parsers, (req: Request, res: Response) => res.json([req.body, req.session])],
              { data },
            );
            expect(result).to.deep.equal([data, auth]);
          }
        });

        it("keep their own members in routers and mounted applications", async () => {
          const mounted = express();
          mounted.post("/list", (req, res) => {
            res.json([req.ip, req.query, req.body, req.protocol, req.app === mounted]);
          });
          const router = express.Router();
          router.use("/notes", mounted);
          expect(await resultOf(app, router)).to.deep.equal([
            "192.0.2.9",
            { page: "2" },
            { page: "2" },
            "ws",
            true,
          ]);
          expect(await errorOf(app, router, { path: "other" })).to.equal(NOT_FOUND);
        });

        it("have what the application adds to its prototypes", async () => {
          Object.assign(app.request, { greet: () => "hello" });
          Object.assign(app.response, {
            ok(this: Response) {
              this.json("ok");
            },
          });
          const handler: Route = (req, res) => {
            expect((req as Request & { greet(): string }).greet()).to.equal("hello");
            (res as Response & { ok(): void }).ok();
          };
          expect(await resultOf(app, handler)).to.equal("ok");
        });

        it("have the prototypes that the application has when they are called", async () => {
          const routes = new ExpressRoutes<Auth>(app, DEFAULT_LIMITS.routeResponseBytes);
          const route: Route = (req, res) => {
            const { name } = req as Request & { name?: string };
            res.json([name, (res as Response & { name?: string }).name]);
          };
          const names = () =>
            new Promise<Outcome>((resolve) => {
              routes.call(route, { path: PATH, data: null, socket: makeSocket(), auth }, resolve, () => {});
            });
          expect(await names()).to.deep.equal({ status: "result", value: [null, null] });
          app.request = Object.create(app.request, { name: { value: "request" } });
          expect(await names()).to.deep.equal({ status: "result", value: ["request", null] });
          app.response = Object.create(app.response, { name: { value: "response" } });
          expect(await names()).to.deep.equal({ status: "result", value: ["request", "response"] });
        });

        it("look the same inside Node.js, which is what makes it fast", async () => {
          const routes = new ExpressRoutes<Auth>(app, DEFAULT_LIMITS.routeResponseBytes);
          const seen: object[][] = [];
          const route: Route = (req, res) => {
            Object.assign(req, { added: 1 });
            Object.assign(res, { added: 1 });
            seen.push([req, res, req.socket]);
            res.json({});
          };
          // a constructor settles on a shape in its first calls
          for (let call = 0; call < 20; call++) {
            await new Promise<Outcome>((resolve) => {
              routes.call(route, { path: PATH, data: {}, socket: makeSocket(), auth }, resolve, () => {});
            });
          }
          const [last = [], other = []] = seen.slice(-2);
          expect(last.map((object, index) => haveSameShape(object, other[index]))).to.deep.equal([
            true,
            true,
            true,
          ]);
        });
      });

      describe("as handlers", () => {
        const boom = new Error("boom");
        const fail = () => {
          throw boom;
        };
        const pass = (_req: Request, _res: Response, next: NextFunction) => next();
        const passError = (error: unknown, _req: Request, _res: Response, next: NextFunction) => next(error);
        const explain = (error: unknown, _req: Request, res: Response, _next: NextFunction) => {
          res.status(422).json({ error: { explained: (error as Error).message } });
        };
        const explained = { status: "error", error: { explained: "boom" } };

        it("run one after another, nested arrays included", async () => {
          const add = (letter: string) => (_req: Request, res: Response, next: NextFunction) => {
            res.locals.word = (res.locals.word ?? "") + letter;
            next();
          };
          // the last one has its types by its place
          const route: Route = [add("a"), [add("b"), [add("c")]], (_req, res) => res.json(res.locals.word)];
          expect(await resultOf(app, route)).to.equal("abc");
        });

        it("answer Function not found past the last one", async () => {
          const skipped = () => fail();
          const routes: Route[] = [
            pass,
            [pass, pass],
            [],
            [(_req: Request, _res: Response, next: NextFunction) => next("route"), skipped],
            [(_req: Request, _res: Response, next: NextFunction) => next("router"), skipped],
            [explain],
          ];
          for (const route of routes) {
            expect(await outcomeOf(app, route)).to.deep.equal({
              status: "error",
              error: NOT_FOUND,
            });
          }
        });

        it("fail by what they give to next", async () => {
          for (const error of [boom, "text", { code: 5 }, ["a"], 5]) {
            const outcome = await outcomeOf(app, (_req, _res, next) => next(error));
            expect(outcome).to.deep.equal({ status: "failure", error });
          }
        });

        it("fail by what a router throws, or is rejected with", async () => {
          const router = (express as unknown as { Router(): import("express").Router }).Router();
          router.use(fail);
          const wrapped: Route = (_req, _res, next) => void Promise.reject(boom).catch(next);
          for (const route of [router, wrapped]) {
            expect(await outcomeOf(app, route as Route)).to.deep.equal({ status: "failure", error: boom });
          }
        });

        it("give an error on purpose that says expose, or is an RpcError, by next or by a throw", async () => {
          const exposed = Object.assign(new Error("Sold out"), { status: 409, expose: true });
          for (const error of [exposed, new RpcError("No")]) {
            expect(await outcomeOf(app, (_req, _res, next) => next(error))).to.deep.equal({
              status: "error",
              error,
            });
            const thrown = await outcomeOf(app, () => {
              throw error;
            });
            expect(thrown).to.deep.equal({ status: "error", error });
          }
        });

        it("give the status alone of an error that has one and does not say expose", async () => {
          for (const expose of [undefined, false, "yes"]) {
            const error = Object.assign(new Error("select * from secret"), { status: 409, expose });
            const outcome = await outcomeOf(app, (_req, _res, next) => next(error));
            expect(JSON.stringify(outcome)).to.include("Conflict").and.not.include("secret");
          }
          const error = Object.assign(new Error("secret"), { status: 500, expose: false });
          const outcome = await outcomeOf(app, (_req, _res, next) => next(error));
          expect(outcome).to.deep.equal({ status: "failure", error });
        });

        it("fail by a throw or a rejection", async () => {
          expect(await outcomeOf(app, fail)).to.deep.equal({ status: "failure", error: boom });
          expect(await outcomeOf(app, async () => fail())).to.deep.equal({ status: "failure", error: boom });
          const thenable = () => Promise.reject("text");
          expect(await outcomeOf(app, thenable)).to.deep.equal({ status: "failure", error: "text" });
          for (const nothing of [undefined, null, 0, ""]) {
            const thrown = await failureOf(app, () => {
              throw nothing;
            });
            expect(thrown.message).to.equal(`A handler threw ${nothing}`);
            expect((await failureOf(app, () => Promise.reject(nothing))).message).to.match(
              /^A handler threw/,
            );
          }
        });

        it("let an error handler in the array see an error first, whatever its origin", async () => {
          expect(await outcomeOf(app, [fail, explain])).to.deep.equal(explained);
          expect(await outcomeOf(app, [async () => fail(), pass, explain])).to.deep.equal(explained);
          expect(
            await outcomeOf(app, [
              (_req: Request, _res: Response, next: NextFunction) => next(boom),
              explain,
            ]),
          ).to.deep.equal(explained);
          const missing: Route = (_req, res) => res.sendFile(join(folder, "none.txt"));
          const outcome = await outcomeOf(app, [missing, explain]);
          expect(JSON.stringify(outcome)).to.match(/ENOENT/);
        });

        it("skip error handlers without an error, and other handlers with one", async () => {
          const answer = (_req: Request, res: Response) => res.json("answer");
          expect(await resultOf(app, [explain, pass, explain, answer])).to.equal("answer");
          expect(await outcomeOf(app, [fail, answer, explain])).to.deep.equal(explained);
        });

        it("keep a throw a failure when an error handler passes it on", async () => {
          expect(await outcomeOf(app, [fail, passError])).to.deep.equal({ status: "failure", error: boom });
          const other = new Error("other");
          const replace = (_error: unknown, _req: Request, _res: Response, next: NextFunction) => next(other);
          expect(await outcomeOf(app, [fail, replace])).to.deep.equal({ status: "failure", error: other });
        });

        it("go on after an error handler that has mended things", async () => {
          const mend = (_error: unknown, _req: Request, _res: Response, next: NextFunction) => next();
          expect(
            await resultOf(app, [fail, mend, (_req: Request, res: Response) => res.json("well")]),
          ).to.equal("well");
        });

        it("must be functions", async () => {
          const route = [pass, "text"] as unknown as Route;
          const error = await failureOf(app, route);
          expect(error).to.be.instanceOf(TypeError);
          expect(error.message).to.equal('Route "notes.list": handler 2 is not a function');
        });

        it("that answer late, after an error has been given, learn that it is too late", async () => {
          const events: string[] = [];
          const learned = deferred<unknown>();
          const call = start(app, (_req, res, next) => {
            res.set("X-One", "1");
            res.on("finish", () => events.push(`finish ${res.statusCode}`));
            res.on("close", () => {
              try {
                res.json("late");
              } catch (error) {
                learned.resolve(error);
              }
            });
            next(Object.assign(new Error("no"), { status: 409 }));
          });
          expect((await call.outcome).status).to.equal("error");
          expect(await learned.promise).to.have.property("code", "ERR_HTTP_HEADERS_SENT");
          expect(events).to.deep.equal(["finish 409"]);
          expect(call.outcomes).to.have.lengthOf(1);
        });

        it("that answer twice get ERR_HTTP_HEADERS_SENT, and the first answer counts", async () => {
          const call = start(app, (_req, res) => {
            res.json("first");
            expect(() => res.json("second"))
              .to.throw()
              .with.property("code", "ERR_HTTP_HEADERS_SENT");
            res.json("third");
          });
          expect(await call.outcome).to.deep.equal({ status: "result", value: "first" });
          expect(call.late).to.have.lengthOf(1);
          expect(call.late[0]).to.have.property("code", "ERR_HTTP_HEADERS_SENT");
          expect(call.outcomes).to.have.lengthOf(1);
        });

        it("may call next beside an answer that has begun", async () => {
          const call = start(app, (_req, res, next) => {
            res.write("to be ");
            setImmediate(() => res.end("continued"));
            next();
          });
          expect(await call.outcome).to.deep.equal({ status: "result", value: "to be continued" });
          const after = start(app, (_req, res, next) => {
            res.json("answered");
            next();
          });
          expect(await after.outcome).to.deep.equal({ status: "result", value: "answered" });
          expect([...call.late, ...after.late]).to.deep.equal([]);
        });

        it("that fail amid an answer close it", async () => {
          let closed: Promise<unknown> | undefined;
          const error = await failureOf(app, async (_req, res) => {
            closed = once(res, "close");
            res.write("to be ");
            fail();
          });
          expect(error).to.equal(boom);
          await closed;
        });

        describe("report as late", () => {
          const cases: Record<string, (req: Request, res: Response, next: NextFunction) => unknown> = {
            "a throw after the answer": (_req, res) => {
              res.json(null);
              fail();
            },
            "a rejection after the answer": async (_req, res) => {
              res.json(null);
              await new Promise(setImmediate);
              fail();
            },
            "next with an error after the answer": (_req, res, next) => {
              res.json(null);
              next(boom);
            },
            "an error emitted on the response": (_req, res) => {
              res.json(null);
              res.emit("error", boom);
            },
            "an error emitted on the request": (req, res) => {
              res.json(null);
              req.emit("error", boom);
            },
            "a throw in a finish listener": (_req, res) => {
              res.on("finish", fail);
              res.json(null);
            },
            "a throw in a close listener": (_req, res) => {
              res.on("close", fail);
              res.json(null);
            },
            "a throw in a close listener of the request": (req, res) => {
              req.on("close", fail);
              res.json(null);
            },
            "a throw in a close listener of the request's socket": (req, res) => {
              req.socket.on("close", fail);
              res.json(null);
            },
          };
          for (const [title, handler] of Object.entries(cases)) {
            it(title, async () => {
              const call = start(app, [pass, handler]);
              const late = call.late.length > 0 ? call.late[0] : await call.nextLate();
              expect(late).to.equal(boom);
              expect(call.outcomes).to.deep.equal([{ status: "result", value: null }]);
              expect(call.late).to.have.lengthOf(1);
            });
          }

          it("a write after the end", async () => {
            const call = start(app, (_req, res) => {
              res.end("text");
              res.write("more");
              res.end("more");
            });
            expect(await call.nextLate()).to.have.property("code", "ERR_STREAM_WRITE_AFTER_END");
            expect(call.outcomes).to.deep.equal([{ status: "result", value: "text" }]);
          });
        });

        it("go on after an encoding that nobody knows", async () => {
          const codes: unknown[] = [];
          const ends: boolean[] = [];
          const handler: Route = (_req, res) => {
            for (const encoding of ["klingon", "utf8"]) {
              try {
                res.end("text", encoding as BufferEncoding);
              } catch (error) {
                codes.push((error as { code?: unknown }).code);
              }
              ends.push(res.writableEnded);
            }
          };
          expect(await outcomeOf(app, handler)).to.deep.equal({ status: "result", value: "text" });
          expect(codes).to.deep.equal(["ERR_UNKNOWN_ENCODING"]);
          expect(ends).to.deep.equal([false, true]);
        });

        it("fail by an error on the response before the answer", async () => {
          expect(await outcomeOf(app, (_req, res) => res.emit("error", boom))).to.deep.equal({
            status: "failure",
            error: boom,
          });
        });

        it("may be wrapped by middleware that delays the end", async () => {
          const events: string[] = [];
          const delay = (_req: Request, res: Response, next: NextFunction) => {
            const { end } = res;
            res.end = ((...args: unknown[]) => {
              events.push("delayed");
              setImmediate(() => Reflect.apply(end, res, args));
              return res;
            }) as typeof res.end;
            next();
          };
          const result = await resultOf(app, [delay, (_req: Request, res: Response) => res.json({ a: 1 })]);
          expect(result).to.deep.include({ a: 1 });
          expect(events).to.deep.equal(["delayed"]);
        });
      });

      describe("as replies", () => {
        const results: [title: string, handler: (res: Response) => unknown, result: unknown][] = [
          ["JSON of a suffix type as JSON", (res) => res.type("application/ld+json").end("[1]"), [1]],
          ["JSON with a byte order mark as JSON", (res) => res.type("json").end("\uFEFF[1]"), [1]],
          ["what is no JSON by the type of JSON as text", (res) => res.type("json").send("{a"), "{a"],
          ["JavaScript as text", (res) => res.type("js").end(Buffer.from("a()")), "a()"],
          ["XML as text", (res) => res.type("application/xml").end(Buffer.from("<a/>")), "<a/>"],
          ["SVG as text", (res) => res.type("svg").end(Buffer.from("<svg/>")), "<svg/>"],
          [
            "a form as text",
            (res) => res.type("application/x-www-form-urlencoded").end(Buffer.from("a=1")),
            "a=1",
          ],
          [
            "text in its charset",
            (res) =>
              res.setHeader("Content-Type", "text/plain; charset=ISO-8859-1") && res.end("ä", "latin1"),
            "ä",
          ],
          [
            "another type with a charset as text",
            (res) =>
              res.setHeader("Content-Type", 'application/x-own; charset="utf-16le"') &&
              res.end("ä", "utf16le"),
            "ä",
          ],
          [
            "a charset that nobody knows as bytes",
            (res) => res.setHeader("Content-Type", "text/plain; charset=klingon") && res.end("a"),
            "YQ==",
          ],
          [
            "an encoded body as bytes",
            (res) => res.type("txt").set("Content-Encoding", "gzip").end(PNG),
            PNG.toString("base64"),
          ],
          ["strings without a type as text", (res) => res.write("a") && res.end("ä"), "aä"],
          ["strings without a type in their encoding", (res) => res.end("ä", "latin1"), "ä"],
          ["strings for bytes as bytes", (res) => res.end("ff00", "hex"), "/wA="],
          [
            "strings and bytes without a type as bytes",
            (res) => res.write("a") && res.end(PNG.subarray(0, 1)),
            "YYk=",
          ],
          [
            "strings without a type in two encodings as bytes",
            (res) => res.write("a") && res.end("b", "latin1"),
            "YWI=",
          ],
          ["views of memory that is used again", writeFromOneBuffer, "ab"],
          ["an empty text as null", (res) => res.send(""), null],
          ["a body with status 204 as null", (res) => res.status(204).end("text"), null],
          ["json of undefined as null", (res) => res.json(undefined), null],
        ];
        for (const [title, handler, result] of results) {
          it(`give ${title}`, async () => {
            expect(await resultOf(app, (_req, res) => handler(res))).to.deep.equal(result);
          });
        }

        it("give the fields of an object with headers and status", async () => {
          const handler: Route = (_req, res) => {
            res.status(201).set("X-One", "1").append("X-Two", ["a", "b"]).json({ a: 1 });
          };
          const value = (await resultOf(app, handler)) as Record<string, unknown>;
          expect(value).to.have.all.keys("a", "_headers", "_code");
          expect(value._code).to.equal(201);
          expect(value._headers).to.deep.include({
            "x-one": "1",
            "x-two": ["a", "b"],
            "content-type": "application/json; charset=utf-8",
            "content-length": "7",
          });
        });

        it("let no field of a body pose as headers, as a status or as a prototype", async () => {
          const body = JSON.parse('{"_code":500,"_headers":{"x":"1"},"__proto__":{"admin":true}}');
          for (const status of [200, 400]) {
            const outcome = await outcomeOf(app, (_req, res) => res.status(status).json(body));
            const given = (outcome.status === "result" ? outcome.value : outcome.error) as typeof body;
            expect(Object.getPrototypeOf(given)).to.equal(Object.prototype);
            expect(given.admin).to.equal(undefined);
            expect(given._code).to.equal(status);
            expect(given._headers).to.include.keys("content-type");
            expect(JSON.stringify(given)).to.contain('"__proto__":{"admin":true}');
          }
        });

        const errors: [title: string, handler: (res: Response) => unknown, error: unknown][] = [
          ["the error field of an object", (res) => res.json({ error: "Too much", a: 1 }), "Too much"],
          ["an error field that is an object", (res) => res.json({ error: { code: 5 } }), { code: 5 }],
          ["a text", (res) => res.send("Too much"), { message: "Too much", _code: 429 }],
          ["a JSON string", (res) => res.json("Too much"), { message: "Too much", _code: 429 }],
          ["a JSON array", (res) => res.json(["a"]), { message: '["a"]', _code: 429 }],
          ["null", (res) => res.json(null), { message: "Too Many Requests", _code: 429 }],
          ["nothing", (res) => res.end(), { message: "Too Many Requests", _code: 429 }],
          ["bytes", (res) => res.send(PNG), { message: "Too Many Requests", _code: 429 }],
        ];
        for (const [title, handler, error] of errors) {
          it(`with a status of 300 or more give ${title} as the error`, async () => {
            expect(await errorOf(app, (_req, res) => handler(res.status(429)))).to.deep.equal(error);
          });
        }

        it("with a status of 300 or more give an object without an error as the error", async () => {
          for (const body of [{ a: 1 }, { error: null, a: 1 }, { error: "", a: 1 }, {}]) {
            const error = await errorOf(app, (_req, res) => res.status(400).json(body));
            expect(error).to.deep.include({ ...body, _code: 400 });
            expect(error).to.have.property("_headers");
          }
        });

        it("with a status that has no text give its number", async () => {
          expect(await errorOf(app, (_req, res) => res.writeHead(599, "").end())).to.deep.include({
            _code: 599,
          });
        });

        it("are read from streams of any size", async () => {
          const chunk = Buffer.alloc(100_000, "x");
          const handler: Route = (_req, res) => {
            Readable.from(Array.from({ length: 20 }, () => chunk)).pipe(res.type("txt"));
          };
          expect(await resultOf(app, handler)).to.equal("x".repeat(2_000_000));
          const byPipeline: Route = (_req, res, next) => {
            pipeline(createReadStream(join(folder, "pixel.png")), res, (error) => error && next(error));
          };
          expect(await resultOf(app, byPipeline)).to.equal(PNG.toString("base64"));
        });

        it("that are too large fail their call", async () => {
          const options = { maxResponseBytes: 1000 };
          const large = await failureOf(app, (_req, res) => res.send("x".repeat(1001)), options);
          expect(large).to.include({
            message: "The response is larger than 1000 bytes",
            code: "E_RESPONSE_TOO_LARGE",
          });
          let destroyed: Promise<unknown> | undefined;
          const endless = await failureOf(
            app,
            (_req, res) => {
              const source = Readable.from(
                (function* () {
                  while (true) yield "x".repeat(100);
                })(),
              );
              destroyed = new Promise((resolve) => pipeline(source, res, resolve));
            },
            options,
          );
          expect(endless.message).to.equal("The response is larger than 1000 bytes");
          await destroyed;
          expect(await resultOf(app, (_req, res) => res.send("x".repeat(1000)), options)).to.have.lengthOf(
            1000,
          );
        });
      });

      describe("when the socket closes", () => {
        it("emit close on the request and the response, and settle nothing", async () => {
          const events: string[] = [];
          const closed: Promise<unknown>[] = [];
          let answer = () => {};
          const call = start(app, (req, res) => {
            res.on("finish", () => events.push("finish"));
            closed.push(once(req, "close"), once(res, "close"));
            answer = () => {
              res.write("late");
              res.end("later");
            };
          });
          call.running.abort();
          answer();
          await Promise.all(closed);
          answer();
          call.running.abort();
          await new Promise(setImmediate);
          expect(events).to.deep.equal([]);
          expect(call.outcomes).to.deep.equal([]);
        });

        it("release what is piped into the response", async () => {
          const source = new PassThrough();
          const call = start(app, (_req, res) => source.pipe(res));
          source.write("first");
          const unpiped = new Promise((resolve) => source.once("pause", resolve));
          call.running.abort();
          await unpiped;
          expect(source.listenerCount("data")).to.equal(0);

          const other = new PassThrough();
          const ended = deferred<unknown>();
          const piped = start(app, (_req, res) => pipeline(other, res, ended.resolve));
          piped.running.abort();
          expect(await ended.promise).to.have.property("code", "ERR_STREAM_PREMATURE_CLOSE");
          expect(other.destroyed).to.equal(true);
          expect([...call.outcomes, ...piped.outcomes]).to.deep.equal([]);
        });

        it("tell the callback of a file that was on its way", async () => {
          const told = deferred<unknown>();
          const call = start(app, (_req, res) => res.sendFile(join(folder, "hello.txt"), told.resolve));
          call.running.abort();
          expect(await told.promise).to.have.property("code", "ECONNABORTED");
          expect(call.outcomes).to.deep.equal([]);
        });

        it("report what handlers do wrong after it", async () => {
          const boom = new Error("boom");
          const call = start(app, async (req) => {
            await once(req, "close");
            throw boom;
          });
          call.running.abort();
          expect(await call.nextLate()).to.equal(boom);
          expect(call.outcomes).to.deep.equal([]);
        });

        it("run on behind it, but not where that is since the call is refused", async () => {
          const boom = new Error("boom");
          for (const isRefused of [false, true]) {
            let goOn: (error?: unknown) => void = () => {};
            let ran = 0;
            const call = start(app, [
              (_req, _res, next) => {
                goOn = next;
              },
              () => void ran++,
            ]);
            call.running.abort(isRefused);
            goOn();
            expect(ran).to.equal(isRefused ? 0 : 1);
            goOn(boom);
            expect(call.late).to.deep.equal([boom]);
            expect(call.outcomes).to.deep.equal([]);
          }
        });

        it("after the answer change nothing", async () => {
          const call = start(app, (_req, res) => res.json("answer"));
          call.running.abort();
          expect(call.outcomes).to.deep.equal([{ status: "result", value: "answer" }]);
        });
      });
    });
  }
});

function writeFromOneBuffer(res: Response): void {
  const buffer = Buffer.from("a");
  res.type("txt").write(buffer);
  buffer.write("b");
  res.end(buffer);
}
