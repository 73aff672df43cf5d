import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { findChromium } from "../../scripts/test-requirements.mjs";

const ARGUMENTS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts Chromium with a fresh profile, which goes away with it. */
export async function launchBrowser(): Promise<Browser> {
  const executablePath = findChromium();
  if (!executablePath) throw new Error("There is no Chromium; see scripts/test-requirements.mjs");
  return chromium.launch({ executablePath, args: ARGUMENTS });
}

/**
 * A context of a browser whose pages at 127.0.0.1 are in one process: to start one for each page is most of what a page
 * costs. They have their cookies in common.
 */
export async function sharingContext(browser: Browser): Promise<BrowserContext> {
  const context = await browser.newContext();
  // the process ends with the last of its pages
  const kept = await context.newPage();
  await kept.route("**", (route) => route.fulfill({ contentType: "text/html", body: "<!doctype html>" }));
  await kept.goto("http://127.0.0.1/");
  return context;
}

/** Opens a page of a context in which there are no cookies any more. */
export async function freshPage(context: BrowserContext): Promise<Page> {
  await context.clearCookies();
  return context.newPage();
}
