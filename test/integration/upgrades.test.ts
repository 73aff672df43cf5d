import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import {
  createServer,
  type IncomingMessage,
  type RequestOptions,
  request,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createSecureServer, request as secureRequest } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { connect as connectSecurely } from "node:tls";
import { expect } from "chai";
import sockjs from "sockjs";
import { WebSocket, WebSocketServer } from "ws";
import { TokenSocketServer, type TokenSocketServerOptions } from "../../lib/index.js";
import { memoryRedis } from "../../lib/memory.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import { selfSigned } from "../support/certificate.js";
import { PLAIN, RawWebSocket, SOCKJS, upgradeRequest } from "../support/raw-websocket.js";
import { WIRE_TRANSPORTS, WireClient } from "../support/wire-client.js";

const options: TokenSocketServerOptions = { socketController: { echo: (_auth, data) => data } };

/** A busy machine may take a while between two polls. */
const SLOW = { disconnect_delay: 2000 };

/** Paths of SockJS: its page, what it tells of itself, and its transports. */
const PATHS = [
  "/sockets",
  "/sockets/info",
  "/sockets/iframe.html",
  "/sockets/websocket",
  "/sockets/1/a/websocket",
  "/sockets/1/a/eventsource",
  "/sockets/1/b/xhr",
  "/sockets/1/c/xhr_streaming",
];

describe("A server beside others", () => {
  const cleanups: (() => unknown)[] = [];

  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  const start = async (given: ApplicationOptions = {}) => {
    const application = await Application.start({ options, sockjs: SLOW, ...given });
    cleanups.push(() => application.stop());
    return application;
  };

  /** Another server for tokens and sockets on the Express application and the HTTP server of one that is there. */
  const addServer = (application: Application, more: TokenSocketServerOptions) => {
    const server = new TokenSocketServer(
      application.app,
      memoryRedis(),
      sockjs.createServer({ log: () => {}, ...SLOW }),
      { ...options, ...more },
    );
    cleanups.push(() => server.shutdown());
    server.attach(application.http);
    return server;
  };

  /** Opens a connection of the library's own wire, and has it authenticated. */
  const logIn = async (
    url: string,
    prefix: string,
    tokenRoute: string,
    transport: (typeof WIRE_TRANSPORTS)[number],
  ) => {
    const { token } = (await (await fetch(url + tokenRoute)).json()) as { token: string };
    const client = new WireClient(url + prefix, transport);
    cleanups.push(() => client.end());
    await client.opened;
    expect(await client.request({ rpc: "auth", token })).to.have.property("resp", "success");
    return client;
  };

  /** Opens a WebSocket of another kind, and has what it sends echoed. */
  const expectEcho = async (url: string) => {
    const client = new WebSocket(url.replace("http", "ws"));
    await once(client, "open");
    client.send("hello");
    expect(String((await once(client, "message"))[0])).to.equal("echo of hello");
    client.close();
    await once(client, "close");
  };

  /** A WebSocket server of the application's own. */
  const addWebSocketServer = ({ http }: Application, path: string) => {
    const server = new WebSocketServer({ server: http, path });
    server.on("connection", (socket) => {
      socket.on("message", (message) => socket.send(`echo of ${message}`));
    });
    cleanups.push(() => server.close());
  };

  describe("on one HTTP server", () => {
    for (const [name, before, after] of [
      ["before it", ["/other"], []],
      ["behind it", [], ["/other"]],
    ] as const) {
      it(`leaves the application's own WebSockets alone, added ${name}`, async () => {
        const application = await start({ attach: false });
        for (const path of before) addWebSocketServer(application, path);
        application.tokenServer.attach(application.http);
        for (const path of after) addWebSocketServer(application, path);
        await expectEcho(`${application.url}/other`);
        for (const transport of WIRE_TRANSPORTS) {
          const client = await application.connect(transport);
          expect(await client.request({ rpc: "echo", req: transport })).to.have.property("resp", transport);
        }
        await expectEcho(`${application.url}/other`);
      });
    }

    it("keeps its requests and upgrades from listeners that were there, and from later ones", async () => {
      const application = await start({ attach: false });
      const { http } = application;
      const heard: (string | undefined)[] = [];
      const onRequest = (req: IncomingMessage) => heard.push(req.url);
      const onUpgrade = (req: IncomingMessage, socket: Duplex) => {
        heard.push(req.url);
        socket.end("HTTP/1.1 418 Teapot\r\n\r\n");
      };
      http.on("request", onRequest).on("upgrade", onUpgrade);
      application.tokenServer.attach(http);
      http.on("request", onRequest).on("upgrade", onUpgrade);
      http.prependListener("request", onRequest).prependListener("upgrade", onUpgrade);
      for (const path of PATHS) {
        const method = /xhr/.test(path) ? "POST" : "GET";
        const asked = new AbortController();
        await fetch(application.url + path, { method, signal: asked.signal });
        asked.abort();
      }
      for (const framing of [PLAIN, SOCKJS]) await RawWebSocket.open(await application.dial(""), framing);
      expect(heard).to.deep.equal([]);
      expect((await fetch(`${application.url}/elsewhere`)).status).to.equal(404);
      const socket = await application.dial(upgradeRequest("/elsewhere"));
      expect(String((await once(socket, "data"))[0])).to.match(/^HTTP\/1\.1 418 /);
      expect(heard).to.deep.equal(Array(6).fill("/elsewhere"));
    });

    it("leaves the application's listeners listed, and lets them be taken off", async () => {
      const application = await start({
        prepare: (app) => app.get("/page", (_req, res) => void res.send("page")),
      });
      const { http, app } = application;
      expect(http.listeners("request")).to.deep.equal([app]);
      expect(await (await fetch(`${application.url}/page`)).text()).to.equal("page");
      http.removeListener("request", app);
      expect(http.listenerCount("request")).to.equal(0);
      expect((await fetch(`${application.url}/page`)).status).to.equal(404);
      expect((await fetch(`${application.url}/sockets/info`)).status).to.equal(200);
      http.once("request", (_req: IncomingMessage, res: ServerResponse) => res.end("once"));
      expect(await (await fetch(`${application.url}/page`)).text()).to.equal("once");
      http.removeAllListeners("request").on("request", app);
      expect(await (await fetch(`${application.url}/page`)).text()).to.equal("page");
      expect(await application.connect()).to.be.instanceOf(WireClient);
    });

    it("still has its WebSockets where all listeners for upgrades are taken off and others added", async () => {
      const application = await start();
      application.http.removeAllListeners("upgrade");
      addWebSocketServer(application, "/other");
      await expectEcho(`${application.url}/other`);
      expect(await application.connect("raw-websocket")).to.be.instanceOf(WireClient);
    });

    it("serves the clients of two prefixes, each by its own server", async () => {
      const application = await start({ options: { ...options, prefix: "/a", tokenRoute: "/a-token" } });
      const second = addServer(application, { prefix: "/b", tokenRoute: "/b-token", serveClient: false });
      for (const transport of WIRE_TRANSPORTS) {
        const [a, b] = await Promise.all(
          ["a", "b"].map((name) => logIn(application.url, `/${name}`, `/${name}-token`, transport)),
        );
        expect(await a?.request({ rpc: "echo", req: 1 })).to.have.property("resp", 1);
        expect(await b?.request({ rpc: "echo", req: 2 })).to.have.property("resp", 2);
      }
      expect(application.tokenServer.sockets()).to.have.length(4);
      expect(second.sockets()).to.have.length(4);
      expect(application.tokenServer.sockets().map(({ prefix }) => prefix)).to.deep.equal(
        Array(4).fill("/a"),
      );
      await application.tokenServer.shutdown();
      expect(application.tokenServer.sockets()).to.deep.equal([]);
      expect(second.sockets()).to.have.length(4);
      await logIn(application.url, "/b", "/b-token", "raw-websocket");
      expect((await fetch(`${application.url}/a/info`)).status).to.equal(503);
    });

    it("takes the place of one with its prefix that was shut down", async () => {
      const application = await start();
      await application.connect("raw-websocket");
      await application.tokenServer.shutdown();
      expect((await fetch(`${application.url}/sockets/info`)).status).to.equal(503);
      const second = addServer(application, { tokenRoute: "/second", serveClient: false });
      for (const transport of WIRE_TRANSPORTS) {
        const client = await logIn(application.url, "/sockets", "/second", transport);
        expect(await client.request({ rpc: "echo", req: transport })).to.have.property("resp", transport);
      }
      expect(second.sockets()).to.have.length(WIRE_TRANSPORTS.length);
      expect(application.tokenServer.sockets()).to.deep.equal([]);
    });
  });

  describe("on a server that is no plain HTTP server on a port", () => {
    interface Way {
      connect(): Duplex;
      request(options: RequestOptions): ReturnType<typeof request>;
    }

    /** Opens another way to an application that is attached by it only. */
    const ways: { readonly [name: string]: (application: Application) => Promise<Way> } = {
      "a server with TLS": async ({ app, tokenServer }) => {
        const { cert, key } = selfSigned();
        const server = createSecureServer({ cert, key }, app);
        tokenServer.attach(server);
        server.listen(0, "127.0.0.1");
        await once(server, "listening");
        cleanups.push(() => stop(server));
        const { port } = server.address() as AddressInfo;
        const to = { host: "127.0.0.1", port, ca: cert };
        return {
          connect: () => connectSecurely(to),
          request: (given) => secureRequest({ ...to, agent: false, ...given }),
        };
      },
      "a unix socket": async ({ app, tokenServer }) => {
        const folder = mkdtempSync(join(tmpdir(), "upgrades-"));
        const socketPath = join(folder, "http");
        const server = createServer(app);
        tokenServer.attach(server);
        server.listen(socketPath);
        await once(server, "listening");
        cleanups.push(() => rmSync(folder, { recursive: true }));
        cleanups.push(() => stop(server));
        return {
          connect: () => connect(socketPath),
          request: (given) => request({ socketPath, agent: false, ...given }),
        };
      },
    };

    for (const [name, open] of Object.entries(ways)) {
      describe(name, () => {
        let way: Way;
        let application: Application;

        beforeEach(async () => {
          application = await start({ attach: false });
          way = await open(application);
        });

        const ask = async (given: RequestOptions, body = "") => {
          const asked = way.request(given);
          asked.end(body);
          const [response] = (await once(asked, "response")) as [IncomingMessage];
          response.setEncoding("utf8");
          return response;
        };
        const textOf = async (response: IncomingMessage) => (await response.toArray()).join("");
        const token = async () =>
          JSON.parse(await textOf(await ask({ path: "/socket/token" }))).token as string;

        for (const framing of [PLAIN, SOCKJS]) {
          it(`serves ${framing.name}`, async () => {
            const socket = way.connect();
            cleanups.push(() => socket.destroy());
            const webSocket = await (await RawWebSocket.open(socket, framing)).logIn(await token());
            for (const req of ["a", "é".repeat(30_000)]) {
              webSocket.send({ rpc: "echo", uuid: "1", req });
              expect(JSON.parse(await webSocket.message())).to.have.property("resp", req);
            }
            application.socket().close(4001, "enough");
            const expected = framing === PLAIN ? "close 4001 enough" : 'text c[4001,"enough"]';
            expect(await webSocket.next()).to.equal(expected);
          });
        }

        it("serves xhr-streaming", async () => {
          // SockJS knows sessions by their ids alone, in the whole process
          const session = `/sockets/000/${randomUUID()}`;
          const stream = await ask({ path: `${session}/xhr_streaming`, method: "POST" });
          cleanups.push(() => stream.destroy());
          let received = "";
          stream.on("data", (chunk) => {
            received += chunk;
          });
          const heard = async (what: string) => {
            while (!received.includes(what)) await once(stream, "data");
          };
          await heard("o\n");
          const send = async (message: unknown) => {
            const body = JSON.stringify([JSON.stringify(message)]);
            const sent = await ask({ path: `${session}/xhr_send`, method: "POST" }, body);
            expect(sent.resume().statusCode).to.equal(204);
          };
          await send({ rpc: "auth", token: await token() });
          await heard("success");
          await send({ rpc: "echo", uuid: "1", req: "hello" });
          await heard(JSON.stringify(JSON.stringify({ rpc: "echo", uuid: "1", resp: "hello" })));
        });

        it("ends an upgrade that nobody is there for", async () => {
          const socket = way.connect();
          socket.write(upgradeRequest("/elsewhere"));
          expect(String((await once(socket, "data"))[0])).to.match(/^HTTP\/1\.1 404 /);
          await once(socket, "close");
        });

        it("answers a request that offers HTTP/2 as one that does not", async () => {
          const offer = {
            Connection: "Upgrade, HTTP2-Settings",
            Upgrade: "h2c",
            "HTTP2-Settings": "AAMAAABk",
          };
          const response = await ask({ path: "/socket/token", headers: offer });
          expect(JSON.parse(await textOf(response))).to.have.property("token");
        });
      });
    }
  });
});

function stop(server: Server): void {
  server.closeAllConnections();
  server.close();
}
