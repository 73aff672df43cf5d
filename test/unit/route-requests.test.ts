import { setFlagsFromString } from "node:v8";
import { expect } from "chai";
import type { Express, Request, Response } from "express";
import expressSession from "express-session";
import { DEFAULT_LIMITS } from "../../lib/server/limits/limits.js";
import { ExpressRoutes, type Route } from "../../lib/server/routes/express-routes.js";
import type { Outcome } from "../../lib/shared/errors.js";
import { NOT_FOUND } from "../../lib/shared/refusals.js";
import {
  type Auth,
  auth,
  describeRoutes,
  errorOf,
  inside,
  makeSocket,
  PATH,
  resultOf,
} from "../support/route-call.js";

/** Whether two objects have the same hidden class in V8. */
function haveSameShape(one: object | undefined, other: object | undefined): boolean {
  setFlagsFromString("--allow-natives-syntax");
  try {
    return new Function("one", "other", "return %HaveSameMap(one, other)")(one, other);
  } finally {
    setFlagsFromString("--no-allow-natives-syntax");
  }
}

describeRoutes((prepare, express) => {
  let app: Express;
  let folder: string;
  prepare((given) => {
    ({ app, folder } = given);
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

    it("have the headers of the token request, and say of the body what it is", async () => {
      const given = { "x-own": "yes", "set-cookie": ["a=1"], "x-none": undefined };
      const headers = {
        host: "api.eu.example.com:3000",
        "user-agent": "test agent",
        referer: "https://api.eu.example.com/page",
        "accept-language": "de, en;q=0.5",
        "x-own": "yes",
        "content-type": "application/json",
        "transfer-encoding": "chunked",
      };
      const look = (req: Request) => [req.headers, req.rawHeaders, req.is("json"), req.get("Host")];
      expect(await inside(app, look, { socket: makeSocket(given as never) })).to.deep.equal([
        headers,
        Object.entries(headers).flat(),
        "json",
        headers.host,
      ]);
    });

    it("are POST requests by HTTP/1.1 that have been read", async () => {
      const look = async (req: Request) => [
        [req.method, req.httpVersion, req.httpVersionMajor, req.httpVersionMinor],
        [req.complete, req.readable, await req.toArray()],
      ];
      expect(await inside(app, look)).to.deep.equal([
        ["POST", "1.1", 1, 1],
        [true, false, []],
      ]);
    });

    it("have a path of which nothing reads as a query", async () => {
      for (const [path, url] of [
        ["notes.list-all_1", "/notes/list-all_1"],
        ["a?b=c#d.é", "/a%3Fb=c%23d/%C3%A9"],
        ["a\ud800", "/a%EF%BF%BD"],
      ] as const) {
        const look = (req: Request) => [req.url, req.originalUrl, req.path];
        expect(await inside(app, look, { path })).to.deep.equal([url, url, url]);
      }
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
});
