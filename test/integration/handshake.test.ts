import { once } from "node:events";
import type { Socket as TcpSocket } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect } from "chai";
import type { Connection } from "sockjs";
import { WebSocket } from "ws";
import { Application, type ApplicationOptions } from "../support/application.js";
import { until } from "../support/condition.js";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** What an application may read of a SockJS connection. */
const FACTS = ["headers", "url", "pathname", "prefix", "protocol", "address", "remoteAddress", "remotePort"];

/** A frame with an opcode that RFC 6455 reserves, masked. */
const RESERVED = Buffer.from([0x83, 0x80, 0, 0, 0, 0]);

describe("The request that has opened a WebSocket", () => {
  let application: Application;
  let requests: WeakRef<object>[];
  const sockets: WebSocket[] = [];

  const start = async (options: ApplicationOptions = {}) => {
    application = await Application.start(options);
    requests = [];
    // what is the server's own reaches no listener
    const { emit } = application.http;
    application.http.emit = (event: string, ...args: unknown[]) => {
      if (event === "upgrade") requests.push(new WeakRef(args[0] as object));
      return Reflect.apply(emit, application.http, [event, ...args]);
    };
  };
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.terminate();
    await application.stop();
  });

  /** A WebSocket that a browser has, with SockJS's framing or without. */
  const open = async (framing: "sockjs" | "plain") => {
    const path = framing === "plain" ? "websocket" : "1/a/websocket";
    const socket = new WebSocket(`${application.url.replace("http", "ws")}/sockets/${path}`, {
      perMessageDeflate: false,
      headers: { cookie: "a=b", "user-agent": "a browser", "x-forwarded-for": "192.0.2.1" },
    });
    sockets.push(socket);
    await once(socket, "open");
    return socket;
  };

  const logIn = async (socket: WebSocket, framing: "sockjs" | "plain") => {
    const frame = JSON.stringify({ rpc: "auth", token: await application.token() });
    const authenticated = once(application.tokenServer, "authenticated");
    socket.send(framing === "plain" ? frame : JSON.stringify([frame]));
    await authenticated;
  };

  for (const framing of ["sockjs", "plain"] as const) {
    describe(framing === "plain" ? "without SockJS's framing" : "with SockJS's framing", () => {
      it("is let go of, also by what asks the application about it", async () => {
        const verifyConnection = async (req: object) => {
          requests.push(new WeakRef(req));
          return { data: "verified" };
        };
        await start({ options: { verifyConnection } });
        await logIn(await open(framing), framing);
        expect(requests).to.have.length(2);
        await until(() => {
          collectGarbage();
          return requests.every((request) => request.deref() === undefined);
        });
        expect(application.socket().data).to.equal("verified");
      });

      it("is let go of before its client is known, and what the connection tells of it stays", async () => {
        await start();
        const factsOf = (connection: object) => FACTS.map((name) => [name, Reflect.get(connection, name)]);
        const connected = once(application.sockjs, "connection") as Promise<[Connection]>;
        const socket = await open(framing);
        const [connection] = await connected;
        const facts = structuredClone(factsOf(connection));
        expect(Object.fromEntries(facts).headers).to.include({ "x-forwarded-for": "192.0.2.1" });
        await until(() => {
          collectGarbage();
          return requests.every((request) => request.deref() === undefined);
        });
        await logIn(socket, framing);
        expect(factsOf(connection)).to.deep.equal(facts);
      });

      const begin = async () => {
        await start();
        const socket = await open(framing);
        await logIn(socket, framing);
        return socket;
      };

      it("is not missed when its client pings", async () => {
        const socket = await begin();
        const pong = once(socket, "pong");
        socket.ping("alive?");
        expect(String((await pong)[0])).to.equal("alive?");
      });

      it("is not missed when the server closes", async () => {
        const socket = await begin();
        const messages: string[] = [];
        socket.on("message", (data) => messages.push(String(data)));
        const closed = once(socket, "close");
        application.socket().close(4001, "enough");
        const [code, reason] = await closed;
        // SockJS says it in its own words, and closes its WebSocket as always
        if (framing === "sockjs") expect([code, messages.at(-1)]).to.deep.equal([1000, 'c[4001,"enough"]']);
        else expect([code, String(reason)]).to.deep.equal([4001, "enough"]);
      });

      it("is not missed when its client closes", async () => {
        const socket = await begin();
        const left = once(application.tokenServer, "disconnect");
        const closed = once(socket, "close");
        socket.close(4002, "bye");
        await Promise.all([left, closed]);
        expect((await closed)[0]).to.equal(4002);
      });

      it("is not missed when its client breaks the protocol", async () => {
        const socket = await begin();
        const left = once(application.tokenServer, "disconnect");
        const closed = once(socket, "close");
        (Reflect.get(socket, "_socket") as TcpSocket).write(RESERVED);
        await left;
        expect((await closed)[0]).to.equal(1002);
        expect(application.errors).to.deep.equal([]);
      });
    });
  }
});
