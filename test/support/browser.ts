import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { findChromium } from "../../scripts/test-requirements.mjs";

/**
 * What Chromium is to do without: the list of Omnibox's suggestions, a page of its own in each window, which costs as
 * much as what is tested in it; a process that waits for the next page; and what Playwright does without, since a browser
 * obeys the last list only.
 */
const FEATURES = [
  "WebUIOmniboxPopup",
  "WebUIOmniboxAimPopup",
  "WebUIOmniboxFullPopup",
  "AimEnabled",
  "SpareRendererForSitePerProcess",
  "AvoidCorsURLLoaderRestartOnRedirect",
  "AvoidUnnecessaryBeforeUnloadCheckSync",
  "DestroyProfileOnBrowserClose",
  "HttpsFirstBalancedModeAutoEnable",
  "HttpsUpgrades",
  "LensOverlay",
  "MediaRouter",
  "NetworkTimeServiceQuerying",
  "OptimizationHints",
  "PaintHolding",
  "PreconnectToSearch",
  "ThirdPartyStoragePartitioning",
];

const ARGUMENTS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // one process less between a page and the network
  "--enable-features=NetworkServiceInProcess2",
  `--disable-features=${FEATURES.join(",")}`,
];

/** Starts Chromium with a fresh profile, which goes away with it. */
export async function launchBrowser(): Promise<Browser> {
  const executablePath = findChromium();
  if (!executablePath) throw new Error("There is no Chromium; see scripts/test-requirements.mjs");
  return chromium.launch({ executablePath, args: ARGUMENTS });
}

/** Tabs that are used one after the other: to start a process for each page is most of what a page costs. */
export class Tabs {
  readonly #context: BrowserContext;
  readonly #free: Page[] = [];

  /** Tabs of a browser that have their cookies in common. */
  static async of(browser: Browser): Promise<Tabs> {
    return new Tabs(await browser.newContext());
  }

  private constructor(context: BrowserContext) {
    this.#context = context;
  }

  /** A tab with an empty page, when there are no cookies any more. */
  async open(): Promise<Page> {
    await this.#context.clearCookies();
    return this.#free.pop() ?? (await this.#context.newPage());
  }

  /** Ends the page of a tab, of which nothing is told any more, and keeps the tab for another page. */
  async leave(tab: Page): Promise<void> {
    for (const event of ["console", "pageerror", "request", "websocket"]) tab.removeAllListeners(event);
    await tab.goto("about:blank");
    this.#free.push(tab);
  }
}
