import { randomUUID } from "node:crypto";
import { expect } from "chai";
import { v1 } from "uuid";
import { CLOSE, type CloseReason } from "../../lib/shared/close-codes.js";
import {
  CONTROL_CHARACTERS,
  DEPTH,
  FORBIDDEN,
  INVALID,
  LONE_SURROGATE,
  LONG,
  NOT_FOUND,
  name,
  nestedArrays,
  nestedObjects,
  RESERVED_CHANNELS,
  type Sent,
  textOf,
} from "../support/bad-values.js";
import { ending, framesUntilNow, refusal, Scene } from "../support/scene.js";
import { type Frame, WIRE_TRANSPORTS, type WireClient } from "../support/wire-client.js";

const MANY_DOTS = ".".repeat(10_000);

/** A text that is no frame; it is answered in one way, whether its sender has authenticated or not. */
const NO_FRAMES: readonly (readonly [name: string, text: string])[] = [
  ["an empty text", ""],
  ["white space", " \n\t "],
  ["text that is no JSON", "hello"],
  ["half of a frame", '{"rpc":"echo","uuid":'],
  ["two frames in one text", '{"rpc":"echo"}{"rpc":"echo"}'],
  ["a frame with single quotes", "{'rpc':'echo'}"],
  ["a frame with a comma too many", '{"rpc":"echo",}'],
  ["a frame behind a byte order mark", '\ufeff{"rpc":"echo"}'],
  ["a control character in a string", '{"rpc":"ec\u0000ho"}'],
  ["a line break in a string", '{"rpc":"ec\nho"}'],
  ["control characters", CONTROL_CHARACTERS],
  ["a lone surrogate", "\ud800"],
  ["null", "null"],
  ["true", "true"],
  ["false", "false"],
  ["a number", "5"],
  ["a number too large", "1e999"],
  ["a string", '"echo"'],
  ["a frame as a string", JSON.stringify('{"rpc":"echo","uuid":"u"}')],
  ["an empty array", "[]"],
  ["an array with a frame", '[{"rpc":"echo","uuid":"u"}]'],
  ["a megabyte that is no JSON", LONG],
  ["arrays 100,000 levels deep", nestedArrays()],
  ["objects 100,000 levels deep", nestedObjects()],
  ["arrays that are never closed", "[".repeat(DEPTH)],
  ["objects that are never closed", '{"a":'.repeat(DEPTH)],
  ["arrays that were never opened", "]".repeat(DEPTH)],
  ["arrays 100,000 levels deep as data", `{"rpc":"echo","uuid":"u","req":${nestedArrays()}}`],
  ["objects 100,000 levels deep as data", `{"rpc":"echo","uuid":"u","req":${nestedObjects()}}`],
  ["objects 100,000 levels deep as a path", `{"rpc":${nestedObjects()},"uuid":"u"}`],
  ["arrays 100,000 levels deep as a uuid", `{"rpc":"echo","uuid":${nestedArrays()}}`],
  ["arrays 100,000 levels deep as a channel", `{"rpc":"_subscribe","req":{"channel":${nestedArrays()}}}`],
  [
    "objects 100,000 levels deep to publish",
    `{"rpc":"_publish","req":{"channel":"c","data":${nestedObjects()}}}`,
  ],
  ["arrays 100,000 levels deep as an answer", `{"rpc":"_rpc","fid":"1","resp":{"data":${nestedArrays()}}}`],
  ["arrays 100,000 levels deep as a token", `{"rpc":"auth","uuid":"u","token":${nestedArrays()}}`],
];

/** An object, which before authentication is forbidden unless it presents a token. */
interface RequestRow {
  readonly name: string;
  readonly sent: Sent;
  /** What of the request its answers carry. */
  readonly head: Record<string, unknown>;
  /** The rest of the answer after authentication; undefined: there is none. */
  readonly answer: { error: unknown } | { resp: unknown } | undefined;
  /** What is reported, after authentication. */
  readonly reported?: readonly string[];
}

/** A frame with a uuid, and its answer. */
function row(
  name: string,
  fields: Record<string, unknown>,
  answer: RequestRow["answer"],
  reported?: readonly string[],
): RequestRow {
  const { rpc } = fields;
  return {
    name,
    sent: { ...fields, uuid: "u" },
    head: rpc === undefined ? { uuid: "u" } : { rpc, uuid: "u" },
    answer,
    ...(reported ? { reported } : {}),
  };
}

const NO_RPC: readonly RequestRow[] = [
  { name: "{}", sent: "{}", head: {}, answer: INVALID },
  row("no rpc", {}, INVALID),
  row("no rpc, but a token", { token: randomUUID() }, INVALID),
  ...[null, true, 5, [], ["echo"], {}, { toString: "echo" }, { rpc: "echo" }].map((rpc) =>
    row(`${JSON.stringify(rpc)} as the rpc`, { rpc }, INVALID),
  ),
  {
    name: "an rpc in a prototype",
    sent: '{"__proto__":{"rpc":"echo","uuid":"u"}}',
    head: {},
    answer: INVALID,
  },
];

const BAD_PATHS: readonly RequestRow[] = [
  "",
  " ",
  ".",
  "...",
  MANY_DOTS,
  LONG,
  "echo.",
  ".echo",
  "nested..echo",
  "nested",
  "Echo",
  "_echo",
  "_",
  "__proto__",
  "__proto__.echo",
  "__proto__.toString",
  "__defineGetter__",
  "constructor",
  "constructor.constructor",
  "constructor.assign",
  "constructor.prototype.toString",
  "prototype",
  "toString",
  "valueOf",
  "hasOwnProperty",
  "length",
  "nested.__proto__",
  "nested.__proto__.hasOwnProperty",
  "nested.constructor",
  "nested.toString",
  "nested.hasOwnProperty",
  "echo.length",
  "echo.name",
  "echo.call",
  "echo.apply",
  "echo.bind",
  "echo.constructor",
  "echo.prototype",
  "echo.toString",
  "withHelper.helper",
  "list",
  "list.0",
  "list.length",
  "list.map",
  "list.constructor",
  "text",
  "text.length",
  "text.0",
  "nothing",
  "nothing.echo",
  "instance.method",
  "instance.constructor",
  "Class.helper",
  "Class.prototype.method",
  "routes",
  "handlers.0",
  "handlers.length",
  "handlers.map",
  "handlers.constructor",
  "handler.call",
  "empty",
  "mixed",
  LONE_SURROGATE,
  CONTROL_CHARACTERS,
].map((rpc) => row(`the path ${name(rpc)}`, { rpc, req: {} }, NOT_FOUND));

const BROKEN_GETTERS: readonly RequestRow[] = [
  row("a path to a getter that throws", { rpc: "broken" }, { error: "Internal error" }, [
    "broken on purpose",
  ]),
  row("a path through a getter that throws", { rpc: "broken.echo" }, { error: "Internal error" }, [
    "broken on purpose",
  ]),
  row("a path to a nested getter that throws", { rpc: "nested.broken" }, { error: "Internal error" }, [
    "broken on purpose",
  ]),
];

const NO_CHANNELS: readonly unknown[] = [
  null,
  5,
  true,
  "",
  [],
  ["c"],
  {},
  { toString: "c" },
  LONG,
  LONE_SURROGATE,
];

const BAD_CHANNEL_REQUESTS: readonly RequestRow[] = [
  ...["_subscribe", "_unsubscribe", "_publish", "_broadcast"].flatMap((rpc) => [
    row(`${rpc} without req`, { rpc }, INVALID),
    row(`${rpc} with {} as req`, { rpc, req: {} }, INVALID),
    ...[null, 5, true, "c", [], ["c"], [{ channel: "c", data: 1 }]].map((req) =>
      row(`${rpc} with ${JSON.stringify(req)} as req`, { rpc, req }, INVALID),
    ),
    {
      name: `${rpc} with a req in a prototype`,
      sent: `{"rpc":"${rpc}","uuid":"u","req":{"__proto__":{"channel":"c","data":1}}}`,
      head: { rpc, uuid: "u" },
      answer: INVALID,
    },
  ]),
  ...["_subscribe", "_unsubscribe", "_publish"].flatMap((rpc) => [
    row(`${rpc} without a channel`, { rpc, req: { data: 1 } }, INVALID),
    row(
      `${rpc} with a channel of 257 characters`,
      { rpc, req: { channel: "c".repeat(257), data: 1 } },
      INVALID,
    ),
    ...NO_CHANNELS.map((channel) =>
      row(`${rpc} with the channel ${name(channel)}`, { rpc, req: { channel, data: 1 } }, INVALID),
    ),
    ...RESERVED_CHANNELS.map((channel) =>
      row(`${rpc} with the channel ${channel}`, { rpc, req: { channel, data: 1 } }, FORBIDDEN),
    ),
  ]),
  row("_publish without data", { rpc: "_publish", req: { channel: "c" } }, INVALID),
  row("_broadcast with a channel but no data", { rpc: "_broadcast", req: { channel: "c" } }, INVALID),
  row("_ping where ping is off", { rpc: "_ping", req: {} }, NOT_FOUND),
];

const BAD_ANSWERS: readonly RequestRow[] = [
  row("_rpc alone", { rpc: "_rpc" }, INVALID),
  row("_rpc without resp", { rpc: "_rpc", fid: "1" }, INVALID),
  row("_rpc without fid", { rpc: "_rpc", resp: {} }, INVALID),
  ...[null, 5, true, "text", [], [{}]].map((resp) =>
    row(`_rpc with ${JSON.stringify(resp)} as resp`, { rpc: "_rpc", fid: "1", resp }, INVALID),
  ),
  ...[null, 1, true, [], ["1"], {}].map((fid) =>
    row(`_rpc with ${JSON.stringify(fid)} as fid`, { rpc: "_rpc", fid, resp: {} }, INVALID),
  ),
  ...["1", "", "0", "__proto__", "constructor", LONE_SURROGATE, LONG].map((fid) =>
    row(
      `_rpc with ${name(fid)} as fid, which is no call's`,
      { rpc: "_rpc", fid, resp: { data: 1 } },
      undefined,
    ),
  ),
  row(
    "_rpc with an error, for no call",
    { rpc: "_rpc", fid: "1", resp: { error: { message: {} } } },
    undefined,
  ),
];

const ODD_UUIDS: readonly RequestRow[] = [
  ...[undefined, null, true, false, {}, { toString: "u" }, [], ["u"]].map((uuid) => ({
    name: `${JSON.stringify(uuid) ?? "no value"} as the uuid`,
    sent: { rpc: "echo", req: 1, uuid },
    head: { rpc: "echo" },
    answer: { resp: 1 },
  })),
  {
    name: "a uuid that is an object, of a request that is invalid",
    sent: { rpc: "_subscribe", uuid: {} },
    head: { rpc: "_subscribe" },
    answer: INVALID,
  },
  {
    name: "a number too large as the uuid",
    sent: '{"rpc":"echo","req":1,"uuid":1e999}',
    head: { rpc: "echo" },
    answer: { resp: 1 },
  },
  ...["", 0, -1.5, 2 ** 53, LONE_SURROGATE, CONTROL_CHARACTERS, "__proto__", "x".repeat(256)].map((uuid) => ({
    name: `the uuid ${name(uuid)}`,
    sent: { rpc: "echo", req: 1, uuid },
    head: { rpc: "echo", uuid },
    answer: { resp: 1 },
  })),
  {
    name: "a uuid that is too long to be repeated",
    sent: { rpc: "echo", req: 1, uuid: LONG },
    head: { rpc: "echo" },
    answer: INVALID,
  },
];

const ODD_DATA: readonly RequestRow[] = [
  ...[LONE_SURROGATE, CONTROL_CHARACTERS, { [LONE_SURROGATE]: [LONE_SURROGATE] }, "", 0, false, null, []].map(
    (req) => row(`the data ${JSON.stringify(req)}`, { rpc: "echo", req }, { resp: req }),
  ),
  row("no data", { rpc: "echo" }, { resp: null }),
  row("a megabyte of data", { rpc: "echo", req: LONG }, { resp: LONG }),
  row("brackets in a string", { rpc: "echo", req: '[{"'.repeat(DEPTH) }, { resp: '[{"'.repeat(DEPTH) }),
  row(
    "data of two names for one value",
    { rpc: "keys", req: JSON.parse('{"__proto__":1,"constructor":2}') },
    {
      resp: ["__proto__", "constructor"],
    },
  ),
  ...[null, 5, "text", true, [], [1], LONE_SURROGATE].map((req) =>
    row(
      `${JSON.stringify(req)} as a handler's data`,
      { rpc: "handler", req },
      {
        resp: { body: req, query: {}, _code: 200 },
      },
    ),
  ),
];

/** By what is wrong with them. */
const REQUESTS: Readonly<Record<string, readonly RequestRow[]>> = {
  "no rpc": NO_RPC,
  "paths that lead nowhere": BAD_PATHS,
  "getters that throw": BROKEN_GETTERS,
  "channel requests": BAD_CHANNEL_REQUESTS,
  "answers to no call": BAD_ANSWERS,
  "odd uuids": ODD_UUIDS,
  "odd data": ODD_DATA,
};

/** An `auth` frame that fails, in the same way for a first one and for a later one. */
interface TokenRow {
  readonly name: string;
  readonly sent: Sent;
  /** Before the connection is closed; undefined: nothing. */
  readonly answer: Record<string, unknown> | undefined;
  readonly close: CloseReason;
}

const UNKNOWN = randomUUID();

const BAD_TOKENS: readonly TokenRow[] = [
  {
    name: "no token",
    sent: { rpc: "auth", uuid: "u" },
    answer: { rpc: "auth", uuid: "u", ...FORBIDDEN },
    close: CLOSE.forbidden,
  },
  {
    name: "a token in a prototype",
    sent: `{"rpc":"auth","uuid":"u","__proto__":{"token":"${UNKNOWN}"}}`,
    answer: { rpc: "auth", uuid: "u", ...FORBIDDEN },
    close: CLOSE.forbidden,
  },
  {
    name: "a token that is unknown",
    sent: { rpc: "auth", uuid: "u", token: UNKNOWN },
    answer: { rpc: "auth", uuid: "u", error: "Token not found" },
    close: CLOSE.tokenNotFound,
  },
  {
    name: "a token that is unknown, and an object as the uuid",
    sent: { rpc: "auth", uuid: {}, token: UNKNOWN },
    answer: { rpc: "auth", error: "Token not found" },
    close: CLOSE.tokenNotFound,
  },
  ...[
    null,
    5,
    true,
    "",
    "text",
    [],
    [UNKNOWN],
    {},
    { toString: UNKNOWN },
    `x${UNKNOWN}`,
    `${UNKNOWN}x`,
    ` ${UNKNOWN}`,
    `${UNKNOWN}\n`,
    `${UNKNOWN}\u0000`,
    `${UNKNOWN}${UNKNOWN}`,
    `{${UNKNOWN}}`,
    `urn:uuid:${UNKNOWN}`,
    UNKNOWN.replaceAll("-", ""),
    v1(),
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "__proto__",
    LONE_SURROGATE,
    CONTROL_CHARACTERS,
    LONG,
  ].map((token) => ({
    name: `the token ${name(token)}`,
    sent: { rpc: "auth", uuid: "u", token },
    answer: undefined,
    close: CLOSE.invalidToken,
  })),
];

for (const transport of WIRE_TRANSPORTS) {
  // what a client sends over XHR it collects for a while, so one test for each row would take long
  const isSlow = transport.startsWith("xhr");

  describe(`bad input over ${transport}`, () => {
    let scene: Scene;
    let client: WireClient | undefined;

    before(async () => {
      scene = await Scene.start();
    });

    afterEach(async () => {
      await scene.check();
    });

    after(async () => {
      await scene.stop();
    });

    /** The connection of the test before where that is still good, since opening one takes time. */
    const authenticated = async (): Promise<WireClient> => {
      client ??= await scene.application.connect(transport);
      return client;
    };

    describe("before authentication", () => {
      it("no text that is no frame is more than an invalid message, and a token is welcome after them all", async () => {
        const stranger = await scene.application.open(transport);
        for (const [, text] of NO_FRAMES) stranger.send(text);
        for (const [what] of NO_FRAMES) {
          expect(await stranger.take(), what).to.deep.equal({ error: "Invalid message" });
        }
        const token = await scene.application.token();
        expect(await stranger.request({ rpc: "auth", token, uuid: "u" })).to.deep.equal({
          rpc: "auth",
          uuid: "u",
          resp: "success",
        });
        expect(await framesUntilNow(stranger)).to.deep.equal([]);
        await stranger.end();
      });

      for (const { name, sent, head } of Object.values(REQUESTS).flat()) {
        it(`forbids ${name}`, async () => {
          const stranger = await scene.application.open(transport);
          stranger.send(textOf(sent));
          expect(await ending(stranger)).to.deep.equal(refusal({ ...head, ...FORBIDDEN }, CLOSE.forbidden));
        });
      }

      for (const { name, sent, answer, close } of BAD_TOKENS) {
        it(`refuses ${name}`, async () => {
          const stranger = await scene.application.open(transport);
          stranger.send(textOf(sent));
          expect(await ending(stranger)).to.deep.equal(refusal(answer, close));
        });
      }
    });

    describe("after authentication", () => {
      if (isSlow) {
        it("takes each text that is no frame for an invalid message", async () => {
          const user = await authenticated();
          for (const [, text] of NO_FRAMES) user.send(text);
          expect(await framesUntilNow(user)).to.deep.equal(
            NO_FRAMES.map(() => ({ error: "Invalid message" })),
          );
        });

        for (const [kind, rows] of Object.entries(REQUESTS)) {
          it(`has one answer at most for each of ${rows.length} requests at once: ${kind}`, async () => {
            const user = await authenticated();
            for (const { sent } of rows) user.send(textOf(sent));
            const expected = rows.flatMap(({ head, answer }) => (answer ? [{ ...head, ...answer }] : []));
            const frames: Frame[] = [];
            while (frames.length < expected.length) frames.push(withoutHeaders(await user.take()));
            expect(frames).to.have.deep.members(expected);
            expect(await framesUntilNow(user)).to.deep.equal([]);
            await scene.check(rows.flatMap(({ reported }) => reported ?? []));
          });
        }
      } else {
        for (const [name, text] of NO_FRAMES) {
          it(`takes ${name} for an invalid message`, async () => {
            const user = await authenticated();
            user.send(text);
            expect(await framesUntilNow(user)).to.deep.equal([{ error: "Invalid message" }]);
          });
        }

        for (const { name, sent, head, answer, reported } of Object.values(REQUESTS).flat()) {
          it(answer ? `has one answer for ${name}` : `has no answer for ${name}`, async () => {
            const user = await authenticated();
            user.send(textOf(sent));
            const frames = (await framesUntilNow(user)).map(withoutHeaders);
            expect(frames).to.deep.equal(answer ? [{ ...head, ...answer }] : []);
            await scene.check(reported);
          });
        }
      }

      for (const { name, sent, answer, close } of BAD_TOKENS) {
        it(`refuses ${name}, and closes`, async () => {
          const user = await authenticated();
          client = undefined;
          user.send(textOf(sent));
          expect(await ending(user)).to.deep.equal(refusal(answer, close));
        });
      }

      it("joins, leaves and publishes nothing by requests that are refused", async () => {
        const user = await authenticated();
        expect(scene.application.tokenServer.channels()).to.deep.equal(["witness"]);
        expect(await framesUntilNow(user)).to.deep.equal([]);
      });

      for (const channel of [
        "__proto__",
        "constructor",
        "hasOwnProperty",
        CONTROL_CHARACTERS,
        "___a",
        "a___",
        "__all__",
      ]) {
        it(`takes ${name(channel)} for a channel like any other`, async () => {
          const user = await authenticated();
          await user.subscribe(channel);
          expect(scene.application.tokenServer.channels()).to.deep.equal(["witness", channel]);
          const data = { [channel]: LONE_SURROGATE };
          user.send({ rpc: "_publish", req: { channel, data } });
          expect(await user.take()).to.deep.equal({ channel, message: JSON.parse(JSON.stringify(data)) });
          user.send({ rpc: "_unsubscribe", req: { channel } });
          expect(await user.take()).to.deep.equal({
            internal: true,
            command: "unsubscribe",
            data: { channel },
          });
          expect(scene.application.tokenServer.channels()).to.deep.equal(["witness"]);
        });
      }
    });
  });
}

/** An Express answer's headers are not what these tests are about. */
function withoutHeaders(frame: Frame): Frame {
  const resp = frame.resp as Record<string, unknown> | null | undefined;
  if (typeof resp !== "object" || resp === null || !("_headers" in resp)) return frame;
  const { _headers: _, ...rest } = resp;
  return { ...frame, resp: rest };
}
