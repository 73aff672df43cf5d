import { expect } from "chai";
import type { Browser, Page } from "playwright-core";
import { launchBrowser } from "../support/browser.js";
import { ServerProcess } from "../support/server-process.js";

/** How long the page gets to show what is waited for, in milliseconds: less than a test gets. */
const TIMEOUT = 15_000;

/** The process of the example compiles TypeScript. */
const start = (environment: Record<string, string> = {}) =>
  ServerProcess.start("examples/react/server.ts", { NODE_OPTIONS: "--import tsx", ...environment });

describe("the example dashboard in Chromium", () => {
  let browser: Browser;
  let server: ServerProcess;
  /** What the pages have complained about. */
  const problems: string[] = [];

  before(async () => {
    browser = await launchBrowser();
  });
  after(() => Promise.all([browser.close(), server?.stop()]));

  beforeEach(async () => {
    problems.length = 0;
    if (!server?.isRunning) server = await start();
  });
  afterEach(async function () {
    await Promise.all(browser.contexts().map((context) => context.close()));
    // what it has left on the server may be in the way of others
    if (this.currentTest?.state === "failed") await server.kill();
  });

  /** Opens the dashboard in a profile of its own. */
  const open = async (options: Parameters<Browser["newContext"]>[0] = {}): Promise<Page> => {
    const context = await browser.newContext(options);
    context.setDefaultTimeout(TIMEOUT);
    const page = await context.newPage();
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") problems.push(message.text());
    });
    await page.goto(server.url);
    await page.getByRole("status").getByText("Connected").waitFor();
    return page;
  };

  /** Waits until the lines have more points than so many. */
  const pointsAfter = (page: Page, count: number) => {
    const fewer = Array.from({ length: count + 1 }, (_, i) => `[data-points="${i}"]`);
    return page.locator(`[data-points]:not(${fewer.join(", ")})`).waitFor();
  };

  const countPoints = async (page: Page) =>
    Number(await page.locator("[data-points]").getAttribute("data-points"));

  const add = async (page: Page, text: string) => {
    await page.getByLabel("Note", { exact: true }).fill(text);
    await page.getByRole("button", { name: "Add" }).click();
  };

  const note = (page: Page, text: string) => page.getByRole("listitem").filter({ hasText: text });

  it("draws the numbers of the server as they come, at another speed, too", async () => {
    const page = await open();
    await pointsAfter(page, 2);
    expect(await page.locator(".number").allTextContents()).to.have.length(3);
    expect(await page.locator(".number").nth(1).textContent()).to.match(/^\d+\.\d$/);
    const line = await page.locator("polyline").first().getAttribute("points");
    expect(line?.split(" ").length).to.be.at.least(3);
    await page.getByLabel("How often").selectOption("1 a second");
    await pointsAfter(page, await countPoints(page));
    expect(problems).to.deep.equal([]);
  });

  const nameOf = async (page: Page) => (await page.locator(".me b").textContent()) ?? "";

  it("shows each visitor the reactions of the others", async () => {
    const [alice, bob] = await Promise.all([open(), open()]);
    const name = await nameOf(alice);
    expect(name).to.match(/^\w+ \w+$/);
    await bob.getByRole("button", { name: "Fire" }).and(bob.locator(":enabled")).waitFor();
    await alice.getByRole("button", { name: "Fire" }).click();
    for (const page of [alice, bob]) {
      await page.getByRole("listitem").filter({ hasText: "🔥" }).filter({ hasText: name }).waitFor();
    }
    expect(problems).to.deep.equal([]);
  });

  it("shows a visitor who comes later the reactions of before", async () => {
    const alice = await open();
    const name = await nameOf(alice);
    const untilShown = async (page: Page) => {
      for (const [index, emoji] of ["☕", "🎉"].entries()) {
        await page.locator(".reactions li").nth(index).getByText(`${emoji} ${name}`).waitFor();
      }
    };
    for (const label of ["Hooray", "Coffee"]) {
      await alice.getByRole("button", { name: label }).and(alice.locator(":enabled")).click();
    }
    await untilShown(alice);
    await untilShown(await open());
    expect(problems).to.deep.equal([]);
  });

  it("adds and removes notes for all, and says why it does not", async () => {
    const [alice, bob] = await Promise.all([open(), open()]);
    await bob.getByText("There are no notes yet.").waitFor();
    await add(alice, "Buy milk");
    await note(alice, "Buy milk").waitFor();
    await note(bob, "Buy milk").waitFor();
    expect(await alice.getByLabel("Note", { exact: true }).inputValue()).to.equal("");
    await add(bob, "Buy milk");
    await bob.getByText("There is such a note already").waitFor();
    await add(bob, " ");
    await bob.getByText("A note needs a text").waitFor();
    await bob.getByRole("button", { name: "Remove “Buy milk”" }).click();
    for (const page of [alice, bob]) await page.getByText("There are no notes yet.").waitFor();
    expect(problems).to.deep.equal([]);
  });

  it("says that the server is gone, and goes on when it is back", async () => {
    const page = await open();
    await add(page, "Soon forgotten");
    await note(page, "Soon forgotten").waitFor();
    await pointsAfter(page, 1);
    const { port } = server;
    await server.kill();
    await page.getByRole("alert").getByText("The connection is lost").waitFor();
    await page.getByRole("status").getByText("Offline").waitFor();
    server = await start({ PORT: String(port) });
    // on a busy machine the client may have come back by itself, and the button is gone
    const isBack = page.getByRole("status").getByText("Connected").waitFor();
    await Promise.race([
      page
        .getByRole("button", { name: "Try now" })
        .click()
        .catch(() => {}),
      isBack,
    ]);
    await isBack;
    await page.getByText("The connection is lost").waitFor({ state: "detached" });
    await page.getByText("There are no notes yet.").waitFor();
    await pointsAfter(page, await countPoints(page));
    await page.getByRole("button", { name: "Thumbs up" }).and(page.locator(":enabled")).click();
    await page.getByRole("listitem").filter({ hasText: "👍" }).waitFor();
  });

  it("fits a phone, in the dark", async () => {
    const page = await open({ viewport: { width: 360, height: 740 }, colorScheme: "dark" });
    expect(await page.evaluate("document.documentElement.scrollWidth")).to.equal(360);
    expect(await page.evaluate("getComputedStyle(document.body).backgroundColor")).to.equal(
      "rgb(18, 18, 26)",
    );
    expect(problems).to.deep.equal([]);
  });
});
