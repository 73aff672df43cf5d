import { readFileSync } from "node:fs";
import { expect } from "chai";
import type { Express } from "express";
import type { Browser } from "playwright-core";
import { Application } from "../support/application.js";
import { launchBrowser, Tabs } from "../support/browser.js";

const SCRIPT = readFileSync(new URL("../../dist/browser/client.js", import.meta.url), "utf8");

/** Talks to the server by a client, and ends it. It runs in pages and in workers, so it needs nothing but its arguments. */
const CONVERSE = `async (TokenSocket, options) => {
  const socket = new TokenSocket({ reconnect: false, ...options });
  const sum = await socket.rpc("add", [1, 2, 3]);
  await socket.end();
  return sum;
}`;

/** The code of a page that converses, over each transport. */
const CONVERSE_TWICE = `(async () => {
  const converse = ${CONVERSE};
  return [await converse(TokenSocket, {}), await converse(TokenSocket, { WebSocket: false })];
})().catch(String)`;

const MODULE = `<script type="module">import "/socket/client.js"; globalThis.said = ${CONVERSE_TWICE};</script>`;

const CLASSIC = `<script>globalThis.said = ${CONVERSE_TWICE};</script>`;

/** Pages that load the script, each in its own way. */
const PAGES: Record<string, string> = {
  "beside an AMD loader": `<script>
      globalThis.define = () => { throw new Error("anonymous define"); };
      define.amd = {};
    </script><script src="/socket/client.js"></script>${CLASSIC}`,
  "beside the globals of CommonJS": `<script>
      globalThis.module = { exports: {} };
      globalThis.exports = module.exports;
      globalThis.require = () => { throw new Error("required"); };
    </script><script src="/socket/client.js"></script>${CLASSIC}`,
  "as a module": `<script type="module" src="/socket/client.js"></script>${MODULE}`,
  "where it is inlined": `<script>${SCRIPT}</script>${CLASSIC}`,
  "where it is loaded by another script": `<script>
      const script = document.createElement("script");
      globalThis.said = new Promise((resolve) => (script.onload = resolve)).then(() => ${CONVERSE_TWICE});
      script.src = "/socket/client.js";
      document.head.append(script);
    </script>`,
  "in a worker": `<script>
      globalThis.said = new Promise((resolve) => {
        new Worker("/worker.js").onmessage = ({ data }) => resolve(data);
      });
    </script>`,
  "in a worker that is a module": `<script>
      globalThis.said = new Promise((resolve) => {
        new Worker("/module-worker.js", { type: "module" }).onmessage = ({ data }) => resolve(data);
      });
    </script>`,
  "in a shared worker": `<script>
      globalThis.said = new Promise((resolve) => {
        new SharedWorker("/shared-worker.js").port.onmessage = ({ data }) => resolve(data);
      });
    </script>`,
};

const SCRIPTS: Record<string, string> = {
  "/others/empty.js": "",
  "/worker.js": `importScripts("/socket/client.js"); ${CONVERSE_TWICE}.then(postMessage);`,
  "/module-worker.js": `import "/socket/client.js"; ${CONVERSE_TWICE}.then(postMessage);`,
  "/shared-worker.js": `importScripts("/socket/client.js");
    const said = ${CONVERSE_TWICE};
    onconnect = ({ ports: [port] }) => said.then((sums) => port.postMessage(sums));`,
  "/service-worker.js": `importScripts("/socket/client.js");
    const converse = ${CONVERSE};
    onmessage = ({ source, data }) =>
      converse(TokenSocket, data).catch((error) => error.code).then((said) => source.postMessage(said));`,
};

describe("The client's script in Chromium", () => {
  let browser: Browser;
  let tabs: Tabs;
  let application: Application;
  const problems: string[] = [];

  before(async () => {
    browser = await launchBrowser();
    tabs = await Tabs.of(browser);
  });
  after(() => browser.close());

  const serve = (app: Express) => {
    for (const [path, code] of Object.entries(SCRIPTS)) {
      app.get(path, (_req, res) => {
        res.type("js").send(code);
      });
    }
    Object.entries(PAGES).forEach(([name, html], index) => {
      app.get(`/page${index}`, (_req, res) => {
        res.type("html").send(`<!doctype html><title>${name}</title><body>${html}</body>`);
      });
    });
    for (const type of ["text/javascript", "module"]) {
      app.get(`/nonce/${type}`, (_req, res) => {
        res
          .set("Content-Security-Policy", "default-src 'none'; connect-src 'self'; script-src 'nonce-abc'")
          .type("html")
          .send(
            `<!doctype html><title>A page</title>
            <script nonce="abc" src="/others/empty.js"></script>
            <script nonce="abc" type="${type}" src="/socket/client.js"></script>
            <script nonce="abc" type="${type}">globalThis.said = ${CONVERSE_TWICE};</script>`,
          );
      });
    }
    app.get("/favicon.ico", (_req, res) => {
      res.sendStatus(204);
    });
    app.get("/empty", (_req, res) => {
      res.type("html").send("<!doctype html><title>A page</title>");
    });
  };

  beforeEach(async () => {
    problems.length = 0;
    application = await Application.start({
      prepare: serve,
      options: {
        socketController: {
          add: (_auth: unknown, data: unknown) => (data as number[]).reduce((a, b) => a + b),
        },
      },
    });
  });
  afterEach(() => application.stop());

  /** Opens a page, and gives what its conversations came to. */
  async function visit(path: string): Promise<unknown> {
    const page = await tabs.open();
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    await page.goto(`${application.url}${path}`, { waitUntil: "load" });
    const said = await page.evaluate(() => (globalThis as { said?: unknown }).said);
    await tabs.leave(page);
    return said;
  }

  Object.keys(PAGES).forEach((name, index) => {
    it(`talks over WebSocket and over SockJS ${name}`, async () => {
      expect(await visit(`/page${index}`)).to.deep.equal([6, 6]);
      expect(problems).to.deep.equal([]);
    });
  });

  it("hands its nonce on to SockJS, where the page's policy asks for one", async () => {
    expect(await visit("/nonce/text/javascript")).to.deep.equal([6, 6]);
    expect(await visit("/nonce/module")).to.deep.equal([6, 6]);
    expect(problems).to.deep.equal([]);
  });

  it("talks over WebSocket in a service worker, and says that there is no fallback", async () => {
    const page = await browser.newPage();
    await page.goto(`${application.url}/empty`);
    const said = await page.evaluate(`(async () => {
      const { serviceWorker } = navigator;
      await serviceWorker.register("/service-worker.js");
      const { active } = await serviceWorker.ready;
      serviceWorker.startMessages();
      const ask = (options) =>
        new Promise((resolve) => {
          serviceWorker.onmessage = ({ data }) => resolve(data);
          active.postMessage(options);
        });
      return [await ask({}), await ask({ WebSocket: false })];
    })()`);
    await page.close();
    expect(said).to.deep.equal([6, "no_transport"]);
  });
});
