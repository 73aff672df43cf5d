import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import puppeteer from "puppeteer-core";
import { findFirefox } from "../../scripts/test-requirements.mjs";
import type { Engine } from "../support/engines/engine.js";

/** Firefox, driven by Puppeteer over WebDriver BiDi. */
export const FIREFOX: Engine = {
  name: "Firefox",
  async launch() {
    const executablePath = findFirefox();
    if (!executablePath) throw new Error("There is no Firefox; see scripts/test-requirements.mjs");
    // root's Firefox refuses to start where the home folder is another user's
    const home = await mkdtemp(join(tmpdir(), "firefox-"));
    const browser = await puppeteer.launch({
      browser: "firefox",
      executablePath,
      headless: true,
      env: { ...process.env, HOME: home },
    });
    const [page = await browser.newPage()] = await browser.pages();
    return {
      open: async (url) => void (await page.goto(url)),
      evaluate: (expression) => page.evaluate(expression),
      close: async () => {
        await browser.close();
        await rm(home, { recursive: true, force: true });
      },
    };
  },
};
