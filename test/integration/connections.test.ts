import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { expect } from "chai";
import type { Request } from "express";
import { WebSocket } from "ws";
import type { TokenSocketServerOptions } from "../../lib/index.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import { until } from "../support/condition.js";
import { express4 } from "../support/express4.js";
import { overhear } from "../support/http-events.js";
import { frame, OPCODE, upgradeRequest } from "../support/raw-websocket.js";
import { WIRE_TRANSPORTS } from "../support/wire-client.js";

for (const version of [5, 4]) {
  describe(`Connections, on Express ${version}`, () => {
    let application: Application;
    const sockets: WebSocket[] = [];
    let sessions = 0;

    const start = async (options: TokenSocketServerOptions, more: ApplicationOptions = {}) => {
      application = await Application.start({
        ...(version === 4 ? { express: express4 } : {}),
        ...more,
        options: { debug: true, ...options },
      });
    };
    afterEach(async () => {
      for (const socket of sockets.splice(0)) socket.terminate();
      await application.stop();
    });

    /** Asks for a plain WebSocket; resolves with 101, or with what it is refused with. */
    const knock = async (headers: Record<string, string> = {}): Promise<[number | undefined, string?]> => {
      const url = `${application.url.replace("http", "ws")}/sockets/websocket?from=test`;
      const socket = new WebSocket(url, { headers });
      socket.on("error", () => {});
      sockets.push(socket);
      return new Promise((resolve) => {
        socket.on("open", () => resolve([101]));
        socket.on("unexpected-response", async (_req, res: IncomingMessage) => {
          let text = "";
          for await (const chunk of res) text += chunk;
          resolve([res.statusCode, text]);
        });
      });
    };

    const dial = (text: string) => application.dial(text);

    /** Opens a session by long polling, and gives its answer. */
    const poll = async (name = `c${version}-${sessions++}`): Promise<[number, string]> => {
      const response = await fetch(`${application.url}/sockets/1/${name}/xhr`, { method: "POST" });
      return [response.status, await response.text()];
    };

    describe("whose listeners throw", () => {
      for (const transport of WIRE_TRANSPORTS) {
        it(`go on, and that is reported, over ${transport}`, async () => {
          await start({ socketController: { three: () => 3 }, limits: { connectionsPerIp: 1 } });
          const thrown: string[] = [];
          // before the server's own
          application.sockjs.prependListener("connection", (connection) => {
            for (const event of ["data", "end", "close"] as const) {
              (connection as NodeJS.EventEmitter).on(event, () => {
                thrown.push(event);
                throw new Error(event);
              });
            }
          });
          const client = await application.connect(transport);
          const { resp } = await client.request({ rpc: "three" });
          expect(resp).to.equal(3);
          await client.end();
          await until(() => thrown.includes("close"));
          await until(() => application.errors.length === thrown.length);
          expect(application.errors.map(({ message }) => message)).to.have.members(thrown);
          expect(thrown).to.include.members(["data", "end"]);
          // it has given its place back
          await until(async () => (await poll())[0] === 200);
        });
      }
    });

    describe("that the application verifies", () => {
      for (const transport of WIRE_TRANSPORTS) {
        it(`hand on what it has found, and are asked about once, over ${transport}`, async () => {
          const asked: string[] = [];
          await start({
            verifyConnection: async (req) => {
              asked.push(`${req.method} ${req.ip} ${req.protocol} ${req.path.split("/")[1]}`);
              return { data: { host: req.get("host") } };
            },
            socketController: {
              data: (_auth, _data, callback, socket) => callback(null, socket.data as never),
            },
          });
          const client = await application.connect(transport);
          const { resp } = await client.request({ rpc: "data" });
          expect(resp).to.deep.equal({ host: application.url.replace("http://", "") });
          await client.request({ rpc: "data" });
          const method = transport.startsWith("xhr") ? "POST" : "GET";
          expect(asked).to.deep.equal([`${method} 127.0.0.1 http sockets`]);
        });
      }

      it("are asked about alone, and not what else is asked for", async () => {
        let asked = 0;
        await start({
          limits: { connectionsPerIp: 1 },
          verifyConnection: () => {
            asked++;
            return true;
          },
        });
        expect((await poll(`only${version}`))[0]).to.equal(200);
        // a WebSocket is one where it is asked for by an upgrade alone
        for (const [method, path, status] of [
          ["GET", "info", 200],
          ["GET", "websocket", 400],
          ["GET", "1/a/websocket", 400],
          ["POST", `1/only${version}/xhr_send`, 500],
        ] as const) {
          const response = await fetch(`${application.url}/sockets/${path}`, { method });
          expect([path, response.status]).to.deep.equal([path, status]);
          await response.text();
        }
        const upgrade = await dial(upgradeRequest("/sockets/info"));
        expect(String((await once(upgrade, "data"))[0])).to.match(/^HTTP\/1\.1 404 /);
        expect(asked).to.equal(1);
      });

      it("are asked about by a request that is one of Express's, without a body", async () => {
        const seen: Record<string, unknown>[] = [];
        const look = (req: Request) => {
          const { app, baseUrl, complete, headers, httpVersion, httpVersionMajor, httpVersionMinor } = req;
          const { method, originalUrl, rawHeaders, url } = req;
          seen.push({
            isOfApp: app === application.app,
            baseUrl,
            complete,
            http: [httpVersion, httpVersionMajor, httpVersionMinor],
            method,
            urls: [url, originalUrl, req.path],
            own: [headers["x-own"], req.get("X-Own"), rawHeaders.includes("X-Own")],
            ip: req.ip,
            port: typeof req.socket.remotePort,
            query: req.query && { ...req.query },
          });
        };
        const bodies: string[] = [];
        await start({
          verifyConnection: async (req) => {
            look(req);
            bodies.push(Buffer.concat(await req.toArray()).toString());
            return true;
          },
          allowedOrigins: (_origin, req) => {
            look(req);
            return true;
          },
        });
        const path = `/sockets/1/asked${version}/xhr?from=test`;
        const headers = { "X-Own": "yes", Origin: "https://other.example" };
        await (await fetch(application.url + path, { method: "POST", headers, body: "unused" })).text();
        expect(bodies).to.deep.equal([""]);
        const expected = {
          isOfApp: true,
          baseUrl: "",
          complete: true,
          http: ["1.1", 1, 1],
          method: "POST",
          urls: [path, path, path.split("?")[0]],
          own: ["yes", "yes", true],
          ip: "127.0.0.1",
          port: "number",
          // a middleware of Express 4 makes it
          query: version === 4 ? undefined : { from: "test" },
        };
        expect(seen).to.deep.equal([expected, expected]);
        await application.stop();
        await start({
          allowedOrigins: (_origin, req) => {
            look(req);
            return true;
          },
        });
        await (await fetch(application.url + path, { method: "POST", headers })).text();
        expect(seen.slice(2)).to.deep.equal([expected]);
      });

      const answers: [string, unknown, [number, string?]][] = [
        ["true", true, [101]],
        ["data", { data: 0 }, [101]],
        ["false", false, [403, "Forbidden"]],
        ["nothing", undefined, [403, "Forbidden"]],
        ["a text", "yes", [403, "Forbidden"]],
        ["an object of something else", {}, [403, "Forbidden"]],
        ["a status and a reason", { status: 402, reason: "Pay first\r\nX: y" }, [402, "Pay first\r\nX: y"]],
        ["a status, whatever data", { status: 401, data: 1 }, [401, "Forbidden"]],
        ["a status that is none", { status: 200, reason: "No" }, [403, "No"]],
      ];
      for (const [what, answer, expected] of answers) {
        it(`are answered ${expected[0]} for ${what}, now or later`, async () => {
          for (const verifyConnection of [() => answer, async () => answer]) {
            await start({ verifyConnection: verifyConnection as never });
            expect(await knock()).to.deep.equal(expected);
            expect((await poll())[0]).to.equal(expected[0] === 101 ? 200 : expected[0]);
            const refusals = application.log.filter((line) => line.includes("was refused"));
            expect(refusals).to.have.length(expected[0] === 101 ? 0 : 2);
            await application.stop();
          }
          await start({});
        });
      }

      it("are told in the log by an IP that may be any text of the client's, where they are refused", async () => {
        await start(
          { verifyConnection: () => false },
          { prepare: (app) => app.set("trust proxy", "loopback") },
        );
        for (const ip of ["10.0.0.1", "x".repeat(200)]) {
          await knock({ "x-forwarded-for": ip });
          const name = JSON.stringify(ip.slice(0, 100));
          expect(application.log).to.include(
            `node-token-sockjs: a request of ${name} was refused: 403 Forbidden`,
          );
        }
      });

      it("are answered 500 where it fails, or its answer does, and that is reported", async () => {
        const unreadable = {
          data: 0,
          get status(): number {
            throw new Error("secret");
          },
        };
        const failures = [
          () => {
            throw new Error("secret");
          },
          () => Promise.reject(new Error("secret")),
          () => unreadable,
          async () => unreadable,
        ];
        for (const verifyConnection of failures) {
          await start({ verifyConnection });
          const reports: unknown[] = [];
          application.tokenServer.on("error", ({ message }, context) => reports.push([context, message]));
          expect(await knock()).to.deep.equal([500, "Internal error"]);
          expect(reports).to.deep.equal([["verifyConnection failed", "secret"]]);
          await application.stop();
        }
        await start({});
      });

      it("are answered 503 where it takes too long, and 409 while it does", async () => {
        let asked = () => {};
        const asking = new Promise<void>((resolve) => {
          asked = resolve;
        });
        await start({
          authTimeout: 100,
          verifyConnection: () => {
            asked();
            return new Promise(() => {});
          },
        });
        const first = poll("twice");
        await asking;
        expect(await poll("twice")).to.deep.equal([409, "The session is being opened"]);
        expect(await first).to.deep.equal([503, "Not verified in time"]);
      });

      it("may take as long as a timer can wait where there is more time than that", async () => {
        await start({
          authTimeout: 2 ** 31,
          // a timer that is given more than it can hold fires after 1 ms
          verifyConnection: () => new Promise((resolve) => setTimeout(resolve, 20, true)),
        });
        expect(await knock()).to.deep.equal([101]);
      });

      /** Asks for a WebSocket on whose connection the application decides when the test says so. */
      const askSlowly = async () => {
        const decide: ((answer: boolean) => void)[] = [];
        await start({
          // nobody is to be let go of since that is over
          authTimeout: 600_000,
          limits: { unauthenticatedConnections: 1 },
          verifyConnection: () => new Promise<boolean>((resolve) => decide.push(resolve)),
        });
        const asking = once(overhear(application.http), "upgrade") as Promise<[IncomingMessage, Socket]>;
        const client = await dial(upgradeRequest("/sockets/websocket"));
        const [, serverSide] = await asking;
        return { decide, client, serverSide };
      };

      for (const end of ["destroy", "end", "resetAndDestroy"] as const) {
        it(`give their place back at once where a WebSocket's client has gone meanwhile, by ${end}()`, async () => {
          const { decide, client, serverSide } = await askSlowly();
          const gone = new Promise((resolve) => serverSide.on("close", resolve));
          client[end]();
          await gone;
          const second = knock();
          await until(() => decide.length === 2);
          for (const answer of decide) answer(true);
          expect(await second).to.deep.equal([101]);
          expect(application.tokenServer.sockets()).to.have.length(1);
        });
      }

      it("are answered what a WebSocket's client has sent meanwhile, in order", async () => {
        const { decide, client, serverSide } = await askSlowly();
        const before = serverSide.bytesRead;
        const early = Buffer.concat([frame(OPCODE.ping, "first"), frame(OPCODE.ping, "second")]);
        client.write(early.subarray(0, 3));
        await until(() => serverSide.bytesRead === before + 3);
        client.write(early.subarray(3));
        await until(() => serverSide.bytesRead === before + early.length);
        let text = "";
        client.setEncoding("latin1").on("data", (chunk) => {
          text += chunk;
        });
        decide[0]?.(true);
        await until(() => text.includes("second"));
        client.write(frame(OPCODE.ping, "third"));
        await until(() => text.includes("third"));
        expect(text).to.match(/^HTTP\/1\.1 101 /);
        expect(text.split("\r\n\r\n")[1]).to.equal("\x8a\x05first\x8a\x06second\x8a\x05third");
      });

      it("are cut where a WebSocket's client sends too much meanwhile", async () => {
        const { decide, client, serverSide } = await askSlowly();
        const before = serverSide.bytesRead;
        client.write(Buffer.alloc(16_384));
        await until(() => serverSide.bytesRead === before + 16_384);
        expect(serverSide.destroyed).to.equal(false);
        const gone = once(client.resume(), "close");
        client.write("x");
        await gone;
        decide[0]?.(true);
        const second = knock();
        await until(() => decide.length === 2);
        decide[1]?.(true);
        expect(await second).to.deep.equal([101]);
      });

      it("are answered 500 where the choice of a protocol fails, now or later", async () => {
        const handleProtocols = () => {
          throw new Error("no choice");
        };
        for (const verifyConnection of [() => true, async () => true]) {
          await start({ webSocket: { handleProtocols }, verifyConnection });
          const socket = await dial(
            upgradeRequest("/sockets/websocket", { "Sec-WebSocket-Protocol": "own" }),
          );
          const [answer] = await once(socket, "data");
          expect(String(answer)).to.match(/^HTTP\/1\.1 500 .*\r\n\r\nInternal error$/s);
          expect(application.errors.map(({ message }) => message)).to.deep.equal(["no choice"]);
          await application.stop();
        }
        await start({});
      });

      it("are not opened where the client has gone, or the server has been shut down, meanwhile", async () => {
        const decide: ((answer: boolean) => void)[] = [];
        await start({
          limits: { unauthenticatedConnections: 1 },
          verifyConnection: () => new Promise<boolean>((resolve) => decide.push(resolve)),
        });
        const asking = once(overhear(application.http), "request");
        const leaving = new AbortController();
        const url = `${application.url}/sockets/1/leaving/xhr`;
        const answered = fetch(url, { method: "POST", signal: leaving.signal }).catch(() => "left");
        const [, res] = await asking;
        const gone = new Promise((resolve) => res.on("close", resolve));
        leaving.abort();
        await gone;
        expect(await answered).to.equal("left");
        decide[0]?.(true);
        const again = once(overhear(application.http), "upgrade");
        const second = knock();
        await again;
        void application.tokenServer.shutdown();
        decide[1]?.(true);
        expect(await second).to.deep.equal([503, "Server shutting down"]);
      });
    });

    describe("that are too many", () => {
      it("for one IP are answered 429, until one goes", async () => {
        await start({ limits: { connectionsPerIp: 2 } });
        expect(await knock()).to.deep.equal([101]);
        expect((await poll("counted"))[1]).to.equal("o\n");
        // a further request of the same session
        const polling = application.open();
        expect(await polling.catch((error) => error)).to.be.instanceOf(Error);
        expect(await knock({ "x-forwarded-for": "10.0.0.9" })).to.deep.equal([429, "Too many connections"]);
        expect(await poll()).to.deep.equal([429, "Too many connections"]);
        const gone = once(application.tokenServer, "disconnect");
        sockets[0]?.close();
        await gone;
        // its place is free when its TCP connection has ended, too
        await until(async () => (await knock())[0] === 101);
        // SockJS forgets a session that nobody asks for
        if (application.tokenServer.sockets().length === 2) await once(application.tokenServer, "disconnect");
        expect(await knock()).to.deep.equal([101]);
      });

      it("of one address that have not authenticated are answered 429, while others are let in", async () => {
        await start(
          { limits: { unauthenticatedConnectionsPerIp: 2 } },
          { prepare: (app) => app.set("trust proxy", "loopback") },
        );
        const network = (host: string) => ({ "x-forwarded-for": `2001:db8:1:2::${host}` });
        for (const host of ["1", "2"]) expect(await knock(network(host))).to.deep.equal([101]);
        expect(await knock(network("3"))).to.deep.equal([429, "Too many connections"]);
        for (const other of ["2001:db8:1:3::1", "10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2:8080"]) {
          expect(await knock({ "x-forwarded-for": other }), other).to.deep.equal([101]);
        }
        expect(await knock({ "x-forwarded-for": "10.0.0.1" })).to.deep.equal([429, "Too many connections"]);
        sockets[0]?.close();
        await until(async () => (await knock(network("4")))[0] === 101);
      });

      it("for one IP are told apart behind a proxy that is trusted", async () => {
        await start(
          { limits: { connectionsPerIp: 1 } },
          { prepare: (app) => app.set("trust proxy", "loopback") },
        );
        expect(await knock({ "x-forwarded-for": "10.0.0.1" })).to.deep.equal([101]);
        expect(await knock({ "x-forwarded-for": "10.0.0.2" })).to.deep.equal([101]);
        expect(await knock({ "x-forwarded-for": "10.0.0.1" })).to.deep.equal([429, "Too many connections"]);
      });

      it("without an identity are answered 503, until one has one", async () => {
        await start({ limits: { unauthenticatedConnections: 1 } });
        const client = await application.open();
        expect(await knock()).to.deep.equal([503, "Too many unauthenticated connections"]);
        await client.request({ rpc: "auth", token: await application.token() });
        expect(await knock()).to.deep.equal([101]);
        expect((await poll())[0]).to.equal(503);
        // another identity is no second one
        await client.request({ rpc: "auth", token: await application.token() });
        expect((await poll())[0]).to.equal(503);
      });

      for (const transport of WIRE_TRANSPORTS) {
        it(`without an identity are as many as before after many have come and gone, over ${transport}`, async () => {
          await start({ limits: { unauthenticatedConnections: 2 } });
          for (let round = 0; round < 3; round++) {
            const client = await application.connect(transport);
            const token = await application.token();
            const gone = once(application.tokenServer, "disconnect");
            expect(await client.request({ rpc: "auth", token })).to.have.property("resp", "success");
            await client.end();
            await gone;
          }
          for (let i = 0; i < 2; i++) await application.open();
          expect((await knock())[0]).to.equal(503);
        });
      }

      it("do not count those that SockJS makes nothing of", async () => {
        await start({ limits: { connectionsPerIp: 1 } });
        for (let i = 0; i < 3; i++) {
          // without the callback that it needs
          const response = await fetch(`${application.url}/sockets/1/none${i}/jsonp`);
          expect(response.status).to.equal(500);
          await response.text();
        }
        expect(await knock()).to.deep.equal([101]);
      });

      it("do not count a session whose client is gone, though a refused body came behind its request", async () => {
        await start({ limits: { unauthenticatedConnections: 1 } });
        const body = "x".repeat(200_000);
        const requests = [
          "POST /sockets/1/streaming/xhr_streaming HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
          `GET /sockets/1/nobody/xhr_send HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
        ];
        const gone = once(application.tokenServer, "disconnect");
        const socket = await dial(requests.join(""));
        await once(socket, "data");
        socket.end();
        await gone;
        await until(async () => (await knock())[0] === 101);
      });

      it("do not count those whose answer waited behind another one when the TCP connection ended", async () => {
        await start(
          { limits: { unauthenticatedConnections: 3 } },
          { prepare: (app) => app.get(["/slow", "/never"], () => {}) },
        );
        const upgrade = "GET /sockets/info HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket";
        for (const [event, last] of [
          ["request", "GET /never HTTP/1.1"] as const,
          ["upgrade", upgrade] as const,
        ]) {
          const gone = new Promise((resolve) => {
            application.http.once("connection", (socket) => socket.once("close", resolve));
          });
          const asked = new Promise((resolve) => {
            overhear(application.http).on(event, ({ url }) => url === last.split(" ")[1] && resolve(url));
          });
          const waiting = [1, 2, 3].map((n) => `OPTIONS /sockets/1/${event}${n}/xhr HTTP/1.1`);
          const requests = ["GET /slow HTTP/1.1", ...waiting, last];
          const socket = await dial(requests.map((request) => `${request}\r\nHost: a\r\n\r\n`).join(""));
          await asked;
          socket.destroy();
          await gone;
          expect(await knock()).to.deep.equal([101]);
        }
      });

      it("do not count those that the application has destroyed", async () => {
        await start({ limits: { connectionsPerIp: 1 } });
        const ended = new Promise<void>((resolve) => {
          application.tokenServer.once("connection", (socket) => {
            socket.once("close", resolve);
            (socket as unknown as Duplex).destroy();
          });
        });
        expect((await poll())[0]).to.equal(200);
        await ended;
        expect(await knock()).to.deep.equal([101]);
      });

      it("do not count those whose client is gone, behind a body that nobody reads", async () => {
        await start({ limits: { connectionsPerIp: 1 } });
        const connected = once(application.tokenServer, "connection");
        const head = "GET /sockets/1/body/eventsource HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n";
        const client = await dial(head + "x".repeat(200_000));
        const [socket] = await connected;
        const ended = once(socket, "close");
        client.destroy();
        await ended;
        expect(await knock()).to.deep.equal([101]);
      });

      it("count each one that is opened, whatever other request of its session ends before", async () => {
        await start({ verifyConnection: () => ({ data: "verified" }) });
        const path = `/sockets/1/both${version}/xhr_streaming`;
        const head = `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n`;
        const asked = once(overhear(application.http), "request");
        const first = await dial(head);
        const [req, res] = await asked;
        expect(req.url).to.equal(path);
        const second = await dial(head);
        const [answer] = await once(second, "data");
        expect(String(answer)).to.match(/^HTTP\/1\.1 409 /);
        const gone = once(res, "close");
        first.destroy();
        await gone;
        const connected = once(application.tokenServer, "connection");
        const third = await dial(`${head}ab`);
        const [{ data }] = await connected;
        expect(data).to.equal("verified");
        third.destroy();
      });
    });
  });
}
