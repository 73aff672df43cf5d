import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { expect } from "chai";
import { WebSocket } from "ws";
import type { Application } from "../support/application.js";
import {
  DEPTH,
  FORBIDDEN,
  MEGABYTE,
  NOT_FOUND,
  name,
  nestedArrays,
  nestedObjects,
  type Sent,
  textOf,
} from "../support/bad-values.js";
import { Scene } from "../support/scene.js";

/** What is no string within a SockJS message: `[null]`, `[{}]`, `[5]`. */
const SOCKJS_MESSAGES: readonly (readonly [name: string, payload: string, messages: number])[] = [
  ["null", "[null]", 1],
  ["an object", "[{}]", 1],
  ["a number", "[5]", 1],
  ["true", "[true]", 1],
  ["an array", "[[]]", 1],
  ["a frame that is no string", '[{"rpc":"echo","uuid":"u","req":1}]', 1],
  ["a frame in an array", `[[${JSON.stringify('{"rpc":"echo","uuid":"u"}')}]]`, 1],
  ["an object that looks like a string", '[{"length":1,"toString":null}]', 1],
  ["several", '[null,{},5,"text",[],true,{"__proto__":null}]', 7],
  ["nothing", "[]", 0],
  ["arrays 100,000 levels deep", nestedArrays(), 1],
  ["objects 100,000 levels deep", `[${nestedObjects()}]`, 1],
];

/** A client of one SockJS transport, a level below messages: it sends and receives SockJS's own frames. */
interface SockJSClient {
  /** Sends a payload as it is. */
  send(payload: string | Buffer): Promise<unknown>;
  /** The next frame of SockJS: `o`, `a[…]`, `c[…]`. */
  next(): Promise<string>;
  end(): Promise<unknown>;
}

const sessionUrl = (application: Application) =>
  `${application.url}/sockets/0/${randomBytes(6).toString("hex")}`;

async function openWebSocket(application: Application): Promise<SockJSClient> {
  const socket = new WebSocket(`${sessionUrl(application).replace(/^http/, "ws")}/websocket`);
  const closed = once(socket, "close");
  const frames: string[] = [];
  let wake = () => {};
  socket.on("message", (data) => {
    frames.push(String(data));
    wake();
  });
  return {
    send: async (payload) => socket.send(payload),
    async next() {
      while (frames.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return frames.shift() ?? "";
    },
    async end() {
      socket.close();
      await closed;
    },
  };
}

async function openXhr(application: Application, receive: "xhr" | "xhr_streaming"): Promise<SockJSClient> {
  const url = sessionUrl(application);
  const abort = new AbortController();
  const frames = receiveXhr(`${url}/${receive}`, abort.signal);
  return {
    async send(payload) {
      const response = await fetch(`${url}/xhr_send`, {
        method: "POST",
        body: payload,
        headers: { "content-type": "text/plain" },
      });
      await response.text();
      return response.status;
    },
    async next() {
      const { value } = await frames.next();
      if (value === undefined) throw new Error("there is no further frame");
      return value;
    },
    async end() {
      abort.abort();
      await frames.return(undefined).catch(() => {});
    },
  };
}

/** Polls, or reads streams, one after the other; asks for no more than the test does. */
async function* receiveXhr(url: string, signal: AbortSignal): AsyncGenerator<string, undefined> {
  for (;;) {
    const { body } = await fetch(url, { method: "POST", signal });
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of body as ReadableStream<Uint8Array>) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      // a stream begins with a line of filling, and a heartbeat says nothing
      yield* lines.filter((line) => !/^h+$/.test(line));
    }
  }
}

const SOCKJS_CLIENTS: readonly (readonly [name: string, open: (a: Application) => Promise<SockJSClient>])[] =
  [
    ["websocket", openWebSocket],
    ["xhr-streaming", (application) => openXhr(application, "xhr_streaming")],
    ["xhr-polling", (application) => openXhr(application, "xhr")],
  ];

/** Takes so many messages. */
async function takeMessages(client: SockJSClient, count: number): Promise<unknown[]> {
  const messages: unknown[] = [];
  while (messages.length < count) {
    const frame = await client.next();
    if (frame[0] !== "a") throw new Error(`${frame} after ${JSON.stringify(messages)}`);
    messages.push(...(JSON.parse(frame.slice(1)) as string[]).map((message) => JSON.parse(message)));
  }
  return messages;
}

const sockJSMessage = (...frames: Sent[]) => JSON.stringify(frames.map(textOf));

for (const [transport, open] of SOCKJS_CLIENTS) {
  describe(`SockJS messages over ${transport}`, () => {
    let scene: Scene;
    let stranger: SockJSClient;
    let user: SockJSClient;

    before(async () => {
      scene = await Scene.start();
    });

    beforeEach(async () => {
      stranger = await open(scene.application);
      expect(await stranger.next()).to.equal("o");
      user = await open(scene.application);
      expect(await user.next()).to.equal("o");
      await user.send(sockJSMessage({ rpc: "auth", uuid: 1, token: await scene.application.token() }));
      expect(await takeMessages(user, 1)).to.deep.equal([{ rpc: "auth", uuid: 1, resp: "success" }]);
    });

    afterEach(async () => {
      await scene.check();
      await stranger.end();
      await user.end();
    });

    after(async () => {
      await scene.stop();
    });

    for (const [name, payload, count] of SOCKJS_MESSAGES) {
      it(`that hold ${name} are invalid messages, before authentication and after it`, async () => {
        const invalid = Array.from({ length: count }, () => ({ error: "Invalid message" }));
        await stranger.send(payload);
        expect(await takeMessages(stranger, count)).to.deep.equal(invalid);
        const token = await scene.application.token();
        await stranger.send(sockJSMessage({ rpc: "auth", uuid: 2, token }));
        expect(await takeMessages(stranger, 1)).to.deep.equal([{ rpc: "auth", uuid: 2, resp: "success" }]);
        await user.send(payload);
        await user.send(sockJSMessage({ rpc: "echo", uuid: 3, req: 1 }));
        expect(await takeMessages(user, count + 1)).to.deep.equal([
          ...invalid,
          { rpc: "echo", uuid: 3, resp: 1 },
        ]);
      });
    }

    it("that hold many frames are served in order", async () => {
      const frames = Array.from({ length: 2000 }, (_, uuid) => ({ rpc: "echo", uuid, req: { uuid } }));
      await user.send(sockJSMessage(...frames));
      expect(await takeMessages(user, 2000)).to.deep.equal(
        frames.map(({ uuid }) => ({ rpc: "echo", uuid, resp: { uuid } })),
      );
    });

    it("that hold a token and requests are served in order", async () => {
      const token = await scene.application.token();
      await stranger.send(
        sockJSMessage({ rpc: "auth", uuid: 1, token }, { rpc: "echo", uuid: 2, req: 1 }, "text", {
          rpc: "missing",
          uuid: 3,
        }),
      );
      expect(await takeMessages(stranger, 4)).to.deep.equal([
        { rpc: "auth", uuid: 1, resp: "success" },
        { rpc: "echo", uuid: 2, resp: 1 },
        { error: "Invalid message" },
        { rpc: "missing", uuid: 3, ...NOT_FOUND },
      ]);
    });

    it("that hold a frame after one that closes are served up to there", async () => {
      const token = await scene.application.token();
      await stranger.send(
        sockJSMessage({ rpc: "echo", uuid: 1 }, { rpc: "auth", uuid: 2, token }, "text", {
          rpc: "echo",
          uuid: 3,
        }),
      );
      expect(await takeMessages(stranger, 1)).to.deep.equal([{ rpc: "echo", uuid: 1, ...FORBIDDEN }]);
      expect(await stranger.next()).to.equal('c[4403,"Forbidden"]');
      // the token that came too late is still good
      const late = await scene.application.open();
      expect(await late.request({ rpc: "auth", uuid: 4, token })).to.deep.include({ resp: "success" });
      await late.end();
    });

    it("that hold frames after one whose function closes the socket are served up to there", async () => {
      const calls = [1, 2, 3].map((uuid) => ({ rpc: uuid === 2 ? "leave" : "echo", uuid, req: uuid }));
      await user.send(sockJSMessage(...calls));
      expect(await takeMessages(user, 1)).to.deep.equal([{ rpc: "echo", uuid: 1, resp: 1 }]);
      expect(await user.next()).to.equal('c[1000,"Normal closure"]');
    });

    it("that come after the connection was closed change nothing", async () => {
      await user.send(sockJSMessage({ rpc: "auth", uuid: 1, token: 5 }));
      expect(await user.next()).to.equal('c[4400,"Invalid token"]');
      await user.send(sockJSMessage({ rpc: "_subscribe", uuid: 1, req: { channel: "late" } }));
      await user.send("[null]");
      await scene.check();
      expect(scene.application.tokenServer.channels()).to.deep.equal(["witness"]);
    });
  });
}

describe("payloads that are no SockJS messages", () => {
  let scene: Scene;

  before(async () => {
    scene = await Scene.start();
  });

  afterEach(async () => {
    await scene.check();
  });

  after(async () => {
    await scene.stop();
  });

  for (const payload of ["text", "[", '["', "{", "\u0000", "[".repeat(DEPTH)]) {
    it(`close a WebSocket: ${name(payload)}`, async () => {
      const client = await openWebSocket(scene.application);
      expect(await client.next()).to.equal("o");
      await client.send(payload);
      await client.end();
    });
  }

  for (const payload of [
    "null",
    "5",
    "{}",
    " [null]",
    ' ["text"]',
    '"text"',
    Buffer.from('["text"]'),
    nestedObjects(),
  ]) {
    it(`are an invalid message over a WebSocket where they are JSON: ${name(String(payload))}`, async () => {
      const client = await openWebSocket(scene.application);
      expect(await client.next()).to.equal("o");
      await client.send(payload);
      expect(await takeMessages(client, 1)).to.deep.equal([{ error: "Invalid message" }]);
      await client.end();
    });
  }

  for (const payload of [
    Buffer.from('{"rpc":"echo"}'),
    Buffer.from([0xff, 0xfe, 0]),
    Buffer.alloc(MEGABYTE),
  ]) {
    it(`are an invalid message over a raw WebSocket where they are ${payload.length} bytes`, async () => {
      const socket = new WebSocket(`${scene.application.url.replace(/^http/, "ws")}/sockets/websocket`);
      await once(socket, "open");
      socket.send(payload);
      const [data] = await once(socket, "message");
      expect(JSON.parse(String(data))).to.deep.equal({ error: "Invalid message" });
      socket.close();
      await once(socket, "close");
    });
  }

  for (const payload of [
    "",
    "text",
    "[",
    "null",
    "5",
    "{}",
    '"text"',
    '{"__proto__":null}',
    "[".repeat(DEPTH),
  ]) {
    it(`are refused over XHR: ${name(payload)}`, async () => {
      const client = await openXhr(scene.application, "xhr");
      expect(await client.next()).to.equal("o");
      expect(await client.send(payload)).to.equal(500);
      await client.send('["text"]');
      expect(await takeMessages(client, 1)).to.deep.equal([{ error: "Invalid message" }]);
      await client.end();
    });
  }
});
