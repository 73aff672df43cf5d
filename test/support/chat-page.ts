import type { Browser, BrowserContextOptions, Locator, Page } from "playwright-core";

const DESKTOP = { width: 1100, height: 740 };

/** How long the page gets to show what is waited for, in milliseconds: less than a test gets. */
const TIMEOUT = 15_000;

/** The page of the example chat, as one user sees it. */
export class ChatPage {
  readonly page: Page;
  /** What the page has complained about. */
  readonly errors: string[] = [];
  readonly #frames: string[] = [];

  /** Opens the page in a profile of its own. */
  static async open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<ChatPage> {
    const context = await browser.newContext({ viewport: DESKTOP, ...options });
    context.setDefaultTimeout(TIMEOUT);
    return ChatPage.openIn(await context.newPage(), url);
  }

  /** Opens the page in a tab. */
  static async openIn(tab: Page, url: string): Promise<ChatPage> {
    const chat = new ChatPage(tab);
    await tab.goto(url);
    return chat;
  }

  private constructor(page: Page) {
    this.page = page;
    page.on("pageerror", (error) => this.errors.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") this.errors.push(message.text());
    });
    page.on("websocket", (socket) => {
      socket.on("framereceived", ({ payload }) => this.#frames.push(String(payload)));
    });
  }

  /** Opens the page in another window of the same user. */
  async openAnother(url: string): Promise<ChatPage> {
    return ChatPage.openIn(await this.page.context().newPage(), url);
  }

  /** Closes all windows of the user. */
  async close(): Promise<void> {
    await this.page.context().close();
  }

  async logIn(name: string): Promise<void> {
    await this.page.getByRole("radio", { name }).check({ force: true });
    await this.page.getByRole("button", { name: "Log in" }).click();
    await this.untilConnected();
  }

  /** Logs out, and waits for the page that comes then: a browser may never close one that is just being left. */
  async logOut(): Promise<void> {
    await this.page.getByRole("button", { name: "Log out" }).click();
    await this.page.getByRole("button", { name: "Log in" }).waitFor();
  }

  /** Waits until the page says that it is connected, and has got its first answers. */
  async untilConnected(): Promise<void> {
    await this.text("#status", "Connected").waitFor();
    await this.page.locator("#people li").first().waitFor({ state: "attached" });
  }

  text(selector: string, text: string): Locator {
    return this.page.locator(selector, { hasText: text });
  }

  /** Where messages are written. */
  get input(): Locator {
    return this.page.getByLabel("Message", { exact: true });
  }

  async say(text: string): Promise<void> {
    await this.input.fill(text);
    await this.page.getByRole("button", { name: "Send", exact: true }).click();
  }

  /** Waits for a message, and gives back all that the page has of it. */
  async hear(text: string): Promise<string> {
    const message = this.text("#messages li", text);
    await message.waitFor();
    return (await message.textContent()) ?? "";
  }

  /** What was written here and has not come back from the server. */
  draft(text: string): Locator {
    return this.text("#drafts li", text);
  }

  /** How often a text is shown, as a message and as one that has not come back. */
  count(text: string): Promise<number> {
    return this.text("#log li", text).count();
  }

  /** The texts of the messages that have a text in them, and the places where some are lost, from top to bottom. */
  lines(text: string): Promise<string[]> {
    const message = this.page.locator(".text", { hasText: text });
    return this.page
      .locator("#messages")
      .locator(message.or(this.page.locator(".gap")))
      .allTextContents();
  }

  async choose(room: string): Promise<void> {
    await this.text("#rooms button", room).click();
  }

  /** What has come over WebSocket with a text in it. */
  framesWith(text: string): string[] {
    return this.#frames.filter((frame) => frame.includes(text));
  }

  /** Calls the server over HTTP, with the user's cookies. */
  async fetch(path: string): Promise<{ status: number; body: unknown }> {
    const response = await this.page.request.get(new URL(path, this.page.url()).href);
    return { status: response.status(), body: await response.json() };
  }

  /** Gives a client of the user's own to a function, of which there is the source, and returns its result. */
  withClient(source: string): Promise<unknown> {
    return this.page.evaluate(`(async () => {
      const client = new TokenSocket();
      try {
        return await (${source})(client);
      } finally {
        await client.end();
      }
    })()`);
  }

  /** The width that the page takes, in pixels. */
  width(): Promise<number> {
    return this.page.evaluate("document.documentElement.scrollWidth");
  }
}

/** Profiles of users, for one after the other: to start a process for each page is most of what a page costs. */
export class Profiles {
  readonly #browser: Browser;
  readonly #free: Page[] = [];
  readonly #used: Page[] = [];

  constructor(browser: Browser) {
    this.#browser = browser;
  }

  /** Opens the page for a user whom no server knows. */
  async open(url: string): Promise<ChatPage> {
    const known = this.#free.pop();
    const chat = known ? await ChatPage.openIn(known, url) : await ChatPage.open(this.#browser, url);
    this.#used.push(chat.page);
    return chat;
  }

  /** Ends the pages of all users, of which nothing is told any more, and forgets who they were. */
  async leave(): Promise<void> {
    await Promise.all(
      this.#used.splice(0).map(async (tab) => {
        for (const event of ["console", "pageerror", "websocket"]) tab.removeAllListeners(event);
        const [, ...others] = tab.context().pages();
        await Promise.all([tab.goto("about:blank"), ...others.map((page) => page.close())]);
        await tab.context().clearCookies();
        this.#free.push(tab);
      }),
    );
  }
}
