import { once } from "node:events";
import { createServer } from "node:http";
import type { Socket } from "node:net";
import { expect } from "chai";
import express from "express";
import sockjs from "sockjs";
import { WebSocket } from "ws";
import { TokenSocketServer } from "../../lib/index.js";
import { memoryRedis } from "../../lib/memory.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import { WIRE_TRANSPORTS } from "../support/wire-client.js";

describe("handshakes", () => {
  const cleanups: (() => unknown)[] = [];

  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  const start = async (options: ApplicationOptions = {}) => {
    const application = await Application.start(options);
    cleanups.push(() => application.stop());
    return application;
  };

  /** All that comes until the other side ends the connection. */
  const rest = async (socket: Socket): Promise<string> => {
    let text = "";
    socket.setEncoding("utf8").on("data", (chunk) => {
      text += chunk;
    });
    await once(socket, "close");
    return text;
  };

  const upgrade = (path: string, ...headers: string[]) =>
    [
      `GET ${path} HTTP/1.1`,
      "Host: 127.0.0.1",
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      ...headers,
      "\r\n",
    ].join("\r\n");

  const V13 = "Sec-WebSocket-Version: 13";

  describe("that attach() puts before SockJS", () => {
    for (const transport of WIRE_TRANSPORTS) {
      it(`lets clients in, over ${transport}`, async () => {
        const application = await start({
          options: { prefix: "/live", socketController: { me: async (auth) => auth } },
        });
        const token = await application.token();
        const client = await application.open(transport, "/live");
        await client.request({ rpc: "auth", token });
        expect(await client.request({ rpc: "me" })).to.have.deep.property("resp", { name: "alice" });
      });
    }

    it("leaves what is not under the prefix to the listeners that are there, and to later ones", async () => {
      const application = await start({
        prepare: (app) => app.get("/socketsandmore", (_req, res) => void res.send("more")),
      });
      expect(await (await fetch(`${application.url}/socketsandmore`)).text()).to.equal("more");
      const taken = once(application.http, "upgrade");
      const socket = await application.dial(upgrade("/elsewhere", V13));
      const [, serverSide] = await taken;
      serverSide.end("HTTP/1.1 418 Teapot\r\n\r\n");
      expect(await rest(socket)).to.match(/^HTTP\/1\.1 418 /);
      const asked = once(application.http, "request");
      await application.dial("GET http://example.com/elsewhere HTTP/1.1\r\nHost: example.com\r\n\r\n");
      expect((await asked)[0].url).to.equal("http://example.com/elsewhere");
    });

    it("ends an upgrade that nobody is there for", async () => {
      const application = await start();
      expect(await rest(await application.dial(upgrade("/elsewhere", V13)))).to.match(/^HTTP\/1\.1 404 /);
    });

    for (const path of ["/elsewhere", "/sockets/info"]) {
      it(`keeps no connection of an upgrade that is refused, ${path}, whatever its client sends after it`, async () => {
        const application = await start();
        const accepted = once(application.http, "connection");
        const socket = await application.dial(upgrade(path, V13));
        const [serverSide] = await accepted;
        const closed = once(serverSide, "close");
        await once(socket, "data");
        socket.end("what nobody reads");
        await closed;
      });
    }

    it("has SockJS open a session by the write that answers the upgrade", async () => {
      const application = await start();
      const writes: string[] = [];
      application.http.once("connection", (socket: Socket) => {
        // what Node.js calls for each write to a TCP connection
        for (const method of ["_write", "_writev"] as const) {
          const { [method]: write } = socket;
          Object.assign(socket, {
            [method]: (...args: unknown[]) => {
              writes.push(method);
              Reflect.apply(write ?? expect.fail, socket, args);
            },
          });
        }
      });
      const client = await application.dial(upgrade("/sockets/000/session/websocket", V13));
      client.setEncoding("latin1");
      let text = "";
      while (!text.endsWith("\x81\x01o")) text += (await once(client, "data"))[0];
      expect(text).to.match(/^HTTP\/1\.1 101 /);
      expect(writes).to.deep.equal(["_writev"]);
    });

    for (const [when, verifyConnection] of [
      ["at once", () => true],
      ["later", async () => true],
    ] as const) {
      it(`keeps no refusal of a WebSocket back, and no place for it, where the application decides ${when}`, async () => {
        const limits = { unauthenticatedConnections: 1 };
        const application = await start({ options: { limits, verifyConnection } });
        const withoutKey = upgrade("/sockets/000/session/websocket", V13).replace(
          /Sec-WebSocket-Key: .*\r\n/,
          "",
        );
        for (const _ of [1, 2]) {
          expect(await rest(await application.dial(withoutKey))).to.match(
            /^HTTP\/1\.1 400 .*Sec-WebSocket-Key header$/s,
          );
        }
      });
    }

    it("keeps no answer back from a client whose first bytes end the connection", async () => {
      const application = await start();
      const reserved = "\x83\x80\0\0\0\0";
      const path = "/sockets/000/session/websocket";
      const socket = await application.dial(upgrade(path, V13) + reserved, "latin1");
      socket.setEncoding("latin1");
      let text = "";
      socket.on("data", (chunk) => {
        text += chunk;
      });
      await once(socket, "close");
      // the session is opened, and the protocol error is told
      expect(text)
        .to.match(/^HTTP\/1\.1 101 /)
        .and.contain("\r\n\r\n\x81\x01o\x88");
    });

    it("survives a client that resets an upgrade which SockJS refuses", async () => {
      const application = await start({ sockjs: { websocket: false } });
      for (const path of ["/sockets/websocket", "/sockets/1/a/websocket", "/elsewhere"]) {
        const [[accepted], socket] = await Promise.all([
          once(application.http, "connection"),
          application.dial(upgrade(path, "Sec-WebSocket-Version: 1")),
        ]);
        const gone = new Promise((resolve) => accepted.on("close", resolve));
        await Promise.race([once(socket, "data"), gone]);
        socket.resetAndDestroy();
        accepted.emit("error", new Error("read ECONNRESET"));
        await gone;
      }
      expect((await fetch(`${application.url}/sockets/info`)).status).to.equal(200);
    });

    it("does not keep the connection of an upgrade that SockJS refuses, whatever the client does", async () => {
      const application = await start();
      const text = await rest(
        await application.dial(upgrade("/sockets/websocket", "Sec-WebSocket-Version: 1")),
      );
      expect(text).to.match(/^HTTP\/1\.1 400 /);
    });

    it("serves no HTTP transport on the socket of an upgrade", async () => {
      const application = await start();
      for (const path of ["/sockets/1/a/xhr_streaming", "/sockets/1/a/eventsource", "/sockets/info"]) {
        const text = await rest(await application.dial(upgrade(path, V13)));
        expect(text, path).to.match(/^HTTP\/1\.1 404 /);
      }
      expect(application.tokenServer.sockets()).to.deep.equal([]);
    });

    it("lets no WebSocket of an older draft in, which opens when its client pleases", async () => {
      const application = await start();
      const keys = ["Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5", "Sec-WebSocket-Key2: 12998 5 Y3 1  .P00"];
      for (const headers of [keys, []]) {
        const head = upgrade("/sockets/1/a/websocket", ...headers).replace(/Sec-WebSocket-Key:.*\r\n/, "");
        expect(await rest(await application.dial(head))).to.match(/^HTTP\/1\.1 400 /);
      }
      expect(application.tokenServer.sockets()).to.deep.equal([]);
    });

    it("has SockJS's page for iframes load SockJS from here, as seen from below the prefix", async () => {
      for (const prefix of ["/sockets", "/a/b"]) {
        const application = await start({ options: { prefix } });
        const page = `${application.url}${prefix}/iframe.html`;
        const [, script = ""] = /<script src="([^"]*)"/.exec(await (await fetch(page)).text()) ?? [];
        expect(script).not.to.match(/^(https?:)?\/\//);
        const response = await fetch(new URL(script, page));
        expect([response.status, (await response.text()).includes("bootstrap_iframe")]).to.deep.equal([
          200,
          true,
        ]);
      }
    });

    it("serves no page that loads a script of another host, unless it was told so", async () => {
      const none = await start({ options: { serveClient: false } });
      expect((await fetch(`${none.url}/sockets/iframe-1.html`)).status).to.equal(404);
      const told = await start({
        options: { serveClient: false },
        sockjs: { sockjs_url: "https://own.example/sockjs.js" },
      });
      const page = await (await fetch(`${told.url}/sockets/iframe.html`)).text();
      expect(page).to.include('src="https://own.example/sockjs.js"');
    });

    it("serves what is asked for by a whole URL", async () => {
      const application = await start();
      const info = await application.dial(
        "GET http://example.com/sockets/info HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n",
      );
      expect(await rest(info)).to.match(/^HTTP\/1\.1 200 /);
      const poll = await application.dial(
        "POST http://example.com/sockets/1/whole/xhr HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
      );
      expect(await rest(poll)).to.match(/^HTTP\/1\.1 200 .*\no\n/s);
      const socket = await application.dial(upgrade("http://127.0.0.1/sockets/websocket", V13));
      const [first] = await once(socket, "data");
      expect(String(first)).to.match(/^HTTP\/1\.1 101 /);
      socket.destroy();
    });

    it("says of a refusal what it is, and that nothing is to be kept of it", async () => {
      const reason = "Für dich nicht";
      const application = await start({ options: { verifyConnection: () => ({ status: 499, reason }) } });
      const post = "POST /sockets/1/a/xhr HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
      for (const [request, status] of [
        [post, "499 unknown"],
        [upgrade("/sockets/websocket", V13), "499 Refused"],
        [upgrade("/sockets/info", V13), "404 Not Found"],
      ] as const) {
        const [head = "", body = ""] = (await rest(await application.dial(request))).split("\r\n\r\n");
        const [line, ...headers] = head.split("\r\n");
        expect(line).to.equal(`HTTP/1.1 ${status}`);
        expect(body).to.equal(status.startsWith("499") ? reason : "Not found");
        expect(headers.filter((header) => !header.startsWith("Date: "))).to.have.members([
          "Cache-Control: no-store",
          "Connection: close",
          `Content-Length: ${Buffer.byteLength(body)}`,
          "Content-Type: text/plain; charset=utf-8",
          "X-Content-Type-Options: nosniff",
        ]);
      }
    });

    it("answers where a function of the application fails that Express asks, and reports that", async () => {
      const trust = () => {
        throw new Error("no trust");
      };
      const application = await start({ prepare: (app) => app.set("trust proxy", trust) });
      const errors: unknown[] = [];
      application.tokenServer.on("error", ({ message }, context) => errors.push([message, context]));
      const proxied = "X-Forwarded-For: 10.0.0.1";
      const post = `POST /sockets/1/a/xhr HTTP/1.1\r\nHost: a\r\n${proxied}\r\nContent-Length: 0\r\n\r\n`;
      for (const request of [post, upgrade("/sockets/websocket", V13, proxied)]) {
        expect(await rest(await application.dial(request))).to.match(
          /^HTTP\/1\.1 500 .*\r\n\r\nInternal error$/s,
        );
        expect(errors.splice(0)).to.deep.equal([
          ["no trust", "a request for a connection could not be served"],
        ]);
      }
    });

    it("says when to ask again where there is no room for now", async () => {
      for (const [limits, status] of [
        [{ connectionsPerIp: 1 }, 429],
        [{ unauthenticatedConnections: 1 }, 503],
      ] as const) {
        const application = await start({ options: { limits } });
        const poll = (name: string) => fetch(`${application.url}/sockets/1/${name}/xhr`, { method: "POST" });
        await (await poll(`first${status}`)).text();
        const refused = await poll(`second${status}`);
        expect([refused.status, refused.headers.get("retry-after")]).to.deep.equal([status, "5"]);
        expect(await rest(await application.dial(upgrade("/sockets/websocket", V13)))).to.match(
          new RegExp(`^HTTP/1\\.1 ${status} .*\r\nRetry-After: 5\r\n`, "s"),
        );
      }
    });

    it("refuses paths that can be read in two ways", async () => {
      const application = await start();
      for (const path of ["/sockets/1\\a\\xhr", "/sockets/1/a'b/xhr", "/sockets/1/a|b/xhr"]) {
        const socket = await application.dial(
          `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`,
        );
        expect(await rest(socket), path).to.match(/^HTTP\/1\.1 400 /);
      }
      expect(application.tokenServer.sockets()).to.deep.equal([]);
    });

    describe("of several servers on one HTTP server", () => {
      /** Attaches another server to an application's HTTP server; gives it, and the warnings that it has logged. */
      const attachAnother = (application: Application, prefix = "/sockets") => {
        const warnings: string[] = [];
        const warn = (line: string) => warnings.push(line);
        const sockets = sockjs.createServer({ log: () => {} });
        const logger = { error: () => {}, warn, info: () => {} };
        const tokenServer = new TokenSocketServer(express(), memoryRedis(), sockets, { prefix, logger });
        cleanups.push(() => tokenServer.shutdown());
        tokenServer.attach(application.http);
        return { tokenServer, warnings };
      };

      it("warns once, with the prefix, where the newest takes the clients of another", async () => {
        const application = await start();
        const { tokenServer, warnings } = attachAnother(application);
        await application.open();
        expect(tokenServer.sockets()).to.have.length(1);
        expect(application.tokenServer.sockets()).to.deep.equal([]);
        expect(warnings).to.have.length(1);
        expect(warnings[0]).to.include('another token server with the prefix "/sockets" is attached');
      });

      it("does not warn where the other one has been shut down, or has another prefix", async () => {
        const application = await start();
        expect(attachAnother(application, "/other").warnings).to.deep.equal([]);
        // its end is not waited for, as where code is loaded anew
        const end = application.tokenServer.shutdown();
        const { tokenServer, warnings } = attachAnother(application);
        await end;
        await application.open();
        expect(tokenServer.sockets()).to.have.length(1);
        expect(warnings).to.deep.equal([]);
      });

      it("warns where there is also one with another prefix, and goes on to refuse for one that was shut down", async () => {
        const application = await start();
        attachAnother(application, "/other");
        expect(attachAnother(application).warnings).to.have.length(1);
        const { tokenServer } = attachAnother(application, "/ended");
        await tokenServer.shutdown();
        attachAnother(application, "/last");
        const response = await fetch(`${application.url}/ended/info`);
        expect([response.status, await response.text()]).to.deep.equal([503, "Server shutting down"]);
      });

      it("leaves nothing of those that were shut down on the HTTP server and in the application", async () => {
        const http = createServer();
        const app = express();
        const startAndEnd = async () => {
          const sockets = sockjs.createServer({ log: () => {} });
          const tokenServer = new TokenSocketServer(app, memoryRedis(), sockets);
          tokenServer.attach(http);
          await tokenServer.ready();
          await tokenServer.shutdown();
        };
        const counts = () => ({
          emit: http.emit,
          listeners: http.eventNames().map((name) => [name, http.listenerCount(name)]),
          layers: app.router.stack.length,
        });
        await startAndEnd();
        const first = counts();
        for (let again = 0; again < 5; again++) await startAndEnd();
        expect(counts()).to.deep.equal(first);
      });

      it("does not warn where the same one is attached again", async () => {
        const application = await start();
        application.tokenServer.attach(application.http);
        expect(application.log.filter((line) => line.includes("another token server"))).to.deep.equal([]);
      });
    });

    it("can be on several HTTP servers, and several can be on one", async () => {
      const application = await start();
      const second = createServer();
      application.tokenServer.attach(second);
      const redis = memoryRedis();
      const sockets = sockjs.createServer({ log: () => {} });
      const other = new TokenSocketServer(express(), redis, sockets, { prefix: "/other" });
      other.attach(second);
      cleanups.push(() => other.shutdown());
      second.listen(0, "127.0.0.1");
      await once(second, "listening");
      cleanups.push(() => second.close());
      const { port } = second.address() as { port: number };
      for (const prefix of ["sockets", "other"]) {
        const client = new WebSocket(`ws://127.0.0.1:${port}/${prefix}/websocket`);
        await once(client, "open");
        client.close();
        await once(client, "close");
      }
      expect((await fetch(`http://127.0.0.1:${port}/nothing`)).status).to.equal(404);
    });
  });

  describe("after shutdown()", () => {
    it("lets nobody in, though the HTTP server stays open", async () => {
      const application = await start();
      await application.tokenServer.shutdown();
      const { url } = application;
      const accepted: unknown[] = [];
      application.sockjs.on("connection", (connection) => accepted.push(connection));
      for (const [method, path] of [
        ["GET", "/sockets/info"],
        ["POST", "/sockets/1/a/xhr"],
        ["POST", "/sockets/1/a/xhr_send"],
        ["GET", "/sockets/1/a/eventsource"],
      ]) {
        const response = await fetch(`${url}${path}`, { method: method ?? "" });
        expect([response.status, await response.text()]).to.deep.equal([503, "Server shutting down"]);
      }
      expect(await rest(await application.dial(upgrade("/sockets/websocket", V13)))).to.match(
        /^HTTP\/1\.1 503 /,
      );
      expect(accepted).to.deep.equal([]);
    });

    it("tells a client that is just between two requests why it was closed", async () => {
      const application = await start();
      const poll = `${application.url}/sockets/1/between/xhr`;
      expect(await (await fetch(poll, { method: "POST" })).text()).to.equal("o\n");
      void application.tokenServer.shutdown();
      const text = await (await fetch(poll, { method: "POST" })).text();
      expect(text).to.equal('c[4000,"Server shutting down"]\n');
    });

    it("cannot be attached any more", async () => {
      const application = await start();
      await application.tokenServer.shutdown();
      expect(() => application.tokenServer.attach(createServer())).to.throw(Error, "shut down");
    });
  });

  describe("is attached", () => {
    it("to an HTTP server alone", async () => {
      const { tokenServer } = await start();
      const [listen, rawListeners] = [() => {}, () => []];
      for (const wrong of [undefined, null, {}, 5, express(), "http", { listen }, { rawListeners }]) {
        expect(() => tokenServer.attach(wrong as never)).to.throw(
          TypeError,
          "httpServer must be an HTTP server, as createServer() of node:http or node:https makes it",
        );
      }
    });

    it("with options of SockJS, whose prefix is that of the server", async () => {
      const { tokenServer } = await start();
      const attach = (options: unknown) => () => tokenServer.attach(createServer(), options as never);
      for (const wrong of [5, "/sockets", [], () => {}]) {
        expect(attach(wrong)).to.throw(TypeError, /^sockjsOptions must be /);
      }
      expect(attach({ prefix: "/other" })).to.throw(TypeError, /^sockjsOptions\.prefix must be /);
      expect(attach({ faye_server_options: {} })).to.throw(
        TypeError,
        /^sockjsOptions\.faye_server_options must be absent: .* see options\.webSocket$/,
      );
      for (const good of [undefined, null, {}, { prefix: "/sockets", websocket: false }]) {
        expect(attach(good)).to.not.throw();
      }
    });
  });
});
