import { once } from "node:events";
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import express5, { type Express, type NextFunction, type Request, type Response } from "express";
import { useFakeTimers } from "sinon";
import type { Route } from "../../lib/server/routes/express-routes.js";
import {
  auth,
  deferred,
  EXPRESS_VERSIONS,
  errorOf,
  express4,
  failureOf,
  inside,
  makeFolder,
  makeSocket,
  PNG,
  parity,
  resultOf,
  start,
} from "../support/route-call.js";

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
      [
        ["Content-Type", "application/json"],
        ["X-One", "1"],
      ],
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
    folder = await makeFolder();
  });

  after(() => rm(folder, { recursive: true }));

  it("have a test for each member that the documentation names, and the other way round", () => {
    expect(documented.map(({ member }) => member).sort()).to.deep.equal(Object.keys(members).sort());
  });

  for (const [version, express] of EXPRESS_VERSIONS) {
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
    });
  }
});
