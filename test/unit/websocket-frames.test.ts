import { once } from "node:events";
import { createRequire } from "node:module";
import type { Writable } from "node:stream";
import { expect } from "chai";
import {
  encodeFrames as encodeMessages,
  type Framing,
  latinFrames as latinMessages,
  Message,
} from "../../lib/server/transport/websocket-frames.js";

/** The part of `ws` that its types leave out. */
const { Receiver } = createRequire(import.meta.url)("ws") as {
  Receiver: new (options: { isServer: boolean; maxPayload: number }) => Writable;
};

function encodeFrames(texts: readonly string[], framing: Framing): Buffer {
  return encodeMessages(
    texts.map((text) => new Message(text)),
    framing,
  );
}

function latinFrames(texts: readonly string[], framing: Framing): string | undefined {
  return latinMessages(
    texts.map((text) => new Message(text)),
    framing,
  );
}

/** What another implementation reads in the bytes. */
async function read(bytes: Buffer, count: number): Promise<string[]> {
  const receiver = new Receiver({ isServer: false, maxPayload: 1e6 });
  const texts: string[] = [];
  const done = new Promise<void>((resolve) => {
    receiver.on("message", (data: Buffer, isBinary: boolean) => {
      expect(isBinary).to.equal(false);
      if (texts.push(String(data)) === count) resolve();
    });
  });
  receiver.write(bytes);
  await done;
  receiver.end();
  await once(receiver, "finish");
  return texts;
}

const TEXTS = ["", "{}", "é€😀", ...[124, 125, 126, 65_535, 65_536].map((length) => "x".repeat(length))];

describe("the frames of a WebSocket", () => {
  for (const text of TEXTS) {
    it(`carry a text of ${Buffer.byteLength(text)} bytes`, async () => {
      expect(await read(encodeFrames([text], "plain"), 1)).to.deep.equal([text]);
    });
  }

  it("carry one message each, in order", async () => {
    expect(await read(encodeFrames(TEXTS, "plain"), TEXTS.length)).to.deep.equal(TEXTS);
  });

  it("carry all messages in one where SockJS frames them", async () => {
    const [text = ""] = await read(encodeFrames(TEXTS, "sockjs"), 1);
    expect(text[0]).to.equal("a");
    expect(JSON.parse(text.slice(1))).to.deep.equal(TEXTS);
  });

  for (const framing of ["plain", "sockjs"] as const) {
    it(`are the same bytes as a text of Latin-1, in the framing ${framing}`, () => {
      const texts = ["", "{}", '\0"\\\x7f', ...[125, 126, 1000, 60_000].map((length) => "x".repeat(length))];
      for (const together of [texts, ...texts.map((text) => [text])]) {
        const latin = latinFrames(together, framing) ?? "";
        expect(Buffer.from(latin, "latin1").equals(encodeFrames(together, framing))).to.equal(true);
      }
    });

    it(`are no text where a message has more than ASCII, or is long, in the framing ${framing}`, () => {
      // SockJS's escapes are ASCII
      const surrogates = framing === "plain" ? ["😀", "\ud800"] : [];
      for (const text of ["é", "€", "\x80", ...surrogates, "x".repeat(65_536)]) {
        expect(latinFrames(["{}", text], framing)).to.equal(undefined);
      }
    });
  }

  it("are a text as long as two bytes say its length, and where what is more than ASCII is escaped", () => {
    for (const [text, framing] of [
      ["x".repeat(65_535), "plain"],
      ["x".repeat(65_530), "sockjs"],
      ["😀", "sockjs"],
    ] as const) {
      const latin = latinFrames([text], framing) ?? "";
      expect(Buffer.from(latin, "latin1").equals(encodeFrames([text], framing))).to.equal(true);
    }
  });

  it("escape what SockJS escapes", async () => {
    const odd = ["\u200b\u200c\u2028\u2029\u2060\ufeff\ufff0\uffff", "😀", '\0"\\'];
    const [text = ""] = await read(encodeFrames(odd, "sockjs"), 1);
    expect(text).to.equal(
      'a["\u200b\\u200c\\u2028\\u2029\\u2060\ufeff\\ufff0\\uffff","\\ud83d\\ude00","\\u0000\\"\\\\"]',
    );
    expect(JSON.parse(text.slice(1))).to.deep.equal(odd);
  });
});
