import * as client from "../../lib/client/index.js";
import type { Application } from "../support/application.js";
import { allGone, startApplication } from "./behaviour/application.js";
import { runCase, TRANSPORTS } from "./behaviour/context.js";
import { SUBJECTS } from "./behaviour/index.js";

for (const transport of TRANSPORTS) {
  describe(`In Node.js, over ${transport.name}`, () => {
    let application: Application;

    before(async () => {
      application = await startApplication();
    });
    after(async () => {
      await allGone(application);
      await application.stop();
    });

    for (const { name, cases } of SUBJECTS) {
      describe(name, () => {
        for (const one of cases) {
          it(one.name, () => runCase(one, transport, client, { host: application.url }));
        }
      });
    }
  });
}
