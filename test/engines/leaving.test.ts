import { expect } from "chai";
import type { Response } from "express";
import { deferred } from "../client/behaviour/helpers.js";
import { Application } from "../support/application.js";
import { type EnginePage, LAUNCHING } from "../support/engines/engine.js";
import { PageBundle } from "../support/page-bundle.js";
import { ENGINES } from "./engines.js";

/** Longer than the longest wait between the attempts of the page's client, in milliseconds. */
const LONG = 500;

for (const engine of ENGINES) {
  describe(`In ${engine.name} a page that is left`, () => {
    let bundle: PageBundle;
    let page: EnginePage;
    let application: Application;
    let tokenRequests: number;
    /** The answer to the request for the next page. */
    let next: ReturnType<typeof deferred<Response>>;

    before(async () => {
      bundle = await PageBundle.of("test/engines/page.ts");
      page = await engine.launch();
    }).timeout(LAUNCHING);
    after(() => page.close());

    beforeEach(async () => {
      tokenRequests = 0;
      next = deferred<Response>();
      application = await Application.start({
        prepare: (app) => {
          bundle.serve(app);
          app.use("/socket/token", (_req, _res, proceed) => {
            tokenRequests++;
            proceed();
          });
          app.get("/next", (_req, res) => next.resolve(res));
        },
      });
      await page.open(application.url);
      await page.evaluate("client.ready()");
    });
    afterEach(() => application.stop());

    it("makes no new attempt while the next one is awaited", async () => {
      const { tokenServer } = application;
      await page.evaluate('void setTimeout(() => location.assign("/next"))');
      const response = await next.promise;
      await new Promise((resolve) => setTimeout(resolve, LONG));
      response.type("html").send("<!doctype html><title>The next page</title>");
      while (tokenServer.sockets().length > 0) {
        await new Promise((resolve) => tokenServer.once("disconnect", resolve));
      }
      expect(tokenRequests).to.equal(1);
    });
  });
}
