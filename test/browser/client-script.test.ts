import { expect } from "chai";
import type { Browser, Page } from "playwright-core";
import { Application } from "../support/application.js";
import { launchBrowser, Tabs } from "../support/browser.js";

/** What the page's scripts see; it is evaluated there. */
interface ClientPage {
  TokenSocket: new () => {
    rpc(name: string, data: unknown): Promise<unknown>;
    subscribe(channel: string): Promise<void>;
    publish(channel: string, data: unknown): Promise<void>;
    channel(name: string): AsyncIterator<unknown>;
    end(): Promise<void>;
  };
}

describe("the client's script in Chromium", () => {
  let browser: Browser;
  let tabs: Tabs;
  let application: Application;
  let page: Page;
  const problems: string[] = [];
  const requested: string[] = [];

  before(async () => {
    browser = await launchBrowser();
    tabs = await Tabs.of(browser);
  });
  after(() => browser.close());

  const open = async (options: { websocket?: boolean } = {}) => {
    problems.length = 0;
    requested.length = 0;
    application = await Application.start({
      sockjs: options,
      prepare: (app) =>
        app.get("/page", (_req, res) => {
          res
            .type("html")
            .send('<!doctype html><title>A page</title><script src="/socket/client.js"></script>');
        }),
      options: {
        socketController: {
          add: (_auth: unknown, data: unknown) => (data as number[]).reduce((a, b) => a + b),
        },
      },
    });
    page = await tabs.open();
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("request", (request) => requested.push(new URL(request.url()).pathname));
    await page.goto(`${application.url}/page`);
  };

  afterEach(async () => {
    await tabs.leave(page);
    await application.stop();
  });

  const converse = () =>
    page.evaluate(async () => {
      const socket = new (globalThis as unknown as ClientPage).TokenSocket();
      const sum = await socket.rpc("add", [1, 2, 3]);
      const messages = socket.channel("room");
      const message = messages.next();
      await socket.subscribe("room");
      await socket.publish("room", { text: "hello" });
      const { value } = await message;
      await socket.end();
      return { sum, value };
    });

  it("talks to the server over a plain WebSocket, and loads nothing of SockJS", async () => {
    await open();
    expect(await converse()).to.deep.equal({ sum: 6, value: { text: "hello" } });
    expect(requested).to.not.include("/socket/sockjs.js");
    expect(problems).to.deep.equal([]);
  });

  it("loads SockJS from the server where WebSocket is blocked, and talks over that", async () => {
    await open({ websocket: false });
    expect(await converse()).to.deep.equal({ sum: 6, value: { text: "hello" } });
    expect(requested).to.include("/socket/sockjs.js");
    expect(problems).to.deep.equal([]);
  });
});
