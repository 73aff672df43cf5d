import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { expect } from "chai";
import type { Request, Response } from "express";
import fc from "fast-check";
import { type RawData, WebSocket } from "ws";
import type { Callback, Controller, Routes } from "../../lib/index.js";
import { Application } from "../support/application.js";
import type { Frame, WireClient } from "../support/wire-client.js";

/** Another one for each run; the environment may name that of a failure, to run it again. */
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);

/** How long one property may take, in milliseconds, so that all take less than ten seconds. */
const PATIENCE = 2500;

const SETTINGS = { seed: SEED, numRuns: 100, interruptAfterTimeLimit: PATIENCE };

/** A request's id: one that is given when it is sent, so that no two are the same, or something else. */
type Id = { readonly kind: "text" | "number" } | { readonly kind: "junk"; readonly value: unknown };

/** What one socket sends: SockJS messages, and what is in them. */
type Action =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "frame"; readonly fields: Record<string, unknown>; readonly id: Id | undefined }
  | {
      readonly type: "auth";
      readonly token: "good" | "used" | "unknown" | "none" | "junk";
      readonly junk: unknown;
    }
  | { readonly type: "noStrings"; readonly values: readonly unknown[] };

const anyText = fc.string({
  unit: fc.oneof(
    fc.constantFrom("{", "}", "[", "]", '"', ":", ",", "\\"),
    fc.nat(0xffff).map((n) => String.fromCharCode(n)),
  ),
});

const anyJson = fc.jsonValue({ maxDepth: 4, stringUnit: "binary" });

const paths = fc.oneof(
  fc.constantFrom(
    "echo",
    "slow",
    "callback",
    "twice",
    "refuse",
    "throws",
    "rejects",
    "broken",
    "noJson",
    "nested.echo",
    "handler",
    "handlers",
    "silent",
    "nested",
    "missing",
    "guarded",
    "__proto__",
    "constructor",
    "echo.call",
    "handlers.0",
    "",
    ".".repeat(300),
  ),
  anyText,
);

const requests = fc.constantFrom("_ping", "_subscribe", "_unsubscribe", "_publish", "_broadcast", "_rpc");

const channels = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom("a", "b", "__proto__", "\u0000", "private") },
  { weight: 1, arbitrary: fc.constantFrom("___all___", "___sync___", "", "\ud800", "c".repeat(300)) },
  { weight: 1, arbitrary: anyJson },
);

const ids: fc.Arbitrary<Id | undefined> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom<Id>({ kind: "text" }, { kind: "number" }) },
  { weight: 1, arbitrary: fc.constant(undefined) },
  {
    weight: 1,
    arbitrary: fc
      .oneof(fc.array(anyJson), fc.dictionary(fc.string(), anyJson), fc.boolean(), fc.constant(null))
      .map((value): Id => ({ kind: "junk", value })),
  },
);

/** Frames as clients send them, with a field missing or wrong now and then. */
const frames: fc.Arbitrary<Action> = fc.record({
  type: fc.constant("frame" as const),
  fields: fc.record(
    {
      rpc: fc.oneof(
        { weight: 5, arbitrary: paths },
        { weight: 5, arbitrary: requests },
        { weight: 1, arbitrary: anyJson.filter((value) => value !== "auth") },
      ),
      req: fc.oneof(
        fc.record({ channel: channels, data: anyJson }, { requiredKeys: [] }),
        fc.record({ channel: fc.constantFrom("a", "b"), data: anyJson }),
        anyJson,
      ),
      fid: fc.oneof(fc.constantFrom("1", "2", "3", "__proto__"), anyJson),
      resp: fc.oneof(fc.record({ data: anyJson, error: anyJson }, { requiredKeys: [] }), anyJson),
      token: anyJson,
      internal: anyJson,
    },
    { requiredKeys: [] },
  ),
  id: ids,
});

/** Whatever leaves the connection open, and its identity as it is. */
const harmless: fc.Arbitrary<Action> = fc.oneof(
  { weight: 8, arbitrary: frames },
  { weight: 1, arbitrary: anyText.map((text): Action => ({ type: "text", text })) },
  {
    weight: 1,
    arbitrary: fc
      .json({ maxDepth: 6 })
      .filter((text) => !isAuth(text))
      .map((text): Action => ({ type: "text", text })),
  },
  {
    weight: 1,
    arbitrary: fc
      .array(anyJson.filter((value) => typeof value !== "string"))
      .map((values): Action => ({ type: "noStrings", values })),
  },
);

const authFrames: fc.Arbitrary<Action> = fc.record({
  type: fc.constant("auth" as const),
  token: fc.constantFrom(
    "good" as const,
    "good" as const,
    "used" as const,
    "unknown" as const,
    "none" as const,
    "junk" as const,
  ),
  junk: anyJson,
});

/** Several of them make one SockJS message. */
const messagesOf = (action: fc.Arbitrary<Action>) =>
  fc.array(fc.array(action, { minLength: 1, maxLength: 6 }), { maxLength: 10 });

function isAuth(text: string): boolean {
  const value: unknown = JSON.parse(text);
  return isRecord(value) && value.rpc === "auth";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const socketController = Object.defineProperty(
  {
    echo: (_auth: unknown, data: unknown) => data,
    slow: async (_auth: unknown, data: unknown) => {
      await new Promise((resolve) => setImmediate(resolve));
      return data;
    },
    callback: (_auth: unknown, data: unknown, callback: Callback) => setImmediate(callback, null, data),
    twice: (_auth: unknown, _data: unknown, callback: Callback) => {
      callback(null, 1);
      callback(null, 2);
    },
    refuse: (_auth: unknown, data: unknown, callback: Callback) => callback(data ?? "no"),
    throws: (_auth: unknown) => {
      throw new Error("thrown on purpose");
    },
    rejects: async (_auth: unknown) => {
      throw new Error("rejected on purpose");
    },
    noJson: (_auth: unknown) => 1n,
    guarded: (_auth: unknown) => "never",
    nested: { echo: (_auth: unknown, data: unknown) => data },
  },
  "broken",
  {
    get() {
      throw new Error("broken on purpose");
    },
  },
) as unknown as Controller;

const routes: Routes = {
  handler: (req: Request, res: Response) => {
    res.json({ body: req.body });
  },
  handlers: [
    (_req: Request, _res: Response, next: () => void) => {
      setImmediate(next);
    },
    (req: Request, res: Response) => {
      res.send(String(req.body));
    },
  ],
  silent: (_req: Request, _res: Response, next: () => void) => next(),
};

/** A client of SockJS over WebSocket that sends whatever it is told, and keeps the frames that come. */
class Fuzzer {
  readonly frames: Frame[] = [];
  closed = false;
  readonly #socket: WebSocket;
  #wake = () => {};

  static async open(url: string): Promise<Fuzzer> {
    const socket = new WebSocket(
      `${url.replace(/^http/, "ws")}/sockets/0/${randomBytes(6).toString("hex")}/websocket`,
    );
    const fuzzer = new Fuzzer(socket);
    await once(socket, "message");
    return fuzzer;
  }

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data: RawData) => this.#receive(String(data)));
    socket.on("close", () => {
      this.closed = true;
      this.#wake();
    });
  }

  send(payload: string): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(payload);
  }

  /** Waits until the frames are as they should be, or the connection has closed. */
  async until(fits: () => boolean): Promise<void> {
    while (!this.closed && !fits()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** How many replies a request has got. */
  replies(uuid: unknown): number {
    return this.frames.filter((frame) => frame.uuid === uuid && frame.internal === undefined).length;
  }

  async end(): Promise<void> {
    this.#socket.close();
    await this.until(() => false);
  }

  #receive(frame: string): void {
    if (frame.startsWith("a")) {
      for (const message of JSON.parse(frame.slice(1)) as string[]) this.frames.push(JSON.parse(message));
    }
    this.#wake();
  }
}

describe("arbitrary frames in arbitrary order", () => {
  let application: Application;
  let witness: WireClient;
  let witnessed = 0;
  const fatal: unknown[] = [];
  const onFatal = (error: unknown) => fatal.push(error);

  before(async () => {
    process.on("uncaughtException", onFatal);
    process.on("unhandledRejection", onFatal);
    application = await Application.start({
      options: {
        socketController,
        routes,
        ping: true,
        debug: true,
        filter: (_socket, channel, message) => (channel === "b" ? null : [message]),
      },
    });
    const { tokenServer } = application;
    tokenServer.on("subscribe", (_socket, { channel }, callback) => callback(null, channel !== "private"));
    tokenServer.on("subscribe", async (_socket, { channel }) => {
      if (channel === "b") await new Promise((resolve) => setImmediate(resolve));
      return true;
    });
    tokenServer.on("unsubscribe", (_socket, { channel }, callback) =>
      setImmediate(callback, null, channel !== "a"),
    );
    tokenServer.on("publish", (_socket, _request) => true);
    tokenServer.on("broadcast", (_socket, { data }, callback) =>
      callback(data === false ? "no" : null, true),
    );
    tokenServer.on("rpc", (_socket, { rpc }) => rpc !== "guarded");
    witness = await application.connect();
    await witness.subscribe("witness");
  });

  after(async () => {
    await application.stop();
    process.off("uncaughtException", onFatal);
    process.off("unhandledRejection", onFatal);
    expect(application.tokenServer.sockets()).to.deep.equal([]);
    expect(application.tokenServer.channels()).to.deep.equal([]);
  });

  afterEach(function () {
    // what takes the process down fails a test without a word of the seed
    if (this.currentTest?.state === "failed") console.error(`    FUZZ_SEED=${SEED} runs this again`);
  });

  /** The process is up, the witness is served, and of everybody else nothing is left. */
  async function check(): Promise<void> {
    const { tokenServer } = application;
    while (tokenServer.sockets().length > 1) await once(tokenServer, "disconnect");
    expect(tokenServer.channels()).to.deep.equal(["witness"]);
    const message = ++witnessed;
    expect(await witness.request({ rpc: "echo", req: message, uuid: "w" })).to.deep.equal({
      rpc: "echo",
      uuid: "w",
      resp: message,
    });
    await tokenServer.publish("witness", message);
    for (;;) {
      // others may have broadcast; the filter puts each message into an array
      const got = await witness.message("witness");
      expect(got).to.be.an("array").with.lengthOf(1);
      if (JSON.stringify(got) === JSON.stringify([message])) break;
    }
    for (const { channel } of witness.frames.splice(0)) expect(channel).to.equal("witness");
    expect(fatal.splice(0)).to.deep.equal([]);
    application.errors.length = 0;
    application.log.length = 0;
  }

  /** Makes SockJS messages of actions, and gives each request an id. */
  async function makeMessages(messages: readonly (readonly Action[])[], used: string) {
    const requests: { readonly uuid: string | number; readonly fields: Record<string, unknown> }[] = [];
    const payloads: string[] = [];
    let count = 0;
    for (const actions of messages) {
      const parts: unknown[] = [];
      for (const action of actions) {
        if (action.type === "text") parts.push(action.text);
        else if (action.type === "noStrings") parts.push(...action.values);
        else if (action.type === "frame") {
          const { fields, id } = action;
          const uuid =
            id && (id.kind === "junk" ? id.value : id.kind === "text" ? `request ${++count}` : ++count);
          parts.push(JSON.stringify({ ...fields, uuid }));
          if (typeof uuid === "string" || typeof uuid === "number") requests.push({ uuid, fields });
        } else {
          const uuid = `auth ${++count}`;
          const token = {
            good: action.token === "good" ? await application.token() : undefined,
            used,
            unknown: randomUUID(),
            none: undefined,
            junk: action.junk,
          }[action.token];
          parts.push(JSON.stringify({ rpc: "auth", uuid, token }));
          requests.push({ uuid, fields: { rpc: "auth" } });
        }
      }
      payloads.push(JSON.stringify(parts));
    }
    return { payloads, requests };
  }

  /** Whether exactly one reply has to come: to each call, and with the newer protocol to each request. */
  function isCall({ rpc }: Record<string, unknown>, protocol: number): boolean {
    if (rpc === "_rpc") return false;
    return (
      protocol === 4 ||
      typeof rpc !== "string" ||
      rpc === "_ping" ||
      !/^_(un)?(subscribe|publish|broadcast)$/.test(rpc)
    );
  }

  for (const protocol of [3, 4]) {
    it(`get each call one reply, and harm nobody, with protocol ${protocol}`, async () => {
      await fc.assert(
        fc.asyncProperty(messagesOf(harmless), async (messages) => {
          const fuzzer = await Fuzzer.open(application.url);
          const token = await application.token();
          fuzzer.send(JSON.stringify([JSON.stringify({ rpc: "auth", uuid: "auth", token, protocol })]));
          await fuzzer.until(() => fuzzer.replies("auth") === 1);
          const socket = application.socket();
          const calls = ["one", "two"].map((command) =>
            application.tokenServer
              .rpc(socket, command, null, { timeout: Number.POSITIVE_INFINITY })
              .catch((error: unknown) => error),
          );
          const { payloads, requests } = await makeMessages(messages, token);
          for (const payload of payloads) fuzzer.send(payload);
          const expected = requests.filter(({ fields }) => isCall(fields, protocol));
          await fuzzer.until(() => expected.every(({ uuid }) => fuzzer.replies(uuid) > 0));
          fuzzer.send(JSON.stringify([JSON.stringify({ rpc: "slow", uuid: "fence" })]));
          await fuzzer.until(() => fuzzer.replies("fence") > 0);
          expect(fuzzer.closed).to.equal(false);
          for (const { uuid, fields } of expected) {
            expect(fuzzer.replies(uuid), `replies to ${JSON.stringify(fields)}`).to.equal(1);
          }
          for (const { uuid, fields } of requests) {
            expect(fuzzer.replies(uuid), `replies to ${JSON.stringify(fields)}`).to.be.at.most(1);
          }
          await fuzzer.end();
          await Promise.all(calls);
          await check();
        }),
        SETTINGS,
      );
    });
  }

  it("get no request more than one reply, and harm nobody, with and without authentication", async () => {
    const anything = fc.oneof({ weight: 4, arbitrary: harmless }, { weight: 1, arbitrary: authFrames });
    await fc.assert(
      fc.asyncProperty(fc.boolean(), messagesOf(anything), async (authenticated, messages) => {
        const fuzzer = await Fuzzer.open(application.url);
        const token = await application.token();
        if (authenticated)
          fuzzer.send(JSON.stringify([JSON.stringify({ rpc: "auth", uuid: "auth", token })]));
        const { payloads, requests } = await makeMessages(messages, token);
        for (const payload of payloads) fuzzer.send(payload);
        // whoever has not authenticated is forbidden to call
        fuzzer.send(JSON.stringify([JSON.stringify({ rpc: "slow", uuid: "fence" })]));
        await fuzzer.until(() => fuzzer.replies("fence") > 0);
        for (const { uuid, fields } of requests) {
          expect(fuzzer.replies(uuid), `replies to ${JSON.stringify(fields)}`).to.be.at.most(1);
        }
        await fuzzer.end();
        await check();
      }),
      SETTINGS,
    );
  });
});
