import { readFileSync } from "node:fs";
import { expect } from "chai";
import { transformSync } from "esbuild";
import { type SinonFakeTimers, useFakeTimers } from "sinon";
import { randomText } from "../../lib/client/calls/random-text.js";
import { encodeQuery } from "../../lib/client/connection/query.js";
import { isUnserved, requestToken } from "../../lib/client/connection/token-request.js";
import { ConnectionError, type TokenSocketOptions } from "../../lib/client/index.js";
import { type Fetch, headersOf, resolveOptions } from "../../lib/client/options.js";
import { within } from "../../lib/client/time-limit.js";
import { failure } from "./support.js";

describe("The client's token request", () => {
  /** The requests that were made: URLs, and what goes with them. */
  let asked: [url: string, init: Parameters<Fetch>[1]][];
  /** What the next ones are answered with. */
  let answer: () => Promise<Response> | Response;
  const { signal } = new AbortController();

  beforeEach(() => {
    asked = [];
    answer = () => Response.json({ token: "t" });
  });

  const options = (given: TokenSocketOptions = {}) =>
    resolveOptions({
      host: "server.example",
      fetch: async (...request) => {
        asked.push(request);
        return answer();
      },
      ...given,
    });
  const ask = (given?: TokenSocketOptions, data: object | null | undefined = undefined) =>
    requestToken(options(given), data, signal);
  const refusal = async (response: Response) => {
    answer = () => response;
    return failure(ask());
  };

  it("has its data in its query, behind what is there already", async () => {
    for (const [tokenPath, data, url] of [
      ["/token", undefined, "/token"],
      ["/token", null, "/token"],
      ["/token", {}, "/token"],
      ["/token", { a: { b: 1 } }, "/token?a[b]=1"],
      ["/token?app=7", { a: 1 }, "/token?app=7&a=1"],
      ["/token?app=7", {}, "/token?app=7"],
    ] as const) {
      expect(await ask({ tokenPath }, data)).to.deep.equal({ token: "t", nonce: undefined });
      expect(asked.at(-1)?.[0]).to.equal(`http://server.example${url}`);
    }
    const { signal: ends, ...init } = asked[0]?.[1] ?? expect.fail();
    expect(init).to.deep.equal({
      method: "GET",
      headers: {},
      credentials: "same-origin",
      cache: "no-store",
      mode: "same-origin",
    });
    expect(ends.aborted).to.equal(true);
  });

  it("has its data in a JSON body where it is a POST", async () => {
    const post = { tokenMethod: "POST", credentials: "include" } as const;
    await ask(post, { a: { b: 1 } });
    await ask({ ...post, headers: { "Content-Type": "text/plain", "X-App": "7" } });
    expect(asked.map(([url]) => url)).to.deep.equal(Array(2).fill("http://server.example/socket/token"));
    expect(
      asked.map(([, { method, headers, credentials, body }]) => [method, headers, credentials, body]),
    ).to.deep.equal([
      ["POST", { "Content-Type": "application/json" }, "include", '{"a":{"b":1}}'],
      ["POST", { "Content-Type": "text/plain", "X-App": "7" }, "include", "{}"],
    ]);
  });

  it("has a nonce where the client has one, another each time, which belongs to the token", async () => {
    const nonces: unknown[] = [];
    for (const data of [{ a: "1" }, undefined]) {
      const { nonce } = await ask({ nonce: true }, data);
      expect(nonce).to.be.a("string").with.property("length").that.is.above(20);
      nonces.push(nonce);
      const query = new URL(asked.at(-1)?.[0] ?? "").searchParams;
      expect(Object.fromEntries(query)).to.deep.equal({ ...data, nonce });
    }
    expect(nonces[0]).to.not.equal(nonces[1]);
  });

  it("fails with what the server says, and when to come back", async () => {
    const refused = Response.json({ error: "Who?" }, { status: 403, headers: { "Retry-After": "7" } });
    const error = await refusal(refused);
    expect(error).to.be.instanceOf(ConnectionError);
    expect(error).to.include({ message: "Who?", status: 403, retryAfter: 7000, code: "connection" });
  });

  it("fails with the status where the server says nothing else", async () => {
    for (const [body, status] of [
      ['{"error":7}', 500],
      ['{"token":"t"}', 201],
      ['{"token":7}', 200],
      ["null", 200],
      ["<p>", 502],
      ["", 404],
    ] as const) {
      const error = await refusal(new Response(body, { status }));
      expect(error, body).to.include({ message: `No token: ${status}`, status, retryAfter: 0 });
    }
  });

  it("fails with what `fetch` says", async () => {
    const cause = new Error("offline");
    answer = () => Promise.reject(cause);
    const error = await failure(ask());
    expect(error).to.be.instanceOf(ConnectionError);
    expect(error).to.include({ message: "No token: offline", status: undefined, cause });
  });

  it("takes an answer that comes in pieces, and one without a stream", async () => {
    const token = "ü€";
    const bytes = new TextEncoder().encode(JSON.stringify({ token }));
    const pieces = new ReadableStream<Uint8Array>({
      start(source) {
        for (const byte of bytes) source.enqueue(Uint8Array.of(byte));
        source.close();
      },
    });
    answer = () => new Response(pieces);
    expect(await ask()).to.have.property("token", token);
    for (const body of [undefined, null, {}]) {
      const plain = { status: 200, headers: new Headers(), body, json: async () => ({ token }) };
      answer = () => plain as unknown as Response;
      expect(await ask()).to.have.property("token", token);
    }
  });

  it("takes an answer of 65,536 characters, and reads no more of a longer one", async () => {
    const rest = JSON.stringify({ token: "" }).length;
    const token = "x".repeat(65_536 - rest);
    answer = () => Response.json({ token });
    expect(await ask()).to.have.property("token", token);
    expect(await refusal(Response.json({ token: `${token}x` }))).to.have.property("message", "No token: 200");
  });

  it("is given up in time, and when it is not wanted any more", async () => {
    const clock: SinonFakeTimers = useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      answer = () => new Promise(() => {});
      const late = failure(ask({ connectTimeout: 100 }));
      await clock.tickAsync(99);
      expect(asked[0]?.[1].signal.aborted).to.equal(false);
      await clock.tickAsync(1);
      expect(await late).to.include({ message: "token took over 100 ms", code: "connection" });
      expect(asked[0]?.[1].signal.aborted).to.equal(true);
      const end = new AbortController();
      const ended = failure(requestToken(options(), null, end.signal));
      await clock.tickAsync(0);
      end.abort(new Error("ended"));
      expect(await ended).to.have.property("message", "ended");
      expect(asked[1]?.[1].signal.aborted).to.equal(true);
      expect(clock.countTimers()).to.equal(0);
    } finally {
      clock.restore();
    }
  });

  it("follows a redirect in a page only where it stays with the page's own origin", async () => {
    Object.assign(globalThis, { location: { origin: "http://server.example" } });
    try {
      // which is read when the module is loaded
      const path = new URL("../../lib/client/connection/token-request.ts", import.meta.url);
      const { code } = transformSync(readFileSync(path, "utf8"), { loader: "ts", format: "cjs" });
      const others = { randomText, ConnectionError, encodeQuery, headersOf, within };
      const inPage = { exports: {} as { requestToken: typeof requestToken } };
      new Function("require", "module", code)(() => others, inPage);
      for (const [host, redirects] of [
        ["http://server.example", { mode: "same-origin" }],
        ["http://server.example:81", { redirect: "error" }],
        ["http://server.example.org", { redirect: "error" }],
        ["https://server.example", { redirect: "error" }],
      ] as const) {
        await inPage.exports.requestToken(options({ host }), null, signal);
        const { mode, redirect } = asked.at(-1)?.[1] ?? expect.fail();
        expect({ ...(mode && { mode }), ...(redirect && { redirect }) }, host).to.deep.equal(redirects);
      }
    } finally {
      Reflect.deleteProperty(globalThis, "location");
    }
  });

  it("tells by the like of it whether the server serves connections", async () => {
    for (const [status, isUnservedThere] of [
      [404, true],
      [200, false],
      [500, false],
    ] as const) {
      answer = () => new Response("{}", { status });
      const given = options({ tokenMethod: "POST", socketPrefix: "/rooms", authentication: { a: 1 } });
      expect(await isUnserved(given, signal), `${status}`).to.equal(isUnservedThere);
      const [url, { method, body }] = asked.at(-1) ?? expect.fail();
      expect([url, method, body]).to.deep.equal(["http://server.example/rooms/info", "GET", undefined]);
    }
    answer = () => Response.json({ token: "whatever" });
    expect(await isUnserved(options(), signal)).to.equal(false);
    answer = () => Promise.reject(new Error("offline"));
    expect(await isUnserved(options(), signal)).to.equal(false);
  });
});
