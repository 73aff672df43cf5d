import { expect } from "chai";
import fc from "fast-check";
import {
  encodeAccepted,
  encodeCall,
  encodeEnd,
  encodeErrorReply,
  encodeItem,
  encodeJsonReply,
  encodeKept,
  encodeLost,
  encodeMessage,
  encodePresenceEnd,
  encodeRecovered,
  encodeReply,
  encodeStreamError,
  encodeStreamReply,
  encodeSubscribed,
  encodeUnsubscribed,
  INVALID_MESSAGE_REPLY,
} from "../../lib/shared/frame-encoders.js";
import { isJsonWithin } from "../../lib/shared/json-within.js";
import {
  ALL_CHANNEL,
  type ClientFrame,
  encodeJson,
  type FrameLimits,
  isChannelName,
  isObject,
  isReservedChannel,
  PROTOCOL,
  parseClientFrame,
  SYNC_CHANNEL,
} from "../../lib/shared/protocol.js";
import { FORBIDDEN } from "../../lib/shared/refusals.js";
import { anyCharacter } from "../support/fuzz/characters.js";

const LIMITS: FrameLimits = { jsonDepth: 16, jsonValues: 1000, idLength: 256, channelNameLength: 32 };

const parse = (frame: unknown): ClientFrame => parseClientFrame(JSON.stringify(frame), LIMITS);

/** JSON values as they are after a round trip: without `-0`, which JSON does not keep. */
const jsonValue = () => fc.jsonValue().map((value): unknown => JSON.parse(JSON.stringify(value)));

/** Text with control characters, lone surrogates and all. */
const anyText = () =>
  fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((n) => String.fromCharCode(n)) });

const ids = () => fc.oneof(anyText(), fc.integer(), fc.constant(undefined));

describe("parseClientFrame", () => {
  it("takes no uuid that is too long to be repeated", () => {
    expect(parse({ rpc: "a", uuid: "x".repeat(256) })).to.have.nested.property("head.uuid", "x".repeat(256));
    for (const rpc of ["a", "_subscribe", "auth"]) {
      expect(parse({ rpc, uuid: "x".repeat(257), req: { channel: "c" } })).to.deep.equal({
        type: "invalidRequest",
        head: { rpc, uuid: undefined },
      });
    }
  });

  it("never throws, whatever the text", () => {
    fc.assert(
      fc.property(fc.oneof(anyText(), fc.json()), (text) => {
        expect(parseClientFrame(text, LIMITS).type).to.be.a("string");
      }),
    );
  });

  it("takes whatever is no string for no message", () => {
    fc.assert(
      fc.property(fc.anything({ withBigInt: true, withNullPrototype: true }), (value) => {
        fc.pre(typeof value !== "string");
        expect(parseClientFrame(value, LIMITS)).to.deep.equal({ type: "invalidMessage" });
      }),
    );
  });

  it("takes JSON that is no object for no message", () => {
    for (const text of [
      "",
      " ",
      "null",
      "true",
      "5",
      '"text"',
      "[]",
      '[{"rpc":"a"}]',
      "{",
      "{'rpc':'a'}",
      "\u0000",
    ]) {
      expect(parseClientFrame(text, LIMITS), text).to.deep.equal({ type: "invalidMessage" });
    }
  });

  it("takes JSON that is nested too deep for no message", () => {
    const nested = (levels: number) => `{"rpc":"a","req":${"[".repeat(levels)}${"]".repeat(levels)}}`;
    expect(parseClientFrame(nested(15), LIMITS).type).to.equal("call");
    expect(parseClientFrame(nested(16), LIMITS)).to.deep.equal({ type: "invalidMessage" });
    expect(parseClientFrame(nested(100_000), LIMITS)).to.deep.equal({ type: "invalidMessage" });
    expect(parseClientFrame("[".repeat(100_000), LIMITS)).to.deep.equal({ type: "invalidMessage" });
    expect(parseClientFrame('{"a":'.repeat(100_000), LIMITS)).to.deep.equal({ type: "invalidMessage" });
  });

  it("knows a call by any other name, with its data as it was", () => {
    const reserved = new Set([
      "auth",
      "_ping",
      "_subscribe",
      "_unsubscribe",
      "_publish",
      "_broadcast",
      "_rpc",
    ]);
    fc.assert(
      fc.property(anyText(), jsonValue(), ids(), (rpc, req, uuid) => {
        fc.pre(!reserved.has(rpc) && isJsonWithin(JSON.stringify(req), LIMITS.jsonDepth - 1));
        expect(parse({ rpc, req, uuid })).to.deep.equal({
          type: "call",
          head: { rpc, uuid },
          path: rpc,
          data: req,
        });
      }),
    );
  });

  it("finds a request without an rpc that is a string invalid, and keeps the rpc that it had", () => {
    for (const rpc of [undefined, null, 5, true, [], ["echo"], {}, { toString: "echo" }]) {
      expect(parse({ rpc, uuid: "u" })).to.deep.equal({ type: "invalidRequest", head: { rpc, uuid: "u" } });
    }
  });

  it("leaves out a uuid that is no string and no number", () => {
    for (const uuid of [undefined, null, true, false, [], ["u"], {}, { toString: "u" }]) {
      expect(parse({ rpc: "a", uuid })).to.deep.include({ head: { rpc: "a", uuid: undefined } });
    }
    for (const uuid of ["", "u", "\ud800", 0, 5, -1.5]) {
      expect(parse({ rpc: "a", uuid })).to.deep.include({ head: { rpc: "a", uuid } });
    }
  });

  it("leaves out a uuid that is too large a number for JSON to carry back", () => {
    for (const number of ["1e999", "-1e999"]) {
      const frame = parseClientFrame(`{"rpc":"a","uuid":${number}}`, LIMITS);
      expect(frame).to.deep.include({ head: { rpc: "a", uuid: undefined } });
    }
  });

  it("takes fields of the frame's own, and none of a prototype that is named in the text", () => {
    const text = '{"__proto__":{"rpc":"a","uuid":"u"}}';
    expect(parseClientFrame(text, LIMITS)).to.deep.equal({
      type: "invalidRequest",
      head: { rpc: undefined, uuid: undefined },
    });
    const subscribe = '{"rpc":"_subscribe","req":{"__proto__":{"channel":"c"}}}';
    expect(parseClientFrame(subscribe, LIMITS).type).to.equal("invalidRequest");
    expect(({} as { rpc?: unknown }).rpc).to.equal(undefined);
  });

  it("hands on whatever a token is", () => {
    for (const token of ["t", "", null, 5, [], {}]) {
      expect(parse({ rpc: "auth", token, uuid: 1 })).to.deep.equal({
        type: "auth",
        head: { rpc: "auth", uuid: 1 },
        token,
        protocol: 3,
      });
    }
    expect(parse({ rpc: "auth" })).to.deep.include({ type: "auth", token: undefined });
  });

  it("takes a client to ask who it is by true, or by a text that is not too long", () => {
    for (const identity of [true, "", "x".repeat(128)]) {
      expect(parse({ rpc: "auth", token: "t", identity })).to.deep.include({ identity });
    }
    for (const identity of [undefined, null, false, 1, {}, ["x"], "x".repeat(129)]) {
      expect(parse({ rpc: "auth", token: "t", identity })).to.not.have.property("identity");
    }
  });

  it("takes a client for a newer one by the number of its protocol alone", () => {
    expect(parse({ rpc: "auth", token: "t", protocol: PROTOCOL })).to.deep.include({ protocol: PROTOCOL });
    for (const protocol of ["4", [4], { 4: 4 }, true, null, 3]) {
      expect(parse({ rpc: "auth", token: "t", protocol })).to.deep.include({ protocol: 3 });
    }
  });

  it("knows each channel request", () => {
    const head = (rpc: string) => ({ rpc, uuid: "u" });
    expect(parse({ rpc: "_subscribe", req: { channel: "c", more: 1 }, uuid: "u" })).to.deep.equal({
      type: "subscribe",
      head: head("_subscribe"),
      channel: "c",
      req: { channel: "c", more: 1 },
    });
    expect(parse({ rpc: "_unsubscribe", req: { channel: "c" }, uuid: "u" })).to.deep.equal({
      type: "unsubscribe",
      head: head("_unsubscribe"),
      channel: "c",
      req: { channel: "c" },
    });
    for (const items of [1, 5, 2 ** 53 - 1]) {
      const req = { uuid: "s", items };
      const credit = { type: "credit", head: head("_credit"), req, call: "s", items };
      expect(parse({ rpc: "_credit", req, uuid: "u" })).to.deep.equal(credit);
    }
    for (const items of [0, -1, 1.5, "1", null, undefined, 1e300]) {
      expect(parse({ rpc: "_credit", req: { uuid: "s", items } })).to.have.property("items", undefined);
    }
    for (const data of [null, false, 0, "", [], {}]) {
      expect(parse({ rpc: "_publish", req: { channel: "c", data }, uuid: "u" })).to.deep.equal({
        type: "publish",
        head: head("_publish"),
        channel: "c",
        data,
      });
      expect(parse({ rpc: "_broadcast", req: { data }, uuid: "u" })).to.deep.equal({
        type: "broadcast",
        head: head("_broadcast"),
        data,
      });
    }
    expect(parse({ rpc: "_ping", uuid: "u" })).to.deep.equal({ type: "ping", head: head("_ping") });
  });

  it("finds a channel request invalid that lacks what it needs", () => {
    const channels = [
      undefined,
      null,
      5,
      true,
      "",
      [],
      ["c"],
      {},
      "\ud800",
      "c".repeat(33),
      "c".repeat(2 ** 20),
    ];
    for (const rpc of ["_subscribe", "_unsubscribe", "_publish"]) {
      for (const req of [
        undefined,
        null,
        "c",
        5,
        true,
        ["c"],
        ...channels.map((channel) => ({ channel, data: 1 })),
      ]) {
        expect(parse({ rpc, req, uuid: "u" })).to.deep.equal({
          type: "invalidRequest",
          head: { rpc, uuid: "u" },
        });
      }
    }
    expect(parse({ rpc: "_publish", req: { channel: "c" } }).type).to.equal("invalidRequest");
    for (const req of [undefined, null, "c", 5, true, [1], {}]) {
      expect(parse({ rpc: "_broadcast", req }).type).to.equal("invalidRequest");
    }
  });

  it("knows an answer with a value, without one, and with an error", () => {
    const answer = (resp: unknown) => {
      const frame = parse({ rpc: "_rpc", fid: "f", resp });
      return frame.type === "answer" ? frame.answer : frame.type;
    };
    expect(answer({ data: 5 })).to.deep.equal({ ok: true, data: 5 });
    expect(answer({ data: null })).to.deep.equal({ ok: true, data: null });
    expect(answer({})).to.deep.equal({ ok: true, data: undefined });
    expect(answer({ error: null, data: 1 })).to.deep.equal({ ok: true, data: 1 });
    for (const error of ["no", 0, false, "", {}, []]) {
      expect(answer({ error, data: 1 })).to.deep.equal({ ok: false, error });
    }
  });

  it("finds an answer invalid that has no fid or no resp", () => {
    for (const fid of [undefined, null, 5, [], {}]) {
      expect(parse({ rpc: "_rpc", fid, resp: {} }).type).to.equal("invalidRequest");
    }
    for (const resp of [undefined, null, 5, "", "text", true, [], [{}]]) {
      expect(parse({ rpc: "_rpc", fid: "f", resp }).type).to.equal("invalidRequest");
    }
  });
});

describe("isJsonWithin", () => {
  /** How deep a value's arrays and objects are nested, counted in the value. */
  const depthOf = (value: unknown): number =>
    typeof value === "object" && value !== null
      ? 1 + Math.max(0, ...Object.values(value).map((inner) => depthOf(inner)))
      : 0;

  it("agrees with counting in the parsed value", () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ depthSize: "medium", stringUnit: anyCharacter }),
        fc.integer({ min: 0, max: 8 }),
        fc.constantFrom(undefined, 1, "\t"),
        (value, limit, indent) => {
          const text = JSON.stringify(value, undefined, indent);
          expect(isJsonWithin(text, limit)).to.equal(depthOf(value) <= limit);
        },
      ),
      { numRuns: 500 },
    );
  });

  /** How many values there are in one, itself included. */
  const valuesOf = (value: unknown): number =>
    typeof value === "object" && value !== null
      ? 1 + Object.values(value).reduce<number>((sum, inner) => sum + valuesOf(inner), 0)
      : 1;

  it("counts values, and empty arrays and objects twice", () => {
    const emptyOf = (value: unknown): number =>
      typeof value === "object" && value !== null
        ? Object.values(value).reduce<number>((sum, inner) => sum + emptyOf(inner), 0) +
          Number(Object.keys(value).length === 0)
        : 0;
    fc.assert(
      fc.property(
        fc.jsonValue({ depthSize: "medium", stringUnit: anyCharacter }),
        fc.constantFrom(undefined, 1, "\t"),
        (value, indent) => {
          const text = JSON.stringify(value, undefined, indent);
          const values = valuesOf(value) + emptyOf(value);
          expect(isJsonWithin(text, 1000, values), "as many").to.equal(true);
          // a text that is one value, and no more, is not looked at
          if (values > 1) expect(isJsonWithin(text, 1000, values - 1), "one too many").to.equal(false);
        },
      ),
      // the most values for their length
      {
        numRuns: 500,
        examples: [
          [[], undefined],
          [[[]], undefined],
          [[[], []], undefined],
          [[[], [], []], undefined],
        ],
      },
    );
  });

  it("looks at no bracket within a string", () => {
    const inside = fc.string({ unit: fc.constantFrom("[", "{", "]", "}", '"', "\\", "a") });
    fc.assert(
      fc.property(fc.array(inside), (texts) => {
        expect(isJsonWithin(JSON.stringify([texts]), 2)).to.equal(true);
        expect(isJsonWithin(`${" ".repeat(4)}${JSON.stringify([texts])}`, 1)).to.equal(false);
      }),
    );
  });

  it("never throws, and lets no text pass that JSON.parse would nest deeper", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("[", "{", "]", "}", '"', "\\", ":", ",", "1") }),
        (text) => {
          const within = isJsonWithin(text, 2);
          let value: unknown;
          try {
            value = JSON.parse(text);
          } catch {
            return;
          }
          expect(within).to.equal(depthOf(value) <= 2);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("looks no further than the first level too many", () => {
    expect(isJsonWithin("[".repeat(1_000_000), 128)).to.equal(false);
    expect(isJsonWithin("[]".repeat(1_000_000), 128)).to.equal(true);
  });
});

describe("isReservedChannel", () => {
  it("knows every name that begins and ends with three underscores", () => {
    for (const name of [ALL_CHANNEL, SYNC_CHANNEL, "___", "____", "______", "___x___", "___ ___"]) {
      expect(isReservedChannel(name), name).to.equal(true);
    }
    for (const name of ["", "_", "__", "__all__", "___all", "all___", "_ __all___", "a___b", " ___all___"]) {
      expect(isReservedChannel(name), name).to.equal(false);
    }
  });

  it("knows those on which Redis itself speaks", () => {
    for (const name of [
      "__keyspace@0__:a",
      "__keyevent@15__:set",
      "__sentinel__:hello",
      "__redis__:invalidate",
    ]) {
      expect(isReservedChannel(name), name).to.equal(true);
    }
    for (const name of ["__keyspace__", "_keyevent@0__:set", "a__keyevent@0__:set", "__room__", "__a b@c"]) {
      expect(isReservedChannel(name), name).to.equal(false);
    }
  });
});

describe("isChannelName", () => {
  it("takes well-formed text within the limit", () => {
    for (const name of ["c", "\u0000", "\n", " ", "__proto__", "c".repeat(32), "\u{1f600}", "\uffff"]) {
      expect(isChannelName(name, LIMITS), JSON.stringify(name)).to.equal(true);
    }
    for (const name of [
      "",
      "c".repeat(33),
      "\ud800",
      "a\udc00",
      "\udc00\ud800",
      5,
      null,
      undefined,
      ["c"],
      {},
    ]) {
      expect(isChannelName(name, LIMITS), JSON.stringify(name)).to.equal(false);
    }
  });
});

describe("isObject", () => {
  it("knows an object as JSON has it", () => {
    for (const value of [{}, { a: 1 }, Object.create(null)]) expect(isObject(value)).to.equal(true);
    for (const value of [null, undefined, [], "", 5, true, () => {}]) expect(isObject(value)).to.equal(false);
  });
});

describe("the encoders", () => {
  const heads = () =>
    fc.record({ rpc: fc.oneof(anyText(), jsonValue(), fc.constant(undefined)), uuid: ids() });
  /** What of a head arrives: what is undefined does not. */
  const present = (fields: Record<string, unknown>) => JSON.parse(JSON.stringify(fields)) as object;

  it("encodeReply gives the request's rpc and uuid, and the value", () => {
    fc.assert(
      fc.property(heads(), jsonValue(), (head, value) => {
        expect(JSON.parse(encodeReply(head, value))).to.deep.equal({ ...present(head), resp: value });
      }),
    );
  });

  it("encodeReply gives null for a value without a JSON form, and throws for a cycle or a BigInt", () => {
    const head = { rpc: "a", uuid: "u" };
    const hidden = { toJSON: () => undefined };
    for (const value of [undefined, () => {}, Symbol("s"), Number.NaN, null, hidden]) {
      expect(JSON.parse(encodeReply(head, value))).to.deep.equal({ ...head, resp: null });
    }
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    expect(() => encodeReply(head, cycle)).to.throw(TypeError);
    expect(() => encodeReply(head, 1n)).to.throw(TypeError);
  });

  it("encodeErrorReply gives the request's rpc and uuid, and the error", () => {
    fc.assert(
      fc.property(heads(), jsonValue(), (head, error) => {
        for (const protocol of [3, PROTOCOL] as const) {
          const reply: unknown = JSON.parse(encodeErrorReply(head, error, protocol));
          expect(reply).to.deep.equal({ ...present(head), error });
        }
      }),
    );
  });

  it("encodeErrorReply gives an internal error for what can be encoded at one time and not at another", () => {
    const head = { rpc: "a", uuid: "u" };
    const hostile = {
      toJSON() {
        throw new Error("not this time");
      },
    };
    for (const error of [hostile, { message: "no", data: hostile }, undefined]) {
      const reply: unknown = JSON.parse(encodeErrorReply(head, error, PROTOCOL));
      expect(reply).to.deep.equal({ ...head, error: "Internal error" });
    }
  });

  it("encodeErrorReply gives a refusal as the text that version 3 has, and with its code since", () => {
    const head = { rpc: "a", uuid: "u" };
    expect(JSON.parse(encodeErrorReply(head, FORBIDDEN, 3))).to.deep.equal({ ...head, error: "Forbidden" });
    expect(JSON.parse(encodeErrorReply(head, FORBIDDEN, PROTOCOL))).to.deep.equal({
      ...head,
      error: { message: "Forbidden", code: "forbidden" },
    });
  });

  it("encodeAccepted shows the limit of a message to whoever asked for protocol 4 and for that", () => {
    const head = { rpc: "auth", uuid: "x" };
    expect(JSON.parse(encodeAccepted(head, PROTOCOL, undefined, 100))).to.deep.equal({
      ...head,
      resp: "success",
      server: { protocol: 4, messageBytes: 100 },
    });
    expect(JSON.parse(encodeAccepted(head, 3, undefined, 100))).to.deep.equal({ ...head, resp: "success" });
  });

  it("encodeAccepted tells who the client is to whoever asked for protocol 4 and for that", () => {
    const head = { rpc: "auth", uuid: "x" };
    const shown = { identity: '{"name":"alice"}', identityHash: "hash" };
    expect(encodeAccepted(head, PROTOCOL, 5, undefined, shown)).to.equal(
      '{"rpc":"auth","uuid":"x","resp":"success","server":{"protocol":4,"expiresIn":5,"identityHash":"hash","identity":{"name":"alice"}}}',
    );
    expect(encodeAccepted(head, 3, 5, undefined, shown)).to.equal(encodeAccepted(head, 3));
    expect(encodeAccepted(head, PROTOCOL, 5, undefined, {})).to.equal(encodeAccepted(head, PROTOCOL, 5));
  });

  it("encodeAccepted shows the protocol to whoever asked for it, and to nobody else", () => {
    const head = { rpc: "auth", uuid: "u" };
    expect(JSON.parse(encodeAccepted(head, 3))).to.deep.equal({ ...head, resp: "success" });
    expect(JSON.parse(encodeAccepted(head, PROTOCOL))).to.deep.equal({
      ...head,
      resp: "success",
      server: { protocol: 4 },
    });
    expect(JSON.parse(encodeAccepted({ rpc: "auth", uuid: undefined }, 3))).to.deep.equal({
      rpc: "auth",
      resp: "success",
    });
  });

  it("encodeSubscribed gives the whole request, or the channel alone", () => {
    fc.assert(
      fc.property(heads(), anyText(), fc.dictionary(fc.string(), jsonValue()), (head, channel, more) => {
        const req = JSON.parse(JSON.stringify({ ...more, channel })) as Record<string, unknown>;
        expect(JSON.parse(encodeSubscribed(channel, { head, req }))).to.deep.equal({
          internal: true,
          command: "subscribe",
          data: { ...present(head), req, channel },
        });
        expect(JSON.parse(encodeSubscribed(channel))).to.deep.equal({
          internal: true,
          command: "subscribe",
          data: { channel },
        });
      }),
    );
  });

  it("encodeUnsubscribed and encodeCall give what they name", () => {
    fc.assert(
      fc.property(anyText(), anyText(), jsonValue(), (fid, name, args) => {
        expect(JSON.parse(encodeUnsubscribed(name))).to.deep.equal({
          internal: true,
          command: "unsubscribe",
          data: { channel: name },
        });
        expect(JSON.parse(encodeCall(fid, name, args))).to.deep.equal({
          internal: true,
          command: "rpc",
          data: { fid, command: name, args },
        });
      }),
    );
  });

  it("encodeUnsubscribed tells why to whoever asked for protocol 4", () => {
    const frame = { internal: true, command: "unsubscribe" };
    const refusal = { code: "forbidden", message: "Forbidden" };
    for (const error of [FORBIDDEN, null, { code: 7 }]) {
      expect(JSON.parse(encodeUnsubscribed("c", PROTOCOL, error))).to.deep.equal({
        ...frame,
        data: { channel: "c", error: error === FORBIDDEN ? refusal : error },
      });
      expect(encodeUnsubscribed("c", 3, error)).to.equal(encodeUnsubscribed("c"));
    }
    expect(encodeUnsubscribed("c", PROTOCOL)).to.equal(encodeUnsubscribed("c"));
  });

  it("encodeCall leaves the arguments out where there are none", () => {
    expect(encodeCall("f", "a", undefined)).to.equal(
      '{"internal":true,"command":"rpc","data":{"fid":"f","command":"a"}}',
    );
  });

  it("the encoders of streams give the stream, and null for an item without a JSON form", () => {
    const head = { rpc: "a", uuid: "u" };
    expect(JSON.parse(encodeStreamReply(head))).to.deep.equal({ ...head, stream: true });
    for (const stream of ["s", 7]) {
      expect(JSON.parse(encodeItem(stream, { a: 1 }))).to.deep.equal({ stream, item: { a: 1 } });
      expect(JSON.parse(encodeItem(stream, undefined))).to.deep.equal({ stream, item: null });
      expect(JSON.parse(encodeEnd(stream))).to.deep.equal({ stream, end: true });
      const error = { code: "forbidden", message: "Forbidden" };
      expect(JSON.parse(encodeStreamError(stream, FORBIDDEN))).to.deep.equal({ stream, error });
    }
  });

  it("the encoders of a channel's history give positions beside the message", () => {
    const [channel, at, time] = ["c", "1-2", 5];
    expect(JSON.parse(encodeKept(channel, '{"a":1}', at, time))).to.deep.equal({
      channel,
      message: { a: 1 },
      at,
      time,
    });
    expect(JSON.parse(encodeLost(channel, true, at))).to.deep.equal({ channel, lost: true, at });
    expect(JSON.parse(encodeRecovered(channel, { recovered: true, at }))).to.deep.equal({
      channel,
      recovered: true,
      at,
    });
  });

  it("encodePresenceEnd gives the channel and why its members are observed no more", () => {
    expect(JSON.parse(encodePresenceEnd("c", FORBIDDEN))).to.deep.equal({
      presence: "c",
      end: true,
      error: { code: "forbidden", message: "Forbidden" },
    });
  });

  it("encodeJsonReply takes JSON as it is", () => {
    expect(encodeJsonReply({ rpc: "a", uuid: 1 }, "[1]")).to.equal('{"rpc":"a","uuid":1,"resp":[1]}');
  });

  it("encodeMessage gives the channel and the message, whatever they are", () => {
    fc.assert(
      fc.property(anyText(), jsonValue(), (channel, message) => {
        expect(JSON.parse(encodeMessage(channel, JSON.stringify(message)))).to.deep.equal({
          channel,
          message,
        });
      }),
    );
  });

  it("has one answer for what is no message", () => {
    expect(JSON.parse(INVALID_MESSAGE_REPLY)).to.deep.equal({ error: "Invalid message" });
  });
});

describe("the encoding of a value", () => {
  const errorFor = (value: unknown) => {
    try {
      return encodeJson(value);
    } catch (error) {
      return error;
    }
  };

  it("says why what has no JSON form has none", () => {
    expect(encodeJson({ a: [1] })).to.equal('{"a":[1]}');
    expect(errorFor(undefined))
      .to.be.instanceOf(TypeError)
      .with.property("message", "This is no JSON value: undefined");
    const error = new RangeError("too deep");
    const faulty = {
      toJSON: () => {
        throw error;
      },
    };
    expect(errorFor(faulty))
      .to.be.instanceOf(TypeError)
      .with.include({ message: "This is no JSON value: too deep", cause: error });
  });

  it("says what kind of value it is where that throws what is no error", () => {
    for (const cause of ["text", undefined, { message: 7 }]) {
      const faulty = {
        toJSON: () => {
          throw cause;
        },
      };
      expect(errorFor(faulty))
        .to.be.instanceOf(TypeError)
        .with.include({ message: "This is no JSON value: object", cause });
    }
  });
});
