import { once } from "node:events";
import type { Socket } from "node:net";
import { expect } from "chai";
import { WebSocket } from "ws";
import type { Limits, TokenSocketServerOptions } from "../../lib/index.js";
import { Application } from "../support/application.js";

const PATHS = ["/sockets/websocket", "/sockets/1/bounds/websocket"];

const EMPTY_FRAGMENT = Buffer.from([0x00, 0x80, 0, 0, 0, 0]);
const FRAGMENT_OF_A_BYTE = Buffer.from([0x00, 0x81, 0, 0, 0, 0, 0x61]);
const FIRST_FRAGMENT = Buffer.from([0x01, 0x80, 0, 0, 0, 0]);
const PING = Buffer.from([0x89, 0x80, 0, 0, 0, 0]);
const PONG = Buffer.from([0x8a, 0x80, 0, 0, 0, 0]);

describe("A WebSocket's client", () => {
  let application: Application;

  const start = async (limits: Partial<Limits> = {}, options: TokenSocketServerOptions = {}) => {
    application = await Application.start({
      options: { socketController: { echo: (_auth, data) => data }, limits, ...options },
    });
  };
  afterEach(() => application.stop());

  /** A WebSocket by hand, which has been accepted. */
  const open = async (path: string): Promise<Socket> => {
    const head = [
      `GET ${path} HTTP/1.1`,
      "Host: 127.0.0.1",
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      "\r\n",
    ];
    const socket = await application.dial(head.join("\r\n"));
    await once(socket, "data");
    return socket;
  };

  /** Sends until the other side ends the connection; gives how much that took, and the code that it was closed with. */
  const flood = async (socket: Socket, piece: Buffer, most: number) => {
    let received = Buffer.alloc(0);
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
    });
    const closed = new Promise((resolve) => socket.once("close", resolve));
    let sent = 0;
    while (!socket.destroyed && sent < most) {
      sent += piece.length;
      if (!socket.write(piece)) {
        await Promise.race([new Promise((resolve) => socket.once("drain", resolve)), closed]);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    await closed;
    const close = received.lastIndexOf(Buffer.from([0x88]));
    const code = close === -1 ? undefined : received.readUInt16BE(close + 2);
    return { sent, code, text: received.toString("latin1") };
  };

  const isServed = async () => {
    const client = await application.connect();
    expect(await client.request({ rpc: "echo", req: 1 })).to.have.property("resp", 1);
  };

  for (const path of PATHS) {
    for (const [name, first, frame] of [
      ["empty fragments that never end", FIRST_FRAGMENT, EMPTY_FRAGMENT],
      ["fragments of one byte that never end", FIRST_FRAGMENT, FRAGMENT_OF_A_BYTE],
    ] as const) {
      it(`is closed for ${name}, at ${path}`, async () => {
        await start();
        const socket = await open(path);
        socket.write(first);
        const { text } = await flood(socket, Buffer.concat(Array(1000).fill(frame)), 16_000_000);
        expect(text).to.include("Too many frames");
        await isServed();
      });

      it(`is closed for a message of too many ${name.replace(" that never end", "")}, at ${path}`, async () => {
        await start();
        const socket = await open(path);
        socket.write(first);
        const { code } = await flood(socket, Buffer.concat(Array(128).fill(frame)), 1);
        // by `ws`, which counts the fragments of a message
        expect(code).to.equal(1008);
      });
    }

    for (const [name, frame] of [
      ["pings", PING],
      ["pongs that nobody asked for", PONG],
    ] as const) {
      it(`is closed for more ${name} than it may send frames, at ${path}`, async () => {
        await start({ framesPerSecond: 10, frameBurst: 100, framesWaiting: 50, messageBytes: 1000 });
        const { sent } = await flood(await open(path), Buffer.concat(Array(100).fill(frame)), 1_000_000);
        expect(sent).to.be.below(1_000_000);
        await isServed();
      });
    }

    it(`may send as many control frames and fragments as it may send frames, at ${path}`, async () => {
      await start({ framesPerSecond: 1, frameBurst: 52, framesWaiting: 50 });
      const socket = new WebSocket(application.url.replace("http", "ws") + path);
      await once(socket, "open");
      let pongs = 0;
      socket.on("pong", () => pongs++);
      for (let n = 0; n < 50; n++) socket.ping();
      // two frames more, of which one carries the message
      const answered = new Promise((resolve) =>
        socket.on("message", (text) => String(text) !== "o" && resolve(text)),
      );
      socket.send('"no ', { fin: false });
      socket.send('json"');
      await answered;
      expect(pongs).to.equal(50);
      socket.close();
      await once(socket, "close");
    });
  }

  it("owes for control frames, so that its messages wait", async () => {
    await start({ framesPerSecond: 100, frameBurst: 10, framesWaiting: 1000 });
    const socket = new WebSocket(`${application.url.replace("http", "ws")}/sockets/websocket`);
    await once(socket, "open");
    const reply = () => once(socket, "message");
    let answered = reply();
    socket.send(JSON.stringify({ rpc: "auth", token: await application.token() }));
    await answered;
    answered = reply();
    const begin = performance.now();
    for (let n = 0; n < 40; n++) socket.ping();
    socket.send(JSON.stringify({ rpc: "echo", uuid: "e", req: 1 }));
    await answered;
    // 30 more than it had are 300 ms at a hundred a second
    expect(performance.now() - begin).to.be.above(250);
    socket.close();
    await once(socket, "close");
  });

  it("is closed for SockJS frames without a message, as for others", async () => {
    await start({ framesPerSecond: 10, frameBurst: 100, framesWaiting: 50, messageBytes: 1000 });
    const frame = Buffer.concat([Buffer.from([0x81, 0x82, 0, 0, 0, 0]), Buffer.from("[]")]);
    const { text } = await flood(
      await open("/sockets/1/empty/websocket"),
      Buffer.concat(Array(50).fill(frame)),
      1_000_000,
    );
    expect(text).to.include('c[4429,"Too many frames"]');
  });

  it("that is a stranger is closed once strangers have too much unfinished, and others are let in", async () => {
    await start({ unauthenticatedBytes: 100_000 });
    const head = Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0x0f, 0xff, 0xff, 0, 0, 0, 0]);
    const sockets = await Promise.all(Array.from({ length: 5 }, () => open("/sockets/websocket")));
    const closed = Promise.all(
      sockets.map((socket) => new Promise((resolve) => socket.resume().once("close", resolve))),
    );
    for (const socket of sockets) socket.write(head);
    const gone = () => sockets.filter(({ destroyed }) => destroyed).length;
    while (gone() < 4) {
      for (const socket of sockets) if (!socket.destroyed) socket.write(Buffer.alloc(10_000));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await isServed();
    for (const socket of sockets) socket.destroy();
    await closed;
    await isServed();
  });

  it("that is known is no stranger, and may have a large message under way", async () => {
    await start({ unauthenticatedBytes: 1000, messageBytes: 1_000_000 });
    const client = await application.connect("raw-websocket");
    const data = "x".repeat(900_000);
    expect(await client.request({ rpc: "echo", req: data })).to.have.property("resp", data);
  });

  it("is not served what it sends after it was told to go, and is cut off for much of it", async () => {
    await start({ messageBytes: 1000 });
    const socket = await open("/sockets/websocket");
    application.socket().close(4001, "enough");
    const piece = Buffer.concat([Buffer.from([0x82, 0xfe, 0x03, 0x80, 0, 0, 0, 0]), Buffer.alloc(0x380)]);
    const { sent } = await flood(socket, piece, 64_000_000);
    expect(sent).to.be.below(64_000_000);
  });
});

describe("attach()", () => {
  it("leaves it to the logger what SockJS has to say, without the ids of sessions", async () => {
    const application = await Application.start({
      sockjs: { log: () => expect.fail("not SockJS's own") },
      options: { debug: true },
    });
    try {
      await fetch(`${application.url}/sockets/0/asecretid/xhr`, { method: "POST" });
      const body = { method: "POST", headers: { "content-type": "image/png" }, body: '["x"]' };
      await fetch(`${application.url}/sockets/0/asecretid/xhr_send`, body);
      expect(application.log.join("\n")).to.include("SockJS: POST /sockets/0/…/xhr");
      expect(application.log.join("\n")).to.include("Unsupported content-type image/png");
      expect(application.log.join("\n")).not.to.include("asecretid");
    } finally {
      await application.stop();
    }
  });

  it("refuses options of the WebSocket that SockJS had, and those of ws that are the server's own", async () => {
    const application = await Application.start();
    try {
      const { tokenServer, http } = application;
      expect(() => tokenServer.attach(http, { faye_server_options: { maxLength: 1 } })).to.throw(
        TypeError,
        "sockjsOptions.faye_server_options must be absent",
      );
    } finally {
      await application.stop();
    }
    for (const webSocket of [{ maxPayload: 1 }, { port: 1 }, 5, []]) {
      let error: unknown;
      await Application.start({ options: { webSocket: webSocket as never } }).catch((thrown) => {
        error = thrown;
      });
      expect(error).to.be.instanceOf(TypeError);
      expect(String(error)).to.match(/options\.webSocket(\.\w+ is no option| must be)/);
    }
  });
});

describe("A connection that came without attach()", () => {
  it("is served, and the log has one hint", async () => {
    const application = await Application.start({ attach: false });
    application.sockjs.installHandlers(application.http, { prefix: "/sockets" });
    try {
      for (const transport of ["websocket", "raw-websocket", "xhr-streaming", "xhr-polling"] as const) {
        const client = await application.connect(transport);
        await client.subscribe("room");
        await application.tokenServer.publish("room", transport);
        expect(await client.message("room")).to.equal(transport);
        await client.end();
      }
      const hints = application.log.filter((line) => line.includes("tokenServer.attach(httpServer)"));
      expect(hints).to.have.length(1);
    } finally {
      await application.stop();
    }
  });
});
