import { EventEmitter, once } from "node:events";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import type { Socket as TcpSocket } from "node:net";
import { expect } from "chai";
import { WebSocket } from "ws";
import type { Limits, TokenSocketServerOptions } from "../../lib/index.js";
import { Application } from "../support/application.js";
import { until } from "../support/condition.js";

/** As much as no kernel takes at once. */
const PART = "x".repeat(100_000);
const PARTS = 300;

/** A connection that reads when it is told to. */
interface Reader {
  /** Reads on; gives each message as it comes. */
  read(onMessage: (frame: Record<string, unknown>) => void): void;
  send(request: object): void;
  end(): void;
}

describe("A socket that reads too slowly", () => {
  let application: Application;
  const ends: (() => void)[] = [];

  const start = async (limits: Partial<Limits> = {}, options: TokenSocketServerOptions = {}) => {
    application = await Application.start({
      // clients that poll no more are to be closed for what waits for them
      sockjs: { disconnect_delay: 5000 },
      options: { limits, ...options },
    });
  };
  afterEach(async () => {
    for (const end of ends.splice(0)) end();
    await application.stop();
  });

  /** Authenticates over a plain WebSocket, and then reads nothing. */
  const webSocket = async (path: string, frame: (text: string) => string): Promise<Reader> => {
    const token = await application.token();
    const authenticated = once(application.tokenServer, "authenticated");
    const socket = new WebSocket(`${application.url.replace("http", "ws")}${path}`);
    socket.on("error", () => {});
    await once(socket, "open");
    socket.send(frame(JSON.stringify({ rpc: "auth", token, protocol: 4 })));
    await authenticated;
    socket.pause();
    ends.push(() => socket.terminate());
    return {
      read(onMessage) {
        socket.on("message", (data) => {
          const text = String(data);
          if (text.startsWith("{")) onMessage(JSON.parse(text));
          else if (text.startsWith("a")) {
            for (const message of JSON.parse(text.slice(1))) onMessage(JSON.parse(message));
          }
        });
        socket.resume();
      },
      send: (request) => socket.send(frame(JSON.stringify(request))),
      end: () => socket.terminate(),
    };
  };

  const post = async (url: string, body: string): Promise<void> => {
    const response = await fetch(url, { method: "POST", body });
    await response.text();
  };

  /** Authenticates over xhr-streaming, or by polls, and then fetches nothing. */
  const overHttp = async (kind: "xhr_streaming" | "xhr"): Promise<Reader> => {
    const url = `${application.url}/sockets/000/${Math.random().toString(36).slice(2)}`;
    const token = await application.token();
    const authenticated = once(application.tokenServer, "authenticated");
    let stream: ClientRequest | undefined;
    let response: IncomingMessage | undefined;
    if (kind === "xhr") await post(`${url}/xhr`, "");
    else {
      stream = request(`${url}/xhr_streaming`, { method: "POST" }).end();
      stream.on("error", () => {});
      [response] = (await once(stream, "response")) as [IncomingMessage];
      response.on("error", () => {});
      await once(response, "readable");
    }
    await post(`${url}/xhr_send`, JSON.stringify([JSON.stringify({ rpc: "auth", token, protocol: 4 })]));
    await authenticated;
    ends.push(() => stream?.destroy());
    return { read() {}, send() {}, end: () => stream?.destroy() };
  };

  const KINDS: Record<string, () => Promise<Reader>> = {
    "a plain WebSocket": () => webSocket("/sockets/websocket", (text) => text),
    "SockJS's WebSocket": () => webSocket("/sockets/000/abc/websocket", (text) => JSON.stringify([text])),
    "xhr-streaming": () => overHttp("xhr_streaming"),
    "xhr-polling": () => overHttp("xhr"),
  };

  for (const [name, open] of Object.entries(KINDS)) {
    it(`is closed over ${name}, while others get all of it`, async () => {
      await start();
      await open();
      const { tokenServer } = application;
      const slow = application.socket();
      await tokenServer.subscribe(slow, "room");
      const other = await application.connect("websocket", { protocol: 4 });
      await other.subscribe("room");
      let gone = -1;
      let sent = 0;
      tokenServer.once("disconnect", (socket) => {
        expect(socket).to.equal(slow);
        gone = sent;
      });
      for (; sent < PARTS; sent++) {
        await tokenServer.publish("room", `${sent}:${PART}`);
        expect(await other.message("room")).to.equal(`${sent}:${PART}`);
      }
      // the kernel takes some of it
      expect(gone).to.be.within(10, PARTS - 1);
      expect(tokenServer.channelSockets("room")).to.have.length(1);
    });
  }

  for (const name of ["a plain WebSocket", "SockJS's WebSocket"]) {
    it(`is not read from over ${name} as long as it takes nothing`, async () => {
      const called = new EventEmitter();
      const call = () => called.emit("call");
      await start({}, { socketController: { call } });
      let newest: TcpSocket | undefined;
      application.http.on("connection", (accepted) => {
        newest = accepted;
      });
      const reader = await KINDS[name]?.();
      const tcp = newest ?? expect.fail();
      application.tokenServer.send(application.socket(), "room", PART.repeat(PARTS));
      expect([tcp.writableLength > 0, tcp.isPaused()]).to.deep.equal([true, true]);
      reader?.send({ rpc: "call" });
      const answered = once(called, "call");
      reader?.read(() => {});
      await answered;
      expect(tcp.isPaused()).to.equal(false);
    });
  }

  for (const name of ["a plain WebSocket", "SockJS's WebSocket"]) {
    it(`slows the function of a stream over ${name}, however much it has asked for, and gets all of it`, async () => {
      let asked = 0;
      await start(
        {},
        {
          socketController: {
            echo: (_auth: unknown, data: unknown) => data,
            async *parts() {
              while (asked < PARTS) yield `${++asked}:${PART}`;
            },
          },
        },
      );
      let newest: TcpSocket | undefined;
      application.http.on("connection", (accepted) => {
        newest = accepted;
      });
      const reader = await KINDS[name]?.();
      const tcp = newest ?? expect.fail();
      reader?.send({ rpc: "parts", uuid: "s" });
      reader?.send({ rpc: "_credit", req: { uuid: "s", items: 2 * PARTS } });
      await until(() => tcp.writableLength > 0);
      // others have turns meanwhile
      const other = await application.connect("websocket", { protocol: 4 });
      expect(await other.request({ rpc: "echo", req: 1 })).to.have.property("resp", 1);
      expect(asked).to.be.within(1, PARTS - 1);
      const numbers: number[] = [];
      await new Promise<void>((resolve) => {
        reader?.read(({ item, end }) => {
          if (end) resolve();
          else if (item !== undefined) numbers.push(Number.parseInt(String(item), 10));
        });
      });
      expect(numbers).to.deep.equal(Array.from({ length: PARTS }, (_, index) => index + 1));
    });
  }

  it("may get a single frame that is larger than the limit, and what comes after it", async () => {
    const big = "x".repeat(8_000_000);
    await start({ bufferedBytes: 10_000 }, { socketController: { big: () => big } });
    const client = await application.connect("websocket", { protocol: 4 });
    await client.subscribe("room");
    client.send({ rpc: "big", uuid: "b" });
    await application.tokenServer.publish("room", 1);
    const [reply, message] = [await client.take((frame) => frame.uuid === "b"), await client.message("room")];
    expect(reply.resp).to.equal(big);
    expect(message).to.equal(1);
    expect(await client.request({ rpc: "big" })).to.have.property("resp", big);
  });

  describe("of a channel whose messages may be dropped", () => {
    /** Has a socket miss messages, and gives what it got of them when it reads again. */
    const missing = async (
      channel: string,
      message: (index: number) => unknown,
      slowReaders: NonNullable<TokenSocketServerOptions["slowReaders"]>,
    ) => {
      await start({ bufferedBytes: 1_000_000 }, { slowReaders, socketController: { now: () => "now" } });
      const reader = await KINDS["a plain WebSocket"]?.();
      const { tokenServer } = application;
      const socket = application.socket();
      await tokenServer.subscribe(socket, channel);
      const other = await application.connect("websocket", { protocol: 4 });
      await other.subscribe(channel);
      for (let index = 0; index < PARTS; index++) {
        await tokenServer.publish(channel, message(index));
        await other.message(channel);
      }
      expect(tokenServer.sockets()).to.include(socket);
      const read: unknown[] = [];
      await new Promise<void>((resolve) => {
        reader?.read((frame) => {
          if (frame.channel === "the end") resolve();
          else if (frame.channel === channel) read.push(frame.message);
        });
        tokenServer.send(socket, "the end", 1);
      });
      return read;
    };

    it("gets the newest of them, in order, and stays", async () => {
      const read = (await missing("log", (index) => ({ index, PART }), { log: "dropOldest" })) as {
        index: number;
      }[];
      const indices = read.map(({ index }) => index);
      expect(indices.length).to.be.within(3, PARTS - 10);
      expect(indices).to.deep.equal([...indices].sort((a, b) => a - b));
      expect(indices.at(-1)).to.equal(PARTS - 1);
    });

    it("gets but the newest", async () => {
      const read = (await missing("price", (index) => ({ index, PART }), { "pri*": "latest" })) as {
        index: number;
      }[];
      // those that were written before it was known to be slow, and then the last one
      expect(read.at(-1)?.index).to.equal(PARTS - 1);
      expect(read.at(-2)?.index).to.be.below(PARTS - 10);
    });

    it("gets but the newest of each key", async () => {
      const message = (index: number) => ({ index, symbol: `s${index % 2}`, PART });
      const latest = ({ symbol }: ReturnType<typeof message>) => symbol;
      const read = (await missing("price", message, { price: { latest: latest as never } })) as {
        index: number;
      }[];
      expect(
        read
          .slice(-2)
          .map(({ index }) => index)
          .sort((a, b) => a - b),
      ).to.deep.equal([PARTS - 2, PARTS - 1]);
    });

    it("gets the oldest dropped where a message's key cannot be told, which is reported", async () => {
      const latest = () => {
        throw new Error("no key");
      };
      const read = (await missing("price", (index) => ({ index, PART }), { price: { latest } })) as {
        index: number;
      }[];
      expect(read.at(-1)?.index).to.equal(PARTS - 1);
      expect(application.errors[0]?.message).to.equal("no key");
    });

    it("still gets all answers, in the order of everything", async () => {
      await start({}, { slowReaders: { room: "dropOldest" }, socketController: { now: () => "now" } });
      const reader = await KINDS["a plain WebSocket"]?.();
      const { tokenServer } = application;
      const socket = application.socket();
      await tokenServer.subscribe(socket, "room");
      for (let index = 0; index < PARTS; index++) {
        await tokenServer.publish("room", { index, PART });
        if (index % 50 === 0) tokenServer.send(socket, "mark", index);
      }
      const marks: unknown[] = [];
      const indices: number[] = [];
      await new Promise<void>((resolve) => {
        reader?.read(({ channel, message }) => {
          if (channel === "mark") marks.push(message);
          if (channel === "room") indices.push((message as { index: number }).index);
          if (indices.at(-1) === PARTS - 1) resolve();
        });
      });
      expect(marks).to.deep.equal([0, 50, 100, 150, 200, 250]);
      expect(indices).to.deep.equal([...indices].sort((a, b) => a - b));
    });
  });
});
