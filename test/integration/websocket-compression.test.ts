import { once } from "node:events";
import { constants, deflateRawSync } from "node:zlib";
import { expect } from "chai";
import { type PerMessageDeflateOptions, WebSocket } from "ws";
import { Application } from "../support/application.js";
import { close, frame, OPCODE, PLAIN, RawWebSocket, SOCKJS, text } from "../support/raw-websocket.js";

const MESSAGE_BYTES = 140_000;

/** What clients may offer, RFC 7692, section 7.1. */
const OFFERS: Readonly<Record<string, PerMessageDeflateOptions>> = {
  "with contexts": {},
  "without the client's context": { clientNoContextTakeover: true },
  "without the server's context": { serverNoContextTakeover: true },
  "without contexts": { clientNoContextTakeover: true, serverNoContextTakeover: true },
  "with the smallest windows": { clientMaxWindowBits: 9, serverMaxWindowBits: 9 },
  "with the largest windows": { clientMaxWindowBits: 15, serverMaxWindowBits: 15 },
};

/** Bytes of the messages, below and above what is worth compressing, and of several fragments. */
const SIZES = [0, 16, 64, 256, 1024, 4096, 16_384, 65_536, 131_072];

/** Texts that compress well, and one that does not. */
const TEXTS = {
  one: (size: number) => "x".repeat(size),
  many: (size: number) =>
    Array.from({ length: size }, (_, i) => String.fromCharCode(32 + ((i * 7919 + (i >> 3) * 104_729) % 90)))
      .join("")
      .replaceAll(/["\\]/g, "_"),
};

/** One message's payload as a sender without a context makes it: the last four bytes are left out, section 7.2.1. */
const deflate = (message: string) =>
  deflateRawSync(message, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4);

const COMPRESSED = 4;

for (const framing of [PLAIN, SOCKJS]) {
  describe(`A compressed WebSocket of ${framing.name}`, () => {
    let application: Application;
    const path = framing === PLAIN ? "/sockets/websocket" : "/sockets/0/deflate/websocket";
    const sockets: RawWebSocket[] = [];

    before(async () => {
      application = await Application.start({
        options: {
          socketController: { echo: (_auth, data) => data },
          webSocket: { perMessageDeflate: true },
          limits: { messageBytes: MESSAGE_BYTES },
        },
      });
    });
    afterEach(() => {
      for (const { socket } of sockets.splice(0)) socket.destroy();
    });
    after(() => application.stop());

    const echo = (req: string) => framing.wrap(JSON.stringify({ rpc: "echo", uuid: "1", req }));
    const answered = (message: string) => JSON.parse(message);

    const logIn = async (offer: PerMessageDeflateOptions) => {
      const webSocket = new WebSocket(application.url.replace("http", "ws") + path, {
        perMessageDeflate: { threshold: 0, ...offer },
      });
      const messages: string[] = [];
      let wake = () => {};
      webSocket.on("message", (data) => {
        const frame = String(data);
        messages.push(...(frame === "o" ? [frame] : framing.unwrap(`text ${frame}`)));
        wake();
      });
      await once(webSocket, "open");
      const next = async () => {
        for (;;) {
          const message = messages.shift();
          if (message !== undefined) return message;
          await new Promise<void>((resolve) => (wake = resolve));
        }
      };
      if (framing === SOCKJS) expect(await next()).to.equal("o");
      webSocket.send(framing.wrap(JSON.stringify({ rpc: "auth", token: await application.token() })));
      expect(await next()).to.include("success");
      return { webSocket, next };
    };

    for (const [name, offer] of Object.entries(OFFERS)) {
      it(`gives back what it gets, ${name}`, async () => {
        const { webSocket, next } = await logIn(offer);
        expect(webSocket.extensions).to.include("permessage-deflate");
        for (const make of Object.values(TEXTS)) {
          for (const size of SIZES) {
            const message = make(size);
            webSocket.send(echo(message));
            expect(answered(await next()).resp).to.equal(message);
          }
        }
        webSocket.close(1000);
        const [code] = await once(webSocket, "close");
        expect(code).to.equal(1000);
      });
    }

    it("gives back messages in order of which some are compressed and in fragments, with a ping between", async () => {
      const { webSocket, next } = await logIn({});
      const sent: string[] = [];
      const send = (message: string, compress: boolean) => {
        const whole = echo(message);
        webSocket.send(whole.slice(0, 20), { compress, fin: false });
        webSocket.ping();
        webSocket.send(whole.slice(20), { compress, fin: true });
        sent.push(message);
      };
      for (let i = 0; i < 30; i++) send(`${i}${"y".repeat(i * 100)}`, i % 3 > 0);
      for (const message of sent) expect(answered(await next()).resp).to.equal(message);
      webSocket.close();
      await once(webSocket, "close");
    });

    it("compresses nothing where the client does not offer it", async () => {
      const { webSocket, next } = await logIn({});
      const plain = new WebSocket(application.url.replace("http", "ws") + path, { perMessageDeflate: false });
      await once(plain, "open");
      expect(plain.extensions).to.equal("");
      webSocket.send(echo("x"));
      expect(answered(await next()).resp).to.equal("x");
      for (const each of [plain, webSocket]) {
        each.close();
        await once(each, "close");
      }
    });

    /** Small answers are not compressed then. */
    const open = async (offer = "permessage-deflate; server_no_context_takeover") => {
      const webSocket = await RawWebSocket.open(await application.dial(""), framing, {
        headers: { "Sec-WebSocket-Extensions": offer },
      });
      sockets.push(webSocket);
      return webSocket;
    };

    const FAULTS = {
      "a control frame that says it is compressed": [1002, [frame(OPCODE.ping, "", { rsv: COMPRESSED })]],
      "a continuation that says so": [
        1002,
        [text("a", { fin: false, rsv: COMPRESSED }), frame(OPCODE.continuation, "b", { rsv: COMPRESSED })],
      ],
      "what is no deflate": [1007, [frame(OPCODE.text, Buffer.from("ffffffff", "hex"), { rsv: COMPRESSED })]],
      "another reserved bit": [1002, [frame(OPCODE.text, "a", { rsv: 2 })]],
      "what becomes no UTF-8": [
        1007,
        [
          frame(
            OPCODE.text,
            deflateRawSync(Buffer.from([0xc0, 0x80]), { finishFlush: constants.Z_SYNC_FLUSH }).subarray(
              0,
              -4,
            ),
            { rsv: COMPRESSED },
          ),
        ],
      ],
      "little that becomes more than a frame may be": [
        1009,
        [frame(OPCODE.text, deflate("x".repeat(16 * MESSAGE_BYTES + 1)), { rsv: COMPRESSED })],
      ],
    } as const;
    for (const [name, [code, frames]] of Object.entries(FAULTS)) {
      it(`closes with ${code} for ${name}`, async () => {
        const webSocket = await open();
        webSocket.write(Buffer.concat(frames));
        expect(await webSocket.rest()).to.deep.equal([`close ${code}`]);
      });
    }

    it("takes bytes of a compressed message one by one", async () => {
      const webSocket = await open();
      await webSocket.logIn(await application.token());
      const bytes = frame(OPCODE.text, deflate(echo("in pieces")), { rsv: COMPRESSED });
      await webSocket.writePieces(bytes, 1);
      expect(await webSocket.next()).to.include("in pieces");
      webSocket.write(close(1000, "bye"));
      expect(await webSocket.rest()).to.deep.equal(["close 1000 bye"]);
    });
  });
}
