import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import type { Browser, BrowserContext, Page } from "playwright-core";
import sinon from "sinon";
import type { TokenSocket as Client, TokenSocketOptions } from "../../lib/client/index.js";
import type { TokenSocketServerOptions } from "../../lib/index.js";
import { TokenStore } from "../../lib/server/auth/token-store.js";
import { ROOT } from "../package/installed-package.js";
import { blocksOf } from "../package/markdown.js";
import { Application } from "../support/application.js";
import { launchBrowser } from "../support/browser.js";

const DOCUMENT = readFileSync(join(ROOT, "docs/origins.md"), "utf8");

/** What the page's scripts see; it is evaluated there. */
interface ClientPage {
  TokenSocket: typeof Client;
}

/** The options of the document's server, with another origin in its list. */
function optionsFor(origin: string): TokenSocketServerOptions {
  const [block] = blocksOf(DOCUMENT).filter(({ heading }) => heading === "Pages of another origin");
  if (!block?.code.includes("https://www.example.com")) throw new Error("There is no such server");
  let options: TokenSocketServerOptions = {};
  class TokenSocketServer {
    constructor(_app: unknown, _redis: unknown, _sockjs: unknown, given: TokenSocketServerOptions) {
      options = { ...given, pubsubClient: undefined };
    }
  }
  const code = block.code.replace("https://www.example.com", origin);
  new Function("TokenSocketServer", "app", "redis", "sockjsServer", code)(TokenSocketServer);
  return options;
}

describe("The document's server for pages of another origin", () => {
  let browser: Browser;
  let pages: Server;
  let port: number;
  let application: Application;
  let context: BrowserContext;

  before(async () => {
    browser = await launchBrowser();
  });
  after(() => browser.close());

  beforeEach(async () => {
    pages = createServer((_req, res) => {
      res.setHeader("Content-Type", "text/html");
      res.end(
        `<!doctype html><title>A page</title><script src="${application.url}/socket/client.js"></script>`,
      );
    }).listen(0, "127.0.0.1");
    await once(pages, "listening");
    port = (pages.address() as AddressInfo).port;
    application = await Application.start({
      sockjs: { disconnect_delay: 2000 },
      options: {
        ...optionsFor(`http://127.0.0.1:${port}`),
        authentication: (req) => /\bknown=1\b/.test(req.headers.cookie ?? "") && { name: "alice" },
        socketController: { greet: (auth) => `Hello, ${auth.name}` },
      },
    });
    context = await browser.newContext();
    await context.addCookies([{ name: "known", value: "1", url: application.url }]);
  });
  afterEach(async () => {
    await context?.close();
    await application?.stop();
    pages.closeAllConnections();
    pages.close();
    await once(pages, "close");
  });

  async function open(host: string): Promise<Page> {
    const page = await context.newPage();
    await page.goto(`http://${host}:${port}`);
    return page;
  }

  const greeting = (page: Page, options: TokenSocketOptions) =>
    page.evaluate(
      async (given) => {
        const socket = new (globalThis as unknown as ClientPage).TokenSocket(given);
        const answer = await socket.rpc("greet");
        await socket.end();
        return answer;
      },
      { host: application.url, credentials: "include" as const, ...options },
    );

  it("lets a page of the list connect with the user's cookies, over each transport", async () => {
    const page = await open("127.0.0.1");
    const transports: TokenSocketOptions[] = ["xhr-streaming", "eventsource", "xhr-polling"].map((name) => ({
      WebSocket: false,
      sockjs: { transports: [name] },
    }));
    for (const transport of [{ sockjs: false as const }, ...transports]) {
      for (const tokenMethod of ["GET", "POST"] as const) {
        expect(await greeting(page, { ...transport, tokenMethod })).to.equal("Hello, alice");
      }
    }
  });

  it("lets such a page see how long it should wait", async () => {
    const page = await open("127.0.0.1");
    const take = sinon.stub(TokenStore.prototype, "issue").rejects(new Error("Redis is away"));
    const wait = await page
      .evaluate(
        async (url) => (await fetch(url, { credentials: "include" })).headers.get("Retry-After"),
        `${application.url}/socket/token`,
      )
      .finally(() => take.restore());
    expect(wait).to.equal("5");
  });

  it("lets a page of no other origin have a token", async () => {
    const page = await open("localhost");
    for (const method of ["GET", "POST"]) {
      const outcome = await page.evaluate(
        async ([url, way]) => {
          const headers = { "Content-Type": "application/json" };
          const options: RequestInit = way === "POST" ? { method: way, headers, body: "{}" } : {};
          return fetch(url ?? "", { ...options, credentials: "include" }).then(
            (response) => response.text(),
            (error) => error.name,
          );
        },
        [`${application.url}/socket/token`, method],
      );
      expect(outcome).to.equal("TypeError");
    }
  });
});
