import type { Application } from "../../support/application.js";
import { type Engine, type EnginePage, LAUNCHING } from "../../support/engines/engine.js";
import { PageBundle } from "../../support/page-bundle.js";
import { allGone, startApplication } from "./application.js";
import { TRANSPORTS } from "./context.js";
import { SUBJECTS } from "./index.js";
import type { Failure } from "./page.js";

/** Defines the tests of the client's behaviour in a page of a browser. */
export function describeBehaviour(engine: Engine): void {
  describe(`In ${engine.name}`, () => {
    let bundle: PageBundle;
    let page: EnginePage;

    before(async () => {
      bundle = await PageBundle.of("test/client/behaviour/page.ts");
      page = await engine.launch();
    }).timeout(LAUNCHING);
    after(() => page.close());

    /** Runs a case in the page, and fails as it has failed there. */
    const run = async (...names: [transport: string, subject: string, name: string]) => {
      const failure = (await page.evaluate(`runCase(...${JSON.stringify(names)})`)) as Failure | null;
      if (!failure) return;
      const { name, message, stack } = failure;
      throw Object.assign(new Error(bundle.original(message)), { name, stack: bundle.original(stack) });
    };

    for (const transport of TRANSPORTS) {
      describe(`over ${transport.name}`, () => {
        let application: Application;

        before(async () => {
          application = await startApplication({ prepare: (app) => bundle.serve(app) });
          await page.open(application.url);
        });
        after(async () => {
          await allGone(application);
          await application.stop();
        });

        for (const { name: subject, cases } of SUBJECTS) {
          describe(subject, () => {
            for (const { name } of cases) it(name, () => run(transport.name, subject, name));
          });
        }
      });
    }
  });
}
