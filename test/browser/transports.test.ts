import { expect } from "chai";
import type { Browser, Page } from "playwright-core";
import type { TokenSocketOptions } from "../../lib/client/index.js";
import { Application } from "../support/application.js";
import { launchBrowser, Tabs } from "../support/browser.js";
import { RefusingProxy, type RefusingProxyOptions } from "../support/refusing-proxy.js";

/** The page, as an application without a bundler has it. */
const PAGE = `<!doctype html>
<html lang="en">
  <title>A page</title>
  <script src="/socket/client.js"></script>
  <script>
    const options = JSON.parse(new URLSearchParams(location.search).get("options"));
    globalThis.client = new TokenSocket({ backoff: { min: 10, max: 50 }, ...options }, { twice: (data) => data * 2 });
  </script>
</html>`;

/** What is evaluated in the page sees its client. */
interface ClientPage {
  readonly client: {
    ready(): Promise<void>;
    rpc(name: string, data: unknown): Promise<unknown>;
    channel(name: string): AsyncIterator<unknown>;
    publish(channel: string, data: unknown): Promise<void>;
    subscribe(channel: string): Promise<void>;
    onreconnect(callback: () => void): void;
    on(event: "state", listener: (state: string, previous: string, reason?: Error) => void): void;
    end(): Promise<void>;
  };
}

describe("In Chromium the client's script", () => {
  let browser: Browser;
  let tabs: Tabs;
  let application: Application;
  let proxy: RefusingProxy | undefined;
  let page: Page;
  /** What the page has asked for: of SockJS's URLs the end, which names the transport. */
  const requested: string[] = [];
  const webSockets: string[] = [];

  /** Starts the server, with a heartbeat every so many milliseconds. */
  const serve = async (heartbeat: number) => {
    application = await Application.start({
      prepare: (app) => app.get("/page", (_req, res) => res.type("html").send(PAGE)),
      // sockjs-client still makes a request that is given up in the moment before it begins; these end that one
      sockjs: { heartbeat_delay: heartbeat },
      options: { heartbeat, socketController: { echo: async (_auth, data) => data } },
    });
  };

  before(async () => {
    browser = await launchBrowser();
    tabs = await Tabs.of(browser);
  });
  after(() => browser.close());

  beforeEach(async () => {
    requested.length = 0;
    webSockets.length = 0;
    await serve(2000);
    page = await tabs.open();
    page.on("request", (request) => {
      const path = new URL(request.url()).pathname;
      requested.push(/^\/sockets\/\d+\/[^/]+\/(\w+)$/.exec(path)?.[1] ?? path);
    });
    page.on("websocket", (socket) => webSockets.push(new URL(socket.url()).pathname));
  });

  afterEach(async () => {
    await tabs.leave(page);
    await proxy?.stop();
    proxy = undefined;
    await application.stop();
  });

  /** Opens the page, through a proxy where there are options of one, and connects its client. */
  const open = async (options?: RefusingProxyOptions, clientOptions: TokenSocketOptions = {}) => {
    proxy = options && (await RefusingProxy.start(application.url, options));
    const query = new URLSearchParams({ options: JSON.stringify(clientOptions) });
    await page.goto(`${(proxy ?? application).url}/page?${query}`);
    await page.evaluate(() => (globalThis as unknown as ClientPage).client.ready());
  };

  /**
   * The server's side of the page's socket, once that has subscribed. It is not always the newest one: a request that is
   * given up in the moment before it begins may open another for a while.
   */
  const pageSocket = () => {
    const [socket, ...others] = application.tokenServer.channelSockets("room");
    if (!socket || others.length > 0)
      throw new Error("the page has another number of sockets in the channel than one");
    return socket;
  };

  /** All directions: a call each way, and a message. */
  const converse = async () => {
    const heard = await page.evaluate(async () => {
      const { client } = globalThis as unknown as ClientPage;
      const messages = client.channel("room");
      const message = messages.next();
      await client.subscribe("room");
      await client.publish("room", { text: "ü 👋" });
      return [await client.rpc("echo", ["x".repeat(50_000)]), (await message).value];
    });
    expect(heard).to.deep.equal([["x".repeat(50_000)], { text: "ü 👋" }]);
    expect(await application.tokenServer.rpc(pageSocket(), "twice", 4)).to.equal(8);
  };

  /** Has the server close the connection; resolves when the page is back. */
  const comeBack = async () => {
    const back = page.evaluate(
      () =>
        new Promise<void>((resolve) => {
          (globalThis as unknown as ClientPage).client.onreconnect(resolve);
        }),
    );
    // the page listens when it answers what came next
    await page.evaluate("1");
    pageSocket().close(4999, "Come back");
    await back;
  };

  it("is carried by a plain WebSocket, and loads nothing of SockJS", async () => {
    await open();
    await converse();
    expect(pageSocket().protocol).to.equal("websocket-raw");
    expect(webSockets).to.deep.equal(["/sockets/websocket"]);
    expect(requested).to.deep.equal(["/page", "/socket/client.js", "/socket/token"]);
    await comeBack();
    await converse();
    expect(webSockets).to.have.length(2);
    expect(requested).to.not.include("/socket/sockjs.js");
  });

  it("names attach() and the prefix where the server serves no connections there", async () => {
    await page.goto(`${application.url}/page?options={"socketPrefix":"/rooms"}`);
    const message = await page.evaluate(
      () =>
        new Promise<string | undefined>((resolve) => {
          const { client } = globalThis as unknown as ClientPage;
          client.on("state", (state, _previous, reason) => state === "waiting" && resolve(reason?.message));
        }),
    );
    expect(message).to.equal(`Nothing serves ${application.url}/rooms: was attach() called?`);
    expect(requested).to.include("/socket/sockjs.js");
  });

  for (const refusal of ["answers 403", "hangs up", "says nothing"] as const) {
    it(`is carried by xhr-streaming where a proxy ${refusal} to a WebSocket`, async () => {
      await open(
        { refusal },
        // a busy machine is not to be taken for a bad proxy
        { webSocketTimeout: refusal === "says nothing" ? 100 : 5000, sockjs: { timeout: 10_000 } },
      );
      await converse();
      expect(pageSocket().protocol).to.equal("xhr-streaming");
      expect(proxy?.refused).to.deep.equal(["/sockets/websocket"]);
      expect(requested.slice(0, 6)).to.deep.equal([
        "/page",
        "/socket/client.js",
        "/socket/token",
        "/socket/sockjs.js",
        "/sockets/info",
        "xhr_streaming",
      ]);
      expect(requested).to.not.include("xhr");
      // what has worked is kept
      await comeBack();
      await converse();
      expect(pageSocket().protocol).to.equal("xhr-streaming");
      expect(proxy?.refused).to.have.length(1);
      expect(requested.filter((path) => path === "/socket/sockjs.js")).to.have.length(1);
    });
  }

  it("is carried by xhr-polling where a proxy also holds responses back until they end", async () => {
    // on a busy machine sockjs-client waits longer than two seconds, and a heartbeat may end a response
    await application.stop();
    await serve(20_000);
    await open({ refusal: "answers 403", isBuffering: true });
    await converse();
    expect(pageSocket().protocol).to.equal("xhr-polling");
    expect(proxy?.refused).to.deep.equal(["/sockets/websocket"]);
    const tried = requested.filter((path) => ["xhr_streaming", "eventsource", "xhr"].includes(path));
    expect([...new Set(tried)]).to.deep.equal(["xhr_streaming", "eventsource", "xhr"]);
    await comeBack();
    await converse();
    expect(pageSocket().protocol).to.equal("xhr-polling");
    expect(proxy?.refused).to.have.length(1);
  });

  it("leaves nothing at the server of the transports that it has tried in vain", async () => {
    await open({ refusal: "answers 403", isBuffering: true });
    const { tokenServer } = application;
    while (tokenServer.sockets().length > 1) {
      await new Promise((resolve) => tokenServer.once("disconnect", resolve));
    }
    expect(tokenServer.sockets().map(({ protocol }) => protocol)).to.deep.equal(["xhr-polling"]);
    await page.evaluate(() => (globalThis as unknown as ClientPage).client.end());
    while (tokenServer.sockets().length > 0) {
      await new Promise((resolve) => tokenServer.once("disconnect", resolve));
    }
  });
});
