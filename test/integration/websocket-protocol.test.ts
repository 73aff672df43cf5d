import { expect } from "chai";
import { Application } from "../support/application.js";
import { until } from "../support/condition.js";
import {
  close,
  fragments,
  frame,
  OPCODE,
  PLAIN,
  RawWebSocket,
  SOCKJS,
  text,
} from "../support/raw-websocket.js";

const { continuation, text: TEXT, binary, close: CLOSE, ping, pong } = OPCODE;

/** Each length that a frame's head says in another way than the one before, and its neighbours. */
const LENGTHS = [0, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537];

const MESSAGE_BYTES = 70_000;
const FRAME_BYTES = 16 * MESSAGE_BYTES;

/** The server's answer to a message that is no JSON. */
const INVALID = '{"error":"Invalid message"}';

/** How a client ends a connection, and what the server answers. */
const BYE = close(1000, "bye");
const CLOSED = "close 1000 bye";

const BEGUN = text("a", { fin: false });
const LETTERS = [..."abcdefghij"];

/** Reads bytes in hexadecimal digits. */
const bytes = (hex: string) => Buffer.from(hex.replaceAll(" ", ""), "hex");

/** Cuts bytes at each of the offsets. */
const pieces = (whole: Buffer, ...offsets: number[]) =>
  [0, ...offsets].map((start, index) => whole.subarray(start, offsets[index]));

type Case = readonly [name: string, ...frames: Buffer[]];

/** Frames for which the connection is closed with 1002, a protocol error. */
const PROTOCOL_ERRORS: readonly Case[] = [
  ...[4, 2, 1, 7].flatMap((rsv) =>
    [TEXT, binary, CLOSE, ping, pong].map(
      (opcode): Case => [`reserved bits ${rsv} in a frame of opcode ${opcode}`, frame(opcode, "", { rsv })],
    ),
  ),
  ["a reserved bit in a continuation", BEGUN, frame(continuation, "b", { rsv: 4 })],
  ...[3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf].flatMap((opcode): Case[] => [
    [`the reserved opcode ${opcode}`, frame(opcode)],
    [`the reserved opcode ${opcode} with a payload`, frame(opcode, "payload")],
    [`the reserved opcode ${opcode} inside a message`, BEGUN, frame(opcode)],
  ]),
  ["a ping of 126 bytes", frame(ping, "x".repeat(126))],
  ["a pong of 126 bytes", frame(pong, "x".repeat(126))],
  ["a close frame of 126 bytes", close(1000, "x".repeat(124))],
  ["a close frame of one byte", frame(CLOSE, "x")],
  ["a ping whose length has 16 bits", frame(ping, "x", { lengthBits: 16 })],
  ["a ping whose length has 64 bits", frame(ping, "x", { lengthBits: 64 })],
  ["a fragmented ping", frame(ping, "a", { fin: false }), frame(continuation, "b")],
  ["a fragmented pong", frame(pong, "a", { fin: false }), frame(continuation, "b")],
  ["a fragmented close frame", close(1000, "", { fin: false })],
  ["a continuation of nothing", frame(continuation, "a")],
  ["a continuation of nothing that does not end", frame(continuation, "a", { fin: false })],
  ["a new text inside a fragmented message", BEGUN, text("b")],
  ["new bytes inside a fragmented message", BEGUN, frame(binary, "b")],
  ["an unmasked text", text("a", { isMasked: false })],
  ["unmasked bytes", frame(binary, "a", { isMasked: false })],
  ["an unmasked continuation", BEGUN, frame(continuation, "a", { isMasked: false })],
  ["an unmasked ping", frame(ping, "a", { isMasked: false })],
  ["an unmasked close frame", close(1000, "", { isMasked: false })],
];

/** Frames for which the connection is closed with 1009, as soon as a head says the length. */
const TOO_LARGE: readonly Case[] = [
  ["a text past the limit", text("", { length: BigInt(FRAME_BYTES + 1) })],
  ["bytes past the limit", frame(binary, "", { length: BigInt(FRAME_BYTES + 1) })],
  ...[31n, 32n, 53n, 63n].map(
    (power): Case => [`a frame of 2^${power} bytes`, text("", { length: 2n ** power })],
  ),
  ["a frame of 2^64 - 1 bytes", text("", { length: 2n ** 64n - 1n })],
  [
    "fragments that pass the limit together",
    BEGUN,
    frame(continuation, "", { fin: false, length: BigInt(FRAME_BYTES) }),
  ],
];

/** Control frames, and what the server answers. */
const CONTROL_FRAMES: readonly [name: string, sent: Buffer, answers: string[]][] = [
  ["a ping without a payload", frame(ping), ["pong "]],
  ["a ping with a text", frame(ping, "hello"), ["pong hello"]],
  ["a ping of 125 bytes", frame(ping, "x".repeat(125)), [`pong ${"x".repeat(125)}`]],
  [
    "ten pings in a row",
    Buffer.concat(LETTERS.map((letter) => frame(ping, letter))),
    LETTERS.map((letter) => `pong ${letter}`),
  ],
  ["a pong that nobody asked for", frame(pong), []],
  ["a pong with a payload", frame(pong, "unsolicited"), []],
  ["a ping behind pongs", Buffer.concat([frame(pong, "a"), frame(pong, "b"), frame(ping, "c")]), ["pong c"]],
];

/** UTF-8: the ends of each length, and of the gap that the surrogates leave (RFC 3629). */
const UTF8 = [
  ["a Greek word", "ce ba e1 bd b9 cf 83 ce bc ce b5"],
  ["the last code point of one byte", "7f"],
  ["the first and the last code point of two bytes", "c2 80 df bf"],
  ["the first and the last code point of three bytes", "e0 a0 80 ef bf bf"],
  ["the first code point of four bytes, and the last of all", "f0 90 80 80 f4 8f bf bf"],
  ["the neighbours of the surrogates", "ed 9f bf ee 80 80"],
  ["the replacement character", "ef bf bd"],
  ["code points that are no characters", "ef bf be f0 9f bf be f0 9f bf bf f4 8f bf be ef b7 90"],
  ["a byte order mark", "ef bb bf 61"],
  ["a character of several code points", "f0 9f 91 a9 e2 80 8d f0 9f 92 bb"],
] as const;

/** Bytes that are no UTF-8. */
const BROKEN_UTF8 = [
  ["a code point beyond the last one", "f4 90 80 80"],
  ["four bytes that say more than there is", "f7 bf bf bf"],
  ["five bytes", "f8 88 80 80 80"],
  ["six bytes", "fc 84 80 80 80 80"],
  ["a continuation byte alone", "80"],
  ["the last continuation byte alone", "bf"],
  ["continuation bytes", "80 bf 80 bf 80 bf"],
  ["two bytes without the second", "c3 20"],
  ["three bytes without the third", "e1 80 20"],
  ["four bytes without the fourth", "f0 90 80 20"],
  ["two bytes that end early", "df"],
  ["three bytes that end early", "ef bf"],
  ["four bytes that end early", "f4 8f bf"],
  ["a byte that begins nothing", "fe"],
  ["another byte that begins nothing", "ff"],
  ["an overlong zero", "c0 80"],
  ["an overlong slash of two bytes", "c0 af"],
  ["an overlong slash of three bytes", "e0 80 af"],
  ["an overlong slash of four bytes", "f0 80 80 af"],
  ["the last overlong sequence of two bytes", "c1 bf"],
  ["the last overlong sequence of three bytes", "e0 9f bf"],
  ["the last overlong sequence of four bytes", "f0 8f bf bf"],
  ["the first high surrogate", "ed a0 80"],
  ["the last high surrogate", "ed af bf"],
  ["the first low surrogate", "ed b0 80"],
  ["the last low surrogate", "ed bf bf"],
  ["a pair of surrogates", "ed a0 80 ed b0 80"],
  ["a surrogate behind a Greek word", "ce ba e1 bd b9 cf 83 ce bc ce b5 ed a0 80 65"],
] as const;

for (const framing of [PLAIN, SOCKJS]) {
  describe(`A server of ${framing.name}`, () => {
    let application: Application;
    const sockets: RawWebSocket[] = [];

    before(async () => {
      application = await Application.start({
        options: {
          socketController: { echo: (_auth, data) => data },
          limits: {
            messageBytes: MESSAGE_BYTES,
            framesPerSecond: Infinity,
            frameBurst: Infinity,
            bytesPerSecond: Infinity,
          },
        },
      });
    });
    afterEach(async () => {
      for (const { socket } of sockets.splice(0)) socket.destroy();
      await until(() => application.tokenServer.sockets().length === 0);
      expect(application.errors).to.deep.equal([]);
    });
    after(() => application.stop());

    const open = async (first?: Buffer) => {
      const webSocket = await RawWebSocket.open(await application.dial(""), framing, first && { first });
      sockets.push(webSocket);
      return webSocket;
    };
    const logIn = async () => (await open()).logIn(await application.token());

    /** Ends a connection as a client should; nothing else may have come. */
    const end = async (webSocket: RawWebSocket) => {
      webSocket.write(BYE);
      expect(await webSocket.rest()).to.deep.equal([CLOSED]);
    };

    /** Sends bytes on new connections, whole and in pieces. */
    const bothWays = async (
      start: () => Promise<RawWebSocket>,
      sent: Buffer,
      look: (webSocket: RawWebSocket) => Promise<void>,
    ) => {
      const whole = await start();
      whole.write(sent);
      await look(whole);
      const inPieces = await start();
      const writing = inPieces.writePieces(sent, sent.length > 1000 ? 997 : 1);
      await look(inPieces);
      await writing;
    };

    const refuses = (code: number, ...frames: Buffer[]) =>
      bothWays(open, Buffer.concat(frames), async (webSocket) => {
        expect(await webSocket.rest()).to.deep.equal([`close ${code}`]);
      });

    /** The payload of a frame that calls a function which gives back what it gets. */
    const echo = (req: string) => framing.wrap(JSON.stringify({ rpc: "echo", uuid: "1", req }));

    const echoes = (name: string, req: string, encode: (payload: Buffer) => Buffer, before: string[] = []) =>
      it(`takes ${name}`, () =>
        bothWays(logIn, encode(Buffer.from(echo(req))), async (webSocket) => {
          for (const answer of before) expect(await webSocket.next()).to.equal(answer);
          expect(JSON.parse(await webSocket.message())).to.deep.equal({ rpc: "echo", uuid: "1", resp: req });
          await end(webSocket);
        }));

    /** Expects that messages arrive as such, though they are no JSON. */
    const answers = (name: string, sent: Buffer, ...expected: string[]) =>
      it(`takes ${name}`, () =>
        bothWays(open, sent, async (webSocket) => {
          for (const answer of expected) expect(await webSocket.message()).to.equal(answer);
          await end(webSocket);
        }));

    describe("that gets whole messages", () => {
      for (const length of LENGTHS) {
        if (length > 0) echoes(`a text of ${length} bytes`, "x".repeat(length - echo("").length), text);
        answers(`${length} bytes that are no text`, frame(binary, Buffer.alloc(length, 0xff)), INVALID);
      }
      // no frame of SockJS
      if (framing === PLAIN) answers("a text of no bytes", text(""), INVALID);
      // RFC 6455 (section 5.2) wants the shortest form of whoever sends; whoever reads may take the others, as `ws` does
      for (const lengthBits of [16, 64] as const) {
        echoes(`a length of ${lengthBits} bits where fewer would do`, "a", (payload) =>
          text(payload, { lengthBits }),
        );
      }
      echoes("a text of which all mask bytes are zero", "a", (payload) =>
        text(payload, { mask: [0, 0, 0, 0] }),
      );

      it("takes what comes with the request that opens it", async () => {
        const webSocket = await open(Buffer.concat([frame(ping, "early"), BYE]));
        expect(await webSocket.rest()).to.deep.equal(["pong early", CLOSED]);
      });

      it("serves a hundred messages in order, whose frames are cut anywhere", async () => {
        const webSocket = await logIn();
        const numbers = Array.from({ length: 100 }, (_, number) => number);
        const sent = numbers.map((number) => text(echo(`${number} ${"é".repeat(number)}`)));
        await webSocket.writePieces(Buffer.concat(sent), 61);
        for (const number of numbers) {
          expect(JSON.parse(await webSocket.message()).resp).to.equal(`${number} ${"é".repeat(number)}`);
        }
        await end(webSocket);
      });
    });

    describe("that gets control frames", () => {
      for (const [name, sent, expected] of CONTROL_FRAMES) {
        it(`answers ${name} with ${expected.length === 0 ? "nothing" : "a pong for each ping"}`, () =>
          bothWays(open, Buffer.concat([sent, BYE]), async (webSocket) => {
            expect(await webSocket.rest()).to.deep.equal([...expected, CLOSED]);
          }));
      }
    });

    describe("that gets a message in fragments", () => {
      const word = "κόσμε 👩‍💻";

      for (const count of [2, 3, 10, 128]) {
        echoes(`${count} of them`, "x".repeat(200), (payload) => {
          const offsets = Array.from({ length: count - 1 }, (_, index) => index + 1);
          return fragments(TEXT, pieces(payload, ...offsets));
        });
      }
      echoes("empty ones before, between and behind", word, (payload) =>
        fragments(TEXT, pieces(payload, 0, 5, 5, payload.length)),
      );
      echoes(
        "control frames between them",
        word,
        (payload) =>
          fragments(
            TEXT,
            pieces(payload, 3, 20),
            Buffer.concat([frame(ping, "a"), frame(pong), frame(ping)]),
          ),
        ["pong a", "pong ", "pong a", "pong "],
      );
      echoes("a character of which each byte is in another one", word, (payload) => {
        const start = payload.indexOf("👩");
        return fragments(TEXT, pieces(payload, start, start + 1, start + 2, start + 3));
      });
      answers("bytes", fragments(binary, [bytes("ff fe"), bytes(""), bytes("00")]), INVALID);
      answers(
        "two messages one after the other",
        Buffer.concat([fragments(TEXT, ['"a', 'b"']), fragments(TEXT, ['"', "", '"'])]),
        INVALID,
        INVALID,
      );

      it("forgets a message within which the client closes", async () => {
        const webSocket = await logIn();
        const [first, second] = pieces(Buffer.from(echo("never")), 9);
        webSocket.write(text(first ?? "", { fin: false }), BYE, frame(continuation, second));
        expect(await webSocket.rest()).to.deep.equal([CLOSED]);
      });
    });

    describe("that gets what is no right frame", () => {
      for (const [name, ...frames] of PROTOCOL_ERRORS) {
        it(`closes with 1002 for ${name}`, () => refuses(1002, ...frames));
      }
      for (const [name, ...frames] of TOO_LARGE) {
        it(`closes with 1009 for ${name}`, () => refuses(1009, ...frames));
      }

      it("closes with 1002 for a continuation behind a message", async () => {
        for (const message of [text('"a"'), fragments(TEXT, ['"', 'a"'])]) {
          const webSocket = await open();
          webSocket.write(message);
          expect(await webSocket.message()).to.equal(INVALID);
          webSocket.write(frame(continuation, "b"));
          expect(await webSocket.rest()).to.deep.equal(["close 1002"]);
        }
      });

      it("takes nothing more", async () => {
        const webSocket = await logIn();
        webSocket.write(frame(ping, "before"), frame(3), text(echo("never")), frame(ping, "never"), BYE);
        expect(await webSocket.rest()).to.deep.equal(["pong before", "close 1002"]);
      });
    });

    describe("that gets UTF-8", () => {
      for (const [name, hex] of UTF8) {
        const req = bytes(hex).toString();
        echoes(name, req, text);
        echoes(`${name}, each byte in a fragment of its own`, req, (payload) =>
          fragments(TEXT, pieces(payload, ...payload.keys()).slice(1)),
        );
      }

      for (const [name, hex] of BROKEN_UTF8) {
        it(`closes with 1007 for ${name}, whole, in fragments, or in the reason of a close frame`, async () => {
          const broken = Buffer.concat([Buffer.from("abc"), bytes(hex)]);
          await refuses(1007, text(broken));
          await refuses(1007, fragments(TEXT, pieces(broken, 4)));
          await refuses(1007, close(1000, broken));
        });
      }
    });
  });
}
