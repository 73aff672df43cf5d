import { launchBrowser } from "../browser.js";
import type { Engine } from "./engine.js";

/** Chromium, driven by Playwright. */
export const CHROMIUM: Engine = {
  name: "Chromium",
  async launch() {
    const browser = await launchBrowser();
    const page = await browser.newPage();
    return {
      open: async (url) => void (await page.goto(url)),
      evaluate: (expression) => page.evaluate(expression),
      close: () => browser.close(),
    };
  },
};
