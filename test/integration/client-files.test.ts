import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { expect } from "chai";
import express, { type Express } from "express";
import { Application, type ApplicationOptions } from "../support/application.js";
import { express4 } from "../support/express4.js";

for (const [version, options] of [
  ["5", { express }],
  ["4", { express: express4 }],
] as readonly [string, { express: () => Express }][]) {
  describe(`the client's script on Express ${version}`, () => {
    let application: Application;

    const start = async (given: ApplicationOptions = {}) => {
      application = await Application.start({ ...options, ...given });
      return application.tokenServer;
    };
    const get = (path: string) => fetch(`${application.url}${path}`);

    afterEach(() => application.stop());

    it("is served beside the token route, with SockJS, to be asked for again each time", async () => {
      await start();
      for (const [path, content] of [
        ["/socket/client.js", "TokenSocket"],
        ["/socket/sockjs.js", "SockJS"],
      ] as const) {
        const answer = await get(path);
        expect(answer.status).to.equal(200);
        expect(answer.headers.get("content-type")).to.equal("text/javascript; charset=utf-8");
        expect(answer.headers.get("cache-control")).to.equal("public, no-cache");
        expect(answer.headers.get("x-content-type-options")).to.equal("nosniff");
        expect(await answer.text()).to.contain(content);
      }
    });

    it("has its address below the path at which the application is mounted", async () => {
      const outer = options.express();
      const inner = options.express();
      const { clientUrl: before } = await start({ express: () => inner });
      outer.use("/app/", inner);
      expect(application.tokenServer.clientUrl).to.equal(`/app${before}`);
      application.http.removeAllListeners("request").on("request", outer);
      expect((await get(application.tokenServer.clientUrl ?? "")).status).to.equal(200);
    });

    it("is not sent again to a browser that has it", async () => {
      await start();
      const etag = (await get("/socket/client.js")).headers.get("etag") ?? "";
      // fetch would ask for the whole file by a header of its own
      const asking = request(`${application.url}/socket/client.js`, {
        headers: { "if-none-match": etag },
        agent: false,
      });
      const [again] = (await once(asking.end(), "response")) as [IncomingMessage];
      expect(again.statusCode).to.equal(304);
      expect(await again.toArray()).to.deep.equal([]);
    });

    it("has a name that holds its hash, under which it may be kept", async () => {
      const { clientUrl = "" } = await start();
      expect(clientUrl).to.match(/^\/socket\/client\.[0-9a-f]{16}\.js$/);
      const answer = await get(clientUrl);
      expect(answer.headers.get("cache-control")).to.equal("public, max-age=31536000, immutable");
      expect(await answer.text()).to.equal(await (await get("/socket/client.js")).text());
      expect((await get("/socket/client.0123456789abcdef.js")).status).to.equal(404);
    });

    it("is where the option serveClient says, or nowhere", async () => {
      await start({ options: { serveClient: "/live/it.js" } });
      expect((await get("/live/it.js")).status).to.equal(200);
      expect((await get("/live/sockjs.js")).status).to.equal(200);
      expect((await get("/socket/client.js")).status).to.equal(404);
      await application.stop();
      const { clientUrl = "" } = await start({ options: { serveClient: "/live.js/it.js" } });
      expect(clientUrl).to.match(/^\/live\.js\/it\.[0-9a-f]{16}\.js$/);
      expect((await get(clientUrl)).headers.get("etag")).to.equal(`"${clientUrl.split(".").at(-2)}"`);
      await application.stop();
      expect((await start({ options: { serveClient: false } })).clientUrl).to.equal(undefined);
      expect((await get("/socket/client.js")).status).to.equal(404);
    });

    it("is gone after shutdown", async () => {
      const { clientUrl = "" } = await start();
      await application.tokenServer.shutdown();
      for (const path of ["/socket/client.js", "/socket/sockjs.js", clientUrl]) {
        expect((await get(path)).status).to.equal(404);
      }
    });
  });
}
