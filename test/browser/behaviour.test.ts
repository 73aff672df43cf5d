import type { Browser, Page } from "playwright-core";
import { allGone, startApplication } from "../client/behaviour/application.js";
import { TRANSPORTS } from "../client/behaviour/context.js";
import { SUBJECTS } from "../client/behaviour/index.js";
import type { RunInPage } from "../client/behaviour/page.js";
import type { Application } from "../support/application.js";
import { launchBrowser } from "../support/browser.js";
import { PageBundle } from "../support/page-bundle.js";

for (const transport of TRANSPORTS) {
  describe(`In Chromium, over ${transport.name}`, () => {
    let bundle: PageBundle;
    let browser: Browser;
    let application: Application;
    let page: Page;
    const problems: string[] = [];

    before(async () => {
      bundle = await PageBundle.of("test/client/behaviour/page.ts");
      application = await startApplication({ prepare: (app) => bundle.serve(app) });
      browser = await launchBrowser();
      page = await browser.newPage();
      page.on("pageerror", (error) => problems.push(bundle.original(error.stack ?? error.message)));
      await page.goto(application.url);
    });
    after(async () => {
      await allGone(application);
      await browser.close();
      await application.stop();
    });

    /** Runs a case in the page, and fails as it has failed there. */
    const run = async (subject: string, name: string) => {
      problems.length = 0;
      const failure = await page.evaluate(
        ([carried, ...names]) => (globalThis as unknown as { runCase: RunInPage }).runCase(carried, ...names),
        [transport.name, subject, name] as const,
      );
      if (failure) {
        const error = Object.assign(new Error(failure.message), { name: failure.name });
        error.stack = bundle.original(failure.stack);
        throw error;
      }
      if (problems.length > 0) throw new Error(`The page has complained:\n${problems.join("\n")}`);
    };

    for (const { name: subject, cases } of SUBJECTS) {
      describe(subject, () => {
        for (const { name } of cases) it(name, () => run(subject, name));
      });
    }
  });
}
