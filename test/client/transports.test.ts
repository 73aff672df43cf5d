import { createServer, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { expect } from "chai";
import SockJS from "sockjs-client";
import { WebSocket } from "ws";
import type { SocketConstructor, TokenSocketOptions } from "../../lib/client/index.js";
import { divert, overhear } from "../support/http-events.js";
import {
  deferred,
  failure,
  happened,
  inState,
  type Place,
  QUICK,
  SLOW,
  Stage,
  Version3Server,
} from "./support.js";

/** A constructor that notes its calls. */
function noting(Socket: unknown, urls: string[]): SocketConstructor {
  return new Proxy(Socket as SocketConstructor, {
    construct(target, args: ConstructorParameters<SocketConstructor>) {
      urls.push(args[0]);
      return new target(...args);
    },
  });
}

/** The SockJS of a service that has no such package. */
const Missing = class {
  constructor() {
    throw new Error("Cannot find sockjs-client");
  }
} as unknown as SocketConstructor;

describe("A client's transport", () => {
  let stage: Stage;

  beforeEach(() => {
    stage = new Stage();
  });
  afterEach(() => stage.clear());

  const controller = { echo: async (_auth: unknown, data: unknown) => data };
  const blocking = { sockjs: { websocket: false }, options: { socketController: controller } };

  const variants: [string, TokenSocketOptions][] = [
    ["a plain WebSocket", { sockjs: false }],
    ["an injected WebSocket", { WebSocket: WebSocket }],
    ["SockJS over WebSocket", { WebSocket: false, sockjs: { transports: "websocket" } }],
    ["SockJS over xhr-streaming", { WebSocket: false, sockjs: { transports: "xhr-streaming" } }],
    ["SockJS over xhr-polling", { WebSocket: false, sockjs: { transports: ["xhr-polling"] } }],
  ];
  for (const [name, options] of variants) {
    it(`may be ${name}`, async () => {
      const place = await stage.application({ options: { socketController: controller } });
      const client = stage.client(place, options, { twice: (data: number) => data * 2 });
      await client.subscribe("room");
      expect(await client.rpc("echo", { a: "ü" })).to.deep.equal({ a: "ü" });
      expect(await place.tokenServer.rpc(place.application.socket(), "twice", 4)).to.equal(8);
      const message = happened(client, "message");
      await client.publish("room", "hello");
      expect(await message).to.deep.equal(["room", "hello"]);
      place.application.socket().close(4999, "Come back");
      await happened(client, "reconnect");
      expect(await client.rpc("echo", 1)).to.equal(1);
      await client.reauthenticate();
      const gone = new Promise((resolve) => place.tokenServer.once("disconnect", resolve));
      await client.end();
      await gone;
    });
  }

  it("is SockJS where WebSocket is blocked, and stays so", async () => {
    const place = await stage.application(blocking);
    const urls: string[] = [];
    const client = stage.client(place, {
      WebSocket: noting(WebSocket, urls),
      SockJS: noting(SockJS, urls),
    });
    expect(await client.rpc("echo", 1)).to.equal(1);
    place.application.socket().close(4999, "Come back");
    await happened(client, "reconnect");
    const [plain, fallback] = [
      `${place.url.replace("http", "ws")}/sockets/websocket`,
      `${place.url}/sockets`,
    ];
    expect(urls).to.deep.equal([plain, fallback, fallback]);
  });

  it("is WebSocket again on a later connection where just one upgrade was refused", async () => {
    const place = await stage.application();
    let isRefused = false;
    const urls: string[] = [];
    const WebSocketOnce = new Proxy(WebSocket as SocketConstructor, {
      construct(target, args: ConstructorParameters<SocketConstructor>) {
        const url = isRefused ? args[0] : `${args[0]}/nowhere`;
        isRefused = true;
        return new target(url);
      },
    });
    const client = stage.client(place, { WebSocket: WebSocketOnce, SockJS: noting(SockJS, urls) });
    await client.ready();
    for (let i = 0; i < 3; i++) {
      place.application.socket().close(4999, "Come back");
      await happened(client, "reconnect");
    }
    expect(urls).to.have.length(2);
  });

  it("is SockJS where WebSocket does not open in time", async () => {
    const place = await stage.application({ options: { socketController: controller } });
    // a proxy that takes the upgrade and does nothing
    divert(place.http, "upgrade", () => {});
    const client = stage.client(place, { webSocketTimeout: 20 });
    expect(await client.rpc("echo", 1)).to.equal(1);
  }).timeout(4_000);

  it("says how each has failed where none opens", async () => {
    const place = await stage.application(blocking);
    divert(place.http, "upgrade", (_req: unknown, socket: Duplex) => {
      socket.end("HTTP/1.1 418 I'm a teapot\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    });
    const client = stage.client(place, {
      WebSocket,
      SockJS: Missing,
      backoff: SLOW,
    });
    const reason = await inState(client, "waiting");
    expect(reason?.message).to.equal(
      "websocket: Not opened: Unexpected server response: 418; sockjs: Cannot find sockjs-client",
    );
    expect(reason?.cause).to.have.property("status", 1006);
  });

  /** The attempts of a client whose server was never attached, each with another way to say so. */
  const unserved: [string, TokenSocketOptions][] = [
    ["ws alone", { WebSocket, sockjs: false }],
    ["ws, where sockjs-client is missing", { WebSocket, SockJS: Missing }],
    ["SockJS", { WebSocket: false }],
    ["both, with a token by POST", { WebSocket, tokenMethod: "POST" }],
  ];
  for (const [name, options] of unserved) {
    it(`names attach() and the prefix where the server serves no connections: ${name}`, async () => {
      const place = await stage.application({ attach: false });
      const reason = await inState(stage.client(place, { backoff: SLOW, ...options }), "waiting");
      expect(reason?.message).to.equal(`Nothing serves ${place.url}/sockets: was attach() called?`);
    });
  }

  it("names the prefix where the server has another one", async () => {
    const place = await stage.application();
    const client = stage.client(place, { backoff: SLOW, socketPrefix: "/rooms" });
    expect(await inState(client, "waiting"))
      .to.have.property("message")
      .that.includes(`${place.url}/rooms`);
  });

  it("says no such thing of a server that serves connections but refuses this one", async () => {
    const place = await stage.application({ options: { verifyConnection: () => false } });
    const reason = await inState(stage.client(place, { backoff: SLOW, WebSocket }), "waiting");
    expect(reason?.message).to.match(/^websocket: Not opened: Unexpected server response: 403; sockjs: /);
  });

  it("does not ask again why it cannot connect once it has been open", async () => {
    const place = await stage.application();
    const client = stage.client(place, { WebSocket, sockjs: false });
    await client.ready();
    const paths: string[] = [];
    divert(place.http, "upgrade", (_req: unknown, socket: Duplex) => {
      socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    });
    overhear(place.http).on("request", ({ url }: IncomingMessage) => paths.push(url ?? ""));
    place.application.socket().close(4999, "Come back");
    // the loss itself, and the attempt after it
    for (let waits = 0; waits < 2; ) waits += (await happened(client, "state"))[0] === "waiting" ? 1 : 0;
    expect(client.reason?.message).to.equal("websocket: Not opened: Unexpected server response: 404");
    expect(paths).to.deep.equal(["/socket/token"]);
  });

  it("has not opened where there is an error, also where no close follows", async () => {
    const place = await stage.application();
    const Failing = class {
      onopen = null;
      onmessage = null;
      onclose = null;
      onerror: ((event: { message: string }) => void) | null = null;
      constructor() {
        setImmediate(() => this.onerror?.({ message: "No" }));
      }
      send() {}
      close() {}
    };
    const client = stage.client(place, { sockjs: false, WebSocket: Failing, backoff: SLOW });
    const reason = await inState(client, "waiting");
    expect(reason?.message).to.equal("websocket: Not opened: No");
    expect(reason?.cause).to.have.property("status", 1006);
  });

  it("loads nothing of SockJS where WebSocket works, and tries it in vain where it is turned off", async () => {
    const place = await stage.application();
    const urls: string[] = [];
    await stage.client(place, { SockJS: noting(SockJS, urls) }).ready();
    expect(urls).to.deep.equal([]);
    const blocked = await stage.application(blocking);
    const client = stage.client(blocked, { sockjs: false, backoff: SLOW });
    expect(await inState(client, "waiting")).to.have.property("code", "connection");
    const nothing = stage.client(blocked, { sockjs: false, WebSocket: false, backoff: SLOW });
    expect((await inState(nothing, "closed"))?.message).to.equal("No transport is on");
  });

  it("is not given up for a passing fault, but for one that lasts", async () => {
    const place = await stage.application({ options: { socketController: controller } });
    const urls: string[] = [];
    const client = stage.client(place, { SockJS: noting(SockJS, urls) });
    await client.ready();
    divert(place.http, "upgrade", (_req: unknown, socket: Duplex) => void socket.destroy());
    let failures = 0;
    client.on("state", (state) => state === "waiting" && failures++);
    place.cut();
    await happened(client, "reconnect");
    // the loss itself, and the attempts by WebSocket alone
    expect(failures).to.equal(1 + 3);
    expect(urls).to.have.length(1);
  });

  it("is another one the next time where it opens but lets nothing pass", async () => {
    const place = await stage.application({ options: { socketController: controller } });
    const deaf = new Version3Server();
    deaf.intercept = () => true;
    divert(place.http, "upgrade", (...args: unknown[]) => void deaf.http.emit("upgrade", ...args));
    const client = stage.client(place, { connectTimeout: 300 });
    expect(await client.rpc("echo", 1)).to.equal(1);
  }).timeout(8_000);

  it("leaves nothing behind when the client ends at any point", async () => {
    const place = await stage.application();
    const held = await stage.server(createServer(() => {}));
    await Promise.all([stage.client(held).end(), stage.client(place).end()]);
    const steps: [keyof Place["http"] | string, Promise<void>][] = [];
    for (const event of ["request", "upgrade"]) {
      const step = deferred();
      overhear(place.http).once(event, () => step.resolve());
      steps.push([event, step.promise]);
    }
    for (const [, step] of steps) {
      const client = stage.client(place);
      await step;
      await client.end();
      expect(client.state).to.equal("closed");
      expect(await failure(client.ready())).to.have.property("code", "disconnected");
    }
    const fallback = stage.client(place, { WebSocket: false, backoff: QUICK });
    const asked = new Promise((resolve) => overhear(place.http).once("request", resolve));
    await asked;
    await fallback.end();
  });
});
