import { readFileSync } from "node:fs";
import { expect } from "chai";
import { transformSync } from "esbuild";
import { NoTransportError, TokenSocket } from "../../lib/client/index.js";
import { resolveOptions } from "../../lib/client/options.js";
import * as transport from "../../lib/client/transport/loaders.js";
import { failure } from "./support.js";

const SOCKJS = class {};

/** A script element, as far as the client's script uses it. */
interface Script {
  src?: string;
  nonce?: string;
  onload?(): void;
  onerror?(): void;
}

describe("The client's script", () => {
  const options = resolveOptions({ host: "server.example" });
  const { loaders } = transport;
  /** The elements that were put into the page. */
  let appended: Script[];
  /** What was imported while the script ran. */
  let imported: string[];

  beforeEach(() => {
    appended = [];
    imported = [];
    Object.assign(globalThis, { XMLHttpRequest: class {} });
  });
  afterEach(() => {
    transport.setLoaders(loaders);
    for (const name of ["document", "TokenSocket", "SockJS", "XMLHttpRequest"])
      Reflect.deleteProperty(globalThis, name);
  });

  /** Runs the client's script by itself, as often as a test wants, in a page if there is one. */
  const load = (page?: { current?: Script | null; other?: Script | null }) => {
    const document = {
      currentScript: page?.current ?? null,
      querySelector: (selector: string) => (selector === "script[nonce]" ? (page?.other ?? null) : undefined),
      createElement: (name: string) => (name === "script" ? {} : undefined),
      head: { append: (element: Script) => appended.push(element) },
    };
    if (page) Object.assign(globalThis, { document });
    const path = new URL("../../lib/client/script.ts", import.meta.url);
    const { code } = transformSync(readFileSync(path, "utf8"), {
      loader: "ts",
      format: "cjs",
      supported: { "dynamic-import": false },
    });
    const give = (name: string) => {
      imported.push(name);
      if (name.endsWith("/sockjs.js")) Object.assign(globalThis, { SockJS: SOCKJS });
      return { TokenSocket, ...transport };
    };
    new Function("require", "module", code)(give, {});
  };

  it("gives the page the client", () => {
    load();
    expect((globalThis as { TokenSocket?: unknown }).TokenSocket).to.equal(TokenSocket);
  });

  for (const [name, page, src, nonce] of [
    [
      "from beside itself, with its nonce",
      { current: { src: "https://cdn.example/v4/client.js", nonce: "n1" }, other: { nonce: "n2" } },
      "https://cdn.example/v4/sockjs.js",
      "n1",
    ],
    [
      "from beside the token route where it is no file, with the page's nonce",
      { current: null, other: { nonce: "n2" } },
      "http://server.example/socket/sockjs.js",
      "n2",
    ],
    [
      "from beside the token route where it is written in the page",
      { current: { src: "", nonce: "n1" } },
      "http://server.example/socket/sockjs.js",
      "n1",
    ],
    ["without a nonce where the page has none", {}, "http://server.example/socket/sockjs.js", ""],
  ] as const) {
    it(`loads SockJS when it is needed, ${name}`, async () => {
      load(page);
      expect(appended).to.deep.equal([]);
      const loaded = transport.loaders.sockJS(options);
      expect(appended).to.have.length(1);
      expect(appended[0]).to.include({ src, nonce });
      Object.assign(globalThis, { SockJS: SOCKJS });
      appended[0]?.onload?.();
      expect(await loaded).to.equal(SOCKJS);
    });
  }

  it("says so where SockJS cannot be loaded", async () => {
    load({});
    const loaded = failure(transport.loaders.sockJS(options));
    appended[0]?.onerror?.();
    expect(await loaded).to.have.property("message", "No SockJS");
  });

  it("imports SockJS where there is no document, as in a worker", async () => {
    load();
    const worker = resolveOptions({ host: "server.example", tokenPath: "/a/b" });
    expect(await transport.loaders.sockJS(worker)).to.equal(SOCKJS);
    expect(imported.at(-1)).to.equal("http://server.example/a/sockjs.js");
    expect(appended).to.deep.equal([]);
  });

  it("has no transport where the browser has neither WebSocket nor requests of its own", async () => {
    load({});
    Reflect.deleteProperty(globalThis, "XMLHttpRequest");
    for (const [loading, message] of [
      [transport.loaders.webSocket(), "No WebSocket"],
      [transport.loaders.sockJS(options), "No XMLHttpRequest"],
    ] as const) {
      const error = await failure(loading);
      expect(error).to.be.instanceOf(NoTransportError).with.property("message", message);
    }
    expect(appended).to.deep.equal([]);
  });
});
