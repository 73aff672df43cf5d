import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { expect } from "chai";
import type { TokenSocketServerOptions } from "../../lib/index.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import { express4 } from "../support/express4.js";

/** Where the application says that it is, whatever the address. */
const HOST = "app.example:8080";
const OWN = "http://app.example:8080";

type Headers = Record<string, string>;

/** What of a server can be asked for, and how it says yes. */
const PLACES = {
  "the token route by GET": { method: "GET", path: "/socket/token", good: 200 },
  "the token route by POST": { method: "POST", path: "/socket/token", good: 200 },
  "SockJS's info": { method: "GET", path: "/sockets/info", good: 200 },
  "a session by xhr": { method: "POST", path: "/sockets/1/SESSION/xhr", good: 200 },
  "a session by eventsource": { method: "GET", path: "/sockets/1/SESSION/eventsource", good: 200 },
  "a SockJS WebSocket": { method: "GET", path: "/sockets/1/SESSION/websocket", good: 101 },
  "a plain WebSocket": { method: "GET", path: "/sockets/websocket", good: 101 },
} as const;
type Place = (typeof PLACES)[keyof typeof PLACES];

const UPGRADE = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
};

for (const version of [5, 4]) {
  describe(`A page's origin, on Express ${version}`, () => {
    let application: Application;
    let sessions = 0;

    const start = async (options: ApplicationOptions = {}) => {
      application = await Application.start({ ...(version === 4 ? { express: express4 } : {}), ...options });
    };
    afterEach(() => application.stop());

    /** The answer's head; what would come after it is not waited for. */
    const ask = async ({ method, path, good }: Place, headers: Headers = {}) => {
      const { hostname, port } = new URL(application.url);
      const url = path.replace("SESSION", `origin${version}${sessions++}`);
      const sent = { host: HOST, ...(good === 101 && UPGRADE), ...headers };
      const req = request({ hostname, port, method, path: url, headers: sent, agent: false });
      req.end();
      const res = await new Promise<IncomingMessage>((resolve, reject) => {
        req.on("response", resolve).on("error", reject);
        req.on("upgrade", (answer, socket) => {
          socket.destroy();
          resolve(answer);
        });
      });
      req.destroy();
      return { status: res.statusCode, headers: res.headers };
    };

    const expectAt = async (what: "good" | "refused", headers: Headers, places = Object.entries(PLACES)) => {
      for (const [name, place] of places) {
        const { status, headers: answered } = await ask(place, headers);
        expect(status, `${name} for ${JSON.stringify(headers)}`).to.equal(what === "good" ? place.good : 403);
        if (what === "refused") expect(answered).to.not.have.property("access-control-allow-origin");
      }
    };

    it("may be that of the request's host, or unknown", async () => {
      await start();
      for (const headers of [
        {},
        { origin: OWN },
        { "sec-fetch-site": "same-origin" },
        { "sec-fetch-site": "none" },
        // a proxy ends TLS, and the application does not know of it
        { origin: "https://app.example:8080" },
        { host: "APP.example:8080", origin: OWN },
        { host: "app.example", origin: "https://app.example" },
        { host: "app.example:443", origin: "https://app.example" },
        { host: "[::1]:3000", origin: "http://[::1]:3000" },
        { host: "[0:0::1]:3000", origin: "http://[::1]:3000" },
        { host: "app.example.", origin: "http://app.example." },
      ]) {
        await expectAt("good", headers as Headers);
      }
    });

    const ALIKE = [
      "null",
      "",
      "*",
      "http://app.example",
      "http://app.example:80801",
      "http://app.example:8081",
      "http://app.example:8080.evil",
      "http://app.example.evil:8080",
      "http://evil.app.example:8080",
      "http://evilapp.example:8080",
      "http://app.example.:8080",
      "HTTP://APP.EXAMPLE:8080",
      "http://APP.example:8080",
      "http://app.example:8080/",
      "http://app.example:8080#",
      "http://app.example:8080@evil.example",
      "http://evil.example@app.example:8080",
      "http://evil.example, http://app.example:8080",
      "http://app.example:8080, http://evil.example",
      "ws://app.example:8080",
      "ftp://app.example:8080",
      "file://app.example:8080",
      "app.example:8080",
      "http://app%2eexample:8080",
      "http://[::1]:8080",
      "http://127.0.0.1:8080",
    ];

    it("is refused where it is just like that of the request's host", async () => {
      await start();
      for (const origin of ALIKE) await expectAt("refused", { origin });
      await expectAt("refused", { "sec-fetch-site": "cross-site" });
      expect(application.errors).to.deep.equal([]);
    });

    it("is refused where it is just like one of the list, or of a pattern", async () => {
      for (const allowedOrigins of [[OWN], /http:\/\/app.example:8080/g]) {
        await start({ options: { allowedOrigins } });
        for (const origin of ALIKE) await expectAt("refused", { host: "other.example", origin });
        await application.stop();
      }
      await start({ options: { allowedOrigins: [OWN] } });
      await expectAt("good", { host: "other.example", origin: OWN });
    });

    it("is refused where it is none, whatever a pattern fits", async () => {
      await start({ options: { allowedOrigins: /.*/ } });
      await expectAt("good", { origin: "https://any.example" });
      await expectAt("refused", { origin: "null" });
    });

    it("is refused where the request is known to have come by https, and the page has not", async () => {
      await start({ prepare: (app) => app.set("trust proxy", true) });
      const secure = { "x-forwarded-proto": "https" };
      await expectAt("refused", { ...secure, origin: OWN });
      await expectAt("good", { ...secure, origin: "https://app.example:8080" });
    });

    it("is compared with the host that a proxy names, where that is trusted", async () => {
      const forwarded = { "x-forwarded-host": "public.example", origin: "https://public.example" };
      await start();
      await expectAt("refused", forwarded);
      await application.stop();
      await start({ prepare: (app) => app.set("trust proxy", "loopback") });
      await expectAt("good", forwarded);
      await expectAt("refused", { "x-forwarded-host": "public.example", origin: OWN });
      // each proxy adds the host that it was asked for
      const twice = { "x-forwarded-host": "public.example, inner.example" };
      await expectAt("good", { ...twice, origin: "https://public.example" });
      await expectAt("refused", { ...twice, origin: "https://inner.example" });
    });

    it("may be another one that a list, a pattern or a function allows", async () => {
      const foreign = "https://www.partner.example";
      const ways: TokenSocketServerOptions[] = [
        { allowedOrigins: ["https://a.example", foreign] },
        { allowedOrigins: /https:\/\/(www|shop)\.partner\.example/y },
        { allowedOrigins: (origin, req) => origin === foreign && req.get("host") === HOST },
      ];
      for (const options of ways) {
        await start({ options });
        for (let i = 0; i < 2; i++)
          await expectAt("good", { origin: foreign, "sec-fetch-site": "cross-site" });
        await expectAt("good", { origin: OWN });
        for (const origin of [
          "https://partner.example",
          "http://www.partner.example",
          `${foreign}.evil`,
          "null",
        ]) {
          await expectAt("refused", { origin });
        }
        await application.stop();
      }
      await start();
    });

    it("is refused where the function fails, or says anything but true", async () => {
      const answers = [
        () => {
          throw new Error("no database");
        },
        async () => true,
        () => "yes",
        () => undefined,
      ];
      for (const answer of answers) {
        await start({ options: { allowedOrigins: answer as never } });
        await expectAt("refused", { origin: "https://www.example.com" });
        expect(application.errors).to.have.length(Object.keys(PLACES).length);
        await application.stop();
      }
      await start();
    });

    it("has to be known for upgrades and POST requests, where allowMissingOrigin is off", async () => {
      await start({ options: { allowMissingOrigin: false } });
      const asking = Object.entries(PLACES).filter(
        ([, { method, good }]) => method === "POST" || good === 101,
      );
      const reading = Object.entries(PLACES).filter(([name]) => !asking.some(([other]) => other === name));
      await expectAt("refused", {}, asking);
      await expectAt("good", {}, reading);
      await expectAt("good", { origin: OWN });
      expect(application.log).to.deep.equal([
        "node-token-sockjs: a request that names no origin was refused, as options.allowMissingOrigin has it",
      ]);
    });

    it("is refused where the request names no host", async () => {
      await start();
      const answerTo = async (...headers: string[]) => {
        const socket = await application.dial(
          ["GET /sockets/info HTTP/1.0", ...headers, "\r\n"].join("\r\n"),
        );
        return String((await once(socket, "data"))[0]).slice(0, 13);
      };
      expect(await answerTo(`Origin: ${OWN}`)).to.equal("HTTP/1.1 403 ");
      expect(await answerTo()).to.equal("HTTP/1.1 200 ");
    });

    it("gets the CORS headers that credentials need from the token route, where it is allowed alone", async () => {
      const foreign = "https://www.example.com";
      await start({ options: { allowedOrigins: [foreign] } });
      const place = PLACES["the token route by GET"];
      const { headers } = await ask(place, { origin: foreign });
      expect(headers).to.include({
        "access-control-allow-origin": foreign,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "Retry-After",
        vary: "Origin",
      });
      expect(headers).to.not.have.any.keys("access-control-allow-methods", "access-control-allow-headers");
      const preflight = { method: "OPTIONS", path: "/socket/token", good: 200 } as unknown as Place;
      const asked = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,x-a",
      };
      const allowed = await ask(preflight, { origin: foreign, ...asked });
      expect(allowed.status).to.equal(204);
      expect(allowed.headers).to.include({
        "access-control-allow-origin": foreign,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-headers": "content-type,x-a",
      });
      const simple = await ask(preflight, { origin: foreign });
      expect([simple.status, simple.headers["access-control-allow-headers"]]).to.deep.equal([204, undefined]);
      const refused = await ask(preflight, { origin: "https://evil.example", ...asked });
      expect(refused.status).to.equal(403);
      for (const origin of [OWN, "https://evil.example"]) {
        const answer = (await ask(place, { origin })).headers;
        expect(answer).to.include({ vary: "Origin" });
        expect(Object.keys(answer).filter((name) => name.startsWith("access-control"))).to.deep.equal([]);
      }
    });

    it("is warned of once where it is refused, with what was expected, up to a number of origins", async () => {
      await start();
      const refuse = async (origin: string) => {
        expect((await ask(PLACES["the token route by GET"], { origin })).status).to.equal(403);
      };
      for (let i = 0; i < 30; i++) await refuse(`https://${Math.floor(i / 2)}.example`);
      expect(application.log).to.have.length(15);
      for (const part of ['"https://0.example"', '"app.example:8080"', "options.allowedOrigins"]) {
        expect(application.log[0]).to.include(part);
      }
      for (let i = 100; i < 130; i++) await refuse(`https://${i}${"x".repeat(300)}.example`);
      expect(application.log).to.have.length(20);
      expect(application.log.join()).to.have.length.below(20 * 400);
    });

    it("is warned of by what a browser says of the site, where it names no origin", async () => {
      await start();
      const place = PLACES["the token route by GET"];
      for (const host of [HOST, "other.example", `${"h".repeat(250)}.example`]) {
        await ask(place, { host, "sec-fetch-site": "cross-site" });
      }
      expect(application.log).to.deep.equal([
        `node-token-sockjs: a page of "another site" was refused: this server is "${HOST}" to it, and options.allowedOrigins does not allow others`,
      ]);
      await ask(place, { host: `${"h".repeat(250)}.example`, origin: `https://${"o".repeat(250)}.example` });
      expect(application.log[1])
        .to.include(`"https://${"o".repeat(192)}"`)
        .and.include(`"${"h".repeat(200)}"`);
    });

    it("is reported at debug where it is refused, without what is secret", async () => {
      await start({ options: { debug: true } });
      await expectAt("refused", { origin: "https://evil.example", cookie: "secret=1" });
      const lines = application.log.filter((line) => line.includes("refused"));
      // and the warning
      expect(lines).to.have.length(Object.keys(PLACES).length + 1);
      expect(lines.join()).to.not.match(/secret|origin\d/);
    });
  });
}
