import { expect } from "chai";
import { Application, type ApplicationOptions } from "../support/application.js";
import { express4 } from "../support/express4.js";
import { askForToken } from "../support/http-request.js";

for (const version of [5, 4]) {
  describe(`the token route on Express ${version}`, () => {
    let application: Application;

    const start = async (options: ApplicationOptions = {}) => {
      application = await Application.start({
        ...(version === 4 ? { express: express4 } : {}),
        ...options,
      });
      return application;
    };

    afterEach(() => application.stop());

    const ask = (query?: string, headers?: Record<string, string>) =>
      askForToken(application.url, query, headers);

    describe("with JSONP", () => {
      const CALL = /^\/\*\*\/ typeof cb === "function" && cb\((\{"token":"[0-9a-f-]{36}"\})\);$/;

      it("wraps the answer for a page of the same site, by Sec-Fetch-Site", async () => {
        await start();
        const answer = await ask("?callback=cb", { "sec-fetch-site": "same-origin" });
        expect(answer.status).to.equal(200);
        expect(answer.text).to.match(CALL);
        expect(answer.headers["content-type"]).to.match(/^text\/javascript/);
        expect(answer.headers["x-content-type-options"]).to.equal("nosniff");
        expect(answer.headers["cache-control"]).to.equal("no-store");
      });

      it("wraps the answer for a page of the same site, by Referer", async () => {
        await start();
        const answer = await ask("?callback=cb", { referer: `${application.url}/page?x=1` });
        expect(answer.status).to.equal(200);
        expect(answer.text).to.match(CALL);
      });

      it("wraps the answer for a page behind a proxy that is trusted, on https", async () => {
        await start({ prepare: (app) => app.set("trust proxy", true) });
        const headers = { "x-forwarded-host": "example.com", referer: "https://example.com/" };
        expect((await ask("?callback=cb", headers)).status).to.equal(200);
      });

      it("wraps refusals and errors, too, with their status", async () => {
        await start({ session: null });
        const answer = await ask("?callback=a.b_1.$c", { "sec-fetch-site": "same-origin" });
        expect(answer.status).to.equal(403);
        expect(answer.text).to.equal(
          '/**/ typeof a.b_1.$c === "function" && a.b_1.$c({"error":"Forbidden"});',
        );
      });

      const foreign: Record<string, Record<string, string>> = {
        "a cross-site page": { "sec-fetch-site": "cross-site" },
        "a cross-site page that forges nothing but the Referer": {
          "sec-fetch-site": "cross-site",
          referer: "SELF",
        },
        "a page of a sister site": { "sec-fetch-site": "same-site" },
        "a page elsewhere, by Referer": { referer: "https://evil.example/" },
        "a host that only begins like this one": { referer: "SELF.evil.example/" },
        "no header at all": {},
        "a Referer that is no URL": { referer: "about:blank" },
        "a forwarded host that is not trusted": {
          "x-forwarded-host": "evil.example",
          referer: "https://evil.example/",
        },
      };
      for (const [what, headers] of Object.entries(foreign)) {
        it(`refuses with 403 for ${what}`, async () => {
          await start();
          const sent = Object.fromEntries(
            Object.entries(headers).map(([name, value]) => [name, value.replace("SELF", application.url)]),
          );
          expect(await ask("?callback=cb", sent)).to.include({ status: 403, text: '{"error":"Forbidden"}' });
        });
      }

      it("answers origins of the list, and goes on answering its own site", async () => {
        await start({ options: { jsonp: ["https://partner.example"] } });
        const from = async (headers: Record<string, string>) => (await ask("?callback=cb", headers)).status;
        expect(await from({ "sec-fetch-site": "cross-site", referer: "https://partner.example/x" })).to.equal(
          200,
        );
        expect(await from({ referer: "https://partner.example/" })).to.equal(200);
        expect(await from({ "sec-fetch-site": "same-origin" })).to.equal(200);
        expect(await from({ "sec-fetch-site": "cross-site", referer: "https://other.example/" })).to.equal(
          403,
        );
        expect(await from({ "sec-fetch-site": "cross-site" })).to.equal(403);
      });

      it("refuses everybody where it is off, and says so at debug", async () => {
        await start({ options: { jsonp: false, debug: true } });
        expect((await ask("?callback=cb", { "sec-fetch-site": "same-origin" })).status).to.equal(403);
        expect(application.log.join("\n")).to.include("a JSONP request for a token was refused");
      });

      for (const callback of [
        "",
        "alert(1)",
        "a-b",
        "a[0]",
        "a..b",
        "<script>",
        "x".repeat(200),
        "1a",
        "a;b",
      ]) {
        it(`refuses the callback name ${JSON.stringify(callback.slice(0, 20))}`, async () => {
          await start();
          const query = `?callback=${encodeURIComponent(callback)}`;
          const answer = await ask(query, { "sec-fetch-site": "same-origin" });
          expect(answer).to.include({ status: 403, text: '{"error":"Forbidden"}' });
        });
      }

      it("refuses a callback that is no string", async () => {
        await start();
        expect((await ask("?callback[a]=b", { "sec-fetch-site": "same-origin" })).status).to.equal(403);
      });
    });
  });
}
