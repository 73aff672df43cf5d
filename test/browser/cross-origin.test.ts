import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import type { Express, Response } from "express";
import type { Browser, Page } from "playwright-core";
import type { TokenSocketOptions } from "../../lib/client/index.js";
import { Application } from "../support/application.js";
import { launchBrowser, Tabs } from "../support/browser.js";

/** What is evaluated in the page sees its client, and can use what a page has. */
interface ClientPage {
  TokenSocket: new (options: object) => ClientPage["client"];
  client: {
    readonly state: string;
    readonly reason?: { readonly code?: string; readonly message: string };
    ready(): Promise<void>;
    rpc(name: string, data?: unknown): Promise<unknown>;
    channel(name: string): AsyncIterator<unknown>;
    publish(channel: string, data: unknown): Promise<void>;
    subscribe(channel: string): Promise<void>;
    once(event: "state", listener: () => void): void;
  };
}

/** How the cookie of a session is bound to the site of the application. */
interface Cookie {
  sameSite: "lax" | "none";
  secure: boolean;
  partitioned: boolean;
}

const OWN_SITE: Cookie = { sameSite: "lax", secure: false, partitioned: false };

/** Browsers keep such a cookie for each site from which it was set; some send no other one to another site. */
const OTHER_SITES: Cookie = { sameSite: "none", secure: true, partitioned: true };

describe("In Chromium a page of another origin", () => {
  let browser: Browser;
  let tabs: Tabs;
  let application: Application;
  /** Serves the pages; it has no part in the application. */
  let pages: Server;
  let page: Page;
  /** The origins that the application allows. */
  let allowed: string[];
  let cookie: Cookie;
  /** The requests for the token route, as they have come to the application. */
  const requests: string[] = [];
  /** All tokens that the application has given away. */
  const tokens: string[] = [];
  /** All that the page has said. */
  const said: string[] = [];

  /** The page's origin is of the same site as the application's, since a site has nothing to do with ports. */
  const sameSite = () => `http://127.0.0.1:${(pages.address() as AddressInfo).port}`;
  /** A name is another site than an address, though both lead to the same machine. */
  const otherSite = () => `http://localhost:${(pages.address() as AddressInfo).port}`;

  before(async () => {
    browser = await launchBrowser();
    tabs = await Tabs.of(browser);
    pages = createServer((_req, res) => {
      res.setHeader("Content-Type", "text/html");
      res.end(
        `<!doctype html><title>A page</title><script src="${application.url}/socket/client.js"></script>`,
      );
    });
    pages.listen(0, "127.0.0.1");
    await once(pages, "listening");
  });
  after(async () => {
    await browser.close();
    pages.closeAllConnections();
    pages.close();
    if (pages.listening) await once(pages, "close");
  });

  beforeEach(async () => {
    for (const list of [requests, tokens, said]) list.length = 0;
    allowed = [];
    cookie = OWN_SITE;
    // without a login there is no user
    application = await Application.start({
      session: null,
      prepare,
      options: {
        allowedOrigins: (origin) => allowed.includes(origin),
        socketController: { me: async (auth) => auth, echo: async (_auth, data) => data },
      },
    });
    page = await tabs.open();
    page.on("console", (message) => said.push(message.text()));
    page.on("pageerror", (error) => said.push(String(error.stack)));
  });
  afterEach(async () => {
    await tabs.leave(page);
    await application.stop();
  });

  /** Sees what comes to the token route, and has a login. */
  const prepare = (app: Express) => {
    app.use("/socket/token", (req, res, next) => {
      requests.push(`${req.method} ${req.get("sec-fetch-site")}${req.get("cookie") ? " with a cookie" : ""}`);
      noteTokens(res);
      next();
    });
    app.set("trust proxy", true);
    app.get("/login", (req, res) => {
      // the session sends a cookie that is marked as secure only where TLS has been ended before it
      req.headers["x-forwarded-proto"] = "https";
      Object.assign(req.session, { auth: { name: "alice" } });
      Object.assign(req.session.cookie, cookie);
      res.type("html").send("<!doctype html><title>Logged in</title>");
    });
  };

  const noteTokens = (res: Response) => {
    const { end } = res;
    res.end = (...args: unknown[]) => {
      const [, token] = /^\{"token":"([^"]+)"/.exec(String(args[0])) ?? [];
      if (token) tokens.push(token);
      return Reflect.apply(end, res, args);
    };
  };

  /** Logs the user in by the application's own page. */
  const logIn = () => page.goto(`${application.url}/login`);

  /** Logs the user in by a page of another site. */
  const logInFrom = async (origin: string) => {
    cookie = OTHER_SITES;
    await page.goto(`${origin}/`);
    await page.evaluate(
      (url) => fetch(url, { mode: "no-cors", credentials: "include" }).then(() => {}),
      `${application.url}/login`,
    );
  };

  /** Opens the page, and makes its client; resolves with the state that it comes to, and why. */
  const connect = async (origin: string, options: TokenSocketOptions = {}) => {
    await page.goto(`${origin}/`);
    return page.evaluate(
      async (given) => {
        const scope = globalThis as unknown as ClientPage;
        scope.client = new scope.TokenSocket(given);
        const { client } = scope;
        while (client.state === "connecting") {
          await new Promise<void>((resolve) => client.once("state", resolve));
        }
        const { code, message } = client.reason ?? {};
        return { state: client.state, code, message };
      },
      { host: application.url, credentials: "include", backoff: { min: 1e8, max: 1e8 }, ...options },
    );
  };

  /** What the page hears of itself and of a channel. */
  const converse = () =>
    page.evaluate(async () => {
      const { client } = globalThis as unknown as ClientPage;
      const messages = client.channel("room");
      const message = messages.next();
      await client.subscribe("room");
      await client.publish("room", { text: "ü 👋" });
      return [await client.rpc("me"), (await message).value];
    });

  const OPEN = { state: "open", code: undefined, message: undefined };
  const ALICE = [{ name: "alice" }, { text: "ü 👋" }];

  const transports: [string, string, TokenSocketOptions][] = [
    ["WebSocket", "websocket-raw", { sockjs: false }],
    ["xhr-streaming", "xhr-streaming", { WebSocket: false, sockjs: { transports: "xhr-streaming" } }],
  ];
  for (const [name, protocol, options] of transports) {
    it(`is connected as the user whose cookie it sends, over ${name}`, async () => {
      allowed = [sameSite()];
      await logIn();
      expect(await connect(sameSite(), options)).to.deep.equal(OPEN);
      expect(await converse()).to.deep.equal(ALICE);
      expect(application.socket().protocol).to.equal(protocol);
      expect(requests).to.deep.equal(["GET same-site with a cookie"]);
    });

    it(`may ask by POST, of which the browser asks first whether it may, over ${name}`, async () => {
      allowed = [sameSite()];
      await logIn();
      const given = { ...options, tokenMethod: "POST", authentication: { project: 7 } } as const;
      expect(await connect(sameSite(), given)).to.deep.equal(OPEN);
      expect(await converse()).to.deep.equal(ALICE);
      expect(application.socket().protocol).to.equal(protocol);
      expect(requests).to.deep.equal(["OPTIONS same-site", "POST same-site with a cookie"]);
    });

    it(`may be of another site, where the cookie is meant for that, over ${name}`, async () => {
      allowed = [otherSite()];
      await logInFrom(otherSite());
      expect(await connect(otherSite(), options)).to.deep.equal(OPEN);
      expect(await converse()).to.deep.equal(ALICE);
      expect(application.socket().protocol).to.equal(protocol);
      expect(requests).to.deep.equal(["GET cross-site with a cookie"]);
    });
  }

  it("may send headers of its own, of which the browser asks first", async () => {
    allowed = [sameSite()];
    await logIn();
    expect(await connect(sameSite(), { headers: { "X-Sample": "yes" } })).to.deep.equal(OPEN);
    expect(requests).to.deep.equal(["OPTIONS same-site", "GET same-site with a cookie"]);
  });

  const REFUSED = { state: "closed", code: "unauthorized", message: "Forbidden" };

  it("is nobody without the option that sends cookies", async () => {
    allowed = [sameSite()];
    await logIn();
    expect(await connect(sameSite(), { credentials: "same-origin" })).to.deep.equal(REFUSED);
    expect(requests).to.deep.equal(["GET same-site"]);
    expect(tokens).to.deep.equal([]);
  });

  it("is nobody on another site where the cookie is not meant for that", async () => {
    allowed = [otherSite()];
    await logIn();
    expect(await connect(otherSite())).to.deep.equal(REFUSED);
    expect(requests).to.deep.equal(["GET cross-site"]);
    expect(tokens).to.deep.equal([]);
  });

  describe("that the application does not allow", () => {
    beforeEach(() => {
      allowed = ["http://127.0.0.1:1"];
    });

    const sites: [name: string, origin: () => string, enter: () => Promise<unknown>][] = [
      ["of the same site", sameSite, logIn],
      ["of another site", otherSite, () => logInFrom(otherSite())],
    ];
    for (const [name, origin, enter] of sites) {
      it(`gets no token, ${name}`, async () => {
        await enter();
        const ways: TokenSocketOptions[] = [{}, { WebSocket: false }, { tokenMethod: "POST" }];
        for (const options of ways) {
          expect(await connect(origin(), options)).to.deep.equal({
            state: "waiting",
            code: "connection",
            message: "No token: Failed to fetch",
          });
          await hasHeardNoToken();
        }
        // the first two have come through, with the user's cookie, but were refused
        expect(requests.map((request) => request.replace(/\w+-site/, "…"))).to.deep.equal([
          "GET … with a cookie",
          "GET … with a cookie",
          "OPTIONS …",
        ]);
        expect(tokens).to.deep.equal([]);
        expect(application.tokenServer.sockets()).to.deep.equal([]);
      });

      it(`gets no token without the client either, ${name}`, async () => {
        await enter();
        await page.goto(`${origin()}/`);
        const got = await page.evaluate(`(async () => {
          const url = ${JSON.stringify(`${application.url}/socket/token`)};
          const ask = (options) =>
            fetch(url, { credentials: "include", ...options }).then((answer) => answer.text(), String);
          const jsonp = (query) =>
            new Promise((resolve) => {
              window.steal = resolve;
              const onload = () => resolve("nothing");
              document.head.append(
                Object.assign(document.createElement("script"), { src: url + query, onload, onerror: onload }),
              );
            });
          return {
            read: await ask({}),
            opaque: await ask({ mode: "no-cors" }),
            posted: await ask({ mode: "no-cors", method: "POST", body: "{}" }),
            form: await new Promise((resolve) => {
              const frame = Object.assign(document.createElement("iframe"), { name: "steal" });
              const form = Object.assign(document.createElement("form"), { target: "steal", method: "POST", action: url });
              document.body.append(frame, form);
              form.submit();
              frame.onload = () => resolve("loaded");
            }),
            socket: await new Promise((resolve) => {
              const socket = new WebSocket(${JSON.stringify(application.url.replace("http", "ws"))} + "/sockets/websocket");
              socket.onopen = () => resolve("open");
              socket.onclose = () => resolve("closed");
            }),
            script: await jsonp(""),
            jsonp: await jsonp("?callback=steal"),
          };
        })()`);
        expect(got).to.deep.equal({
          read: "TypeError: Failed to fetch",
          opaque: "",
          posted: "",
          form: "loaded",
          socket: "closed",
          script: "nothing",
          jsonp: "nothing",
        });
        expect(requests).to.have.length(6);
        // a form of another site sends no cookie that is not for that
        for (const request of requests.filter((one) => !/^POST cross/.test(one))) {
          expect(request).to.include("with a cookie");
        }
        // those that say neither where they come from nor that it is another site; no page can read the answers
        expect(tokens).to.have.length(name === "of the same site" ? 2 : 0);
        expect(application.tokenServer.sockets()).to.deep.equal([]);
        await hasHeardNoToken();
      });
    }

    /** Looks for the tokens that were made in all that the page has and has said. */
    const hasHeardNoToken = async () => {
      const seen = await page.evaluate(`JSON.stringify([
        document.documentElement.outerHTML,
        document.cookie,
        performance.getEntries(),
        window.client && [client.state, String(client.reason), String(client.reason.cause), client.reason],
      ])`);
      for (const token of tokens) expect([seen, ...said].join("\n")).to.not.include(token);
    };
  });
});
