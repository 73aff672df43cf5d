import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { expect } from "chai";
import type { Request, Response } from "express";
import { createClient } from "redis";
import { v1 } from "uuid";
import { WebSocket } from "ws";
import type { Controller, Routes, Socket } from "../../lib/index.js";
import { CLOSE, type CloseReason } from "../../lib/shared/close-codes.js";
import { Application, type ApplicationOptions } from "../support/application.js";
import { type RedisServer, startRedis } from "../support/redis-server.js";
import { type Frame, WIRE_TRANSPORTS, type WireClient } from "../support/wire-client.js";

const DEPTH = 100_000;
const MEGABYTE = 2 ** 20;
const MANY_DOTS = ".".repeat(10_000);
const LONG = "x".repeat(MEGABYTE);
const LONE_SURROGATE = "a\ud800b";
const CONTROL_CHARACTERS = "\u0000\u0001\b\t\n\r\u001b\u007f\u0085\u200b\u2028\ufeff\uffff";
const SECRET = "kept in the session of alice";

const nestedArrays = (levels = DEPTH) => `${"[".repeat(levels)}${"]".repeat(levels)}`;
const nestedObjects = (levels = DEPTH) => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`;

/** What a row sends: a text as it is, or a frame as JSON. */
type Sent = string | Record<string, unknown>;

const textOf = (sent: Sent): string => (typeof sent === "string" ? sent : JSON.stringify(sent));

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

const INVALID = { error: "Invalid request" };
const NOT_FOUND = { error: "Function not found" };
const FORBIDDEN = { error: "Forbidden" };

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
const RESERVED_CHANNELS = ["___all___", "___sync___", "___", "____", "______", "___other___", "___ ___"];

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

/** Shown in the name of a test. */
function name(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 20)}… of ${text.length} characters` : text;
}

class Instance {
  method(): string {
    return "never";
  }
}

class Class {
  static helper(): string {
    return "never";
  }
  method(): string {
    return "never";
  }
}

const echo = (_auth: unknown, data: unknown) => data;
const leave = (_auth: unknown, _data: unknown, _callback: unknown, socket: Socket) => {
  socket.close();
};
const breakOnPurpose = () => {
  throw new Error("broken on purpose");
};

const socketController = Object.defineProperty(
  {
    echo,
    leave,
    keys: (_auth: unknown, data: unknown) => Object.keys(data as object),
    nested: Object.defineProperty({ echo }, "broken", { get: breakOnPurpose, enumerable: true }),
    withHelper: Object.assign((_auth: unknown) => "never", { helper: echo }),
    list: [echo],
    text: "text",
    nothing: null,
    instance: new Instance(),
    Class,
  },
  "broken",
  { get: breakOnPurpose, enumerable: true },
) as unknown as Controller;

const handler = (req: Request, res: Response) => {
  res.set("x-powered-by", "").removeHeader("x-powered-by");
  res.json({ body: req.body, query: req.query });
};

const routes = {
  handler,
  handlers: [handler],
  empty: [],
  mixed: [handler, "text"],
} as unknown as Routes;

/** Whatever would have ended the process. */
const fatal: unknown[] = [];
const onFatal = (error: unknown) => fatal.push(error);

/** An application, and a socket that is connected all the while and must not notice anything. */
class Scene {
  readonly application: Application;
  readonly tokens: string[] = [];
  readonly witness: WireClient;
  #messages = 0;

  static async start(options: ApplicationOptions = {}): Promise<Scene> {
    const application = await Application.start({
      session: { auth: { name: "alice", note: SECRET } },
      // a stream that a megabyte has ended is opened again in time, also on a machine that is busy
      sockjs: { disconnect_delay: 1500 },
      ...options,
      options: {
        socketController,
        routes,
        debug: true,
        ...options.options,
        // what is so large is to get to the parser here
        limits: { messageBytes: 4_194_304, ...options.options?.limits },
      },
    });
    const tokens: string[] = [];
    const token = application.token.bind(application);
    application.token = async (...args) => {
      const made = await token(...args);
      tokens.push(made);
      return made;
    };
    const witness = await application.connect();
    await witness.subscribe("witness");
    return new Scene(application, witness, tokens);
  }

  private constructor(application: Application, witness: WireClient, tokens: string[]) {
    this.application = application;
    this.witness = witness;
    this.tokens = tokens;
  }

  /** The process is up, the witness is served and has got nothing else, and just this was reported. */
  async check(reported: readonly string[] = []): Promise<void> {
    const { application, witness } = this;
    const message = { count: ++this.#messages };
    expect(await witness.request({ rpc: "echo", req: message, uuid: "w" })).to.deep.equal({
      rpc: "echo",
      uuid: "w",
      resp: message,
    });
    await application.tokenServer.publish("witness", message);
    expect(await witness.message("witness")).to.deep.equal(message);
    expect(witness.frames).to.deep.equal([]);
    expect(application.errors.splice(0).map((error) => error.message)).to.deep.equal(reported);
    expect(fatal.splice(0)).to.deep.equal([]);
  }

  async stop(): Promise<void> {
    const { application } = this;
    await application.stop();
    expect(application.tokenServer.sockets()).to.deep.equal([]);
    expect(application.tokenServer.channels()).to.deep.equal([]);
    const log = application.log.join("\n");
    expect(log).not.to.include(SECRET);
    for (const token of this.tokens) expect(log).not.to.include(token);
  }
}

/** The frames that came before the answer to a request that is sent now. */
async function framesUntilNow(client: WireClient): Promise<Frame[]> {
  const uuid = randomUUID();
  client.send({ rpc: "echo", uuid });
  const frames: Frame[] = [];
  for (;;) {
    const frame = await client.take();
    if (frame.uuid === uuid) return frames;
    frames.push(frame);
  }
}

/** Waits for the end of a connection; gives its last frames and its close code. */
async function ending(client: WireClient): Promise<{ frames: Frame[]; code: number; reason: string }> {
  const { code, reason } = await client.closed;
  return { frames: client.frames.splice(0), code, reason };
}

/** How a connection ends that is refused. */
const refusal = (answer: Record<string, unknown> | undefined, { code, reason }: CloseReason) => ({
  frames: answer ? [answer] : [],
  code,
  reason,
});

before(() => {
  process.on("uncaughtException", onFatal);
  process.on("unhandledRejection", onFatal);
});

after(() => {
  process.off("uncaughtException", onFatal);
  process.off("unhandledRejection", onFatal);
});

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

describe("auth frames out of order", () => {
  let scene: Scene;

  before(async () => {
    scene = await Scene.start({ options: { limits: { framesWaiting: 10, bytesWaiting: 1000 } } });
  });

  afterEach(async () => {
    scene.application.tokenServer.removeAllListeners("authentication");
    await scene.check();
  });

  after(async () => {
    await scene.stop();
  });

  const auth = (uuid: number, token: string) => ({ rpc: "auth", uuid, token });
  const call = (uuid: number) => ({ rpc: "echo", uuid, req: uuid });
  const success = (uuid: number) => ({ rpc: "auth", uuid, resp: "success" });
  const answer = (uuid: number) => ({ rpc: "echo", uuid, resp: uuid });

  /** Lets authentication wait until the test says so; resolves when it waits. */
  function holdAuthentication(): { waiting: Promise<unknown>; accept: () => void } {
    let accept = () => {};
    const waiting = new Promise<void>((resolve) => {
      scene.application.tokenServer.once("authentication", (_socket, _auth, callback) => {
        accept = () => callback();
        resolve();
      });
    });
    return { waiting, accept: () => accept() };
  }

  it("one more with another token replaces the identity, and what comes between is served between", async () => {
    const [first, second] = [await scene.application.token(), await scene.application.token()];
    const client = await scene.application.open();
    for (const frame of [auth(1, first), call(2), auth(3, second), call(4)]) client.send(frame);
    expect(await framesUntilNow(client)).to.deep.equal([success(1), answer(2), success(3), answer(4)]);
    await client.end();
  });

  it("one more with the same token is refused, and nothing after it is served", async () => {
    const token = await scene.application.token();
    const client = await scene.application.open();
    for (const frame of [auth(1, token), call(2), auth(3, token), call(4)]) client.send(frame);
    expect(await ending(client)).to.deep.equal({
      frames: [success(1), answer(2), { rpc: "auth", uuid: 3, error: "Token not found" }],
      code: CLOSE.tokenNotFound.code,
      reason: CLOSE.tokenNotFound.reason,
    });
  });

  it("one while the first is being decided waits for it", async () => {
    const [first, second] = [await scene.application.token(), await scene.application.token()];
    const { waiting, accept } = holdAuthentication();
    const client = await scene.application.open();
    for (const frame of [auth(1, first), auth(2, second), call(3)]) client.send(frame);
    await waiting;
    await scene.check();
    expect(client.frames).to.deep.equal([]);
    accept();
    expect(await framesUntilNow(client)).to.deep.equal([success(1), success(2), answer(3)]);
    await client.end();
  });

  it("one without a token while the first is being decided forbids, after the first was answered", async () => {
    const client = await scene.application.open();
    client.send(auth(1, await scene.application.token()));
    client.send({ rpc: "auth", uuid: 2 });
    expect(await ending(client)).to.deep.equal({
      frames: [success(1), { rpc: "auth", uuid: 2, ...FORBIDDEN }],
      code: CLOSE.forbidden.code,
      reason: CLOSE.forbidden.reason,
    });
  });

  it("a token within an array or another text is not used up", async () => {
    const token = await scene.application.token();
    for (const bad of [[token], { token }, `${token}x`, `\n${token}`]) {
      const client = await scene.application.open();
      client.send({ rpc: "auth", uuid: 1, token: bad });
      expect(await ending(client)).to.deep.equal(refusal(undefined, CLOSE.invalidToken));
    }
    const client = await scene.application.open();
    client.send(auth(1, token));
    expect(await client.take()).to.deep.equal(success(1));
    await client.end();
  });

  it("too many frames while authenticating close the connection", async () => {
    const { waiting, accept } = holdAuthentication();
    const client = await scene.application.open();
    client.send(auth(1, await scene.application.token()));
    await waiting;
    for (let uuid = 2; uuid <= 12; uuid++) client.send("text");
    expect(await ending(client)).to.deep.equal(refusal(undefined, CLOSE.tooManyFrames));
    accept();
  });

  it("too long frames while authenticating close the connection", async () => {
    const { waiting, accept } = holdAuthentication();
    const client = await scene.application.open();
    client.send(auth(1, await scene.application.token()));
    await waiting;
    client.send({ ...call(2), req: "x".repeat(1000) });
    expect(await ending(client)).to.deep.equal(refusal(undefined, CLOSE.tooManyFrames));
    accept();
  });

  it("frames that wait for a second authentication count like those that wait for the first", async () => {
    const { tokenServer } = scene.application;
    const first = holdAuthentication();
    const client = await scene.application.open();
    const socket = scene.application.socket();
    /** The server has got all that was sent, or has closed the connection. */
    const received = async () => {
      const calling = tokenServer.rpc(socket, "fence").catch(() => {});
      const call = await client.takeCall().catch(() => undefined);
      if (call) client.send({ rpc: "_rpc", fid: call.fid, resp: {} });
      await calling;
    };
    client.send(auth(1, await scene.application.token()));
    await first.waiting;
    client.send(auth(2, await scene.application.token()));
    client.send({ ...call(3), req: "x".repeat(600) });
    await received();
    // a listener that came before the first decision has ended would be asked in that one, too
    const held = new Promise<ReturnType<typeof holdAuthentication>>((resolve) =>
      tokenServer.once("authenticated", () => resolve(holdAuthentication())),
    );
    first.accept();
    const second = await held;
    await second.waiting;
    client.send({ ...call(4), req: "x".repeat(600) });
    await received();
    second.accept();
    expect(tokenServer.sockets()).not.to.include(socket);
    expect(await ending(client)).to.deep.equal({
      frames: [success(1)],
      code: CLOSE.tooManyFrames.code,
      reason: CLOSE.tooManyFrames.reason,
    });
  });
});

describe("answers to calls that the server made", () => {
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

  /** Connects, and gives the server's side of the connection as well. */
  async function connect(): Promise<{ client: WireClient; socket: Socket }> {
    const client = await scene.application.connect();
    return { client, socket: scene.application.socket() as Socket };
  }

  it("change nothing where they come from another socket", async () => {
    const callee = await connect();
    const attacker = await connect();
    const calling = scene.application.tokenServer.rpc(callee.socket, "whoAreYou");
    const { fid } = await callee.client.takeCall();
    attacker.client.send({ rpc: "_rpc", fid, resp: { data: "attacker" } });
    attacker.client.send({ rpc: "_rpc", fid, resp: { error: "attacker" } });
    expect(await framesUntilNow(attacker.client)).to.deep.equal([]);
    callee.client.send({ rpc: "_rpc", fid, resp: { data: "callee" } });
    expect(await calling).to.equal("callee");
    await callee.client.end();
    await attacker.client.end();
  });

  it("change nothing where they come from another socket that was called as well", async () => {
    const { tokenServer } = scene.application;
    const [one, two] = [await connect(), await connect()];
    const callOne = tokenServer.rpc(one.socket, "whoAreYou");
    const callTwo = tokenServer.rpc(two.socket, "whoAreYou");
    const [fidOne, fidTwo] = [(await one.client.takeCall()).fid, (await two.client.takeCall()).fid];
    two.client.send({ rpc: "_rpc", fid: fidTwo, resp: { data: "two" } });
    two.client.send({ rpc: "_rpc", fid: fidOne, resp: { data: "two" } });
    expect(await framesUntilNow(two.client)).to.deep.equal([]);
    one.client.send({ rpc: "_rpc", fid: fidOne, resp: { data: "one" } });
    expect(await Promise.all([callOne, callTwo])).to.deep.equal(["one", "two"]);
    await one.client.end();
    await two.client.end();
  });

  it("change nothing where they come a second time", async () => {
    const { client, socket } = await connect();
    const calling = scene.application.tokenServer.rpc(socket, "count");
    const { fid } = await client.takeCall();
    client.send({ rpc: "_rpc", fid, resp: { data: 1 } });
    client.send({ rpc: "_rpc", fid, resp: { data: 2 } });
    client.send({ rpc: "_rpc", fid, resp: { error: "three" } });
    expect(await framesUntilNow(client)).to.deep.equal([]);
    expect(await calling).to.equal(1);
    await client.end();
  });

  it("that are invalid leave the call waiting for a valid one", async () => {
    const { client, socket } = await connect();
    const calling = scene.application.tokenServer.rpc(socket, "count");
    const { fid } = await client.takeCall();
    for (const bad of [
      { fid },
      { fid, resp: null },
      { fid: [fid], resp: {} },
      { fid: `${fid} `, resp: {} },
    ]) {
      client.send({ rpc: "_rpc", ...bad });
    }
    client.send(`{"rpc":"_rpc","fid":${JSON.stringify(fid)},"resp":{"data":${nestedArrays()}}}`);
    expect(await framesUntilNow(client)).to.deep.equal([
      { rpc: "_rpc", ...INVALID },
      { rpc: "_rpc", ...INVALID },
      { rpc: "_rpc", ...INVALID },
      { error: "Invalid message" },
    ]);
    client.send({ rpc: "_rpc", fid, resp: {} });
    expect(await calling).to.equal(undefined);
    await client.end();
  });

  for (const error of [
    "no",
    0,
    false,
    [],
    {},
    { message: { toString: 1 } },
    { message: LONE_SURROGATE, code: {} },
  ]) {
    it(`reject the call where they carry ${JSON.stringify(error)} as the error`, async () => {
      const { client, socket } = await connect();
      const calling = scene.application.tokenServer.rpc(socket, "fail").catch((reason: unknown) => reason);
      const { fid } = await client.takeCall();
      client.send({ rpc: "_rpc", fid, resp: { error } });
      expect(await calling)
        .to.be.instanceOf(Error)
        .with.property("name", "RemoteError");
      await client.end();
    });
  }
});

const makeRedisClient = (url: string) => createClient({ url });
type RedisClientOfTest = ReturnType<typeof makeRedisClient>;

describe("bad input from Redis", () => {
  let redis: RedisServer;
  const clients: RedisClientOfTest[] = [];
  let publisher: RedisClientOfTest;
  let plain: Scene;
  let filtering: Scene;
  const channelPrefix = `bad-input-${randomUUID()}:`;
  const tokenPrefix = `${channelPrefix}token:`;

  async function connectRedis(): Promise<RedisClientOfTest> {
    const client = makeRedisClient(redis.url);
    client.on("error", () => {});
    clients.push(client);
    await client.connect();
    return client;
  }

  const publish = (channel: string, payload: string | Buffer) =>
    publisher.publish(channelPrefix + channel, payload);

  before(async () => {
    redis = await startRedis();
    publisher = await connectRedis();
    const start = async (options: ApplicationOptions["options"]) =>
      Scene.start({
        redisClient: await connectRedis(),
        pubsubClient: await connectRedis(),
        options: { channelPrefix, tokenPrefix, ...options },
      });
    plain = await start({});
    filtering = await start({ filter: (_socket, _channel, message) => [message] });
    // the other server's messages come here as well
    await plain.witness.subscribe("fence");
    await filtering.witness.subscribe("fence");
  });

  after(async () => {
    await plain.stop();
    await filtering.stop();
    for (const client of clients) client.destroy();
    await redis.stop();
  });

  /** Both servers have handled all that was published so far; gives what their witnesses got of it. */
  async function settle(): Promise<{ plain: Frame[]; filtering: Frame[] }> {
    const fence = randomUUID();
    await publish("fence", JSON.stringify(fence));
    const until = async (client: WireClient, message: unknown): Promise<Frame[]> => {
      const frames: Frame[] = [];
      for (;;) {
        const frame = await client.take();
        if (frame.channel === "fence" && JSON.stringify(frame.message) === JSON.stringify(message))
          return frames;
        frames.push(frame);
      }
    };
    return { plain: await until(plain.witness, fence), filtering: await until(filtering.witness, [fence]) };
  }

  function takeErrors(scene: Scene): string[] {
    return scene.application.errors.splice(0).map((error) => error.message);
  }

  /** Both servers are up and serve their clients. */
  async function check(): Promise<void> {
    expect(takeErrors(plain)).to.deep.equal([]);
    expect(takeErrors(filtering)).to.deep.equal([]);
    for (const { witness } of [plain, filtering]) {
      expect(await witness.request({ rpc: "echo", req: 1, uuid: "w" })).to.deep.equal({
        rpc: "echo",
        uuid: "w",
        resp: 1,
      });
    }
    await publish("witness", "5");
    expect(await plain.witness.message("witness")).to.equal(5);
    expect(await filtering.witness.message("witness")).to.deep.equal([5]);
    expect(plain.witness.frames).to.deep.equal([]);
    expect(filtering.witness.frames).to.deep.equal([]);
    expect(fatal.splice(0)).to.deep.equal([]);
  }

  const PAYLOADS: readonly (readonly [name: string, payload: string | Buffer, message: unknown])[] = [
    ["text that is no JSON", "hello", "hello"],
    ["half of a JSON object", '{"a":', '{"a":'],
    ["nothing", "", ""],
    ["white space", " \n", " \n"],
    ["control characters", CONTROL_CHARACTERS, CONTROL_CHARACTERS],
    ["bytes that are no UTF-8", Buffer.from([0x61, 0xff, 0xfe, 0x00, 0x62]), "a\ufffd\ufffd\u0000b"],
    ["half of a UTF-8 character", Buffer.from([0xf0, 0x9f]), "\ufffd"],
    ["a lone surrogate in JSON", '"\\ud800"', "\ud800"],
    ["a number as text", "123", 123],
    ["a string of a number", '"123"', "123"],
    ["null", "null", null],
    ["JSON with line breaks", '{\n\t"a" : [ 1 ]\r\n}', { a: [1] }],
    ["a name of a prototype", '{"__proto__":{"a":1}}', JSON.parse('{"__proto__":{"a":1}}')],
    ["a frame of the server's own", '{"internal":true,"command":"rpc"}', { internal: true, command: "rpc" }],
    ["a megabyte of text", LONG, LONG],
    ["a megabyte of JSON", JSON.stringify([LONG]), [LONG]],
  ];

  for (const [name, payload, message] of PAYLOADS) {
    it(`delivers ${name}, published on a channel`, async () => {
      await publish("witness", payload);
      expect(await settle()).to.deep.equal({
        plain: [{ channel: "witness", message }],
        filtering: [{ channel: "witness", message: [message] }],
      });
      await check();
    });

    it(`delivers ${name}, broadcast, on each channel once`, async () => {
      await publish("___all___", payload);
      const { plain: here, filtering: there } = await settle();
      expect(here).to.have.deep.members([
        { channel: "witness", message },
        { channel: "fence", message },
      ]);
      expect(there).to.have.deep.members([
        { channel: "witness", message: [message] },
        { channel: "fence", message: [message] },
      ]);
      await check();
    });
  }

  for (const [name, payload] of [
    ["arrays", nestedArrays()],
    ["objects", nestedObjects()],
  ] as const) {
    it(`delivers ${name} 100,000 levels deep, and reports where a filter's result cannot be sent`, async () => {
      await publish("witness", payload);
      const { plain: here, filtering: there } = await settle();
      expect(here).to.have.lengthOf(1);
      expect(levelsOf(here[0]?.message)).to.equal(DEPTH);
      expect(there).to.deep.equal([]);
      expect(takeErrors(filtering)).to.have.lengthOf(1);
      await check();
    });
  }

  const COMMANDS: readonly (readonly [name: string, payload: string | Buffer])[] = [
    ["text that is no JSON", "hello"],
    ["nothing", ""],
    ["bytes that are no UTF-8", Buffer.from([0xff, 0xfe])],
    ["null", "null"],
    ["true", "true"],
    ["a number", "5"],
    ["a string", '"unsubscribeAll"'],
    ["an array", "[]"],
    ["a command in an array", '[{"command":"unsubscribeAll","data":{"channel":"witness"}}]'],
    ["{}", "{}"],
    ["no command", '{"data":{"channel":"witness"}}'],
    ["a command that is no string", '{"command":["unsubscribeAll"],"data":{"channel":"witness"}}'],
    ["no data", '{"command":"unsubscribeAll"}'],
    ["null as the data", '{"command":"unsubscribeAll","data":null}'],
    ["a string as the data", '{"command":"unsubscribeAll","data":"witness"}'],
    ["an array as the data", '{"command":"unsubscribeAll","data":["witness"]}'],
    ["no channel", '{"command":"unsubscribeAll","data":{}}'],
    ...[null, 5, true, "", [], ["witness"], {}, "c".repeat(257), LONG].map(
      (channel) =>
        [
          `the channel ${name(channel)}`,
          JSON.stringify({ command: "unsubscribeAll", data: { channel } }),
        ] as const,
    ),
    ["a channel with a lone surrogate", '{"command":"unsubscribeAll","data":{"channel":"\\ud800"}}'],
    ...RESERVED_CHANNELS.map(
      (channel) =>
        [`the channel ${channel}`, JSON.stringify({ command: "unsubscribeAll", data: { channel } })] as const,
    ),
    ["arrays 100,000 levels deep", nestedArrays()],
    ["objects 100,000 levels deep", nestedObjects()],
    ["objects 100,000 levels deep as the data", `{"command":"unsubscribeAll","data":${nestedObjects()}}`],
    ["a command in a prototype", '{"__proto__":{"command":"unsubscribeAll","data":{"channel":"witness"}}}'],
    ["a megabyte of text", LONG],
  ];

  for (const [what, payload] of COMMANDS) {
    it(`reports a command between servers that is ${what}`, async () => {
      await publish("___sync___", payload);
      expect(await settle()).to.deep.equal({ plain: [], filtering: [] });
      for (const scene of [plain, filtering]) {
        const errors = takeErrors(scene);
        expect(errors).to.have.lengthOf(1);
        expect(errors[0]).to.have.length.below(1000);
      }
      await check();
    });
  }

  it("passes over commands of servers that are newer", async () => {
    for (const command of ["shutdown", "toString", "constructor", LONG]) {
      await publish("___sync___", JSON.stringify({ command, data: { channel: "witness" }, id: "1" }));
    }
    expect(await settle()).to.deep.equal({ plain: [], filtering: [] });
    for (const scene of [plain, filtering]) expect(takeErrors(scene)).to.deep.equal([]);
    await check();
  });

  it("carries out a command from elsewhere after all these", async () => {
    for (const { application, witness } of [plain, filtering]) {
      await witness.subscribe("left");
      expect(application.tokenServer.channels()).to.include("left");
    }
    await publish("___sync___", '{"command":"unsubscribeAll","data":{"channel":"left"}}');
    for (const { application, witness } of [plain, filtering]) {
      expect(await witness.take()).to.deep.equal({
        internal: true,
        command: "unsubscribe",
        data: { channel: "left" },
      });
      expect(application.tokenServer.channels()).not.to.include("left");
    }
    await check();
  });

  for (const [what, value] of [
    ["text that is no JSON", SECRET],
    ["JSON that is cut off", `{"auth":{"note":"${SECRET}`],
    ["nothing", ""],
    ["null", "null"],
    ["a number", "5"],
    ["a string", JSON.stringify(SECRET)],
    ["an array", "[]"],
    ["{}", "{}"],
    ["an identity without a user", '{"auth":null,"host":"h","ip":"","ips":[]}'],
    ["JSON 100,000 levels deep", nestedArrays()],
  ] as const) {
    it(`closes without a frame where what Redis holds for a token is ${what}, and tells nobody of it`, async () => {
      const token = randomUUID();
      await publisher.set(tokenPrefix + token, value);
      const client = await plain.application.open();
      client.send({ rpc: "auth", uuid: 1, token });
      expect(await ending(client)).to.deep.equal(refusal(undefined, CLOSE.unavailable));
      const errors = plain.application.errors.splice(0);
      expect(errors).to.have.lengthOf(1);
      const told = `${errors[0]?.stack} ${(errors[0]?.cause as Error | undefined)?.stack}`;
      expect(told).not.to.include(token);
      for (const word of SECRET.split(" ").filter(({ length }) => length > 3))
        expect(told).not.to.include(word);
      await check();
    });
  }

  it("closes without a frame where what Redis holds for a token is no string", async () => {
    const token = randomUUID();
    await publisher.lPush(tokenPrefix + token, SECRET);
    const client = await plain.application.open();
    client.send({ rpc: "auth", uuid: 1, token });
    expect(await ending(client)).to.deep.equal(refusal(undefined, CLOSE.unavailable));
    const errors = plain.application.errors.splice(0);
    expect(errors).to.have.lengthOf(1);
    expect(`${errors[0]?.stack}`).not.to.include(token);
    await publisher.del(tokenPrefix + token);
    await check();
  });
});

/** How deep a value is nested that holds one value at each level. */
function levelsOf(value: unknown): number {
  let levels = 0;
  for (let inner = value; typeof inner === "object" && inner !== null; levels++)
    [inner] = Object.values(inner);
  return levels;
}
