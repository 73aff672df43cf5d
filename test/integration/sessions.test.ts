import { expect } from "chai";
import express, { type Express } from "express";
import { TokenSocket } from "../../lib/client/index.js";
import type { TokenSocketServerOptions } from "../../lib/index.js";
import { Application } from "../support/application.js";
import { until } from "../support/condition.js";
import { express4 } from "../support/express4.js";
import { connectNodeRedis, type NodeRedis } from "../support/node-redis.js";
import { type RedisServer, startRedis } from "../support/redis-server.js";
import { PASSWORD, SESSION_KINDS, type SessionKind } from "../support/sessions.js";
import type { WireClient } from "../support/wire-client.js";

const HOUR = 3_600_000;

/** How long a short session lasts, in milliseconds. */
const LIFE = 1_500;

/** A browser's cookies, and its requests with them. */
class Browser {
  readonly #url: string;
  readonly #cookies = new Map<string, string>();

  constructor(url: string) {
    this.#url = url;
  }

  /** The header with all cookies. */
  get cookie(): string {
    return [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; ");
  }

  /** Forgets all cookies, as when their time is over. */
  clear(): void {
    this.#cookies.clear();
  }

  readonly fetch = async (url: string, init: RequestInit = {}): Promise<Response> => {
    const response = await fetch(url, { ...init, headers: { ...init.headers, cookie: this.cookie } });
    for (const line of response.headers.getSetCookie()) {
      const [, name = "", value] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (value) this.#cookies.set(name, value);
      else this.#cookies.delete(name);
    }
    return response;
  };

  async post(path: string, form: Record<string, string> = {}): Promise<Response> {
    return this.fetch(this.#url + path, { method: "POST", body: new URLSearchParams(form) });
  }

  async logIn(username: string, more: Record<string, string> = {}): Promise<number> {
    return (await this.post("/login", { username, password: PASSWORD, ...more })).status;
  }

  ask(): Promise<Response> {
    return this.fetch(`${this.#url}/socket/token`);
  }

  async token(): Promise<string> {
    return ((await (await this.ask()).json()) as { token: string }).token;
  }

  /** Another one with the same cookies. */
  copy(): Browser {
    const copy = new Browser(this.#url);
    for (const [name, value] of this.#cookies) copy.#cookies.set(name, value);
    return copy;
  }
}

describe("A session", () => {
  let redis: RedisServer;
  let store: NodeRedis;

  before(async () => {
    redis = await startRedis();
    store = await connectNodeRedis(redis.url);
  });
  after(async () => {
    await store.close();
    await redis.stop();
  });

  for (const kind of SESSION_KINDS) {
    for (const [version, make] of [
      [5, express],
      [4, express4],
    ] as const) {
      describe(`of ${kind.name}, on Express ${version}`, () => describeSession(kind, make, () => store));
    }
  }
});

function describeSession(kind: SessionKind, make: () => Express, store: () => NodeRedis): void {
  let application: Application;
  let clients: TokenSocket[];

  beforeEach(() => {
    clients = [];
  });
  afterEach(async () => {
    await Promise.all(clients.map((client) => client.end()));
    await application.stop();
  });

  /** Starts an application; gives a browser without a cookie. */
  const start = async (life?: number, limits: TokenSocketServerOptions["limits"] = {}) => {
    application = await Application.start({
      session: null,
      express: () => {
        const app = make();
        kind.mount(app, { life, redis: store(), tokenServer: () => application.tokenServer });
        return app;
      },
      options: {
        ...(kind.options as TokenSocketServerOptions),
        limits,
        socketController: { whoAmI: ({ name }: { name: string }) => name },
      },
    });
    return new Browser(application.url);
  };

  /** Opens a socket with a new token; gives the answer to that, too. */
  const connect = async (browser: Browser, client?: WireClient) => {
    const token = await browser.token();
    const opened = client ?? (await application.open());
    const { resp, server } = await opened.request({ rpc: "auth", token, protocol: 4 });
    expect(resp).to.equal("success");
    return { client: opened, expiresIn: (server as { expiresIn?: number }).expiresIn };
  };

  /** Opens a page, whose client comes back by itself. */
  const openPage = async (browser: Browser) => {
    const client = new TokenSocket({
      host: application.url,
      fetch: browser.fetch as typeof fetch,
      backoff: { min: 10, max: 20 },
      logger: { error() {}, debug() {} },
    });
    clients.push(client);
    await client.ready();
    return client;
  };

  it("gives whoever logs in a token and an identity, and nobody else", async () => {
    const browser = await start();
    expect((await browser.ask()).status).to.equal(403);
    expect(await browser.logIn("alice", { password: "a guess" })).to.equal(401);
    expect((await browser.ask()).status).to.equal(403);
    expect(await browser.logIn("alice")).to.equal(204);
    const { client } = await connect(browser);
    expect((await client.request({ rpc: "whoAmI" })).resp).to.equal("alice");
    expect(application.errors).to.deep.equal([]);
  });

  it("ends no socket where its cookie has no end", async () => {
    const browser = await start();
    await browser.logIn("alice");
    expect((await connect(browser)).expiresIn).to.equal(undefined);
  });

  it("ends a socket that gets no new token, and a page whose cookie is gone by then", async () => {
    const browser = await start(LIFE, { expiryGrace: 1 });
    const begin = Date.now();
    await browser.logIn("alice");
    const { client } = await connect(browser);
    const page = await openPage(browser);
    browser.clear();
    expect(await client.closed).to.deep.equal({ code: 4410, reason: "Identity expired" });
    expect(Date.now()).to.be.at.least(begin + LIFE);
    await until(() => page.state === "closed");
    expect(page.reason?.message).to.equal("Forbidden");
  });

  if (kind.isKept) {
    it("ends no socket of a user who is not to be remembered, where others are", async () => {
      const browser = await start(HOUR);
      await browser.logIn("alice", { remember: "no" });
      expect((await connect(browser)).expiresIn).to.equal(undefined);
    });

    it("lasts longer with each new token", async () => {
      const browser = await start(HOUR);
      await browser.logIn("alice");
      const first = await connect(browser);
      const end = Date.now() + Number(first.expiresIn);
      await until(() => Date.now() > end - HOUR + 50);
      const asked = Date.now();
      const { expiresIn } = await connect(browser, first.client);
      expect(Date.now() + Number(expiresIn)).to.be.at.least(asked + HOUR);
    });
  }

  it("is over after a logout for all who have its cookie, and for nobody else", async () => {
    const browser = await start(HOUR);
    await browser.logIn("alice");
    const copy = browser.copy();
    const pages = [await openPage(browser), await openPage(copy)];
    const other = new Browser(application.url);
    await other.logIn("alice");
    const stranger = new Browser(application.url);
    await stranger.logIn("bob");
    const others = [await openPage(other), await openPage(stranger)];

    expect((await browser.post("/logout")).status).to.equal(204);
    await until(() => pages.every((page) => page.state === "closed"));
    expect((await browser.ask()).status).to.equal(403);
    expect((await copy.ask()).status).to.equal(403);
    expect(await Promise.all(others.map((page) => page.rpc("whoAmI")))).to.deep.equal(["alice", "bob"]);

    expect(await browser.logIn("alice")).to.equal(204);
    expect(await (await openPage(browser)).rpc("whoAmI")).to.equal("alice");
    expect(application.errors).to.deep.equal([]);
  });

  if (kind.isKept) {
    it("makes way for another user's in the same browser", async () => {
      const browser = await start();
      await browser.logIn("alice");
      const sessionId = await (await browser.fetch(`${application.url}/session-id`)).text();
      const page = await openPage(browser);
      await browser.logIn("bob");
      const back = new Promise<void>((resolve) => page.onreconnect(resolve));
      expect(await application.tokenServer.disconnect({ sessionId })).to.equal(1);
      await back;
      expect(await page.rpc("whoAmI")).to.equal("bob");
    });
  } else {
    it("is over for the browser alone where nobody keeps a list of the logins", async () => {
      const browser = await start();
      await browser.logIn("alice");
      const copy = browser.copy();
      await browser.post("/forget");
      expect((await browser.ask()).status).to.equal(403);
      expect((await copy.ask()).status).to.equal(200);
    });

    it("is refused by logout(), which could not keep out who has a copy", async () => {
      const browser = await start();
      await browser.logIn("alice");
      const answer = await browser.post("/wrong-logout");
      expect(await answer.text()).to.include("disconnect({ identity })");
    });
  }
}
