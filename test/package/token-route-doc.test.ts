import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { expect } from "chai";
import sinon from "sinon";
import { TokenStore } from "../../lib/server/auth/token-store.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import { ROOT } from "./installed-package.js";
import { codeOf, tableUnder } from "./markdown.js";

const DOCUMENT = readFileSync(join(ROOT, "docs/authentication.md"), "utf8");

/** The answers that the document lists, each as its status and its body. */
const LISTED = tableUnder(DOCUMENT, "tokenRoute").map(([status, body]) => `${status} ${codeOf(body)}`);

interface Scenario {
  readonly options?: ApplicationOptions;
  /** Asks the route; default by GET. */
  ask?(application: Application, url: string): Promise<Response>;
}

const post = (url: string, body: string, type = "application/json") =>
  fetch(url, { method: "POST", body, headers: { "Content-Type": type } });

/** What leads to each of them. */
const SCENARIOS: Record<string, Scenario> = {
  '200 {"token":"…"}': {},
  '400 {"error":"A nonce is missing"}': { options: { options: { tokenBinding: "nonce" } } },
  '400 {"error":"Invalid request"}': { ask: (_application, url) => post(url, "{") },
  '403 {"error":"Forbidden"}': { options: { session: null } },
  '408 {"error":"Body too slow"}': {
    options: { options: { limits: { bodyTimeout: 20 } } },
    async ask(_application, url) {
      const headers = { "Content-Type": "application/json", "Content-Length": 9 };
      const asked = request(url, { method: "POST", headers }).on("error", () => {});
      asked.flushHeaders();
      const [response] = (await once(asked, "response")) as [IncomingMessage];
      const body = Buffer.concat(await response.toArray());
      const cache = response.headers["cache-control"] ?? "";
      return new Response(body, { status: response.statusCode ?? 0, headers: { "cache-control": cache } });
    },
  },
  '413 {"error":"Invalid request"}': {
    ask: (_application, url) => post(url, JSON.stringify("x".repeat(70_000))),
  },
  '415 {"error":"Invalid request"}': {
    ask: (_application, url) => post(url, "{}", "application/json; charset=x-unknown"),
  },
  '429 {"error":"Too many tokens"}': {
    options: { options: { limits: { tokensPerIp: 1 } } },
    async ask(application, url) {
      await application.token();
      return fetch(url);
    },
  },
  '500 {"error":"…"}': {
    options: { options: { authentication: (_req, callback) => callback(new Error("Which project?")) } },
  },
  '503 {"error":"Service unavailable"}': {
    async ask(_application, url) {
      const issue = sinon.stub(TokenStore.prototype, "issue").rejects(new Error("Redis is away"));
      return fetch(url).finally(() => issue.restore());
    },
  },
  '503 {"error":"No answer in time"}': {
    options: {
      options: { limits: { authenticationTimeout: 20 }, authentication: (_req, _callback) => {} },
    },
  },
  '503 {"error":"Too many unfinished bodies"}': {
    options: { options: { limits: { unauthenticatedBytes: 10 } } },
    ask: (_application, url) => post(url, JSON.stringify("x".repeat(1000))),
  },
  '503 {"error":"Server shutting down"}': {
    async ask(application, url) {
      const client = await application.connect();
      const drained = application.tokenServer.drain({ timeout: 300 });
      const answer = await fetch(url);
      await client.closed;
      await drained;
      return answer;
    },
  },
};

describe("docs/authentication.md", () => {
  let application: Application;
  afterEach(() => application?.stop());

  it("lists the answers of the token route, each once", () => {
    expect(LISTED).to.deep.equal(Object.keys(SCENARIOS));
  });

  for (const [listed, { options, ask }] of Object.entries(SCENARIOS)) {
    it(`has ${listed} as the route gives it`, async () => {
      application = await Application.start(options);
      const url = `${application.url}/socket/token`;
      const answer = await (ask?.(application, url) ?? fetch(url));
      const body = (await answer.json()) as Record<string, string>;
      const [status = "", ...rest] = listed.split(" ");
      const expected = JSON.parse(rest.join(" "));
      expect(answer.status).to.equal(Number(status));
      expect(Object.keys(body)).to.deep.equal(Object.keys(expected));
      for (const [name, text] of Object.entries(expected))
        if (text !== "…") expect(body[name]).to.equal(text);
      expect(answer.headers.get("cache-control")).to.equal("no-store");
      const mayTryLater = ["429", "503"].includes(status);
      expect(answer.headers.has("retry-after")).to.equal(mayTryLater);
    });
  }
});
