import { expect } from "chai";
import { SockJSPaths } from "../../lib/server/http/sockjs-paths.js";

describe("a path below SockJS's prefix", () => {
  const paths = new SockJSPaths("/live");

  const expectAll = (urls: readonly string[], target: unknown) => {
    for (const url of urls) expect(paths.target(url), url).to.deep.equal(target);
  };

  it("is left to others where it is not below it", () => {
    expectAll(
      ["", "/", "/liv", "/lively", "/live?a=b", "/lively/1/a/xhr", "/other/live", "/other/live/1/a/xhr"],
      undefined,
    );
    expectAll(["live/1/a/xhr", "http://here/live/info"], undefined);
  });

  it("opens a session, or asks for what its server sends", () => {
    for (const transport of ["xhr", "xhr_streaming", "eventsource", "htmlfile", "jsonp"]) {
      const path = `/live/server/session/${transport}`;
      expectAll([path, `${path}/`, `${path}?c=callback`, `${path}/?t=1?`], {
        kind: "receive",
        session: "session",
      });
    }
  });

  it("carries messages of a session", () => {
    for (const transport of ["xhr_send", "jsonp_send"]) {
      const path = `/live/1/a_b-c~d/${transport}`;
      expectAll([path, `${path}/`, `${path}?t=1`], { kind: "send", session: "a_b-c~d" });
    }
  });

  it("opens a WebSocket, with SockJS's framing where it names a session", () => {
    expectAll(["/live/websocket", "/live/websocket/", "/live/websocket?a=b"], {
      kind: "websocket",
      framing: "plain",
    });
    expectAll(["/live/1/a/websocket", "/live/1/a/websocket/", "/live/1/a/websocket?a=/b/c"], {
      kind: "websocket",
      framing: "sockjs",
    });
  });

  it("asks for the page of iframes", () => {
    const names = ["iframe.html", "iframe-1.6.1.html", "iframe.min.html", "iframe.html/", "iframe.html?t=1"];
    expectAll(
      names.map((name) => `/live/${name}`),
      { kind: "iframe" },
    );
  });

  it("is any other one", () => {
    const names = [
      "",
      "/",
      "/info",
      "/info?t=1",
      "/a/iframe.html",
      "/iframe.html/a",
      "/iframe.htm",
      "/websocket/a",
      "/a/websocket",
      "/a/b/c/websocket",
      "/a/websocket/b",
      "/xhr",
      "/a/xhr",
      "/a/b/c/xhr",
      "/a/b/xhr/c",
      "/a/b/xhrs",
      "/a/b/send",
      "/a.b/c/xhr",
      "/a/b.c/xhr",
      "/a/b.c/websocket",
      "/a/b/?c=/xhr",
    ];
    expectAll(
      names.map((name) => `/live${name}`),
      { kind: "other" },
    );
  });

  it("is malformed where SockJS may read it in another way", () => {
    for (const path of ["/1/a\\b/xhr", "/1/a'b/xhr", "/1/a|b/xhr", "/1/é/xhr", "/1/a b/xhr", "/#/1/a/xhr"]) {
      expectAll([`/live${path}`], { kind: "malformed" });
    }
    // SockJS's sessions are properties of an object
    for (const session of ["constructor", "__proto__", "toString", "hasOwnProperty"]) {
      for (const transport of ["xhr", "xhr_send"]) {
        expectAll([`/live/1/${session}/${transport}`], { kind: "malformed" });
      }
    }
    expectAll(["/live/1/a/xhr?c=é|'"], { kind: "receive", session: "a" });
  });

  it("is any path where the prefix is empty", () => {
    const all = new SockJSPaths("");
    expect(all.target("/1/a/xhr")).to.deep.equal({ kind: "receive", session: "a" });
    expect(all.target("/websocket")).to.deep.equal({ kind: "websocket", framing: "plain" });
    for (const url of ["", "/", "/info"]) expect(all.target(url)).to.deep.equal({ kind: "other" });
  });
});
