import { once } from "node:events";
import type { Socket } from "node:net";
import { expect } from "chai";
import { WebSocket } from "ws";
import { Application, type ApplicationOptions } from "../support/application.js";
import { overhear } from "../support/http-events.js";
import { WIRE_TRANSPORTS } from "../support/wire-client.js";

const LIMIT = 1000;
const UNIT = 16 * LIMIT;

describe("A client's messages", () => {
  let application: Application;

  const start = async (limits: object = {}, options: ApplicationOptions = {}) => {
    application = await Application.start({
      // its sessions are to live through a long body on a busy machine
      sockjs: { disconnect_delay: 5000 },
      ...options,
      options: {
        debug: true,
        limits: { messageBytes: LIMIT, ...limits },
        socketController: { length: async (_auth, data: string) => data.length },
      },
    });
  };
  afterEach(async () => {
    await application.stop();
  });

  const dial = (text: string) => application.dial(text);

  const answer = async (socket: Socket): Promise<string> => {
    const [chunk] = await once(socket, "data");
    return String(chunk).split("\r\n", 1)[0] ?? "";
  };

  /** Opens a session by long polling, and gives the path for its messages. */
  const openSession = async (name: string) => {
    await (await fetch(`${application.url}/sockets/1/${name}/xhr`, { method: "POST" })).text();
    return `/sockets/1/${name}/xhr_send`;
  };

  const post = (path: string, length: string, type = "text/plain") =>
    `${[`POST ${path} HTTP/1.1`, "Host: a", `Content-Type: ${type}`, length].join("\r\n")}\r\n\r\n`;

  for (const transport of WIRE_TRANSPORTS) {
    it(`may be as large as the limit in bytes, and a larger one closes its socket, over ${transport}`, async () => {
      await start();
      const client = await application.connect(transport);
      const frame = (size: number) => {
        const head = '{"rpc":"length","uuid":1,"req":"';
        return `${head}${"ü".repeat((size - head.length - 2) / 2)}"}`;
      };
      client.send(frame(LIMIT));
      expect(await client.take()).to.have.property("resp", 483);
      client.send(frame(LIMIT + 2));
      expect(await client.closed).to.deep.equal({ code: 4413, reason: "Message too large" });
    });
  }

  it("may be no larger where they are no text", async () => {
    await start();
    const values = [Array.from({ length: LIMIT }, () => 0), { a: "x".repeat(LIMIT) }];
    const frames = values.map((value) => ["1/a/websocket", JSON.stringify([value])] as const);
    for (const [path, frame] of [["websocket", Buffer.alloc(LIMIT + 1)] as const, ...frames]) {
      const socket = new WebSocket(`${application.url.replace("http", "ws")}/sockets/${path}`);
      await once(socket, "open");
      const closed = once(application.tokenServer, "disconnect");
      socket.send(frame);
      await closed;
      expect(application.log.at(-2)).to.include("4413 Message too large");
      socket.terminate();
    }
  });

  it("may come many in one body, whose answers are all there", async () => {
    await start();
    const client = await application.connect("xhr-polling");
    for (let i = 0; i < 12; i++) client.send({ rpc: "length", uuid: i, req: "x".repeat(900) });
    for (let i = 0; i < 12; i++) expect(await client.take()).to.have.property("resp", 900);
  });

  for (const path of ["/sockets/websocket", "/sockets/1/frame/websocket"]) {
    it(`may come in one WebSocket frame of 16 times the limit at most, at ${path}`, async () => {
      await start();
      for (const fragments of [[UNIT + 1], Array.from({ length: 20 }, () => LIMIT)]) {
        const client = new WebSocket(application.url.replace("http", "ws") + path);
        await once(client, "open");
        for (const [i, size] of fragments.entries()) {
          client.send("x".repeat(size), { fin: i === fragments.length - 1 });
        }
        const [code] = await once(client, "close");
        expect(code).to.equal(1009);
      }
    });
  }

  it("are refused by what their body announces, before it comes", async () => {
    await start();
    const path = await openSession("announced");
    expect(await answer(await dial(post(path, `Content-Length: ${UNIT + 1}`)))).to.equal(
      "HTTP/1.1 413 Payload Too Large",
    );
    expect(application.log.join()).to.include("413 Body too large");
  });

  it("are refused when a body that announces nothing becomes too large, and memory stays bounded", async () => {
    await start();
    const path = await openSession("chunked");
    const socket = await dial(post(path, "Transfer-Encoding: chunked"));
    const answered = answer(socket);
    const chunk = `400\r\n${"x".repeat(1024)}\r\n`;
    let sent = 0;
    const closed = new Promise((resolve) => socket.on("close", resolve));
    const pump = () => {
      while (!socket.destroyed && sent < 64 * 1024 * 1024) {
        sent += 1024;
        if (!socket.write(chunk)) return void socket.once("drain", pump);
      }
    };
    pump();
    expect(await answered).to.equal("HTTP/1.1 413 Payload Too Large");
    await closed;
    expect(sent).to.be.lessThan(64 * 1024 * 1024);
  });

  it("take no more memory than their bytes where a body comes in the smallest pieces", async () => {
    await start({ messageBytes: 16_384 });
    const path = await openSession("pieces");
    const socket = await dial(post(path, "Transfer-Encoding: chunked"));
    const body = JSON.stringify([JSON.stringify({ rpc: "x".repeat(10_000) })]);
    socket.write(`${[...body].map((letter) => `1\r\n${letter}\r\n`).join("")}0\r\n\r\n`);
    expect(await answer(socket)).to.equal("HTTP/1.1 204 No Content");
  });

  it("are for a session that is there", async () => {
    await start();
    for (const transport of ["xhr_send", "jsonp_send"]) {
      const socket = await dial(post(`/sockets/1/nobody/${transport}`, "Content-Length: 10"));
      expect(await answer(socket)).to.equal("HTTP/1.1 404 Not Found");
    }
  });

  it("have to come in time", async () => {
    await start({ bodyTimeout: 50 });
    const path = await openSession("slow");
    const socket = await dial(`${post(path, "Content-Length: 100")}[`);
    expect(await answer(socket)).to.equal("HTTP/1.1 408 Request Timeout");
  }).timeout(10_000);

  for (const to of ["a session that has not authenticated", "the token route"]) {
    it(`are bounded by all bodies of strangers that are under way, to ${to}`, async () => {
      await start({ unauthenticatedBytes: 20_000 });
      const path = to === "the token route" ? "/socket/token" : await openSession("unfinished");
      const begin = () => dial(post(path, "Content-Length: 15000", "application/json"));
      const sockets = await Promise.all(Array.from({ length: 5 }, begin));
      const answers: (string | undefined)[] = [];
      for (const socket of sockets)
        void answer(socket).then(
          (text) => answers.push(text),
          () => {},
        );
      // whoever has more than an equal share has to go, until there is room
      while (answers.length < 3) {
        for (const socket of sockets) if (socket.writable) socket.write("[".repeat(1000));
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(new Set(answers)).to.deep.equal(new Set(["HTTP/1.1 503 Service Unavailable"]));
      const ended = sockets.filter(({ destroyed }) => !destroyed).map((socket) => once(socket, "close"));
      for (const socket of sockets) socket.destroy();
      await Promise.all(ended);
      // what they had is given back
      expect(
        await answer(
          await dial(
            `${post("/socket/token", "Content-Length: 19000", "application/json")}${" ".repeat(18_998)}{}`,
          ),
        ),
      ).to.equal("HTTP/1.1 200 OK");
    });
  }

  it("of somebody who is known are none of strangers", async () => {
    await start({ unauthenticatedBytes: 500 });
    const client = await application.connect("xhr-polling");
    client.send({ rpc: "length", uuid: "u", req: "x".repeat(900) });
    expect(await client.take()).to.have.property("resp", 900);
  });

  it("leave nothing behind where the client goes away in their midst", async () => {
    await start({ unauthenticatedBytes: 100 });
    const path = await openSession("gone");
    const arrived = once(overhear(application.http), "request");
    const socket = await dial(`${post(path, "Content-Length: 100")}${"[".repeat(99)}`);
    const [req] = await arrived;
    while (req.socket.bytesRead < 100) await new Promise((resolve) => setImmediate(resolve));
    const gone = new Promise((resolve) => req.once("close", resolve));
    socket.resetAndDestroy();
    await gone;
    // what it had counts no more among the bytes of strangers
    const whole = JSON.stringify(["x".repeat(95)]);
    expect(await answer(await dial(`${post(path, "Content-Length: 99")}${whole}`))).to.equal(
      "HTTP/1.1 204 No Content",
    );
  });

  it("do not come with requests that have none", async () => {
    await start();
    for (const path of [
      "/sockets/1/a/xhr",
      "/sockets/1/a/xhr_streaming",
      "/sockets/chunking_test",
      "/sockets/x",
    ]) {
      expect(await answer(await dial(post(path, "Content-Length: 5000"))), path).to.equal(
        "HTTP/1.1 413 Payload Too Large",
      );
    }
    expect(application.tokenServer.sockets()).to.deep.equal([]);
  });
});
