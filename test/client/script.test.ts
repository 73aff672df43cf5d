import { expect } from "chai";
import { resolveOptions } from "../../lib/client/options.js";
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
  /** The modules that the script itself has loaded. */
  let client: typeof import("../../lib/client/index.js");
  let transport: typeof import("../../lib/client/transport/loaders.js");
  let loaders: typeof transport.loaders;
  /** The elements that were put into the page. */
  let appended: Script[];
  let loads = 0;

  before(async () => {
    client = await import("../../lib/client/index.js");
    transport = await import("../../lib/client/transport/loaders.js");
    loaders = transport.loaders;
  });
  beforeEach(() => {
    appended = [];
    Object.assign(globalThis, { XMLHttpRequest: class {} });
  });
  afterEach(() => {
    transport.setLoaders(loaders);
    for (const name of ["document", "TokenSocket", "SockJS", "XMLHttpRequest"])
      Reflect.deleteProperty(globalThis, name);
  });

  /** Loads the client's script, in a page if there is one. */
  const load = async (page?: { current?: Script | null; other?: Script | null }) => {
    const document = {
      currentScript: page?.current ?? null,
      querySelector: (selector: string) => (selector === "script[nonce]" ? (page?.other ?? null) : undefined),
      createElement: (name: string) => (name === "script" ? {} : undefined),
      head: { append: (element: Script) => appended.push(element) },
    };
    if (page) Object.assign(globalThis, { document });
    await import(`../../lib/client/script.js?${++loads}`);
  };

  it("gives the page the client", async () => {
    await load();
    expect((globalThis as { TokenSocket?: unknown }).TokenSocket).to.equal(client.TokenSocket);
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
      await load(page);
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
    await load({});
    const loaded = failure(transport.loaders.sockJS(options));
    appended[0]?.onerror?.();
    expect(await loaded).to.have.property("message", "No SockJS");
  });

  it("imports SockJS where there is no document, as in a worker", async () => {
    await load();
    const error = await failure(
      transport.loaders.sockJS(resolveOptions({ host: "server.example", tokenPath: "/a/b" })),
    );
    // Node.js takes no module from there
    expect(error.message).to.include("http");
    expect(appended).to.deep.equal([]);
  });

  it("has no transport where the browser has neither WebSocket nor requests of its own", async () => {
    await load({});
    Reflect.deleteProperty(globalThis, "XMLHttpRequest");
    for (const [loading, message] of [
      [transport.loaders.webSocket(), "No WebSocket"],
      [transport.loaders.sockJS(options), "No XMLHttpRequest"],
    ] as const) {
      const error = await failure(loading);
      expect(error).to.be.instanceOf(client.NoTransportError).with.property("message", message);
    }
    expect(appended).to.deep.equal([]);
  });
});
