import { expect } from "chai";
import { parseFrame, readSimple } from "../../lib/server/transport/sockjs-framing.js";

/** What stands in a frame's way of being simple, and what does not. */
const CHARACTERS = ["[", "]", '"', "\\", "a", "/", "u", "é", "\x1f", "\x7f", ","];

describe("a simple frame of SockJS", () => {
  const frameOf = (message: string) => Buffer.from(JSON.stringify([message]));

  it("gives its message", () => {
    const messages = [
      "",
      "a",
      " ~",
      '"',
      "\\",
      '\\"\\',
      JSON.stringify({ rpc: "echo", req: ['"', "\\"] }),
      "x".repeat(252),
    ];
    for (const message of messages) expect(readSimple(frameOf(message))).to.equal(message);
  });

  it("is none where its message is none of ASCII alone, has other escapes, or is long", () => {
    const messages = ["é", "\u2028", "\n", "\x7f", "\x80", "x".repeat(253)];
    for (const message of messages) expect(readSimple(frameOf(message)), message).to.equal(undefined);
    for (const text of [
      '["\\/"]',
      '["\\u0061"]',
      '["a","b"]',
      '[ "a"]',
      '["a"] ',
      '"a"',
      '[""',
      "[]",
      "[1]",
      '["]',
      '["\\"]',
    ]) {
      expect(readSimple(Buffer.from(text)), text).to.equal(undefined);
    }
    // bytes that are no UTF-8 are for the reader of the WebSocket to refuse
    expect(readSimple(Buffer.from('["\xff"]', "latin1"))).to.equal(undefined);
  });

  it("has the message that JSON has, whatever it is made of", () => {
    let simple = 0;
    const check = (inner: string) => {
      for (const text of [inner, `[${inner}]`, `["${inner}"]`]) {
        const message = readSimple(Buffer.from(text));
        if (message === undefined) continue;
        simple++;
        expect(parseFrame(text), text).to.deep.equal([message]);
      }
    };
    const grow = (inner: string, left: number) => {
      check(inner);
      if (left > 0) for (const character of CHARACTERS) grow(inner + character, left - 1);
    };
    grow("", 4);
    expect(simple).to.be.greaterThan(500);
  });
});
