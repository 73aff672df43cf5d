import { once } from "node:events";
import { Socket as TcpSocket } from "node:net";
import { expect } from "chai";
import sinon from "sinon";
import type { Connection } from "sockjs";
import { WebSocket } from "ws";
import { Application, type ApplicationOptions } from "../support/application.js";
import { until as condition } from "../support/condition.js";
import { hideInside } from "../support/unknown-sockjs.js";
import { WIRE_TRANSPORTS, type WireClient } from "../support/wire-client.js";

const MESSAGES = Array.from({ length: 20 }, (_, number) => ({ number, text: 'é\u2028😀"\\'.repeat(number) }));

describe("Messages of one turn", () => {
  let application: Application;
  const sockets: WebSocket[] = [];

  const start = async (options: ApplicationOptions = {}) => {
    application = await Application.start({
      // a busy machine may take a while between two polls
      sockjs: { disconnect_delay: 1000 },
      ...options,
      options: {
        ...options.options,
        socketController: {
          double: (_auth: unknown, value: number) => 2 * value,
          later: async (_auth: unknown, value: number) => 2 * value,
        },
      },
    });
  };
  afterEach(async () => {
    sinon.restore();
    for (const socket of sockets.splice(0)) socket.terminate();
    await application.stop();
  });

  const numbers = async (client: WireClient) => {
    const taken = [];
    while (taken.length < MESSAGES.length) taken.push(await client.message("news"));
    return taken;
  };

  for (const inside of ["known", "unknown"] as const) {
    for (const transport of WIRE_TRANSPORTS) {
      it(`arrive once, whole and in order, over ${transport}, where SockJS's inside is ${inside}`, async () => {
        await start();
        if (inside === "unknown") hideInside(application.sockjs);
        const { tokenServer } = application;
        const client = await application.connect(transport);
        await client.subscribe("news");
        await Promise.all(MESSAGES.map((message) => tokenServer.publish("news", message)));
        expect(await numbers(client)).to.deep.equal(MESSAGES);

        // answers among messages, and calls of the server
        const socket = application.socket();
        const answer = tokenServer.rpc(socket, "ask", 1);
        for (const message of MESSAGES) tokenServer.send(socket, "news", message);
        const calls = MESSAGES.map(({ number }) =>
          client.request({ rpc: number % 2 ? "double" : "later", req: number }),
        );
        const { fid } = await client.takeCall();
        client.send({ rpc: "_rpc", fid, resp: { data: "yes" } });
        expect(await answer).to.equal("yes");
        expect(await numbers(client)).to.deep.equal(MESSAGES);
        expect((await Promise.all(calls)).map(({ resp }) => resp)).to.deep.equal(
          MESSAGES.map(({ number }) => 2 * number),
        );

        // all of it comes before the end
        for (const message of MESSAGES) tokenServer.send(socket, "news", message);
        socket.close(4001, "enough");
        expect(await numbers(client)).to.deep.equal(MESSAGES);
        expect(await client.closed).to.deep.equal({ code: 4001, reason: "enough" });
      });
    }
  }

  /** Opens a WebSocket by hand, in SockJS's framing or plain, lets it in, and gives what it receives from then on. */
  const listen = async (framing: "sockjs" | "plain", options: { perMessageDeflate?: boolean } = {}) => {
    const path = framing === "plain" ? "websocket" : "1/a/websocket";
    const token = await application.token();
    const socket = new WebSocket(`${application.url.replace("http", "ws")}/sockets/${path}`, {
      perMessageDeflate: false,
      ...options,
    });
    sockets.push(socket);
    const received: string[] = [];
    const waiting = new Set<() => void>();
    socket.on("message", (data) => {
      received.push(String(data));
      for (const wake of waiting) wake();
    });
    const until = async (isDone: () => boolean) => {
      while (!isDone()) await new Promise<void>((resolve) => waiting.add(resolve));
    };
    await once(socket, "open");
    const frame = JSON.stringify({ rpc: "auth", token });
    socket.send(framing === "plain" ? frame : JSON.stringify([frame]));
    await until(() => received.some((text) => text.includes("success")));
    received.length = 0;
    return { socket, received, until };
  };

  const payload = (number: number) => JSON.stringify({ channel: "news", message: number });

  it("go in one frame of SockJS, and by one write", async () => {
    await start();
    const { received, until } = await listen("sockjs");
    const write = sinon.spy(TcpSocket.prototype, "write");
    const socket = application.socket();
    for (let number = 0; number < 10; number++) application.tokenServer.send(socket, "news", number);
    await until(() => received.length > 0);
    expect(received).to.deep.equal([`a${JSON.stringify(Array.from({ length: 10 }, (_, n) => payload(n)))}`]);
    expect(write.callCount).to.equal(1);
  });

  it("go by one write over the plain WebSocket", async () => {
    await start();
    const { received, until } = await listen("plain");
    const write = sinon.spy(TcpSocket.prototype, "write");
    const socket = application.socket();
    for (let number = 0; number < 10; number++) application.tokenServer.send(socket, "news", number);
    await until(() => received.length === 10);
    expect(received).to.deep.equal(Array.from({ length: 10 }, (_, n) => payload(n)));
    expect(write.callCount).to.equal(1);
  });

  it("go in two answers to polls, since SockJS ends one with the first message", async () => {
    await start();
    const post = async (path: string, body = "") =>
      (await fetch(`${application.url}/sockets/1/poll/${path}`, { method: "POST", body })).text();
    await post("xhr");
    const frame = JSON.stringify({ rpc: "auth", token: await application.token() });
    await post("xhr_send", JSON.stringify([frame]));
    expect(await post("xhr")).to.include("success");
    const answer = post("xhr");
    const socket = application.socket();
    const session = Reflect.get(socket, "_session") as { recv: unknown };
    await condition(() => Boolean(session.recv));
    for (let number = 0; number < 10; number++) application.tokenServer.send(socket, "news", number);
    const texts = [await answer, await post("xhr")];
    expect(texts.flatMap((text) => JSON.parse(text.slice(1)))).to.deep.equal(
      Array.from({ length: 10 }, (_, n) => payload(n)),
    );
  });

  it("do not wait for more where there are many of them", async () => {
    await start();
    const { received, until } = await listen("plain");
    const write = sinon.spy(TcpSocket.prototype, "write");
    const socket = application.socket();
    const large = "x".repeat(40_000);
    for (let number = 0; number < 4; number++) application.tokenServer.send(socket, "news", large);
    expect(write.callCount).to.equal(2);
    await until(() => received.length === 4);
  });

  for (const policy of ["close", "dropOldest"] as const) {
    it(`are not taken for what a slow reader has not read, with the policy "${policy}"`, async () => {
      await start({ options: { limits: { bufferedBytes: 4096 }, slowReaders: { news: policy } } });
      const { socket: client, received, until } = await listen("plain");
      const socket = application.socket();
      for (let number = 0; number < 40; number++) {
        application.tokenServer.send(socket, "news", { number, text: "x".repeat(1000) });
      }
      application.tokenServer.send(socket, "end", 1);
      await until(() => received.some((text) => text.includes('"end"')));
      expect(received).to.have.length(41);
      expect(client.readyState).to.equal(WebSocket.OPEN);
    });
  }

  it("keep their order with what the application writes by itself", async () => {
    await start();
    const { received, until } = await listen("plain");
    const socket = application.socket();
    application.tokenServer.send(socket, "news", 1);
    socket.write("by hand");
    application.tokenServer.send(socket, "news", 2);
    await until(() => received.length === 3);
    expect(received).to.deep.equal([payload(1), "by hand", payload(2)]);
  });

  /** Puts something around `write` and `close`, before the server does or after it. */
  const wrap = (when: "before" | "after", around: (message: string) => string) => {
    const closed: unknown[][] = [];
    const listener = (connection: Connection) => {
      const { write, close } = connection;
      connection.write = (message) => Reflect.apply(write, connection, [around(String(message))]);
      connection.close = (...reason) => {
        closed.push(reason);
        return Reflect.apply(close, connection, reason);
      };
    };
    if (when === "before") application.sockjs.prependListener("connection", listener);
    else application.sockjs.on("connection", listener);
    return closed;
  };

  for (const when of ["before", "after"] as const) {
    for (const transport of WIRE_TRANSPORTS) {
      it(`each go through what the application has put around SockJS ${when} the server, over ${transport}`, async () => {
        await start();
        const closed = wrap(when, (message) => message.replace("news", "olds"));
        const client = await application.connect(transport);
        const socket = application.socket();
        for (const message of MESSAGES) application.tokenServer.send(socket, "news", message);
        await application.tokenServer.disconnect(socket);
        const taken = [];
        while (taken.length < MESSAGES.length) taken.push((await client.take()).channel);
        expect(taken).to.deep.equal(MESSAGES.map(() => "olds"));
        expect(await client.closed).to.deep.equal({ code: closed[0]?.[0], reason: closed[0]?.[1] });
        expect(closed).to.have.length(1);
      });
    }
  }

  it("go on, and the connection can be closed, where what the application has put around SockJS fails", async () => {
    await start();
    const client = await application.connect("raw-websocket");
    const socket = application.socket();
    const { write } = socket;
    const failing = (message: string) => {
      if (message === payload(0)) throw new Error("broken");
      return Reflect.apply(write, socket, [message]);
    };
    Object.assign(socket, { write: failing });
    for (const message of [0, 1]) application.tokenServer.send(socket, "news", message);
    socket.close(4001, "enough");
    expect(await client.message("news")).to.equal(1);
    expect(await client.closed).to.deep.equal({ code: 4001, reason: "enough" });
    expect(application.errors.map(({ message }) => message)).to.deep.equal(["broken"]);
  });

  for (const framing of ["sockjs", "plain"] as const) {
    it(`are compressed where that was agreed on, ${framing}`, async () => {
      await start({ options: { webSocket: { perMessageDeflate: { threshold: 0 } } } });
      const compressed = await listen(framing, { perMessageDeflate: true });
      expect(compressed.socket.extensions).to.equal("permessage-deflate");
      const socket = application.socket();
      const tcp = Reflect.get(compressed.socket, "_socket") as TcpSocket;
      const before = tcp.bytesRead;
      for (let number = 0; number < 5; number++) {
        application.tokenServer.send(socket, "news", "x".repeat(10_000));
        socket.write("by hand".repeat(10_000));
      }
      await compressed.until(() => compressed.received.join("").length > 400_000);
      expect(tcp.bytesRead - before).to.be.below(20_000);
      // a client that did not ask for it has it not
      const plain = await listen(framing);
      application.tokenServer.send(application.socket(), "news", 1);
      await plain.until(() => plain.received.length > 0);
      expect(plain.received.join("")).to.include("news");
    });
  }
});
